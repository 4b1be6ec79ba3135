"""Entries from a CSV file: read row by row, compared with what is known, and put in as one.

Nothing is kept between the preview and the import: the preview's form brings the good rows again.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from handoff import audit
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import Refused
from handoff.events import AssistantsChanged
from handoff.knowledge import MOST_ENTRIES, EntryText, TooManyEntries, admin_of, count_change
from handoff.models import Assistant, Entry

MOST_ROWS = 5_000  # of one file
MOST_LINES = 50_000  # of one file, whatever stands in them: a megabyte of empty ones would take many seconds
DELIMITERS = (",", ";", "\t")
LOOKED_AT = 50  # rows, to find out which delimiter it is
AT_ONCE = 500  # rows of one statement
COLUMNS = ["question", "answer"]

_control = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")  # of NUL the fields themselves say that it cannot be stored

NEVER_CLOSED = "A quotation mark opens here and is never closed. What follows was not read."

Cells = list[str]
Fault = tuple[int, str, ValidationError | None]  # line, words, and what is wrong with the texts of a row


class FileRefused(Refused):
    """The whole file, in words that say what to do with it."""

    status = 422


class KnowledgeChanged(Refused):
    code = "conflict"
    status = 409
    message = "Somebody changed entries of this assistant meanwhile. Look through the list again, then import."


@dataclass(frozen=True)
class Rows:
    """What a file holds: the good rows, each question once, and what is wrong with the others."""

    good: list[EntryText]
    faults: list[Fault]


@dataclass(frozen=True)
class Comparison:
    """Rows beside what is known: the new ones, those whose question stands there with another answer (each with that entry),
    and how many stand there already as they are."""

    new: list[EntryText]
    changed: list[tuple[Entry, EntryText]]
    same: int


@dataclass(frozen=True)
class Columns:
    """How many a header has, and the places of question and answer among them."""

    count: int
    question: int
    answer: int


def read_csv(data: bytes) -> Rows:
    """The rows of a file. Takes a moment for a large one: call it in a thread. Raises FileRefused."""
    try:
        lines = list(io.StringIO(data.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise FileRefused("This file is not in UTF-8. Save it as “CSV UTF-8” and choose it again.") from None
    cells = list(islice(_cells(lines, _delimiter(lines)), MOST_ROWS + 2))
    header = [cell.strip().casefold() for cell in cells[0][1]] if cells and isinstance(cells[0][1], list) else []
    if set(COLUMNS) <= set(header):
        return _rows(cells[1:], Columns(len(header), header.index("question"), header.index("answer")))
    return _rows(cells, None)


def _delimiter(lines: list[str]) -> str:
    """The one by which most of the first rows have two columns."""

    def fitting(delimiter: str) -> int:
        return sum(isinstance(row, list) and len(row) == len(COLUMNS) for _, row in islice(_cells(lines, delimiter), LOOKED_AT))

    return max(DELIMITERS, key=fitting)


def _cells(lines: list[str], delimiter: str) -> Iterator[tuple[int, Cells | str]]:
    """The line on which each row begins with its cells, or with what is wrong with it. Empty rows are left out."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        begins = rows.line_num + 1
        if begins > MOST_LINES:
            raise FileRefused(f"This file has more than {MOST_LINES:,} lines. Take the empty ones out, or divide it.")
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, (words := _words(str(error)))
            if words == NEVER_CLOSED:
                return
        else:
            if any(cell.strip() for cell in row):
                yield begins, row


def _words(error: str) -> str:
    if "unexpected end" in error or "field limit" in error:
        return NEVER_CLOSED
    return "A quotation mark stands in the middle of a text. Put the text in quotation marks and double those within."


def _rows(cells: list[tuple[int, Cells | str]], columns: Columns | None) -> Rows:
    """Without a header there are question and answer alone."""
    if len(cells) > MOST_ROWS:
        raise FileRefused(f"This file has more than {MOST_ROWS:,} rows. Divide it into smaller ones and import them one by one.")
    if not cells:
        raise FileRefused("This file holds no rows. Put a question and its answer into each.")
    good: list[EntryText] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for line, row in cells:
        try:
            text = _entry(row, columns)
            first = seen.setdefault(key_of(text.question), line)
            if first != line:
                raise FileRefused(f"The same question stands in line {first} already.")
            good.append(text)
        except FileRefused as refusal:
            faults.append((line, refusal.words, None))
        except ValidationError as error:
            faults.append((line, "", error))
    return Rows(good, faults)


