"""The AI that answers, behind one small protocol: a stream of pieces that can be cancelled at any point."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Question:
    """What an assistant is asked: the last lines of the conversation, oldest first, each `(author, text)`."""

    conversation_id: str
    assistant_id: str
    knowledge_version: int
    lines: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The customer's lines since the last answer, together."""
        asked: list[str] = []
        for author, text in reversed(self.lines):
            if author != "customer":
                break
            asked.append(text)
        return "\n".join(reversed(asked))


@dataclass(frozen=True)
class NeedsHuman:
    """A piece that is no text: the assistant's own word that a person should look, as a kind of signal."""

    kind: str
    reason: str


Piece = str | NeedsHuman


class Provider(Protocol):
    def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Yield the answer piece by piece. Closing the iterator ends the work behind it at once.

        Any exception means that no whole answer came: what was yielded is not stored as one.
        """
        ...


def providers(built_in: Provider) -> dict[str, Provider]:
    return {"built_in": built_in}
