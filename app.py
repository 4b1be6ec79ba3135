"""Builds Handoff from its parts, in order, and runs it: `python app.py`."""

import argparse
import asyncio
import errno
import os
import secrets
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from getpass import getpass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import structlog
import uvloop
from aiohttp import web
from argon2 import PasswordHasher
from peewee import PeeweeException
from playhouse.migrations import MigrationError
from pydantic import ValidationError

from handoff import demo, founding, identity, journal, models, plans, turns
from handoff.accounts import password_fault
from handoff.assistants import providers
from handoff.assistants.built_in import BuiltIn
from handoff.assistants.model import Model
from handoff.assistants.outgoing import Caps, Outgoing
from handoff.assistants.shelf import Shelf
from handoff.assistants.webhook import Webhook
from handoff.away import Away
from handoff.broadcasts import Broadcasts
from handoff.database import Database, connect
from handoff.delivering import PATIENCE, Delivering
from handoff.errors import Invalid, Refused
from handoff.founding import FoundingTyped
from handoff.identity import CustomerTokens, Passwords
from handoff.mail import Mail
from handoff.migrations import alone, migrate
from handoff.namespaces.agents import Agents
from handoff.namespaces.customers import Customers
from handoff.outbox import Outbox
from handoff.pages import setup
from handoff.presence import Presence
from handoff.relay import Relay
from handoff.seals import Seal
from handoff.settings import Settings, SettingsError, load, unknown_names
from handoff.sockets import Connections, create_server
from handoff.sweeper import Sweeper
from handoff.writers import Writers

log = structlog.get_logger()

ROOT = Path(__file__).parent
VENDOR = ("htmx.min.js", "socket.io.min.js")


