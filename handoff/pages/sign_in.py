"""Signing in by password or by a one-time link, with a second step for who has one, and signing out."""

from urllib.parse import quote, urlencode

from aiohttp import web
from aiohttp_jinja2 import render_template
from limits import RateLimitItemPerHour, RateLimitItemPerMinute

from handoff import identity, second_factor
from handoff.errors import RateLimited
from handoff.events import storable
from handoff.identity import Entered
from handoff.pages import HOUSE
from handoff.pages.edge import maybe_signed_in, read_form
from handoff.pages.team import see
from handoff.second_factor import TookTooLong, WrongCode

routes = web.RouteTableDef()

FIELD_LENGTH = 400
STEP_COOKIE = "handoff_sign_in"
CODE_RATES = (RateLimitItemPerMinute(5), RateLimitItemPerHour(20))
TOO_MANY_CODES = "Too many codes were tried. Wait a few minutes, or sign in again later."


@routes.get("/")
async def front(request: web.Request) -> web.Response:
    raise web.HTTPFound("/console")


@routes.get("/sign-in")
async def show(request: web.Request) -> web.Response:
    if await maybe_signed_in(request) is not None:
        raise web.HTTPFound(safe_path(request.query.get("next", "")))
    return _page(request, next=request.query.get("next", ""))


@routes.post("/sign-in")
async def sign_in(request: web.Request) -> web.Response:
    house = request.app[HOUSE]
    form = await read_form(request)
    email, password, onward = (form.get(name, "") for name in ("email", "password", "next"))
    if not email or not password or max(len(email), len(password)) > FIELD_LENGTH or not _is_storable(email):
        return _page(request, email, onward, "Enter your e-mail address and your password.", 400)
    key = email.strip().lower()
    # Counted before the password is looked at: many at once would all find that there is room.
    # By the address it comes from, too: a stranger's guesses must not keep the owner out.
    if not house.sign_in_limiter.hit(house.sign_in_rate, key, request.remote or ""):
        return _page(request, email, onward, RateLimited(60).words, 429)
    browser = request.headers.get("User-Agent", "")
    try:
        entered = await identity.sign_in(house.database, house.passwords, email, password, browser, house.settings.session_days)
    except identity.WrongPassword as refusal:
        return _page(request, email, onward, refusal.words, 403)
    house.sign_in_limiter.clear(house.sign_in_rate, key, request.remote or "")
    return await let_in(request, entered, onward)


@routes.get("/sign-in/code")
async def ask_code(request: web.Request) -> web.Response:
    """The second step, for whoever did the first a moment ago."""
    if await request.app[HOUSE].database.read(second_factor.waiting_user, request.cookies.get(STEP_COOKIE, "")) is None:
        return see("/sign-in")
    return _code_page(request, request.query.get("next", ""))


@routes.post("/sign-in/code")
async def give_code(request: web.Request) -> web.Response:
    house, token = request.app[HOUSE], request.cookies.get(STEP_COOKIE, "")
    form = await read_form(request)
    code, onward = form.get("code", ""), form.get("next", "")
    user_id = await house.database.read(second_factor.waiting_user, token)
    if user_id is None:
        return _page(request, next=onward, error=TookTooLong.message, status=403)
    if not code.strip() or len(code) > FIELD_LENGTH:
        return _code_page(request, onward, "Enter the six figures that your authenticator shows.", 400)
    if not may_try_code(request, user_id):
        return _code_page(request, onward, TOO_MANY_CODES, 429)
    sign_in = (second_factor.sign_in_with_code, token, house.secrets.open, code, house.settings.session_days)
    try:
        fresh = await house.database.write(user_id, *sign_in)
    except WrongCode as refusal:
        house.passwords.beside(house.database.write(user_id, identity.note_failure, user_id, request.headers.get("User-Agent", "")))
        return _code_page(request, onward, refusal.words, 403)
    except TookTooLong as refusal:
        return _page(request, next=onward, error=refusal.words, status=403)
    forget_codes(request, user_id)
    return await _welcome(request, fresh, onward)


