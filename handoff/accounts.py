"""What users do with their own account: name, password, sessions."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from handoff import audit
from handoff.browsers import browser_name
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import NotFound
from handoff.events import not_blank, storable
from handoff.identity import WrongPassword, end_sessions, hold, session_lives, user_behind
from handoff.knowledge import Typed, one_line
from handoff.models import Member, Session, Team, User

MOST_SESSIONS = 100
LEAST_LETTERS = 12
MOST_LETTERS = 400

# What people type when they are asked for twelve characters, without the figures and signs that they hang on to it.
COMMON = frozenset(
    """password passwort passwords mypassword thepassword letmein welcome iloveyou administrator admin qwerty qwertz qwertyuiop
    qwertyuiopasdf qwertyuiopasdfgh asdfghjkl asdfghjklzxcvbnm zxcvbnm qazwsxedc qazwsxedcrfv abc abcd abcdef changeme
    changethis secret supersecret topsecret football baseball princess sunshine dragon monkey master superman batman starwars
    whatever trustno correcthorsebatterystaple handoff summer winter spring autumn company test testing user username login
    guest default""".split()  # noqa: SIM905 - a list of words reads better without its quotes
)
ROWS = (
    "01234567890123456789",
    "98765432109876543210",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
)
LOOKALIKES = str.maketrans("@$0134578", "asoleastb")


class Named(Typed):
    name: Annotated[str, Field(max_length=80), AfterValidator(storable), AfterValidator(not_blank), AfterValidator(one_line)]


def password_fault(password: str, email: str) -> str | None:
    """Why that cannot be the password of whoever has that e-mail address, in words; None when it can."""
    if len(password) < LEAST_LETTERS:
        return f"Use at least {LEAST_LETTERS} characters. A few words in a row are easy to remember."
    if len(password) > MOST_LETTERS:
        return f"At most {MOST_LETTERS} characters, please; this has {len(password):,}."
    if "\x00" in password or any("\ud800" <= letter <= "\udfff" for letter in password):
        return "This holds a character that cannot be kept. Choose another."
    plain, address = password.strip().lower(), email.strip().lower()
    if plain in (address, address * 2, address[::-1]) or _core(plain) in (_core(address), _core(address.partition("@")[0])):
        return "This is your e-mail address. Choose something that nobody can look up."
    if _is_common(plain):
        return "This is one of the most common passwords. Choose something that nobody else would."
    return None


def profile(session_id: str) -> dict[str, Any]:
    """`{"name", "email", "has_password", "second_factor_since", "teams", "sessions"}` of who asks."""
    user = User.get_by_id(user_behind(session_id))
    return {
        "name": user.name,
        "email": user.email,
        "has_password": user.password_hash is not None,
        "second_factor_since": user.totp_confirmed_at,
        "teams": _teams_of(user.id),
        "sessions": _sessions_of(user.id, session_id),
    }


def password_of(session_id: str) -> tuple[str, str | None]:
    """The e-mail address and the password's hash of who asks."""
    user = User.get_by_id(user_behind(session_id))
    return user.email, user.password_hash


def rename(session_id: str, name: str) -> Happened[None]:
    user_id = user_behind(session_id)
    if User.update(name=name).where(User.id == user_id, User.name != name).execute():
        audit.note_in_teams(user_id, "renamed", name=name)
    return Happened(None)


def change_password(session_id: str, old_hash: str | None, new_hash: str) -> Happened[None]:
    """Set another password, if the old one still is the one that was shown, and end every other session."""
    user_id = user_behind(session_id)
    if not hold(user_id, User.password_hash == old_hash if old_hash else User.password_hash.is_null()):
        raise WrongPassword("Your password was changed meanwhile. Type the present one again.")
    User.update(password_hash=new_hash).where(User.id == user_id).execute()
    audit.note_in_teams(user_id, "password_changed")
    return Happened(None, end_sessions(Session.user == user_id, Session.id != session_id))


def end_session(session_id: str, other_id: str) -> Happened[None]:
    """End one of one's own sessions. Ending what has ended is done already. Raises NotFound for what is not one's own."""
    user_id = user_behind(session_id)
    if not Session.select().where(Session.id == other_id, Session.user == user_id).exists():
        raise NotFound
    ended = end_sessions(Session.id == other_id, Session.user == user_id, Session.started_at.is_null(False))
    if ended:
        audit.note_in_teams(user_id, "session_ended")
    return Happened(None, ended)


def end_other_sessions(session_id: str) -> Happened[None]:
    user_id = user_behind(session_id)
    ended = end_sessions(Session.user == user_id, Session.id != session_id, Session.expires_at > now())
    if ended:
        audit.note_in_teams(user_id, "sessions_ended", count=len(ended))
    return Happened(None, ended)


def sign_out_everywhere(session_id: str) -> Happened[None]:
    user_id = user_behind(session_id)
    ended = end_sessions(Session.user == user_id, Session.expires_at > now())
    audit.note_in_teams(user_id, "signed_out_everywhere", count=len(ended))
    return Happened(None, ended)


def _sessions_of(user_id: str, session_id: str) -> list[dict[str, Any]]:
    """The sign-ins that live, this one first, then the last used."""
    rows = (
        Session.select(Session.id, Session.browser, Session.used_at, Session.started_at)
        .where(Session.user == user_id, session_lives())
        .order_by((Session.id == session_id).desc(), Session.used_at.desc(), Session.id)
        .limit(MOST_SESSIONS)
        .dicts()
    )
    return [{**row, "browser": browser_name(row["browser"]), "is_this": row["id"] == session_id} for row in rows]


def _teams_of(user_id: str) -> list[dict[str, str]]:
    rows = (
        Team.select(Team.id, Team.name)
        .join(Member, on=(Member.team == Team.id))
        .where(Member.user == user_id, Member.ended_at.is_null(), Team.deleted_at.is_null())
    )
    return list(rows.order_by(Team.name, Team.id).limit(1_000).dicts())


def _is_common(plain: str) -> bool:
    core = _core(plain)
    repeated = re.fullmatch(r"(.+?)\1*", core)
    return (
        len(set(plain)) < 4 or any(plain in row * 2 for row in ROWS) or bool(repeated and repeated[1] in COMMON) or core in COMMON
    )


def _core(plain: str) -> str:
    """The word inside: without what hangs on at its ends, and with letters for the figures that look like them."""
    return re.sub(r"^[^a-z@$]+|[^a-z@$]+$", "", plain).translate(LOOKALIKES) or plain