class Handoff:
    """One process: the web application, and what runs beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.broken = asyncio.Event()  # something that runs beside ended by itself: this process is of no use any more
        self.process = secrets.token_hex(6)
        self._tasks: list[asyncio.Task[None]] = []
        self.outbox = Outbox()
        self.database = Database(settings.database_url, self.outbox.put)
        self.server = create_server()
        self.presence = Presence(self.server)
        self.broadcasts = Broadcasts(self.server)
        self.connections = Connections(
            self.server,
            settings.max_connections,
            settings.max_connections_per_address,
            settings.max_queued_packets,
            frozenset(settings.trusted_proxies),
        )
        self.tokens = CustomerTokens(settings.secret_key.get_secret_value())
        self.keys, shelf = Seal(settings.secret_key.get_secret_value(), "assistant keys"), Shelf(self.database)
        caps = Caps(settings.first_byte_seconds, settings.idle_seconds, settings.turn_seconds)
        self.outgoing = Outgoing(caps, settings.allow_private_addresses)
        answering = providers(
            BuiltIn(shelf, settings.words_per_second), Model(self.outgoing, self.keys, shelf), Webhook(self.outgoing, self.keys)
        )
        self.notice_keys, self.mail = (
            Seal(settings.secret_key.get_secret_value(), "notice keys"),
            Mail(settings.smtp_url.get_secret_value(), settings.mail_from),
        )
        # Connections of their own: a webhook that does not answer takes none from the assistants.
        self.notices_out = Outgoing(Caps(*[PATIENCE] * 3), settings.allow_private_addresses)
        self.delivering = Delivering(self.database, self.notices_out, self.mail, self.notice_keys, settings.sweep_seconds)
        self.away = Away(self.database, self.presence)
        self.writers = Writers(
            self.database,
            answering,
            self.outbox.put,
            self.process,
            settings.turn_seconds,
        )
        self.agents = Agents(
            self.connections,
            settings.commands_per_10_seconds,
            database=self.database,
            announce=self.outbox.put,
            origins=settings.origins,
        )
        self.customers = Customers(
            self.connections,
            settings.commands_per_10_seconds,
            database=self.database,
            broadcasts=self.broadcasts,
            announce=self.outbox.put,
            presence=self.presence,
            tokens=self.tokens,
            process=self.process,
            origins=settings.origins,
        )
        self.server.register_namespace(self.agents)
        self.server.register_namespace(self.customers)
        # A customer's sockets are in their new conversation before its first fact is said; a turn that ended is stopped first.
        self.outbox.listen(journal.note, self.customers.heed, self.writers.heed, self.broadcasts.announce, self.agents.heed)
        self.outbox.relay(self.away.hear)
        self.relay: Relay | None = None
        if settings.redis_url:
            self.relay = Relay(settings.redis_url, self.process, self.outbox, self.presence, catch_up=self.connections.send_away)
            self.outbox.relay(self.relay.send)
        self.sweeper = Sweeper(self.database, self.process, settings.sweep_seconds, settings.address)
        self.application = web.Application(client_max_size=1024 * 1024, middlewares=[self.connections.keep_the_door])
        setup(self.application, settings, self.database, Passwords(), answering, self.keys, self.notice_keys, self.mail)
        self.server.attach(self.application)

    async def start(self) -> None:
        """Start what runs beside the web application; the database is prepared by then."""
        turns.CLAIM = int(self.settings.lease_seconds * 1000)
        self.database.start()
        if self.database.embedded:
            # Nobody else writes to an embedded database, so whoever claimed a turn is gone.
            await self.database.write("", turns.let_go)
        await self.database.write("plans", plans.fill, self.settings.plans)
        self._beside(self.outbox.run())
        self._beside(self.sweeper.run())
        self._beside(self.delivering.run())
        self._beside(self.connections.watch_over())
        self._beside(self.agents.watch_over())
        if self.relay is not None:
            self._beside(self.relay.run())

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("background_work_ended", exc_info=task.exception())
            self.broken.set()

    def runner(self) -> web.AppRunner:
        """What serves the application. It unpacks nothing: a megabyte that was sent compressed can take seconds to read."""
        return web.AppRunner(self.application, access_log=None, shutdown_timeout=1, auto_decompress=False)

    async def stop(self) -> None:
        """Stop writing, let running operations commit and be announced, send the clients away to come back."""
        await self.writers.stop()
        await self.away.stop()
        await self.outgoing.close()
        await self.notices_out.close()
        with suppress(Exception):
            await asyncio.wait_for(self.database.write("", turns.let_go, self.process), 1)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.outbox.drain(), 0.5)
        await self.connections.send_away(patience=0.5)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.relay is not None:
            await self.relay.close()
        await self.database.stop()


def prepare(settings: Settings) -> list[str]:
    """Set the database up, one process at a time: migrations, plans, the demo. Returns lines for whoever starts it.

    Raises SettingsError when the database cannot be reached.
    """
    with _prepared(settings):
        return _welcome(settings)


def create_owner(settings: Settings, typed: FoundingTyped) -> None:
    """Make a user with a team of their own, for an operator without a browser. Raises EmailTaken, SettingsError."""
    with _prepared(settings):
        founding.sign_up(typed, PasswordHasher().hash(typed.password))


@contextmanager
def _prepared(settings: Settings) -> Iterator[None]:
    """A transaction on the migrated database, while no other process starts."""
    database = connect(settings.database_url)
    models.proxy.initialize(database)
    try:
        if settings.database_url.startswith("sqlite:///"):
            Path(unquote(settings.database_url.removeprefix("sqlite:///"))).parent.mkdir(parents=True, exist_ok=True)
        with database.connection_context(), alone(database):
            for name in migrate(database):
                log.info("migrated", name=name)
            with database.atomic():
                plans.begin(settings.plans)
                yield
    except (PeeweeException, MigrationError, OSError) as error:
        raise SettingsError(f"HANDOFF_DATABASE_URL: {str(error).strip().splitlines()[0]}") from error


def _welcome(settings: Settings) -> list[str]:
    """What a first start tells, and a later one of the demo."""
    address = settings.address
    if not settings.demo:
        token = founding.set_up_token(settings.secret_key.get_secret_value())
        return [] if founding.is_set_up() else [f"  Set up, once   {address}/setup/{token}"]
    links = [f"  Shop with the widget   {address}/shop", f"  Agents' console        {address}/console"]
    made = demo.fill()
    owner = demo.first_owner()
    if owner is None:
        return links
    team_id = (
        models.Member.select(models.Member.team)
        .where(models.Member.user == owner)
        .order_by(models.Member.ended_at.is_null(False))
        .scalar()
    )
    links.append(f"  Settings               {address}/teams/{team_id}/")
    if made:
        return [*links, *(f"  {who.name}: e-mail {who.email}  password {who.password}" for who in made)]
    token = identity.offer_link(owner.id).answer
    return [*links, f"  Sign in once as {owner.name}   {address}/sign-in/{token}"]


async def serve(settings: Settings, lines: list[str]) -> int:
    """Serve until SIGTERM or SIGINT, then leave within five seconds. The exit status is 1 when it could not go on by itself."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    handoff = Handoff(settings)
    await handoff.start()
    runner = handoff.runner()
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, reuse_port=bool(settings.redis_url) or None)
    try:
        await site.start()
    except OSError as error:
        await handoff.stop()
        taken = "is in use" if error.errno == errno.EADDRINUSE else str(error)
        raise SettingsError(f"HANDOFF_PORT: {settings.host}:{settings.port} {taken}") from error
    print(f"Handoff listens on {settings.address}", *lines, sep="\n", flush=True)
    log.info("started", process=handoff.process)
    ends = [asyncio.create_task(event.wait()) for event in (stopped, handoff.broken)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping", process=handoff.process)
    status = int(handoff.broken.is_set())
    for end in ends:
        end.cancel()
    await site.stop()
    await handoff.stop()
    await runner.cleanup()
    log.info("stopped", process=handoff.process)
    if handoff.database.hangs or handoff.outgoing.hangs or handoff.notices_out.hangs:
        # A thread that waits for a lost database or name server would be waited for at the exit.
        sys.stdout.flush()
        os._exit(status)
    return status


def main(words: Sequence[str] = ()) -> int:
    options = _options(words)
    os.umask(0o077)  # the database file holds what customers wrote
    try:
        settings = load()
        journal.configure(settings.log_level)
        for name in unknown_names():
            log.warning("unknown_setting", name=name)
        if options.command == "create-owner":
            return _create_owner(settings, options)
        for name in VENDOR:
            if not (ROOT / "static" / "vendor" / name).exists():
                raise SettingsError(f"static/vendor/{name} is missing: `make install` builds the browser libraries")
        lines = prepare(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve(settings, lines))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="Serves Handoff. Settings come from the environment or .env.")
    commands = parser.add_subparsers(dest="command", metavar="create-owner")
    owner = commands.add_parser(
        "create-owner", help="make a user with a team of their own", description="Asks for the password, or reads a line of it."
    )
    for name, help in (("email", "whom to sign in as"), ("name", "the person's name"), ("team", "the name of the new team")):
        owner.add_argument(f"--{name}", required=True, help=help)
    return parser.parse_args(words)


def _create_owner(settings: Settings, options: argparse.Namespace) -> int:
    # Never from the command line: that is in everybody's list of processes and in the shell's history.
    password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    try:
        typed = FoundingTyped(email=options.email, name=options.name, team=options.team, password=password)
        weakness = password_fault(password, typed.email)
        if weakness is not None:
            raise Invalid(weakness)
        create_owner(settings, typed)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            print(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 1
    except Refused as refusal:
        print(refusal.words, file=sys.stderr)
        return 1
    print(f"{typed.email} owns {typed.team.strip()} and signs in at {settings.address}/sign-in")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
