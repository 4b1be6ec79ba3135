"""The second factor: codes by time (TOTP), recovery codes, and the team that wants one of all its members.

A user's secret is kept encrypted. `totp_step` is the step of 30 s whose code was used last, and grows only, so that no code works
twice. A session that showed a second factor carries the time of it; a team that requires one lets only such sessions in.
"""

import hmac
import json
import secrets
from collections.abc import Callable
from typing import Any

import pyotp

from handoff import audit, identity
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Conflict, Forbidden, Refused
from handoff.events import AccessEnded
from handoff.identity import WrongPassword, end_sessions, hold, session_lives, session_waits, token_hash, user_behind
from handoff.models import Member, Session, Team, User
from handoff.seals import Seal
from handoff.seats import Agent, agent_in

STEP = 30_000  # milliseconds that a code counts; the one before and the one after count too, for clocks that differ
RECOVERY_CODES = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


class WrongCode(Refused):
    code = "forbidden"
    status = 403
    message = "That code is not right, or was used already. Wait for the next one and try again."


class TookTooLong(Refused):
    code = "forbidden"
    status = 403
    message = "That took too long. Sign in again."


class AlreadyOn(Refused):
    code = "conflict"
    status = 409
    message = "Your second factor is on already."


class NotOn(Refused):
    code = "conflict"
    status = 409
    message = "Your second factor is off already."


class Secrets(Seal):
    """Seals what the database keeps of second factors."""

    def __init__(self, secret_key: str) -> None:
        super().__init__(secret_key, "second factor")

    def new(self) -> str:
        return self.close(pyotp.random_base32())


def state_of(session_id: str) -> dict[str, Any]:
    """`{"email", "has_password", "is_on", "since", "sealed", "recovery_codes": how many are left, "required_by": team names}`"""
    user = User.get_by_id(user_behind(session_id))
    teams = (
        Team.select(Team.name)
        .join(Member, on=(Member.team == Team.id))
        .where(Member.user == user.id, Member.ended_at.is_null(), Team.requires_second_factor)
        .order_by(Team.name)
        .tuples()
    )
    return {
        "email": user.email,
        "has_password": user.password_hash is not None,
        "is_on": user.totp_confirmed_at is not None,
        "since": user.totp_confirmed_at,
        "sealed": user.totp_secret,
        "recovery_codes": len(json.loads(user.recovery_hashes)),
        "required_by": [name for (name,) in teams],
    }


