"""The real parts that tests run on: PostgreSQL, Redis and Handoff itself.

Each class starts one program of its own, on a private port, and ends it by its pid. `setpriv --pdeathsig` ends it too
when the test run is killed and no fixture gets to clean up.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

import aiohttp
import psycopg2
import redis

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
LOOPBACK = "127.0.0.1"
SECRET_KEY = secrets.token_urlsafe(32)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


class Program:
    """A child process with its output in a file."""

    ending = signal.SIGTERM
    user: str | None = None

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process, f"{self.name} was not started"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def launch(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = self._child(command, log, env)

    def _child(self, command: tuple[str | Path, ...], log: IO[bytes], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        guard = ["setpriv", "--pdeathsig", self.ending.name.removeprefix("SIG"), *_as(self.user)]
        return subprocess.Popen([*guard, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=env)

    def wait_ready(self, is_ready: Callable[[], bool], timeout: float = 20) -> None:
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not start:\n{self.output()[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Freeze it and its children, as they are: connections stay open and nobody answers."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def terminate(self, timeout: float = 10) -> int:
        """Ask it to end, and return its exit status."""
        return self._end(self.ending, timeout)

    def kill(self) -> int:
        """End it at once, as a crash would."""
        return self._end(signal.SIGKILL, 10)

    def close(self) -> None:
        """End it by all means, in any state."""
        if self.is_running:
            self.resume()
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()

    def _end(self, sent: signal.Signals, timeout: float) -> int:
        assert self.process
        self.process.send_signal(sent)
        return self.process.wait(timeout)

    def _family(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *(int(child) for child in children.read_text().split())]


def _as(user: str | None) -> list[str]:
    if user is None:
        return []
    return ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]


class PostgresqlServer(Program):
    """A PostgreSQL cluster of its own. `fsync=False` is right for all but benchmarks: what a killed process has written
    survives in the kernel's cache, and no test cuts the power."""

    ending = signal.SIGINT  # the fast shutdown: does not wait for clients to leave

    def __init__(self, *, fsync: bool = False) -> None:
        # Not under pytest's own folder, which other users cannot enter; PostgreSQL refuses to run as root.
        super().__init__("postgresql", Path(tempfile.mkdtemp(prefix="handoff-postgresql-")))
        self.user = _unprivileged()
        self.fsync = fsync
        self.port = free_port()
        self._spare: list[str] = []
        if self.user:
            shutil.chown(self.folder, self.user)

    def start(self) -> Self:
        if not (self.folder / "data").exists():
            self._make_cluster()
        self.launch(_postgresql("postgres"), "-D", self.folder / "data", "-k", self.folder, *self._options())
        self.wait_ready(self._answers)
        return self

    def _make_cluster(self) -> None:
        command = [_postgresql("initdb"), "-D", self.folder / "data", "-U", "handoff", "-A", "trust", "-E", "UTF8"]
        with self.log.open("ab") as log:
            made = self._child((*command, "--locale=C.UTF-8", "--no-sync", "--no-instructions"), log).wait(60)
        assert made == 0, self.output()

    def _options(self) -> Iterator[str]:
        settings = {"listen_addresses": LOOPBACK, "port": self.port, "max_connections": 200, "fsync": self.fsync}
        for name, value in settings.items():
            yield from ("-c", f"{name}={value}")

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> int:
        """Crash: nothing is written any more, and the next start has to recover from the log. (After SIGKILL to the
        first process the others would linger and hinder that start.)"""
        return self._end(signal.SIGQUIT, 10)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://handoff@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """A fresh copy of `template`; returns its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def lend_database(self, template: str) -> str:
        """A database without a row, with the tables of `template`: one that came back, or a fresh copy."""
        return self._spare.pop() if self._spare else self.create_database(template)

    def take_back_database(self, name: str, template: str) -> None:
        """Empty it for the next to borrow, which is ten times quicker than a copy; drop it where its tables were changed."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        relations = self._relations(name)
        if relations != self._relations(template):
            self.drop_database(name)
            return
        tables = [table for table, kind, _ in relations if kind == "r" and table != "schema_migration"]
        emptied = "".join(f'DELETE FROM "{table}";' for table in tables)
        self.execute(f"SET session_replication_role = replica; {emptied}", name)  # asks no foreign key, so any order will do
        self._spare.append(name)

    def _relations(self, name: str) -> list[tuple[Any, ...]]:
        """Tables and indexes, with how many columns each has."""
        of_ours = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
        return self.execute(f"SELECT relname, relkind, relnatts FROM pg_class WHERE {of_ours} ORDER BY relname", name)

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with contextlib.closing(psycopg2.connect(self.url(database), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []


def _postgresql(program: str) -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    found = installed[-1] if installed else shutil.which(program)
    assert found, "PostgreSQL is not installed: make machine-parts"
    return Path(found)


def _unprivileged() -> str | None:
    """Somebody who is not root, or None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    return next(user.pw_name for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))


class RedisServer(Program):
    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder)
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.url = f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def start(self) -> Self:
        config = [
            "--bind",
            LOOPBACK,
            "--port",
            str(self.port),
            "--requirepass",
            self.password,
            "--dir",
            str(self.folder),
        ]
        self.launch("redis-server", *config, "--save", "", "--appendonly", "no")
        self.wait_ready(self._answers)
        return self

    def restart(self) -> Self:
        self.kill()
        return self.start()

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False


class HandoffProcess(Program):
    """The real `python app.py`. Settings go by their names: `HandoffProcess(folder, database_url=..., demo=True)`.

    It runs in `folder`, so that a developer's .env and var/ stay out of it.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__("handoff", folder)
        given = {"host": LOOPBACK, "port": free_port(), "secret_key": SECRET_KEY, **settings}
        given.setdefault("database_url", f"sqlite:///{folder / 'handoff.db'}")
        self.settings = {f"HANDOFF_{name.upper()}": str(value) for name, value in given.items()}
        self.port = int(self.settings["HANDOFF_PORT"])
        self.url = f"http://{LOOPBACK}:{self.port}"

    async def start(self, timeout: float = 20) -> Self:
        """Launch it and wait until GET /healthz answers 200."""
        self.launch_only()
        async with aiohttp.ClientSession() as http:
            await wait_until(lambda: self._is_healthy(http), timeout, f"{self.url}/healthz answers")
        return self

    def launch_only(self) -> None:
        """Launch it and don't wait: for starts that are meant to fail."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
        self.launch(sys.executable, ROOT / "app.py", env={**inherited, **self.settings})

    async def ended(self, timeout: float = 10) -> int:
        """Wait until it has ended by itself; returns its exit status."""
        await wait_until(lambda: not self.is_running, timeout, "handoff ends")
        assert self.process
        return self.process.returncode

    async def _is_healthy(self, http: aiohttp.ClientSession) -> bool:
        assert self.is_running, f"handoff ended at its start:\n{self.output()[-4000:]}"
        try:
            async with http.get(f"{self.url}/healthz", timeout=aiohttp.ClientTimeout(1)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
