"""What an assistant knows and how it behaves, as its team edits it.

A change of an entry counts the assistant's `knowledge_version` in the same transaction: whoever holds an index of the entries
sees by it that the index is old.
"""

from typing import Annotated, Any, Literal

from peewee import fn
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from handoff import audit
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.events import TEXT_LENGTH, not_blank, storable
from handoff.models import Assistant, Conversation, Entry, Widget
from handoff.seats import Agent, agent_in

MOST_ENTRIES = 500  # of one assistant on its page
WEEK = 7 * 24 * 60  # minutes


class EntryDeleted(Refused):
    code = "not_found"
    message = "Somebody deleted this entry meanwhile."


def one_line(text: str) -> str:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise ValueError("must be one line without control characters")
    return text


Minutes = Annotated[int, Field(ge=1, le=WEEK)]


class Typed(BaseModel):
    """What somebody typed into a form: only its fields, without the space around them, small enough to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AssistantName(Typed):
    name: Annotated[str, Field(max_length=80), AfterValidator(storable), AfterValidator(not_blank), AfterValidator(one_line)]


class AssistantSettings(AssistantName):
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    handoff: Literal["silent", "scripted", "announced"]
    handoff_text: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable)] = ""
    assistant_minutes: Minutes
    human_minutes: Minutes
    fallback_text: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable), AfterValidator(not_blank)]

    @field_validator("handoff_text")
    @classmethod
    def said_when_scripted(cls, text: str, others: ValidationInfo) -> str:
        if others.data.get("handoff") == "scripted" and not text:
            raise ValueError("is needed for a scripted handoff: write the line that customers read first")
        return text


class EntryText(Typed):
    question: Annotated[str, Field(max_length=500), AfterValidator(storable), AfterValidator(not_blank)]
    answer: Annotated[str, Field(max_length=8_000), AfterValidator(storable), AfterValidator(not_blank)]


class TriedQuestion(Typed):
    question: Annotated[str, Field(max_length=500), AfterValidator(storable), AfterValidator(not_blank)]


def assistants_of(session_id: str, team_id: str) -> tuple[Agent, list[dict[str, Any]]]:
    """The member who asks, and the team's assistants with how many entries and active conversations each has; the
    archived ones last."""
    member = agent_in(team_id, session_id)
    entries = Entry.select(fn.COUNT(Entry.id)).where(Entry.assistant == Assistant.id)
    active = Conversation.select(fn.COUNT(Conversation.id)).where(
        Conversation.assistant == Assistant.id, Conversation.status == "active"
    )
    rows = (
        Assistant.select(
            Assistant.id,
            Assistant.name,
            Assistant.color,
            Assistant.handoff,
            Assistant.archived_at,
            entries.alias("entries"),
            active.alias("active"),
        )
        .where(Assistant.team == team_id)
        .order_by(Assistant.archived_at.is_null(False), fn.LOWER(Assistant.name), Assistant.id)
        .limit(1_000)
    )
    return member, list(rows.dicts())


def assistant_of(session_id: str, team_id: str, assistant_id: str) -> tuple[Agent, Assistant]:
    """The member who asks and the assistant that they may see. Raises NotFound, SignedOut."""
    member = agent_in(team_id, session_id)
    assistant = Assistant.get_or_none(Assistant.id == assistant_id, Assistant.team == team_id)
    if assistant is None:
        raise NotFound
    return member, assistant


def entries_of(assistant_id: str, most: int | None = MOST_ENTRIES) -> list[Entry]:
    """The entries, the last changed first."""
    rows = Entry.select().where(Entry.assistant == assistant_id).order_by(Entry.changed_at.desc(), Entry.id)
    return list(rows.limit(most))


def count_entries(assistant_id: str) -> int:
    return int(Entry.select().where(Entry.assistant == assistant_id).count())


def widgets_of(assistant_id: str) -> list[Widget]:
    return list(Widget.select().where(Widget.assistant == assistant_id).order_by(Widget.name, Widget.id).limit(100))


def entry_of(session_id: str, team_id: str, assistant_id: str, entry_id: str) -> tuple[Agent, Assistant, Entry]:
    member, assistant = assistant_of(session_id, team_id, assistant_id)
    entry = Entry.get_or_none(Entry.id == entry_id, Entry.assistant == assistant_id)
    if entry is None:
        raise NotFound("There is no such entry here. Somebody may have deleted it.")
    return member, assistant, entry


def change_assistant(session_id: str, team_id: str, assistant_id: str, settings: AssistantSettings) -> Happened[None]:
    """Set how an assistant looks and behaves. A takeover keeps the handoff that it began with (I7)."""
    admin = _admin_of(session_id, team_id, assistant_id)
    columns = {**settings.model_dump(), "color": settings.color.lower()}
    Assistant.update(columns).where(Assistant.id == assistant_id).execute()
    audit.note(team_id, admin.user_id, "assistant_changed", assistant_id=assistant_id, name=settings.name)
    return Happened(None)


def add_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str, text: EntryText) -> Happened[str]:
    """Add an entry under the id that its form was given, so that sending the form twice adds one. Answers with its id.

    A form that is sent again with another text (somebody went back in the browser) adds another entry: nothing typed is lost.
    """
    admin = _admin_of(session_id, team_id, assistant_id)
    known = Entry.get_or_none(Entry.id == entry_id)
    if known is not None:
        if (known.assistant_id, known.question, known.answer) == (assistant_id, text.question, text.answer):
            return Happened(entry_id)
        entry_id = new_id()
    _count_change(assistant_id)
    _note(admin, "entry_added", assistant_id, entry_id)
    Entry.create(id=entry_id, assistant=assistant_id, question=text.question, answer=text.answer)
    return Happened(entry_id)


def edit_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str, text: EntryText) -> Happened[None]:
    """Raises EntryDeleted where there is nothing to edit any more."""
    admin = _admin_of(session_id, team_id, assistant_id)
    edited = (
        Entry.update(question=text.question, answer=text.answer, changed_at=now())
        .where(Entry.id == entry_id, Entry.assistant == assistant_id)
        .execute()
    )
    if not edited:
        raise EntryDeleted
    _count_change(assistant_id)
    _note(admin, "entry_edited", assistant_id, entry_id)
    return Happened(None)


def delete_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str) -> Happened[None]:
    """Deleting what is gone already is done already."""
    admin = _admin_of(session_id, team_id, assistant_id)
    if Entry.delete().where(Entry.id == entry_id, Entry.assistant == assistant_id).execute():
        _count_change(assistant_id)
        _note(admin, "entry_deleted", assistant_id, entry_id)
    return Happened(None)


def _admin_of(session_id: str, team_id: str, assistant_id: str) -> Agent:
    member, _ = assistant_of(session_id, team_id, assistant_id)
    member.must_be_admin()
    return member


def _note(admin: Agent, kind: str, assistant_id: str, entry_id: str) -> None:
    name = Assistant.select(Assistant.name).where(Assistant.id == assistant_id).scalar()
    audit.note(admin.team_id, admin.user_id, kind, assistant_id=assistant_id, name=name, entry_id=entry_id)


def _count_change(assistant_id: str) -> None:
    Assistant.update(knowledge_version=Assistant.knowledge_version + 1).where(Assistant.id == assistant_id).execute()
