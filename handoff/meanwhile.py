"""Forms that two people edit at once: the later save is told what the earlier one changed.

A form carries what it began with: the version of its row and, for each field, a mark of what stood there. While nothing that it
shows was changed, a save simply saves. Else nothing is saved, and whoever sent it hears, field by field, who saved what: a
field that only others touched takes their value, one that both touched keeps what was typed, and the next save goes through.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from peewee import Expression

from handoff import audit
from handoff.errors import NotFound, Refused
from handoff.models import Assistant, Audit, Team, User, Widget
from handoff.seats import Agent

MOST_EDITS = 100  # looked at to find out who changed a field

Values = dict[str, str]  # the fields of a form, as text
Row = TypeVar("Row", Assistant, Widget, Team)


def mark(text: str) -> str:
    """Short, and enough to tell whether a text is still the same."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Began:
    """What a form began with. One that does not say so is older than any."""

    version: int = -1
    marks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, version: int, shown: Values) -> "Began":
        return cls(version, {name: mark(text) for name, text in shown.items()})

    @classmethod
    def brought(cls, form: Mapping[str, str]) -> "Began":
        """As a form brings it again, by its sender's word."""
        version = form.get("version", "")
        is_number = version.isascii() and version.isdigit() and len(version) <= 9
        pairs = (pair.partition(":") for pair in form.get("began", "").split())
        return cls(int(version) if is_number else -1, {name: marked for name, _, marked in pairs})

    def __str__(self) -> str:
        return " ".join(f"{name}:{marked}" for name, marked in self.marks.items())

    def others(self, values: Values) -> set[str]:
        """The fields that are not as they were."""
        return {name for name, text in values.items() if self.marks.get(name) != mark(text)}


class ChangedMeanwhile(Refused):
    """`by` says who changed each field, `typed` and `began` what the form goes on with, and `theirs` what others saved in the
    fields that whoever sent it touched too."""

    code = "conflict"
    status = 409
    message = "Somebody else saved this meanwhile."

    def __init__(self, by: dict[str, str], typed: Values, theirs: Values, began: Began) -> None:
        super().__init__()
        self.by, self.typed, self.theirs, self.began = by, typed, theirs, began

    @property
    def people(self) -> list[str]:
        return sorted(set(self.by.values()))


def held(kind: type[Row], here: Expression) -> Row:
    """The row, which nobody else changes before this transaction ends. Raises NotFound."""
    if not kind.update(version=kind.version).where(here).execute():
        raise NotFound
    row: Row = kind.get(here)
    return row


@dataclass(frozen=True)
class Edit:
    """A form that was sent for a row that is `held`: its fields as they stand there and as they were typed."""

    admin: Agent  # who sent it
    kind: str  # of its line in the audit
    row: Assistant | Widget | Team
    kept: Values
    typed: Values
    began: Began

    @property
    def fields(self) -> list[str]:
        """What saving would change: nothing, where a form is sent twice."""
        return [name for name in self.kept if self.kept[name] != self.typed[name]]

    def must_be_unchanged(self) -> None:
        """Raises ChangedMeanwhile where others changed what this would change back, or else."""
        theirs = [name for name in self.fields if name in self.began.others(self.kept)]
        if self.row.version == self.began.version or not theirs:
            return
        mine = self.began.others(self.typed)
        typed = {name: self.kept[name] if name in theirs and name not in mine else text for name, text in self.typed.items()}
        who = self._who()
        raise ChangedMeanwhile(
            {name: who.get(name, "Somebody") for name in theirs},
            typed,
            {name: self.kept[name] for name in theirs if name in mine},
            Began.of(self.row.version, self.kept),
        )

    def save(self, columns: dict[str, Any], **about: str) -> None:
        kind, version = type(self.row), self.row.version + 1
        kind.update({**columns, "version": version}).where(kind.id == self.row.id).execute()
        ids = {f"{kind.__name__.lower()}_id": self.row.id}
        about = {**ids, **about, "fields": " ".join(self.fields)}
        audit.note(self.admin.team_id, self.admin.user_id, self.kind, version=version, **about)

    def _who(self) -> dict[str, str]:
        """Who changed each field last since the form began, by name."""
        lines = (
            Audit.select(User.name, Audit.about)
            .join(User)
            .where(Audit.team == self.admin.team_id, Audit.kind == self.kind, Audit.about.contains(f'_id": "{self.row.id}"'))
            .order_by(Audit.id.desc())
            .limit(MOST_EDITS)
            .tuples()
        )
        who: dict[str, str] = {}
        for name, about in lines:
            edit = json.loads(about)
            if edit.get("version", 0) > self.began.version:
                for field_name in edit.get("fields", "").split():
                    who.setdefault(field_name, name)
        return who
