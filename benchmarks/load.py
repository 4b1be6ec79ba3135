"""Customers and agents who use a running Handoff for a while: for soak runs, and for killing it under load.

`python -m benchmarks.load --url http://127.0.0.1:8080 --database-url ... --seconds 60`

It makes a team of its own in that database; everything else goes over the sockets. Whoever loses the connection comes back and
repeats, with the same client_id, what was not acknowledged. In the end each acknowledged line must be in the database as it was
acknowledged, and every conversation numbered without a gap. Ends with status 1 if that is not so.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from benchmarks.ground import milliseconds
from tests.apart import ask_until_lost, come_back, new_client_id, stage_apart
from tests.cast import Agent, Customer, Person, Stage

QUESTIONS = ("How long does delivery take?", "Where is my parcel?", "May I talk to a person?", "Thank you, one more thing.")
KEPT = 50_000  # latencies, so that a long run does not grow
LINES_OF_AN_AGENT = 5


@dataclass
class Tally:
    seconds: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    promised: dict[str, dict[int, str]] = field(default_factory=dict)  # conversation to number to the text acknowledged

    @property
    def lines(self) -> int:
        return sum(map(len, self.promised.values()))

    def acknowledged(self, command: str, ack: dict[str, Any], seconds: float) -> None:
        self.codes[f"{command} {ack['error']['code'] if 'error' in ack else 'ok'}"] += 1
        if len(self.seconds) >= KEPT:
            self.seconds[random.randrange(KEPT)] = seconds
        else:
            self.seconds.append(seconds)


@dataclass
class Load:
    stage: Stage
    until: float
    pause: float
    tally: Tally = field(default_factory=Tally)
    open: dict[str, None] = field(default_factory=dict)  # conversations that an agent may take

    async def customer(self, customer: Customer) -> None:
        while monotonic() < self.until:
            line = await self._say(customer, random.choice(QUESTIONS))
            if line is not None:
                self.open[line["conversation_id"]] = None
            await self._think()

    async def agent(self, agent: Agent) -> None:
        while monotonic() < self.until:
            await self._think()
            mine = random.choice(list(self.open)) if self.open else None
            ack = mine and await self._ask(agent, "take_over", conversation_id=mine)
            if not ack or "error" in ack:
                continue
            self.open.pop(mine, None)
            for number in range(LINES_OF_AN_AGENT):
                await self._say(agent, f"This is line {number}.", conversation_id=mine)
                await self._think()
            await self._ask(agent, "close_conversation", conversation_id=mine, outcome_id=None, note="")

    async def _say(self, person: Person, text: str, **where: str) -> dict[str, Any] | None:
        """Send a line until it is answered; None when it was refused, or time is over."""
        sent = {"client_id": new_client_id(), "text": text, **where}
        while True:
            ack = await self._ask(person, "post_message", **sent)
            if ack is not None and "ok" in ack:
                line = ack["ok"]["message"]
                self.tally.promised.setdefault(line["conversation_id"], {})[line["number"]] = text
                return line
            if (ack is not None and ack["error"]["code"] not in ("unavailable", "rate_limited")) or monotonic() > self.until:
                return None
            await self._think()

    async def _ask(self, person: Person, command: str, **payload: Any) -> dict[str, Any] | None:
        """The ack, or None when the connection was lost; then they are back."""
        person.heard.facts.clear()  # nobody looks at them here
        began = monotonic()
        ack = await ask_until_lost(person, command, **payload) if person.socket.connected else None
        if ack is not None:
            self.tally.acknowledged(command, ack, monotonic() - began)
            return ack
        self.tally.lost += 1
        if not person.socket.connected:
            await come_back(lambda: self._enter(person), max(1.0, self.until - monotonic()))
        return None

    async def _enter(self, person: Person) -> bool:
        if isinstance(person, Customer):
            await person.arrive(self.stage.widget_key, person.token)
        elif isinstance(person, Agent):
            await person.sit_down()
            await person.ask("watch", assistant_id=self.stage.assistant_id)
        return True

    async def _think(self) -> None:
        await asyncio.sleep(random.uniform(0.5, 1.5) * self.pause)


async def main() -> int:
    options = arguments()
    async with stage_apart(options.url, options.database_url) as stage:
        customers = [await stage.customer() for _ in range(options.customers)]
        agents = [await stage.watcher(f"Agent {number}") for number in range(options.agents)]
        load = Load(stage, monotonic() + options.seconds, options.pause)
        people = [*(load.customer(customer) for customer in customers), *(load.agent(agent) for agent in agents)]
        await asyncio.gather(*map(_until_nobody_answers, people))
        missing = await broken_promises(load)
    print_result(options.seconds, load.tally, missing)
    return 1 if missing else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", type=on_loopback, required=True, help="where Handoff is served; loopback only")
    parser.add_argument("--database-url", required=True, help="its database")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--customers", type=int, default=20)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.5, help="mean seconds between two commands of one person")
    return parser.parse_args()


def on_loopback(url: str) -> str:
    """This is a load generator: it must not be pointed at somebody else's machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        if host == "localhost" or ip_address(host).is_loopback:
            return url.rstrip("/")
    raise argparse.ArgumentTypeError(f"{host or url} is not a loopback address")


async def _until_nobody_answers(person: Coroutine[Any, Any, None]) -> None:
    """Whoever cannot come back before the time is over goes home."""
    with suppress(AssertionError):
        await person


async def broken_promises(load: Load) -> list[str]:
    """What was acknowledged and is not stored, or not as it was acknowledged, or has a gap before it."""
    broken = []
    for conversation_id, promised in load.tally.promised.items():
        stored = {line.number: line.text for line in await load.stage.messages(conversation_id)}
        if sorted(stored) != [*range(1, len(stored) + 1)]:
            broken.append(f"{conversation_id}: the numbers are not 1 to {len(stored)}")
        lost = [number for number, text in promised.items() if stored.get(number) != text]
        broken += [f"{conversation_id}: line {number} is lost" for number in lost]
    return broken


def print_result(seconds: float, tally: Tally, missing: list[str]) -> None:
    print(json.dumps({"commands": dict(sorted(tally.codes.items())), "a_second": round(sum(tally.codes.values()) / seconds, 1)}))
    print(f"ack p50 / p99 ms: {milliseconds(tally.seconds) if tally.seconds else '-'}; connections lost: {tally.lost}")
    print(f"{tally.lines} lines acknowledged, {len(missing)} broken promises", *missing[:20], sep="\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
