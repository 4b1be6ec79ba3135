"""What set-up, sign-up and invitations share: a new user's password, and their first session."""

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from handoff import identity
from handoff.accounts import password_fault
from handoff.pages import HOUSE
from handoff.pages.sign_in import FIELD_LENGTH, let_in
from handoff.pages.team import faults_of

Introduced = TypeVar("Introduced", bound=BaseModel)


def checked(kind: type[Introduced], typed: dict[str, str], email: str) -> tuple[Introduced | None, dict[str, str]]:
    """What was typed, or the faults of its fields. A password is judged with the address that it belongs to."""
    wanted, faults = None, {}
    try:
        wanted = kind.model_validate(typed)
    except ValidationError as error:
        faults = faults_of(error)
    fault = password_fault(typed["password"], email)
    if fault is not None:
        faults["password"] = fault
    return (None if faults else wanted), faults


async def hashed(request: web.Request, password: str) -> str:
    return await request.app[HOUSE].passwords.hash(password)


async def welcome(request: web.Request, link: str, onward: str) -> web.Response:
    """Follow the one-time link that the operation made, and go on signed in."""
    house = request.app[HOUSE]
    browser = request.headers.get("User-Agent", "")
    entered = await house.database.write("sign-in", identity.follow_link, link, browser, house.settings.session_days)
    return await let_in(request, entered, onward) if entered else web.Response(status=303, headers={"Location": "/sign-in"})


async def welcome_again(request: web.Request, email: str, password: str, onward: str) -> web.Response | None:
    """The answer to a form that is sent twice: whoever knows the password that it set is signed in once more.

    None for a wrong password, and when too many were tried.
    """
    house = request.app[HOUSE]
    key = email.strip().lower()
    if not email or not password or len(password) > FIELD_LENGTH or not house.sign_in_limiter.hit(house.sign_in_rate, key):
        return None
    browser = request.headers.get("User-Agent", "")
    try:
        entered = await identity.sign_in(house.database, house.passwords, email, password, browser, house.settings.session_days)
    except identity.WrongPassword:
        return None
    house.sign_in_limiter.clear(house.sign_in_rate, key)
    return await let_in(request, entered, onward)
