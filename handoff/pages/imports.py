"""The import of entries from a CSV file: choose it, look through what it would do, do it."""

import asyncio
from typing import Any

from aiohttp import web

from handoff import imports, knowledge
from handoff.errors import Refused, TooLarge
from handoff.imports import FileRefused, KnowledgeChanged
from handoff.knowledge import EntryText, TooManyEntries
from handoff.models import Entry
from handoff.pages import HOUSE
from handoff.pages.entries import ENTRIES
from handoff.pages.forms import lead
from handoff.pages.team import faults_of, frame, id_in_path, in_place, show, team_named, visitor
from handoff.pages.upload import read_upload
from handoff.seats import Agent

routes = web.RouteTableDef()

FILE_BYTES = 1024 * 1024
AROUND = 16 * 1024  # what a form has around its file
ROWS_BYTES = 3 * FILE_BYTES  # of a preview's form: the same rows, quoted another way
SHOWN = 50  # rows of each kind in a preview
TOO_LARGE = "This file is larger than 1 MB. Divide it into smaller ones and import them one by one."


@routes.get(ENTRIES + "import")
@in_place
async def choose(request: web.Request) -> web.Response:
    return await _page(request, done=_done(request))


@routes.post(ENTRIES + "import/preview")
@in_place
async def preview(request: web.Request) -> web.Response:
    """Show what the file would add and change, and what is wrong with its rows, by line. Nothing is kept of it."""
    try:
        file = (await read_upload(request, FILE_BYTES + AROUND)).get("file", b"")
        if not file:
            raise FileRefused("Choose a file with rows in it.")
        if len(file) > FILE_BYTES:
            raise TooLarge
        rows = await asyncio.to_thread(imports.read_csv, file)
    except TooLarge as refusal:
        return await _page(request, refusal.status, fault=TOO_LARGE)
    except FileRefused as refusal:
        return await _page(request, refusal.status, fault=refusal.words)
    faults = [(line, words or _words_of(error)) for line, words, error in rows.faults]
    return await _page(request, rows=rows.good, faults=faults)


@routes.post(ENTRIES + "import")
@in_place
async def carry_out(request: web.Request) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    try:
        parts = {name: body.decode() for name, body in (await read_upload(request, ROWS_BYTES)).items()}
        rows = await asyncio.to_thread(imports.brought, parts.get("rows", ""))
    except (TooLarge, FileRefused, UnicodeDecodeError):
        return await _page(request, 422, fault="That list could not be read. Choose the file again.")
    overwrite, version = parts.get("known") != "skip", parts.get("version", "")
    seen = int(version) if version.isascii() and version.isdigit() and len(version) <= 9 else -1
    arguments = (user.session_id, team_id, assistant_id, rows, overwrite, seen)
    try:
        added, updated = await request.app[HOUSE].database.write(team_id, imports.import_entries, *arguments)
    except (KnowledgeChanged, TooManyEntries) as refusal:
        return await _page(request, refusal.status, rows=rows, refusal=refusal, overwrite=overwrite)
    return lead(request, f"{_path(request)}?added={added}&updated={updated}")


async def _page(
    request: web.Request,
    status: int = 200,
    *,
    rows: list[EntryText] | None = None,
    refusal: Refused | None = None,
    **more: Any,
) -> web.Response:
    """The form that asks for a file, or the preview of `rows`."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    found = await request.app[HOUSE].database.read(_known, user.session_id, team_id, assistant_id, rows is not None)
    member, team, assistant, entries = found
    context = {
        **frame(user, member, team, "assistants"),
        "assistant": assistant,
        "path": _path(request),
        "fault": "",
        "faults": [],
        "done": None,
        "overwrite": True,
        "refusal": refusal.words if refusal else "",
        "preview": None,
        "shown": SHOWN,
        **more,
    }
    if rows is not None:
        compared = await asyncio.to_thread(imports.compare, entries, rows)
        context |= {"preview": compared, "rows": await asyncio.to_thread(imports.carried, rows)}
    return show(request, "entries/import.html", "entries/_import.html", context, status)


def _known(session_id: str, team_id: str, assistant_id: str, with_entries: bool) -> tuple[Agent, dict[str, Any], Any, list[Entry]]:
    member, assistant = knowledge.assistant_of(session_id, team_id, assistant_id)
    return member, team_named(team_id), assistant, imports.known(assistant_id) if with_entries else []


def _words_of(error: Any) -> str:
    return " ".join(f"{name.capitalize()}: {words}" for name, words in faults_of(error).items())


def _done(request: web.Request) -> dict[str, int] | None:
    """What an import did, as its address tells after it."""
    counts = {name: request.query.get(name, "") for name in ("added", "updated")}
    if not all(count.isascii() and count.isdigit() and len(count) <= 6 for count in counts.values()):
        return None
    return {name: int(count) for name, count in counts.items()}


def _path(request: web.Request) -> str:
    return f"/teams/{id_in_path(request, 'team')}/assistants/{id_in_path(request, 'assistant')}/entries/import"
