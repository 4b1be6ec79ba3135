"""Facts between processes over Redis. Thrift and speed, never the truth: what gets lost, clients find as a gap and fetch.

One task sends, in sequence; one listens. Redis being slow, frozen or gone holds up nobody: the queue is bounded and drops.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from handoff.events import FACTS, Fact
from handoff.outbox import Outbox
from handoff.presence import Presence

log = structlog.get_logger()

CHANNEL = "handoff:facts"
LENGTH = 10_000
PRESENCE_SECONDS = 3

lost = Counter("handoff_relay_lost_total", "Facts that did not reach Redis")


class Relay:
    def __init__(self, url: str, process: str, outbox: Outbox, presence: Presence, catch_up: Callable[[], Awaitable[None]]) -> None:
        """`catch_up` is called when facts may have been missed here: it makes every client here fetch."""
        self._redis = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, health_check_interval=5)
        self._process = process
        self._outbox = outbox
        self._presence = presence
        self._catch_up = catch_up
        self._has_lost = False  # something that was to be sent
        self._was_deaf = False
        self._envelopes: asyncio.Queue[str] = asyncio.Queue(LENGTH)

    def send(self, fact: Fact) -> None:
        self._put({"kind": type(fact).__name__, "fact": asdict(fact)})

    async def run(self) -> None:
        """Send, listen and say who is watched here; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._listen())
            tasks.create_task(self._say_presence())

    async def close(self) -> None:
        await self._redis.aclose()

    def _put(self, envelope: dict[str, Any]) -> None:
        try:
            self._envelopes.put_nowait(json.dumps({"process": self._process, **envelope}))
        except asyncio.QueueFull:
            self._lose()

    def _lose(self) -> None:
        """Remember it, so that the others hear of it as soon as they hear anything."""
        lost.inc()
        self._has_lost = True

    async def _send(self) -> None:
        while True:
            envelope = await self._envelopes.get()
            try:
                if self._has_lost:
                    await self._redis.publish(CHANNEL, json.dumps({"process": self._process, "lost": True}))
                    self._has_lost = False
                await self._redis.publish(CHANNEL, envelope)
            except (RedisError, OSError) as error:
                self._lose()
                log.warning("relay_lost", error=type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    log.info("relay_joined")
                    await self._heard_again()
                    while True:
                        message = await channel.get_message(timeout=1)
                        if message is not None:
                            await self._heard(message["data"])
            except (RedisError, OSError) as error:
                self._was_deaf = True
                log.warning("relay_interrupted", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _heard_again(self) -> None:
        if self._was_deaf:
            self._was_deaf = False
            await self._catch_up()

    async def _heard(self, data: bytes) -> None:
        try:
            envelope = json.loads(data)
            if envelope["process"] == self._process:
                return
            if "watched" in envelope:
                self._presence.heard(envelope["process"], envelope["watched"])
            elif "lost" in envelope:
                await self._catch_up()
            else:
                self._outbox.put_relayed(FACTS[envelope["kind"]](**envelope["fact"]))
        except (ValueError, KeyError, TypeError):
            log.warning("relay_not_understood")

    async def _say_presence(self) -> None:
        while True:
            self._put({"watched": self._presence.watched_here()})
            await asyncio.sleep(PRESENCE_SECONDS)