def address_of(secret: str, email: str) -> str:
    """What an authenticator reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Handoff")


def begin(session_id: str, open_secret: Callable[[str | None], str | None], sealed: str) -> Happened[None]:
    """Keep a secret that counts once a code of it was given. Beginning twice keeps the first, if it still can be read."""
    user_id = user_behind(session_id)
    hold(user_id)
    if open_secret(User.get_by_id(user_id).totp_secret) is None:
        User.update(totp_secret=sealed).where(User.id == user_id, User.totp_confirmed_at.is_null()).execute()
    return Happened(None)


def cancel(session_id: str) -> Happened[None]:
    User.update(totp_secret=None).where(User.id == user_behind(session_id), User.totp_confirmed_at.is_null()).execute()
    return Happened(None)


def confirm(session_id: str, open_secret: Callable[[str | None], str | None], code: str) -> Happened[list[str]]:
    """Turn it on by a first code; the answer is the recovery codes, which nobody can read again. The user's other sessions,
    which showed no second factor, end. Raises WrongCode, AlreadyOn."""
    user_id = user_behind(session_id)
    hold(user_id)
    user = User.get_by_id(user_id)
    if user.totp_confirmed_at is not None:
        raise AlreadyOn
    step = _step_of(open_secret(user.totp_secret), code)
    if step is None or step <= user.totp_step:
        raise WrongCode
    time, codes = now(), new_recovery_codes()
    User.update(totp_confirmed_at=time, totp_step=step, recovery_hashes=_hashes(codes)).where(User.id == user_id).execute()
    Session.update(second_factor_at=time).where(Session.id == session_id).execute()
    audit.note_in_teams(user_id, "second_factor_on")
    return Happened(codes, end_sessions(Session.user == user_id, Session.id != session_id))


def turn_off(
    session_id: str, open_secret: Callable[[str | None], str | None], password_hash: str | None, code: str
) -> Happened[None]:
    """By the password (of that hash) and a code. Its sockets close: a team may want a second factor of them. Raises WrongCode,
    WrongPassword, NotOn."""
    user_id = user_behind(session_id)
    _hold_with_password(user_id, password_hash)
    _use(user_id, open_secret, code)
    User.update(totp_secret=None, totp_confirmed_at=None, recovery_hashes="[]").where(User.id == user_id).execute()
    Session.update(second_factor_at=None).where(Session.user == user_id, session_lives()).execute()
    audit.note_in_teams(user_id, "second_factor_off")
    return Happened(None, [AccessEnded(user_id)])


def renew_recovery_codes(
    session_id: str, open_secret: Callable[[str | None], str | None], password_hash: str | None, code: str
) -> Happened[list[str]]:
    """New recovery codes in the place of all old ones. Raises as `turn_off` does."""
    user_id = user_behind(session_id)
    _hold_with_password(user_id, password_hash)
    _use(user_id, open_secret, code)
    codes = new_recovery_codes()
    User.update(recovery_hashes=_hashes(codes)).where(User.id == user_id).execute()
    audit.note_in_teams(user_id, "recovery_codes_renewed")
    return Happened(codes)


def waiting_user(token: str) -> str | None:
    """Whose sign-in waits for a code under that token; None when none does."""
    user_id = Session.select(Session.user).where(Session.token_hash == token_hash(token), session_waits()).scalar()
    return user_id and str(user_id)


def sign_in_with_code(token: str, open_secret: Callable[[str | None], str | None], code: str, days: int) -> Happened[str]:
    """Start the session that waits under `token`; the answer is its cookie. Raises WrongCode, TookTooLong."""
    user_id = waiting_user(token)
    if user_id is None:
        raise TookTooLong
    hold(user_id)
    if waiting_user(token) is None:  # a password change ended it before the row was ours
        raise TookTooLong
    _use(user_id, open_secret, code)
    fresh = secrets.token_urlsafe(32)
    identity.start_waiting(user_id, token, fresh, days, second_factor_at=now())
    return Happened(fresh)


def require(session_id: str, team_id: str, required: bool) -> Happened[None]:
    """Let a team want a second factor of all its members. Only an owner may, and who wants it of others has one.

    The sockets of those without one close: they come back, and are led to set one up.
    """
    owner = agent_in(team_id, session_id)
    if owner.role != "owner":
        raise Forbidden
    if required and not Session.select().where(Session.id == session_id, Session.second_factor_at.is_null(False)).exists():
        raise Conflict("Set up your own second factor first: you could not come back to this page without one.")
    changed = (
        Team.update(requires_second_factor=required).where(Team.id == team_id, Team.requires_second_factor != required).execute()
    )
    if not changed:
        return Happened(None)
    audit.note(team_id, owner.user_id, "second_factor_required" if required else "second_factor_not_required")
    return Happened(None, _sent_back(team_id) if required else [])


def who_lacks(session_id: str, team_id: str) -> tuple[Agent, dict[str, Any]]:
    """An admin's view: `{"required", "members": how many, "without": up to 100 names}`"""
    admin = agent_in(team_id, session_id)
    admin.must_be_admin()
    present = Member.select().join(User).where(Member.team == team_id, Member.ended_at.is_null())
    without = (
        Member.select(User.name)
        .join(User)
        .where(Member.team == team_id, Member.ended_at.is_null(), User.totp_confirmed_at.is_null())
        .order_by(User.name)
        .tuples()
    )
    return admin, {
        "required": Team.select(Team.requires_second_factor).where(Team.id == team_id).scalar(),
        "members": present.count(),
        "lacking": without.count(),
        "without": [name for (name,) in without.limit(100)],
    }


def new_recovery_codes() -> list[str]:
    """Ten codes of about 79 random bits each, in four groups of four."""
    return ["-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4)) for _ in range(RECOVERY_CODES)]


def _hold_with_password(user_id: str, password_hash: str | None) -> None:
    if not hold(user_id, User.password_hash == password_hash if password_hash else User.password_hash.is_null()):
        raise WrongPassword
    if User.select().where(User.id == user_id, User.totp_confirmed_at.is_null()).exists():
        raise NotOn


def _use(user_id: str, open_secret: Callable[[str | None], str | None], code: str) -> None:
    """Use a code up, by time or of recovery; the caller holds the user's row. Raises WrongCode and has changed nothing then."""
    user = User.get_by_id(user_id)
    typed = "".join(code.lower().replace("-", "").split())
    if len(typed) <= 6:
        step = _step_of(open_secret(user.totp_secret), typed)
        used = User.update(totp_step=step).where(User.id == user_id, User.totp_step < (step or 0))
        if step is None or not used.execute():
            raise WrongCode
        return
    hashes = json.loads(user.recovery_hashes)
    if token_hash(typed) not in hashes:
        raise WrongCode
    hashes.remove(token_hash(typed))
    User.update(recovery_hashes=json.dumps(hashes)).where(User.id == user_id).execute()


def _step_of(secret: str | None, code: str) -> int | None:
    """The step whose code that is; None for a wrong one."""
    typed = "".join(code.split())
    if secret is None or len(typed) != 6 or not typed.isascii():
        return None
    totp, present = pyotp.TOTP(secret), now() // STEP
    steps = (present - 1, present, present + 1)
    return next((step for step in steps if hmac.compare_digest(totp.generate_otp(step), typed)), None)


def _hashes(codes: list[str]) -> str:
    return json.dumps([token_hash(code.replace("-", "")) for code in codes])


def _sent_back(team_id: str) -> list[AccessEnded]:
    """Who is signed in without a second factor."""
    rows = (
        Session.select(Session.user, Session.id)
        .join(Member, on=(Member.user == Session.user))
        .where(Member.team == team_id, Member.ended_at.is_null(), session_lives(), Session.second_factor_at.is_null())
        .tuples()
    )
    return [AccessEnded(user_id, session_id) for user_id, session_id in rows]
