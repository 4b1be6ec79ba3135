"""Handoff on an empty database, as its operator starts it for the first time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web

from app import Handoff, prepare
from handoff.settings import Settings
from tests.servers import LOOPBACK, SECRET_KEY, free_port


@dataclass
class Fresh:
    """A first start, with the lines that it printed."""

    handoff: Handoff
    url: str
    lines: list[str]

    @property
    def path(self) -> str:
        (link,) = [word for line in self.lines for word in line.split() if "/setup/" in word]
        return link.removeprefix(self.url)

    async def look(self, query):
        return await self.handoff.database.read(query)


Start = Callable[..., Awaitable[Fresh]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    started: list[tuple[Fresh, web.AppRunner]] = []

    async def start(**more: object) -> Fresh:
        port = free_port()
        settings = Settings(_env_file=None, host=LOOPBACK, port=port, secret_key=SECRET_KEY, database_url=database_url, **more)
        lines = prepare(settings)
        handoff = Handoff(settings)
        await handoff.start()
        runner = handoff.runner()
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, port).start()
        started.append((Fresh(handoff, f"http://{LOOPBACK}:{port}", lines), runner))
        return started[-1][0]

    yield start
    for fresh, runner in started:
        await fresh.handoff.stop()
        await runner.cleanup()
