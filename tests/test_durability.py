"""Acknowledged is durable (I3): what a person was told has been stored stays stored, whatever ends the process."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from handoff.models import Conversation, Message, Takeover
from tests.apart import STARTED, ask_until_lost, come_back, new_client_id, served_apart
from tests.cast import Agent, Customer, Stage
from tests.servers import PostgresqlServer
from tests.waiting import wait_until

CUSTOMERS, AGENTS, KILLS, ACKS_BETWEEN = 20, 3, 2, 120


@dataclass
class Promises:
    """Everything that Handoff told anybody, by ack or by fact."""

    lines: list[tuple[str, int, str, str]] = field(default_factory=list)  # conversation, number, client_id, text
    takeovers: list[tuple[str, str]] = field(default_factory=list)  # conversation, member
    heard: set[tuple[str, int, str]] = field(default_factory=set)  # conversation, number, text


@dataclass
class Load:
    """Customers and agents who write as fast as they are answered, and repeat what was not acknowledged."""

    stage: Stage
    promises: Promises = field(default_factory=Promises)
    over: bool = False

    async def customer(self, number: int) -> None:
        customer, line = None, 0
        client_id = new_client_id()
        while not self.over:
            if customer is None or not customer.socket.connected:
                customer = await self._customer_again(customer)
            if await self._said(customer, client_id, f"customer {number} line {line}"):
                line, client_id = line + 1, new_client_id()

    async def agent(self, agent: Agent, turn: int) -> None:
        line, client_id, mine = 0, new_client_id(), ""
        while not self.over:
            if not agent.socket.connected:
                agent = await self._agent_again(agent)
            mine = mine or await self._taken(agent, turn)
            if mine and await self._said(agent, client_id, f"{agent.name} line {line}", conversation_id=mine):
                line, client_id = line + 1, new_client_id()
                mine = mine if line % 20 else ""  # twenty lines, then another conversation

    async def _said(self, person: Customer | Agent, client_id: str, text: str, **where: str) -> bool:
        ack = await ask_until_lost(person, "post_message", client_id=client_id, text=text, **where)
        if ack is None or ack.get("error", {}).get("code") == "unavailable":
            return False
        message = ack["ok"]["message"]
        self.promises.lines.append((message["conversation_id"], message["number"], client_id, message["text"]))
        return True

    async def _taken(self, agent: Agent, turn: int) -> str:
        """Take over the next conversation that this agent has heard of; agents take different ones."""
        known = sorted({heard[0] for heard in self.promises.heard} - {taken[0] for taken in self.promises.takeovers})
        if turn >= len(known):
            await asyncio.sleep(0)
            return ""
        ack = await ask_until_lost(agent, "take_over", conversation_id=known[turn])
        if ack is None or "ok" not in ack:
            return ""
        self.promises.takeovers.append((known[turn], agent.member_id))
        return known[turn]

    async def _customer_again(self, former: Customer | None) -> Customer:
        customer = await come_back(lambda: self.stage.customer(former and former.token))
        customer.on_fact = self._hear
        return customer

    async def _agent_again(self, former: Agent) -> Agent:
        agent = await come_back(lambda: self.stage.second_socket(former))
        agent.on_fact = self._hear
        await ask_until_lost(agent, "watch", assistant_id=self.stage.assistant_id)
        return agent

    async def _hear(self, event: str, payload: Any) -> None:
        if event == "message_posted":
            message = payload["message"]
            self.promises.heard.add((message["conversation_id"], message["number"], message["text"]))


@pytest.fixture(params=["sqlite", "postgresql"])
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that syncs to the disk with every commit, as one that is in earnest does."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'handoff.db'}"
        return
    server = PostgresqlServer(fsync=True)
    try:
        yield server.start().url(server.create_database())
    finally:
        server.close()


@pytest.mark.slow
async def test_what_was_acknowledged_or_heard_before_each_kill_is_there_after_it(durable_url: str, tmp_path: Path) -> None:
    async with served_apart(durable_url, tmp_path, commands_per_10_seconds=100_000, lease_seconds=1) as (stage, process):
        load = Load(stage)
        agents = [await stage.member(f"Agent {number}") for number in range(AGENTS)]
        people = [
            *(asyncio.create_task(load.customer(number)) for number in range(CUSTOMERS)),
            *(asyncio.create_task(load.agent(agent, number)) for number, agent in enumerate(agents)),
        ]
        try:
            for _ in range(KILLS):
                await _much_is_said(load, people)
                process.kill()
                await process.start(STARTED)
            await _much_is_said(load, people)
        finally:
            load.over = True
            await asyncio.gather(*people)
        assert process.is_running
        process.kill()  # so that nothing moves while it is looked at
        await _compare(stage, load.promises)
        assert "command_failed" not in process.output()
        assert "lane_failed" not in process.output()


async def _much_is_said(load: Load, people: list[asyncio.Task[None]]) -> None:
    enough = len(load.promises.lines) + ACKS_BETWEEN
    await wait_until(
        lambda: len(load.promises.lines) >= enough or any(person.done() for person in people), 30, f"{ACKS_BETWEEN} more acks"
    )


async def _compare(stage: Stage, promises: Promises) -> None:
    rows = await stage.look(lambda: list(Message.select().order_by(Message.conversation, Message.number)))
    stored = {(row.conversation_id, row.number, row.client_id, row.text) for row in rows}
    assert set(promises.lines) - stored == set(), "acknowledged, and not there"
    assert len(promises.lines) == len(set(promises.lines)), "acknowledged twice"
    assert promises.heard - {(row.conversation_id, row.number, row.text) for row in rows} == set(), "heard, and not there"
    numbers: dict[str, list[int]] = {}
    for row in rows:
        numbers.setdefault(row.conversation_id, []).append(row.number)
    for held in numbers.values():
        assert held == list(range(1, len(held) + 1))
    assert {row.id: row.last_number for row in await _conversations(stage)} == {id: len(held) for id, held in numbers.items()}
    owners = {row.id: row.owner_id for row in await _conversations(stage)}
    takeovers = await stage.look(lambda: list(Takeover.select(Takeover.conversation, Takeover.member).tuples()))
    assert promises.takeovers, "nobody took over: the test tests nothing"
    for conversation_id, member_id in promises.takeovers:
        assert owners[conversation_id] == member_id
        assert takeovers.count((conversation_id, member_id)) == 1
    said_by_assistant_after = [row for row in rows if row.author == "assistant" and _was_taken(row, rows)]
    assert said_by_assistant_after == []


async def _conversations(stage: Stage) -> list[Conversation]:
    return await stage.look(lambda: list(Conversation.select().order_by(Conversation.id)))


def _was_taken(line: Message, rows: list[Message]) -> bool:
    """Whether an agent had spoken before `line` in its conversation (I2)."""
    return any(row.conversation_id == line.conversation_id and row.author == "agent" and row.number < line.number for row in rows)


async def test_neither_the_ack_nor_any_fact_comes_before_the_commit(stage: Stage) -> None:
    """The commit itself is held back, as by a slow disk: until it is through nobody may know of the line."""
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    let_go, held_back = threading.Event(), []
    peewee = stage.handoff.database.peewee
    commit = peewee.commit

    def commit_slowly() -> None:
        if Message.select().where(Message.text == "is this safe?").exists():
            held_back.append(1)
            let_go.wait(4)
        commit()

    peewee.commit = commit_slowly
    try:
        asking = asyncio.create_task(customer.write("is this safe?"))
        await wait_until(lambda: held_back, what="the commit begins")
        await ada.do("watch", assistant_id=stage.assistant_id)  # what was on its way before this ack has come by now
        assert not asking.done()
        assert all(payload["message"]["text"] != "is this safe?" for payload in ada.heard.named("message_posted"))
    finally:
        let_go.set()
        del peewee.commit
    assert (await asking)["text"] == "is this safe?"
    await ada.heard.wait_for("message_posted", lambda payload: payload["message"]["text"] == "is this safe?")
