"""A conversation's end, which comes once (I11), and the count of its changes."""

from typing import Any

from peewee import Case, Expression, fn

from handoff import messages, signals, snapshots, turns, watching
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Closed, Invalid, NotOwner
from handoff.events import ConversationClosed, Fact
from handoff.models import NEVER, Assistant, Conversation, Outcome, ReadMark, Takeover, unchanging
from handoff.seats import Agent, agent_in, seated

MINUTE = 60_000


def close_as_agent(session_id: str, conversation_id: str, outcome_id: str | None, note: str | None) -> Happened[dict[str, Any]]:
    """The owner closes with an outcome of the team's. Closing what I closed already succeeds and changes nothing."""
    agent = agent_in(messages.team_of(conversation_id), session_id)
    agent.must_have_seat()
    mine = (Conversation.owner == agent.id) & seated(agent.id)
    if outcome_id is not None and _is_archived(agent.team_id, outcome_id) and not _is_closed_by(agent, conversation_id):
        raise Invalid("This outcome was archived and is offered no more. Choose another one.")
    facts = close((Conversation.id == conversation_id) & mine, "agent", outcome_id, note if note and note.strip() else None)
    if not facts:
        _must_have_closed(agent, conversation_id)
    return Happened({"conversation": snapshots.snapshot_of(conversation_id, agent)}, facts)


def _is_archived(team_id: str, outcome_id: str) -> bool:
    """Whether an outcome is offered no more; it stays as it is to the end of the transaction. Raises Invalid for no outcome of
    the team's."""
    outcome = unchanging(Outcome.select().where(Outcome.id == outcome_id, Outcome.team == team_id), Outcome).first()
    if outcome is None:
        raise Invalid("Choose one of the team's outcomes.")
    return outcome.archived_at is not None


def _must_have_closed(agent: Agent, conversation_id: str) -> None:
    if _is_closed_by(agent, conversation_id):
        return
    raise NotOwner if Conversation.get_by_id(conversation_id).status == "active" else Closed


def _is_closed_by(agent: Agent, conversation_id: str) -> bool:
    return bool(
        Conversation.select()
        .where(
            Conversation.id == conversation_id,
            Conversation.status == "closed",
            Conversation.owner == agent.id,
            Conversation.closed_by == "agent",
        )
        .exists()
    )


def aged() -> list[tuple[str, int]]:
    """Ids and versions of conversations whose time is over: assistant-held and human-held ones by the assistant's own minutes."""
    minutes = Case(None, [(Conversation.owner.is_null(), Assistant.assistant_minutes)], Assistant.human_minutes)
    # The shortest time of all lets the index leave out what is certainly young.
    times = Assistant.select(fn.MIN(Assistant.assistant_minutes), fn.MIN(Assistant.human_minutes)).tuples().get()
    youngest = now() - min((time for time in times if time is not None), default=0) * MINUTE
    return list(
        Conversation.select(Conversation.id, Conversation.version)
        .join(Assistant)
        .where(
            Conversation.status == "active", Conversation.ages_from < youngest, Conversation.ages_from + minutes * MINUTE < now()
        )
        .order_by(Conversation.ages_from)
        .limit(500)
        .tuples()
    )


def age_out(conversation_id: str, version: int) -> Happened[None]:
    """Close it if it is still as it was judged: anything that happened meanwhile keeps it open."""
    return Happened(None, close((Conversation.id == conversation_id) & (Conversation.version == version), "age"))


def close(which: Expression, by: str, outcome_id: str | None = None, note: str | None = None) -> list[Fact]:
    """Close the active conversation that is meant, once; no facts if there is none. What was shown of a draft stays."""
    time = now()
    ended = {"status": "closed", "turn_id": None, "waiting_since": None, "needed_since": NEVER}
    rows = (
        Conversation.update(**ended, closed_at=time, closed_by=by, outcome=outcome_id)
        .where(which & (Conversation.status == "active"))
        .returning(Conversation)
        .execute()
    )
    conversation = next(iter(rows), None)
    if conversation is None:
        return []
    facts = turns.interrupt(conversation.id)
    if conversation.takeover_id:
        end = {"ended_at": time, "ended_by": by, "outcome": outcome_id, "note": note}
        Takeover.update(end).where(Takeover.id == conversation.takeover_id, Takeover.ended_at.is_null()).execute()
    signals.clear(conversation.id, time)
    version = touch(conversation.id)
    return [
        *facts,
        ConversationClosed(conversation.id, conversation.assistant_id, version, snapshots.snapshot_of(conversation.id)),
    ]


def touch(conversation_id: str, **changes: Any) -> int:
    """Count one more change; returns the new version. The caller holds the row's lock or needs none."""
    changes.setdefault("changed_at", now())
    rows = (
        Conversation.update(version=Conversation.version + 1, **changes)
        .where(Conversation.id == conversation_id)
        .returning(Conversation.version)
        .execute()
    )
    return int(next(iter(rows)).version)


def mark_read(session_id: str, conversation_id: str, number: int) -> Happened[None]:
    """Remember how far the agent has read; never backwards."""
    agent = watching.agent_of_conversation(session_id, conversation_id)
    last = Conversation.select(Conversation.last_number).where(Conversation.id == conversation_id).scalar()
    read_to = min(number, last)
    ReadMark.insert(member=agent.id, conversation=conversation_id, number=read_to).on_conflict(
        conflict_target=[ReadMark.member, ReadMark.conversation],
        update={ReadMark.number: read_to},
        where=ReadMark.number < read_to,
    ).execute()
    return Happened(None)
