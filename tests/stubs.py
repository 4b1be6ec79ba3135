"""Model endpoints and webhooks: real HTTP servers that do as a test says. They can hold, drip, cut, fail and lie, byte by byte,
and note when the other side closed the connection."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from handoff.assistants import ProviderSettings
from handoff.seals import Seal
from tests.servers import LOOPBACK, SECRET_KEY
from tests.waiting import wait_until

KEY = "sk-the-key-of-the-stub"
ENOUGH = 10.0


@dataclass
class Call:
    """One request, and the connection on which a script answers it."""

    stub: "Stub"
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    began_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None  # when the other side closed it; None while it listens

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", "Transfer-Encoding: chunked", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send_raw("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """A chunk of the body."""
        await self.send_raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        """The body's proper end, whatever was said."""
        await self.send_raw(b"0\r\n\r\n")

    async def send_raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def is_closed(self, timeout: float = ENOUGH) -> float:
        """Wait until the other side has closed it; gives that time."""
        return await wait_until(lambda: self.closed_at, timeout, "the connection to the stub is closed")


Script = Callable[[Call], Awaitable[None]]


class Stub:
    """Answers the n-th request with the n-th script that it was given, and every further one with the last."""

    kind = ""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.scripts: list[Script] = []
        self.url = ""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, LOOPBACK, 0)
        self.url = f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def will(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    async def is_asked(self, times: int = 1) -> Call:
        await wait_until(lambda: len(self.calls) >= times, ENOUGH, f"the {self.kind} is asked {times} times")
        return self.calls[times - 1]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
        call = Call(self, first.split(" ")[1], headers, body, writer)
        self.calls.append(call)
        script = self.scripts[min(len(self.calls), len(self.scripts)) - 1]
        speaking = asyncio.create_task(self._speak(script, call))
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(100):
                    pass
            call.closed_at = time.monotonic()
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, script: Script, call: Call) -> None:
        await script(call)
        call.writer.close()

    # What differs between the two kinds.

    def settings(self) -> dict[str, Any]:
        """The columns of an assistant whose answers come from here."""
        raise NotImplementedError

    def text(self, piece: str) -> bytes:
        raise NotImplementedError

    def wish(self, reason: str) -> bytes:
        raise NotImplementedError

    def note(self, name: str, value: str) -> bytes:
        raise NotImplementedError

    def over(self) -> bytes:
        raise NotImplementedError

    # Scripts of both kinds.

    def says(self, *pieces: str | bytes, pause: float = 0) -> Script:
        """A whole answer in these pieces; bytes go as they are."""

        async def script(call: Call) -> None:
            await call.head()
            for piece in pieces:
                await call.send(self.text(piece) if isinstance(piece, str) else piece)
                await asyncio.sleep(pause)
            await call.send(self.over())
            await call.end()

        return script

    async def holds(self, call: Call) -> None:
        """Takes the request and says nothing."""
        await asyncio.Event().wait()

    def fails(self, status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Script:
        async def script(call: Call) -> None:
            await call.head(status, kind, **headers)
            await call.send(body)
            await call.end()

        return script


class ModelStub(Stub):
    """Chat completions."""

    kind = "model"

    def provider(self, **changes: Any) -> ProviderSettings:
        return ProviderSettings("model", **{**_without(self.settings(), "provider"), **changes})

    def settings(self) -> dict[str, Any]:
        key = Seal(SECRET_KEY, "assistant keys").close(KEY)
        return {"provider": "model", "base_url": f"{self.url}/v1", "model": "stub-1", "model_key": key}

    def text(self, piece: str) -> bytes:
        return self.chunk({"content": piece})

    def wish(self, reason: str) -> bytes:
        return self.called(0, "request_human", {"reason": reason})

    def note(self, name: str, value: str) -> bytes:
        return self.called(0, "remember", {"name": name, "value": value})

    def over(self) -> bytes:
        return self.chunk({}, finish="stop") + b"data: [DONE]\n\n"

    def calls_over(self) -> bytes:
        return self.chunk({}, finish="tool_calls") + b"data: [DONE]\n\n"

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]})

    def called(self, index: int, name: str, arguments: dict[str, Any]) -> bytes:
        """A tool call, its arguments in two parts."""
        raw = json.dumps(arguments)
        begin = {"index": index, "id": f"call-{index}", "type": "function", "function": {"name": name, "arguments": raw[:7]}}
        rest = {"index": index, "function": {"arguments": raw[7:]}}
        return self.chunk({"tool_calls": [begin]}) + self.chunk({"tool_calls": [rest]})


class WebhookStub(Stub):
    kind = "webhook"

    def provider(self, **changes: Any) -> ProviderSettings:
        return ProviderSettings("webhook", **{**_without(self.settings(), "provider"), **changes})

    def settings(self) -> dict[str, Any]:
        key = Seal(SECRET_KEY, "assistant keys").close(KEY)
        return {"provider": "webhook", "webhook_url": f"{self.url}/answer", "webhook_key": key}

    def text(self, piece: str) -> bytes:
        return _event({"text": piece})

    def wish(self, reason: str) -> bytes:
        return _event({"request_human": reason})

    def note(self, name: str, value: str) -> bytes:
        return _event({"remember": {name: value}})

    def over(self) -> bytes:
        return _event({"done": True})


class Hand:
    """A script that a test leads by the hand: what it is given goes out at once."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()

    def say(self, *pieces: str | bytes) -> None:
        for piece in pieces:
            self._sent.put_nowait(self.stub.text(piece) if isinstance(piece, str) else piece)

    def finish(self) -> None:
        self.say(self.stub.over())
        self._sent.put_nowait(None)

    async def __call__(self, call: Call) -> None:
        await call.head()
        while (data := await self._sent.get()) is not None:
            await call.send(data)
        await call.end()


def _event(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _without(columns: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in columns.items() if key != name}
