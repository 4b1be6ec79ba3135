"""The durable turn: one answer of the assistant in the making, claimed by a process (I2, I12).

The conversation's `turn_id` says which turn is current. Whoever takes the conversation sets it to null in the same statement that
takes it, so a turn that lost its conversation finds so with its next write, whatever it was doing. A turn that nobody has written
to for a while is abandoned for a new one with another id: what a lost process still sends for the old one counts for nothing.
"""

from typing import Any

from peewee import Case, Expression, fn

from handoff import messages, signals
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import TurnEnded as Ended
from handoff.events import DraftChanged, Fact, MessagePosted, TurnEnded, TurnStarted, TypingChanged
from handoff.markdown import render
from handoff.models import Assistant, Conversation, Turn
from handoff.prepared import prepared

ATTEMPTS = 3
CLAIM = 6_000  # milliseconds; the start sets it from HANDOFF_LEASE_SECONDS, once for the process


def begin(conversation: Conversation, process: str, attempt: int = 1) -> list[Fact]:
    """Write the turn that the conversation's `turn_id` names already."""
    turn = Turn.create(
        id=conversation.turn_id,
        conversation=conversation.id,
        answers=conversation.asked_number,
        attempt=attempt,
        claimed_by=process,
        claimed_until=now() + CLAIM,
    )
    writes = TypingChanged(
        conversation.id, conversation.assistant_id, conversation.version, "assistant", True, shown_as="assistant"
    )
    return [TurnStarted(turn.id, conversation.id, process), writes]


def write_draft(turn_id: str, conversation_id: str, text: str) -> Happened[None]:
    """Keep what the customer is about to be shown and renew the claim. Raises TurnEnded when the turn is not current.

    The first statement changes nothing but takes the conversation's row lock, as every operation on a conversation does
    first: a batch of drafts and a takeover on another process would otherwise wait for each other.
    """
    hold(turn_id, conversation_id)
    _drafted(turn_id, text, now() + CLAIM)
    return Happened(None, [DraftChanged(turn_id, conversation_id, text)] if text else [])


def call_human(turn_id: str, conversation_id: str, kind: str, reason: str) -> Happened[None]:
    """Raise a signal in the assistant's name, at once. Raises TurnEnded when the turn is not current."""
    hold(turn_id, conversation_id)
    return Happened(None, signals.raise_signal(conversation_id, kind, reason))


def hold(turn_id: str, conversation_id: str) -> None:
    """Take the conversation's row lock if the turn may still do something. Raises TurnEnded."""
    if not _held(turn_id, conversation_id):
        raise Ended


@prepared
def _held(turn_id: str, conversation_id: str) -> Any:
    return Conversation.update(turn_id=turn_id).where(is_current(turn_id, conversation_id))


@prepared
def _drafted(turn_id: str, text: str, claimed_until: int) -> Any:
    return Turn.update(draft=text, claimed_until=claimed_until).where(Turn.id == turn_id)


def finish(
    turn_id: str, conversation_id: str, text: str, html: str, process: str, failure: str = "", status: str = "finished"
) -> Happened[None]:
    """Store the answer, number and guard in one statement; begin the next turn if the customer wrote meanwhile.

    With a `failure`, the reason for an agent, the text is the fallback: what was shown of the draft goes without a trace.
    """
    answers = Turn.select(Turn.answers).where(Turn.id == turn_id)
    time, next_id = now(), new_id()
    conversation = messages.claim_number(
        is_current(turn_id, conversation_id),
        turn_id=Case(None, [(Conversation.asked_number > answers, next_id)], None),
        waiting_since=None,
        ages_from=time,
        changed_at=time,
    )
    if conversation is None:
        raise Ended
    _end(turn_id, status)
    facts: list[Fact] = [TurnEnded(turn_id, conversation_id, withdrawn=bool(failure))]
    facts.append(messages.store(conversation, "assistant", text, html=html, turn=turn_id))
    if failure:
        facts += signals.raise_signal(conversation_id, "assistant_failed", failure)
    if conversation.turn_id == next_id:
        facts += begin(conversation, process)
    return Happened(None, facts)


