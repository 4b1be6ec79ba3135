"""GET /healthz for whoever restarts us, GET /metrics for whoever watches us."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from handoff.database import Database
from handoff.errors import Unavailable
from handoff.models import Plan
from handoff.pages import HOUSE

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """200 when the database answers, 503 when it does not."""
    database: Database = request.app[HOUSE].database
    try:
        await database.read(_ask)
    except Unavailable:
        return web.json_response({"database": "unavailable"}, status=503)
    return web.json_response({"database": "ok"})


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _ask() -> bool:
    return bool(Plan.select().exists())
