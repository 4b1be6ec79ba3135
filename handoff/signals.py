"""Reasons why a conversation wants a human. Each stands once, until a takeover or the close clears it."""

from typing import Any

from handoff.clock import new_id, now
from handoff.events import SignalRaised
from handoff.models import Conversation, Signal


def raise_signal(conversation_id: str, kind: str, reason: str = "") -> list[SignalRaised]:
    """Raise it unless it stands already or a human has the conversation; the caller holds the conversation's row lock."""
    conversation = Conversation.get_by_id(conversation_id)
    standing = Signal.select().where(Signal.conversation == conversation_id, Signal.kind == kind, Signal.cleared_at.is_null())
    if conversation.owner_id is not None or standing.exists():
        return []
    signal = Signal.create(
        id=new_id(), conversation=conversation_id, kind=kind, reason=reason[:500], after=conversation.last_number
    )
    version = conversation.version + 1
    Conversation.update(version=version).where(Conversation.id == conversation_id).execute()
    return [SignalRaised(conversation_id, conversation.assistant_id, version, _describe(signal))]


def clear(conversation_id: str, time: int | None = None) -> None:
    Signal.update(cleared_at=time or now()).where(Signal.conversation == conversation_id, Signal.cleared_at.is_null()).execute()


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
