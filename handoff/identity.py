"""Who somebody is: passwords and sessions of users, signed tokens of customers."""

import asyncio
import functools
import hashlib
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from itsdangerous import BadSignature, URLSafeSerializer
from peewee import Expression

from handoff import audit
from handoff.browsers import browser_name
from handoff.clock import new_id, now
from handoff.database import Database, Happened
from handoff.errors import Refused, SignedOut, Unavailable
from handoff.events import AccessEnded
from handoff.models import Session, User

COOKIE = "handoff_session"
DAY = 24 * 60 * 60 * 1000
LINK_LIFETIME = 60 * 60 * 1000
CODE_LIFETIME = 10 * 60 * 1000  # between the password and the code
CROWD = 100  # sign-ins that may wait for their turn
USED_EVERY = 60_000  # milliseconds between two notes of a session's last use
FAILED_EVERY = 60_000  # milliseconds between two lines about failed sign-ins of one user


class WrongPassword(Refused):
    code = "forbidden"
    status = 403
    message = "That e-mail address and password do not belong together."


@dataclass(frozen=True)
class SignedIn:
    """The user behind a live session."""

    session_id: str
    user_id: str
    name: str
    email: str


class Passwords:
    """argon2 in threads, few at once: one hash takes a quarter of a second and 64 MiB."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._few = asyncio.Semaphore(2)
        self._waiting = 0
        self._beside: set[asyncio.Task[None]] = set()
        self._nobody = _hash_of_nobody()

    async def hash(self, password: str) -> str:
        async with self._few:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Takes as long for somebody who does not exist, so that time tells nobody who does. Raises Unavailable in a crowd."""
        if self._waiting >= CROWD:
            raise Unavailable("Too many people are signing in. Try again in a moment.")
        self._waiting += 1
        try:
            return await self._matches(password, hashed)
        finally:
            self._waiting -= 1

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for which the one who signs in does not wait; it may fail."""
        self._beside.add(task := asyncio.create_task(_tried(work)))
        task.add_done_callback(self._beside.discard)

    async def _matches(self, password: str, hashed: str | None) -> bool:
        async with self._few:
            return await asyncio.to_thread(self._verify, password, hashed or self._nobody) and hashed is not None

    def _verify(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            return False


@functools.cache
def _hash_of_nobody() -> str:
    """What the password of somebody who does not exist is compared with. It is made at the start, so that the first such
    sign-in takes no longer than any other."""
    return PasswordHasher().hash(secrets.token_hex())


@dataclass(frozen=True)
class Entered:
    """Somebody who showed their first factor: with `token` as their cookie they are signed in, or have a code still to give."""

    token: str
    needs_code: bool


async def sign_in(database: Database, passwords: Passwords, email: str, password: str, browser: str, days: int) -> Entered:
    """Start a session, or one that waits for its code. Raises WrongPassword."""
    user = await database.read(_user_by_email, email.strip().lower())
    if not await passwords.matches(password, user and user.password_hash):
        if user is not None:
            # Nobody waits for it, so that time tells nobody who exists.
            passwords.beside(database.write(user.id, note_failure, user.id, browser))
        raise WrongPassword
    assert user is not None  # noqa: S101 - a password that matches belongs to somebody
    return await database.write(user.id, start_session, user.id, user.password_hash, browser, days)


def note_failure(user_id: str, browser: str) -> Happened[None]:
    """Write down that somebody did not show that user's password or code."""
    if hold(user_id):
        audit.note_seldom(user_id, "sign_in_failed", FAILED_EVERY, browser=browser_name(_kept(browser)))
    return Happened(None)


def start_session(user_id: str, password_hash: str | None, browser: str, days: int) -> Happened[Entered]:
    """Sign in whoever showed the password of that hash. Raises WrongPassword when it was changed meanwhile (I10)."""
    if not hold(user_id, User.password_hash == password_hash if password_hash else User.password_hash.is_null()):
        raise WrongPassword
    token = secrets.token_urlsafe(32)
    Session.create(user=user_id, token_hash=token_hash(token), browser=_kept(browser), expires_at=now() + CODE_LIFETIME)
    return Happened(_enter(user_id, token, days))


def offer_link(user_id: str) -> Happened[str]:
    """Make a one-time sign-in link; the answer is its token."""
    token = secrets.token_urlsafe(32)
    Session.create(user=user_id, token_hash=token_hash(token), expires_at=now() + LINK_LIFETIME)
    return Happened(token)


def link_of(token: str) -> SignedIn | None:
    """Whom a link would sign in; None for a used or expired one. Looking uses nothing up."""
    return _behind(token, session_waits())


