"""What the operator's own programs may ask for: signed calls, answered in JSON."""

import asyncio
import hashlib
import hmac
import time
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from handoff import plans
from handoff.errors import Invalid, NotFound, Refused
from handoff.events import storable
from handoff.pages import HOUSE
from handoff.pages.edge import BODY_SECONDS
from handoff.pages.team import id_in_path

routes = web.RouteTableDef()

BODY_BYTES = 4_096
APART = 5 * 60  # seconds that the caller's clock may differ from ours


class BadSignature(Refused):
    code = "bad_signature"
    status = 401
    message = "The signature does not fit the time, the team and the body."


class TooOld(Refused):
    code = "too_old"
    status = 401
    message = "X-Handoff-Time is more than five minutes away from the time here."


class PlanOfTeam(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    plan: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]


@routes.put("/api/teams/{team}/plan")
async def set_plan(request: web.Request) -> web.Response:
    """Set a team's plan on behalf of the operator's billing, even below what is in use."""
    house = request.app[HOUSE]
    key = house.settings.billing_key.get_secret_value()
    if not key:
        raise NotFound
    body = await _body(request)
    signed_at = _signed_at(request, key, body)
    plan, team_id = _plan_in(body), id_in_path(request, "team")
    answer: dict[str, Any] = await house.database.write(team_id, plans.bill, team_id, plan, signed_at)
    return web.json_response({"ok": answer})


async def _body(request: web.Request) -> bytes:
    """At most BODY_BYTES, read within BODY_SECONDS."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while chunk := await request.content.read(BODY_BYTES + 1):
                body += chunk
                if len(body) > BODY_BYTES:
                    raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


def _signed_at(request: web.Request, key: str, body: bytes) -> int:
    """The time of a call that is ours and of now, in epoch seconds. Raises BadSignature, TooOld."""
    given, signature = request.headers.get("X-Handoff-Time", ""), request.headers.get("X-Handoff-Signature", "")
    signed = f"{given}.{request.match_info['team']}.".encode(errors="replace") + body
    right = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), signature.strip().lower().encode(errors="replace")):
        raise BadSignature
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise Invalid("X-Handoff-Time must be whole seconds since 1970.")
    if abs(int(given) - time.time()) > APART:
        raise TooOld
    return int(given)


def _plan_in(body: bytes) -> str:
    try:
        return PlanOfTeam.model_validate_json(body).plan
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in fault["loc"]) or "body"
        raise Invalid(f"{field[:64]}: {fault['msg'].removeprefix('Value error, ')}") from None
