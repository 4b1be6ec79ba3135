"""Brings notices out of the house: to the team's webhook, signed as their assistant's is, and by mail. Runs beside the rest.

A few at a time, and of one team two, so that a place which does not answer holds up nobody else.
"""

import asyncio
import json
import random
import time
from collections import Counter as Counts
from contextlib import suppress

import structlog
from prometheus_client import Counter

from handoff import deliveries
from handoff.assistants import AnswerFailed
from handoff.assistants.outgoing import Outgoing
from handoff.assistants.webhook import signature
from handoff.database import Database
from handoff.deliveries import Sending
from handoff.errors import Refused
from handoff.mail import Mail, MailFailed
from handoff.seals import Seal

log = structlog.get_logger()

PATIENCE = 10.0  # seconds for one attempt
AT_ONCE = 20
OF_A_TEAM = 2

attempted = Counter("handoff_deliveries_total", "Attempts to deliver a notice", ["kind", "how"])


class NotDelivered(Exception):
    """With words for the log; `is_final` where no repetition can help."""

    def __init__(self, words: str, is_final: bool = False) -> None:
        super().__init__(words)
        self.words, self.is_final = words, is_final


class Delivering:
    def __init__(self, database: Database, outgoing: Outgoing, mail: Mail, keys: Seal, pause: float) -> None:
        self._database = database
        self._outgoing = outgoing
        self._mail = mail
        self._keys = keys
        self._pause = pause
        self._running: dict[asyncio.Task[None], str] = {}  # each with its team
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Deliver for ever. Several processes may: each claims what it delivers."""
        try:
            while True:
                self._freed.clear()
                try:
                    await self.look()
                except Refused:
                    log.warning("deliveries_postponed")
                except Exception:
                    log.exception("deliveries_failed")
                with suppress(TimeoutError):
                    # Between two looks, so that processes do not keep step; sooner when there is room again.
                    await asyncio.wait_for(self._freed.wait(), self._pause * random.uniform(0.8, 1.2))  # noqa: S311
        finally:
            for task in self._running:
                task.cancel()

    async def look(self) -> None:
        """Begin with what is due, as far as there is room."""
        while len(self._running) < AT_ONCE:
            begun = 0
            for delivery_id, team_id, seen in await self._database.read(deliveries.due, self._busy()):
                if len(self._running) < AT_ONCE and team_id not in self._busy():
                    begun += await self._begin(delivery_id, seen)
            if not begun:
                return

    async def rest(self) -> None:
        """Wait until what was begun has ended."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def _busy(self) -> list[str]:
        return [team_id for team_id, count in Counts(self._running.values()).items() if count >= OF_A_TEAM]

    async def _begin(self, delivery_id: str, seen: int) -> bool:
        sending = await self._database.write(delivery_id, deliveries.claim, delivery_id, seen)
        if sending is None:
            return False
        task = asyncio.create_task(self._tried(sending))
        self._running[task] = sending.team_id
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._freed.set()

    async def _tried(self, sending: Sending) -> None:
        try:
            await self._deliver(sending)
        except Refused:  # the claim will run out, and somebody tries again
            log.warning("delivery_not_noted", delivery=sending.id)
        except Exception:
            log.exception("delivery_failed", delivery=sending.id)

    async def _deliver(self, sending: Sending) -> None:
        about = {"delivery": sending.id, "team": sending.team_id, "kind": sending.kind, "attempt": sending.attempt}
        try:
            words = await (self._post(sending) if sending.kind == "webhook" else self._mail_it(sending))
        except NotDelivered as failure:
            attempted.labels(sending.kind, "failed").inc()
            log.info("notice_not_delivered", **about)
            await self._database.write(sending.id, deliveries.not_delivered, sending, failure.words, failure.is_final)
            return
        attempted.labels(sending.kind, "delivered").inc()
        log.info("notice_delivered", **about)
        await self._database.write(sending.id, deliveries.delivered, sending, words)

    async def _post(self, sending: Sending) -> str:
        key = self._keys.open(sending.key)
        if not key:
            raise NotDelivered("The webhook has no secret that could sign: make a new one.")
        body, sent_at = sending.body.encode(), str(int(time.time()))
        headers = {"Handoff-Time": sent_at, "Handoff-Event": sending.id, "Handoff-Signature": signature(key, sent_at, body)}
        until = asyncio.get_running_loop().time() + PATIENCE
        try:
            async with self._outgoing.post("The webhook", sending.target, body, headers, until, good=range(200, 300)) as reply:
                return f"It answered {reply.response.status}."
        except AnswerFailed as failure:
            raise NotDelivered(str(failure)) from None

    async def _mail_it(self, sending: Sending) -> str:
        if not self._mail.is_on:
            raise NotDelivered("This Handoff has no mail server.", is_final=True)
        subject, text = mail_of(json.loads(sending.body))
        try:
            await self._mail.send(sending.target, subject, text, sending.id)
        except MailFailed:
            raise NotDelivered("The mail server could not be reached, or did not take it.") from None
        return "The mail server took it."


def mail_of(told: dict[str, object]) -> tuple[str, str]:
    """A notice as a mail: subject and text."""
    if told["kind"] == "test":
        return "Handoff: a test", f"This is a test. Notices of your team reach this address.\n\n{told['link']}\n"
    signal, customer = told["signal"], told["customer"]
    assert isinstance(signal, dict) and isinstance(customer, dict)  # noqa: S101 - as `deliveries.described` made them
    who = customer["name"] or "A customer"
    lines = [f"{who} needs a person, and nobody has reacted yet.", "", signal["reason"] or signal["kind"].replace("_", " ")]
    return f"{told['assistant_name']}: a customer needs a person", "\n".join([*lines, "", f"Open it: {told['link']}", ""])
