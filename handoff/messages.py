"""Numbered lines: how one is appended, and how it looks to an agent and to the customer.

Appending is two steps in one transaction. `numbering` is the only place that counts: one conditional UPDATE of the
conversation, whose guard is the whole question "may this line be stored?" (I1, I2, I5). `store` writes the line that it allowed.
"""

from collections.abc import Iterable
from typing import Any

from peewee import JOIN, Expression

from handoff import signals
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Closed, Conflict, NotFound, NotOwner
from handoff.events import MessagePosted
from handoff.models import NEVER, Conversation, Member, Message, Takeover, User
from handoff.prepared import prepared
from handoff.seats import Agent, agent_in, seated

PAGE = 50
CATCH_UP_LINES = 200
CATCH_UP_BYTES = 256 * 1024


def claim_number(guard: Expression, **changes: Any) -> Conversation | None:
    """Take the next number and version of the conversation that meets `guard`; None when none does. Holds its row lock."""
    changes.setdefault("changed_at", now())
    return next(iter(numbering(guard, **changes).execute()), None)


def numbering(guard: Expression, **changes: Any) -> Any:
    """The statement by which a conversation that meets `guard` gives out its next number and version."""
    counted = Conversation.update(last_number=Conversation.last_number + 1, version=Conversation.version + 1, **changes)
    return counted.where(guard).returning(Conversation)


def store(conversation: Any, author: str, text: str, agent: Agent | None = None, **columns: Any) -> MessagePosted:
    """Write the line that `numbering` gave a number to."""
    (message,) = _written(
        conversation=conversation.id,
        number=conversation.last_number,
        author=author,
        text=text,
        member=agent.id if agent else None,
        sent_at=conversation.changed_at,
        **columns,
    )
    if author != "customer" and not message.interrupted and conversation.needed_since != NEVER:
        signals.answered(conversation.id, conversation.changed_at)
    described = _describe_by(message, agent)
    return MessagePosted(conversation.id, conversation.assistant_id, conversation.version, described)


@prepared
def _written(
    conversation: str,
    number: int,
    author: str,
    text: str,
    sent_at: int,
    html: str | None = None,
    client_id: str | None = None,
    customer: str | None = None,
    member: str | None = None,
    takeover: str | None = None,
    turn: str | None = None,
    announced_as: str | None = None,
    interrupted: bool = False,
) -> Any:
    return Message.insert(locals()).returning(Message)


def post_as_agent(session_id: str, conversation_id: str, client_id: str, text: str, html: str) -> Happened[dict[str, Any]]:
    """An agent's line to the customer. Needs the conversation and a seat, held or suspended."""
    agent = agent_in(team_of(conversation_id), session_id)
    agent.must_have_seat()
    said = Message.get_or_none(Message.member == agent.id, Message.client_id == client_id)
    if said is not None:
        return Happened(answer_again(said, text, conversation_id, agent))
    time = now()
    conversation = claim_number(
        (Conversation.id == conversation_id)
        & (Conversation.status == "active")
        & (Conversation.owner == agent.id)
        & seated(agent.id),
        waiting_since=None,
        ages_from=time,
        changed_at=time,
    )
    if conversation is None:
        raise why_not(conversation_id)
    takeover = Takeover.get_by_id(conversation.takeover_id)
    if takeover.first_reply_at is None:
        Takeover.update(first_reply_at=time).where(Takeover.id == takeover.id).execute()
    fact = store(
        conversation,
        "agent",
        text,
        agent,
        html=html,
        client_id=client_id,
        takeover=takeover.id,
        announced_as=agent.name if takeover.handoff == "announced" else None,
    )
    return Happened(fact.message, [fact])


def answer_again(said: Message, text: str, conversation_id: str | None = None, agent: Agent | None = None) -> dict[str, Any]:
    """The answer that a repeated send gets (I4): the same as the first. Raises Conflict if it says something else."""
    if said.text != text or conversation_id not in (None, said.conversation_id):
        raise Conflict
    return _describe_by(said, agent)


def team_of(conversation_id: str) -> Any:
    return Conversation.select(Conversation.team).where(Conversation.id == conversation_id)


def why_not(conversation_id: str) -> Exception:
    """Why a line of an agent was not accepted, in the words of the wire. Nothing was written."""
    conversation = Conversation.get_or_none(Conversation.id == conversation_id)
    if conversation is None:
        return NotFound()
    if conversation.status == "closed":
        return Closed()
    return NotOwner()


def describe(message: Message, agent: dict[str, str] | None = None, user_id: str | None = None) -> dict[str, Any]:
    """Everything that anybody may see of a line; `for_agents` and `for_customer` choose. Stays inside the servers."""
    return {
        "number": message.number,
        "conversation_id": message.conversation_id,
        "author": message.author,
        "text": message.text,
        "html": message.html,
        "files": [],
        "sent_at": message.sent_at,
        "interrupted": bool(message.interrupted),
        "agent": agent,
        "user_id": user_id,
        "announced_as": message.announced_as,
        "client_id": message.client_id,
    }


def _describe_by(message: Message, agent: Agent | None) -> dict[str, Any]:
    return describe(message, agent.named, agent.user_id) if agent else describe(message)


SEEN_BY_ALL = ("number", "conversation_id", "author", "text", "html", "files", "sent_at")


def for_agents(message: dict[str, Any], user_id: str | None = None) -> dict[str, Any]:
    """A line as agents see it, with its client_id if it is that user's own."""
    seen = {key: message[key] for key in (*SEEN_BY_ALL, "agent", "interrupted")}
    if user_id is not None and message["user_id"] == user_id:
        seen["client_id"] = message["client_id"]
    return seen


def for_customer(message: dict[str, Any]) -> dict[str, Any]:
    """A line as its customer sees it. An agent's says `assistant`, unless the takeover was announced (I7)."""
    seen = {key: message[key] for key in SEEN_BY_ALL}
    if message["author"] == "customer":
        seen["client_id"] = message["client_id"]
    elif message["announced_as"] is not None:
        seen["agent"] = {"name": message["announced_as"]}
    else:
        seen["author"] = "assistant"
    return seen


def page(conversation_id: str, after: int | None = None, before: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Lines in order, and whether there are more on that side: newer ones with `after`, else older ones (without `before`
    it is the newest page)."""
    lines = _lines(conversation_id)
    if after is not None:
        rows = list(lines.where(Message.number > after).order_by(Message.number).limit(CATCH_UP_LINES + 1))
        return cut(_described(rows), CATCH_UP_LINES)
    if before is not None:
        lines = lines.where(Message.number < before)
    rows = list(lines.order_by(Message.number.desc()).limit(PAGE + 1))
    return _described(reversed(rows[:PAGE])), len(rows) > PAGE


def cut(lines: list[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], bool]:
    """The first lines that fit into one answer: at most `most` and CATCH_UP_BYTES, but always one."""
    size = 0
    for count, line in enumerate(lines[:most]):
        size += len(line["text"].encode()) + len((line["html"] or "").encode()) + 300
        if count and size > CATCH_UP_BYTES:
            return lines[:count], True
    return lines[:most], len(lines) > most


def _lines(conversation_id: str) -> Any:
    return (
        Message.select(Message, Member.id.alias("agent_id"), User.name.alias("agent_name"), User.id.alias("agent_user"))
        .join(Member, JOIN.LEFT_OUTER, on=(Message.member == Member.id))
        .join(User, JOIN.LEFT_OUTER)
        .where(Message.conversation == conversation_id)
        .objects()
    )


def _described(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [describe(row, {"id": row.agent_id, "name": row.agent_name} if row.agent_id else None, row.agent_user) for row in rows]
