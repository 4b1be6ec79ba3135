"""A Stage whose Handoff runs in processes of its own, so that a test can kill, stop and restart it.

The test's own process opens the same database beside them: it makes people there, and looks afterwards at what is true.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socketio.exceptions import SocketIOError

from app import prepare
from handoff.database import Database
from handoff.settings import Settings
from tests.cast import Person, Stage, found_team
from tests.servers import SECRET_KEY, HandoffProcess
from tests.waiting import wait_until

STARTED = 60.0  # seconds in which a process has started, whatever else the machine does


@dataclass
class Backstage:
    """What a Stage needs of a Handoff that is elsewhere: the database."""

    database: Database


@asynccontextmanager
async def stage_apart(url: str, database_url: str) -> AsyncIterator[Stage]:
    """Prepare an empty database with the team Tidewater; Handoff is, or will be, served at `url`."""
    prepare(Settings(_env_file=None, secret_key=SECRET_KEY, database_url=database_url))
    database = Database(database_url)
    database.start()
    stage = Stage(Backstage(database), url)  # type: ignore[arg-type]
    try:
        stage.team_id, stage.assistant_id, stage.widget_key = await found_team(stage)
        yield stage
    finally:
        await asyncio.gather(*(person.leave() for person in stage.people), return_exceptions=True)
        await database.stop()


def seen_from(stage: Stage, process: HandoffProcess) -> Stage:
    """The same stage, reached at another process."""
    return replace(stage, url=process.url)


@asynccontextmanager
async def served_apart(database_url: str, folder: Path, **settings: object) -> AsyncIterator[tuple[Stage, HandoffProcess]]:
    """A stage that one process serves."""
    process = HandoffProcess(folder, database_url=database_url, **{"words_per_second": 200, **settings})
    async with stage_apart(process.url, database_url) as stage:
        try:
            await process.start(STARTED)
            yield stage, process
        finally:
            process.close()


async def ask_until_lost(person: Person, command: str, **payload: Any) -> dict[str, Any] | None:
    """The ack, or None when the connection was lost before it came."""
    asking = asyncio.create_task(person.ask(command, **payload))
    while not asking.done() and person.socket.connected:
        await asyncio.wait({asking}, timeout=0.02)
    if not asking.done():
        asking.cancel()
    (result,) = await asyncio.gather(asking, return_exceptions=True)
    return result if isinstance(result, dict) else None


async def come_back(enter: Callable[[], Awaitable[Any]], timeout: float = STARTED) -> Any:
    """Connect anew, however often it takes."""
    return await wait_until(lambda: _entered(enter), timeout, "somebody comes back")


async def _entered(enter: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await enter()
    except (SocketIOError, OSError, AssertionError):
        return None


def new_client_id() -> str:
    return secrets.token_hex(8)


async def terminated(process: HandoffProcess) -> tuple[int, float]:
    """Ask a process to end, while people here go on; gives its exit status and the seconds that it took."""
    began = time.monotonic()
    status = await asyncio.to_thread(process.terminate)
    return status, time.monotonic() - began
