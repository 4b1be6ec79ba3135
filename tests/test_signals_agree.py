"""Whatever happens, in whatever order: the signals in the database, in the list, in the badge and on open consoles are the same."""

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handoff.assistants import NeedsHuman
from handoff.database import Happened
from handoff.models import NEVER, Conversation, Seat, Signal
from tests.cast import Agent, Customer, Stage
from tests.servers import ROOT
from tests.waiting import wait_until

STEPS = 45  # each of three things at once
SAID = (
    "ok",
    "How long does delivery take?",
    "how long does the delivery take",
    "I'm cancelling",
    "can I talk to a human",
    "I want a refund and I want it now",
)
TOLD_OF_LATER = ("typing_changed", "draft_changed", "draft_withdrawn", "seats_changed", "members_changed")


class Company:
    """Customers and agents who do things at random."""

    def __init__(self, stage: Stage, held: Any, chance: random.Random) -> None:
        self.stage, self.held, self.chance = stage, held, chance
        self.customers: list[Customer] = []
        self.agents: list[Agent] = []

    async def arrive(self) -> None:
        self.customers = [await self.stage.customer() for _ in range(6)]
        self.agents = [await self.stage.agent(name) for name in ("Cy", "Di", "Ed")]

    async def step(self) -> None:
        deeds = [self._writes] * 6 + [self._asks, self._ends, self._takes, self._answers, self._closes, self._closes]
        deeds += [self._says, self._says, self._fails, self._sweeps, self._sweeps]
        if self.chance.random() < 0.1:
            await self._loses()
        await asyncio.gather(*(deed() for deed in self.chance.choices(deeds, k=3)))

    def _conversation_id(self) -> str:
        return self.chance.choice(self.customers).conversation_id or "nobody"

    async def _writes(self) -> None:
        await self.chance.choice(self.customers).write(self.chance.choice(SAID))

    async def _asks(self) -> None:
        await self.chance.choice(self.customers).do("request_human")

    async def _ends(self) -> None:
        if self.chance.random() < 0.3:
            await self.chance.choice(self.customers).do("end_conversation")

    async def _takes(self) -> None:
        if self.chance.random() < 0.6:
            await self.chance.choice(self.agents).ask("take_over", conversation_id=self._conversation_id())

    async def _answers(self) -> None:
        id = self._conversation_id()
        conversation = await self.stage.look(lambda: Conversation.get_or_none(Conversation.id == id))
        owner = next((agent for agent in self.agents if conversation and agent.member_id == conversation.owner_id), None)
        if owner:
            await owner.ask("post_message", conversation_id=id, client_id=f"c{self.chance.random()}", text="an agent's line")

    async def _closes(self) -> None:
        agent, id = self.chance.choice(self.agents), self._conversation_id()
        await agent.ask("close_conversation", conversation_id=id, outcome_id=None, note="")

    async def _loses(self) -> None:
        """An agent's seat is suspended, or given back; their page comes back after it."""
        at = self.chance.randrange(len(self.agents))
        agent, status = self.agents[at], self.chance.choice(("held", "suspended"))
        await agent.socket.disconnect()
        await self.stage.make(lambda: Seat.update(status=status).where(Seat.member == agent.member_id).execute())
        self.agents[at] = await self.stage.second_socket(agent)

    async def _says(self) -> None:
        pieces = self.chance.choice((["An answer."], [NeedsHuman("no_answer", "Nothing."), "Hm."], ["Half an "]))
        self.held.say(*pieces)
        if pieces != ["Half an "]:
            self.held.finish()

    async def _fails(self) -> None:
        if self.chance.random() < 0.5:
            self.held.say(RuntimeError("the model is away"))

    async def _sweeps(self) -> None:
        await asyncio.gather(*(self.stage.handoff.sweeper.raise_waiting() for _ in range(2)))


