"""A team's plan: what is offered, what it has, and the way from one to the other."""

from typing import Any

from aiohttp import web

from handoff import plans, seats
from handoff.models import Team
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.team import frame, id_in_path, in_place, see, show, team_named, visitor, wants_partial
from handoff.plans import PlanNotOffered, SeatsHeld
from handoff.seats import Agent, agent_in

routes = web.RouteTableDef()

PLAN = "/teams/{team}/plan/"


@routes.get(PLAN)
@in_place
async def plan(request: web.Request) -> web.Response:
    return await _plan_page(request)


@routes.post(PLAN)
@in_place
async def choose(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    chosen = (await read_form(request)).get("plan", "")[:200]
    try:
        if "\x00" in chosen or not chosen.isprintable():
            raise PlanNotOffered
        await request.app[HOUSE].database.write(team_id, plans.choose, user.session_id, team_id, chosen)
    except SeatsHeld as refusal:
        refused = {"plan": chosen, "words": refusal.words, "holders": refusal.details["holders"]}
        return await _plan_page(request, refused, status=refusal.status)
    except PlanNotOffered as refusal:
        return await _plan_page(request, {"plan": None, "words": refusal.words, "holders": []}, status=refusal.status)
    if wants_partial(request):
        return await _plan_page(request, changed=chosen)
    return see(f"/teams/{team_id}/plan/")


async def _plan_page(
    request: web.Request, refused: dict[str, Any] | None = None, changed: str | None = None, status: int = 200
) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, context = await request.app[HOUSE].database.read(_plans, user.session_id, team_id)
    context |= frame(user, member, team, "plan") | {"refused": refused, "changed": changed}
    return show(request, "plan/index.html", "plan/_plans.html", context, status)


def _plans(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    member = agent_in(team_id, session_id)
    offered = plans.offered_to(team_id)
    present = Team.select(Team.plan).where(Team.id == team_id).scalar()
    most = next(plan.human_agents for plan in offered if plan.id == present)
    rows = [
        {
            "id": plan.id,
            "place": place,  # a plan's name may be no DOM id
            "human_agents": plan.human_agents,
            "is_present": plan.id == present,
            "is_offered": plan.is_offered,
            "step": _step(most, plan.human_agents),
        }
        for place, plan in enumerate(offered)
    ]
    return member, team_named(team_id), {"plans": rows, **seats.counts(team_id)}


def _step(present: int, other: int) -> str:
    """The word for the way to another plan."""
    if other == present:
        return "Change"
    return "Upgrade" if other > present else "Downgrade"
