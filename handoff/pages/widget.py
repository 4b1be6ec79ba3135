"""The loader that sites embed, and the frame that it opens."""

import json

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import widgets
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
        # Any site may frame it: it would show the browser's own error page else.
        missing = render_template("widget/missing.html", request, {}, status=404)
        missing.headers["X-Frame-Allow"] = "*"
        return missing
    response = render_template("widget/index.html", request, {"widget": widgets.look(widget)})
    sites = json.loads(widget.sites)
    response.headers["X-Frame-Allow"] = " ".join(["'self'", *sites]) if sites else "*"
    return response
