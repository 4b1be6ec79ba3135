"""Ends and starts: an asked-for end is quick and loses nothing, a crash leaves nobody waiting (I12), two starts are one."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from handoff import identity
from handoff.models import Entry, Member, Message, Team, Turn, User
from tests.apart import STARTED, ask_until_lost, new_client_id, served_apart, stage_apart, terminated
from tests.cast import Customer, Stage
from tests.network import Relay
from tests.servers import HandoffProcess
from tests.waiting import wait_until

SOON = 5.0  # seconds in which a process that was asked to leave has left
ANSWER = " ".join(f"word{number}" for number in range(1, 25))


async def _teach(stage: Stage) -> None:
    """An answer that is long enough to be interrupted, and in which every missing or doubled word shows."""
    await stage.make(lambda: Entry.update(answer=ANSWER).execute())


async def _lines(stage: Stage, **which: Any) -> list[Message]:
    return await stage.look(lambda: list(Message.select().filter(**which).order_by(Message.conversation, Message.number)))


async def _write_until_lost(customer: Customer, acked: list[tuple[str, int, str, str]]) -> None:
    while customer.socket.connected:
        ack = await ask_until_lost(customer, "post_message", client_id=new_client_id(), text="and another thing")
        if ack is not None and "ok" in ack:
            message = ack["ok"]["message"]
            acked.append((message["conversation_id"], message["number"], message["client_id"], message["text"]))


async def test_a_server_that_is_asked_to_end_under_load_leaves_soon_and_has_kept_what_it_acknowledged(
    database_url: str, tmp_path: Path
) -> None:
    async with served_apart(database_url, tmp_path, commands_per_10_seconds=100_000) as (stage, process):
        customers = [await stage.customer() for _ in range(10)]
        acked: list[tuple[str, int, str, str]] = []
        writing = [asyncio.create_task(_write_until_lost(customer, acked)) for customer in customers]
        await wait_until(lambda: len(acked) > 100, 20, "a hundred acks")
        status, seconds = await terminated(process)
        assert (status, seconds < SOON) == (0, True), process.output()[-2000:]
        await asyncio.gather(*writing)
        stored = {(row.conversation_id, row.number, row.client_id, row.text) for row in await _lines(stage, author="customer")}
        assert set(acked) - stored == set()
        assert '"level": "error"' not in process.output()


async def test_a_client_that_answers_nothing_does_not_hold_up_the_end(database_url: str, tmp_path: Path) -> None:
    async with served_apart(database_url, tmp_path) as (stage, process), Relay(process.port) as relay:
        asleep = Customer(relay.url)
        await asleep.arrive(stage.widget_key)
        relay.freeze()
        status, seconds = await terminated(process)
        assert (status, seconds < SOON) == (0, True)
        relay.resume()
        await asleep.leave()


async def test_stock_clients_come_back_by_themselves_to_the_restarted_server(database_url: str, tmp_path: Path) -> None:
    async with served_apart(database_url, tmp_path) as (stage, process):
        first = await stage.customer()
        await first.write("hello")
        tab, polling, ada = Customer(stage.url), Customer(stage.url), await stage.member("Ada")
        stage.people += [tab, polling]
        for person in (tab, polling, ada):
            person.socket.reconnection = True
            person.socket.reconnection_delay = 0.2
            person.socket.reconnection_delay_max = 0.5
        await tab.arrive(stage.widget_key, first.token)
        await polling.arrive(stage.widget_key, first.token, transports=("polling",))
        # A function, because the client forgets a cookie that it was given once.
        await ada.connect({"protocol": 1}, headers=lambda: {"Cookie": f"{identity.COOKIE}={ada.cookie}"})
        await terminated(process)
        everyone = (tab, polling, ada)
        await wait_until(lambda: not any(person.socket.connected for person in everyone), 10, "all notice the end")
        await process.start(STARTED)
        await wait_until(lambda: all(person.socket.connected for person in everyone), 15, "all come back by themselves")
        assert (await tab.write("still me"))["conversation_id"] == first.conversation_id
        await polling.heard.wait_for("message_posted", lambda payload: payload["message"]["text"] == "still me")
        await ada.do("watch", assistant_id=stage.assistant_id)


async def test_an_answer_that_a_restart_interrupts_is_given_once_and_whole(database_url: str, tmp_path: Path) -> None:
    async with served_apart(database_url, tmp_path, words_per_second=20) as (stage, process):
        await _teach(stage)
        customer = await stage.customer()
        await customer.write("how long does delivery take?")
        await customer.heard.wait_for("draft_changed")
        status, seconds = await terminated(process)
        assert (status, seconds < SOON) == (0, True)
        await process.start(STARTED)
        again = await stage.customer(customer.token)
        said = await again.heard.wait_for("message_posted", lambda payload: payload["message"]["author"] == "assistant")
        assert said["message"]["text"] == ANSWER
        assert [(row.author, row.interrupted) for row in await _lines(stage)] == [("customer", False), ("assistant", False)]
        turns = await stage.turns(customer.conversation_id)
        assert [turn.status for turn in turns] == ["abandoned", "finished"]


async def test_after_a_kill_in_twenty_answers_every_customer_gets_one_whole_answer(database_url: str, tmp_path: Path) -> None:
    async with served_apart(database_url, tmp_path, words_per_second=15, lease_seconds=1, sweep_seconds=0.2) as (stage, process):
        await _teach(stage)
        customers = await asyncio.gather(*(stage.customer() for _ in range(20)))
        await asyncio.gather(*(customer.write("how long does delivery take?") for customer in customers))
        await asyncio.gather(*(customer.heard.wait_for("draft_changed") for customer in customers))
        process.kill()
        await process.start(STARTED)
        await wait_until(lambda: _all_answered(stage, 20), 20, "everybody is answered")
        lines = await _lines(stage)
        assert Counter(row.author for row in lines) == {"customer": 20, "assistant": 20}
        assert {row.text for row in lines if row.author == "assistant"} == {ANSWER}
        assert not await stage.look(lambda: Turn.select().where(Turn.status == "running").count())


async def _all_answered(stage: Stage, many: int) -> bool:
    return len({row.conversation_id for row in await _lines(stage, author="assistant")}) == many


async def test_two_starts_at_once_on_an_empty_database_set_it_up_once(database_url: str, tmp_path: Path) -> None:
    processes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        processes.append(HandoffProcess(tmp_path / name, database_url=database_url, demo=True))
    try:
        await asyncio.gather(*(process.start(STARTED) for process in processes))
        outputs = [process.output() for process in processes]
    finally:
        for process in processes:
            process.close()
    assert sorted(output.count("migrated") for output in outputs) == [0, max(output.count("migrated") for output in outputs)]
    assert sorted("password" in output for output in outputs) == [False, True]
    assert sorted("Sign in once" in output for output in outputs) == [False, True]
    async with stage_apart("", database_url) as stage:
        made = await stage.look(lambda: (Team.select().count(), User.select().count(), Member.select().count()))
        assert made == (2, 2, 2)  # the demo's, and the stage's own team
