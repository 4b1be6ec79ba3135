"""The team page: who is in the team and in which role, who is invited; leaving, and deleting the team."""

from typing import Any

from aiohttp import web
from aiohttp_jinja2 import render_template
from limits import RateLimitItemPerHour
from pydantic import ValidationError

from handoff import invitations, members, teams
from handoff.clock import new_id
from handoff.invitations import AlreadyInvited, AlreadyMember, InvitationTyped, TooManyInvitations
from handoff.mail import MailFailed
from handoff.members import LastOwner, OwnersOnly, RoleTyped
from handoff.models import Team
from handoff.pages import HOUSE
from handoff.pages.edge import read_form, signed_in
from handoff.pages.forms import id_for
from handoff.pages.team import (
    faults_of,
    fields_of,
    frame,
    id_in_path,
    in_place,
    moment,
    see,
    show,
    team_named,
    visitor,
    wants_partial,
)
from handoff.seats import ADMINS, Agent, agent_in
from handoff.teams import WrongName

routes = web.RouteTableDef()

MAILS = RateLimitItemPerHour(100)  # of one team: a mail server that sends more for strangers is soon on a list
NOT_TYPED = {"email": "", "role": "member"}
ROLES = (
    ("member", "Member", "Watches and takes over conversations, with a seat."),
    ("admin", "Admin", "Also gives seats, invites, and changes every setting."),
    ("owner", "Owner", "Also makes owners and may delete the team."),
)

TEXT = """\
{name} invites you to the team {team} in Handoff.

Open this link within 72 hours to join. It works once:

{link}

If you did not expect this, do nothing: nobody joins without the link.
"""


@routes.get("/teams/")
async def your_teams(request: web.Request) -> web.Response:
    """Where somebody in several teams, or in none, chooses where to go."""
    user = await signed_in(request)
    mine = await request.app[HOUSE].database.read(teams.of_user, user.user_id)
    context = {"user": user, "mine": mine, "may_found": request.app[HOUSE].settings.sign_up}
    return render_template("members/teams.html", request, context)


@routes.get("/teams/{team}/members/")
@in_place
async def team(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post("/teams/{team}/invitations/")
@in_place
async def invite(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    form = await read_form(request)
    typed, invitation_id = fields_of(InvitationTyped, form), id_for(form, "invitation_id")
    refused = {"typed": typed, "invitation_id": invitation_id}
    try:
        wanted = InvitationTyped.model_validate(typed)
        house = request.app[HOUSE]
        token = house.links.token(invitation_id)
        arguments = (user.session_id, team_id, invitation_id, token, wanted)
        is_new = await house.database.write(team_id, invitations.invite, *arguments)
    except ValidationError as error:
        await request.app[HOUSE].database.read(_must_be_admin, user.session_id, team_id)
        return await _page(request, "members/_invite.html", status=422, faults=faults_of(error), **refused)
    except (AlreadyMember, AlreadyInvited, TooManyInvitations) as refusal:
        return await _page(request, "members/_invite.html", status=409, faults={"email": refusal.words}, **refused)
    except OwnersOnly as refusal:
        return await _page(request, "members/_invite.html", status=403, faults={"role": refusal.words}, **refused)
    mailed = await _mail(request, invitation_id, wanted.email) if is_new else None
    return await _invited(request, invitation_id, mailed)


@routes.post("/teams/{team}/invitations/{invitation}/resend")
@in_place
async def resend(request: web.Request) -> web.Response:
    user, team_id, invitation_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "invitation")
    house, next_id = request.app[HOUSE], new_id()
    arguments = (user.session_id, team_id, invitation_id, next_id, house.links.token(next_id))
    fresh = await house.database.write(team_id, invitations.resend, *arguments)
    if fresh is None:
        return await _changed(request, "This invitation is not open any more.")
    return await _invited(request, fresh.id, await _mail(request, fresh.id, fresh.email))


@routes.post("/teams/{team}/invitations/{invitation}/withdraw")
@in_place
async def withdraw(request: web.Request) -> web.Response:
    user, team_id, invitation_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "invitation")
    await request.app[HOUSE].database.write(team_id, invitations.withdraw, user.session_id, team_id, invitation_id)
    return await _changed(request, "Withdrawn. The link says so from now on.")


@routes.get("/teams/{team}/members/{member}/")
@in_place
async def member(request: web.Request) -> web.Response:
    return await _member_page(request)


@routes.post("/teams/{team}/members/{member}/role")
@in_place
async def change_role(request: web.Request) -> web.Response:
    user, team_id, member_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "member")
    typed = fields_of(RoleTyped, await read_form(request))
    try:
        role = RoleTyped.model_validate(typed).role
        await request.app[HOUSE].database.write(team_id, members.change_role, user.session_id, team_id, member_id, role)
    except ValidationError as error:
        await request.app[HOUSE].database.read(_must_be_admin, user.session_id, team_id)
        return await _member_page(request, status=422, typed=typed, fault=faults_of(error)["role"])
    except (LastOwner, OwnersOnly) as refusal:
        return await _member_page(request, status=refusal.status, typed=typed, fault=refusal.words)
    if wants_partial(request):
        return await _member_page(request, said="Saved.")
    return see(f"/teams/{team_id}/members/{member_id}/")


@routes.post("/teams/{team}/members/{member}/remove")
@in_place
async def remove(request: web.Request) -> web.Response:
    user, team_id, member_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "member")
    try:
        await request.app[HOUSE].database.write(team_id, members.remove, user.session_id, team_id, member_id)
    except (LastOwner, OwnersOnly) as refusal:
        return await _member_page(request, status=refusal.status, refusal=refusal.words)
    return see(f"/teams/{team_id}/members/")


