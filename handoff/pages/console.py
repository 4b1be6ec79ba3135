"""The console's page: a shell with the little that it must know before the socket is there."""

from typing import Any

from aiohttp import web
from aiohttp_jinja2 import render_template
from peewee import JOIN

from handoff import seats
from handoff.clock import now
from handoff.events import PROTOCOL
from handoff.identity import SignedIn
from handoff.models import Assistant, Member, Outcome, Seat, Team, User
from handoff.pages import HOUSE
from handoff.pages.edge import signed_in

routes = web.RouteTableDef()


@routes.get("/console")
async def console(request: web.Request) -> web.Response:
    user = await signed_in(request)
    teams = await request.app[HOUSE].database.read(teams_of, user.user_id)
    context = {"user": user, "console": {"user": _named(user), "protocol": PROTOCOL, "served_at": now(), "teams": teams}}
    return render_template("console/index.html", request, context)


def teams_of(user_id: str) -> list[dict[str, Any]]:
    """The teams that a user is a member of, with what the console shows of each."""
    rows = (
        Member.select(Member.id, Member.role, Team.id.alias("in_team"), Team.name, Seat.status)
        .join(Team)
        .join_from(Member, Seat, JOIN.LEFT_OUTER, on=((Seat.member == Member.id) & Seat.ended_at.is_null()))
        .where(Member.user == user_id, Member.ended_at.is_null())
        .order_by(Team.name)
        .tuples()
    )
    return [
        {
            "id": team_id,
            "name": name,
            "role": role,
            "member_id": member_id,
            "seat": seat,
            "seats": seats.overview(team_id),
            "admins": _admins(team_id),
            "assistants": _assistants(team_id),
            "outcomes": _outcomes(team_id),
        }
        for member_id, role, team_id, name, seat in rows
    ]


def _admins(team_id: str) -> list[dict[str, str]]:
    """Whom to ask for a seat."""
    rows = Member.select(User.name).join(User).where(Member.team == team_id, Member.role << seats.ADMINS, Member.ended_at.is_null())
    return list(rows.order_by(User.name).limit(20).dicts())


def _assistants(team_id: str) -> list[dict[str, str]]:
    rows = Assistant.select(Assistant.id, Assistant.name, Assistant.color).where(Assistant.team == team_id)
    return list(rows.order_by(Assistant.name).dicts())


def _outcomes(team_id: str) -> list[dict[str, str]]:
    rows = Outcome.select(Outcome.id, Outcome.name).where(Outcome.team == team_id, Outcome.archived_at.is_null())
    return list(rows.order_by(Outcome.position, Outcome.name).dicts())


def _named(user: SignedIn) -> dict[str, str]:
    return {"id": user.user_id, "name": user.name}
