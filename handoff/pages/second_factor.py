"""Setting up, using up and turning off the second factor of one's account."""

from typing import Any
from urllib.parse import urlencode

import segno
from aiohttp import web

from handoff import accounts, second_factor
from handoff.pages import HOUSE, SET_UP
from handoff.pages.account import account_frame, faults_of_present
from handoff.pages.edge import read_form
from handoff.pages.sign_in import TOO_MANY_CODES, forget_codes, may_try_code, safe_path
from handoff.pages.team import in_place, see, show, visitor, wants_partial
from handoff.second_factor import AlreadyOn, NotOn, WrongCode

routes = web.RouteTableDef()

LONGEST = 100


@routes.get("/account/second-factor/")
@in_place
async def page(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post("/account/second-factor/begin")
@in_place
async def begin(request: web.Request) -> web.Response:
    house, user, form = request.app[HOUSE], await visitor(request), await read_form(request)
    await house.database.write(user.user_id, second_factor.begin, user.session_id, house.secrets.open, house.secrets.new())
    return await _changed(request, form)


@routes.post("/account/second-factor/cancel")
@in_place
async def cancel(request: web.Request) -> web.Response:
    user, form = await visitor(request), await read_form(request)
    await request.app[HOUSE].database.write(user.user_id, second_factor.cancel, user.session_id)
    return await _changed(request, form)


@routes.post("/account/second-factor/confirm")
@in_place
async def confirm(request: web.Request) -> web.Response:
    """The answer is the page that shows the recovery codes: nothing can show them again."""
    house, user, form = request.app[HOUSE], await visitor(request), await read_form(request)
    onward, code = form.get("next", ""), form.get("code", "")
    fault = _fault_of_code(request, user.user_id, code)
    if fault:
        return await _page(request, 422, next=onward, typed={"code": code[:LONGEST]}, faults={"code": fault})
    try:
        codes = await house.database.write(user.user_id, second_factor.confirm, user.session_id, house.secrets.open, code)
    except AlreadyOn:
        return await _changed(request, form)
    except WrongCode as refusal:
        return await _page(request, refusal.status, next=onward, typed={"code": code}, faults={"code": refusal.words})
    forget_codes(request, user.user_id)
    return await _page(request, next=onward, codes=codes)


@routes.post("/account/second-factor/off")
@in_place
async def turn_off(request: web.Request) -> web.Response:
    return await _with_password_and_code(request, "off", second_factor.turn_off)


@routes.post("/account/second-factor/recovery-codes")
@in_place
async def renew_recovery_codes(request: web.Request) -> web.Response:
    return await _with_password_and_code(request, "renew", second_factor.renew_recovery_codes)


async def _with_password_and_code(request: web.Request, action: str, operation: Any) -> web.Response:
    house, user, form = request.app[HOUSE], await visitor(request), await read_form(request)
    code = form.get("code", "")
    _, hashed = await house.database.read(accounts.password_of, user.session_id)
    faults = await faults_of_present(request, user, form.get("present_password", ""), hashed) if hashed else {}
    code_fault = None if faults else _fault_of_code(request, user.user_id, code)
    if code_fault:
        faults["code"] = code_fault
    if faults:
        return await _page(request, 422, action=action, typed={"code": code[:LONGEST]}, faults=faults)
    try:
        codes = await house.database.write(user.user_id, operation, user.session_id, house.secrets.open, hashed, code)
    except NotOn:
        return await _changed(request, form)
    except WrongCode as refusal:
        return await _page(request, refusal.status, action=action, typed={"code": code}, faults={"code": refusal.words})
    forget_codes(request, user.user_id)
    return await _page(request, codes=codes) if codes else await _changed(request, form)


async def _changed(request: web.Request, form: dict[str, str]) -> web.Response:
    onward = form.get("next", "")
    if wants_partial(request):
        return await _page(request, next=onward)
    return see(f"{SET_UP}?{urlencode({'next': safe_path(onward)})}" if onward else SET_UP)


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    house, user = request.app[HOUSE], await visitor(request)
    profile = await house.database.read(accounts.profile, user.session_id)
    state = await house.database.read(second_factor.state_of, user.session_id)
    secret = None if state["is_on"] else house.secrets.open(state["sealed"])
    context = {
        **account_frame(user, profile, "second_factor"),
        "state": state,
        "secret": secret and " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "picture": secret and picture_of(second_factor.address_of(secret, state["email"])),
        "next": request.query.get("next", ""),
        "typed": {"code": ""},
        "faults": {},
        "action": "",
        "codes": None,
        "is_partial": wants_partial(request),
        **more,
    }
    context["next"] = safe_path(context["next"]) if context["next"] else ""
    return show(request, "account/second_factor.html", "account/_second_factor.html", context, status)


def picture_of(address: str) -> str:
    """A QR code as a data address, dark on white in every scheme: cameras want it so."""
    return str(segno.make(address, error="m", micro=False).svg_data_uri(scale=5, border=4, light="#ffffff", dark="#000000"))


def _fault_of_code(request: web.Request, user_id: str, code: str) -> str | None:
    if not code.strip():
        return "Type the six figures that your authenticator shows now."
    if len(code) > LONGEST:
        return "That is no code: a code has six figures."
    return None if may_try_code(request, user_id) else TOO_MANY_CODES
