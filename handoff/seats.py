"""Who may act as an agent. A seat is held, suspended or ended; the plan's `human_agents` caps those that are held (I8)."""

from dataclasses import dataclass
from typing import Any

from peewee import JOIN, Case, Expression, fn

from handoff import audit
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Forbidden, NoSeat, NotFound, Refused, SecondFactorNeeded, SignedOut
from handoff.events import AccessEnded, Fact, SeatsChanged
from handoff.identity import session_lives
from handoff.models import Member, Plan, Seat, Session, Team, User

ADMINS = ("owner", "admin")
OLDEST_FIRST = (Seat.assigned_at, Seat.id)
NEWEST_FIRST = (Seat.assigned_at.desc(), Seat.id.desc())


class SeatsUsed(Refused):
    code = "conflict"
    message = "Every seat of your plan is in use. Release one, or upgrade the plan."


@dataclass(frozen=True)
class Agent:
    """A member as found at the beginning of an operation, with the seat they have at that moment."""

    id: str
    team_id: str
    user_id: str
    name: str
    role: str
    seat: str | None

    @property
    def named(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name}

    def must_hold_seat(self) -> None:
        if self.seat != "held":
            raise NoSeat

    def must_have_seat(self) -> None:
        """A suspended seat is enough to go on with what one already owns."""
        if self.seat is None:
            raise NoSeat

    def must_be_admin(self) -> None:
        if self.role not in ADMINS:
            raise Forbidden


def agent_in(team: Any, session_id: str) -> Agent:
    """The member behind a live session in `team` (an id, or a subquery for one).

    Raises SignedOut, NotFound for somebody else's team, or SecondFactorNeeded where the team wants more than a password.
    """
    lacks_second_factor = Team.requires_second_factor & Session.second_factor_at.is_null()
    row = (
        Member.select(
            Member.id,
            Member.team,
            Member.role,
            User.id.alias("who"),
            User.name,
            Seat.status,
            Case(None, ((lacks_second_factor, 1),), 0),
        )
        .join(User)
        .join(Session, on=(Session.user == User.id))
        .join_from(Member, Team)
        .join_from(Member, Seat, JOIN.LEFT_OUTER, on=((Seat.member == Member.id) & Seat.ended_at.is_null()))
        .where(Session.id == session_id, session_lives(), Member.team == team, Member.ended_at.is_null())
        .tuples()
        .first()
    )
    if row is None:
        if not Session.select().where(Session.id == session_id, session_lives()).exists():
            raise SignedOut
        raise NotFound
    if row[6]:
        raise SecondFactorNeeded
    return Agent(id=row[0], team_id=row[1], role=row[2], user_id=row[3], name=row[4], seat=row[5])


def admin_in(team_id: str, session_id: str) -> Agent:
    """The owner or admin behind a session, and the team's row locked: seats, plan and roles stay as they are to the commit."""
    agent_in(team_id, session_id).must_be_admin()
    lock(team_id)
    admin = agent_in(team_id, session_id)  # again: somebody may have changed it while this waited for the lock
    admin.must_be_admin()
    return admin


def seated(member: Any, *statuses: str) -> Expression:
    """The condition that `member` has a seat now, to stand inside the statement that depends on it."""
    return fn.EXISTS(
        Seat.select(1).where(Seat.member == member, Seat.ended_at.is_null(), Seat.status << (statuses or ("held", "suspended")))
    )


def used(team_id: str) -> int:
    """Seats held now. The number that is shown and the number that is enforced."""
    return int(Seat.select().where(Seat.team == team_id, Seat.status == "held").count())


def limit(team_id: str) -> int:
    return int(Plan.select(Plan.human_agents).join(Team).where(Team.id == team_id).scalar())


def counts(team_id: str) -> dict[str, int]:
    """`{"used", "limit", "suspended"}`"""
    suspended = Seat.select().where(Seat.team == team_id, Seat.status == "suspended", Seat.ended_at.is_null()).count()
    return {"used": used(team_id), "limit": limit(team_id), "suspended": suspended}


def overview(team_id: str) -> dict[str, Any]:
    """`{"used", "limit", "holders": [{"member_id", "name"}]}`"""
    return {
        "used": used(team_id),
        "limit": limit(team_id),
        "holders": [{"member_id": member_id, "name": name} for member_id, name in reversed(holders(team_id)[-1_000:])],
    }


