"""Whoever comes back gets exactly what they missed, once and in order (I6), and may repeat what was not acknowledged (I4)."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from handoff.models import Message
from tests.apart import STARTED, ask_until_lost, come_back, new_client_id
from tests.cast import Agent, Customer, Person, Stage
from tests.network import Relay
from tests.servers import HandoffProcess
from tests.waiting import wait_until

CUTS = 100
OpenStage = Callable[..., Awaitable[Stage]]


class Follower:
    """Holds a conversation as the protocol asks of a client: the next line is taken, an older one ignored, and a gap fetched."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.gaps = 0
        self.person: Person | None = None
        self._taking = asyncio.Lock()

    @property
    def last(self) -> int:
        return self.lines[-1]["number"] if self.lines else 0

    async def enter(self, person: Person) -> None:
        """Follow over this connection from now on."""
        self.person = person
        person.on_fact = self._hear
        async with self._taking:
            await self._fetch()

    async def _hear(self, event: str, payload: Any) -> None:
        if event != "message_posted":
            return
        async with self._taking:  # what comes while something is being fetched waits until that is there
            if payload["message"]["number"] > self.last + 1:
                self.gaps += 1
                await self._fetch()
            self._take(payload["message"])

    async def _fetch(self) -> None:
        more, person = True, self.person
        while more and person is self.person and person is not None:
            page = await self._page(person)
            for message in page["messages"] if page else ():
                self._take(message)
            more = bool(page and page["more"])

    def _take(self, message: dict[str, Any]) -> None:
        if message["number"] == self.last + 1:
            self.lines.append(message)

    async def _page(self, person: Person) -> dict[str, Any] | None:
        raise NotImplementedError


class CustomersTab(Follower):
    async def _page(self, person: Person) -> dict[str, Any] | None:
        ack = await ask_until_lost(person, "catch_up", after=self.last)
        return ack and ack["ok"]


