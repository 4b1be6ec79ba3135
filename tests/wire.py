"""A client that minds no manners: it speaks Engine.IO by hand, so that it can say what a library refuses to say."""

import json
import socket
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp

ENOUGH = 10.0
AT_ONCE = aiohttp.ClientWSTimeout(ws_close=0.2)  # who leaves does not wait for goodbyes


class Wire:
    """A WebSocket to /socket.io/ on which frames are sent and read as they are."""

    def __init__(self, url: str, namespace: str = "/customers", headers: dict[str, str] | None = None, receive_buffer: int = 0):
        self.url = url
        self.namespace = namespace
        self.headers = headers or {}
        self.receive_buffer = receive_buffer
        self._asked = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(socket_factory=self._socket)
        self._http = aiohttp.ClientSession(connector=connector)
        address = f"{self.url}/socket.io/?EIO=4&transport=websocket"
        self._ws = await self._http.ws_connect(address, headers=self.headers, timeout=AT_ONCE)
        await self.until("0")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._ws.close()
        await self._http.close()

    def _socket(self, address: Any) -> socket.socket:
        made = socket.socket(address[0], address[1], address[2])
        if self.receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        made.setblocking(False)
        return made

    async def send(self, frame: str | bytes) -> None:
        await (self._ws.send_bytes(frame) if isinstance(frame, bytes) else self._ws.send_str(frame))

    async def until(self, beginning: str, timeout: float = ENOUGH) -> str:
        """The next frame that begins so; pings are answered, other frames passed over. Raises EOFError at the end."""
        while True:
            message = await self._ws.receive(timeout)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise EOFError(str(message.type))
            if message.data == "2":
                await self.send("3")
            if message.data.startswith(beginning):
                return message.data

    async def is_closed(self, timeout: float = ENOUGH) -> bool:
        """Wait until the server has closed it."""
        try:
            while True:
                await self.until("never", timeout)
        except EOFError:
            return True

    async def enter(self, auth: Any) -> str | None:
        """Ask for the namespace; gives the code of a refusal, None when let in."""
        await self.send(f"40{self.namespace},{json.dumps(auth)}" if auth is not ... else f"40{self.namespace},")
        frame = await self.until("4")
        body = json.loads(frame.partition(",")[2])
        return body["data"]["code"] if frame.startswith("44") else None

    async def ask(self, event: str) -> dict[str, Any]:
        """Send an event, given as the JSON text of its list, and give its ack."""
        self._asked += 1
        await self.send(f"42{self.namespace},{self._asked}{event}")
        return self._ack(await self.until(f"43{self.namespace},{self._asked}["))

    async def command(self, name: str, payload: Any) -> dict[str, Any]:
        return await self.ask(json.dumps([name, payload]))

    async def code(self, event: str) -> str:
        """The code with which an event is refused; `ok` when it is not."""
        ack = await self.ask(event)
        return ack["error"]["code"] if "error" in ack else "ok"

    def _ack(self, frame: str) -> dict[str, Any]:
        return json.loads(frame[frame.index("[") :])[0]


@asynccontextmanager
async def entered(url: str, auth: dict[str, Any], namespace: str = "/customers", **options: Any):
    async with Wire(url, namespace, **options) as wire:
        code = await wire.enter(auth)
        assert code is None, code
        yield wire
