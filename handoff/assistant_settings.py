"""How an assistant looks and behaves, as its team's admins edit it, two at a time too.

A form carries the version that it began with and, for each field, a mark of what stood there. A save on an older version changes
nothing: whoever sent it hears, field by field, what others saved meanwhile. What they did not touch takes the others' value,
what they typed stays, and the next save goes through.
"""

import functools
import hashlib
import json
import operator
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from handoff import audit
from handoff.database import Happened
from handoff.errors import Refused
from handoff.events import TEXT_LENGTH, AssistantsChanged, not_blank, storable
from handoff.knowledge import AssistantName, admin_of, one_line
from handoff.models import Assistant, Audit, User
from handoff.phrases import WILDCARDS

WEEK = 7 * 24 * 60  # minutes
MOST_PHRASES, PHRASE_LENGTH = 200, 80
MOST_FAULTS = 5  # told of one list of lines
MOST_EDITS = 100  # looked at to find out who changed a field

Minutes = Annotated[int, Field(ge=1, le=WEEK)]
Marks = dict[str, str]


def phrases_of(typed: object) -> object:
    """The phrases of a text with one on each line: in small letters, with single spaces, each once."""
    if not isinstance(typed, str):
        return typed
    lines = [(number, " ".join(line.split()).lower()) for number, line in enumerate(typed.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    faults = [f"Line {number}: {fault}" for number, line in lines if (fault := _fault_of(line))]
    if faults:
        more = [f"And {len(faults) - MOST_FAULTS} lines more."] if len(faults) > MOST_FAULTS else []
        raise PydanticCustomError("lines", "{words}", {"words": " ".join(faults[:MOST_FAULTS] + more)})
    once: dict[str, str] = {}
    for _, line in lines:
        once.setdefault(line.casefold(), line)
    phrases = list(once.values())
    if len(phrases) > MOST_PHRASES:
        raise PydanticCustomError(
            "lines", "{words}", {"words": f"At most {MOST_PHRASES} phrases, please; these are {len(phrases)}."}
        )
    return phrases


def _fault_of(line: str) -> str:
    if len(line) > PHRASE_LENGTH:
        return f"at most {PHRASE_LENGTH} characters, please; this has {len(line)}."
    if not any(letter.isalnum() for letter in line):
        return "write a word; * alone would fit everything."
    if len(re.findall(r"\*+", line)) > WILDCARDS:
        return f"at most {WILDCARDS} of *, please."
    if not line.isprintable():
        return "remove the characters that cannot be seen."
    return ""


class AssistantSettings(AssistantName):
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$"), AfterValidator(str.lower)]
    greeting: Annotated[str, Field(max_length=1_000), AfterValidator(storable)] = ""
    handoff: Literal["silent", "scripted", "announced"]
    handoff_text: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable)] = ""
    assistant_minutes: Minutes
    human_minutes: Minutes
    fallback_text: Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(storable), AfterValidator(not_blank)]
    phrases: Annotated[list[Annotated[str, AfterValidator(storable), AfterValidator(one_line)]], BeforeValidator(phrases_of)] = []
    waiting_seconds: Annotated[int, Field(ge=5, le=3_600)] = 60

    @field_validator("handoff_text")
    @classmethod
    def said_when_scripted(cls, text: str, others: ValidationInfo) -> str:
        if others.data.get("handoff") == "scripted" and not text:
            raise ValueError("is needed for a scripted handoff: write the line that customers read first")
        return text

    @property
    def columns(self) -> dict[str, Any]:
        """As they are kept."""
        return {**self.model_dump(exclude={"phrases"}), "phrases": json.dumps(self.phrases, ensure_ascii=False)}


class ChangedMeanwhile(Refused):
    """Somebody saved since the form was opened. `by` says who changed each field, `typed` what the form goes on with,
    and `overwrites` the fields that whoever sent it changed too, with what the others saved there."""

    code = "conflict"
    status = 409
    message = "Somebody changed this assistant meanwhile."

    def __init__(self, assistant: Assistant, by: dict[str, str], typed: dict[str, str], overwrites: dict[str, str]) -> None:
        super().__init__()
        self.assistant, self.by, self.typed, self.overwrites = assistant, by, typed, overwrites


