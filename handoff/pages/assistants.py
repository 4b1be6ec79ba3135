"""Assistants: the list, and one with its settings, its embed code and what it would answer."""

import asyncio
import json
from math import inf
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import assistant_settings, knowledge, workshop
from handoff.assistant_settings import AssistantSettings
from handoff.assistants import NeedsHuman, Question
from handoff.assistants.built_in import BuiltIn
from handoff.assistants.retrieval import FLOOR, Knowledge
from handoff.assistants.shelf import Shelf
from handoff.clock import new_id
from handoff.knowledge import AssistantName, EntrySearch, TriedQuestion
from handoff.markdown import render
from handoff.meanwhile import Began, ChangedMeanwhile
from handoff.models import Assistant, Entry, Widget
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.forms import id_for, lead, opened, refused, replacing, told
from handoff.pages.team import (
    faults_of,
    fields_of,
    frame,
    id_in_path,
    in_place,
    see,
    show,
    team_named,
    visitor,
    wants_partial,
)
from handoff.seats import Agent

routes = web.RouteTableDef()

NEAR = 3  # entries that came near, told of beside the one that answers
SETTINGS_BYTES = 512 * 1024  # of a form: its longest texts, each character escaped


@routes.get("/teams/{team}/assistants/")
@in_place
async def assistants(request: web.Request) -> web.Response:
    return await _list_page(request, "assistants/_listed.html")


