"""How long a takeover takes while assistants write: from the command to its ack, and to the other watcher's screen.

The reference is the same server with no assistant writing, in the same run. Then fifty agents take over at once, each a
conversation of their own, and all the same one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from benchmarks.ground import arguments, databases, folder, in_turns, milliseconds, print_table, ratio
from handoff.clock import new_id
from handoff.models import Conversation, Entry, Message, Widget
from handoff.models import Customer as CustomerRow
from tests.apart import served_apart
from tests.cast import Agent, Customer, Stage
from tests.waiting import wait_until

WRITING = (0, 10, 50)
QUESTION = "How long does delivery take?"
ANSWER = "Delivery takes five working days, and here is everything that happens to a parcel on each one of them. " * 12
PATIENCE = 20.0


@dataclass
class Round:
    acks: list[float] = field(default_factory=list)
    facts: list[float] = field(default_factory=list)
    at_once: list[float] = field(default_factory=list)
    same_one: list[float] = field(default_factory=list)
    unavailable: int = 0


class Watcher:
    """Notes when an agent hears of each takeover."""

    def __init__(self, agent: Agent) -> None:
        self.heard_at: dict[str, float] = {}
        agent.on_fact = self.hear

    async def hear(self, event: str, payload: dict) -> None:
        if event == "conversation_taken_over":
            self.heard_at[payload["conversation_id"]] = monotonic()

    async def heard(self, conversation_id: str) -> float:
        await wait_until(lambda: conversation_id in self.heard_at, PATIENCE, "the watcher hears of the takeover")
        return self.heard_at[conversation_id]


async def main() -> None:
    options = arguments(__doc__, rounds=3, takeovers=10, agents=50)
    rows = []
    for name, url in databases(options.database_url):
        # Ten words a second: every writer has something new to write five times a second, for as long as we measure.
        settings = {"words_per_second": 10, "log_level": "warning", "commands_per_10_seconds": 100_000}
        with folder() as path:
            async with served_apart(url, path, **settings) as (stage, _):
                rows += await compared(stage, name, options)
    head = [
        "database",
        "assistants",
        "ack",
        "ack p50 / p99 ms",
        "watcher's fact",
        "agents at once",
        "all for the same one",
        "unavailable",
    ]
    print_table(f"A takeover while assistants write, as ratio to an idle server; {options.agents} agents at once", head, rows)


async def compared(stage: Stage, name: str, options) -> list[list[str]]:
    await stage.make(lambda: Entry.update(answer=ANSWER).execute())
    watcher = Watcher(await stage.watcher("Ben"))
    agents = [await stage.agent(f"Agent {number}") for number in range(options.agents)]

    async def measure(arm: str) -> Round:
        async with assistants_writing(stage, int(arm)):
            return await take_over(stage, agents, watcher, options.takeovers)

    rounds = await in_turns(options.rounds, measure, [str(count) for count in WRITING])
    return [row(name, str(count), rounds) for count in WRITING]


@asynccontextmanager
async def assistants_writing(stage: Stage, count: int) -> AsyncIterator[None]:
    """So many customers are being answered; in the end they go and their turns are cut short."""
    asking = [await stage.customer() for _ in range(count)]
    try:
        await asyncio.gather(*(customer.write(QUESTION) for customer in asking))
        await asyncio.gather(*(customer.heard.wait_for("draft_changed") for customer in asking))
        yield
        assert not any(finished(customer) for customer in asking), "an answer ended before the measurement did"
    finally:
        await asyncio.gather(*(customer.ask("end_conversation") for customer in asking))
        await asyncio.gather(*(customer.leave() for customer in asking))
        stage.people = [person for person in stage.people if person not in asking]


def finished(customer: Customer) -> bool:
    return any(fact["message"]["author"] == "assistant" for fact in customer.heard.named("message_posted"))


async def take_over(stage: Stage, agents: list[Agent], watcher: Watcher, count: int) -> Round:
    measured = Round()

    async def taken(agent: Agent, conversation_id: str) -> float:
        """Seconds to the ack; whoever comes too late is told who was first."""
        began = monotonic()
        ack = await agent.ask("take_over", conversation_id=conversation_id)
        seconds = monotonic() - began
        code = ack.get("error", {}).get("code")
        assert code in (None, "already_taken", "unavailable"), ack
        measured.unavailable += code == "unavailable"
        return seconds

    for conversation_id in await waiting_conversations(stage, count):
        began = monotonic()
        measured.acks.append(await taken(agents[0], conversation_id))
        measured.facts.append(await watcher.heard(conversation_id) - began)
    own = await waiting_conversations(stage, len(agents))
    measured.at_once = await asyncio.gather(*(taken(agent, id) for agent, id in zip(agents, own, strict=True)))
    (same,) = await waiting_conversations(stage, 1)
    measured.same_one = await asyncio.gather(*(taken(agent, same) for agent in agents))
    return measured


async def waiting_conversations(stage: Stage, count: int) -> list[str]:
    """Conversations whose customer has written and whom nobody answers yet."""

    def open_all() -> list[str]:
        return [open_one(stage) for _ in range(count)]

    return await stage.make(open_all)


def open_one(stage: Stage) -> str:
    widget = Widget.get(Widget.key == stage.widget_key)
    customer = CustomerRow.create(widget=widget)
    conversation = Conversation.create(
        team=stage.team_id, assistant=stage.assistant_id, widget=widget, customer=customer, version=2, last_number=1
    )
    Message.create(conversation=conversation, number=1, author="customer", text=QUESTION, customer=customer, client_id=new_id())
    return conversation.id


def row(name: str, arm: str, rounds: list[dict[str, Round]]) -> list[str]:
    def against_idle(kind: str) -> str:
        if arm == "0":
            return f"1 ({milliseconds([value for each in rounds for value in getattr(each['0'], kind)])} ms)"
        return ratio([(median(getattr(each[arm], kind)), median(getattr(each["0"], kind))) for each in rounds])

    acks = milliseconds([value for each in rounds for value in each[arm].acks])
    unavailable = str(sum(each[arm].unavailable for each in rounds))
    return [name, arm, against_idle("acks"), acks, *map(against_idle, ("facts", "at_once", "same_one")), unavailable]


if __name__ == "__main__":
    asyncio.run(main())
