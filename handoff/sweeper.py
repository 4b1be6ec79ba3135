"""What nobody asks for but must happen: conversations age out (I11), turns that nobody writes are taken up (I12),
customers whom nobody answers are pointed out."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from handoff import conversations, signals, teams, turns
from handoff.database import Database
from handoff.errors import Refused

log = structlog.get_logger()


class Sweeper:
    def __init__(self, database: Database, process: str, pause: float) -> None:
        self._database = database
        self._process = process
        self._pause = pause

    async def run(self) -> None:
        """Sweep for ever. Several processes may: every change is conditional on what was seen."""
        while True:
            for sweep in (self.age_out, self.take_up, self.raise_waiting, self.close_left_open):
                await self._tried(sweep)
            await asyncio.sleep(self._pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that processes do not keep step

    async def _tried(self, sweep: Callable[[], Awaitable[None]]) -> None:
        try:
            await sweep()
        except Refused:
            log.warning("sweep_postponed", sweep=sweep.__name__)
        except Exception:
            log.exception("sweep_failed", sweep=sweep.__name__)

    async def age_out(self) -> None:
        for conversation_id, version in await self._database.read(conversations.aged):
            await self._database.write(conversation_id, conversations.age_out, conversation_id, version)

    async def take_up(self) -> None:
        for turn_id, conversation_id in await self._database.read(turns.abandoned):
            await self._database.write(conversation_id, turns.take_up, turn_id, conversation_id, self._process)

    async def raise_waiting(self) -> None:
        for conversation_id, seconds in await self._database.read(signals.unanswered):
            await self._database.write(conversation_id, signals.raise_waiting, conversation_id, seconds)

    async def close_left_open(self) -> None:
        for conversation_id in await self._database.read(teams.left_open):
            await self._database.write(conversation_id, teams.close_left_open, conversation_id)