@routes.post("/teams/{team}/assistants/")
@in_place
async def create(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    form = await read_form(request)
    typed, assistant_id = fields_of(AssistantName, form), id_for(form, "assistant_id")
    try:
        named = AssistantName.model_validate(typed)
    except ValidationError as error:
        return await _list_page(request, status=422, creating={"id": assistant_id, "typed": typed, "faults": faults_of(error)})
    database = request.app[HOUSE].database
    made = await database.write(team_id, workshop.create, user.session_id, team_id, assistant_id, named)
    return lead(request, f"/teams/{team_id}/assistants/{made}/")


@routes.get("/teams/{team}/assistants/{assistant}/")
@in_place
async def assistant(request: web.Request) -> web.Response:
    return await assistant_page(request, "assistants/_live.html")


@routes.post("/teams/{team}/assistants/{assistant}/")
@in_place
async def change(request: web.Request) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    form = await read_form(request, SETTINGS_BYTES)
    typed, began = fields_of(AssistantSettings, form), Began.brought(form)
    database = request.app[HOUSE].database
    try:
        settings = AssistantSettings.model_validate(typed)
        await database.write(team_id, assistant_settings.change, user.session_id, team_id, assistant_id, settings, began)
    except ValidationError as error:
        return await assistant_page(request, status=422, **refused(typed, faults_of(error), began))
    except ChangedMeanwhile as meanwhile:
        return replacing(await assistant_page(request, status=meanwhile.status, **told(meanwhile)))
    if wants_partial(request):
        return await assistant_page(request, said="Saved.")
    return see(f"/teams/{team_id}/assistants/{assistant_id}/")


@routes.post("/teams/{team}/assistants/{assistant}/archive")
@in_place
async def archive(request: web.Request) -> web.Response:
    return await _end_or_begin(request, workshop.archive, "Archived. It takes no new conversations.")


@routes.post("/teams/{team}/assistants/{assistant}/bring-back")
@in_place
async def bring_back(request: web.Request) -> web.Response:
    return await _end_or_begin(request, workshop.bring_back, "It takes new conversations again.")


@routes.get("/teams/{team}/assistants/{assistant}/try")
@in_place
async def try_question(request: web.Request) -> web.Response:
    """Show what would be answered, under which entry and why. Nothing is kept of it."""
    typed = fields_of(TriedQuestion, dict(request.query))
    try:
        asked = TriedQuestion.model_validate(typed)
    except ValidationError as error:
        tried = {"question": typed["question"], "fault": faults_of(error)["question"]}
        return await assistant_page(request, "assistants/_try.html", status=422, tried=tried)
    return await assistant_page(request, "assistants/_try.html", tried={"question": asked.question})


async def assistant_page(
    request: web.Request, partial: str = "assistants/_form.html", status: int = 200, **more: Any
) -> web.Response:
    """The page of the assistant in the path, or its `partial`. `more` is what was typed, refused or tried on it."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house = request.app[HOUSE]
    search = _searched(request)
    member, team, shown = await house.database.read(_one, user.session_id, team_id, assistant_id, search)
    context: dict[str, Any] = {
        **frame(user, member, team, "assistants"),
        **opened(assistant_settings.shown_of(shown["assistant"]), shown["assistant"].version),
        **shown,
        "phrases": json.loads(shown["assistant"].phrases),
        "embeds": [(widget.name, embed_code(house.settings.address, widget)) for widget in shown["widgets"]],
        "ink_on": ink_on,
        "tried": None,
        "adding": None,
        "editing": None,
        "search": search,
        "autofocus": None,
        "said": None,
        **more,
    }
    if context["tried"] and "fault" not in context["tried"]:
        context["tried"] |= await _answer(request, shown["assistant"], context["tried"]["question"])
    return show(request, "assistants/assistant.html", partial, context, status)


async def _list_page(
    request: web.Request, partial: str = "assistants/_create.html", status: int = 200, creating: dict[str, Any] | None = None
) -> web.Response:
    """The list with the form for a new assistant, or its `partial`. `creating` is what was typed and refused."""
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, rows = await request.app[HOUSE].database.read(_list, user.session_id, team_id)
    context = {
        **frame(user, member, team, "assistants"),
        "assistants": [row for row in rows if row["archived_at"] is None],
        "archived": [row for row in rows if row["archived_at"] is not None],
        "creating": creating or {"id": new_id(), "typed": {"name": ""}, "faults": {}},
        "ink_on": ink_on,
    }
    return show(request, "assistants/index.html", partial, context, status)


async def _end_or_begin(request: web.Request, operation: Any, said: str) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    await request.app[HOUSE].database.write(team_id, operation, user.session_id, team_id, assistant_id)
    if wants_partial(request):
        return await assistant_page(request, "assistants/_life.html", said=said)
    return see(f"/teams/{team_id}/assistants/{assistant_id}/")


def embed_code(address: str, widget: Widget) -> str:
    return f'<script src="{address}/widget.js" data-widget="{widget.key}" async></script>'


def ink_on(color: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def _list(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], list[dict[str, Any]]]:
    member, rows = knowledge.assistants_of(session_id, team_id)
    return member, team_named(team_id), rows


def _one(session_id: str, team_id: str, assistant_id: str, search: str) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    member, found = knowledge.assistant_of(session_id, team_id, assistant_id)
    shown = {
        "assistant": found,
        "widgets": knowledge.widgets_of(assistant_id),
        "entries": knowledge.entries_of(assistant_id, search=search),
        "entry_count": (count := knowledge.count_entries(assistant_id)),
        "found_count": knowledge.count_entries(assistant_id, search) if search else count,
    }
    return member, team_named(team_id), shown


def _searched(request: web.Request) -> str:
    try:
        return EntrySearch.model_validate({"search": request.query.get("search", "")}).search
    except ValidationError:
        return ""


async def _answer(request: web.Request, assistant: Assistant, question: str) -> dict[str, Any]:
    """What the assistant itself says to the question, and the entry that it says it from."""
    database = request.app[HOUSE].database
    entries = await database.read(knowledge.entries_of, assistant.id, None)
    provider = BuiltIn(Shelf(database), words_per_second=inf)
    asked = Question("", assistant.id, assistant.knowledge_version, (("customer", question),))
    pieces = [piece async for piece in provider.answer(asked)]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    found, others, html = await asyncio.to_thread(_why, entries, question, text)
    needs_human = any(isinstance(piece, NeedsHuman) for piece in pieces)
    return {
        "html": html,
        "entry": found,
        "others": others if found or needs_human else [],
        "needs_human": needs_human,
        "floor": round(FLOOR * 100),
    }


def _why(entries: list[Entry], question: str, text: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]], str]:
    """The entry whose answer was given, with the share of the question that it holds; none when no entry spoke. Then the
    entries that came near, and the answer as it is shown."""
    ids = {(entry.question, entry.answer): entry.id for entry in reversed(entries)}
    nearest = Knowledge([(entry.question, entry.answer) for entry in entries]).nearest(question, NEAR + 1)
    told = [{"id": ids[one.question, one.answer], "question": one.question, "share": round(one.score * 100)} for one in nearest]
    if not nearest or nearest[0].score < FLOOR or nearest[0].answer.split() != text.split():
        return None, told[:NEAR], render(text)
    return told[0], told[1:], render(text)