def holders(team_id: str) -> list[tuple[str, str]]:
    """Id and name of every member who holds a seat, the newest first: in this order a forced downgrade suspends."""
    rows = (
        Seat.select(Seat.member, User.name)
        .join(Member, on=(Seat.member == Member.id))
        .join(User)
        .where(Seat.team == team_id, Seat.status == "held")
        .order_by(*NEWEST_FIRST)
        .tuples()
    )
    return list(rows)


def assign(session_id: str, team_id: str, member_id: str) -> Happened[None]:
    """Give a member a seat, if the plan has one free. Assigning twice is assigning once."""
    admin = admin_in(team_id, session_id)
    if not Member.select().where(Member.id == member_id, Member.team == team_id, Member.ended_at.is_null()).exists():
        raise NotFound
    if Seat.select().where(Seat.member == member_id, Seat.status == "held").exists():
        return Happened(None)
    if used(team_id) >= limit(team_id):
        raise SeatsUsed
    if not Seat.update(status="held").where(Seat.member == member_id, Seat.ended_at.is_null()).execute():
        Seat.create(team=team_id, member=member_id, assigned_by=admin.id)
    _, name = _who(member_id)
    audit.note(team_id, admin.user_id, "seat_assigned", member_id=member_id, name=name)
    return Happened(None, [SeatsChanged(team_id)])


def release(session_id: str, team_id: str, member_id: str) -> Happened[None]:
    """End a member's seat. Their conversations stay human-owned; another agent may take them over (I10)."""
    admin = admin_in(team_id, session_id)
    if not Member.select().where(Member.id == member_id, Member.team == team_id).exists():
        raise NotFound
    ended = (
        Seat.update(status="ended", ended_at=now())
        .where(Seat.member == member_id, Seat.team == team_id, Seat.ended_at.is_null())
        .execute()
    )
    if not ended:
        return Happened(None)
    user_id, name = _who(member_id)
    audit.note(team_id, admin.user_id, "seat_released", member_id=member_id, name=name)
    return Happened(None, [AccessEnded(user_id), SeatsChanged(team_id)])


def _who(member_id: str) -> tuple[str, str]:
    """A member's user and name."""
    user_id, name = Member.select(Member.user, User.name).join(User).where(Member.id == member_id).tuples().get()
    return user_id, name


def suspend_beyond_plan(team_id: str) -> list[Fact]:
    """Suspend the newest seats until those held fit the plan. Their holders keep the conversations they own until these
    close; their sockets go, because they may watch nothing else any more. The caller holds the team's lock."""
    too_many = used(team_id) - limit(team_id)
    if too_many <= 0:
        return []
    users = _turn(team_id, "held", "suspended", NEWEST_FIRST, too_many)
    return [*(AccessEnded(user_id) for user_id in users), SeatsChanged(team_id)]


def resume_within_plan(team_id: str) -> list[Fact]:
    """Give suspended seats back, the oldest first, as far as the plan goes. The caller holds the team's lock."""
    room = limit(team_id) - used(team_id)
    if room <= 0:
        return []
    return [SeatsChanged(team_id)] if _turn(team_id, "suspended", "held", OLDEST_FIRST, room) else []


def _turn(team_id: str, before: str, after: str, order: tuple[Any, ...], most: int) -> list[str]:
    """Turn that many seats from one status to another; the users whose seats they are."""
    rows = (
        Seat.select(Seat.id, Member.id.alias("member"), User.id.alias("user"), User.name)
        .join(Member, on=(Seat.member == Member.id))
        .join(User)
        .where(Seat.team == team_id, Seat.status == before, Seat.ended_at.is_null())
        .order_by(*order)
        .limit(most)
        .tuples()
    )
    turned = list(rows)
    Seat.update(status=after).where(Seat.id << [seat_id for seat_id, *_ in turned], Seat.status == before).execute()
    for _, member_id, _, name in turned:
        audit.note(team_id, None, "seat_suspended" if after == "suspended" else "seat_resumed", member_id=member_id, name=name)
    return [user_id for _, _, user_id, _ in turned]


def lock(team_id: str) -> None:
    """Two changes of one team's seats take turns: the row lock on the team is what makes counting and changing one step (I8)."""
    Team.update(version=Team.version + 1).where(Team.id == team_id).execute()
