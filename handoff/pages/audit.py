"""The team's audit: who did what when, for admins, as a page and as CSV."""

import csv
import io
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import structlog
from aiohttp import web

from handoff import audit
from handoff.audit import KINDS, Line
from handoff.errors import Refused
from handoff.pages import HOUSE
from handoff.pages.team import frame, id_in_path, in_place, machine_time, moment, show, team_named, visitor, wants_partial
from handoff.seats import Agent, agent_in

log = structlog.get_logger()
routes = web.RouteTableDef()

PAGE = 50
CHUNK = 1_000  # lines of the CSV that are read at once
HEAD = ("time", "person", "e-mail", "kind", "what")
NOBODY = "Handoff"  # what the operator or the plan's billing did


@routes.get("/teams/{team}/audit/")
@in_place
async def page(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    person, kind, before = _asked(request)
    read = (user.session_id, team_id, person, kind, before)
    member, team, people, lines = await request.app[HOUSE].database.read(_page, *read)
    older = lines[PAGE - 1].id if len(lines) > PAGE else None
    context = frame(user, member, team, "audit") | {
        "people": people,
        "kinds": sorted((title, key) for key, (title, _) in KINDS.items()),
        "person": person,
        "kind": kind,
        "is_first": before is None,
        "lines": lines[:PAGE],
        "query": urlencode({"person": person, "kind": kind}),
        "older": older,
        "moment": moment,
        "nobody": NOBODY,
        "is_partial": wants_partial(request),
    }
    return show(request, "audit/index.html", "audit/_lines.html", context)


@routes.get("/teams/{team}/audit/audit.csv")
@in_place
async def export(request: web.Request) -> web.StreamResponse:
    """Every line that fits the filter, read and sent in chunks; whoever loses access meanwhile gets no more of them."""
    user, team_id = await visitor(request), id_in_path(request, "team")
    person, kind, _ = _asked(request)
    database = request.app[HOUSE].database
    lines = await database.read(_lines, user.session_id, team_id, person, kind, None, CHUNK)
    response = web.StreamResponse(
        headers={"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="audit.csv"'}
    )
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await response.write(_csv([HEAD]))
        while lines:
            await response.write(_csv(_cells(line) for line in lines))
            more = (user.session_id, team_id, person, kind, lines[-1].id, CHUNK)
            lines = await database.read(_lines, *more) if len(lines) == CHUNK else []
    except ConnectionResetError:  # whoever downloads it went away
        return response
    except Refused as refusal:
        log.warning("export_cut", code=refusal.code)
        if request.transport is not None:
            request.transport.abort()  # a file that ends early must not look whole
        return response
    await response.write_eof()
    return response


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _asked(request: web.Request) -> tuple[str, str, int | None]:
    """The filter and the cursor of a query; what cannot be one asks for nothing."""
    person, kind, before = (request.query.get(name, "") for name in ("person", "kind", "before"))
    number = int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else None
    return person if person.isascii() and person.isalnum() else "", kind if kind in KINDS else "", number


def _page(
    session_id: str, team_id: str, person: str, kind: str, before: int | None
) -> tuple[Agent, dict[str, Any], list[dict[str, str]], list[Line]]:
    member = _admin(session_id, team_id)
    lines = audit.lines_of(team_id, person, kind, before, PAGE + 1)
    return member, team_named(team_id), audit.people_of(team_id), lines


def _lines(session_id: str, team_id: str, person: str, kind: str, before: int | None, most: int) -> list[Line]:
    _admin(session_id, team_id)
    return audit.lines_of(team_id, person, kind, before, most)


def _admin(session_id: str, team_id: str) -> Agent:
    member = agent_in(team_id, session_id)
    member.must_be_admin()
    return member


def _cells(line: Line) -> tuple[str, ...]:
    return machine_time(line.at), line.who or NOBODY, line.email or "", line.kind, line.words


def _csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[inert(cell) for cell in row] for row in rows])
    return text.getvalue().encode()
