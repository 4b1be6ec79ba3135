"""What an assistant knows and how it behaves, as its team edits it.

A change of an entry counts the assistant's `knowledge_version` in the same transaction: whoever holds an index of the entries
sees by it that the index is old.
"""

from typing import Annotated, Any

from peewee import Case, fn
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from handoff import audit
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.events import AssistantsChanged, not_blank, storable
from handoff.models import Assistant, Audit, Conversation, Entry, User, Widget
from handoff.seats import Agent, agent_in

SHOWN_ENTRIES = 200  # of one assistant on its page
MOST_ENTRIES = 5_000  # that one assistant may know


class EntryDeleted(Refused):
    code = "not_found"
    message = "Somebody deleted this entry meanwhile."


class TooManyEntries(Refused):
    code = "conflict"
    status = 409
    message = f"An assistant knows at most {MOST_ENTRIES:,} entries. Delete one first."


class EntryChanged(Refused):
    """Somebody saved the entry since its form was opened: who, and the entry as it is now."""

    code = "conflict"
    status = 409
    message = "Somebody changed this entry meanwhile."

    def __init__(self, entry: Entry, by: str) -> None:
        super().__init__()
        self.entry, self.by = entry, by


def one_line(text: str) -> str:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise ValueError("must be one line without control characters")
    return text


class Typed(BaseModel):
    """What somebody typed into a form: only its fields, without the space around them, small enough to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AssistantName(Typed):
    name: Annotated[str, Field(max_length=80), AfterValidator(storable), AfterValidator(not_blank), AfterValidator(one_line)]


class EntryText(Typed):
    question: Annotated[str, Field(max_length=500), AfterValidator(storable), AfterValidator(not_blank)]
    answer: Annotated[str, Field(max_length=8_000), AfterValidator(storable), AfterValidator(not_blank)]


class EntrySearch(Typed):
    search: Annotated[str, Field(max_length=200), AfterValidator(storable)] = ""


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


def entries_of(assistant_id: str, most: int | None = SHOWN_ENTRIES, search: str = "") -> list[Entry]:
    """The entries, the last changed first; those that hold what is searched for."""
    return list(_entries(assistant_id, search).order_by(Entry.changed_at.desc(), Entry.id).limit(most))


def count_entries(assistant_id: str, search: str = "") -> int:
    return int(_entries(assistant_id, search).count())


def _entries(assistant_id: str, search: str) -> Any:
    rows = Entry.select().where(Entry.assistant == assistant_id)
    return rows.where(Entry.question.contains(search) | Entry.answer.contains(search)) if search else rows


def widgets_of(assistant_id: str) -> list[Widget]:
    return list(Widget.select().where(Widget.assistant == assistant_id).order_by(Widget.name, Widget.id).limit(100))


def entry_of(session_id: str, team_id: str, assistant_id: str, entry_id: str) -> tuple[Agent, Assistant, Entry]:
    member, assistant = assistant_of(session_id, team_id, assistant_id)
    entry = Entry.get_or_none(Entry.id == entry_id, Entry.assistant == assistant_id)
    if entry is None:
        raise NotFound("There is no such entry here. Somebody may have deleted it.")
    return member, assistant, entry


def add_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str, text: EntryText) -> Happened[str]:
    """Add an entry under the id that its form was given, so that sending the form twice adds one. Answers with its id.

    A form that is sent again with another text (somebody went back in the browser) adds another entry: nothing typed is lost.
    """
    admin = admin_of(session_id, team_id, assistant_id)
    known = Entry.get_or_none(Entry.id == entry_id)
    if known is not None:
        if (known.assistant_id, known.question, known.answer) == (assistant_id, text.question, text.answer):
            return Happened(entry_id)
        entry_id = new_id()
    if count_entries(assistant_id) >= MOST_ENTRIES:
        raise TooManyEntries
    count_change(assistant_id)
    _note(admin, "entry_added", assistant_id, entry_id)
    Entry.create(id=entry_id, assistant=assistant_id, question=text.question, answer=text.answer)
    return Happened(entry_id, [AssistantsChanged(team_id)])


def edit_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str, text: EntryText, changed_at: int) -> Happened[None]:
    """Save the entry if nobody did since `changed_at`. Saving what stands there already is done already.

    Raises EntryDeleted where there is nothing to edit any more, EntryChanged where it is another by now.
    """
    admin = admin_of(session_id, team_id, assistant_id)
    time = now()  # of two changes within a millisecond the second is later all the same
    later = Case(None, ((Entry.changed_at >= time, Entry.changed_at + 1),), time)
    differs = (Entry.question != text.question) | (Entry.answer != text.answer)
    edited = (
        Entry.update(question=text.question, answer=text.answer, changed_at=later)
        .where(Entry.id == entry_id, Entry.assistant == assistant_id, Entry.changed_at == changed_at, differs)
        .execute()
    )
    if not edited:
        return _unedited(team_id, assistant_id, entry_id, text)
    count_change(assistant_id)
    _note(admin, "entry_edited", assistant_id, entry_id)
    return Happened(None, [AssistantsChanged(team_id)])


def _unedited(team_id: str, assistant_id: str, entry_id: str, text: EntryText) -> Happened[None]:
    entry = Entry.get_or_none(Entry.id == entry_id, Entry.assistant == assistant_id)
    if entry is None:
        raise EntryDeleted
    if (entry.question, entry.answer) == (text.question, text.answer):
        return Happened(None)
    raise EntryChanged(entry, _who_changed(team_id, entry_id))


def _who_changed(team_id: str, entry_id: str) -> str:
    """Who saved an entry last, by name; an import names no entry."""
    kinds = Audit.kind << ("entry_added", "entry_edited")
    about_it = Audit.about.contains(f'"entry_id": "{entry_id}"')
    rows = Audit.select(User.name).join(User).where(Audit.team == team_id, kinds, about_it)
    return rows.order_by(Audit.id.desc()).limit(1).scalar() or "Somebody"


def delete_entry(session_id: str, team_id: str, assistant_id: str, entry_id: str) -> Happened[None]:
    """Deleting what is gone already is done already."""
    admin = admin_of(session_id, team_id, assistant_id)
    if Entry.delete().where(Entry.id == entry_id, Entry.assistant == assistant_id).execute():
        count_change(assistant_id)
        _note(admin, "entry_deleted", assistant_id, entry_id)
        return Happened(None, [AssistantsChanged(team_id)])
    return Happened(None)


def admin_of(session_id: str, team_id: str, assistant_id: str) -> Agent:
    """The admin behind a session, for an assistant of their team. Raises NotFound, SignedOut, Forbidden."""
    member, _ = assistant_of(session_id, team_id, assistant_id)
    member.must_be_admin()
    return member


def _note(admin: Agent, kind: str, assistant_id: str, entry_id: str) -> None:
    name = Assistant.select(Assistant.name).where(Assistant.id == assistant_id).scalar()
    audit.note(admin.team_id, admin.user_id, kind, assistant_id=assistant_id, name=name, entry_id=entry_id)


def count_change(assistant_id: str) -> None:
    Assistant.update(knowledge_version=Assistant.knowledge_version + 1).where(Assistant.id == assistant_id).execute()
