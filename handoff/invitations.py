"""Offers of membership. A link works once, for 72 hours; what the database keeps of it is a hash."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from handoff import audit, identity, teams
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Conflict, NotFound, Refused, SignedOut
from handoff.events import MembersChanged
from handoff.identity import session_lives
from handoff.knowledge import Typed
from handoff.members import OwnersOnly, Role, admin_in
from handoff.models import Invitation, Member, Session, Team, User
from handoff.people import Email, OneLine, add_user
from handoff.seats import Agent

LIFETIME = 72 * 60 * 60 * 1000
MOST_OPEN = 200  # offers of one team


class InvitationGone(Refused):
    """Why a link does not work any more."""

    code = "conflict"
    status = 410


class InvitationUsed(InvitationGone):
    message = "This invitation was used already. If you used it, sign in."


class InvitationExpired(InvitationGone):
    message = "This invitation has expired: a link works for 72 hours. Ask for a new one."


class InvitationWithdrawn(InvitationGone):
    message = "This invitation was withdrawn. Ask whoever invited you, if you think that is a mistake."


class InvitationReplaced(InvitationGone):
    message = "A newer link was sent to you. Open that one: this one was withdrawn when it was made."


class AlreadyMember(Refused):
    code = "conflict"
    status = 409
    message = "This person is a member of the team already."


class AlreadyInvited(Refused):
    code = "conflict"
    status = 409
    message = "This address has an open invitation already. You can resend or withdraw it below."


class TooManyInvitations(Refused):
    code = "conflict"
    status = 409
    message = f"A team can have {MOST_OPEN} open invitations. Withdraw some first."


class InvitationTyped(Typed):
    email: Email
    role: Role


class NewcomerTyped(Typed, str_strip_whitespace=False):
    """How somebody without a user introduces themselves. A space belongs to a password."""

    name: OneLine
    password: str  # judged by accounts.password_fault, together with the address


@dataclass(frozen=True)
class Offer:
    """An invitation as whoever holds its link sees it."""

    team_id: str
    team_name: str
    email: str
    role: str
    invited_by: str
    expires_at: int
    is_known: bool  # somebody signs in with that address already


class Links:
    """The token of an offer follows from its id, so that whoever may make the offer can copy its link while it is open."""

    def __init__(self, secret_key: str) -> None:
        self._key = hashlib.sha256(b"invitation" + secret_key.encode()).digest()

    def token(self, invitation_id: str) -> str:
        return hmac.new(self._key, invitation_id.encode(), hashlib.sha256).hexdigest()[:43]


def open_in(team_id: str) -> list[dict[str, Any]]:
    """Offers that were neither used nor withdrawn, the newest first; expired ones too, since they can be sent again."""
    rows = (
        Invitation.select(Invitation, User.name.alias("invited_by_name"))
        .join(Member, on=(Invitation.invited_by == Member.id))
        .join(User)
        .where(Invitation.team == team_id, _is_open())
        .order_by(Invitation.created_at.desc(), Invitation.id.desc())
        .limit(MOST_OPEN)
    )
    time = now()
    return [{**row, "is_expired": row["expires_at"] <= time} for row in rows.dicts()]


def fits(token: str, offer: dict[str, Any]) -> bool:
    """Whether that token opens an offer of `open_in`."""
    return hmac.compare_digest(_hash(token), offer["token_hash"])


def invite(session_id: str, team_id: str, invitation_id: str, token: str, typed: InvitationTyped) -> Happened[bool]:
    """Offer membership. Repeating it with its id does nothing more; the answer is whether it was made now.

    Raises OwnersOnly, AlreadyMember, AlreadyInvited, TooManyInvitations.
    """
    admin = admin_in(session_id, team_id)
    made = Invitation.get_or_none(Invitation.id == invitation_id)
    if made is not None:
        if (made.team_id, made.email, made.role, made.invited_by_id) != (team_id, typed.email, typed.role, admin.id):
            raise Conflict("This form was sent already. Reload the page and try again.")
        return Happened(False)
    _must_be_allowed(admin, typed.role)
    if _is_member(team_id, User.email == typed.email):
        raise AlreadyMember
    standing = Invitation.get_or_none(Invitation.team == team_id, Invitation.email == typed.email, _is_open())
    if standing is not None and standing.expires_at > now():
        raise AlreadyInvited
    if standing is None and Invitation.select().where(Invitation.team == team_id, _is_open()).count() >= MOST_OPEN:
        raise TooManyInvitations
    if standing is not None:
        _withdraw(standing.id)
    _offer(admin, invitation_id, token, typed.email, typed.role)
    audit.note(team_id, admin.user_id, "member_invited", invitation_id=invitation_id, email=typed.email, role=typed.role)
    return Happened(True, [MembersChanged(team_id)])


def resend(session_id: str, team_id: str, invitation_id: str, next_id: str, token: str) -> Happened[Invitation | None]:
    """Put a fresh offer in the place of an open one; the old link says so. None when that has been done already."""
    admin = admin_in(session_id, team_id)
    old = _mine(team_id, invitation_id)
    if old.used_at or old.withdrawn_at:
        return Happened(None)
    _must_be_allowed(admin, old.role)
    _withdraw(old.id)
    fresh = _offer(admin, next_id, token, old.email, old.role)
    audit.note(team_id, admin.user_id, "invitation_resent", invitation_id=next_id, email=old.email, role=old.role)
    return Happened(fresh, [MembersChanged(team_id)])


def withdraw(session_id: str, team_id: str, invitation_id: str) -> Happened[None]:
    """Take an offer back; one that was used or withdrawn before stays as it is."""
    admin = admin_in(session_id, team_id)
    offer = _mine(team_id, invitation_id)
    if offer.used_at or offer.withdrawn_at:
        return Happened(None)
    _must_be_allowed(admin, offer.role)
    _withdraw(offer.id)
    audit.note(team_id, admin.user_id, "invitation_withdrawn", invitation_id=offer.id, email=offer.email, role=offer.role)
    return Happened(None, [MembersChanged(team_id)])


def offered(token: str) -> Offer:
    """The offer behind a link. Raises NotFound, or the InvitationGone that says why it does not work any more."""
    offer = _by_token(token)
    gone = _why_gone(offer)
    if gone is not None:
        raise gone
    invited_by = User.select(User.name).join(Member).where(Member.id == offer.invited_by_id).scalar()
    team_name = Team.select(Team.name).where(Team.id == offer.team_id).scalar()
    is_known = User.select().where(User.email == offer.email).exists()
    return Offer(offer.team_id, team_name, offer.email, offer.role, invited_by, offer.expires_at, is_known)


def address_of(token: str) -> str:
    """Whom a link was sent to, whether it works or not. Raises NotFound."""
    return str(_by_token(token).email)


def is_member(session_id: str, team_id: str) -> bool:
    """Whether the user of a live session is in the team."""
    return _is_member(team_id, User.id << Session.select(Session.user).where(Session.id == session_id, session_lives()))


def accept_as_newcomer(token: str, name: str, password_hash: str) -> Happened[tuple[str, str]]:
    """Make a user of whoever holds the link, and a member; the answer is the team and a one-time link that signs them in.

    Raises EmailTaken when the address has a user, who must sign in first.
    """
    offer = _locked(token)
    gone = _why_gone(offer)
    if gone is not None:
        raise gone
    user = add_user(name.strip(), offer.email, password_hash)
    _join(offer, user)
    return Happened((offer.team_id, identity.offer_link(user.id).answer), [MembersChanged(offer.team_id)])


def accept(session_id: str, token: str) -> Happened[str]:
    """Make the signed-in user a member; the answer is the team. Accepting again what I accepted succeeds again."""
    offer = _locked(token)
    user = User.select(User).join(Session, on=(Session.user == User.id)).where(Session.id == session_id, session_lives()).first()
    if user is None:
        raise SignedOut
    if _is_member(offer.team_id, User.id == user.id):
        if offer.used_at:
            return Happened(offer.team_id)
        raise AlreadyMember("You are in this team already. The invitation stays open for whoever it was meant for.")
    gone = _why_gone(offer)
    if gone is not None:
        raise gone
    _join(offer, user)
    return Happened(offer.team_id, [MembersChanged(offer.team_id)])


def _locked(token: str) -> Invitation:
    """The offer, read with its team's row locked: it can be neither used, withdrawn nor deleted with its team meanwhile."""
    teams.lock(_by_token(token).team_id)
    return _by_token(token)


