"""The watch list: an assistant's conversations, the most in need first or the busiest first.

By need, a page is one range of the index `conversation_watched`: first who needs a human, the longest first, then the others, the
newest first. A page of 50 reads 51 entries of it, whichever page and however many conversations there are. The busiest
are found by counting the lines of the last five minutes, one entry of the index `message_lately` each (those of all assistants, at
most 100,000), and are the 50 with the most: no page follows.
"""

import base64
import json
from typing import Any

from peewee import JOIN, Expression, Select, fn

from handoff import snapshots
from handoff.clock import now
from handoff.errors import Invalid
from handoff.events import Watch
from handoff.identity import session_lives
from handoff.models import NEVER, Assistant, Conversation, Customer, Member, Message, Seat, Session
from handoff.seats import Agent, agent_in

PAGE = 50
MOST_OWNED = 500
DAY = 24 * 60 * 60 * 1000
MOST_COUNTED = 100_000  # lines
LATELY = 5 * 60 * 1000  # milliseconds whose lines make a conversation busy
BY_NEED = (Conversation.needed_since, Conversation.changed_at.desc(), Conversation.id)


def agent_of_assistant(session_id: str, assistant_id: str, filter: str) -> Agent:
    """The agent who may watch it; a suspended seat is enough for what is theirs. Raises NoSeat, NotFound, SignedOut."""
    agent = agent_in(Assistant.select(Assistant.team).where(Assistant.id == assistant_id), session_id)
    if filter == "mine":
        agent.must_have_seat()
    else:
        agent.must_hold_seat()
    return agent


def agent_of_conversation(session_id: str, conversation_id: str) -> Agent:
    """The agent who may look into it: a holder of a seat, or of a suspended one for what they own."""
    agent = agent_in(Conversation.select(Conversation.team).where(Conversation.id == conversation_id), session_id)
    owner = Conversation.select(Conversation.owner).where(Conversation.id == conversation_id).scalar()
    if owner == agent.id:
        agent.must_have_seat()
    else:
        agent.must_hold_seat()
    return agent


def owned(agent: Agent, assistant_id: str) -> list[str]:
    """The active conversations that are theirs. With a suspended seat there will not be more: they can take none."""
    mine = Conversation.select(Conversation.id).where(
        Conversation.assistant == assistant_id, Conversation.status == "active", Conversation.owner == agent.id
    )
    return [id for (id,) in mine.order_by(Conversation.changed_at.desc()).limit(MOST_OWNED).tuples()]


def let_in(session_ids: list[str]) -> dict[str, set[str]]:
    """The sessions among these that live, each with the assistants that its user's seats let them watch."""
    rows = (
        Session.select(Session.id, Assistant.id)
        .join(Member, JOIN.LEFT_OUTER, on=((Member.user == Session.user) & Member.ended_at.is_null()))
        .join(Seat, JOIN.LEFT_OUTER, on=((Seat.member == Member.id) & (Seat.status == "held") & Seat.ended_at.is_null()))
        .join(Assistant, JOIN.LEFT_OUTER, on=(Assistant.team == Seat.team))
        .where(Session.id << session_ids, session_lives())
        .tuples()
    )
    found: dict[str, set[str]] = {}
    for session_id, assistant_id in rows:
        found.setdefault(session_id, set()).update({assistant_id} - {None})
    return found


def watched(agent: Agent, watch: Watch) -> dict[str, Any]:
    """What `watch` answers: a page of conversations, the cursor of the next page or null, and counts."""
    which = _filtered(agent, watch)
    if watch.search.strip():
        which &= _matching(watch.search.strip())
    if watch.order == "busiest":
        rows, cursor = snapshots.snapshots_of(_busiest(which), agent), None
    else:
        rows, cursor = _page(which, agent, watch.cursor)
    return {"conversations": rows, "cursor": cursor, "counts": _counts(agent, watch.assistant_id)}


def _page(which: Expression, agent: Agent, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    if after is not None:
        which &= _beyond(after)
    rows = snapshots.snapshots(which, agent, BY_NEED, PAGE + 1)
    return rows[:PAGE], _cursor(rows[PAGE - 1]) if len(rows) > PAGE else None


def _busiest(which: Expression) -> dict[str, int]:
    """The conversations with the most lines lately, by id, the busiest first."""
    # The lines first, in the order of their index: SQLite would count all lines there are by another one.
    since = Message.sent_at > now() - LATELY
    lately = Message.select(Message.conversation).where(since).order_by(Message.sent_at.desc()).limit(MOST_COUNTED)
    said = lately.c.conversation_id
    counted = Select([lately], [said, fn.COUNT(said).alias("lines")]).group_by(said)
    rows = Conversation.select(Conversation.id, counted.c.lines).join(counted, on=(counted.c.conversation_id == Conversation.id))
    return dict(rows.where(which).order_by(counted.c.lines.desc(), Conversation.id).limit(PAGE).tuples())


def _filtered(agent: Agent, watch: Watch) -> Expression:
    of_assistant = Conversation.assistant == watch.assistant_id
    if watch.filter == "closed_today":
        lately = (Conversation.closed_at >= now() - DAY) & (Conversation.changed_at >= now() - DAY)  # the second is in the index
        return of_assistant & (Conversation.status == "closed") & (Conversation.needed_since == NEVER) & lately
    active = of_assistant & (Conversation.status == "active")
    if watch.filter == "mine":
        return active & (Conversation.owner == agent.id)
    if watch.filter == "needs_human":
        return active & (Conversation.needed_since < NEVER)
    return active


def _matching(search: str) -> Expression:
    said = Message.select(1).where(Message.conversation == Conversation.id, Message.text.contains(search))
    called = Customer.select(1).where(Customer.id == Conversation.customer, Customer.name.contains(search))
    return fn.EXISTS(said) | fn.EXISTS(called)


def _cursor(last: dict[str, Any]) -> str:
    place = json.dumps([last["needed_since"], last["changed_at"], last["id"]])
    return base64.urlsafe_b64encode(place.encode()).decode()


def _beyond(cursor: str) -> Expression:
    """What comes after that place: it needs less, or is older. Written so that a range of the index begins there."""
    try:
        needed, changed, id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not (needed is None or _is_time(needed)) or not _is_time(changed) or not _is_id(id):
            raise ValueError
    except (ValueError, TypeError):  # TypeError: it is JSON, and no list
        raise Invalid("That cursor is not one of ours.") from None
    older = (Conversation.changed_at < changed) | ((Conversation.changed_at == changed) & (Conversation.id > id))
    since = Conversation.needed_since
    if needed is None:
        return (since == NEVER) & (Conversation.changed_at <= changed) & older
    return (since >= needed) & ((since > needed) | older)


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isalnum() and len(value) <= 64


def _counts(agent: Agent, assistant_id: str) -> dict[str, int]:
    active = Conversation.select().where(Conversation.assistant == assistant_id, Conversation.status == "active")
    if agent.seat != "held":
        active = active.where(Conversation.owner == agent.id)
    return {
        "all": active.count(),
        "needs_human": active.where(Conversation.needed_since < NEVER).count(),
        "mine": active.where(Conversation.owner == agent.id).count(),
    }
