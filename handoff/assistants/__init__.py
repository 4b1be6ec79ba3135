"""The AI that answers, behind one small protocol: a stream of pieces that can be cancelled at any point."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from handoff.clock import now
from handoff.models import Assistant


class AnswerFailed(Exception):
    """No whole answer came; its text is the reason, in words for an agent: without keys, queries or what was said."""


@dataclass(frozen=True)
class ProviderSettings:
    """Where an assistant's answers come from. The keys are sealed, and opened only at the moment of their use."""

    kind: str = "built_in"  # built_in, model, webhook
    base_url: str = ""  # of a chat-completions endpoint
    model: str = ""
    model_key: str = field(default="", repr=False)
    instructions: str = field(default="", repr=False)
    temperature: float | None = None  # None: the endpoint's own
    answer_tokens: int = 1_000
    webhook_url: str = ""
    webhook_key: str = field(default="", repr=False)

    @property
    def is_outside(self) -> bool:
        """Whether somebody may be paid for each answer."""
        return self.kind != "built_in"

    @classmethod
    def of(cls, assistant: Assistant) -> "ProviderSettings":
        columns = {name: getattr(assistant, name) for name in cls.__dataclass_fields__ if name != "kind"}
        return cls(kind=assistant.provider, **columns)


@dataclass(frozen=True)
class Question:
    """What an assistant is asked: the last lines of the conversation, oldest first, each `(author, text)`.

    One that is only tried belongs to no conversation: its `conversation_id` is empty.
    """

    conversation_id: str
    assistant_id: str
    knowledge_version: int
    lines: tuple[tuple[str, str], ...] = field(repr=False)
    team_id: str = ""
    provider: ProviderSettings = ProviderSettings()
    event_id: str = ""  # of the customer's line; the same when it is asked again
    asked_at: int = field(default_factory=now)  # milliseconds: since then the customer has waited

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


@dataclass(frozen=True)
class Remember:
    """A piece that is no text: something that the customer told of themselves, for the agents to see."""

    name: str
    value: str


Piece = str | NeedsHuman | Remember


class Provider(Protocol):
    def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Yield the answer piece by piece. Closing the iterator ends the work behind it at once.

        Any exception means that no whole answer came: what was yielded is not stored as one. AnswerFailed tells why.
        """
        ...


def providers(built_in: Provider, model: Provider, webhook: Provider) -> dict[str, Provider]:
    """By the kind that an assistant's settings name."""
    return {"built_in": built_in, "model": model, "webhook": webhook}
