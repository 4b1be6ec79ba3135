"""Reasons why a conversation wants a human, each with its time and its place in the transcript.

| kind | cause | is settled by |
|---|---|---|
| `asked_for_human` | the widget's button, the assistant's own word, or a line that asks for a human | a takeover, the close |
| `no_answer` | the assistant found nothing, or said so | a takeover, the close |
| `assistant_failed` | no whole answer came | a takeover, the close |
| `phrase` | a line holds a phrase of the team's list | a takeover, the close |
| `repeating` | a line asks what one of the customer's last lines asked | a takeover, the close |
| `waiting` | a line has been unanswered for the assistant's `waiting_seconds` | an answer, a takeover, the close |

Of a kind one stands at a time: its cause raises it once. While a human has the conversation nothing is raised but `waiting`: the
agent reads along, unless they went away, and then the customer who keeps writing is to be seen (I11). For an agent the time begins
with the takeover or with their last line, so a takeover is no sooner over than it has been tried.

A conversation's `needed_since` is the time of its oldest standing signal. It changes in the same transaction as the signals, under
the row's lock, and orders the watch list.
"""

from typing import Any

from peewee import Case, Expression, fn

from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.events import SignalRaised
from handoff.models import NEVER, Assistant, Conversation, Signal

AT_ONCE = 500  # unanswered conversations that one sweep takes up


def raise_signal(conversation_id: str, kind: str, reason: str = "") -> list[SignalRaised]:
    """Raise it unless it stands already or a human has the conversation; the caller holds the conversation's row lock."""
    time = now()
    free = (Conversation.owner.is_null() | (kind == "waiting")) & (Conversation.status == "active")
    rows = (
        Conversation.update(
            version=Conversation.version + 1,
            needed_since=Case(None, [(Conversation.needed_since > time, time)], Conversation.needed_since),
        )
        .where((Conversation.id == conversation_id) & free & ~fn.EXISTS(_standing(conversation_id, kind)))
        .returning(Conversation)
        .execute()
    )
    return [_raised(conversation, kind, reason, time) for conversation in rows]


def _raised(conversation: Conversation, kind: str, reason: str, time: int) -> SignalRaised:
    signal = Signal.create(
        id=new_id(), conversation=conversation.id, kind=kind, reason=reason[:500], after=conversation.last_number, raised_at=time
    )
    return SignalRaised(conversation.id, conversation.assistant_id, conversation.version, _describe(signal))


def clear(conversation_id: str, time: int | None = None) -> None:
    """Settle what stands. The caller's statement on the conversation has set `needed_since` to NEVER."""
    Signal.update(cleared_at=time or now()).where(Signal.conversation == conversation_id, Signal.cleared_at.is_null()).execute()


def answered(conversation_id: str, time: int) -> None:
    """Settle `waiting`: a line of an agent or a whole one of the assistant is an answer. The caller holds the row's lock."""
    if Signal.update(cleared_at=time).where(Signal.conversation == conversation_id, _stands("waiting")).execute():
        oldest = Signal.select(fn.MIN(Signal.raised_at)).where(Signal.conversation == conversation_id, Signal.cleared_at.is_null())
        Conversation.update(needed_since=fn.COALESCE(oldest, NEVER)).where(Conversation.id == conversation_id).execute()


def unanswered() -> list[tuple[str, int]]:
    """Conversations to raise `waiting` in, the longest waiting first, each with its assistant's `waiting_seconds`."""
    time, seconds = now(), Assistant.waiting_seconds
    shortest = Assistant.select(fn.MIN(seconds)).scalar()  # lets the index leave out whoever has certainly not waited long
    if shortest is None:
        return []
    long_ago = _waits_since(time - seconds * 1000)
    return list(
        Conversation.select(Conversation.id, seconds)
        .join(Assistant)
        .where(
            # Nobody waits in a closed one; asking for the status too would lead SQLite to another index.
            (Conversation.waiting_since <= time - shortest * 1000)
            & long_ago
            & ~fn.EXISTS(Signal.select(1).where(Signal.conversation == Conversation.id, _stands("waiting")))
        )
        .order_by(Conversation.waiting_since)
        .limit(AT_ONCE)
        .tuples()
    )


def raise_waiting(conversation_id: str, seconds: int) -> Happened[None]:
    """Raise it if the line is still unanswered: judged anew, by the statement that takes the row's lock."""
    waits = (Conversation.id == conversation_id) & _waits_since(now() - seconds * 1000)
    if not Conversation.update(status="active").where(waits & (Conversation.status == "active")).execute():
        return Happened(None)
    return Happened(None, raise_signal(conversation_id, "waiting", f"No answer for {seconds} seconds."))


def _waits_since(time: Any) -> Expression:
    """No answer since then; an agent has had the conversation for as long, too."""
    return (Conversation.waiting_since <= time) & (Conversation.owner.is_null() | (Conversation.ages_from <= time))


def _standing(conversation_id: str, kind: str) -> Any:
    return Signal.select(1).where(Signal.conversation == conversation_id, _stands(kind))


def _stands(kind: str) -> Expression:
    return (Signal.kind == kind) & Signal.cleared_at.is_null()


def standing(ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    rows = Signal.select().where(Signal.conversation << ids, Signal.cleared_at.is_null()).order_by(Signal.raised_at)
    for signal in rows:
        found.setdefault(signal.conversation_id, []).append(_describe(signal))
    return found


def of(conversation_id: str) -> list[dict[str, Any]]:
    rows = Signal.select().where(Signal.conversation == conversation_id).order_by(Signal.raised_at.desc()).limit(200)
    return [_describe(signal) for signal in reversed(list(rows))]


def _describe(signal: Signal) -> dict[str, Any]:
    return {
        "id": signal.id,
        "kind": signal.kind,
        "reason": signal.reason,
        "after": signal.after,
        "raised_at": signal.raised_at,
        "cleared_at": signal.cleared_at,
    }
