"""What users see and change of their own account: name, password, and the browsers in which they are signed in."""

from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import accounts, identity
from handoff.accounts import Named, password_fault
from handoff.errors import RateLimited
from handoff.identity import SignedIn, WrongPassword
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.team import (
    day,
    faults_of,
    fields_of,
    id_in_path,
    in_place,
    machine_time,
    moment,
    see,
    show,
    visitor,
    wants_partial,
)

routes = web.RouteTableDef()

HERE = "/account/"
LONGEST = 1_000  # what is longer is no password, and is not hashed to find out


@routes.get("/account/")
@in_place
async def account(request: web.Request) -> web.Response:
    return await _page(request, "account/_sessions.html")


@routes.post("/account/name")
@in_place
async def rename(request: web.Request) -> web.Response:
    user = await visitor(request)
    typed = fields_of(Named, await read_form(request))
    try:
        named = Named.model_validate(typed)
    except ValidationError as error:
        return await _page(request, "account/_name.html", 422, typed=typed, faults=faults_of(error))
    await request.app[HOUSE].database.write(user.user_id, accounts.rename, user.session_id, named.name)
    return await _changed(request, "account/_name.html", "Saved.")


@routes.post("/account/password")
@in_place
async def change_password(request: web.Request) -> web.Response:
    """Needs the present password, and ends the other sessions with their sockets."""
    house, user = request.app[HOUSE], await visitor(request)
    form = await read_form(request)
    present, new, again = (form.get(name, "") for name in ("present_password", "new_password", "new_password_again"))
    email, old_hash = await house.database.read(accounts.password_of, user.session_id)
    faults = _faults_of_new(new, again, email)
    if old_hash is not None and not present:
        faults = {"present_password": "Type the password that you use now.", **faults}
    elif old_hash is not None and not faults:
        faults = await faults_of_present(request, user, present, old_hash)
    if faults:
        return await _page(request, "account/_password.html", 422, faults=faults)
    new_hash = await house.passwords.hash(new)
    try:
        await house.database.write(user.user_id, accounts.change_password, user.session_id, old_hash, new_hash)
    except WrongPassword as refusal:
        return await _page(request, "account/_password.html", 409, faults={"present_password": refusal.words})
    answer = await _changed(request, "account/_password.html", "Your password is changed, and your other sessions have ended.")
    if wants_partial(request):
        answer.headers["HX-Reswap"] = "outerHTML"  # a morph would leave in the fields what was typed
    return answer


@routes.post("/account/sessions/end-others")
@in_place
async def end_others(request: web.Request) -> web.Response:
    user = await visitor(request)
    await request.app[HOUSE].database.write(user.user_id, accounts.end_other_sessions, user.session_id)
    return await _changed(request, "account/_sessions.html", "Your other sessions have ended.")


@routes.post("/account/sessions/end-all")
@in_place
async def sign_out_everywhere(request: web.Request) -> web.Response:
    user = await visitor(request)
    await request.app[HOUSE].database.write(user.user_id, accounts.sign_out_everywhere, user.session_id)
    return _signed_out(request)


@routes.post("/account/sessions/{session}/end")
@in_place
async def end_session(request: web.Request) -> web.Response:
    user, session_id = await visitor(request), id_in_path(request, "session")
    await request.app[HOUSE].database.write(user.user_id, accounts.end_session, user.session_id, session_id)
    if session_id == user.session_id:
        return _signed_out(request)
    return await _changed(request, "account/_sessions.html", "That session has ended.")


async def faults_of_present(request: web.Request, user: SignedIn, password: str, hashed: str | None) -> dict[str, str]:
    """Why that is not the present password: guessing it here is counted with guesses at the sign-in."""
    house = request.app[HOUSE]
    if not house.sign_in_limiter.hit(house.sign_in_rate, user.email):
        return {"present_password": RateLimited(60).words}
    if len(password) > LONGEST or not await house.passwords.matches(password, hashed):
        return {"present_password": "That is not your present password."}
    house.sign_in_limiter.clear(house.sign_in_rate, user.email)
    return {}


def account_frame(user: SignedIn, profile: dict[str, Any], here: str) -> dict[str, Any]:
    """What every page of an account shows around its own."""
    return {"user": user, "profile": profile, "here": here, "day": day, "machine_time": machine_time, "moment": moment}


async def _page(request: web.Request, partial: str, status: int = 200, **more: Any) -> web.Response:
    user = await visitor(request)
    profile = await request.app[HOUSE].database.read(accounts.profile, user.session_id)
    context = {
        **account_frame(user, profile, "account"),
        "typed": {"name": profile["name"]},
        "faults": {},
        "said": None,
        **more,
    }
    return show(request, "account/index.html", partial, context, status)


async def _changed(request: web.Request, partial: str, said: str) -> web.Response:
    return await _page(request, partial, said=said) if wants_partial(request) else see(HERE)


def _faults_of_new(new: str, again: str, email: str) -> dict[str, str]:
    fault = password_fault(new, email)
    if fault is not None:
        return {"new_password": fault}
    return {} if new == again else {"new_password_again": "These two are not the same. Type the new password again."}


def _signed_out(request: web.Request) -> web.Response:
    response = web.Response(headers={"HX-Redirect": "/sign-in"}) if wants_partial(request) else see("/sign-in")
    response.del_cookie(identity.COOKIE)
    return response
