"""Two processes on one PostgreSQL, facts between them over Redis: the database decides, Redis only makes it quick."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from handoff import identity
from handoff.models import Entry
from tests.apart import STARTED, seen_from, stage_apart
from tests.cast import Agent, Customer, Stage
from tests.servers import HandoffProcess, RedisServer
from tests.waiting import wait_until

SECOND = 1.0
A_FEW_SECONDS = 5.0  # what is promised while Redis is away
SLOW_MACHINE = 2.0  # on top of each promise: two cores that the whole suite shares
LONG_ANSWER = " ".join(f"word{number}" for number in range(1, 61))


@dataclass
class Pair:
    """Two processes, and the stage as it is reached at each of them."""

    here: Stage
    there: Stage
    processes: tuple[HandoffProcess, HandoffProcess]


@pytest.fixture
async def pair(postgresql_url: str, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Pair]:
    """The assistant takes half a minute for an answer."""
    processes = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        settings = {"database_url": postgresql_url, "redis_url": redis_server.url, "words_per_second": 2}
        processes.append(HandoffProcess(tmp_path / name, **settings))
    here, there = processes
    async with stage_apart(here.url, postgresql_url) as stage:
        await stage.make(lambda: Entry.update(answer=LONG_ANSWER).execute())
        try:
            await asyncio.gather(*(process.start(STARTED) for process in processes))
            for process in processes:
                await wait_until(lambda: "relay_joined" in process.output(), 10, "the processes hear each other")  # noqa: B023
            yield Pair(stage, seen_from(stage, there), (here, there))
        finally:
            for process in processes:
                process.close()


async def _running_turns(process: HandoffProcess) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{process.url}/metrics") as response:
        found = re.search(r"^handoff_turns_running (\S+)$", await response.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))


async def _being_answered(pair: Pair) -> Customer:
    """A customer, here, to whom the assistant is writing."""
    customer = await pair.here.customer()
    await customer.write("how long does delivery take?")
    await customer.heard.wait_for("draft_changed")
    assert await _running_turns(pair.processes[0]) == 1
    return customer


async def _seconds_until(predicate: Any, within: float, what: str) -> float:
    began = time.monotonic()
    await wait_until(predicate, within, what)
    return time.monotonic() - began


def _texts(person: Customer | Agent) -> list[str]:
    return [fact["message"]["text"] for fact in person.heard.named("message_posted")]


async def _the_assistant_has_said_no_more(pair: Pair, customer: Customer) -> None:
    """What stands of the assistant is what the customer had been shown, and was shown before the takeover (I2)."""
    rows = await pair.here.messages(customer.conversation_id)
    (takeover,) = await pair.here.takeovers(customer.conversation_id)
    said = [row for row in rows if row.author == "assistant"]
    assert [(row.interrupted, row.number <= takeover.after) for row in said] == [(True, True)]
    assert LONG_ANSWER.startswith(said[0].text.strip())


async def test_what_happens_here_is_heard_there_and_the_other_way_round(pair: Pair) -> None:
    ada = await pair.there.watcher("Ada")
    customer = await _being_answered(pair)
    opened = await ada.heard.wait_for("conversation_opened")
    assert opened["conversation_id"] == customer.conversation_id
    await ada.do("open_conversation", conversation_id=customer.conversation_id)
    await ada.heard.wait_for("draft_changed")
    await wait_until(lambda: _is_available(customer), 10, "it is known here that somebody watches there")
    await ada.heard.wait_for("signal_raised")
    await ada.take_over(customer.conversation_id)
    await ada.write(customer.conversation_id, "a line from there")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "a line from there")
    await customer.write("a line from here")
    await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "a line from here")
    versions = [
        fact["version"] for name, fact in ada.heard.facts if name not in ("typing_changed", "draft_changed", "draft_withdrawn")
    ]
    assert versions == list(range(versions[0], versions[0] + len(versions)))


async def _is_available(customer: Customer) -> bool:
    return (await customer.do("request_human"))["available"]


async def test_a_takeover_there_silences_the_assistant_that_writes_here(pair: Pair) -> None:
    ada, customer = await pair.there.watcher("Ada"), await _being_answered(pair)
    await ada.take_over(customer.conversation_id)
    seconds = await _seconds_until(lambda: _none_runs(pair), SECOND + SLOW_MACHINE, "the writer stops")
    assert seconds < SECOND + SLOW_MACHINE
    drafts = len(customer.heard.named("draft_changed"))
    await ada.write(customer.conversation_id, "Ada here")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Ada here")
    assert len(customer.heard.named("draft_changed")) == drafts
    await _the_assistant_has_said_no_more(pair, customer)


async def _none_runs(pair: Pair) -> bool:
    return await _running_turns(pair.processes[0]) == 0


async def _sign_out(stage: Stage, agent: Agent) -> None:
    cookies = {identity.COOKIE: agent.cookie}
    async with aiohttp.ClientSession(cookies=cookies) as http, http.post(f"{stage.url}/sign-out", allow_redirects=False) as done:
        assert done.status == 303


async def test_signing_out_here_closes_the_socket_there(pair: Pair) -> None:
    ada = await pair.there.watcher("Ada")
    await _sign_out(pair.here, ada)
    await _seconds_until(lambda: not ada.socket.connected, SECOND + SLOW_MACHINE, "the socket is closed")


@pytest.mark.parametrize("fault", ["frozen", "killed"])
async def test_without_redis_commands_are_answered_and_a_takeover_holds(pair: Pair, redis_server: RedisServer, fault: str) -> None:
    ada, customer = await pair.there.watcher("Ada"), await _being_answered(pair)
    redis_server.stop() if fault == "frozen" else redis_server.kill()
    began = time.monotonic()
    await ada.take_over(customer.conversation_id)
    await ada.write(customer.conversation_id, "Ada here")
    await customer.write("who is there?")
    assert time.monotonic() - began < SECOND + SLOW_MACHINE
    await _seconds_until(lambda: _none_runs(pair), A_FEW_SECONDS + SLOW_MACHINE, "the writer stops")
    await _the_assistant_has_said_no_more(pair, customer)
    assert "Ada here" in [line["text"] for line in await customer.history()]
    redis_server.resume() if fault == "frozen" else redis_server.start()
    await wait_until(lambda: _is_heard_there(pair, customer, ada), 30, "facts flow again")


async def _is_heard_there(pair: Pair, customer: Customer, ada: Agent) -> bool:
    """Whoever may have missed something was sent away to come back, as the pages do by themselves."""
    text = f"line {time.monotonic()}"
    try:
        if not customer.socket.connected:
            await customer.arrive(pair.here.widget_key, customer.token)
        if not ada.socket.connected:
            await ada.sit_down()
            await ada.do("watch", assistant_id=pair.here.assistant_id)
        await customer.write(text)
        await wait_until(lambda: text in _texts(ada), 0.5)
    except (AssertionError, socketio.exceptions.SocketIOError):
        return False
    return True


async def test_without_redis_whoever_signed_out_here_is_cut_off_there(pair: Pair, redis_server: RedisServer) -> None:
    ada, customer = await pair.there.watcher("Ada"), await _being_answered(pair)
    redis_server.kill()
    await _sign_out(pair.here, ada)
    refusal = await ada.refused("take_over", conversation_id=customer.conversation_id)
    assert refusal["code"] == "forbidden"
    await _seconds_until(lambda: not ada.socket.connected, A_FEW_SECONDS + SLOW_MACHINE, "the socket is closed")


async def test_without_redis_whoever_signed_out_and_only_listens_is_cut_off_too(pair: Pair, redis_server: RedisServer) -> None:
    ada = await pair.there.watcher("Ada")
    redis_server.kill()
    await _sign_out(pair.here, ada)
    await _seconds_until(lambda: not ada.socket.connected, A_FEW_SECONDS + SLOW_MACHINE, "the socket is closed")


async def test_without_redis_what_was_missed_is_caught_up_in_the_end(pair: Pair, redis_server: RedisServer) -> None:
    """Nobody hears it live, and the next fact shows the gap: versions there go on as they stand in the database."""
    ada, customer = await pair.there.watcher("Ada"), await _being_answered(pair)
    await ada.take_over(customer.conversation_id)
    opened = await ada.do("open_conversation", conversation_id=customer.conversation_id)
    redis_server.kill()
    missed = await customer.write("can anybody hear me?")
    redis_server.start()
    await wait_until(lambda: _is_heard_there(pair, customer, ada), 30, "facts flow again")
    assert "can anybody hear me?" not in _texts(ada)
    fact = ada.heard.named("message_posted")[-1]
    assert fact["version"] > opened["conversation"]["version"] + 1
    caught_up = await ada.do("open_conversation", conversation_id=customer.conversation_id, after=missed["number"] - 1)
    assert caught_up["messages"][0]["text"] == "can anybody hear me?"
