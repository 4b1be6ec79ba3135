"""I2, often: takeovers at random points of running replies. `make test` runs 100 on each database, `make prove` 1,000.

Half of the writers are made deaf, as if the word of the takeover were lost on its way to their process: then nothing but the
statement keeps their words out. After each takeover a draft of the ended turn comes late, as it may from another process:
then nothing but the guard before the emit does.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from handoff.events import DraftChanged
from handoff.models import Customer as CustomerRow
from tests.cast import Agent, Customer, Stage
from tests.stubs import Call, ModelStub
from tests.waiting import wait_until

AT_ONCE = 10
PIECES, PAUSE = 10, 0.06
LONGEST = 1.1  # seconds from the question: a reply takes about one
CLOSED, CLOSED_DEAF = 1.0, 5.0  # seconds until the provider's connection is closed


@dataclass
class Met:
    """What became of one takeover."""

    point: str
    is_deaf: bool
    closed_after: float


class Talker:
    """A model that thinks and then says all at once, or talks at random paces, notes something in the middle and talks on."""

    def __init__(self, stub: ModelStub, chance: random.Random) -> None:
        self.stub = stub
        self.chance = chance

    async def __call__(self, call: Call) -> None:
        await call.head()
        is_second = call.json["messages"][-1]["role"] == "tool"
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.uniform(0, LONGEST))
            await call.send(self.stub.text("All at once.") + self.stub.over())
        else:
            await self._talk(call, is_second)
        await call.end()

    async def _talk(self, call: Call, is_second: bool) -> None:
        for number in range(PIECES // 2):
            await asyncio.sleep(self.chance.uniform(0, 2 * PAUSE))
            await call.send(self.stub.text(f"word{number} "))
        if is_second:
            await call.send(self.stub.over())
        else:
            noted = self.stub.note("need", "a lamp")
            await call.send(noted[:40])
            await asyncio.sleep(self.chance.uniform(0, 2 * PAUSE))
            await call.send(noted[40:] + self.stub.calls_over())


@pytest.fixture
async def stub() -> AsyncIterator[ModelStub]:
    async with ModelStub() as made:
        yield made


@pytest.mark.slow
async def test_takeovers_at_random_points_of_a_running_reply(open_stage, stub: ModelStub, request, record_property) -> None:
    many, seed = request.config.getoption("--takeovers"), request.config.getoption("--seed") or secrets.randbits(32)
    print(f"seed {seed}")
    record_property("seed", seed)
    stage: Stage = await open_stage(allow_private_addresses=True, commands_per_10_seconds=100_000)
    chance = random.Random(seed)
    stub.will(Talker(stub, random.Random(seed + 1)))
    await stage.set_assistant(**stub.settings())
    agents = await asyncio.gather(*(stage.watcher(f"Agent {number}") for number in range(AT_ONCE)))
    left = iter(range(many))
    met = [
        one
        for all_met in await asyncio.gather(*(_meet_all(stage, stub, agent, left, chance) for agent in agents))
        for one in all_met
    ]
    points = Counter(one.point for one in met)
    deaf, told = ([one.closed_after for one in met if one.is_deaf == is_deaf] for is_deaf in (True, False))
    print(
        f"{len(met)} takeovers, seed {seed}: {dict(points)}; connection closed after {max(told):.2f} s, unheard {max(deaf):.2f} s"
    )
    assert len(met) == many
    assert points["before the first word"] and points["between two words"], "too few points: this proves nothing"


async def _meet_all(stage: Stage, stub: ModelStub, agent: Agent, left, chance: random.Random) -> list[Met]:
    return [await _meet(stage, stub, agent, f"Question {number}: how long?", chance) for number in left]


async def _meet(stage: Stage, stub: ModelStub, agent: Agent, question: str, chance: random.Random) -> Met:
    customer = await stage.customer()
    agent.heard.facts.clear()
    moment, is_deaf = chance.uniform(0, LONGEST), chance.random() < 0.5
    asked_at = time.monotonic()
    await customer.write(question)
    await agent.do("open_conversation", conversation_id=customer.conversation_id)
    (turn,) = await stage.turns(customer.conversation_id)
    if is_deaf:
        stage.handoff.writers._tasks.pop(turn.id, None)
    await asyncio.sleep(max(0, asked_at + moment - time.monotonic()))  # nothing is waited for: this is the random point
    await agent.take_over(customer.conversation_id)
    taken_at = time.monotonic()
    stage.handoff.outbox.put_relayed(DraftChanged(turn.id, customer.conversation_id, "A draft that comes late"))
    await agent.write(customer.conversation_id, "An agent here")
    for person in (customer, agent):
        await person.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "An agent here")
    closed = [await call.is_closed() for call in stub.calls if question in call.body.decode()]
    closed_after = max([0.0, *(at - taken_at for at in closed)])
    assert closed_after < (CLOSED_DEAF if is_deaf else CLOSED)
    point = await _checked(stage, customer, agent)
    await customer.leave()
    stage.people.remove(customer)
    stub.calls[:] = [call for call in stub.calls if question not in call.body.decode()]
    return Met(point, is_deaf, closed_after)


async def _checked(stage: Stage, customer: Customer, agent: Agent) -> str:
    """Where in the reply the takeover fell; that nothing leaked is asserted."""
    id = customer.conversation_id
    await wait_until(lambda: _no_turn_runs(stage, id), 5)
    lines = await stage.messages(id)
    (takeover,) = await stage.takeovers(id)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    said = [line for line in lines if line.author == "assistant"]
    assert all(line.number <= takeover.after for line in said)
    assert len(said) <= 1
    drafts = [draft["text"] for draft in customer.heard.named("draft_changed")]
    kept = said[0].text if said else ""
    assert all(kept.startswith(draft.strip()) for draft in drafts), "the customer was shown what was not kept"
    assert not (said and said[0].interrupted) or drafts[-1] == kept
    _nothing_came_after(customer.heard.facts, "message_posted")
    _nothing_came_after([fact for fact in agent.heard.facts if _is_about(fact, id)], "conversation_taken_over")
    remembered = await stage.look(lambda: CustomerRow.get_by_id(_customer_of(lines)).remembered)
    changed = [payload for name, payload in agent.heard.facts if name == "conversation_changed" and _is_about((name, payload), id)]
    assert (remembered != "{}") == bool(changed)
    if not said:
        return "before the first word"
    return "between two words" if said[0].interrupted else "after the answer"


def _nothing_came_after(facts: list, event: str) -> None:
    names = [name for name, _ in facts]
    last = max(at for at, name in enumerate(names) if name == event)
    assert not {"draft_changed", "conversation_changed", "signal_raised"} & set(names[last:])


def _is_about(fact: tuple, conversation_id: str) -> bool:
    return fact[1].get("conversation_id") == conversation_id


def _customer_of(lines: list) -> str:
    return next(line.customer_id for line in lines if line.author == "customer")


async def _no_turn_runs(stage: Stage, conversation_id: str) -> bool:
    return all(turn.status != "running" for turn in await stage.turns(conversation_id))
