"""Signing in by password or by a one-time link, and signing out."""

from urllib.parse import quote

from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import identity
from handoff.errors import RateLimited
from handoff.pages import HOUSE
from handoff.pages.edge import maybe_signed_in, read_form

routes = web.RouteTableDef()

FIELD_LENGTH = 400


@routes.get("/")
async def front(request: web.Request) -> web.Response:
    raise web.HTTPFound("/console")


@routes.get("/sign-in")
async def show(request: web.Request) -> web.Response:
    if await maybe_signed_in(request) is not None:
        raise web.HTTPFound(_safe(request.query.get("next", "")))
    return _page(request, next=request.query.get("next", ""))


@routes.post("/sign-in")
async def sign_in(request: web.Request) -> web.Response:
    house = request.app[HOUSE]
    form = await read_form(request)
    email, password, onward = (form.get(name, "") for name in ("email", "password", "next"))
    if not email or not password or max(len(email), len(password)) > FIELD_LENGTH or "\x00" in email:
        return _page(request, email, onward, "Enter your e-mail address and your password.", 400)
    key = email.strip().lower()
    # Counted before the password is looked at: many at once would all find that there is room.
    if not house.sign_in_limiter.hit(house.sign_in_rate, key):
        return _page(request, email, onward, RateLimited(60).words, 429)
    browser = request.headers.get("User-Agent", "")
    try:
        token = await identity.sign_in(house.database, house.passwords, email, password, browser, house.settings.session_days)
    except identity.WrongPassword as refusal:
        return _page(request, email, onward, refusal.words, 403)
    house.sign_in_limiter.clear(house.sign_in_rate, key)
    return _welcome(request, token, onward)


@routes.get("/sign-in/{token}")
async def follow_link(request: web.Request) -> web.Response:
    """A link works once; looking at it with HEAD, as some mail readers do, does not use it up."""
    if request.method != "GET":
        return web.Response()
    house = request.app[HOUSE]
    browser = request.headers.get("User-Agent", "")
    token = await house.database.write(
        "sign-in", identity.follow_link, request.match_info["token"], browser, house.settings.session_days
    )
    if token is None:
        return _page(request, error="That link was used already or is too old. Sign in with your password.", status=403)
    return _welcome(request, token, "")


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    user = await maybe_signed_in(request)
    if user is not None:
        await request.app[HOUSE].database.write(user.user_id, identity.sign_out, user.session_id)
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    response.del_cookie(identity.COOKIE)
    return response


def _welcome(request: web.Request, token: str, onward: str) -> web.Response:
    settings = request.app[HOUSE].settings
    response = web.Response(status=303, headers={"Location": _safe(onward)})
    response.set_cookie(
        identity.COOKIE,
        token,
        max_age=settings.session_days * 24 * 60 * 60,
        httponly=True,
        samesite="Lax",
        secure=settings.secure,
        path="/",
    )
    return response


def _safe(onward: str) -> str:
    """Where to go on: a path of ours, never another site (`//host`, `/\\host`)."""
    if onward.startswith("/") and not onward.startswith(("//", "/\\")) and onward.isprintable():
        return quote(onward, safe="/?&=%#-_.~")
    return "/console"


def _page(request: web.Request, email: str = "", next: str = "", error: str = "", status: int = 200) -> web.Response:
    context = {"error": error, "email": email[:FIELD_LENGTH], "next": next[:FIELD_LENGTH]}
    return render_template("sign_in/index.html", request, context, status=status)
