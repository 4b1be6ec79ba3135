"""How a conversation looks to agents: on the wire it is one snapshot, whole, at one version."""

import json
from collections.abc import Iterable
from typing import Any

from peewee import JOIN, Expression, fn

from handoff import messages, signals, turns
from handoff.models import NEVER, Conversation, Customer, Member, Message, Note, Outcome, ReadMark, Seat, Takeover, User
from handoff.prepared import prepared
from handoff.seats import Agent


def snapshot_of(conversation_id: str, agent: Agent | None = None) -> dict[str, Any]:
    """One conversation on the wire; `unread` is null unless it is told for an agent."""
    return _snapshots(_whole(conversation_id), agent)[0]


@prepared
def _whole(conversation_id: str) -> Any:
    return _selected().where(Conversation.id == conversation_id)


def snapshots(which: Expression, agent: Agent | None = None, order: Iterable[Any] = (), limit: int = 1) -> list[dict[str, Any]]:
    """Conversations on the wire, in three queries however many."""
    return _snapshots(list(_selected().where(which).order_by(*order).limit(limit).objects()), agent)


def snapshots_of(recent_lines: dict[str, int], agent: Agent) -> list[dict[str, Any]]:
    """Those conversations, in that order, each with how many lines it had lately."""
    rows = {row["id"]: row for row in snapshots(Conversation.id << list(recent_lines), agent, limit=len(recent_lines))}
    return [{**rows[id], "recent_lines": lines} for id, lines in recent_lines.items() if id in rows]


def _snapshots(rows: list[Any], agent: Agent | None) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    standing = signals.standing(ids)
    unread = _unread(ids, agent) if agent else {}
    return [_snapshot(row, standing.get(row.id, []), unread.get(row.id, 0) if agent else None) for row in rows]


def _selected() -> Any:
    speaker, spoken_by = Member.alias(), User.alias()
    owner_seat = (Seat.member == Conversation.owner) & Seat.ended_at.is_null()
    last = (Message.conversation == Conversation.id) & (Message.number == Conversation.last_number)
    return (
        Conversation.select(
            Conversation,
            Customer.name.alias("customer_name"),
            User.name.alias("owner_name"),
            Seat.id.alias("owner_seat"),
            Outcome.name.alias("outcome_name"),
            Message.author.alias("last_author"),
            Message.text.alias("last_text"),
            Message.sent_at.alias("last_sent_at"),
            Message.interrupted.alias("last_interrupted"),
            Message.member.alias("last_member"),
            spoken_by.name.alias("last_name"),
        )
        .join(Customer)
        .join_from(Conversation, Member, JOIN.LEFT_OUTER, on=(Conversation.owner == Member.id))
        .join(User, JOIN.LEFT_OUTER)
        .join_from(Conversation, Seat, JOIN.LEFT_OUTER, on=owner_seat)
        .join_from(Conversation, Outcome, JOIN.LEFT_OUTER)
        .join_from(Conversation, Message, JOIN.LEFT_OUTER, on=last)
        .join(speaker, JOIN.LEFT_OUTER, on=(Message.member == speaker.id))
        .join(spoken_by, JOIN.LEFT_OUTER, on=(speaker.user == spoken_by.id))
    )


def _unread(ids: list[str], agent: Agent) -> dict[str, int]:
    mark = (ReadMark.conversation == Message.conversation) & (ReadMark.member == agent.id)
    rows = (
        Message.select(Message.conversation, fn.COUNT(Message.id))
        .join(ReadMark, JOIN.LEFT_OUTER, on=mark)
        .where(Message.conversation << ids, Message.author == "customer", Message.number > fn.COALESCE(ReadMark.number, 0))
        .group_by(Message.conversation)
        .tuples()
    )
    return dict(rows)


