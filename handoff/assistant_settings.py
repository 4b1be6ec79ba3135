"""How an assistant looks and behaves, as its team's admins edit it."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from handoff import meanwhile
from handoff.database import Happened
from handoff.events import TEXT_LENGTH, AssistantsChanged, not_blank, storable
from handoff.knowledge import AssistantName, admin_of, one_line
from handoff.meanwhile import Began, Edit, Values
from handoff.models import Assistant
from handoff.phrases import WILDCARDS

WEEK = 7 * 24 * 60  # minutes
MOST_PHRASES, PHRASE_LENGTH = 200, 80
MOST_FAULTS = 5  # told of one list of lines

Minutes = Annotated[int, Field(ge=1, le=WEEK)]


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
    def shown(self) -> Values:
        """As the form shows them."""
        return {**{name: str(value) for name, value in self}, "phrases": "\n".join(self.phrases)}

    @property
    def columns(self) -> dict[str, Any]:
        """As they are kept."""
        return {**self.model_dump(exclude={"phrases"}), "phrases": json.dumps(self.phrases, ensure_ascii=False)}


def shown_of(assistant: Assistant) -> Values:
    """What the fields of the form begin with."""
    columns = {name: str(getattr(assistant, name)) for name in AssistantSettings.model_fields}
    return {**columns, "phrases": "\n".join(json.loads(assistant.phrases))}


def change(session_id: str, team_id: str, assistant_id: str, settings: AssistantSettings, began: Began) -> Happened[None]:
    """Save the settings. A takeover keeps the handoff that it began with (I7). Raises ChangedMeanwhile."""
    admin = admin_of(session_id, team_id, assistant_id)
    kept = meanwhile.held(Assistant, (Assistant.id == assistant_id) & (Assistant.team == team_id))
    edit = Edit(admin, "assistant_changed", kept, shown_of(kept), settings.shown, began)
    if not edit.fields:
        return Happened(None)
    edit.must_be_unchanged()
    edit.save(settings.columns, name=settings.name)
    return Happened(None, [AssistantsChanged(team_id)])
