"""The door of every page: the access table says who comes in."""

from aiohttp import web

from handoff import access
from handoff.access import Who
from handoff.pages import HOUSE
from handoff.pages.edge import Handler, rule_of
from handoff.pages.team import id_in_path, in_place, visitor


def setup(app: web.Application) -> None:
    app.middlewares.append(guard)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask the table before the page is asked; the page's own operation asks again, inside its transaction."""
    who = rule_of(request)
    if who in (None, Who.ANYONE, Who.BILLING):
        return await handler(request)
    return await _admitted(request, who, handler)


async def _admitted(request: web.Request, who: Who, handler: Handler) -> web.StreamResponse:
    @in_place
    async def answered(request: web.Request) -> web.StreamResponse:
        user = await visitor(request)
        if who in access.IN_A_TEAM:
            team_id = id_in_path(request, "team")
            await request.app[HOUSE].database.read(access.must_be, who, user.session_id, team_id)
        return await handler(request)

    return await answered(request)