def follow_link(token: str, browser: str, days: int) -> Happened[Entered | None]:
    """Use up the link of a session, once; the answer is None for a used or expired link. A second factor is still asked for."""
    fresh = secrets.token_urlsafe(32)
    followed = (
        Session.update(token_hash=token_hash(fresh), browser=_kept(browser), expires_at=now() + CODE_LIFETIME)
        .where(Session.token_hash == token_hash(token), session_waits())
        .execute()
    )
    if not followed:
        return Happened(None)
    user_id = Session.select(Session.user).where(Session.token_hash == token_hash(fresh)).scalar()
    hold(user_id)
    return Happened(_enter(user_id, fresh, days))


def _enter(user_id: str, token: str, days: int) -> Entered:
    """Start the waiting session, unless its user has a second factor to show first."""
    if User.select().where(User.id == user_id, User.totp_confirmed_at.is_null(False)).exists():
        return Entered(token, needs_code=True)
    start_waiting(user_id, token, token, days)
    return Entered(token, needs_code=False)


def start_waiting(user_id: str, token: str, fresh: str, days: int, **columns: int) -> bool:
    """Let a session that waits begin, under a fresh token. False when it waits no more."""
    time = now()
    started = (
        Session.update(token_hash=token_hash(fresh), started_at=time, used_at=time, expires_at=time + days * DAY, **columns)
        .where(Session.token_hash == token_hash(token), session_waits())
        .returning(Session.browser)
        .tuples()
        .execute()
    )
    for (browser,) in started:
        audit.note_in_teams(user_id, "signed_in", browser=browser_name(browser))
        return True
    return False


def hold(user_id: str, *conditions: Expression) -> bool:
    """Lock a user's row to the end of the transaction, if it is as the conditions say: sign-ins, passwords and second factors
    of one user take turns."""
    return bool(User.update(name=User.name).where(User.id == user_id, *conditions).execute())


def user_behind(session_id: str) -> str:
    """The user of a live session. Raises SignedOut."""
    user_id = Session.select(Session.user).where(Session.id == session_id, session_lives()).scalar()
    if user_id is None:
        raise SignedOut
    return str(user_id)


def session_of(token: str) -> SignedIn | None:
    return _behind(token, session_lives())


def _behind(token: str, condition: Expression) -> SignedIn | None:
    row = (
        Session.select(Session.id, User.id.alias("who"), User.name, User.email)
        .join(User)
        .where(Session.token_hash == token_hash(token), condition)
        .tuples()
        .first()
    )
    return SignedIn(*row) if row else None


def session_lives() -> Expression:
    """The condition that a session counts: started, not ended, not expired."""
    return Session.ended_at.is_null() & Session.started_at.is_null(False) & (Session.expires_at > now())


def session_waits() -> Expression:
    """The condition that a session may still begin: a link that nobody followed, or a sign-in whose code is still to come."""
    return Session.ended_at.is_null() & Session.started_at.is_null() & (Session.expires_at > now())


def sign_out(session_id: str) -> Happened[None]:
    """End a session; its live sockets go with it."""
    ended = end_sessions(Session.id == session_id)
    for fact in ended:
        audit.note_in_teams(fact.user_id, "signed_out")
    return Happened(None, ended)


def end_sessions(*which: Expression) -> list[AccessEnded]:
    """End those sessions, waiting ones too, so that their sockets close and their cookies are worth nothing (I10)."""
    ended = (
        Session.update(ended_at=now())
        .where(Session.ended_at.is_null(), *which)
        .returning(Session.user, Session.id)
        .tuples()
        .execute()
    )
    return [AccessEnded(user_id, session_id) for user_id, session_id in ended]


def note_use(session_id: str) -> Happened[None]:
    Session.update(used_at=now()).where(Session.id == session_id, Session.used_at < now() - USED_EVERY).execute()
    return Happened(None)


@dataclass(frozen=True)
class CustomerToken:
    customer_id: str
    widget_id: str


class CustomerTokens:
    """Signed tokens that name a customer (not a conversation) and the widget they came by. Given before any row exists."""

    def __init__(self, secret_key: str) -> None:
        self._signer = URLSafeSerializer(secret_key, salt="customer")

    def give(self, token: CustomerToken) -> str:
        return str(self._signer.dumps([token.customer_id, token.widget_id]))

    def give_new(self, widget_id: str) -> str:
        return self.give(CustomerToken(new_id(), widget_id))

    def read(self, text: str) -> CustomerToken | None:
        """None for what we have not signed."""
        try:
            customer_id, widget_id = self._signer.loads(text)
        except (BadSignature, ValueError, TypeError):
            return None
        return CustomerToken(customer_id, widget_id)


async def _tried(work: Coroutine[Any, Any, None]) -> None:
    with suppress(Refused):
        await work


def _user_by_email(email: str) -> User | None:
    user: User | None = User.get_or_none(User.email == email)
    return user


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _kept(browser: str) -> str:
    """A User-Agent header as it can be stored: any byte may stand in one."""
    return browser.encode(errors="replace").decode()[:300]
