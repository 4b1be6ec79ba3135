"""The team's own assistant: a signed POST, answered with JSON or an event stream (README, "Your own assistant")."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from handoff.assistants import AnswerFailed, NeedsHuman, Piece, Question, Remember
from handoff.assistants.event_stream import events
from handoff.assistants.outgoing import Outgoing, Reply, TryAgain
from handoff.clock import new_id
from handoff.seals import Seal

TRIES = 3
NOTES = 20  # things to remember from one answer


@dataclass
class Told:
    """What came besides the text. Each of it costs a write: a call for a person counts once, a note once and among the first."""

    notes: set[Remember] = field(default_factory=set)
    has_called: bool = False

    def is_news(self, piece: Piece) -> bool:
        match piece:
            case NeedsHuman():
                has_called, self.has_called = self.has_called, True
                return not has_called
            case Remember():
                if piece in self.notes or len(self.notes) >= NOTES:
                    return False
                self.notes.add(piece)
        return True


class Webhook:
    def __init__(self, outgoing: Outgoing, keys: Seal) -> None:
        self._outgoing = outgoing
        self._keys = keys

    async def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Stream what the webhook says. Asked again, with the same event id, while nothing was shown and there is time.

        Raises AnswerFailed.
        """
        clock, until = asyncio.get_running_loop().time, self._outgoing.until(question)
        event, shown, told = question.event_id or new_id(), False, Told()
        for attempt in range(1, TRIES + 1):
            try:
                async with aclosing(self._one(question, event, until)) as pieces:
                    async for piece in pieces:
                        shown = shown or isinstance(piece, str)
                        if told.is_news(piece):
                            yield piece
                return
            except TryAgain as failure:
                pause = failure.pause * attempt
                if attempt == TRIES or shown or clock() + pause >= until:
                    raise
                await asyncio.sleep(pause)

    async def _one(self, question: Question, event: str, until: float) -> AsyncGenerator[Piece, None]:
        key = self._keys.open(question.provider.webhook_key)
        if not key:
            raise AnswerFailed("The webhook has no key that could sign: make a new one.")
        body = json.dumps(described(question, event), ensure_ascii=False).encode()
        sent_at = str(int(time.time()))
        headers = {
            "Accept": "text/event-stream, application/json",
            "Handoff-Time": sent_at,
            "Handoff-Event": event,
            "Handoff-Signature": signature(key, sent_at, body),
        }
        async with self._outgoing.post("The webhook", question.provider.webhook_url, body, headers, until) as reply:
            async for piece in _pieces(reply):
                yield piece


def signature(key: str, sent_at: str, body: bytes) -> str:
    """HMAC-SHA256 over the time, a dot and the body, in hex."""
    return hmac.new(key.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()


def described(question: Question, event: str) -> dict[str, Any]:
    return {
        "event": event,
        "team": question.team_id,
        "assistant": question.assistant_id,
        "conversation": question.conversation_id or None,
        "transcript": [{"author": author, "text": text} for author, text in question.lines],
        "question": question.text,
    }


async def _pieces(reply: Reply) -> AsyncIterator[Piece]:
    if not reply.is_stream:
        for piece in _said(await reply.whole()):
            yield piece
        return
    async for event, data in events(reply.chunks()):
        said = _parsed(data)
        for piece in _told(said):
            yield piece
        if event == "done" or said.get("done") is True:
            return
    raise AnswerFailed("The webhook's answer was cut off: its stream ended without done.")


def _said(sent: str) -> Iterator[Piece]:
    return _told(_parsed(sent))


def _parsed(sent: str) -> dict[str, Any]:
    try:
        said = json.loads(sent)
    except (ValueError, RecursionError):
        raise AnswerFailed("The webhook sent what is no JSON.") from None
    if not isinstance(said, dict):
        raise AnswerFailed("The webhook sent JSON that is no object.")
    return said


def _told(said: dict[str, Any]) -> Iterator[Piece]:
    """What is noted and asked for comes first: it counts even where the text comes to nothing."""
    remember, wish, text = said.get("remember") or {}, said.get("request_human"), said.get("text") or ""
    if said.get("error"):
        raise AnswerFailed("The webhook reported an error.")
    if not isinstance(remember, dict) or not isinstance(text, str) or not isinstance(wish, str | bool | None):
        raise AnswerFailed("The webhook sent JSON that is not as it was agreed.")
    for name, value in list(remember.items())[:NOTES]:
        if isinstance(value, str | int | float):
            yield Remember(name, str(value))
    if wish:
        yield NeedsHuman("asked_for_human", wish if isinstance(wish, str) else "The assistant asked for a person.")
    if text:
        yield text
