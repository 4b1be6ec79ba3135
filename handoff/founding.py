"""How a team begins: with the first owner of all, by sign-up, or by somebody who has a team already."""

import hashlib
import hmac
from dataclasses import dataclass

from pydantic import ConfigDict

from handoff import audit, identity, teams
from handoff.clock import new_id
from handoff.database import Happened
from handoff.errors import Conflict, Refused, SignedOut
from handoff.identity import session_lives
from handoff.knowledge import Typed
from handoff.models import Member, Plan, Session, Team, User
from handoff.people import Email, OneLine, add_user


class AlreadySetUp(Refused):
    code = "conflict"
    status = 410
    message = "Handoff is set up already. This link worked once and does nothing any more."


class TeamTyped(Typed):
    team: OneLine


class FoundingTyped(TeamTyped):
    """Its words are stripped of the space around them, but for the password."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    team: OneLine
    name: OneLine
    email: Email
    password: str  # judged by accounts.password_fault, together with the address


@dataclass(frozen=True)
class Founded:
    team_id: str
    link: str  # a one-time token that signs its owner in


def set_up_token(secret_key: str) -> str:
    """The token of the set-up link: the same on every process of one installation, of use only while there is no team."""
    return hmac.new(secret_key.encode(), b"set up handoff", hashlib.sha256).hexdigest()[:40]


def is_set_up() -> bool:
    return bool(Team.select().exists() or User.select().exists())


def set_up(typed: FoundingTyped, password_hash: str) -> Happened[Founded]:
    """The first owner and the first team. Raises AlreadySetUp for everybody but the first."""
    # Whoever sets up takes this lock first, so that of two at once the second finds the team of the first.
    Plan.update(position=Plan.position).execute()
    if is_set_up():
        raise AlreadySetUp
    return sign_up(typed, password_hash)


def sign_up(typed: FoundingTyped, password_hash: str) -> Happened[Founded]:
    """A new user with a team of their own. Raises EmailTaken."""
    user = add_user(typed.name.strip(), typed.email, password_hash)
    team_id = _found(typed.team.strip(), user)
    return Happened(Founded(team_id, identity.offer_link(user.id).answer))


def found_another(session_id: str, team_id: str, name: str) -> Happened[None]:
    """One more team, with that id, for a user who is signed in. Repeating it does nothing more."""
    user = User.select(User).join(Session, on=(Session.user == User.id)).where(Session.id == session_id, session_lives()).first()
    if user is None:
        raise SignedOut
    standing = Team.get_or_none(Team.id == team_id)
    if standing is not None and standing.name != name:
        raise Conflict("This form was sent already. Reload the page and try again.")
    if standing is None:
        _found(name, user, team_id)
    return Happened(None)


def team_of_owner(email: str, name: str) -> str | None:
    """The team of that name which a user owns: what a form that is sent twice has founded."""
    found: str | None = (
        Member.select(Member.team)
        .join(User)
        .join_from(Member, Team)
        .where(User.email == email, Team.name == name, Member.role == "owner", Member.ended_at.is_null())
        .scalar()
    )
    return found


def _found(name: str, owner: User, id: str | None = None) -> str:
    plan = Plan.select().where(Plan.is_offered).order_by(Plan.position, Plan.id).first()
    team, _ = teams.found(name, plan.id, owner, seated=plan.human_agents > 0, id=id or new_id())
    audit.note(team.id, owner.id, "team_founded", name=name)
    return str(team.id)
