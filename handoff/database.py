"""One transaction per operation, off the event loop, and what happened in the order of the commits.

A *lane* is a thread with a connection and a bounded queue. It takes what is waiting, sorts it by key and commits it as one
transaction: one fsync for many operations. SQLite has one lane; PostgreSQL has four, and the key (a conversation's id, a
team's) picks the lane, so that operations on one conversation keep their order within a process.

An operation is a plain function that reads and writes models. It either raises a Refused before it has changed anything
that matters (its caller gets that, the batch goes on) or returns a Happened: the caller's answer, and the facts to announce.
If anything else is raised, the batch is rolled back and each operation runs again alone; so operations are repeatable and
announce nothing.
"""

import asyncio
import contextlib
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit
from zlib import crc32

import structlog
from peewee import Database as Peewee
from peewee import InterfaceError, OperationalError, PostgresqlDatabase, SqliteDatabase
from prometheus_client import Counter, Histogram

from handoff import models
from handoff.errors import Refused, Unavailable

log = structlog.get_logger()

PATIENCE = 4.5  # seconds that a caller waits for an answer, the queue included
LOCK_PATIENCE = 3.5  # seconds that a connection waits for somebody else's lock; less, so that the caller hears the reason
IMPATIENCE = 0.5  # the same while the last thing that the database was asked failed: a client's commands wait for each other
QUEUE_LENGTH = 2_000
BATCH_LENGTH = 64

Answer = TypeVar("Answer")

batches = Histogram("handoff_batch_operations", "Operations committed together", buckets=(1, 2, 4, 8, 16, 32, 64))
commits = Histogram("handoff_commit_seconds", "Time of one batch from its first statement to the end of its commit")
failures = Counter("handoff_database_failures_total", "Batches that the database did not take")


@dataclass(frozen=True)
class Happened(Generic[Answer]):
    """What an operation did: the answer for its caller and the facts for everyone, in order."""

    answer: Answer
    facts: Sequence[Any] = ()


@dataclass
class Job:
    key: str
    operation: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        """Run inside the present transaction. A refusal is a result; anything else is raised."""
        self.result = self.error = None
        try:
            self.result = self.operation(*self.arguments)
        except Refused as refusal:
            self.error = refusal