@pytest.mark.parametrize("seed", [1, 2, 3, None])
async def test_everybody_knows_of_the_same_signals(open_stage: Callable[..., Any], seed: int | None, tmp_path: Path) -> None:
    seed = random.randrange(10**6) if seed is None else seed
    print(f"seed {seed}")
    stage: Stage = await open_stage(sweep_seconds=1_000)
    held = await stage.hold_assistant()
    # Every unanswered line has waited too long at once: what raises it and what settles it meet as often as can be.
    await stage.set_assistant(phrases=json.dumps(["cancel*", "refund"]), waiting_seconds=0)
    ada, ben = await stage.agent("Ada"), await stage.agent("Ben")
    pages = [await agent.do("watch", assistant_id=stage.assistant_id) for agent in (ada, ben)]
    company = Company(stage, held, random.Random(seed))
    await company.arrive()
    for _ in range(STEPS):
        await company.step()
    await stage.handoff.writers.stop()  # nothing is to move while it is looked at
    for customer in company.customers:
        await stage.handoff.database.write(customer.conversation_id, lambda: Happened(None))  # behind what still waits there
    await wait_until(lambda: _all_told(stage, (ada, ben)), what="both consoles heard everything")

    kept = await stage.look(_kept)
    raised = await stage.look(lambda: {signal.kind for signal in Signal.select()})
    assert len(raised) >= 4, "the run was too dull to prove anything"
    listed = await ada.do("watch", assistant_id=stage.assistant_id)
    assert {row["id"]: _told(row) for row in listed["conversations"]} == kept
    needing = sum(bool(standing) for standing, _ in kept.values())
    assert listed["counts"]["needs_human"] == needing
    filtered = await ada.do("watch", assistant_id=stage.assistant_id, filter="needs_human")
    assert [row["id"] for row in filtered["conversations"]] == [row["id"] for row in listed["conversations"]][:needing]
    for agent, page in zip((ada, ben), pages, strict=True):
        console = await _console(tmp_path, agent, page)
        assert console["gaps"] == 0
        assert {row["id"]: _told(row) for row in console["rows"]} == kept
        assert console["counts"]["needs_human"] == console["needing"] == needing
        assert [row["id"] for row in console["rows"]][:needing] == [row["id"] for row in listed["conversations"]][:needing]


async def _all_told(stage: Stage, agents: tuple[Agent, ...]) -> bool:
    versions = await stage.look(lambda: dict(Conversation.select(Conversation.id, Conversation.version).tuples()))
    for agent in agents:
        heard = {fact["conversation_id"]: fact["version"] for name, fact in agent.heard.facts if name not in TOLD_OF_LATER}
        if heard != versions:
            return False
    return True


def _kept() -> dict[str, tuple[list[str], int | None]]:
    """Of each active conversation the ids of what stands and since when; of a closed one nothing may stand."""
    found: dict[str, tuple[list[str], int | None]] = {}
    for conversation in Conversation.select():
        rows = list(Signal.select().where(Signal.conversation == conversation.id, Signal.cleared_at.is_null()))
        assert len({signal.kind for signal in rows}) == len(rows)
        assert conversation.needed_since == min((signal.raised_at for signal in rows), default=NEVER)
        if conversation.status == "closed":
            assert rows == []
        else:
            assert conversation.owner_id is None or {signal.kind for signal in rows} <= {"waiting"}
            since = None if conversation.needed_since == NEVER else conversation.needed_since
            found[conversation.id] = sorted(signal.id for signal in rows), since
    return found


def _told(row: dict[str, Any]) -> tuple[list[str], int | None]:
    return sorted(signal["id"] for signal in row["signals"]), row["needed_since"]


async def _console(folder: Path, agent: Agent, page: dict[str, Any]) -> dict[str, Any]:
    """What the console's own script makes of the facts that this agent heard."""
    modules = folder / "console"
    if not modules.exists():
        shutil.copytree(ROOT / "static" / "js" / "console", modules)
        (folder / "package.json").write_text('{"type": "module"}')
    facts = [(name, fact) for name, fact in agent.heard.facts if name not in TOLD_OF_LATER]
    command = ("node", str(ROOT / "tests" / "javascript" / "fold.mjs"), str(modules / "watched.js"))
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    told = json.dumps({"me": agent.member_id, "page": page, "facts": facts}).encode()
    async with asyncio.timeout(60):
        output, errors = await node.communicate(told)
    assert node.returncode == 0, errors.decode()
    return json.loads(output)
