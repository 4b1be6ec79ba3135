"""What leaves the house when nobody reacts: the settings, a test, and the log of deliveries with a replay."""

import secrets
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import ValidationError

from handoff import deliveries, notices
from handoff.clock import new_id
from handoff.deliveries import NoTarget, TooManyTests
from handoff.errors import Invalid
from handoff.meanwhile import Began, ChangedMeanwhile
from handoff.models import Delivery, Team
from handoff.notices import NoticesIncomplete, NoticesTyped
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.forms import id_for, opened, refused, replacing, told
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
from handoff.seats import Agent

routes = web.RouteTableDef()

FORM, LOG = "notices/_form.html", "notices/_log.html"
NOTICES = "/teams/{team}/notices/"
TYPE_AGAIN = "For safety a secret is not shown again: type it once more."
STATUS = {"queued": "Waiting", "delivering": "On its way", "delivered": "Delivered", "failed": "Failed"}


@routes.get(NOTICES)
@in_place
async def page(request: web.Request) -> web.Response:
    return await _page(request, LOG)


@routes.post(NOTICES)
@in_place
async def change(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    house, form = request.app[HOUSE], await read_form(request)
    typed, began = fields_of(NoticesTyped, form), Began.brought(form)
    if form.get("generate"):
        return await _page(request, generated=secrets.token_urlsafe(32), **refused(typed, {}, began))
    try:
        wanted = (NoticesTyped.model_validate(typed), began, house.notice_keys, house.settings.allow_private_addresses)
        await house.database.write(team_id, notices.change, user.session_id, team_id, *wanted)
    except (ValidationError, NoticesIncomplete) as refusal:
        faults = refusal.faults if isinstance(refusal, NoticesIncomplete) else faults_of(refusal)
        lost = {} if wants_partial(request) else _lost(typed)
        return await _page(request, status=422, **refused(typed, lost | faults, began))
    except ChangedMeanwhile as meanwhile:
        return replacing(await _page(request, status=meanwhile.status, **{**told(meanwhile), "faults": _lost(typed)}))
    return await _done(request, "Saved.")


@routes.post(NOTICES + "test")
@in_place
async def test(request: web.Request) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    house, test_id = request.app[HOUSE], id_for(await read_form(request), "test_id")
    try:
        wanted = (user.session_id, team_id, test_id, house.settings.address)
        await house.database.write(team_id, deliveries.queue_test, *wanted)
    except (NoTarget, TooManyTests) as refusal:
        return await _page(request, LOG, refusal.status, refused=refusal.words, test_id=test_id)
    return await _done(request, "A test is on its way.", LOG)


@routes.post(NOTICES + "{delivery}/replay")
@in_place
async def replay(request: web.Request) -> web.Response:
    user, team_id, delivery_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "delivery")
    attempts = (await read_form(request)).get("attempts", "0")
    if not (attempts.isascii() and attempts.isdigit() and len(attempts) <= 6):
        raise Invalid("Choose a delivery of the list.")
    wanted = (user.session_id, team_id, delivery_id, int(attempts))
    replayed = await request.app[HOUSE].database.write(team_id, deliveries.replay, *wanted)
    return await _done(request, "It is sent once more." if replayed else "It was sent once more already.", LOG)


async def _done(request: web.Request, said: str, partial: str = FORM) -> web.Response:
    if not wants_partial(request):
        return see(f"/teams/{id_in_path(request, 'team')}/notices/")
    answer = await _page(request, partial, said=said)
    return replacing(answer) if partial == FORM else answer


def _lost(typed: dict[str, str]) -> dict[str, str]:
    """A secret that was typed is lost with its field, where the form is put in place anew."""
    return {"notice_key": TYPE_AGAIN} if typed["notice_key"] else {}


async def _page(request: web.Request, partial: str = FORM, status: int = 200, **more: Any) -> web.Response:
    user, team_id = await visitor(request), id_in_path(request, "team")
    house = request.app[HOUSE]
    member, named, team, log = await house.database.read(_state, user.session_id, team_id)
    context = {
        **frame(user, member, named, "notices"),
        **opened(notices.shown_of(team), team.version),
        "moment": moment,
        "kept": bool(team.notice_key),
        "host": urlsplit(team.notice_url).netloc,
        "log": [_line(delivery) for delivery in log],
        "test_id": new_id(),
        "generated": None,
        "refused": None,
        "said": None,
        "mails": house.mail.is_on,
        "allow_private": house.settings.allow_private_addresses,
        **more,
    }
    return show(request, "notices/index.html", partial, context, status)


def _state(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any], Team, list[Delivery]]:
    member, team = notices.of_team(session_id, team_id)
    _, log = deliveries.log_of(session_id, team_id)
    return member, team_named(team_id), team, log


def _line(delivery: Delivery) -> dict[str, Any]:
    """A row of the log. Of a webhook it names the host: what stands behind it in the address may be a secret."""
    return {
        "id": delivery.id,
        "at": delivery.created_at,
        "to": delivery.target if delivery.kind == "email" else urlsplit(delivery.target).netloc,
        "what": "Test" if delivery.about.startswith("test ") else "Signal",
        "status": delivery.status,
        "status_words": STATUS[delivery.status],
        "words": delivery.words,
        "attempts": delivery.attempts,
        "has_ended": delivery.next_at is None,
    }
