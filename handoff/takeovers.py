"""Taking a conversation over: one statement decides who, everything else in the transaction follows from it (I1, I2, I7)."""

from typing import Any

from handoff import audit, conversations, messages, signals, snapshots, turns
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import AlreadyTaken, Closed, NoSeat
from handoff.events import ConversationTakenOver, Fact
from handoff.markdown import render
from handoff.models import NEVER, Assistant, Conversation, Member, Takeover, User
from handoff.seats import Agent, agent_in, seated


def take_over(session_id: str, conversation_id: str) -> Happened[dict[str, Any]]:
    """Make the agent the owner. Taking what is mine already succeeds again and leaves no second record.

    Refused with AlreadyTaken (naming the owner), Closed, NoSeat, NotFound.
    """
    agent = agent_in(messages.team_of(conversation_id), session_id)
    agent.must_hold_seat()
    takeover_id, time = new_id(), now()
    free = Conversation.owner.is_null() | ~seated(Conversation.owner)
    taken = (
        Conversation.update(
            owner=agent.id, takeover_id=takeover_id, turn_id=None, needed_since=NEVER, ages_from=time, changed_at=time
        )
        .where(
            Conversation.id == conversation_id,
            Conversation.status == "active",
            free,
            seated(agent.id, "held"),
        )
        .execute()
    )
    if not taken:
        _must_be_mine(agent, conversation_id)
        return Happened({"conversation": snapshots.snapshot_of(conversation_id, agent)})
    facts = _follow(agent, conversation_id, takeover_id, time)
    snapshot = snapshots.snapshot_of(conversation_id, agent)
    at = {"conversation_id": conversation_id, "assistant_id": snapshot["assistant_id"]}
    audit.note(agent.team_id, agent.user_id, "taken_over", **at)
    return Happened({"conversation": snapshot}, facts)


def _must_be_mine(agent: Agent, conversation_id: str) -> None:
    conversation = Conversation.get_by_id(conversation_id)
    if conversation.status == "closed":
        raise Closed
    if conversation.owner_id is None or conversation.owner_id == agent.id:
        if conversation.owner_id is None:
            raise NoSeat  # nothing but the seat, gone since it was read, can have stopped the statement
        return
    name = User.select(User.name).join(Member).where(Member.id == conversation.owner_id).scalar()
    raise AlreadyTaken({"id": conversation.owner_id, "name": name})


def _follow(agent: Agent, conversation_id: str, takeover_id: str, time: int) -> list[Fact]:
    """What follows from the takeover: the turn ends, the former agent's takeover ends, signals are answered, the script is said."""
    facts = turns.interrupt(conversation_id)
    Takeover.update(ended_at=time, ended_by="takeover").where(
        Takeover.conversation == conversation_id, Takeover.ended_at.is_null()
    ).execute()
    conversation = Conversation.get_by_id(conversation_id)
    assistant = Assistant.get_by_id(conversation.assistant_id)
    Takeover.create(
        id=takeover_id,
        conversation=conversation_id,
        member=agent.id,
        after=conversation.last_number,
        handoff=assistant.handoff,
        handoff_text=assistant.handoff_text,
        taken_at=time,
    )
    signals.clear(conversation_id, time)
    version = conversations.touch(conversation_id)
    snapshot = snapshots.snapshot_of(conversation_id)
    takeover = snapshots.takeover_of(takeover_id)
    facts.append(ConversationTakenOver(conversation_id, conversation.assistant_id, version, snapshot, takeover))
    if assistant.handoff == "scripted" and assistant.handoff_text.strip():
        facts.append(_say_script(agent, conversation_id, takeover_id, assistant.handoff_text))
    return facts


def _say_script(agent: Agent, conversation_id: str, takeover_id: str, text: str) -> Fact:
    conversation = messages.claim_number(Conversation.id == conversation_id, waiting_since=None)
    assert conversation is not None  # noqa: S101 - the takeover above holds its lock
    return messages.store(conversation, "agent", text, agent, html=render(text), takeover=takeover_id)
