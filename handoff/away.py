"""Telling a customer who asked for a person that nobody is there, in the team's own words.

The line is the assistant's, so the customer's socket looks as it always does (I7). One conditional statement stores it, which finds
nothing once an agent has the conversation (I2). It waits for a turn that is being written: the answer comes first.
"""

import asyncio

import structlog
from peewee import Expression, fn

from handoff import messages
from handoff.database import Database, Happened
from handoff.errors import Refused
from handoff.events import Fact, SignalRaised
from handoff.markdown import render
from handoff.models import Conversation, Signal, Team
from handoff.presence import Presence

log = structlog.get_logger()

PAUSE = 0.5  # seconds between two looks whether the turn has ended
LOOKS = 240


class Away:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence
        self._telling: set[asyncio.Task[None]] = set()

    def hear(self, fact: Fact) -> None:
        """Hears what happened on this process, each fact once: so one request is answered once, whatever the others hear."""
        if not isinstance(fact, SignalRaised) or fact.signal["kind"] != "asked_for_human":
            return
        if self._presence.is_watched(fact.assistant_id):  # only who holds a seat can watch
            return
        task = asyncio.create_task(self._tell(fact.signal["id"], fact.conversation_id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _tell(self, signal_id: str, conversation_id: str) -> None:
        try:
            for _ in range(LOOKS):
                is_busy = await self._database.read(is_answering, conversation_id)
                if not is_busy and await self._database.write(conversation_id, tell, signal_id, conversation_id):
                    return
                await asyncio.sleep(PAUSE)
        except Refused:
            log.warning("away_not_told", conversation=conversation_id)
        except Exception:
            log.exception("away_failed", conversation=conversation_id)


def is_answering(conversation_id: str) -> bool:
    running = (Conversation.id == conversation_id) & Conversation.turn_id.is_null(False)
    return bool(Conversation.select().where(running).exists())


def tell(signal_id: str, conversation_id: str) -> Happened[bool]:
    """Store the team's text while the request stands and nobody has the conversation; false while the assistant is answering."""
    text = Team.select(Team.away_text).join(Conversation, on=(Conversation.team == Team.id)).where(_is(conversation_id)).scalar()
    free = Conversation.owner.is_null() & Conversation.turn_id.is_null() & (Conversation.status == "active")
    stands = Signal.select(1).where(Signal.id == signal_id, Signal.cleared_at.is_null())
    if not text:
        return Happened(True)
    conversation = messages.claim_number(_is(conversation_id) & free & fn.EXISTS(stands))
    if conversation is not None:
        return Happened(True, [messages.store(conversation, "assistant", text, is_answer=False, html=render(text))])
    waits = _is(conversation_id) & Conversation.turn_id.is_null(False)
    return Happened(not Conversation.select().where(waits).exists())


def _is(conversation_id: str) -> Expression:
    return Conversation.id == conversation_id
