"""The widgets of an assistant: the list, and one with its key, its code, its sites and how it looks."""

import json
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import sites, widgets
from handoff.clock import new_id, now
from handoff.errors import Refused
from handoff.models import Assistant, Widget
from handoff.pages import HOUSE
from handoff.pages.assistants import embed_code
from handoff.pages.edge import read_form
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
from handoff.widgets import LANGUAGES, ChangedMeanwhile, TooMany, WidgetName, WidgetSettings

routes = web.RouteTableDef()

WIDGETS = "/teams/{team}/assistants/{assistant}/widgets/"
ONE = WIDGETS + "{widget}/"
FIELDS = tuple(WidgetSettings.model_fields)
SHOWN_LENGTH = 40_000  # characters of what a form says that it showed


@routes.get(WIDGETS)
@in_place
async def widgets_page(request: web.Request) -> web.Response:
    return await _list_page(request, "widgets/_widgets.html")


@routes.post(WIDGETS)
@in_place
async def add(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, widget_id = fields_of(WidgetName, form), form.get("widget_id", "")
    if not (widget_id.isalnum() and widget_id.isascii() and len(widget_id) <= 64):
        widget_id = new_id()
    try:
        made = await _write(request, widgets.add, widget_id, WidgetName.model_validate(typed))
    except ValidationError as error:
        refused = {"id": widget_id, "typed": typed, "fault": faults_of(error)["name"]}
        return await _list_page(request, "widgets/_add.html", 422, adding=refused)
    except TooMany as refusal:
        refused = {"id": widget_id, "typed": typed, "fault": refusal.words}
        return await _list_page(request, "widgets/_add.html", refusal.status, adding=refused)
    return _led(request, f"{_base(request)}{made}/")


@routes.get(ONE)
@in_place
async def widget_page(request: web.Request) -> web.Response:
    return await _page(request, "widgets/_form.html" if "form" in request.query else "widgets/_facts.html")


@routes.post(ONE)
@in_place
async def change(request: web.Request) -> web.Response:
    form = await read_form(request)
    typed, version = _typed(form), _number(form.get("version", ""))
    try:
        await _write(request, widgets.change, id_in_path(request, "widget"), version, WidgetSettings.model_validate(typed))
    except ValidationError as error:
        shown = form.get("shown", "")
        return await _page(request, "widgets/_form.html", 422, typed=typed, faults=_faults(error), version=version, shown=shown)
    except ChangedMeanwhile as refusal:
        return await _page(request, "widgets/_form.html", refusal.status, typed=typed, before=_shown(form), conflict=True)
    if wants_partial(request):
        return await _page(request, "widgets/_form.html", said="Saved.")
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
    before, typed = _shown(form), _typed(form)
    if typed["sites"] != before.get("sites"):
        typed["sites"] += f"\n{site}"
    return await _page(request, "widgets/_form.html", said=f"Added {site}.", typed=typed if before else None, before=before)


@routes.get(ONE + "rotate")
@in_place
async def rotate_page(request: web.Request) -> web.Response:
    return await _page(request, "widgets/_rotate.html", page="widgets/rotate.html")


@routes.post(ONE + "rotate")
@in_place
async def rotate(request: web.Request) -> web.Response:
    form = await read_form(request)
    await _write(request, widgets.rotate, id_in_path(request, "widget"), form.get("key", "").replace("\x00", ""))
    return _led(request, _here(request))


async def _write(request: web.Request, operation: Any, *arguments: Any) -> Any:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    return await request.app[HOUSE].database.write(team_id, operation, user.session_id, team_id, assistant_id, *arguments)


def _led(request: web.Request, path: str) -> web.Response:
    return web.Response(headers={"HX-Redirect": path}) if wants_partial(request) else see(path)


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
    request: web.Request, partial: str, status: int = 200, page: str = "widgets/widget.html", **more: Any
) -> web.Response:
    """The page of the widget in the path, or its `partial`. `more` is what was typed into its form: with `before`, what that
    form showed when it was opened, it is laid over what stands there now."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house, ids = request.app[HOUSE], (team_id, assistant_id, id_in_path(request, "widget"))
    member, team, assistant, widget = await house.database.read(_one, user.session_id, *ids)
    context: dict[str, Any] = {
        **frame(user, member, team, "assistants"),
        **_form_of(widget, more.pop("typed", None), more.pop("before", None), more.pop("conflict", False)),
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
    return show(request, page, partial, context, status)


def _form_of(widget: Widget, typed: dict[str, str] | None, before: dict[str, str] | None, conflict: bool) -> dict[str, Any]:
    """What the form shows: what stands in the row, or what was typed. After a conflict a field that only somebody else
    changed shows theirs, and one that both changed keeps what was typed, each with a line of words about the other's."""
    now_set = _values(widget)
    words: dict[str, str] = {}
    shown, before = dict(now_set), before or {}
    for name, text in (typed or {}).items():
        is_mine = text != before.get(name)
        if is_mine:
            shown[name] = text
        if conflict and now_set[name] not in (before.get(name), text):
            words[name] = _meanwhile(now_set[name], name, is_mine)
    return {
        "typed": shown,
        "faults": {},
        "meanwhile": words,
        "is_conflict": conflict,
        "version": widget.version,
        "shown": json.dumps(now_set, ensure_ascii=False),
    }


def _meanwhile(theirs: str, name: str, is_mine: bool) -> str:
    if not theirs:
        said = {"color": "the colour of the assistant", "line_color": "the same as above", "sites": "any site"}.get(name, "nothing")
    else:
        said = f"“{LANGUAGES.get(theirs, theirs) if name == 'language' else theirs}”"
    if is_mine:
        return f"Meanwhile somebody set this to {said}. Save again to put yours in its place."
    return f"Meanwhile somebody set this to {said}; it stands here now."


def _values(widget: Widget) -> dict[str, str]:
    """The fields as a form holds them: lists a line each."""
    values = {name: getattr(widget, name) for name in FIELDS}
    return {**values, **{name: "\n".join(json.loads(values[name])) for name in ("suggestions", "sites")}}


def _typed(form: dict[str, str]) -> dict[str, str]:
    """What was typed, without the space around it. A colour input cannot be empty: a box beside it says so."""
    typed = {name: value.strip() for name, value in fields_of(WidgetSettings, form).items()}
    for name in ("color", "line_color"):
        if form.get(f"{name}_same"):
            typed[name] = ""
    return typed


def _shown(form: dict[str, str]) -> dict[str, str]:
    """What the form showed when it was opened, by its own word: it decides only which fields count as typed."""
    try:
        shown = json.loads(form.get("shown", "")[:SHOWN_LENGTH])
    except (ValueError, RecursionError):
        return {}
    return {name: text for name, text in shown.items() if isinstance(text, str)} if isinstance(shown, dict) else {}


def _faults(error: ValidationError) -> dict[str, str]:
    faults = faults_of(error)
    for fault in error.errors(include_url=False):
        if fault["type"] == "in_words":
            faults[str(fault["loc"][0])] = fault["msg"]
    return faults


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


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
