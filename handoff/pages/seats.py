"""The seats of a team: who holds them, and giving and taking them with one click."""

from typing import Any

from aiohttp import web
from peewee import JOIN, fn

from handoff import seats
from handoff.models import Conversation, Member, Seat, User
from handoff.pages import HOUSE
from handoff.pages.team import frame, id_in_path, in_place, see, show, team_named, visitor, wants_partial
from handoff.seats import Agent, SeatsUsed, agent_in

routes = web.RouteTableDef()

MOST_MEMBERS = 1_000  # on one page


@routes.get("/teams/{team}/")
@in_place
async def home(request: web.Request) -> web.Response:
    return await _seats_page(request)


@routes.post("/teams/{team}/seats/{member}/assign")
@in_place
async def assign(request: web.Request) -> web.Response:
    user, team_id, member_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "member")
    try:
        await request.app[HOUSE].database.write(team_id, seats.assign, user.session_id, team_id, member_id)
    except SeatsUsed as refusal:
        return await _seats_page(request, {"member_id": member_id, "words": refusal.words}, status=409)
    return await _seats_changed(request, member_id)


@routes.post("/teams/{team}/seats/{member}/release")
@in_place
async def release(request: web.Request) -> web.Response:
    user, team_id, member_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "member")
    await request.app[HOUSE].database.write(team_id, seats.release, user.session_id, team_id, member_id)
    return await _seats_changed(request, member_id)


async def _seats_changed(request: web.Request, member_id: str) -> web.Response:
    if wants_partial(request):
        return await _seats_page(request, changed=member_id)
    return see(f"/teams/{id_in_path(request, 'team')}/")


async def _seats_page(
    request: web.Request, refused: dict[str, str] | None = None, changed: str | None = None, status: int = 200
) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, context = await request.app[HOUSE].database.read(_seats, user.session_id, team_id)
    changed_row = next((row for row in context["rows"] if row["id"] == changed), None)
    context |= frame(user, member, team, "seats") | {"refused": refused, "changed": changed_row}
    return show(request, "seats/index.html", "seats/_seats.html", context, status)


def _seats(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    member = agent_in(team_id, session_id)
    rows = _members(team_id)
    context = {
        "used": seats.used(team_id),
        "limit": seats.limit(team_id),
        "rows": rows,
        "holders": [row for row in rows if row["seat"]],
        "others": [row for row in rows if not row["seat"]],
        "is_cut": len(rows) == MOST_MEMBERS,
    }
    return member, team_named(team_id), context


def _members(team_id: str) -> list[dict[str, Any]]:
    """The members, those with a seat first, each with the active conversations that are theirs."""
    active = Conversation.select(fn.COUNT(Conversation.id)).where(Conversation.owner == Member.id, Conversation.status == "active")
    rows = (
        Member.select(
            Member.id,
            Member.role,
            User.name,
            User.email,
            Seat.status.alias("seat"),
            Seat.assigned_at,
            active.alias("active"),
        )
        .join(User)
        .join_from(Member, Seat, JOIN.LEFT_OUTER, on=((Seat.member == Member.id) & Seat.ended_at.is_null()))
        .where(Member.team == team_id, Member.ended_at.is_null())
        .order_by(Seat.status.is_null(), fn.LOWER(User.name), Member.id)
        .limit(MOST_MEMBERS)
    )
    return list(rows.dicts())
