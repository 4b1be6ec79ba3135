"""Fixtures of the real parts. What a test did not ask for is not started."""

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import SqliteDatabase
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from handoff.database import connect
from handoff.migrations import migrate
from tests.network import Relay
from tests.servers import HandoffProcess, PostgresqlServer, RedisServer

pytest_plugins = ["tests.cast"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--takeovers", type=int, default=100, help="how many takeovers at random points tests/test_prove.py tries")
    parser.addoption("--seed", type=int, default=0, help="of those points, to try the same again; 0: another each time")


# Two busy cores: what is right comes within this time, what is wrong never comes.
PATIENCE_MS = 10_000
CHROMIUM_FLAGS = ["--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The shared PostgreSQL server of this run."""
    server = PostgresqlServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: PostgresqlServer) -> str:
    """The name of a database with all tables and no row, of which tests get copies: migrating takes longer than copying."""
    name = postgresql.create_database()
    migrated(postgresql.url(name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a file."""
    file = tmp_path_factory.mktemp("migrated") / "handoff.db"
    migrated(f"sqlite:///{file}")
    return file


def migrated(url: str) -> None:
    database = connect(url)
    with database.connection_context():
        migrate(database)
        if isinstance(database, SqliteDatabase):
            database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer, migrated_postgresql: str) -> Iterator[str]:
    """A PostgreSQL database without a row, emptied afterwards."""
    name = postgresql.lend_database(migrated_postgresql)
    yield postgresql.url(name)
    postgresql.take_back_database(name, migrated_postgresql)


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A SQLite database without a row, in a file."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'handoff.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database without a row; the test runs once on each kind. `@pytest.mark.parametrize("database_url", ["sqlite"],
    indirect=True)` keeps it to one."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that is not even migrated, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bare.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.url(server.create_database())


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> Iterator[RedisServer]:
    """Redis, empty. A test may stop, kill and restart it: afterwards it is put right."""
    yield redis_process
    if redis_process.is_running:
        redis_process.resume()
    else:
        redis_process.start()
    redis_process.flush()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


StartHandoff = Callable[..., Awaitable[HandoffProcess]]


@pytest.fixture
async def start_handoff(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StartHandoff]:
    """`await start_handoff(database_url=..., redis_url=..., demo=True)` serves the real thing in a process of its own,
    by default on a SQLite database of its own. Its log is shown when the test fails."""
    started: list[HandoffProcess] = []

    async def start(**settings: object) -> HandoffProcess:
        folder = tmp_path / f"handoff-{len(started) + 1}"
        folder.mkdir()
        started.append(HandoffProcess(folder, **settings))
        return await started[-1].start()

    yield start
    for process in started:
        process.close()
        request.node.add_report_section("teardown", f"{process.folder.name} log", process.output()[-20_000:])


NewRelay = Callable[[int], Awaitable[Relay]]


@pytest.fixture
async def new_relay() -> AsyncIterator[NewRelay]:
    """`relay = await new_relay(port)`: a hop in front of a port that can cut, freeze and resume."""
    relays: list[Relay] = []

    async def new(port: int) -> Relay:
        relays.append(Relay(port))
        return await relays[-1].__aenter__()

    yield new
    for relay in relays:
        await relay.__aexit__()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium for this test alone. Starting it takes a quarter of a second more than connecting to a shared one, and
    no test inherits what another left in it."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "Chromium is not installed: make machine-parts"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


NewBrowserPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def new_browser_page(chromium: Browser, start_handoff: StartHandoff, new_relay: NewRelay) -> AsyncIterator[NewBrowserPage]:
    """`page = await new_browser_page(allow="...", viewport=...)`: a page of a person with a browser of their own
    (cookies, storage). Whatever a page complains of, a violated CSP too, fails the test, unless the pattern `allow`
    matches it. It names the two other fixtures so that pages are closed before what they look at."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def new(*, allow: str = "", **options: Any) -> Page:
        context = await chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        _listen(context, complaints, re.compile(allow) if allow else None)
        return await context.new_page()

    yield new
    for context in contexts:
        await context.close()
    assert not complaints, "\n".join(["A page complained:", *complaints])


def _listen(context: BrowserContext, complaints: list[str], allowed: re.Pattern[str] | None) -> None:
    def complain(text: str) -> None:
        if not (allowed and allowed.search(text)):
            complaints.append(text)

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complain(f"{message.text} ({message.location['url']})")

    context.on("console", hear)
    context.on("weberror", lambda error: complain(str(error.error)))