def typed_of(assistant: Assistant) -> dict[str, str]:
    """What the fields of the form begin with."""
    columns = {name: getattr(assistant, name) for name in AssistantSettings.model_fields}
    return {**{name: str(value) for name, value in columns.items()}, "phrases": "\n".join(json.loads(assistant.phrases))}


def marks_of(columns: dict[str, Any]) -> Marks:
    """A short mark for the value of each field: enough to tell whether it is still the same."""
    return {name: hashlib.sha256(str(columns[name]).encode()).hexdigest()[:12] for name in AssistantSettings.model_fields}


def marks_of_assistant(assistant: Assistant) -> Marks:
    return marks_of({name: getattr(assistant, name) for name in AssistantSettings.model_fields})


def change(
    session_id: str, team_id: str, assistant_id: str, settings: AssistantSettings, version: int, began: Marks
) -> Happened[None]:
    """Save the settings if nobody saved others since `version`. Saving what stands there already is done already.

    A takeover keeps the handoff that it began with (I7). Raises ChangedMeanwhile.
    """
    admin = admin_of(session_id, team_id, assistant_id)
    columns = settings.columns
    differs = functools.reduce(operator.or_, (getattr(Assistant, name) != value for name, value in columns.items()))
    saved = (
        Assistant.update({**columns, "version": Assistant.version + 1})
        .where(Assistant.id == assistant_id, Assistant.version == version, differs)
        .execute()
    )
    now_kept = Assistant.get_by_id(assistant_id)
    if saved:
        fields = [name for name, mark in marks_of(columns).items() if began.get(name) != mark]
        about = {"assistant_id": assistant_id, "name": settings.name, "fields": " ".join(fields)}
        audit.note(team_id, admin.user_id, "assistant_changed", version=version + 1, **about)
        return Happened(None, [AssistantsChanged(team_id)])
    kept = marks_of_assistant(now_kept)
    if kept == marks_of(columns):
        return Happened(None)
    if now_kept.version != version and kept == began:  # something else of it was saved: nothing that this form shows
        return change(session_id, team_id, assistant_id, settings, now_kept.version, began)
    raise _changed_meanwhile(now_kept, settings, version, began)


def _changed_meanwhile(assistant: Assistant, settings: AssistantSettings, version: int, began: Marks) -> ChangedMeanwhile:
    kept, mine = marks_of_assistant(assistant), marks_of(settings.columns)
    theirs, typed = typed_of(assistant), {name: str(value) for name, value in settings.model_dump().items()}
    typed["phrases"] = "\n".join(settings.phrases)
    changed = [name for name in kept if kept[name] != began.get(name) and kept[name] != mine[name]]
    touched = {name for name in changed if mine[name] != began.get(name)}
    goes_on = {name: theirs[name] if name in changed and name not in touched else typed[name] for name in typed}
    who = _who_changed(assistant, version)
    return ChangedMeanwhile(
        assistant, {name: who.get(name, "Somebody") for name in changed}, goes_on, {name: theirs[name] for name in touched}
    )


def _who_changed(assistant: Assistant, version: int) -> dict[str, str]:
    """Who changed each field last since that version, by name."""
    about_it = Audit.about.contains(f'"assistant_id": "{assistant.id}"')
    rows = (
        Audit.select(User.name, Audit.about)
        .join(User)
        .where(Audit.team == assistant.team_id, Audit.kind == "assistant_changed", about_it)
        .order_by(Audit.id.desc())
        .limit(MOST_EDITS)
        .tuples()
    )
    who: dict[str, str] = {}
    for name, about in rows:
        edit = json.loads(about)
        if edit.get("version", 0) > version:
            for field in edit["fields"].split():
                who.setdefault(field, name)
    return who
