"""What an assistant notes of what the customer told it: how a lead arrives qualified."""

import json
import re
from typing import Any

from handoff import conversations, snapshots, turns
from handoff.database import Happened
from handoff.events import ConversationChanged
from handoff.models import Conversation, Customer

NAMES, NAME_LENGTH, VALUE_LENGTH = 20, 40, 500
PERSON_LENGTH, EMAIL_LENGTH = 100, 254

_email = re.compile(r"[^@\s<>()\[\],;:\"\\]+@[^@\s<>()\[\],;:\"\\]+\.[^@\s<>()\[\],;:\"\\.]{2,}")
_meant = {"e-mail": "email", "mail": "email", "email address": "email", "e-mail address": "email", "full name": "name"}


def remember(turn_id: str, conversation_id: str, name: str, value: str) -> Happened[None]:
    """Note something on the customer while the turn is current; where the list is full, or nothing new is said, nothing happens.

    Raises TurnEnded: after a takeover the assistant hears nothing more that is worth a note (I2).
    """
    turns.hold(turn_id, conversation_id)
    conversation = Conversation.get_by_id(conversation_id)
    customer = Customer.get_by_id(conversation.customer_id)
    changes = _changes(customer, _named(name), _shortened(value, VALUE_LENGTH))
    if not changes:
        return Happened(None)
    Customer.update(changes).where(Customer.id == customer.id).execute()
    version = conversations.touch(conversation_id)
    snapshot = snapshots.snapshot_of(conversation_id)
    return Happened(None, [ConversationChanged(conversation_id, conversation.assistant_id, version, snapshot)])


def _changes(customer: Customer, name: str, value: str) -> dict[str, Any]:
    remembered = json.loads(customer.remembered)
    is_full = name not in remembered and len(remembered) >= NAMES
    if not name or not value or is_full or remembered.get(name) == value:
        return {}
    changes: dict[str, Any] = {"remembered": json.dumps({**remembered, name: value}, ensure_ascii=False)}
    if name == "name" and not customer.name and _is_name(value):
        changes["name"] = value
    if name == "email" and not customer.email and len(value) <= EMAIL_LENGTH and _email.fullmatch(value):
        changes["email"] = value
    return changes


def _named(name: str) -> str:
    plain = _shortened(name.lower().replace("_", " "), NAME_LENGTH)
    return _meant.get(plain, plain)


def _shortened(text: str, length: int) -> str:
    """Printable, on one line, at most so long."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:length].strip()


def _is_name(value: str) -> bool:
    return len(value) <= PERSON_LENGTH and any(letter.isalpha() for letter in value) and not re.search(r"@|://|[<>{}]", value)
