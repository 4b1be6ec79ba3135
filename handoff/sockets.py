"""The Socket.IO server and its edge: what is refused before a namespace sees it, and which connections may stay.

python-socketio hands a client's own `connect` and `disconnect` events to the very handlers that the server calls itself, with
whatever environ the client made up. They are renamed here, where a packet is read, and answered like any unknown command.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web import Request
from prometheus_client import Counter as Count
from prometheus_client import Gauge
from socketio import AsyncServer
from socketio.packet import ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT, Packet

log = structlog.get_logger()

FRAME_BYTES = 64 * 1024
PING_SECONDS, PONG_SECONDS = 15, 10
GREETING_SECONDS = 10  # that a connection may stay without asking for a namespace
RESERVED = frozenset({"connect", "disconnect", "connect_error", "message", "*"})

connected = Gauge("handoff_connections", "Live sockets", ["namespace"])
dropped = Count("handoff_connections_dropped_total", "Sockets that were cut", ["because"])


class StrictJson:
    """Standard JSON only: no NaN in or out, no escapes where UTF-8 will do, and nothing nested without end."""

    @staticmethod
    def loads(text: str | bytes, **options: Any) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse_constant, parse_int=_bounded_int)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @staticmethod
    def dumps(value: Any, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class StrictPacket(Packet):  # type: ignore[misc]
    """Reads no binary packets and renames reserved events. What cannot be read becomes an event that no namespace knows, which is
    counted and answered like any other; raised here, it would fill the log with a traceback for each."""

    json = StrictJson
    data: Any

    def __init__(self, *arguments: Any, encoded_packet: Any = None, **options: Any) -> None:
        # The library does not read an empty packet, and takes it for an event without a name.
        super().__init__(*arguments, encoded_packet="empty" if encoded_packet in ("", b"") else encoded_packet, **options)

    def decode(self, encoded_packet: str) -> int:
        try:
            return self._decode_strictly(encoded_packet)
        except Exception:
            self.packet_type, self.data = EVENT, ["malformed:"]
            return 0

    def _decode_strictly(self, encoded_packet: str) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary attachments are not taken")
        super().decode(encoded_packet)
        if self.packet_type not in (CONNECT, DISCONNECT, EVENT, ACK, BINARY_EVENT):
            raise ValueError("a client sends no such packet")
        if self.packet_type in (EVENT, BINARY_EVENT):
            self._refuse_reserved(binary=self.packet_type == BINARY_EVENT)
        return 0

    def _refuse_reserved(self, binary: bool) -> None:
        if not isinstance(self.data, list) or not self.data or not isinstance(self.data[0], str):
            raise ValueError("an event is a list that begins with its name")
        if binary or self.data[0] in RESERVED:
            self.data[0] = f"{'binary' if binary else 'reserved'}:{self.data[0]}"
            self.packet_type = EVENT


@dataclass
class Connections:
    """Counts live sockets against their caps and cuts those that do not read or never say what they want (I13)."""

    server: AsyncServer
    most: int
    most_per_address: int
    most_queued: int
    trusted_proxies: frozenset[str] = frozenset()
    _sids: dict[str, str] = field(default_factory=dict)
    _addresses: Counter[str] = field(default_factory=Counter)
    _silent_since: dict[str, float] = field(default_factory=dict)

    def admit(self, sid: str, request: Request) -> bool:
        """Count a socket in; False when there are too many, here or from where it comes."""
        address = self._address(request)
        if len(self._sids) >= self.most or self._addresses[address] >= self.most_per_address:
            return False
        self._sids[sid] = address
        self._addresses[address] += 1
        return True

    def _address(self, request: Request) -> str:
        """The peer; behind a proxy of ours the last address that the proxy itself saw."""
        peer, forwarded = request.remote or "", request.headers.get("X-Forwarded-For", "")
        return forwarded.rpartition(",")[2].strip() or peer if peer in self.trusted_proxies else peer

    @web.middleware
    async def keep_the_door(
        self, request: Request, handler: Callable[[Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse a handshake while sockets that have not said what they want, and all others, are too many."""
        if request.path == "/socket.io/" and "sid" not in request.query and len(self.server.eio.sockets) >= 2 * self.most:
            return web.json_response({"error": "too many connections"}, status=503)
        return await handler(request)

    def leave(self, sid: str) -> None:
        address = self._sids.pop(sid, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    async def watch_over(self) -> None:
        """Look at every socket once a second; runs until cancelled."""
        while True:
            await asyncio.sleep(1)
            for sid, socket in list(self.server.eio.sockets.items()):
                if socket.queue.qsize() > self.most_queued and not socket.closed:
                    self._cut(sid, "does_not_read")
            self._cut_silent()

    async def send_away(self, patience: float = 1.0) -> None:
        """Close every socket after what waits for it, without a word of goodbye: after a CLOSE packet the stock Python client
        stays away, and after a lost connection all of them come back by themselves. Who does not take part is cut."""
        sockets = list(self.server.eio.sockets.values())
        for socket in sockets:
            socket.queue.put_nowait(None)  # the writer's sign to close
        flushed = asyncio.gather(*(socket.queue.join() for socket in sockets), return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(flushed, patience)
        for eio_sid in list(self.server.eio.sockets):
            self._abort(eio_sid)

    def _cut_silent(self) -> None:
        time = asyncio.get_running_loop().time()
        known = self._with_namespace()
        silent = {sid for sid, socket in self.server.eio.sockets.items() if sid not in known and not socket.closed}
        self._silent_since = {sid: self._silent_since.get(sid, time) for sid in silent}
        for sid, since in list(self._silent_since.items()):
            if time - since > GREETING_SECONDS:
                self._cut(sid, "never_connected")

    def _with_namespace(self) -> set[str]:
        manager = self.server.manager
        return {eio_sid for namespace in manager.get_namespaces() for _, eio_sid in manager.get_participants(namespace, None)}

    def _cut(self, eio_sid: str, because: str) -> None:
        dropped.labels(because).inc()
        log.warning("connection_cut", because=because)
        self._abort(eio_sid)

    def _abort(self, eio_sid: str) -> None:
        """Abort the transport: what waits for this client is freed at once, and no closing handshake is waited for."""
        request = self.server.environ.get(eio_sid, {}).get("aiohttp.request")
        # Only a WebSocket has a transport to itself: on a polling client's others may speak, behind a proxy other people.
        if request is not None and request.transport is not None and "Upgrade" in request.headers:
            request.transport.abort()
        self.server.eio.start_background_task(self._forget, eio_sid)

    async def _forget(self, eio_sid: str) -> None:
        socket = self.server.eio.sockets.get(eio_sid)
        if socket is not None:
            while not socket.queue.empty():
                socket.queue.get_nowait()
                socket.queue.task_done()
            await socket.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)


def create_server() -> AsyncServer:
    """One server for both namespaces. Handlers of one client run one after another, so that its lines keep their order (I5)."""
    return AsyncServer(
        async_mode="aiohttp",
        serializer=StrictPacket,
        async_handlers=False,
        cors_allowed_origins=[],  # each namespace checks the Origin itself, exactly
        max_http_buffer_size=FRAME_BYTES,
        ping_interval=PING_SECONDS,
        ping_timeout=PONG_SECONDS,
        logger=False,
        engineio_logger=False,
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number is too long")
    return int(digits)
