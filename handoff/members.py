"""Who is in a team and in which role. Only owners make, change or remove owners, and a team never loses its last one."""

from typing import Any, Literal

from peewee import JOIN, fn

from handoff import audit, teams
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Forbidden, NotFound, Refused
from handoff.events import AccessEnded, Fact, MembersChanged, SeatsChanged
from handoff.knowledge import Typed
from handoff.models import Conversation, Invitation, Member, Seat, Session, User
from handoff.seats import ADMINS, Agent, agent_in

Role = Literal["owner", "admin", "member"]

MOST = 1_000  # on one page


class LastOwner(Refused):
    code = "conflict"
    status = 409
    message = "A team needs an owner, and this is the last one. Make somebody else an owner first."


class OwnersOnly(Forbidden):
    message = "Only an owner of the team can do that. Ask one of them."


class RoleTyped(Typed):
    role: Role


def of(team_id: str) -> list[dict[str, Any]]:
    """The members by name, with seat, last use of a session and the number of sign-ins."""
    return list(_rows(team_id).order_by(fn.LOWER(User.name), Member.id).limit(MOST).dicts())


def one(team_id: str, member_id: str) -> dict[str, Any]:
    """The same of one member, with their active conversations. Raises NotFound."""
    row: dict[str, Any] | None = _rows(team_id).where(Member.id == member_id).dicts().first()
    if row is None:
        raise NotFound
    active = Conversation.select().where(Conversation.owner == member_id, Conversation.status == "active").count()
    return {**row, "active": active, "is_last_owner": row["role"] == "owner" and _owners(team_id) == 1}


def _rows(team_id: str) -> Any:
    started = Session.select().where(Session.user == Member.user, Session.started_at.is_null(False))
    return (
        Member.select(
            Member.id,
            Member.role,
            Member.created_at.alias("joined_at"),
            User.name,
            User.email,
            Seat.status.alias("seat"),
            started.select(fn.MAX(Session.used_at)).alias("last_seen_at"),
            started.select(fn.COUNT(Session.id)).alias("sign_ins"),
        )
        .join(User)
        .join_from(Member, Seat, JOIN.LEFT_OUTER, on=((Seat.member == Member.id) & Seat.ended_at.is_null()))
        .where(Member.team == team_id, Member.ended_at.is_null())
    )


def change_role(session_id: str, team_id: str, member_id: str, role: Role) -> Happened[None]:
    """Give a member another role; giving the one they have changes nothing. Their sockets come back with the new one."""
    admin = admin_in(session_id, team_id)
    who = _present(team_id, member_id)
    if who.role == role:
        return Happened(None)
    if "owner" in (who.role, role) and admin.role != "owner":
        raise OwnersOnly
    if who.role == "owner":
        _must_not_be_last(team_id)
    Member.update(role=role).where(Member.id == member_id).execute()
    _withdraw_offers(team_id, member_id, role)
    audit.note(team_id, admin.user_id, "role_changed", member_id=member_id, name=who.user.name, role=role, was=who.role)
    return Happened(None, [AccessEnded(who.user_id), MembersChanged(team_id)])


def remove(session_id: str, team_id: str, member_id: str) -> Happened[None]:
    """End a membership and the seat with it. Removing somebody who has gone already changes nothing.

    Their conversations stay human-owned; another agent may take them over (I10).
    """
    admin = admin_in(session_id, team_id)
    if Member.select().where(Member.id == member_id, Member.team == team_id, Member.ended_at.is_null(False)).exists():
        return Happened(None)
    who = _present(team_id, member_id)
    if who.role == "owner":
        if admin.role != "owner":
            raise OwnersOnly
        _must_not_be_last(team_id)
    audit.note(team_id, admin.user_id, "member_removed", member_id=member_id, name=who.user.name)
    return Happened(None, _end(who))


def leave(session_id: str, team_id: str) -> Happened[None]:
    """Remove oneself. Raises LastOwner."""
    member = member_in(session_id, team_id)
    who = _present(team_id, member.id)
    if who.role == "owner":
        _must_not_be_last(team_id)
    audit.note(team_id, member.user_id, "member_left", member_id=member.id, name=member.name)
    return Happened(None, _end(who))


def member_in(session_id: str, team_id: str) -> Agent:
    """The member behind a session, and the team's row locked: what is read from here on stays so until the commit."""
    agent_in(team_id, session_id)
    teams.lock(team_id)
    return agent_in(team_id, session_id)  # again: somebody may have changed it while this waited for the lock


def admin_in(session_id: str, team_id: str) -> Agent:
    """The same for somebody who must be an admin or an owner."""
    member = member_in(session_id, team_id)
    member.must_be_admin()
    return member


def _present(team_id: str, member_id: str) -> Member:
    who: Member | None = (
        Member.select(Member, User)
        .join(User)
        .where(Member.id == member_id, Member.team == team_id, Member.ended_at.is_null())
        .first()
    )
    if who is None:
        raise NotFound
    return who


def _must_not_be_last(team_id: str) -> None:
    if _owners(team_id) == 1:
        raise LastOwner


def _owners(team_id: str) -> int:
    return int(Member.select().where(Member.team == team_id, Member.role == "owner", Member.ended_at.is_null()).count())


def _end(who: Member) -> list[Fact]:
    time = now()
    Member.update(ended_at=time).where(Member.id == who.id).execute()
    released = Seat.update(status="ended", ended_at=time).where(Seat.member == who.id, Seat.ended_at.is_null()).execute()
    _withdraw_offers(who.team_id, who.id, None)
    seats_changed = [SeatsChanged(who.team_id)] if released else []
    return [AccessEnded(who.user_id), *seats_changed, MembersChanged(who.team_id)]


def _withdraw_offers(team_id: str, member_id: str, role: str | None) -> None:
    """An offer does not outlive the right to make it: else whoever is removed could come back by a link of their own."""
    if role == "owner":
        return
    offers = Invitation.withdrawn_at.is_null() & Invitation.used_at.is_null() & (Invitation.invited_by == member_id)
    if role in ADMINS:
        offers &= Invitation.role == "owner"
    Invitation.update(withdrawn_at=now()).where(Invitation.team == team_id, offers).execute()