def _join(offer: Invitation, user: User) -> None:
    used = Invitation.update(used_at=now()).where(Invitation.id == offer.id, _is_open(), Invitation.expires_at > now()).execute()
    if not used:
        raise _why_gone(_by_hash(offer.token_hash)) or InvitationUsed()
    member = Member.create(team=offer.team_id, user=user, role=offer.role)
    audit.note(offer.team_id, user.id, "member_joined", member_id=member.id, name=user.name, role=offer.role)


def _why_gone(offer: Invitation) -> InvitationGone | None:
    if offer.used_at:
        return InvitationUsed()
    if offer.withdrawn_at and offer.withdrawn_at < offer.expires_at:
        return InvitationReplaced() if _is_replaced(offer) else InvitationWithdrawn()
    return InvitationExpired() if offer.expires_at <= now() else None


def _is_replaced(offer: Invitation) -> bool:
    newer = Invitation.select().where(Invitation.team == offer.team_id, Invitation.email == offer.email, _is_open())
    return bool(newer.where(Invitation.created_at >= offer.created_at, Invitation.id != offer.id).exists())


def _by_token(token: str) -> Invitation:
    return _by_hash(_hash(token))


def _by_hash(token_hash: str) -> Invitation:
    offer: Invitation | None = Invitation.get_or_none(Invitation.token_hash == token_hash)
    if offer is None:
        raise NotFound("There is no such invitation. Check that the whole link was copied.")
    return offer


def _mine(team_id: str, invitation_id: str) -> Invitation:
    offer: Invitation | None = Invitation.get_or_none(Invitation.id == invitation_id, Invitation.team == team_id)
    if offer is None:
        raise NotFound
    return offer


def _must_be_allowed(admin: Agent, role: str) -> None:
    if role == "owner" and admin.role != "owner":
        raise OwnersOnly("Only an owner can invite an owner. Choose another role, or ask an owner.")


def _is_member(team_id: str, who: Any) -> bool:
    members = Member.select().join(User).where(Member.team == team_id, Member.ended_at.is_null(), who)
    return bool(members.exists())


def _is_open() -> Any:
    return Invitation.used_at.is_null() & Invitation.withdrawn_at.is_null()


def _offer(admin: Agent, id: str, token: str, email: str, role: str) -> Invitation:
    offer: Invitation = Invitation.create(
        id=id,
        team=admin.team_id,
        email=email,
        role=role,
        token_hash=_hash(token),
        invited_by=admin.id,
        expires_at=now() + LIFETIME,
    )
    return offer


def _withdraw(invitation_id: str) -> None:
    Invitation.update(withdrawn_at=now()).where(Invitation.id == invitation_id, _is_open()).execute()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
