"""The writer of a turn: it lets the assistant answer, keeps the draft, and stores the answer; or stops at once when the turn ends.

Stopping it is thrift. What keeps a late answer out is the condition in `turns.write_draft` and `turns.finish` (I2).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from peewee import fn
from prometheus_client import Counter, Gauge, Histogram

from handoff import memory, turns
from handoff.assistants import AnswerFailed, NeedsHuman, Piece, Provider, ProviderSettings, Question, Remember
from handoff.assistants.places import Places
from handoff.clock import now
from handoff.database import Database
from handoff.errors import TurnEnded as Ended
from handoff.errors import Unavailable
from handoff.events import Fact, TurnEnded, TurnStarted, TypingChanged
from handoff.markdown import render
from handoff.models import Assistant, Conversation, Message, Turn

log = structlog.get_logger()

DRAFT_SECONDS = 0.2  # between two updates of a draft: five a second
TYPING_SECONDS = 4.0  # between two signs of writing, which expire after six
ANSWER_BYTES = 16 * 1024
LINES = 20
TRIES = 8  # to store an answer while the database is away
AT_ONCE = 100
ANSWERS_AN_HOUR = 20  # of a provider outside, in one conversation; a customer who needs more needs a person
HOUR = 60 * 60 * 1000

writing = Gauge("handoff_turns_running", "Turns that this process is writing")
ended = Counter("handoff_turns_total", "Turns by how they ended here", ["how"])
first_piece = Histogram("handoff_first_piece_seconds", "Time from the start of a turn to the assistant's first piece")


@dataclass(frozen=True)
class Asked:
    """What a writer needs to know of its conversation."""

    question: Question
    fallback: str
    version: int
    answered_lately: int


@dataclass(frozen=True)
class Answer:
    """What is to be stored; with a failure, the fallback text."""

    text: str
    failure: str = ""
    status: str = "finished"


@dataclass
class Draft:
    text: str = ""
    size: int = 0

    def add(self, text: str) -> None:
        self.text += text
        self.size += len(text.encode())
        if self.size > ANSWER_BYTES:
            raise AnswerFailed("The assistant's answer did not end.")


class Writers:
    def __init__(
        self,
        database: Database,
        providers: Mapping[str, Provider],
        announce: Callable[[Sequence[Fact]], None],
        process: str,
        turn_seconds: float,
    ) -> None:
        self._database = database
        self.providers = providers
        self._announce = announce
        self._process = process
        self._turn_seconds = turn_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places = Places(AT_ONCE)
        writing.set_function(lambda: len(self._tasks))

    async def heed(self, fact: Fact) -> None:
        """Write the turns that this process claimed; stop those that ended, whoever ended them."""
        if isinstance(fact, TurnStarted) and fact.claimed_by == self._process:
            task = asyncio.create_task(self._write(fact.turn, fact.conversation_id))
            self._tasks[fact.turn] = task
            task.add_done_callback(lambda _: self._tasks.pop(fact.turn, None))
        elif isinstance(fact, TurnEnded):
            task_ended = self._tasks.get(fact.turn)
            if task_ended is not None:
                task_ended.cancel()

    async def stop(self) -> None:
        """Leave every turn as it is; whoever starts next takes them up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, turn: str, conversation_id: str) -> None:
        try:
            asked = await self._until_available(self._database.read, ask, turn)
            answer = await self._answered(turn, asked)
            html = await asyncio.to_thread(render, answer.text)
            stored = (turn, conversation_id, answer.text, html, self._process, answer.failure, answer.status)
            await self._until_available(self._database.write, conversation_id, turns.finish, *stored)
            ended.labels(answer.status).inc()
        except (Ended, asyncio.CancelledError):
            ended.labels("ended").inc()
        except Unavailable:
            ended.labels("left").inc()  # its claim runs out and somebody takes it up
        except Exception:
            ended.labels("left").inc()
            log.exception("turn_failed", conversation=conversation_id, turn=turn)

    async def _answered(self, turn: str, asked: Asked) -> Answer:
        """An answer that is not whole becomes the fallback text. Raises Ended."""
        if asked.question.provider.is_outside and asked.answered_lately >= ANSWERS_AN_HOUR:
            return Answer(
                asked.fallback, f"It has answered {ANSWERS_AN_HOUR} times within an hour here, which is the limit.", "refused"
            )
        draft = Draft()
        try:
            await self._drafted(turn, asked, draft)
        except AnswerFailed as failure:
            return Answer(asked.fallback, str(failure), "failed")
        return Answer(draft.text.strip())

    async def _drafted(self, turn: str, asked: Asked, draft: Draft) -> None:
        """Let the answer grow in `draft` and keep it in its turn, until it is whole. Raises AnswerFailed, Ended."""
        collecting = asyncio.create_task(self._collect(turn, asked, draft))
        try:
            await self._keep(turn, asked, draft, collecting)
            await collecting
        finally:
            collecting.cancel()
            with suppress(asyncio.CancelledError, AnswerFailed, Ended, Unavailable):
                await collecting

    async def _collect(self, turn: str, asked: Asked, draft: Draft) -> None:
        waited = (now() - asked.question.asked_at) / 1000
        try:
            async with asyncio.timeout(self._turn_seconds - max(0, waited)), self._places.place(asked.question.team_id):
                await self._read(turn, asked, draft)
        except TimeoutError:
            raise AnswerFailed(f"No whole answer came within {self._turn_seconds:g} seconds.") from None
        except (AnswerFailed, Ended, Unavailable, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("assistant_failed", conversation=asked.question.conversation_id)
            raise AnswerFailed(f"The assistant stopped with an error ({type(error).__name__}).") from error
        if not draft.text.strip():
            raise AnswerFailed("The assistant's answer was empty.")

    async def _read(self, turn: str, asked: Asked, draft: Draft) -> None:
        provider = self.providers[asked.question.provider.kind]
        async with aclosing(provider.answer(asked.question)) as stream:
            with first_piece.time():
                piece = await anext(stream, None)
            while piece is not None:
                await self._take(turn, asked.question.conversation_id, piece, draft)
                piece = await anext(stream, None)

    async def _take(self, turn: str, conversation_id: str, piece: Piece, draft: Draft) -> None:
        """Text grows the draft. A call for a person or a note counts at once, if the turn still does: nothing is read meanwhile."""
        match piece:
            case NeedsHuman(kind, reason):
                called = (turn, conversation_id, kind, _storable(reason))
                await self._until_available(self._database.write, conversation_id, turns.call_human, *called)
            case Remember(name, value):
                noted = (turn, conversation_id, name, value)
                await self._until_available(self._database.write, conversation_id, memory.remember, *noted)
            case str():
                draft.add(_storable(piece))

    async def _keep(self, turn: str, asked: Asked, draft: Draft, collecting: "asyncio.Task[None]") -> None:
        """Write the draft as it grows, and a sign of life while it does not, until the answer is there."""
        clock = asyncio.get_running_loop().time
        kept, renew_at, typing_at = "", 0.0, clock() + TYPING_SECONDS
        while True:
            await asyncio.wait({collecting}, timeout=DRAFT_SECONDS)
            if collecting.done():
                return
            if clock() >= typing_at:
                typing_at = clock() + TYPING_SECONDS
                self._announce([_writes(asked)])
            text = draft.text.lstrip()  # as it will be stored; of space alone a takeover must not keep a line
            if text != kept or clock() >= renew_at:
                kept, renew_at = text, clock() + turns.CLAIM / 3000
                with suppress(Unavailable):  # nothing is shown meanwhile; the next round tries again
                    conversation_id = asked.question.conversation_id
                    await self._database.write(conversation_id, turns.write_draft, turn, conversation_id, kept)

    async def _until_available(self, call: Callable[..., Any], *arguments: Any) -> Any:
        for pause in [0.1 * 2**attempt for attempt in range(TRIES - 1)]:
            try:
                return await call(*arguments)
            except Unavailable:
                await asyncio.sleep(min(pause, 2))
        return await call(*arguments)


def ask(turn_id: str) -> Asked:
    """Read what the assistant is to know; to be run as a query.

    The lines that this turn answers come last, after whatever was said: an earlier answer may have been stored behind them,
    and lines that came after the turn began are the next turn's. The customer waits since the first of them.
    """
    turn = Turn.get_by_id(turn_id)
    conversation = Conversation.get_by_id(turn.conversation_id)
    assistant = Assistant.get_by_id(conversation.assistant_id)
    said = Message.select(Message.number, Message.author, Message.text, Message.sent_at)
    here = (Message.conversation == conversation.id) & ((Message.author != "customer") | (Message.number <= turn.answers))
    rows = list(said.where(here).order_by(Message.number.desc()).limit(LINES).tuples())[::-1]
    answered = _answered_before(turn)
    asked = [row for row in rows if row[1] == "customer" and row[0] > answered]
    question = Question(
        conversation.id,
        assistant.id,
        assistant.knowledge_version,
        tuple((row[1], row[2]) for row in [*(row for row in rows if row not in asked), *asked]),
        assistant.team_id,
        ProviderSettings.of(assistant),
        f"{conversation.id}-{turn.answers}",
        min((row[3] for row in asked), default=turn.started_at),
    )
    lately = turns.answered_lately(conversation.id, now() - HOUR)
    return Asked(question, assistant.fallback_text, conversation.version, lately)


def _answered_before(turn: Turn) -> int:
    """The customer's last line that an earlier turn has answered."""
    earlier = Turn.select(fn.MAX(Turn.answers)).where(
        Turn.conversation == turn.conversation_id, Turn.id != turn.id, Turn.status << ("finished", "failed", "refused")
    )
    return earlier.scalar() or 0


def _storable(text: str) -> str:
    """What both databases take: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _writes(asked: Asked) -> TypingChanged:
    at = (asked.question.conversation_id, asked.question.assistant_id, asked.version)
    return TypingChanged(*at, "assistant", True, shown_as="assistant")
