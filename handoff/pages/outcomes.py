"""The outcomes of a team: add, rename, order by hand, archive, bring back."""

import hashlib
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import outcomes
from handoff.clock import new_id
from handoff.errors import Invalid
from handoff.outcomes import NameUsed, OutcomeNamed, TooMany
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.forms import id_for
from handoff.pages.team import faults_of, fields_of, frame, id_in_path, in_place, see, show, team_named, visitor, wants_partial
from handoff.seats import Agent

routes = web.RouteTableDef()

OUTCOMES = "/teams/{team}/outcomes/"
NEW = "new"  # stands for the id of the form that adds one


@routes.get(OUTCOMES)
@in_place
async def outcomes_page(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post(OUTCOMES)
@in_place
async def add(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, outcome_id = fields_of(OutcomeNamed, form), id_for(form, "outcome_id")
    try:
        await _write(request, outcomes.add, outcome_id, OutcomeNamed.model_validate(typed))
    except (ValidationError, NameUsed, TooMany) as refusal:
        return await _refuse(request, refusal, NEW, typed["name"], form_id=outcome_id)
    return await _changed(request, "Added.", focus=NEW)


@routes.post(OUTCOMES + "{outcome}/rename")
@in_place
async def rename(request: web.Request) -> web.Response:
    outcome_id = id_in_path(request, "outcome")
    typed = fields_of(OutcomeNamed, await read_form(request))
    try:
        await _write(request, outcomes.rename, outcome_id, OutcomeNamed.model_validate(typed))
    except (ValidationError, NameUsed) as refusal:
        return await _refuse(request, refusal, outcome_id, typed["name"])
    return await _changed(request, "Renamed.")


@routes.post(OUTCOMES + "{outcome}/move")
@in_place
async def move(request: web.Request) -> web.Response:
    place = (await read_form(request)).get("place", "0")
    if not (place.isascii() and place.isdigit() and len(place) <= 3):
        raise Invalid("Choose a place in the list.")
    await _write(request, outcomes.move, id_in_path(request, "outcome"), int(place))
    return await _changed(request, "Moved.")


@routes.post(OUTCOMES + "{outcome}/archive")
@in_place
async def archive(request: web.Request) -> web.Response:
    await _write(request, outcomes.archive, id_in_path(request, "outcome"))
    return await _changed(request, "Archived. It is offered no more.")


@routes.post(OUTCOMES + "{outcome}/bring-back")
@in_place
async def bring_back(request: web.Request) -> web.Response:
    outcome_id = id_in_path(request, "outcome")
    try:
        await _write(request, outcomes.bring_back, outcome_id)
    except (NameUsed, TooMany) as refusal:
        return await _refuse(request, refusal, outcome_id)
    return await _changed(request, "It is offered again.")


async def _write(request: web.Request, operation: Any, *arguments: Any) -> None:
    user, team_id = await visitor(request), id_in_path(request, "team")
    await request.app[HOUSE].database.write(team_id, operation, user.session_id, team_id, *arguments)


async def _refuse(
    request: web.Request,
    refusal: ValidationError | NameUsed | TooMany,
    beside: str,
    typed: str | None = None,
    form_id: str | None = None,
) -> web.Response:
    """The list with the refusal beside the outcome that it is about, or the form for a new one; what was typed stays."""
    if isinstance(refusal, ValidationError):
        status, words = 422, faults_of(refusal)["name"]
    else:
        status, words = refusal.status, refusal.words
    refused = {"id": beside, "words": words, "typed": typed}
    return await _page(request, status, refused=refused, form_id=form_id or new_id())


async def _changed(request: web.Request, said: str, focus: str | None = None) -> web.Response:
    if wants_partial(request):
        return await _page(request, said=said, focus=focus)
    return see(f"/teams/{id_in_path(request, 'team')}/outcomes/")


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, offered, archived = await request.app[HOUSE].database.read(_outcomes, user.session_id, team_id)
    context = {
        **frame(user, member, team, "outcomes"),
        "outcomes": offered,
        "archived": archived,
        "refused": None,
        "form_id": new_id(),
        "version": _version_of(offered, archived),
        "said": None,
        "focus": None,
        **more,
    }
    return show(request, "outcomes/index.html", "outcomes/_outcomes.html", context, status)


def _version_of(*lists: list[dict[str, Any]]) -> str:
    """By which a page sees whether its list is still the same."""
    return hashlib.sha256(repr(lists).encode()).hexdigest()[:12]


def _outcomes(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    member, offered, archived = outcomes.of_team(session_id, team_id)
    return member, team_named(team_id), offered, archived
