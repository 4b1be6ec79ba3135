"""What every benchmark stands on: the two databases, arms that take turns, and a table of ratios.

Figures from a shared machine say nothing by themselves. Each arm of a benchmark is measured in the same run as the one it is
compared with, in turns (A B, B A, ...), and what counts is the median of the rounds' ratios.
"""

import argparse
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from tests.servers import PostgresqlServer

Figure = TypeVar("Figure")


def arguments(words: str, **defaults: int | float) -> argparse.Namespace:
    """The command line of a benchmark: `--database-url` and numbers by their names."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--database-url", help="an empty database; without it SQLite and a PostgreSQL server of its own")
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="handoff-benchmark-") as path:
        yield Path(path)


def databases(given: str | None) -> Iterator[tuple[str, str]]:
    """Name and URL of each database to measure on, empty and with fsync on."""
    if given:
        yield given.split(":")[0], given
        return
    with folder() as path:
        yield "sqlite", f"sqlite:///{path / 'handoff.db'}"
    server = PostgresqlServer(fsync=True)
    try:
        server.start()
        yield "postgresql", server.url(server.create_database())
    finally:
        server.close()


async def in_turns(rounds: int, measure: Callable[[str], Awaitable[Figure]], arms: Sequence[str]) -> list[dict[str, Figure]]:
    """Each round measures every arm once, every other round backwards: what changes on the machine meanwhile hits all."""
    measured = []
    for number in range(rounds):
        order = arms if number % 2 == 0 else list(reversed(arms))
        measured.append({arm: await measure(arm) for arm in order})
    return measured


def ratio(figures: Sequence[tuple[float, float]]) -> str:
    """The median of the rounds' ratios, with the least and the greatest of them."""
    ratios = [figure / reference for figure, reference in figures]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def percentile(values: Sequence[float], hundredth: int) -> float:
    return quantiles(values, n=100, method="inclusive")[hundredth - 1] if len(values) > 1 else values[0]


def milliseconds(values: Sequence[float]) -> str:
    """p50 and p99 of seconds."""
    return f"{percentile(values, 50) * 1000:.1f} / {percentile(values, 99) * 1000:.1f}"


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    print(f"\n{title}", lines[0], "-" * len(lines[0]), *lines[1:], sep="\n", flush=True)
