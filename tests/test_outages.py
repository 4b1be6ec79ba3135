"""The database is locked, silent or gone: everybody is told so soon, nothing is half written, and service comes back by itself."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from handoff.models import Conversation, Message
from tests.cast import Agent, Customer, Stage
from tests.servers import PostgresqlServer
from tests.waiting import wait_until
from tests.wire import Wire

TOLD = 6.5  # seconds in which whoever asks is told; five of them are the promise
BACK = 30.0  # seconds in which service is back


@dataclass
class Outage:
    """A way to lose the database, and how it comes back."""

    begin: Callable[[], None]
    end: Callable[[], None]
    reads: bool  # whether reading goes on meanwhile


def _locked(database_url: str) -> Outage:
    """Somebody else holds SQLite's write lock."""
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)

    def end() -> None:
        other.execute("ROLLBACK")
        other.close()

    return Outage(lambda: other.execute("BEGIN EXCLUSIVE") and None, end, reads=True)


def _restart(server: PostgresqlServer) -> None:
    server.start()


@pytest.fixture
def own_postgresql() -> Iterator[PostgresqlServer]:
    """A server that this test may stop and kill."""
    server = PostgresqlServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(params=["sqlite locked", "postgresql frozen", "postgresql killed"])
def lost(request: pytest.FixtureRequest) -> Iterator[tuple[str, Outage]]:
    """A database's URL and the outage that is to befall it."""
    if request.param == "sqlite locked":
        url = request.getfixturevalue("sqlite_url")
        yield url, _locked(url)
        return
    server: PostgresqlServer = request.getfixturevalue("own_postgresql")
    url = server.url(server.create_database())
    if request.param == "postgresql frozen":
        yield url, Outage(server.stop, server.resume, reads=False)
    else:
        yield url, Outage(lambda: server.kill() and None, lambda: _restart(server), reads=False)


@pytest.fixture
def database_url(lost: tuple[str, Outage]) -> str:
    return lost[0]


@pytest.fixture
def outage(lost: tuple[str, Outage]) -> Outage:
    return lost[1]


@contextmanager
def _befallen(outage: Outage) -> Iterator[None]:
    outage.begin()
    try:
        yield
    finally:
        outage.end()


async def _told(asking: Any) -> Any:
    """The answer, which has to come in time."""
    began = time.monotonic()
    answer = await asking
    assert time.monotonic() - began < TOLD
    return answer


async def _healthy(stage: Stage) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{stage.url}/healthz") as response:
        return response.status


async def _enters(stage: Stage) -> str | None:
    async with Wire(stage.url) as wire:
        return await wire.enter({"protocol": 1, "widget": stage.widget_key, "token": None})


async def _posted_in_the_end(person: Customer | Agent, **payload: Any) -> dict[str, Any]:
    """Repeat with the same client_id until it is stored, as every client does."""

    async def post() -> dict[str, Any] | None:
        return (await person.ask("post_message", **payload)).get("ok")

    return (await wait_until(post, BACK, "the line is taken"))["message"]


@pytest.mark.slow
async def test_whoever_asks_is_told_and_what_they_repeat_is_stored_once(stage: Stage, outage: Outage) -> None:
    tab, other, ada = await stage.customer(), await stage.customer(), await stage.watcher("Ada")
    await tab.write("hello")
    second_tab, second_desk = await stage.customer(tab.token), await stage.second_socket(ada)
    await other.write("hello")
    mine, theirs = tab.conversation_id, other.conversation_id
    await ada.take_over(mine)
    before = await _everything(stage)
    agents_line = {"conversation_id": mine, "client_id": "a1", "text": "I am here"}
    with _befallen(outage):
        asked = asyncio.gather(
            tab.ask("post_message", client_id="c1", text="anybody there?"),
            ada.ask("post_message", **agents_line),
            second_desk.ask("take_over", conversation_id=theirs),
            second_tab.ask("request_human"),
            other.ask("end_conversation"),
        )
        acks = await _told(asked)
        assert {ack["error"]["code"] for ack in acks} == {"unavailable"}
        if not outage.reads:
            assert await _told(_healthy(stage)) == 503
            assert await _told(_enters(stage)) == "unavailable"
    line = await _posted_in_the_end(tab, client_id="c1", text="anybody there?")
    reply = await _posted_in_the_end(ada, **agents_line)
    await wait_until(lambda: _is(_healthy(stage), 200), BACK, "healthy again")
    assert await _enters(stage) is None
    rows = await stage.messages(mine)
    assert [(row.number, row.client_id) for row in rows if row.client_id in ("c1", "a1")] == sorted(
        [(line["number"], "c1"), (reply["number"], "a1")]
    )
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert before <= await _everything(stage)
    await _nothing_is_half_written(stage)


async def _is(asked: Any, expected: Any) -> bool:
    return await asked == expected


async def _everything(stage: Stage) -> set[tuple[str, int, str]]:
    rows = await stage.look(lambda: list(Message.select()))
    return {(row.conversation_id, row.number, row.text) for row in rows}


async def _nothing_is_half_written(stage: Stage) -> None:
    """A conversation's counters agree with its rows, its owner with its takeovers."""
    for conversation in await stage.look(lambda: list(Conversation.select())):
        rows = await stage.messages(conversation.id)
        assert conversation.last_number == len(rows)
        takeovers = [takeover for takeover in await stage.takeovers(conversation.id) if takeover.ended_at is None]
        assert [takeover.member_id for takeover in takeovers] == (
            [conversation.owner_id] if conversation.owner_id and conversation.status == "active" else []
        )


@pytest.mark.slow
async def test_an_answer_that_an_outage_interrupts_is_given_once(stage: Stage, outage: Outage) -> None:
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("how long does delivery take?")
    await held.is_asked()
    held.say("Five ")
    await customer.heard.wait_for("draft_changed")
    with _befallen(outage):
        held.say("working days.")
        held.finish()
        ack = await _told(customer.ask("post_message", client_id="c2", text="hello?"))
        assert ack["error"]["code"] == "unavailable"
    said = await customer.heard.wait_for("message_posted", lambda payload: payload["message"]["author"] == "assistant")
    assert said["message"]["text"] == "Five working days."
    answers = [row.text for row in await stage.messages(customer.conversation_id) if row.author == "assistant"]
    assert answers == ["Five working days."]


async def _all_at_once(people: list[Customer], text: str) -> list[dict[str, Any]]:
    """Enough of them to use every connection to the database."""
    asked = [person.ask("catch_up", after=0) for person in people]
    written = [person.ask("post_message", client_id=f"{number} {text}", text=text) for number, person in enumerate(people)]
    return await asyncio.gather(*asked, *written)


@pytest.mark.parametrize("lost", ["postgresql killed"], indirect=True)
async def test_a_restart_of_postgresql_that_nobody_was_waiting_for_costs_nobody_anything(stage: Stage, outage: Outage) -> None:
    people = [await stage.customer() for _ in range(12)]
    assert all("ok" in ack for ack in await _all_at_once(people, "before"))
    await asyncio.gather(*(person.heard.wait_for("message_posted", _by_assistant) for person in people))
    with _befallen(outage):
        pass
    assert [ack["error"] for ack in await _all_at_once(people, "after") if "error" in ack] == []


def _by_assistant(fact: dict[str, Any]) -> bool:
    return fact["message"]["author"] == "assistant"