@dataclass
class Database:
    """Connects to `url`; hands the facts of each commit, in commit order, to `announce` on the event loop."""

    url: str
    announce: Callable[[Sequence[Any]], None] = lambda facts: None
    batch_length: int = BATCH_LENGTH
    peewee: Peewee = field(init=False)
    _lanes: list["Lane"] = field(init=False, default_factory=list)
    _readers: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.peewee = connect(self.url)
        self.embedded = isinstance(self.peewee, SqliteDatabase)
        self._reads_fail = False
        self._reads_done = 0
        self._reading = 0
        self._count = threading.Lock()

    def start(self) -> None:
        """Bind the models and start the threads; to be called on the event loop."""
        models.proxy.initialize(self.peewee)
        loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(2 if self.embedded else 4, thread_name_prefix="reader")
        self._lanes = [Lane(self, loop, number) for number in range(1 if self.embedded else 4)]
        for lane in self._lanes:
            lane.thread.start()

    async def stop(self) -> None:
        """Let what is queued commit, then close every connection. A thread that hangs in a lost database is left (`hangs`)."""
        for lane in self._lanes:
            with contextlib.suppress(queue.Full):
                lane.jobs.put_nowait(None)
        self._readers.shutdown(wait=False, cancel_futures=True)
        for _ in range(100):
            if not self.hangs:
                return
            await asyncio.sleep(0.015)

    @property
    def hangs(self) -> bool:
        """Whether a thread of ours is still at work; after `stop` it waits for an answer that does not come."""
        return any(lane.thread.is_alive() for lane in self._lanes) or self._reading > 0

    async def write(self, key: str, operation: Callable[..., Happened[Answer]], *arguments: Any) -> Answer:
        """Run `operation(*arguments)` in a transaction and return its answer after the commit.

        Raises the operation's Refused; Unavailable when the database did not take it within PATIENCE seconds (it may
        still commit later, so callers repeat with the same client_id).
        """
        job = Job(key, operation, arguments, asyncio.get_running_loop().create_future())
        lane = self._lanes[crc32(key.encode()) % len(self._lanes)]
        try:
            lane.jobs.put_nowait(job)
        except queue.Full:
            raise Unavailable from None
        done = lane.done
        try:
            # Not `wait_for`, which in Python 3.11 forgets that its caller is cancelled when the answer comes in that moment.
            async with asyncio.timeout(IMPATIENCE if lane.is_down else PATIENCE):
                answer: Answer = await job.future
        except TimeoutError:
            lane.is_down = lane.done == done
            raise Unavailable from None
        return answer

    async def read(self, query: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run `query(*arguments)` on a reading connection, all its statements on one snapshot."""
        future = asyncio.get_running_loop().run_in_executor(self._readers, self._read, query, arguments)
        done = self._reads_done
        try:
            async with asyncio.timeout(IMPATIENCE if self._reads_fail else PATIENCE):
                answer = await future
        except TimeoutError:
            self._reads_fail = self._reads_done == done
            raise Unavailable from None
        return answer

    def _read(self, query: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        with self._reading_now():
            return self._read_at_once(query, arguments)

    @contextlib.contextmanager
    def _reading_now(self) -> Iterator[None]:
        with self._count:
            self._reading += 1
        try:
            yield
        finally:
            with self._count:
                self._reading -= 1

    def _read_at_once(self, query: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        try:
            with self._connected(), self._snapshot(), self._deadline():
                answer = query(*arguments)
        except (OperationalError, InterfaceError) as error:
            self._reads_fail = True
            self.forget_connection()
            raise Unavailable from error
        self._reads_fail = False
        self._reads_done += 1
        return answer

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """End a query when nobody waits for it any more. PostgreSQL does so by itself; a slow search of SQLite would hold
        one of the two readers for as long as it takes."""
        if not self.embedded:
            yield
            return
        connection, end = self.peewee.connection(), time.monotonic() + PATIENCE
        connection.set_progress_handler(lambda: time.monotonic() > end, 50_000)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)

    def _snapshot(self) -> Any:
        return self.peewee.transaction("DEFERRED" if self.embedded else "REPEATABLE READ")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Make sure that this thread holds a connection, a new one if the last was lost."""
        if not self.peewee.is_closed() and (self._is_hung_up() or not self.peewee.is_connection_usable()):
            self.forget_connection()
        self.peewee.connect(reuse_if_open=True)
        yield

    def _is_hung_up(self) -> bool:
        """Whether the server has ended the connection since it was used: unasked, PostgreSQL says nothing but goodbye.

        Without this, after a restart of the server each thread's next command would find that out by failing.
        """
        if self.embedded:
            return False
        waiting = select.poll()
        waiting.register(self.peewee.connection().fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def forget_connection(self) -> None:
        """Drop this thread's connection, whatever state it is in; the next use makes another."""
        with contextlib.suppress(Exception):
            self.peewee._state.conn.close()
        self.peewee._state.reset()


class Lane:
    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self.database = database
        self.loop = loop
        self.jobs: queue.Queue[Job | None] = queue.Queue(QUEUE_LENGTH)
        self.is_down = False
        self.done = 0  # batches, so that slow can be told from stuck
        self.thread = threading.Thread(target=self._work, name=f"lane-{number}", daemon=True)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._take()
            try:
                self._commit(batch)
            except Exception:  # a lane must not die: whoever waits gets an answer, the next batch a new connection
                log.exception("lane_failed")
                self.database.forget_connection()
                self._answer(batch, Unavailable())
        self.database.forget_connection()

    def _take(self) -> tuple[list[Job], bool]:
        """Wait for a job and take what is queued behind it, sorted by key; a key's own jobs keep their order.

        The order keeps two processes from locking the same conversations crosswise.
        """
        batch: list[Job] = []
        job = self.jobs.get()
        while job is not None:
            if not job.future.done():  # nobody waits for it any more: it was never begun, so it need not be
                batch.append(job)
            if len(batch) >= self.database.batch_length:
                break
            try:
                job = self.jobs.get_nowait()
            except queue.Empty:
                break
        return sorted(batch, key=lambda job: job.key), job is None

    def _commit(self, batch: list[Job]) -> None:
        if not batch:
            return
        try:
            self._transact(batch)
        except (OperationalError, InterfaceError) as error:
            if len(batch) > 1 and _is_about_one(error):
                self._commit_each(batch)
            else:
                self._give_up(batch, error)
        except Exception as error:
            if len(batch) > 1:
                self._commit_each(batch)
            else:
                self._retry(batch, error)

    def _commit_each(self, batch: list[Job]) -> None:
        for job in batch:
            self._commit([job])

    def _retry(self, batch: list[Job], error: Exception) -> None:
        """Alone and still failing: once more, because a unique index that refused it now stands for a row it can find."""
        try:
            self._transact(batch)
        except Exception:
            self._give_up(batch, error)

    def _give_up(self, batch: list[Job], error: Exception) -> None:
        failures.inc()
        self.is_down = isinstance(error, OperationalError | InterfaceError)
        log.error("batch_failed", operations=len(batch), first=batch[0].operation.__name__, exc_info=error)
        self.database.forget_connection()
        self._answer(batch, Unavailable())

    def _transact(self, batch: list[Job]) -> None:
        with self.database._connected(), commits.time(), self.database.peewee.transaction():
            for job in batch:
                job.run()
        batches.observe(len(batch))
        self.is_down = False
        self.done += 1
        self._answer(batch)

    def _answer(self, batch: list[Job], error: Exception | None = None) -> None:
        for job in batch:
            job.error = error or job.error
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
            self.loop.call_soon_threadsafe(self._tell, batch)

    def _tell(self, batch: list[Job]) -> None:
        for job in batch:
            if job.error is None and job.result.facts:
                self.database.announce(job.result.facts)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result.answer)


def connect(url: str) -> Peewee:
    """The Peewee database of a URL, not yet connected. Bounds every wait, so that nothing hangs on a lost database."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(url.removeprefix("sqlite:///"))
        pragmas = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1, "cache_size": -16_000}
        return SqliteDatabase(path, pragmas=pragmas, timeout=LOCK_PATIENCE, lock_type="IMMEDIATE", returning_clause=True)
    milliseconds = int(LOCK_PATIENCE * 1000)
    return PostgresqlDatabase(
        url,
        connect_timeout=3,
        tcp_user_timeout=5_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        options=f"-c lock_timeout={milliseconds} -c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=30000",
    )


def _is_about_one(error: Exception) -> bool:
    """Whether a batch failed by one of its operations (a deadlock) and not by the database being locked or gone."""
    original = error.args[0] if error.args else None  # Peewee wraps the driver's own exception
    return getattr(original, "pgcode", None) in ("40P01", "40001", "55P03", "57014")
