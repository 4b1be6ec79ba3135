"""The entries of an assistant's knowledge: add, edit, delete. Each form stands in the page, in the place of what it changes."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from handoff import knowledge
from handoff.clock import new_id
from handoff.errors import NotFound
from handoff.knowledge import EntryChanged, EntryDeleted, EntryText, TooManyEntries
from handoff.pages import HOUSE
from handoff.pages.assistants import assistant_page
from handoff.pages.edge import read_form
from handoff.pages.forms import id_for
from handoff.pages.team import faults_of, fields_of, id_in_path, in_place, see, visitor, wants_partial

routes = web.RouteTableDef()

ENTRIES = "/teams/{team}/assistants/{assistant}/entries/"


@routes.get(ENTRIES + "list")
@in_place
async def listed(request: web.Request) -> web.Response:
    """The entries that are searched for, or all; where somebody else changed some, the page fetches this again."""
    if wants_partial(request):
        return await assistant_page(request, "entries/_listed.html")
    query = f"?{urlencode({'search': request.query['search']})}" if "search" in request.query else ""
    return see(f"{_assistant_path(request)}{query}#entries")


@routes.get(ENTRIES)
@in_place
async def entries(request: web.Request) -> web.Response:
    """What stands where the form for a new entry stood."""
    if wants_partial(request):
        return await assistant_page(request, "entries/_new.html", autofocus="new-entry")
    return see(_assistant_path(request) + "#entries")


@routes.get(ENTRIES + "new")
@in_place
async def new(request: web.Request) -> web.Response:
    return await assistant_page(request, "entries/_new.html", adding=_form(new_id()))


@routes.post(ENTRIES)
@in_place
async def add(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, entry_id = fields_of(EntryText, form), id_for(form, "entry_id")
    try:
        text = EntryText.model_validate(typed)
    except ValidationError as error:
        refused = _form(entry_id, typed, faults_of(error))
        return await assistant_page(request, "entries/_new.html", status=422, adding=refused)
    try:
        added = await _write(request, knowledge.add_entry, entry_id, text)
    except TooManyEntries as refusal:
        refused = _form(entry_id, typed, words=refusal.words)
        return await assistant_page(request, "entries/_new.html", status=refusal.status, adding=refused)
    if wants_partial(request):
        return await _entry_page(request, added, "entries/_added.html", autofocus="new-entry")
    return see(f"{_assistant_path(request)}#entry-{added}")


@routes.get(ENTRIES + "{entry}/")
@in_place
async def entry(request: web.Request) -> web.Response:
    entry_id = id_in_path(request, "entry")
    if wants_partial(request):
        return await _entry_page(request, entry_id, "entries/_entry.html", autofocus=entry_id)
    return see(f"{_assistant_path(request)}#entry-{entry_id}")


@routes.get(ENTRIES + "{entry}/edit")
@in_place
async def edit(request: web.Request) -> web.Response:
    found = await _entry(request, id_in_path(request, "entry"))
    typed = {"question": found.question, "answer": found.answer}
    editing = _form(found.id, typed, changed_at=found.changed_at)
    return await assistant_page(request, "entries/_entry.html", entry=found, editing=editing)


@routes.post(ENTRIES + "{entry}/")
@in_place
async def change(request: web.Request) -> web.Response:
    entry_id = id_in_path(request, "entry")
    form = await read_form(request)
    typed, changed_at = fields_of(EntryText, form), _time_of(form)
    try:
        text = EntryText.model_validate(typed)
        await _write(request, knowledge.edit_entry, entry_id, text, changed_at)
    except ValidationError as error:
        return await _still_editing(request, entry_id, typed, faults_of(error), changed_at)
    except EntryChanged as meanwhile:
        return await _tell_what_it_says_now(request, typed, meanwhile)
    except EntryDeleted:
        return await _offer_as_new(request, entry_id, typed, {})
    if wants_partial(request):
        return await _entry_page(request, entry_id, "entries/_changed.html", autofocus=entry_id, said="Saved.")
    return see(f"{_assistant_path(request)}#entry-{entry_id}")


@routes.post(ENTRIES + "{entry}/delete")
@in_place
async def delete(request: web.Request) -> web.Response:
    await _write(request, knowledge.delete_entry, id_in_path(request, "entry"))
    if wants_partial(request):
        return await assistant_page(request, "entries/_deleted.html", said="Entry deleted.")
    return see(_assistant_path(request) + "#entries")


async def _still_editing(
    request: web.Request, entry_id: str, typed: dict[str, str], faults: dict[str, str], changed_at: int
) -> web.Response:
    try:
        found = await _entry(request, entry_id)
    except NotFound:
        return await _offer_as_new(request, entry_id, typed, faults)
    editing = _form(entry_id, typed, faults, changed_at=changed_at)
    return await assistant_page(request, "entries/_entry.html", status=422, entry=found, editing=editing)


async def _tell_what_it_says_now(request: web.Request, typed: dict[str, str], meanwhile: EntryChanged) -> web.Response:
    """The form goes on with what was typed, beside what somebody else saved; the next save is on top of that."""
    entry, words = meanwhile.entry, f"Not saved yet: {meanwhile.by} changed this entry while you were editing. It says now:"
    editing = _form(entry.id, typed, words=words, changed_at=entry.changed_at, says_now=entry)
    return await assistant_page(request, "entries/_entry.html", status=meanwhile.status, entry=entry, editing=editing)


def _time_of(form: dict[str, str]) -> int:
    """When what a form began with was saved; a form that does not say is older than any."""
    time = form.get("changed_at", "")
    return int(time) if time.isascii() and time.isdigit() and len(time) <= 15 else -1


async def _offer_as_new(request: web.Request, entry_id: str, typed: dict[str, str], faults: dict[str, str]) -> web.Response:
    """What was typed for an entry that is gone goes on in the form for a new one."""
    adding = _form(new_id(), typed, faults, f"{EntryDeleted.message} Save your text as a new entry, or cancel.")
    return await assistant_page(request, "entries/_deleted_meanwhile.html", status=409, adding=adding, entry_id=entry_id)


async def _entry_page(request: web.Request, entry_id: str, partial: str, **more: Any) -> web.Response:
    return await assistant_page(request, partial, entry=await _entry(request, entry_id), **more)


async def _entry(request: web.Request, entry_id: str) -> Any:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    _, _, found = await request.app[HOUSE].database.read(knowledge.entry_of, user.session_id, team_id, assistant_id, entry_id)
    return found


async def _write(request: web.Request, operation: Any, *arguments: Any) -> Any:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    return await request.app[HOUSE].database.write(team_id, operation, user.session_id, team_id, assistant_id, *arguments)


def _assistant_path(request: web.Request) -> str:
    return f"/teams/{id_in_path(request, 'team')}/assistants/{id_in_path(request, 'assistant')}/"


def _form(
    entry_id: str,
    typed: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    words: str = "",
    changed_at: int = -1,
    says_now: Any = None,
) -> dict[str, Any]:
    """A form of an entry: its id, what it holds, what is wrong with it, and when what it began with was saved."""
    return {
        "id": entry_id,
        "typed": typed or {"question": "", "answer": ""},
        "faults": faults or {},
        "words": words,
        "changed_at": changed_at,
        "says_now": says_now,
    }
