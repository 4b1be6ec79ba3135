"""The embedded assistant: it answers from the team's own entries, needs no key and no network, and says when it does not know."""

import asyncio
import re
from collections.abc import AsyncGenerator

from handoff.assistants import NeedsHuman, Piece, Question
from handoff.assistants.shelf import Shelf

NO_ANSWER = (
    "I'm sorry, I don't have an answer to that. You could put it another way, "
    "or write “talk to a person” and somebody from the team will have a look."
)
ASKED = (
    "Of course. I have told the team that you would like to talk to a person; somebody answers here as soon as they can. "
    "You can go on writing meanwhile."
)
GREETED = "Hello! What can I help you with?"
_greeting = re.compile(r"\W*(hi|hello|hey|good (morning|afternoon|evening|day)|hallo|hola|bonjour)\b\W*(there)?\W*", re.IGNORECASE)
_person = re.compile(
    r"\b(talk|speak|chat|connect|transfer|pass|get)\w*\b.{0,40}\b(person|human|someone|somebody|agent|representative|operator)s?\b"
    r"|\b(real|live|actual) (person|human|agent)\b|^\W*(a )?(human|person|agent|representative|operator)( please)?\W*$",
    re.IGNORECASE | re.DOTALL,
)
_word = re.compile(r"\S+\s*")
GREETING_LENGTH, PERSON_LENGTH, ASKED_LENGTH = 60, 300, 4_000  # characters that are looked at


class BuiltIn:
    def __init__(self, shelf: Shelf, words_per_second: float) -> None:
        self._shelf = shelf
        self._pause = 1 / words_per_second

    async def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Stream the best entry's answer word by word, at a pace that a person can follow."""
        text = await self._text(question)
        if text is None:
            yield NeedsHuman("no_answer", "The assistant found nothing in its knowledge.")
        elif text == ASKED:
            yield NeedsHuman("asked_for_human", "The customer asked for a person.")
        for word in _word.findall(text or NO_ANSWER):
            await asyncio.sleep(self._pause)
            yield word

    async def _text(self, question: Question) -> str | None:
        # The patterns look at little and the index at a bounded part: whoever asks chooses the text, and all customers wait.
        text = question.text.strip()[-ASKED_LENGTH:]
        if len(text) <= GREETING_LENGTH and _greeting.fullmatch(text):
            return GREETED
        if _person.search(text[-PERSON_LENGTH:]):
            return ASKED
        knowledge = await self._shelf.knowledge(question.assistant_id, question.knowledge_version)
        found = await asyncio.to_thread(knowledge.find, text)
        return found.answer if found else None