@routes.get("/sign-in/{token}")
async def follow_link(request: web.Request) -> web.Response:
    """A link works once; looking at it with HEAD, as some mail readers do, does not use it up."""
    if request.method != "GET":
        return web.Response()
    present = await maybe_signed_in(request)
    offered = await request.app[HOUSE].database.read(identity.link_of, request.match_info["token"])
    if present is not None and offered is not None and present.user_id != offered.user_id:
        # Any site can send a browser here: nobody is to find themselves at work under another name.
        return render_template("sign_in/other.html", request, {"present": present, "offered": offered})
    return await _follow(request)


@routes.post("/sign-in/{token}")
async def follow_link_instead(request: web.Request) -> web.Response:
    """Go on as the link's user, and no more as whoever is signed in."""
    return await _follow(request)


async def _follow(request: web.Request) -> web.Response:
    house = request.app[HOUSE]
    browser = request.headers.get("User-Agent", "")
    entered = await house.database.write(
        "sign-in", identity.follow_link, request.match_info["token"], browser, house.settings.session_days
    )
    if entered is None:
        return _page(request, error="That link was used already or is too old. Sign in with your password.", status=403)
    return await let_in(request, entered, "")


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    user = await maybe_signed_in(request)
    if user is not None:
        await request.app[HOUSE].database.write(user.user_id, identity.sign_out, user.session_id)
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    response.del_cookie(identity.COOKIE)
    return response


def may_try_code(request: web.Request, user_id: str) -> bool:
    """Count a try at a user's codes; False when there were too many. Six figures would be found by trying."""
    limiter = request.app[HOUSE].sign_in_limiter
    return all(limiter.hit(rate, "code", user_id) for rate in CODE_RATES)


def forget_codes(request: web.Request, user_id: str) -> None:
    """Tries that ended in the right code were no guesses."""
    for rate in CODE_RATES:
        request.app[HOUSE].sign_in_limiter.clear(rate, "code", user_id)


async def let_in(request: web.Request, entered: Entered, onward: str) -> web.Response:
    """Signed in; or on to the second step, whose cookie is worth nothing without a code."""
    if not entered.needs_code:
        return await _welcome(request, entered.token, onward)
    response = see(f"/sign-in/code?{urlencode({'next': safe_path(onward)})}")
    secure = request.app[HOUSE].settings.secure
    seconds = identity.CODE_LIFETIME // 1000
    response.set_cookie(STEP_COOKIE, entered.token, max_age=seconds, httponly=True, samesite="Lax", secure=secure, path="/sign-in")
    return response


async def _welcome(request: web.Request, token: str, onward: str) -> web.Response:
    settings, before = request.app[HOUSE].settings, await maybe_signed_in(request)
    if before is not None:
        # Nobody holds its cookie any more once this one takes its place.
        await request.app[HOUSE].database.write(before.user_id, identity.sign_out, before.session_id)
    response = web.Response(status=303, headers={"Location": safe_path(onward)})
    response.set_cookie(
        identity.COOKIE,
        token,
        max_age=settings.session_days * 24 * 60 * 60,
        httponly=True,
        samesite="Lax",
        secure=settings.secure,
        path="/",
    )
    response.del_cookie(STEP_COOKIE, path="/sign-in")
    return response


def _is_storable(text: str) -> bool:
    try:
        return bool(storable(text))
    except ValueError:
        return False


def safe_path(onward: str) -> str:
    """Where to go on: a path of ours, never another site (`//host`, `/\\host`)."""
    if onward.startswith("/") and not onward.startswith(("//", "/\\")) and onward.isprintable():
        return quote(onward, safe="/?&=%#-_.~")
    return "/console"


def _page(request: web.Request, email: str = "", next: str = "", error: str = "", status: int = 200) -> web.Response:
    context = {"error": error, "email": email[:FIELD_LENGTH], "next": next[:FIELD_LENGTH]}
    return render_template("sign_in/index.html", request, context, status=status)


def _code_page(request: web.Request, next: str = "", error: str = "", status: int = 200) -> web.Response:
    return render_template("sign_in/code.html", request, {"error": error, "next": next[:FIELD_LENGTH]}, status=status)
