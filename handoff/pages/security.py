"""What a team wants of the sign-ins of its members."""

from typing import Any

from aiohttp import web

from handoff import second_factor
from handoff.errors import Conflict
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.team import frame, id_in_path, in_place, see, show, team_named, visitor, wants_partial
from handoff.seats import Agent

routes = web.RouteTableDef()


@routes.get("/teams/{team}/security/")
@in_place
async def page(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post("/teams/{team}/security/")
@in_place
async def require(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    required = (await read_form(request)).get("required") == "yes"
    try:
        await request.app[HOUSE].database.write(team_id, second_factor.require, user.session_id, team_id, required)
    except Conflict as refusal:
        return await _page(request, refusal.status, refused=refusal.words)
    if wants_partial(request):
        return await _page(request, said="Saved.")
    return see(f"/teams/{team_id}/security/")


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, state = await request.app[HOUSE].database.read(_state, user.session_id, team_id)
    context = frame(user, member, team, "security") | state
    context |= {"is_owner": member.role == "owner", "refused": None, "said": None, **more}
    return show(request, "security/index.html", "security/_second_factor.html", context, status)


def _state(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    member, state = second_factor.who_lacks(session_id, team_id)
    return member, team_named(team_id), state