class OpenedByAgent(Follower):
    """An agent's view of one conversation; its facts carry versions beside the numbers."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__()
        self.conversation_id = conversation_id

    async def _page(self, person: Person) -> dict[str, Any] | None:
        ack = await ask_until_lost(person, "open_conversation", conversation_id=self.conversation_id, after=self.last)
        return ack and ack["ok"]


@asynccontextmanager
async def _relayed(stage: Stage) -> AsyncIterator[Relay]:
    async with Relay(int(stage.url.rsplit(":", 1)[1])) as relay:
        yield relay


async def _cut_and_return(relay: Relay, follower: Follower, enter: Callable[[], Awaitable[Person]], rounds: list[Any]) -> None:
    """Cut the follower off once per round, at a moment that differs, while the round's lines are being written.

    After each round, with nothing more on its way that could show a gap, the follower must hold all that there is.
    """
    moments = random.Random(7)
    for say in rounds:
        saying = asyncio.create_task(say())
        before = follower.last
        match moments.randrange(3):
            case 0:
                await wait_until(lambda: follower.last > before or saying.done())  # noqa: B023
            case 1:
                await asyncio.wait({saying}, timeout=moments.uniform(0, 0.02))
        await relay.cut()
        await follower.enter(await come_back(enter))
        last = await saying
        await wait_until(lambda: follower.last >= last, 10, f"line {last} comes")  # noqa: B023


async def _held_all(stage: Stage, follower: Follower) -> None:
    rows = await stage.messages(follower.lines[0]["conversation_id"])
    assert [line["number"] for line in follower.lines] == list(range(1, len(rows) + 1))
    assert [line["text"] for line in follower.lines] == [row.text for row in rows]


@pytest.mark.slow
async def test_a_customer_who_is_cut_off_a_hundred_times_misses_nothing(open_stage: OpenStage) -> None:
    stage = await open_stage(words_per_second=2000)
    tab, ada = await stage.customer(), await stage.agent("Ada")
    await tab.write("hello")
    id = tab.conversation_id

    async def ask_assistant() -> int:
        number = (await tab.write("how long does delivery take?"))["number"]
        answer = lambda fact: fact["message"]["author"] == "assistant" and fact["message"]["number"] > number  # noqa: E731
        return (await tab.heard.wait_for("message_posted", answer))["message"]["number"]

    async def agent_writes() -> int:
        return [await ada.write(id, f"line {count}") for count in range(3)][-1]["number"]

    async with _relayed(stage) as relay:
        follower = CustomersTab()

        async def enter() -> Customer:
            customer = Customer(relay.url)
            stage.people.append(customer)
            return await customer.arrive(stage.widget_key, tab.token)

        await follower.enter(await enter())
        await _cut_and_return(relay, follower, enter, [ask_assistant] * (CUTS // 2))
        await ada.take_over(id)
        await _cut_and_return(relay, follower, enter, [agent_writes] * (CUTS // 2))
        await _held_all(stage, follower)
        assert {line["author"] for line in follower.lines} == {"customer", "assistant"}


@pytest.mark.slow
async def test_a_watching_agent_who_is_cut_off_a_hundred_times_misses_nothing(open_stage: OpenStage) -> None:
    stage = await open_stage(words_per_second=2000)
    customer, ada = await stage.customer(), await stage.member("Ada")
    await customer.write("hello")

    async def talk() -> int:
        number = (await customer.write("and how long does delivery take?"))["number"]
        answer = lambda fact: fact["message"]["author"] == "assistant" and fact["message"]["number"] > number  # noqa: E731
        return (await customer.heard.wait_for("message_posted", answer))["message"]["number"]

    async with _relayed(stage) as relay:
        follower = OpenedByAgent(customer.conversation_id)

        async def enter() -> Agent:
            agent = Agent(relay.url)
            agent.cookie = ada.cookie
            stage.people.append(agent)
            await agent.sit_down()
            await ask_until_lost(agent, "watch", assistant_id=stage.assistant_id)
            return agent

        await follower.enter(await enter())
        await _cut_and_return(relay, follower, enter, [talk] * CUTS)
        await _held_all(stage, follower)


async def test_live_lines_and_caught_up_ones_overlap_and_never_leave_a_hole(open_stage: OpenStage) -> None:
    """A tab that connects while lines are being posted: what it catches up and what it hears afterwards cover everything,
    so with nothing more to come it holds all, without ever having seen a gap."""
    stage = await open_stage()
    tab, ada = await stage.customer(), await stage.agent("Ada")
    await tab.write("hello")
    await ada.take_over(tab.conversation_id)
    for _ in range(20):
        writing = asyncio.gather(*(tab.write(f"line {number}") for number in range(10)))
        follower = CustomersTab()
        await follower.enter(await stage.customer(tab.token))
        last = max(message["number"] for message in await writing)
        await wait_until(lambda: follower.last == last, 10, f"line {last} comes")  # noqa: B023
        await _held_all(stage, follower)
        assert follower.gaps == 0


def _freeze_at_the_commit_of(stage: Stage, text: str, relay: Relay) -> None:
    """The network stops in the moment in which that line is stored: its ack cannot arrive any more."""
    peewee, loop = stage.handoff.database.peewee, asyncio.get_running_loop()
    commit = peewee.commit

    async def freeze() -> None:
        relay.freeze()

    def freeze_first() -> None:
        if Message.select().where(Message.text == text).exists():
            del peewee.commit
            asyncio.run_coroutine_threadsafe(freeze(), loop).result(5)
        commit()

    peewee.commit = freeze_first


async def _is_stored(stage: Stage, text: str) -> bool:
    return await stage.look(lambda: Message.select().where(Message.text == text).exists())


async def test_a_customer_whose_ack_was_lost_repeats_and_is_stored_once(stage: Stage) -> None:
    tab = await stage.customer()
    await tab.write("hello")
    async with _relayed(stage) as relay:
        customer = Customer(relay.url)
        await customer.arrive(stage.widget_key, tab.token)
        _freeze_at_the_commit_of(stage, "did you get this?", relay)
        sending = asyncio.create_task(ask_until_lost(customer, "post_message", client_id="c1", text="did you get this?"))
        await wait_until(lambda: _is_stored(stage, "did you get this?"))
        await relay.cut()
        relay.resume()
        assert await sending is None
        again = await customer_repeats(stage, tab, "c1", "did you get this?")
        and_again = await customer_repeats(stage, tab, "c1", "did you get this?")
    assert again == and_again
    said = [row for row in await stage.messages(tab.conversation_id) if row.client_id == "c1"]
    assert [(row.number, row.text) for row in said] == [(again["number"], "did you get this?")]


async def customer_repeats(stage: Stage, tab: Customer, client_id: str, text: str) -> dict[str, Any]:
    """On a connection of its own."""
    return await (await stage.customer(tab.token)).write(text, client_id)


async def test_an_agent_whose_ack_was_lost_repeats_and_is_stored_once(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.member("Ada")
    await customer.write("hello")
    async with _relayed(stage) as relay:
        agent = Agent(relay.url)
        agent.cookie = ada.cookie
        await agent.sit_down()
        await agent.take_over(customer.conversation_id)
        _freeze_at_the_commit_of(stage, "Ada here", relay)
        here = {"conversation_id": customer.conversation_id, "client_id": "a1", "text": "Ada here"}
        sending = asyncio.create_task(ask_until_lost(agent, "post_message", **here))
        await wait_until(lambda: _is_stored(stage, "Ada here"))
        await relay.cut()
        relay.resume()
        assert await sending is None
    agent = await stage.second_socket(ada)
    again = (await agent.do("post_message", **here))["message"]
    assert again["client_id"] == "a1"
    await agent.do("close_conversation", conversation_id=customer.conversation_id, outcome_id=None, note="")
    assert (await agent.do("post_message", **here))["message"] == again
    said = [row for row in await stage.messages(customer.conversation_id) if row.author == "agent"]
    assert [row.number for row in said] == [again["number"]]


async def test_a_line_that_never_arrived_is_stored_by_its_repeat(stage: Stage) -> None:
    tab = await stage.customer()
    await tab.write("hello")
    async with _relayed(stage) as relay:
        customer = Customer(relay.url)
        await customer.arrive(stage.widget_key, tab.token)
        relay.freeze()
        sending = asyncio.create_task(ask_until_lost(customer, "post_message", client_id="c1", text="lost on its way"))
        await asyncio.sleep(0)
        await relay.cut()
        assert await sending is None
    assert (await customer_repeats(stage, tab, "c1", "lost on its way"))["text"] == "lost on its way"
    said = [row for row in await stage.messages(tab.conversation_id) if row.client_id == "c1"]
    assert len(said) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_same_send_on_two_processes_at_once_is_one_line(stage: Stage, database_url: str, tmp_path: Path) -> None:
    process = HandoffProcess(tmp_path, database_url=database_url)
    try:
        await _send_on_two(stage, await process.start(STARTED))
    finally:
        await asyncio.gather(*(person.leave() for person in stage.people))
        process.close()


async def _send_on_two(stage: Stage, process: HandoffProcess) -> None:
    here = await stage.customer()
    there = Customer(process.url)
    stage.people.append(there)
    await there.arrive(stage.widget_key, here.token)
    lines = []
    for number in range(20):
        repeated = {"client_id": new_client_id(), "text": f"line {number}"}
        tabs = (here, there, here, there)
        acks = [ack["message"] for ack in await asyncio.gather(*(tab.do("post_message", **repeated) for tab in tabs))]
        assert acks == [acks[0]] * len(tabs)
        lines.append((repeated["client_id"], acks[0]["number"]))
    stored = await stage.messages(acks[0]["conversation_id"])
    assert [(row.client_id, row.number) for row in stored if row.author == "customer"] == lines
    assert [row.number for row in stored] == list(range(1, len(stored) + 1))
