"""The demo's shop page, which carries the demo team's widget."""

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff.demo import widget_key
from handoff.errors import NotFound
from handoff.pages import HOUSE

routes = web.RouteTableDef()


@routes.get("/shop")
async def shop(request: web.Request) -> web.Response:
    house = request.app[HOUSE]
    key = await house.database.read(widget_key)
    if key is None:
        raise NotFound("There is no demo team here.")
    return render_template("shop/index.html", request, {"widget_key": key, "base_url": house.settings.address})