def _snapshot(row: Any, standing: list[dict[str, Any]], unread: int | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "assistant_id": row.assistant_id,
        "widget_id": row.widget_id,
        "customer": {"id": row.customer_id, "name": row.customer_name},
        "status": row.status,
        "owner": {"id": row.owner_id, "name": row.owner_name} if row.owner_id else None,
        "owner_absent": bool(row.owner_id and row.owner_seat is None),
        "version": row.version,
        "last_number": row.last_number,
        "last_message": _last_message(row) if row.last_number else None,
        "unread": unread,
        "waiting_since": row.waiting_since,
        "needed_since": None if row.needed_since == NEVER else row.needed_since,
        "recent_lines": None,
        "signals": standing,
        "opened_at": row.opened_at,
        "changed_at": row.changed_at,
        "closed_by": row.closed_by,
        "outcome": {"id": row.outcome_id, "name": row.outcome_name} if row.outcome_id else None,
    }


def _last_message(row: Any) -> dict[str, Any]:
    """The last line as agents see lines, its text cut to what a row of the list can show."""
    return {
        "number": row.last_number,
        "conversation_id": row.id,
        "author": row.last_author,
        "text": row.last_text[:300],
        "html": None,
        "files": [],
        "sent_at": row.last_sent_at,
        "agent": {"id": row.last_member, "name": row.last_name} if row.last_member else None,
        "interrupted": bool(row.last_interrupted),
    }


def opened_by(agent: Agent, conversation_id: str, after: int | None, before: int | None) -> dict[str, Any]:
    """What `open_conversation` answers."""
    lines, more = messages.page(conversation_id, after, before)
    return {
        "conversation": snapshot_of(conversation_id, agent),
        "messages": [messages.for_agents(line, agent.user_id) for line in lines],
        "more": more,
        "draft": turns.draft_of(conversation_id),
        "takeovers": _takeovers(Takeover.conversation == conversation_id),
        "signals": signals.of(conversation_id),
        "notes": _notes(conversation_id, agent),
        "customer": _customer(conversation_id),
    }


def takeover_of(takeover_id: str) -> dict[str, Any]:
    return _takeovers(Takeover.id == takeover_id)[0]


def _takeovers(which: Expression) -> list[dict[str, Any]]:
    rows = (
        Takeover.select(Takeover, User.name.alias("member_name"), Outcome.name.alias("outcome_name"))
        .join(Member)
        .join(User)
        .join_from(Takeover, Outcome, JOIN.LEFT_OUTER)
        .where(which)
        .order_by(Takeover.taken_at)
        .limit(100)
        .objects()
    )
    return [
        {
            "id": row.id,
            "member": {"id": row.member_id, "name": row.member_name},
            "after": row.after,
            "taken_at": row.taken_at,
            "first_reply_at": row.first_reply_at,
            "ended_at": row.ended_at,
            "ended_by": row.ended_by,
            "handoff": row.handoff,
            "outcome": {"id": row.outcome_id, "name": row.outcome_name} if row.outcome_id else None,
            "note": row.note,
        }
        for row in rows
    ]


def _notes(conversation_id: str, agent: Agent) -> list[dict[str, Any]]:
    rows = (
        Note.select(Note, User.name.alias("member_name"))
        .join(Member)
        .join(User)
        .where(Note.conversation == conversation_id)
        .order_by(Note.written_at.desc())
        .limit(200)
        .objects()
    )
    return [describe_note(row, row.member_name, mine=row.member_id == agent.id) for row in reversed(list(rows))]


def describe_note(note: Note, name: str, mine: bool) -> dict[str, Any]:
    described = {
        "id": note.id,
        "member": {"id": note.member_id, "name": name},
        "after": note.after,
        "text": note.text,
        "written_at": note.written_at,
    }
    return {**described, "client_id": note.client_id} if mine else described


def _customer(conversation_id: str) -> dict[str, Any]:
    customer = Customer.select().join(Conversation).where(Conversation.id == conversation_id).get()
    return {
        "id": customer.id,
        "name": customer.name,
        "email": customer.email,
        "remembered": json.loads(customer.remembered),
        "first_seen_at": customer.created_at,
    }
