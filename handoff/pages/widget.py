"""The loader that sites embed, what it needs to know, and the frame that it opens."""

import asyncio
import json
from typing import Any

import structlog
from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import sites, widgets
from handoff.database import Database
from handoff.errors import Unavailable
from handoff.pages import HOUSE, ROOT

log = structlog.get_logger()
routes = web.RouteTableDef()

RIGHT_TO_LEFT = frozenset({"ar"})


class Sightings:
    """Notes where widgets are seen, beside the answer: no visitor waits for it, and of a crowd one is written down."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}

    def note(self, database: Database, widget: Any, site: str) -> None:
        if widget.id in self._running or not widgets.must_be_noted(widget):
            return
        task = asyncio.create_task(self._write(database, widget, site))
        self._running[widget.id] = task
        task.add_done_callback(lambda _: self._running.pop(widget.id))

    async def _write(self, database: Database, widget: Any, site: str) -> None:
        try:
            await database.write(widget.team_id, widgets.note_seen, widget.id, widget.team_id, site)
        except Unavailable:
            log.info("sighting_lost", widget=widget.id)


SIGHTINGS = web.AppKey("sightings", Sightings)


def setup(app: web.Application) -> None:
    app[SIGHTINGS] = Sightings()


@routes.get("/widget.js")
async def loader(request: web.Request) -> web.FileResponse:
    return web.FileResponse(ROOT / "static" / "js" / "loader.js", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


@routes.get("/launcher/{key}")
async def launcher(request: web.Request) -> web.Response:
    """How the launcher looks. A script, so that a site's policy needs no more than it needs for the loader."""
    widget = await request.app[HOUSE].database.read(widgets.find_frame, request.match_info["key"])
    if widget is None:
        raise web.HTTPNotFound
    _seen_on(request, widget)
    shown = {name: widgets.look(widget)[name] for name in ("color", "launcher")}
    return web.Response(
        text=f"window.Handoff?.look?.({json.dumps(shown)});",  # ASCII alone: no line end of JavaScript's own is in it
        content_type="text/javascript",
        headers={"Cross-Origin-Resource-Policy": "cross-origin"},
    )


@routes.get("/widget/{key}")
async def frame(request: web.Request) -> web.Response:
    """The chat itself, which only the widget's sites may frame."""
    widget = await request.app[HOUSE].database.read(widgets.find_frame, request.match_info["key"])
    if widget is None:
        return _instead(request, 404, "This chat is not available.")
    site = _seen_on(request, widget)
    if site is not None and not widgets.allows(widget, site):
        return _instead(request, 403, "This chat may not be used on this site.")
    direction = "rtl" if widget.language in RIGHT_TO_LEFT else "ltr"
    response = render_template("widget/index.html", request, {"widget": widgets.look(widget), "direction": direction})
    response.headers["X-Frame-Allow"] = widgets.ancestors(widget)
    return response


def _seen_on(request: web.Request, widget: Any) -> str | None:
    """The site whose page asks, and a note of it. None for our own pages, for the chat in a tab of its own, and where the
    browser does not say.

    What a sender says of itself decides no more than which words it reads: the frame's policy is what keeps other sites out.
    """
    if request.headers.get("Sec-Fetch-Dest") == "document":
        return None
    site = sites.seen_in(request.headers.get("Referer"))
    if site is None or site in request.app[HOUSE].settings.origins:
        return None
    request.app[SIGHTINGS].note(request.app[HOUSE].database, widget, site)
    return site


def _instead(request: web.Request, status: int, words: str) -> web.Response:
    """In the chat's place. Any site may frame it: it would show the browser's own error page else."""
    response = render_template("widget/missing.html", request, {"words": words}, status=status)
    response.headers["X-Frame-Allow"] = "*"
    return response
