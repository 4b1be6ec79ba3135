"""How a team begins on a page: the first one by a one-time link, further ones where the operator allows it."""

import hmac
from typing import Any

from aiohttp import web
from aiohttp_jinja2 import render_template
from pydantic import ValidationError

from handoff import founding
from handoff.accounts import LEAST_LETTERS
from handoff.clock import new_id
from handoff.errors import Forbidden, NotFound, RateLimited, SignedOut
from handoff.founding import AlreadySetUp, FoundingTyped, TeamTyped
from handoff.identity import SignedIn
from handoff.pages import HOUSE
from handoff.pages.edge import maybe_signed_in, read_form
from handoff.pages.newcomers import checked, hashed, welcome, welcome_again
from handoff.pages.team import faults_of, fields_of, see
from handoff.people import EmailTaken

routes = web.RouteTableDef()


@routes.get("/setup")
async def without_link(request: web.Request) -> web.Response:
    if await request.app[HOUSE].database.read(founding.is_set_up):
        raise NotFound
    raise Forbidden("To set Handoff up, open the link that it printed at its start.")


@routes.get("/setup/{token}")
async def ask_set_up(request: web.Request) -> web.Response:
    _must_fit(request)
    if await request.app[HOUSE].database.read(founding.is_set_up):
        return _gone(request)
    return _page(request)


@routes.post("/setup/{token}")
async def set_up(request: web.Request) -> web.Response:
    _must_fit(request)
    typed = fields_of(FoundingTyped, await read_form(request))
    database = request.app[HOUSE].database
    wanted, faults = checked(FoundingTyped, typed, typed["email"])
    if wanted is None:
        is_late = await database.read(founding.is_set_up)
        return _gone(request) if is_late else _page(request, 422, typed=typed, faults=faults)
    try:
        founded = await database.write("", founding.set_up, wanted, await hashed(request, wanted.password))
    except AlreadySetUp:
        return await _again(request, wanted) or _gone(request)
    return await welcome(request, founded.link, f"/teams/{founded.team_id}/members/")


@routes.get("/sign-up")
async def ask_sign_up(request: web.Request) -> web.Response:
    _must_be_on(request)
    return await _sign_up_page(request)


@routes.post("/sign-up")
async def sign_up(request: web.Request) -> web.Response:
    """A team for a new user, or one more for whoever is signed in."""
    _must_be_on(request)
    user, form, house = await maybe_signed_in(request), await read_form(request), request.app[HOUSE]
    typed = fields_of(TeamTyped if user else FoundingTyped, form)
    if not house.sign_in_limiter.hit(house.sign_in_rate, "sign-up", request.remote or ""):
        return await _sign_up_page(request, 429, typed=typed, refusal=RateLimited(60).words)
    if user:
        return await _found_another(request, user, form.get("team_id", ""), typed)
    wanted, faults = checked(FoundingTyped, typed, typed["email"])
    if wanted is None:
        return await _sign_up_page(request, 422, typed=typed, faults=faults)
    try:
        founded = await house.database.write("", founding.sign_up, wanted, await hashed(request, wanted.password))
    except EmailTaken as refusal:
        return await _again(request, wanted) or await _sign_up_page(request, 409, typed=typed, faults={"email": refusal.words})
    return await welcome(request, founded.link, f"/teams/{founded.team_id}/members/")


async def _found_another(request: web.Request, user: SignedIn, team_id: str, typed: dict[str, str]) -> web.Response:
    database = request.app[HOUSE].database
    try:
        name = TeamTyped.model_validate(typed).team
    except ValidationError as error:
        return await _sign_up_page(request, 422, typed=typed, faults=faults_of(error))
    if not team_id:  # the form of somebody new, sent again by whom it signed in
        standing = await database.read(founding.team_of_owner, user.email, name)
        if standing is not None:
            return see(f"/teams/{standing}/members/")
    if not (team_id.isalnum() and team_id.isascii() and len(team_id) <= 64):
        team_id = new_id()
    try:
        await database.write(team_id, founding.found_another, user.session_id, team_id, name)
    except SignedOut:
        return see("/sign-in?next=/sign-up")
    return see(f"/teams/{team_id}/members/")


async def _again(request: web.Request, wanted: FoundingTyped) -> web.Response | None:
    """The same answer to the same form, sent twice; None for another one."""
    team_id = await request.app[HOUSE].database.read(founding.team_of_owner, wanted.email, wanted.team.strip())
    if team_id is None:
        return None
    return await welcome_again(request, wanted.email, wanted.password, f"/teams/{team_id}/members/")


async def _sign_up_page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    return _page(request, status, action="/sign-up", user=await maybe_signed_in(request), **more)


def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    context: dict[str, Any] = {
        "action": f"/setup/{request.match_info.get('token', '')}",
        "user": None,
        "team_id": new_id(),
        "typed": {},
        "faults": {},
        "refusal": None,
        "least_letters": LEAST_LETTERS,
        **more,
    }
    context["typed"] = {"name": "", "email": "", "team": "", **context["typed"]}
    return render_template("setup/index.html", request, context, status=status)


def _gone(request: web.Request) -> web.Response:
    return render_template("invitations/gone.html", request, {"words": AlreadySetUp.message}, status=AlreadySetUp.status)


def _must_fit(request: web.Request) -> None:
    expected = founding.set_up_token(request.app[HOUSE].settings.secret_key.get_secret_value())
    if not hmac.compare_digest(request.match_info["token"].encode(), expected.encode()):
        raise NotFound("There is no such link. Check that the whole of it was copied.")


def _must_be_on(request: web.Request) -> None:
    if not request.app[HOUSE].settings.sign_up:
        raise NotFound
