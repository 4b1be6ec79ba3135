"""A bad network: a TCP hop whose connections can be cut, frozen and refused."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Self

from tests.servers import LOOPBACK, free_port


class Relay:
    """A TCP hop in front of `port`, for faults in the network. Use `async with Relay(port) as relay` and connect to
    `relay.port`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self._flows = asyncio.Event()
        self._flows.set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        await self.cut()

    def freeze(self) -> None:
        """Keep connections open, take new ones too, and pass nothing on."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    async def cut(self) -> None:
        """Reset every connection that is open now; new ones work."""
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)

    async def refuse(self) -> None:
        """Refuse new connections; open ones live on."""
        if self._server:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        if not self._server:
            self._server = await asyncio.start_server(self._connect, LOOPBACK, self.port)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._pipes.add(task)
        # A cut is how a connection ends here, and no error that asyncio should report.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            async with _aborting(writer):
                await self._flows.wait()
                far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
                async with _aborting(far_writer):
                    await _first_done(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._pipes.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def _aborting(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close `writer` in the end: what it has taken still goes out, unless we are being cut."""
    try:
        yield
        writer.close()
    except BaseException:
        # Closing without lingering sends a reset, as a router that forgot the connection would.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise


async def _first_done(*pumps: Any) -> None:
    """Run both ways of a connection until one has ended: half-open connections are of no use to HTTP or WebSocket."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
