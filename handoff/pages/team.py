"""What a team's settings pages share.

Every address is a plain page or form. htmx asks the same addresses and gets only the partial that changed.
"""

import functools
import re
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp_jinja2 import render_template
from pydantic import BaseModel, ValidationError

from handoff import teams
from handoff.errors import NotFound, Refused, SecondFactorNeeded, SignedOut
from handoff.identity import SignedIn
from handoff.models import Member, Team, User
from handoff.pages import HOUSE, SET_UP
from handoff.pages.edge import Handler, maybe_signed_in, signed_in
from handoff.seats import ADMINS, Agent

TEAMS: web.RequestKey[list[dict[str, str]]] = web.RequestKey("teams")  # of who asks, for the switcher of a whole page

_id = re.compile(r"[0-9A-Za-z_-]{1,64}")


def in_place(handler: Handler) -> Handler:
    """Let htmx show a refusal inside the page that is open, so that nothing typed there is lost."""

    @functools.wraps(handler)
    async def answered(request: web.Request) -> web.StreamResponse:
        if not wants_partial(request):
            return await handler(request)
        try:
            return await handler(request)
        except SignedOut:
            return _first(request, "/sign-in")
        except SecondFactorNeeded:
            return _first(request, SET_UP)
        except Refused as refusal:
            return _problem(request, refusal.status, refusal.words)
        except web.HTTPException as fault:
            if fault.status < 400:
                raise
            return _problem(request, fault.status, fault.reason)

    return answered


async def visitor(request: web.Request) -> SignedIn:
    """The user who asks; anybody else is sent to sign in. (A redirect would put that page into the partial's place.)"""
    if not wants_partial(request):
        someone = await signed_in(request)
        if TEAMS not in request:
            request[TEAMS] = await request.app[HOUSE].database.read(teams.of_user, someone.user_id)
        return someone
    user = await maybe_signed_in(request)
    if user is None:
        raise SignedOut
    return user


def wants_partial(request: web.Request) -> bool:
    return request.headers.get("HX-Request") == "true"


def id_in_path(request: web.Request, name: str) -> str:
    """An id that could be one. Raises NotFound, so that what cannot be there answers like what is not there."""
    found = request.match_info[name]
    if not _id.fullmatch(found):
        raise NotFound
    return found


def show(request: web.Request, page: str, partial: str, context: dict[str, Any], status: int = 200) -> web.Response:
    context = {"teams": request.get(TEAMS, []), **context}
    response = render_template(partial if wants_partial(request) else page, request, context, status=status)
    response.headers["Vary"] = "HX-Request"
    return response


def see(path: str) -> web.Response:
    """After a plain form: go and look at what it changed."""
    return web.Response(status=303, headers={"Location": path})


def faults_of(error: ValidationError) -> dict[str, str]:
    """The first fault of each field, in the order of the form, in words that say what to do."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        faults.setdefault(str(fault["loc"][0]), _words(dict(fault)))
    return faults


def fields_of(kind: type[BaseModel], form: dict[str, str]) -> dict[str, str]:
    """What a form holds for the fields of a class; browsers send line ends as CR LF."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in kind.model_fields}


def frame(user: SignedIn, member: Agent, team: dict[str, Any], here: str) -> dict[str, Any]:
    """What every settings page shows around its own: who looks, at which team, where."""
    return {
        "user": user,
        "team": team,
        "here": here,
        "is_admin": member.role in ADMINS,
        "member_id": member.id,
        "day": day,
        "machine_time": machine_time,
    }


def team_named(team_id: str) -> dict[str, Any]:
    """Its id and name, and whom a member without the right to change something asks."""
    admins = (
        Member.select(User.name)
        .join(User)
        .where(Member.team == team_id, Member.ended_at.is_null(), Member.role << ADMINS)
        .order_by(Member.created_at)
        .limit(3)
        .tuples()
    )
    return {
        "id": team_id,
        "name": Team.select(Team.name).where(Team.id == team_id).scalar(),
        "admins": [name for (name,) in admins],
    }


def day(milliseconds: int) -> str:
    """A day in UTC, for whoever has no JavaScript; the page puts the reader's own day in its place."""
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time.day} {time:%b %Y}"


def moment(milliseconds: int) -> str:
    """A minute in UTC, for whoever has no JavaScript."""
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def machine_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _problem(request: web.Request, status: int, words: str) -> web.Response:
    response = render_template("settings/_problem.html", request, {"words": words}, status=status)
    response.headers.update({"HX-Retarget": "#problem", "HX-Reswap": "innerHTML"})
    return response


def _first(request: web.Request, path: str) -> web.Response:
    """Another page first, as htmx goes to one, and back to where the partial's page stands."""
    return web.Response(status=401, headers={"HX-Redirect": f"{path}?next={_home(request)}"})


def _home(request: web.Request) -> str:
    team_id = request.match_info.get("team", "")
    if _id.fullmatch(team_id):
        return f"/teams/{team_id}/"
    return "/account/" if request.path.startswith("/account/") else "/console"


def _words(fault: dict[str, Any]) -> str:
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "string_too_long":
            return f"At most {limits['max_length']:,} characters, please; this has {len(fault['input'].strip()):,}."
        case "int_parsing" | "int_from_float" | "int_type" | "int_parsing_size":
            return "Enter a whole number."
        case "greater_than_equal":
            return f"Enter {limits['ge']:,} or more."
        case "less_than_equal":
            return f"Enter {limits['le']:,} or less."
        case "literal_error":
            return "Choose one of these."
        case "lines":
            return str(fault["msg"])
        case "string_pattern_mismatch":
            return "Choose a colour."
    words = fault["msg"].removeprefix("Value error, ")
    return "Please fill this in." if words == "must not be empty" else f"This {words}."
