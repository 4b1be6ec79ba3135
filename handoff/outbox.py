"""One outbox per process: facts leave it in commit order, one after another, never on the path of a command."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from prometheus_client import Counter, Gauge

from handoff.events import Fact

log = structlog.get_logger()

LENGTH = 50_000

waiting = Gauge("handoff_outbox_facts", "Facts that wait to be announced")
lost = Counter("handoff_outbox_lost_total", "Facts that were not announced; clients find the gap and fetch")

Listener = Callable[[Fact], Awaitable[None]]


class Outbox:
    def __init__(self) -> None:
        self._facts: asyncio.Queue[tuple[Fact, bool]] = asyncio.Queue(LENGTH)
        self._listeners: list[Listener] = []
        self._relays: list[Callable[[Fact], None]] = []
        waiting.set_function(self._facts.qsize)

    def listen(self, *listeners: Listener) -> None:
        """Each fact goes to these in this order, wherever it happened."""
        self._listeners += listeners

    def relay(self, send: Callable[[Fact], None]) -> None:
        """Facts that happened here also go to `send`, which must not wait."""
        self._relays.append(send)

    def put(self, facts: Sequence[Fact]) -> None:
        """Announce what happened here."""
        self._put(facts, happened_here=True)

    def put_relayed(self, fact: Fact) -> None:
        """Announce what happened on another process."""
        self._put([fact], happened_here=False)

    def _put(self, facts: Sequence[Fact], happened_here: bool) -> None:
        for fact in facts:
            try:
                self._facts.put_nowait((fact, happened_here))
            except asyncio.QueueFull:
                lost.inc()

    async def run(self) -> None:
        """Announce for ever. A listener that fails is logged and costs the others nothing."""
        while True:
            fact, happened_here = await self._facts.get()
            for listener in self._listeners:
                try:
                    await listener(fact)
                except Exception:
                    log.exception("announcement_failed", fact=type(fact).__name__)
            if happened_here:
                self._pass_on(fact)
            self._facts.task_done()

    def _pass_on(self, fact: Fact) -> None:
        for send in self._relays:
            try:
                send(fact)
            except Exception:
                log.exception("relay_failed", fact=type(fact).__name__)

    async def drain(self) -> None:
        """Wait until everything that was put has been announced."""
        await self._facts.join()