@routes.get("/teams/{team}/leave")
@in_place
async def ask_leave(request: web.Request) -> web.Response:
    return await _end_page(request, "members/leave.html")


@routes.post("/teams/{team}/leave")
@in_place
async def leave(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    try:
        await request.app[HOUSE].database.write(team_id, members.leave, user.session_id, team_id)
    except LastOwner as refusal:
        return await _end_page(request, "members/leave.html", status=409, fault=refusal.words)
    return see("/teams/")


@routes.get("/teams/{team}/delete")
@in_place
async def ask_delete(request: web.Request) -> web.Response:
    return await _end_page(request, "members/delete.html", typed="")


@routes.post("/teams/{team}/delete")
@in_place
async def delete(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    typed = (await read_form(request)).get("name", "")
    try:
        name = await request.app[HOUSE].database.write(team_id, teams.delete, user.session_id, team_id, typed)
    except WrongName as refusal:
        return await _end_page(request, "members/delete.html", status=422, typed=typed[:400], fault=refusal.words)
    return render_template("members/deleted.html", request, {"name": name})


async def _page(request: web.Request, partial: str = "members/_members.html", status: int = 200, **more: Any) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    house = request.app[HOUSE]
    member, team, rows, offers = await house.database.read(_team, user.session_id, team_id)
    context = {
        **_frame(user, member, team),
        "rows": rows,
        "is_cut": len(rows) == members.MOST,
        "offers": [{**offer, "link": _link(request, member, offer)} for offer in offers],
        "mails": house.mail.is_on,
        "typed": NOT_TYPED,
        "faults": {},
        "invitation_id": new_id(),
        "invited": None,
        "said": None,
        **more,
    }
    context["invited"] = next((offer for offer in context["offers"] if offer["id"] == context["invited"]), None)
    return show(request, "members/index.html", partial, context, status)


async def _invited(request: web.Request, invitation_id: str, mailed: bool | None) -> web.Response:
    """The form again, and what became of the invitation: a mail that failed must be told without JavaScript too."""
    if wants_partial(request) or mailed is False:
        return await _page(request, "members/_invited.html", invited=invitation_id, mailed=mailed)
    return see(f"/teams/{id_in_path(request, 'team')}/members/#invitation-{invitation_id}")


async def _changed(request: web.Request, said: str) -> web.Response:
    if wants_partial(request):
        return await _page(request, said=said)
    return see(f"/teams/{id_in_path(request, 'team')}/members/")


async def _member_page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, team_id, member_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "member")
    member, team, row = await request.app[HOUSE].database.read(_member, user.session_id, team_id, member_id)
    context = {
        **_frame(user, member, team),
        "current": "true",
        "row": row,
        # Only an owner changes what an owner is.
        "may_change": member.role in ADMINS and (row["role"] != "owner" or member.role == "owner"),
        "typed": {"role": row["role"]},
        "fault": None,
        "refusal": None,
        "said": None,
        **more,
    }
    return show(request, "members/member.html", "members/_role.html", context, status)


async def _end_page(request: web.Request, page: str, status: int = 200, **more: Any) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    member, team, row = await request.app[HOUSE].database.read(_member, user.session_id, team_id, None)
    context = {**_frame(user, member, team), "current": "true", "row": row, "fault": None, **more}
    return show(request, page, page, context, status)


def _frame(user: Any, member: Agent, team: dict[str, Any]) -> dict[str, Any]:
    roles = [role for role in ROLES if role[0] != "owner" or member.role == "owner"]
    return {**frame(user, member, team, "members"), "is_owner": member.role == "owner", "roles": roles, "moment": moment}


def _team(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    member = agent_in(team_id, session_id)
    offers = invitations.open_in(team_id) if member.role in ADMINS else []
    return member, team_named(team_id), members.of(team_id), offers


def _member(session_id: str, team_id: str, member_id: str | None) -> tuple[Agent, dict[str, Any], dict[str, Any]]:
    member = agent_in(team_id, session_id)
    return member, team_named(team_id), members.one(team_id, member_id or member.id)


def _must_be_admin(session_id: str, team_id: str) -> None:
    agent_in(team_id, session_id).must_be_admin()


def _link(request: web.Request, member: Agent, offer: dict[str, Any]) -> str | None:
    """The address to copy, for whoever might have made this offer. None too where the secret key has changed since."""
    house = request.app[HOUSE]
    token = house.links.token(offer["id"])
    if offer["is_expired"] or (offer["role"] == "owner" and member.role != "owner") or not invitations.fits(token, offer):
        return None
    return f"{house.settings.address}/invitations/{token}"


async def _mail(request: web.Request, invitation_id: str, email: str) -> bool | None:
    """Whether the link was mailed; None where there is no mail server."""
    house = request.app[HOUSE]
    if not house.mail.is_on:
        return None
    team_id = id_in_path(request, "team")
    if not house.sign_in_limiter.hit(MAILS, "mail", team_id):
        return False
    user = await visitor(request)
    name = await house.database.read(lambda: Team.select(Team.name).where(Team.id == team_id).scalar())
    link = f"{house.settings.address}/invitations/{house.links.token(invitation_id)}"
    try:
        await house.mail.send(email, f"{user.name} invites you to {name}", TEXT.format(name=user.name, team=name, link=link))
    except MailFailed:
        return False
    return True
