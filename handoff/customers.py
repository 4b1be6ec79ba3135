"""What a customer does: writes, catches up, asks for a human, ends, rates. The token says who; the row says which conversation."""

from typing import Any

from peewee import Case, Expression, fn

from handoff import conversations, messages, noticing, signals, snapshots, turns
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import Forbidden, NotFound
from handoff.events import ConversationOpened, Fact
from handoff.identity import CustomerToken
from handoff.models import Assistant, Conversation, Customer, Message, Widget, unchanging
from handoff.prepared import prepared

REMEMBERED = 24 * 60 * 60 * 1000  # milliseconds that a closed conversation is still shown to its customer


def post_message(customer: CustomerToken, client_id: str, text: str, process: str) -> Happened[dict[str, Any]]:
    """A customer's line: into their active conversation, or the first of a new one. Starts a turn if the assistant is to answer."""
    for said in _said(customer.customer_id, client_id):
        return Happened(messages.answer_again(said, text))
    facts: list[Fact] = []
    turn_id = new_id()
    conversation = _claim_for_customer(customer, turn_id)
    if conversation is None:
        facts.append(_open(customer))
        conversation = _claim_for_customer(customer, turn_id)
        assert conversation is not None  # noqa: S101 - it was opened above, in this transaction
    posted = messages.store(conversation, "customer", text, client_id=client_id, customer=customer.customer_id)
    facts += [posted, *noticing.raise_noticed(conversation, text)]
    if conversation.turn_id == turn_id:
        facts += turns.begin(conversation, process)
    return Happened(posted.message, facts)


@prepared
def _said(customer_id: str, client_id: str) -> Any:
    return Message.select().where(Message.customer == customer_id, Message.client_id == client_id)


def _claim_for_customer(customer: CustomerToken, turn_id: str) -> Any:
    """Number the customer's next line; None when no conversation of theirs is active."""
    return next(iter(_numbered(customer.customer_id, customer.widget_id, turn_id, now())), None)


@prepared
def _numbered(customer_id: str, widget_id: str, turn_id: str, time: int) -> Any:
    """In the same statement the assistant's turn, if it is to begin one (I12)."""
    to_answer = Conversation.owner.is_null() & Conversation.turn_id.is_null()
    return messages.numbering(
        _active(CustomerToken(customer_id, widget_id)),
        asked_number=Conversation.last_number + 1,
        turn_id=Case(None, [(to_answer, turn_id)], Conversation.turn_id),
        waiting_since=fn.COALESCE(Conversation.waiting_since, time),
        # An absent agent's conversation ages although its customer keeps writing (I11).
        ages_from=Case(None, [(Conversation.owner.is_null(), time)], Conversation.ages_from),
        changed_at=time,
    )


def _open(customer: CustomerToken) -> ConversationOpened:
    """A conversation without a line yet, at version 1; the customer's row with it, if this is their first."""
    # Held to the end of the transaction: whoever archives it waits for this conversation, or this one sees the archive.
    door = (
        unchanging(
            Widget.select(Assistant.id, Assistant.team, Assistant.archived_at)
            .join(Assistant)
            .where(Widget.id == customer.widget_id),
            Assistant,
        )
        .tuples()
        .first()
    )
    if door is None or door[2] is not None:
        raise Forbidden("This chat takes no new conversations.")
    assistant_id, team_id, _ = door
    Customer.insert(id=customer.customer_id, widget=customer.widget_id).on_conflict_ignore().execute()
    conversation = Conversation.create(
        team=team_id, assistant=assistant_id, widget=customer.widget_id, customer=customer.customer_id, version=1
    )
    return ConversationOpened(conversation.id, assistant_id, 1, snapshots.snapshot_of(conversation.id), customer.customer_id)


def ask_for_human(customer: CustomerToken) -> Happened[None]:
    """Raise the signal in the active conversation, once."""
    rows = Conversation.update(status="active").where(_active(customer)).returning(Conversation.id).execute()  # for the row's lock
    conversation = next(iter(rows), None)
    if conversation is None:
        return Happened(None)
    return Happened(None, signals.raise_signal(conversation.id, "asked_for_human", "The customer asked for a person."))


def end_conversation(customer: CustomerToken) -> Happened[None]:
    """Close the active conversation; where there is none it has ended already."""
    return Happened(None, conversations.close(_active(customer), "customer"))


def rate_conversation(customer: CustomerToken, score: int, comment: str) -> Happened[None]:
    """The customer's word on their latest conversation; they may think again."""
    conversation = latest(customer)
    if conversation is None:
        raise NotFound
    Conversation.update(score=score, comment=comment).where(Conversation.id == conversation.id).execute()
    return Happened(None)


def latest(customer: CustomerToken) -> Conversation | None:
    """The active conversation, or one that closed lately: a customer who was away still gets what was said before the close."""
    conversation: Conversation | None = (
        Conversation.select()
        .where(Conversation.customer == customer.customer_id, Conversation.widget == customer.widget_id)
        .order_by(Conversation.status, Conversation.opened_at.desc())  # "active" before "closed", whatever the clocks said
        .first()
    )
    if conversation is None or (conversation.closed_at or now()) < now() - REMEMBERED:
        return None
    return conversation


def has_active(customer: CustomerToken) -> bool:
    return bool(Conversation.select().where(_active(customer)).exists())


def summary(conversation_id: str | None) -> dict[str, Any] | None:
    """A conversation as its customer may know it."""
    conversation = conversation_id and Conversation.get_or_none(Conversation.id == conversation_id)
    if not conversation:
        return None
    return {"id": conversation.id, "status": conversation.status, "last_number": conversation.last_number}


def catch_up(conversation_id: str | None, after: int) -> dict[str, Any]:
    """The lines after a number, the draft that is growing, the status, and whether there is more."""
    conversation = conversation_id and Conversation.get_or_none(Conversation.id == conversation_id)
    if not conversation:
        return {"messages": [], "draft": None, "status": None, "more": False}
    lines, more = messages.page(conversation.id, after=after)
    return {
        "messages": [messages.for_customer(line) for line in lines],
        "draft": None if more else turns.draft_of(conversation.id),
        "status": conversation.status,
        "more": more,
    }


def _active(customer: CustomerToken) -> Expression:
    return (
        (Conversation.customer == customer.customer_id)
        & (Conversation.widget == customer.widget_id)
        & (Conversation.status == "active")
    )
