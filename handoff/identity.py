"""Who somebody is: passwords and sessions of users, signed tokens of customers."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from itsdangerous import BadSignature, URLSafeSerializer
from peewee import Expression

from handoff.clock import new_id, now
from handoff.database import Database, Happened
from handoff.errors import Refused, Unavailable
from handoff.events import AccessEnded
from handoff.models import Session, User

COOKIE = "handoff_session"
DAY = 24 * 60 * 60 * 1000
LINK_LIFETIME = 60 * 60 * 1000
CROWD = 100  # sign-ins that may wait for their turn
USED_EVERY = 60_000  # milliseconds between two notes of a session's last use


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
        self._nobody = self._hasher.hash(secrets.token_hex())

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

    async def _matches(self, password: str, hashed: str | None) -> bool:
        async with self._few:
            return await asyncio.to_thread(self._verify, password, hashed or self._nobody) and hashed is not None

    def _verify(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError):
            return False


async def sign_in(database: Database, passwords: Passwords, email: str, password: str, browser: str, days: int) -> str:
    """Start a session and return its token, which is the cookie's value. Raises WrongPassword."""
    user = await database.read(_user_by_email, email.strip().lower())
    if not await passwords.matches(password, user and user.password_hash):
        raise WrongPassword
    assert user is not None  # noqa: S101 - a password that matches belongs to somebody
    token = secrets.token_urlsafe(32)
    await database.write(user.id, _start_session, user.id, token, browser, days)
    return token


def offer_link(user_id: str) -> Happened[str]:
    """Make a one-time sign-in link; the answer is its token."""
    token = secrets.token_urlsafe(32)
    Session.create(user=user_id, token_hash=_hash(token), expires_at=now() + LINK_LIFETIME)
    return Happened(token)


def follow_link(token: str, browser: str, days: int) -> Happened[str | None]:
    """Start the session that a link offered, once; the answer is the cookie's value, None for a used or expired link."""
    fresh = secrets.token_urlsafe(32)
    started = (
        Session.update(
            token_hash=_hash(fresh),
            started_at=now(),
            used_at=now(),
            expires_at=now() + days * DAY,
            browser=browser[:300],
        )
        .where(
            Session.token_hash == _hash(token),
            Session.started_at.is_null(),
            Session.ended_at.is_null(),
            Session.expires_at > now(),
        )
        .execute()
    )
    return Happened(fresh if started else None)


def session_of(token: str) -> SignedIn | None:
    row = (
        Session.select(Session.id, User.id.alias("who"), User.name, User.email)
        .join(User)
        .where(Session.token_hash == _hash(token), session_lives())
        .tuples()
        .first()
    )
    return SignedIn(*row) if row else None


def session_lives() -> Expression:
    """The condition that a session counts: started, not ended, not expired."""
    return Session.ended_at.is_null() & Session.started_at.is_null(False) & (Session.expires_at > now())


def sign_out(session_id: str) -> Happened[None]:
    """End a session; its live sockets go with it."""
    if not Session.update(ended_at=now()).where(Session.id == session_id, Session.ended_at.is_null()).execute():
        return Happened(None)
    user_id = Session.select(Session.user).where(Session.id == session_id).scalar()
    return Happened(None, [AccessEnded(user_id, session_id)])


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


def _user_by_email(email: str) -> User | None:
    user: User | None = User.get_or_none(User.email == email)
    return user


def _start_session(user_id: str, token: str, browser: str, days: int) -> Happened[None]:
    time = now()
    Session.create(
        user=user_id,
        token_hash=_hash(token),
        browser=browser[:300],
        started_at=time,
        used_at=time,
        expires_at=time + days * DAY,
    )
    return Happened(None)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
