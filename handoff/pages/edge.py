"""The edge of every page: who asks, whether the request may come from where it comes, and how a fault looks."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog
from aiohttp import web
from aiohttp_jinja2 import render_template

from handoff import access, identity
from handoff.access import Who
from handoff.errors import Forbidden, NotFound, Refused, SecondFactorNeeded
from handoff.identity import SignedIn
from handoff.pages import HOUSE, SET_UP

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ASKED_BY: web.RequestKey[SignedIn | None] = web.RequestKey("asked_by")
BODY_SECONDS = 10
FORM_BYTES, FORM_FIELDS = 128 * 1024, 200
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
    )
)
CODES = {404: "not_found", 405: "not_allowed", 408: "too_slow", 413: "too_large", 500: "unavailable", 503: "unavailable"}
REASONS = {404: NotFound.message, 405: "This address does not take what was sent to it."}
TITLES = {403: "Not allowed", 404: "Not found", 405: "Not possible", 413: "Too large", 503: "Not available"}


def setup(app: web.Application) -> None:
    app.middlewares.extend([faults, same_origin])
    app.on_response_prepare.append(protect)


async def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Headers for every response, errors and files included."""
    # A site that carries a widget shows its frame's faults in words; the browser would show a blocked page instead.
    ancestors = response.headers.pop("X-Frame-Allow", "*" if request.path.startswith("/widget/") else "'none'")
    response.headers.setdefault("Content-Security-Policy", f"{POLICY}; frame-ancestors {ancestors}")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if request.path.startswith("/static/") or request.path == "/widget.js":
        response.headers.setdefault("Cache-Control", "no-cache")
    else:
        response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals and errors into a page in words. Redirects and files pass."""
    try:
        return await handler(request)
    except SecondFactorNeeded:
        onward = request.path if request.method in SAFE else "/console"
        return web.Response(status=303, headers={"Location": f"{SET_UP}?next={quote(onward)}"})
    except Refused as refusal:
        return answer_of_fault(request, refusal.status, refusal.words, refusal.as_ack())
    except web.HTTPException as fault:
        if fault.status < 400:
            raise
        words = fault.text if fault.status == 400 and fault.text else REASONS.get(fault.status, fault.reason)
        answer = answer_of_fault(request, fault.status, words)
        if "Allow" in fault.headers:
            answer.headers["Allow"] = fault.headers["Allow"]
        return answer
    except asyncio.CancelledError:
        raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a path under /static/ that no file can have
            return answer_of_fault(request, 404, REASONS[404])
        return _failed(request)
    except Exception:
        return _failed(request)


def _failed(request: web.Request) -> web.Response:
    log.exception("page_failed", path=request.match_info.route.resource and request.match_info.route.resource.canonical)
    return answer_of_fault(request, 500, "Something went wrong here. It was written down; please try again.")


def answer_of_fault(request: web.Request, status: int, words: str, ack: dict[str, Any] | None = None) -> web.Response:
    """A page for people, an ack's JSON for programs."""
    if not request.path.startswith("/api/"):
        return page_of_fault(request, status, words)
    error = {"code": CODES.get(status, "invalid"), "message": words, "details": {}}
    return web.json_response(ack or {"error": error}, status=status)


def page_of_fault(request: web.Request, status: int, message: str) -> web.Response:
    context = {"status": status, "title": TITLES.get(status, "That did not work"), "message": message}
    return render_template("error/index.html", request, context, status=status)


def rule_of(request: web.Request) -> Who | None:
    """Who may use the route of a request; None where it has none, and is answered with 404 or 405.

    Raises NotFound for a route that is not in the access table: it is open to nobody.
    """
    resource = request.match_info.route.resource
    if resource is None:
        return None
    try:
        return access.of_route(request.method, resource.canonical)
    except KeyError:
        log.error("route_without_rule", method=request.method, path=resource.canonical)
        raise NotFound from None


@web.middleware
async def same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a change that another site's page asks for: the cookie would come with it."""
    if request.method not in SAFE and not _brings_no_cookie(request) and not _from_us(request):
        raise Forbidden("This came from another site.")
    return await handler(request)


def _brings_no_cookie(request: web.Request) -> bool:
    """The billing call is signed; on the socket each namespace asks for the Origin itself."""
    return request.path.startswith("/socket.io/") or rule_of(request) is Who.BILLING


def _from_us(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin in request.app[HOUSE].settings.origins


async def signed_in(request: web.Request) -> SignedIn:
    """The user who asks. Sends anybody else to the sign-in page."""
    user = await maybe_signed_in(request)
    if user is None:
        raise web.HTTPFound(f"/sign-in?next={quote(request.path)}" if request.method == "GET" else "/sign-in")
    return user


async def maybe_signed_in(request: web.Request) -> SignedIn | None:
    """The user who asks, looked up once a request."""
    if ASKED_BY not in request:
        request[ASKED_BY] = await _user_of_cookie(request)
    return request[ASKED_BY]


async def _user_of_cookie(request: web.Request) -> SignedIn | None:
    token = request.cookies.get(identity.COOKIE)
    if not token:
        return None
    database = request.app[HOUSE].database
    user = await database.read(identity.session_of, token)
    if user is not None:
        await database.write(user.session_id, identity.note_use, user.session_id)
    return user


async def read_form(request: web.Request, most: int = FORM_BYTES) -> dict[str, str]:
    """The fields of a form as text, read within BODY_SECONDS; a slow body would stay open for ever."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    if len(body) > most:
        raise web.HTTPRequestEntityTooLarge(most, len(body))
    try:
        # Our pages send UTF-8 alone. A charset of the sender's choice can take minutes to read, and is not looked at.
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS))
    except ValueError:
        raise web.HTTPBadRequest(text="That form could not be read.") from None
