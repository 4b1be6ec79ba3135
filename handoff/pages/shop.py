"""The demo's shop page, which carries the demo team's widget."""

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import demo
from handoff.errors import NotFound
from handoff.pages import HOUSE

routes = web.RouteTableDef()


@routes.get("/shop")
async def shop(request: web.Request) -> web.Response:
    house = request.app[HOUSE]
    widget = await house.database.read(demo.widget)
    if widget is None:
        raise NotFound("There is no demo team here.")
    context = {f"widget_{name}": widget[name] for name in ("key", "color", "launcher")}
    return render_template("shop/index.html", request, {**context, "base_url": house.settings.address})