def is_current(turn_id: str, conversation_id: str) -> Expression:
    """The condition under which a turn may still say something (I2)."""
    return (
        (Conversation.id == conversation_id)
        & (Conversation.turn_id == turn_id)
        & Conversation.owner.is_null()
        & (Conversation.status == "active")
    )


def interrupt(conversation_id: str) -> list[Fact]:
    """End the running turn of a conversation whose `turn_id` was just taken away; keep what the customer was shown (I2).

    The caller's UPDATE holds the conversation's row lock; this UPDATE waits for a draft that is being written and reads it.
    """
    rows = (
        Turn.update(status="interrupted", ended_at=now())
        .where(Turn.conversation == conversation_id, Turn.status == "running")
        .returning(Turn)
        .execute()
    )
    turn = next(iter(rows), None)
    if turn is None:
        return []
    facts: list[Fact] = [TurnEnded(turn.id, conversation_id, withdrawn=False)]
    if turn.draft:
        facts.append(_keep_draft(turn))
    return facts


def _keep_draft(turn: Turn) -> MessagePosted:
    conversation = messages.claim_number(Conversation.id == turn.conversation_id)
    assert conversation is not None  # noqa: S101 - the caller holds its lock
    return messages.store(conversation, "assistant", turn.draft, html=render(turn.draft), turn=turn.id, interrupted=True)


def abandoned() -> list[tuple[str, str]]:
    """Turns, with their conversations, whose process has given no sign of life for the time of a claim."""
    return list(
        Turn.select(Turn.id, Turn.conversation)
        .where(Turn.status == "running", Turn.claimed_until < now())
        .order_by(Turn.claimed_until)
        .limit(200)
        .tuples()
    )


def take_up(turn_id: str, conversation_id: str, process: str) -> Happened[None]:
    """Begin an abandoned turn again under a new id; after some attempts say the fallback text instead."""
    next_id = new_id()
    expired = Turn.select(1).where(Turn.id == turn_id, Turn.status == "running", Turn.claimed_until < now())
    rows = (
        Conversation.update(turn_id=next_id)
        .where(Conversation.id == conversation_id, Conversation.turn_id == turn_id, fn.EXISTS(expired))
        .returning(Conversation)
        .execute()
    )
    conversation = next(iter(rows), None)
    if conversation is None:
        return Happened(None)
    _end(turn_id, "abandoned")
    attempt = Turn.get_by_id(turn_id).attempt + 1
    facts: list[Fact] = [TurnEnded(turn_id, conversation_id, withdrawn=True), *begin(conversation, process, attempt)]
    if attempt <= ATTEMPTS:
        return Happened(None, facts)
    fallback = Assistant.select(Assistant.fallback_text).where(Assistant.id == conversation.assistant_id).scalar()
    said = finish(next_id, conversation_id, fallback, render(fallback), process, "It was interrupted too often.", "failed")
    return Happened(None, [facts[0], *said.facts])


def let_go(process: str | None = None) -> Happened[None]:
    """End the claims of a process that stops (or all, where there can be one process only): the next to sweep takes them up."""
    mine = (Turn.status == "running") & ((Turn.claimed_by == process) if process else True)
    Turn.update(claimed_until=0).where(mine).execute()
    return Happened(None)


def answered_lately(conversation_id: str, time: int) -> int:
    """How often the assistant has answered since that time, well or not."""
    ended = (Turn.conversation == conversation_id) & (Turn.status << ("finished", "failed")) & (Turn.ended_at > time)
    return int(Turn.select().where(ended).count())


def draft_of(conversation_id: str) -> dict[str, Any] | None:
    turn = Turn.get_or_none(Turn.conversation == conversation_id, Turn.status == "running")
    return {"turn": turn.id, "text": turn.draft} if turn and turn.draft else None


def _end(turn_id: str, status: str) -> None:
    Turn.update(status=status, ended_at=now()).where(Turn.id == turn_id).execute()
