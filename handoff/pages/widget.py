"""The loader that sites embed, and the frame that it opens."""

import json

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import widgets
from handoff.errors import NotFound
from handoff.pages import HOUSE, ROOT

routes = web.RouteTableDef()


@routes.get("/widget.js")
async def loader(request: web.Request) -> web.FileResponse:
    return web.FileResponse(ROOT / "static" / "js" / "loader.js", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


@routes.get("/widget/{key}")
async def frame(request: web.Request) -> web.Response:
    """The chat itself, which only the widget's sites may frame."""
    widget = await request.app[HOUSE].database.read(widgets.find, request.match_info["key"])
    if widget is None:
        raise NotFound("This chat is not here any more.")
    response = render_template("widget/index.html", request, {"widget": widgets.look(widget)})
    sites = json.loads(widget.sites)
    response.headers["X-Frame-Allow"] = " ".join(["'self'", *sites]) if sites else "*"
    return response
