"""The parts that the other tests stand on do what they say on this machine."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import peewee
import psycopg2
import pytest
import redis.asyncio
from playhouse.db_url import connect

from tests.conftest import NewBrowserPage, NewRelay
from tests.servers import LOOPBACK, ROOT, PostgresqlServer, Program, RedisServer
from tests.waiting import wait_until


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_gets_a_migrated_database_of_its_own(database_url: str, time: str) -> None:
    database = connect(database_url)
    assert isinstance(database, peewee.SqliteDatabase | peewee.PostgresqlDatabase)
    with database:
        tables = set(database.get_tables())
        assert "team" in tables and "left_behind" not in tables
        database.execute_sql("CREATE TABLE left_behind (id INTEGER)")


def test_a_crashed_postgresql_comes_back_with_what_was_committed() -> None:
    server = PostgresqlServer(fsync=True)
    try:
        server.start().execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        with pytest.raises(psycopg2.OperationalError):
            server.execute("SELECT 1")
        assert server.start().execute("SELECT answer FROM kept") == [(42,)]
    finally:
        server.close()
    assert not server.folder.exists()


async def test_redis_answers_except_while_it_is_stopped_or_dead(redis_server: RedisServer) -> None:
    async with redis.asyncio.from_url(redis_server.url, socket_timeout=0.2, retry=None) as client:
        assert await client.ping()
        redis_server.stop()
        with pytest.raises(redis.TimeoutError):
            await client.ping()
        redis_server.resume()
        assert await client.ping()
        redis_server.kill()
        with pytest.raises(redis.ConnectionError):
            await client.ping()


async def test_redis_is_put_right_after_a_test_that_killed_it(redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.dbsize() == 0


@pytest.mark.browser
async def test_chromium_shows_a_page_and_tells_two_people_apart(new_browser_page: NewBrowserPage) -> None:
    first, second = await new_browser_page(), await new_browser_page(color_scheme="dark")
    for page in (first, second):
        await page.goto("data:text/html,<title>Shop</title>")
        assert await page.title() == "Shop"
    assert first.context is not second.context


@pytest.mark.browser
async def test_what_a_page_may_complain_of_has_to_be_named(new_browser_page: NewBrowserPage) -> None:
    page = await new_browser_page(allow="Content Security Policy|no such luck")
    policy = "<meta http-equiv=content-security-policy content=\"default-src 'none'; script-src 'unsafe-inline'\">"
    await page.goto(f"data:text/html,{policy}<img src=/picture.png><script>throw Error('no such luck')</script>")


@pytest.mark.browser
def test_a_complaint_that_is_not_allowed_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile("""
        async def test_page(new_browser_page):
            page = await new_browser_page()
            await page.goto("data:text/html,<script>console.error('a broken page')</script>")
    """)
    result = pytester.runpytest_subprocess("-o", f"pythonpath={ROOT}", "-o", "asyncio_mode=auto")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*a broken page*"])


async def test_the_relay_passes_cuts_freezes_and_refuses(new_relay: NewRelay) -> None:
    echo = await asyncio.start_server(_echo, LOOPBACK, 0)
    async with echo:
        relay = await new_relay(echo.sockets[0].getsockname()[1])

        reader, writer = await asyncio.open_connection(LOOPBACK, relay.port)
        assert await _echoed(reader, writer, b"hello\n") == b"hello\n"

        relay.freeze()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_echoed(reader, writer, b"frozen\n"), 0.2)
        relay.resume()
        assert await reader.readline() == b"frozen\n"

        await relay.cut()
        with pytest.raises(ConnectionResetError):
            await reader.readline()

        await relay.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, relay.port)
        await relay.accept()
        reader, again = await asyncio.open_connection(LOOPBACK, relay.port)
        assert await _echoed(reader, again, b"back\n") == b"back\n"
        for open_writer in (writer, again):
            open_writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    return await reader.readline()


async def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"the agent sees it: not so within 0\.05 s; last seen: 0"):
        await wait_until(lambda: 0, 0.05, "the agent sees it")


async def test_a_program_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = "import sys; from tests.servers import Program; from pathlib import Path\n"
    script += "p = Program('sleep', Path(sys.argv[1])); p.launch('sleep', '60'); print(p.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout
        child = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        await wait_until(lambda: "(sleep)" in child.read_text(), what="setpriv has made way for the program")
        parent.kill()
    await wait_until(lambda: not child.exists() or child.read_text().split()[2] == "Z", what="the child is gone")


def test_a_program_that_ignores_its_end_is_ended_all_the_same(tmp_path: Path) -> None:
    program = Program("stubborn", tmp_path)
    program.launch("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    program.wait_ready(lambda: "ready" in program.output())
    with pytest.raises(subprocess.TimeoutExpired):
        program.terminate(timeout=0.2)
    program.kill()
    assert not program.is_running


def test_the_lock_file_names_versions_and_no_addresses() -> None:
    lock = (ROOT / "package-lock.json").read_text()
    assert "://" not in lock
    parser = json.loads(lock)["packages"]["node_modules/socket.io-parser"]["version"]
    assert tuple(map(int, parser.split("."))) >= (4, 2, 7), "older parsers hold attachments without limit"