def _entry(row: Cells | str, columns: Columns | None) -> EntryText:
    if isinstance(row, str):
        raise FileRefused(row)
    if columns is None and len(row) != len(COLUMNS):
        raise FileRefused(f"This row has {len(row)} {'column' if len(row) == 1 else 'columns'}; it needs two, question and answer.")
    columns = columns or Columns(2, 0, 1)
    if len(row) > columns.count:
        has = f"This row has {len(row)} columns; the first line has {columns.count}."
        raise FileRefused(f"{has} Put a text that holds the separator in quotation marks.")
    question, answer = (row[place] if place < len(row) else "" for place in (columns.question, columns.answer))
    if _control.search(question) or _control.search(answer):
        # A preview's form would need six bytes for each, and come to more than it may bring.
        raise FileRefused("This row holds characters that cannot be shown. Take them out.")
    return EntryText(question=question.replace("\r\n", "\n"), answer=answer.replace("\r\n", "\n"))


def key_of(question: str) -> str:
    """Questions that differ only in capitals and spaces are the same."""
    return " ".join(question.casefold().split())


def known(assistant_id: str) -> list[Entry]:
    """What rows are compared with: all entries, the last changed last."""
    return list(Entry.select().where(Entry.assistant == assistant_id).order_by(Entry.changed_at, Entry.id))


def compare(entries: list[Entry], rows: list[EntryText]) -> Comparison:
    by_question = {key_of(entry.question): entry for entry in entries}
    new, changed, same = [], [], 0
    for row in rows:
        entry = by_question.get(key_of(row.question))
        if entry is None:
            new.append(row)
        elif entry.answer != row.answer:
            changed.append((entry, row))
        else:
            same += 1
    return Comparison(new, changed, same)


def carried(rows: list[EntryText]) -> str:
    """Good rows as the preview's form carries them."""
    return json.dumps([(row.question, row.answer) for row in rows], ensure_ascii=False, separators=(",", ":"))


def brought(text: str) -> list[EntryText]:
    """The rows that a preview's form brings again. Raises FileRefused for what no preview of ours made."""
    try:
        pairs = json.loads(text)
        if not isinstance(pairs, list) or len(pairs) > MOST_ROWS:
            raise ValueError
        return [EntryText(question=question, answer=answer) for question, answer in pairs]
    except (ValueError, TypeError, RecursionError):
        raise FileRefused("That list could not be read. Choose the file again.") from None


def import_entries(
    session_id: str, team_id: str, assistant_id: str, rows: list[EntryText], overwrite: bool, version: int
) -> Happened[tuple[int, int]]:
    """Add the new rows, and give known questions their new answers where `overwrite`; how many of each.

    All in one, so that it happens once however often it is sent: the second time nothing is new. Raises KnowledgeChanged
    where answers would be overwritten that were not seen at `version`, TooManyEntries.
    """
    admin = admin_of(session_id, team_id, assistant_id)
    # Two imports into one assistant take turns by its row.
    Assistant.update(knowledge_version=Assistant.knowledge_version).where(Assistant.id == assistant_id).execute()
    assistant, entries = Assistant.get_by_id(assistant_id), known(assistant_id)
    compared = compare(entries, rows)
    changed = compared.changed if overwrite else []
    if not compared.new and not changed:
        return Happened((0, 0))
    if changed and assistant.knowledge_version != version:
        raise KnowledgeChanged
    if len(entries) + len(compared.new) > MOST_ENTRIES:
        counts = f"this one has {len(entries):,} and would get {len(compared.new):,} more"
        raise TooManyEntries(f"An assistant knows at most {MOST_ENTRIES:,} entries; {counts}.")
    _put(assistant_id, compared.new, changed)
    count_change(assistant_id)
    added, updated = len(compared.new), len(changed)
    about = {"assistant_id": assistant_id, "name": assistant.name}
    audit.note(team_id, admin.user_id, "entries_imported", added=added, updated=updated, **about)
    return Happened((added, updated), [AssistantsChanged(team_id)])


def _put(assistant_id: str, new: list[EntryText], changed: list[tuple[Entry, EntryText]]) -> None:
    time = now()
    ids = sorted(new_id() for _ in new)  # listed in the order of the file
    rows = [(entry_id, assistant_id, row.question, row.answer, time) for entry_id, row in zip(ids, new, strict=True)]
    rows += [(entry.id, assistant_id, row.question, row.answer, max(time, entry.changed_at + 1)) for entry, row in changed]
    columns = [Entry.id, Entry.assistant, Entry.question, Entry.answer, Entry.changed_at]
    for at in range(0, len(rows), AT_ONCE):
        statement = Entry.insert_many(rows[at : at + AT_ONCE], fields=columns).on_conflict(
            conflict_target=[Entry.id], preserve=[Entry.question, Entry.answer, Entry.changed_at]
        )
        statement.as_rowcount().execute()
