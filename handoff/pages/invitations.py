"""What a link of an invitation opens: join as somebody new, or as whoever is signed in."""

from typing import Any

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import invitations
from handoff.accounts import LEAST_LETTERS
from handoff.errors import NotFound, SignedOut
from handoff.invitations import AlreadyMember, InvitationGone, InvitationUsed, NewcomerTyped
from handoff.pages import HOUSE
from handoff.pages.edge import maybe_signed_in, read_form
from handoff.pages.newcomers import checked, hashed, welcome, welcome_again
from handoff.pages.team import fields_of, machine_time, moment, see
from handoff.people import EmailTaken

routes = web.RouteTableDef()


@routes.get("/invitations/{token}")
async def offer(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post("/invitations/{token}/accept")
async def accept(request: web.Request) -> web.Response:
    """Join as the user who is signed in."""
    return await _accept(request)


@routes.post("/invitations/{token}")
async def join(request: web.Request) -> web.Response:
    """Join as somebody new; a signed-in user who gives no password joins as themselves."""
    form = await read_form(request)
    if not form.get("password") and await maybe_signed_in(request) is not None:
        return await _accept(request)
    typed, token = fields_of(NewcomerTyped, form), _token(request)
    database = request.app[HOUSE].database
    try:
        offer = await database.read(invitations.offered, token)
        newcomer, faults = checked(NewcomerTyped, typed, offer.email)
        if newcomer is None:
            return await _page(request, status=422, typed=typed, faults=faults)
        password_hash = await hashed(request, newcomer.password)
        team_id, link = await database.write(token, invitations.accept_as_newcomer, token, newcomer.name, password_hash)
    except EmailTaken as refusal:
        return await _page(request, status=409, typed=typed, refusal=refusal.words)
    except InvitationUsed as used:
        email = await database.read(invitations.address_of, token)
        return await welcome_again(request, email, typed["password"], "/console") or _gone(request, used)
    except InvitationGone as gone:
        return _gone(request, gone)
    return await welcome(request, link, f"/teams/{team_id}/")


async def _accept(request: web.Request) -> web.Response:
    user = await maybe_signed_in(request)
    if user is None:
        return see(f"/sign-in?next=/invitations/{_token(request)}")
    try:
        team_id = await request.app[HOUSE].database.write(
            user.user_id, invitations.accept, user.session_id, request.match_info["token"]
        )
    except SignedOut:
        return see(f"/sign-in?next=/invitations/{_token(request)}")
    except AlreadyMember as refusal:
        return await _page(request, status=409, refusal=refusal.words)
    except InvitationGone as gone:
        return _gone(request, gone)
    return see(f"/teams/{team_id}/")


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, token = await maybe_signed_in(request), _token(request)
    try:
        found = await request.app[HOUSE].database.read(invitations.offered, token)
    except InvitationGone as gone:
        return _gone(request, gone)
    context = {
        "offer": found,
        "token": token,
        "visitor": user,
        "is_member": bool(user and await request.app[HOUSE].database.read(invitations.is_member, user.session_id, found.team_id)),
        "typed": {"name": ""},
        "faults": {},
        "refusal": None,
        "least_letters": LEAST_LETTERS,
        "moment": moment,
        "machine_time": machine_time,
        **more,
    }
    return render_template("invitations/index.html", request, context, status=status)


def _gone(request: web.Request, gone: InvitationGone) -> web.Response:
    return render_template("invitations/gone.html", request, {"words": gone.words}, status=gone.status)


def _token(request: web.Request) -> str:
    token = request.match_info["token"]
    if not (token.isalnum() and token.isascii() and len(token) <= 100):
        raise NotFound("There is no such invitation. Check that the whole link was copied.")
    return token
