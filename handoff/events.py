"""The wire: one strict class per command, and one class per fact that operations report.

Commands come from anybody, so they are checked here: unknown fields are refused, types are strict, text can be stored on both
databases and sent as strict JSON. Facts are made by operations from rows; `broadcasts` decides who hears which and in which words.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PROTOCOL = 1
TEXT_LENGTH = 4_000  # code points that a customer or an agent may send at once
LARGEST_NUMBER = 2**31 - 1


def storable(text: str) -> str:
    """NUL is refused by PostgreSQL, a lone surrogate by both drivers and by every JSON reader."""
    if "\x00" in text:
        raise ValueError("must not hold a NUL character")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("must not hold half of a surrogate pair")
    return text


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable), AfterValidator(not_blank)]
Id = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)]
Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class Command(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Nothing(Command):
    pass


class PostMessage(Command):
    client_id: Id
    text: Text


class CatchUp(Command):
    after: Number


class Typing(Command):
    is_typing: bool


class RateConversation(Command):
    score: Annotated[int, Field(ge=1, le=5)]
    comment: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable)] = ""


class Watch(Command):
    assistant_id: Id
    filter: Literal["all", "needs_human", "mine", "closed_today"] = "all"
    order: Literal["need", "busiest"] = "need"
    search: Annotated[str, Field(max_length=200), AfterValidator(storable)] = ""
    cursor: Annotated[str, Field(max_length=300), AfterValidator(storable)] | None = None


class Unwatch(Command):
    assistant_id: Id


class OpenConversation(Command):
    conversation_id: Id
    after: Number | None = None
    before: Number | None = None


class TakeOver(Command):
    conversation_id: Id


class PostAgentMessage(PostMessage):
    conversation_id: Id


class AgentTyping(Typing):
    conversation_id: Id


class MarkRead(Command):
    conversation_id: Id
    number: Number


class AddNote(PostMessage):
    conversation_id: Id


class CloseConversation(Command):
    conversation_id: Id
    outcome_id: Id | None = None
    note: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable)] | None = None


@dataclass(frozen=True)
class Fact:
    """Something that was committed. Holds plain JSON values only, so that it can be relayed to another process."""


@dataclass(frozen=True)
class ConversationFact(Fact):
    """A change of one conversation; `version` is the conversation's after it."""

    conversation_id: str
    assistant_id: str
    version: int


@dataclass(frozen=True)
class ConversationOpened(ConversationFact):
    conversation: dict[str, Any]
    customer_id: str


@dataclass(frozen=True)
class ConversationChanged(ConversationFact):
    conversation: dict[str, Any]


@dataclass(frozen=True)
class ConversationTakenOver(ConversationFact):
    conversation: dict[str, Any]
    takeover: dict[str, Any]


@dataclass(frozen=True)
class ConversationClosed(ConversationFact):
    conversation: dict[str, Any]


@dataclass(frozen=True)
class MessagePosted(ConversationFact):
    message: dict[str, Any]  # as `messages.describe` makes it: for_agents and for_customer choose from it


@dataclass(frozen=True)
class SignalRaised(ConversationFact):
    signal: dict[str, Any]


@dataclass(frozen=True)
class NoteAdded(ConversationFact):
    note: dict[str, Any]
    user_id: str


@dataclass(frozen=True)
class TypingChanged(ConversationFact):
    """Somebody writes. `version` is the present one: typing changes nothing that is kept."""

    author: str
    is_typing: bool
    agent: dict[str, str] | None = None
    shown_as: str | None = None  # what the customer may hear as the author; null: they hear nothing


@dataclass(frozen=True)
class TurnFact(Fact):
    turn: str
    conversation_id: str


@dataclass(frozen=True)
class TurnStarted(TurnFact):
    claimed_by: str


@dataclass(frozen=True)
class DraftChanged(TurnFact):
    text: str


@dataclass(frozen=True)
class TurnEnded(TurnFact):
    withdrawn: bool  # the draft goes without a message in its place


@dataclass(frozen=True)
class AccessEnded(Fact):
    """Sockets of a user (or of one session of theirs) must go: a seat, a membership or a sign-in ended."""

    user_id: str
    session_id: str | None = None


@dataclass(frozen=True)
class SeatsChanged(Fact):
    team_id: str


@dataclass(frozen=True)
class MembersChanged(Fact):
    """Who is in the team, in which role, or who is invited to it."""

    team_id: str


@dataclass(frozen=True)
class AssistantsChanged(Fact):
    """Which assistants a team has, how they behave, or what they know."""

    team_id: str


@dataclass(frozen=True)
class WidgetsChanged(Fact):
    """How a widget looks, which key it has, which sites may carry it, or on which it was seen."""

    team_id: str


@dataclass(frozen=True)
class OutcomesChanged(Fact):
    team_id: str


FACTS: dict[str, type[Fact]] = {
    kind.__name__: kind
    for kind in (
        ConversationOpened,
        ConversationChanged,
        ConversationTakenOver,
        ConversationClosed,
        MessagePosted,
        SignalRaised,
        NoteAdded,
        TypingChanged,
        TurnStarted,
        DraftChanged,
        TurnEnded,
        AccessEnded,
        SeatsChanged,
        MembersChanged,
        AssistantsChanged,
        OutcomesChanged,
        WidgetsChanged,
    )
}
