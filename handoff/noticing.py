"""What a customer's line tells by itself: that they ask for a human, say one of the team's phrases, or ask the same again.

Looked at in the transaction that stores the line, so that the signal stands right after it and for every process alike. That is two
short queries and, against 200 phrases, about 100 us for a usual line beside the 220 that storing it takes; and nothing at all
while a human has the conversation, who reads it anyway.
"""

import re
from typing import Any

from rapidfuzz.fuzz import token_sort_ratio

from handoff import phrases, signals
from handoff.events import SignalRaised
from handoff.models import Assistant, Message
from handoff.prepared import prepared

LETTERS = 10  # that a line needs to be a question which can be asked twice; "ok" and "thank you" are no questions
ALIKE = 90  # of 100: what is left of the same question after typing errors and another order of its words
LATELY = 5  # lines of the customer that it is compared with
_number = re.compile(r"\d+")


def raise_noticed(conversation: Any, text: str) -> list[SignalRaised]:
    """Raise what the line that was just stored gives reason for."""
    if conversation.owner_id is not None:
        return []
    facts: list[SignalRaised] = []
    for kind, reason in _noticed(conversation, phrases.plain(text)):
        facts += signals.raise_signal(conversation.id, kind, reason)
    return facts


def _noticed(conversation: Any, said: str) -> list[tuple[str, str]]:
    asking, listed = phrases.listed(_phrases(conversation.assistant_id)[0].phrases)
    found = listed.find(said)
    noticed = []
    if phrases.asks_for_human(said) or asking.find(said):
        noticed.append(("asked_for_human", "The customer asked for a person."))
    if found is not None:
        noticed.append(("phrase", f"The customer said “{found}”."))
    if _is_question(said) and conversation.last_number > 1 and _was_asked(conversation, said):
        noticed.append(("repeating", "The customer asked this before."))
    return noticed


@prepared
def _phrases(assistant_id: str) -> Any:
    return Assistant.select(Assistant.phrases).where(Assistant.id == assistant_id)


def _is_question(said: str) -> bool:
    return sum(2 if phrases.has_no_spaces(letter) else 1 for letter in said if letter.isalnum()) >= LETTERS


def _was_asked(conversation: Any, said: str) -> bool:
    return any(is_alike(said, phrases.plain(line.text)) for line in _before(conversation.id, conversation.last_number))


@prepared
def _before(conversation_id: str, number: int) -> Any:
    theirs = (Message.conversation == conversation_id) & (Message.author == "customer") & (Message.number < number)
    return Message.select(Message.text).where(theirs).order_by(Message.number.desc()).limit(LATELY)


def is_alike(one: str, other: str) -> bool:
    """Whether two plain texts ask the same. With another number in it, it is another question: 2 lamps are not 3."""
    if one == other:
        return True
    return _number.findall(one) == _number.findall(other) and token_sort_ratio(one, other, score_cutoff=ALIKE) >= ALIKE
