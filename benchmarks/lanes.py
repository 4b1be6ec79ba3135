"""What batches bring: customers' lines a second through a lane, in batches and one by one, behind the same call.

The plain lane is the same Database with `batch_length=1`: one commit, and one fsync, for each line.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from statistics import median
from time import monotonic, process_time

from benchmarks.ground import arguments, databases, in_turns, milliseconds, print_table, ratio
from handoff import customers
from handoff.clock import new_id
from handoff.database import BATCH_LENGTH, Database
from handoff.identity import CustomerToken
from handoff.models import Widget
from tests.apart import stage_apart

WRITERS = (1, 8, 64)
LINE = "Hello, my order 10482 has not come yet. Could you tell me where it is?"
ARMS = {"plain lane": 1, "batches": BATCH_LENGTH}


@dataclass
class Round:
    seconds: float = 0.0
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_a_line(self) -> float:
        """Of this process, which is the lanes and the writers; steadier than anything by the clock."""
        return self.cpu / len(self.latencies)


async def main() -> None:
    options = arguments(__doc__, rounds=4, seconds=0.8)
    rows = []
    for name, url in databases(options.database_url):
        async with stage_apart("", url) as stage:
            database = stage.handoff.database
            widget_id = await stage.look(lambda: Widget.select(Widget.id).scalar())
            for count in WRITERS:
                rows += await compared(database, name, [CustomerToken(new_id(), widget_id) for _ in range(count)], options)
    head = ["database", "writers", "lane", "lines a second", "ratio to plain", "p50 / p99 ms", "CPU ratio to plain"]
    print_table("Customers' lines, each writer in a conversation of their own, fsync on", head, rows)


async def compared(database: Database, name: str, writers: list[CustomerToken], options) -> list[list[str]]:
    await asyncio.gather(*(post(database, writer) for writer in writers))  # opens the conversations

    async def measure(arm: str) -> Round:
        database.batch_length = ARMS[arm]
        return await write_for(options.seconds, database, writers)

    rounds = await in_turns(options.rounds, measure, list(ARMS))
    return [row(name, len(writers), arm, rounds) for arm in ARMS]


def row(name: str, writers: int, arm: str, rounds: list[dict[str, Round]]) -> list[str]:
    speed = f"{median(measured[arm].a_second for measured in rounds):.0f}"
    latencies = [latency for measured in rounds for latency in measured[arm].latencies]
    if arm == "plain lane":
        return [name, str(writers), arm, speed, "1", milliseconds(latencies), "1"]
    faster = ratio([(measured[arm].a_second, measured["plain lane"].a_second) for measured in rounds])
    dearer = ratio([(measured[arm].cpu_a_line, measured["plain lane"].cpu_a_line) for measured in rounds])
    return [name, str(writers), arm, speed, faster, milliseconds(latencies), dearer]


async def write_for(seconds: float, database: Database, writers: list[CustomerToken]) -> Round:
    measured, began, cpu = Round(), monotonic(), process_time()

    async def write(writer: CustomerToken) -> None:
        while monotonic() < began + seconds:
            sent = monotonic()
            await post(database, writer)
            measured.latencies.append(monotonic() - sent)

    await asyncio.gather(*(write(writer) for writer in writers))
    measured.seconds, measured.cpu = monotonic() - began, process_time() - cpu
    return measured


async def post(database: Database, writer: CustomerToken) -> None:
    await database.write(writer.customer_id, customers.post_message, writer, secrets.token_hex(8), LINE, "benchmark")


if __name__ == "__main__":
    asyncio.run(main())
