"""What both namespaces share: one dispatch for every command, with its edge and its ack."""

from collections import Counter
from collections.abc import Awaitable, Callable
from math import ceil
from time import monotonic
from typing import Any, ClassVar

import structlog
from aiohttp import web
from prometheus_client import Counter as Count
from prometheus_client import Histogram
from pydantic import ValidationError
from socketio import AsyncNamespace
from socketio.exceptions import ConnectionRefusedError

from handoff import access
from handoff.errors import Invalid, RateLimited, Refused, SignedOut, TooLarge, Unavailable
from handoff.events import PROTOCOL, Command
from handoff.sockets import Connections, connected

log = structlog.get_logger()

commands_done = Count("handoff_commands_total", "Commands by their outcome", ["command", "code"])
command_seconds = Histogram("handoff_command_seconds", "Time from a command to its ack", ["command"])

Handler = Callable[[Any, str, Any], Awaitable[Any]]


class Turned(Exception):
    """A connection that is not wanted, with a code of the wire."""

    def __init__(self, code: str, words: str) -> None:
        self.code, self.words = code, words


class Allowance:
    """How many commands anybody has sent in the present ten seconds.

    The limits library was measured for this: its memory storage looks at every key again and again, and took 5 ms a command
    with 50,000 people. Here all share one window, and its end forgets everybody.
    """

    def __init__(self, most: int, seconds: float = 10) -> None:
        self._most = most
        self._seconds = seconds
        self._spent: Counter[str] = Counter()
        self._until = 0.0

    def spend(self, who: str) -> None:
        time = monotonic()
        if time >= self._until:
            self._spent.clear()
            self._until = time + self._seconds
        self._spent[who] += 1
        if self._spent[who] > self._most:
            raise RateLimited(ceil(self._until - time))


def command(payload: type[Command]) -> Callable[[Handler], Handler]:
    """Mark a method as the handler of the command of its name, whose payload is checked against `payload`."""

    def mark(handler: Handler) -> Handler:
        handler.payload = payload  # type: ignore[attr-defined]
        return handler

    return mark


class Door(AsyncNamespace):  # type: ignore[misc]
    """A namespace in which a command is known, well formed, not too frequent, and always answered."""

    handlers: ClassVar[dict[str, Handler]]

    def __init_subclass__(cls) -> None:
        cls.handlers = {name: method for name, method in vars(cls).items() if hasattr(method, "payload")}

    def __init__(self, namespace: str, connections: Connections, per_10_seconds: int) -> None:
        super().__init__(namespace)
        # Every command has its rule in the access table, or the start ends here.
        self.rules = {name: access.of_command(namespace, name) for name in self.handlers}
        self.connections = connections
        self._allowance = Allowance(per_10_seconds)

    async def admitted(self, sid: str, request: web.Request, auth: dict[str, Any]) -> None:
        """Let a connection in: check who it is, join its rooms. Raises Turned."""
        raise NotImplementedError

    def left(self, sid: str) -> None:
        """Forget a connection."""
        raise NotImplementedError

    def who(self, sid: str) -> str | None:
        """The key under which a connection's commands are counted; None for one that is gone."""
        raise NotImplementedError

    async def trigger_event(self, event: str, *arguments: Any) -> Any:
        """Every event comes here; `connect` and `disconnect` only from the server, a client's were renamed."""
        if event == "connect":
            return await self._connect(*arguments)
        if event == "disconnect":
            return self._disconnect(arguments[0])
        return await self._command(event, arguments[0], arguments[1:])

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        # Whatever is raised must become a refusal: any other exception leaves the client half connected.
        try:
            request = environ["aiohttp.request"]
            if not self.connections.admit(sid, request):
                raise Turned("too_many", "There are too many connections. Try again later.")
            await self.admitted(sid, request, _checked(auth))
            # Nobody reports the end of a connection that was lost while it was being let in.
            if self.server.manager.eio_sid_from_sid(sid, self.namespace) not in self.server.eio.sockets:
                raise Turned("unavailable", "The connection was lost.")
        except Turned as turned:
            self._turn_away(sid, turned.code, turned.words)
        except Unavailable as refusal:
            self._turn_away(sid, refusal.code, refusal.words)
        except Exception:
            log.exception("connect_failed", namespace=self.namespace)
            self._turn_away(sid, "unavailable", Unavailable.message)
        connected.labels(self.namespace).inc()

    def _turn_away(self, sid: str, code: str, words: str) -> None:
        self.connections.leave(sid)
        self.left(sid)
        log.info("connection_refused", namespace=self.namespace, code=code)
        raise ConnectionRefusedError(words, {"code": code})

    def _disconnect(self, sid: str) -> None:
        if self.who(sid) is not None:
            connected.labels(self.namespace).dec()
        self.connections.leave(sid)
        self.left(sid)

    async def _command(self, name: str, sid: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
        handler = self.handlers.get(name)
        label = name if handler else "unknown"
        with command_seconds.labels(label).time():
            try:
                ack = {"ok": await self._carried_out(handler, sid, arguments)}
            except Refused as refusal:
                ack = refusal.as_ack()
                log.info("command_refused", command=label, code=refusal.code, who=self.who(sid))
                if isinstance(refusal, SignedOut):
                    self.server.start_background_task(self.server.disconnect, sid, self.namespace)
            except Exception:
                log.exception("command_failed", command=label, who=self.who(sid))
                ack = Unavailable().as_ack()
        commands_done.labels(label, ack["error"]["code"] if "error" in ack else "ok").inc()
        return ack

    async def _carried_out(self, handler: Handler | None, sid: str, arguments: tuple[Any, ...]) -> Any:
        who = self.who(sid)
        if who is None:
            raise SignedOut
        self._allowance.spend(who)
        if handler is None:
            raise Invalid("There is no such command.")
        payload: type[Command] = handler.payload  # type: ignore[attr-defined]
        return await handler(self, sid, _parsed(payload, arguments))


def _checked(auth: Any) -> dict[str, Any]:
    """The auth of a client that speaks our protocol. Raises Turned with `reload` for one that is too old."""
    if not isinstance(auth, dict):
        raise Turned("reload", "The connection needs an auth object with a protocol.")
    protocol = auth.get("protocol")
    if type(protocol) is not int or protocol != PROTOCOL:
        raise Turned("reload", "This page is out of date. Reload it.")
    return auth


def _parsed(payload: type[Command], arguments: tuple[Any, ...]) -> Command:
    """The payload as its class. A command without one may come with nothing, null or {}."""
    if len(arguments) > 1:
        raise Invalid("A command has one payload.")
    given = arguments[0] if arguments and arguments[0] is not None else {}
    try:
        return payload.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in fault["loc"]) or "payload"
        if len(field) > 64:
            field = "payload"
        words = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "string_too_long" and field in ("text", "note", "comment"):
            raise TooLarge(f"{field}: {words}", field=field) from None
        raise Invalid(f"{field}: {words}", field=field) from None
