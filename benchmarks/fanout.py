"""What a fact costs the server for each watcher who hears it: CPU time of its process, by the bare server's of reference.py.

A customer writes into a conversation that a human owns, so nothing but lines is said. The watchers are real WebSockets that do
no more than count, so that they leave the machine to the servers.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

from benchmarks.ground import arguments, databases, folder, in_turns, print_table, ratio
from handoff.identity import COOKIE
from tests.apart import new_client_id, served_apart
from tests.cast import Agent, Customer, Person, Stage
from tests.servers import LOOPBACK, ROOT, Program, free_port
from tests.waiting import wait_until

WATCHERS = ((1, False), (50, False), (200, False), (50, True))  # how many, and whether they ask for compression as browsers do
PATIENCE = 60.0
LINE = "Hello, my order 10482 has not come yet. Could you tell me where it is?"


class Ear:
    """A watcher's socket: speaks as much Engine.IO and Socket.IO as it takes to count lines."""

    def __init__(self, url: str, cookie: str, compressed: bool) -> None:
        self.lines = 0
        self._address = f"{url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
        self._options = {"headers": {"Cookie": f"{COOKIE}={cookie}"}, "compress": 15 if compressed else 0}

    async def watch(self, http: aiohttp.ClientSession, assistant_id: str) -> Self:
        self._socket = await http.ws_connect(self._address, **self._options)
        await self._send_and_wait("40/agents," + json.dumps({"protocol": 1}), "40/agents,")
        await self._send_and_wait("42/agents,0" + json.dumps(["watch", {"assistant_id": assistant_id}]), '43/agents,0[{"ok"')
        self._counting = asyncio.create_task(self._count())
        return self

    async def leave(self) -> None:
        self._counting.cancel()
        await self._socket.close()

    async def _send_and_wait(self, packet: str, answer: str) -> None:
        await self._socket.send_str(packet)
        async for frame in self._socket:
            assert not frame.data.startswith("44"), frame.data
            if frame.data.startswith(answer):
                return

    async def _count(self) -> None:
        async for frame in self._socket:
            if frame.data == "2":
                await self._socket.send_str("3")
            elif frame.data.startswith('42/agents,["message_posted"'):
                self.lines += 1


@dataclass
class Server:
    """One of the two that are compared: its process, and somebody who writes."""

    url: str
    pid: int
    writer: Person
    cookie: str = ""
    assistant_id: str = ""
    payload: dict = field(default_factory=dict)

    async def say(self) -> None:
        await self.writer.do("post_message", **(self.payload or {"client_id": new_client_id(), "text": LINE}))
        self.writer.heard.facts.clear()

    def cpu(self) -> float:
        """Seconds so far, its threads included."""
        spent = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    options = arguments(__doc__, rounds=3, deliveries=6_000)
    rows = []
    for name, url in databases(options.database_url):
        settings = {"log_level": "warning", "commands_per_10_seconds": 1_000_000}
        async with AsyncExitStack() as stack:
            path = stack.enter_context(folder())
            stage, process = await stack.enter_async_context(served_apart(url, path, **settings))
            handoff, fact = await handoff_server(stage, process.pid)
            servers = {"handoff": handoff, "reference": await reference_server(stack, path, *fact)}
            for count, compressed in WATCHERS:
                rows.append([name, *await compared(servers, count, compressed, options)])
    head = ["database", "watchers", "compressed", "us a delivery", "us in the reference", "ratio"]
    print_table(
        "A line to an assistant's watchers: the server's CPU time for each delivery (PostgreSQL's own not counted)", head, rows
    )


async def handoff_server(stage: Stage, pid: int) -> tuple[Server, tuple[dict, dict]]:
    """A customer whose conversation Ada owns; and one line as the customer and as a watcher hear it."""
    ada: Agent = await stage.watcher("Ada")
    customer = await stage.customer()
    message = await customer.write(LINE)
    await ada.take_over(message["conversation_id"])
    posted = await customer.write(LINE)
    heard = await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == posted["number"])
    await ada.leave()
    return Server(stage.url, pid, customer, ada.cookie, stage.assistant_id), ({"message": posted}, heard)


async def reference_server(stack: AsyncExitStack, path: Path, to_customer: dict, to_watchers: dict) -> Server:
    port = free_port()
    program = Program("reference", path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program.launch(sys.executable, "-m", "benchmarks.reference", str(port), env=environment)
    stack.callback(program.close)
    writer = Customer(f"http://{LOOPBACK}:{port}")

    async def connected() -> bool:
        assert program.is_running, program.output()
        try:
            await writer.connect({})
        except Exception:  # not yet
            return False
        return True

    await wait_until(connected, PATIENCE, "the reference server answers")
    stack.push_async_callback(writer.leave)
    return Server(writer.url, program.pid, writer, payload={"to_customer": to_customer, "to_watchers": to_watchers})


async def compared(servers: dict[str, Server], count: int, compressed: bool, options) -> list[str]:
    lines = max(40, min(150, options.deliveries // count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        ears = {name: await listening(http, server, count, compressed) for name, server in servers.items()}

        async def measure(arm: str) -> float:
            return await cpu_of(servers[arm], ears[arm], lines)

        rounds = await in_turns(options.rounds, measure, list(servers))
        await asyncio.gather(*(ear.leave() for both in ears.values() for ear in both))
    spent = {name: min(figures[name] for figures in rounds) * 1e6 for name in servers}
    against = ratio([(figures["handoff"], figures["reference"]) for figures in rounds])
    return [str(count), "yes" if compressed else "no", f"{spent['handoff']:.0f}", f"{spent['reference']:.0f}", against]


async def listening(http: aiohttp.ClientSession, server: Server, count: int, compressed: bool) -> list[Ear]:
    return [await Ear(server.url, server.cookie, compressed).watch(http, server.assistant_id) for _ in range(count)]


async def cpu_of(server: Server, ears: list[Ear], lines: int) -> float:
    """CPU seconds for each delivery while so many lines are said, one after the other."""
    heard, spent = [ear.lines for ear in ears], server.cpu()
    for _ in range(lines):
        await server.say()
    everybody = lambda: all(ear.lines - before >= lines for ear, before in zip(ears, heard, strict=True))  # noqa: E731
    await wait_until(everybody, PATIENCE, "every watcher has heard every line")
    return (server.cpu() - spent) / (lines * len(ears))


if __name__ == "__main__":
    asyncio.run(main())
