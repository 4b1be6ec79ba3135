"""The widgets of an assistant: the list, and one with its key, its code, its sites and how it looks."""

from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import sites, widgets
from handoff.clock import new_id, now
from handoff.errors import Refused
from handoff.meanwhile import Began, ChangedMeanwhile, Values
from handoff.models import Assistant, Widget
from handoff.pages import HOUSE
from handoff.pages.assistants import embed_code
from handoff.pages.edge import read_form
from handoff.pages.forms import id_for, lead, opened, refused, replacing, told
from handoff.pages.team import (
    faults_of,
    fields_of,
    frame,
    id_in_path,
    in_place,
    moment,
    see,
    show,
    team_named,
    visitor,
    wants_partial,
)
from handoff.seats import Agent
from handoff.widgets import LANGUAGES, TooMany, WidgetName, WidgetSettings

routes = web.RouteTableDef()

WIDGETS = "/teams/{team}/assistants/{assistant}/widgets/"
ONE = WIDGETS + "{widget}/"
FORM = "widgets/_form.html"


@routes.get(WIDGETS)
@in_place
async def widgets_page(request: web.Request) -> web.Response:
    return await _list_page(request, "widgets/_widgets.html")


@routes.post(WIDGETS)
@in_place
async def add(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, widget_id = fields_of(WidgetName, form), id_for(form, "widget_id")
    try:
        made = await _write(request, widgets.add, widget_id, WidgetName.model_validate(typed))
    except (ValidationError, TooMany) as refusal:
        status, fault = (refusal.status, refusal.words) if isinstance(refusal, TooMany) else (422, faults_of(refusal)["name"])
        adding = {"id": widget_id, "typed": typed, "fault": fault}
        return await _list_page(request, "widgets/_add.html", status, adding=adding)
    return lead(request, f"{_base(request)}{made}/")


@routes.get(ONE)
@in_place
async def widget_page(request: web.Request) -> web.Response:
    return await _page(request, FORM if "form" in request.query else "widgets/_facts.html")


@routes.post(ONE)
@in_place
async def change(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, began = _typed(form), Began.brought(form)
    try:
        await _write(request, widgets.change, id_in_path(request, "widget"), WidgetSettings.model_validate(typed), began)
    except ValidationError as error:
        return await _page(request, status=422, **refused(typed, _faults(error), began))
    except ChangedMeanwhile as meanwhile:
        return replacing(await _page(request, status=meanwhile.status, **told(meanwhile)))
    if wants_partial(request):
        return await _page(request, said="Saved.")
    return see(_here(request))


@routes.post(ONE + "allow")
@in_place
async def allow(request: web.Request) -> web.Response:
    """Add the site that the widget was seen on. What else was typed into the form meanwhile stays typed."""
    form = await read_form(request)
    site = sites.seen_in(form.get("site"))
    if site is None:
        raise Refused("That is no site.")
    await _write(request, widgets.allow, id_in_path(request, "widget"), site)
    if not wants_partial(request):
        return see(_here(request))
    typed = _typed(form)
    mine = Began.brought(form).others(typed) if "began" in form else set()
    typed["sites"] += f"\n{site}"
    return await _page(request, said=f"Added {site}.", mine={name: typed[name] for name in mine})


@routes.get(ONE + "rotate")
@in_place
async def rotate_page(request: web.Request) -> web.Response:
    return await _page(request, "widgets/_rotate.html", page="widgets/rotate.html")


@routes.post(ONE + "rotate")
@in_place
async def rotate(request: web.Request) -> web.Response:
    form = await read_form(request)
    await _write(request, widgets.rotate, id_in_path(request, "widget"), form.get("key", "").replace("\x00", ""))
    return lead(request, _here(request))


async def _write(request: web.Request, operation: Any, *arguments: Any) -> Any:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    return await request.app[HOUSE].database.write(team_id, operation, user.session_id, team_id, assistant_id, *arguments)


def _base(request: web.Request) -> str:
    return f"/teams/{id_in_path(request, 'team')}/assistants/{id_in_path(request, 'assistant')}/widgets/"


def _here(request: web.Request) -> str:
    return f"{_base(request)}{id_in_path(request, 'widget')}/"


async def _list_page(request: web.Request, partial: str, status: int = 200, adding: dict[str, Any] | None = None) -> web.Response:
    """The list with the form for a new widget. `adding` is what was typed and refused."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    member, team, assistant, rows = await request.app[HOUSE].database.read(_list, user.session_id, team_id, assistant_id)
    context = {
        **frame(user, member, team, "assistants"),
        "assistant": assistant,
        "widgets": [{"id": row.id, "name": row.name, "key": row.key, **_sighting(row)} for row in rows],
        "adding": adding or {"id": new_id(), "typed": {"name": ""}, "fault": ""},
        "base": _base(request),
    }
    return show(request, "widgets/index.html", partial, context, status)


async def _page(
    request: web.Request,
    partial: str = FORM,
    status: int = 200,
    page: str = "widgets/widget.html",
    mine: Values | None = None,
    **more: Any,
) -> web.Response:
    """The page of the widget in the path, or its `partial`. `more` is what was typed or refused; `mine` what is typed and
    lies over what stands there now."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house, ids = request.app[HOUSE], (team_id, assistant_id, id_in_path(request, "widget"))
    member, team, assistant, widget = await house.database.read(_one, user.session_id, *ids)
    context: dict[str, Any] = {
        **frame(user, member, team, "assistants"),
        **opened(widgets.shown_of(widget), widget.version),
        **_sighting(widget),
        "assistant": assistant,
        "widget": widget,
        "code": embed_code(house.settings.address, widget),
        "languages": LANGUAGES,
        "base": _base(request),
        "path": _here(request),
        "said": None,
        **more,
    }
    if mine:
        context |= {"typed": context["typed"] | mine, "is_unsaved": True}
    return show(request, page, partial, context, status)


def _typed(form: dict[str, str]) -> dict[str, str]:
    """What was typed, without the space around it. A colour input cannot be empty: a box beside it says so."""
    typed = {name: value.strip() for name, value in fields_of(WidgetSettings, form).items()}
    for name in ("color", "line_color"):
        if form.get(f"{name}_same"):
            typed[name] = ""
    return typed


def _faults(error: ValidationError) -> dict[str, str]:
    faults = faults_of(error)
    for fault in error.errors(include_url=False):
        if fault["type"] == "in_words":
            faults[str(fault["loc"][0])] = fault["msg"]
    return faults


def _sighting(widget: Widget) -> dict[str, Any]:
    """Where a widget was seen last, how long ago, and whether it may be there now."""
    if widget.last_site is None or widget.last_seen_at is None:
        return {"site": None, "seen": "", "seen_at": "", "is_allowed": True}
    return {
        "site": widget.last_site,
        "seen": ago(now() - widget.last_seen_at),
        "seen_at": moment(widget.last_seen_at),
        "is_allowed": widgets.allows(widget, widget.last_site),
    }


def ago(milliseconds: int) -> str:
    """A length of time in words, as whoever waits would say it."""
    minutes = milliseconds // 60_000
    for unit, length in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        if minutes >= length:
            count = minutes // length
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def _list(session_id: str, team_id: str, assistant_id: str) -> tuple[Agent, dict[str, Any], Assistant, list[Widget]]:
    member, assistant, rows = widgets.of_assistant(session_id, team_id, assistant_id)
    return member, team_named(team_id), assistant, rows


def _one(session_id: str, team_id: str, assistant_id: str, widget_id: str) -> tuple[Agent, dict[str, Any], Assistant, Widget]:
    member, assistant, widget = widgets.one(session_id, team_id, assistant_id, widget_id)
    return member, team_named(team_id), assistant, widget
