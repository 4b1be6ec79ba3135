"""Teams: what they begin with, and how they end."""

from peewee import Expression

from handoff import audit, conversations
from handoff.clock import now
from handoff.database import Happened
from handoff.errors import Forbidden, Refused
from handoff.events import AccessEnded, Fact
from handoff.models import Assistant, Conversation, Invitation, Member, Outcome, Seat, Session, Team, User, Widget
from handoff.seats import agent_in

CLOSED_AT_ONCE = 50  # conversations, with the deletion itself; the sweeper closes the rest
OUTCOMES = ("Solved", "Sold", "Cancelled", "Follow up", "No reply", "Spam")


class WrongName(Refused):
    status = 422
    message = "Type the name of the team exactly as it stands above."


def found(name: str, plan: str, owner: User, seated: bool = True, **columns: object) -> tuple[Team, Member]:
    """A new team with its first owner, who holds the first seat, and a list of outcomes to begin with."""
    team = Team.create(name=name, plan=plan, **columns)
    member = join(team, owner, "owner", seated)
    for position, outcome in enumerate(OUTCOMES):
        Outcome.create(team=team, name=outcome, position=position)
    return team, member


def join(team: Team, user: User, role: str, seated: bool = True) -> Member:
    member: Member = Member.create(team=team, user=user, role=role)
    if seated:
        Seat.create(team=team, member=member, assigned_by=member)
    return member


def add_assistant(team: Team, name: str, **columns: object) -> Assistant:
    assistant: Assistant = Assistant.create(team=team, name=name, **columns)
    return assistant


def add_widget(assistant: Assistant, name: str, key: str, **columns: object) -> Widget:
    widget: Widget = Widget.create(assistant=assistant, name=name, key=key, **columns)
    return widget


def of_user(user_id: str) -> list[dict[str, str]]:
    """The teams that a user is a member of, by name: `{"id", "name", "role"}`."""
    rows = Member.select(Team.id, Team.name, Member.role).join(Team).where(Member.user == user_id, Member.ended_at.is_null())
    return list(rows.order_by(Team.name, Team.id).limit(1_000).dicts())


def ids_of(user_id: str) -> list[str]:
    """The teams that a user is a member of."""
    rows = Member.select(Member.team).where(Member.user == user_id, Member.ended_at.is_null()).limit(1_000).tuples()
    return [team_id for (team_id,) in rows]


def lock(team_id: str) -> bool:
    """Changes of one team's members, seats and offers take turns by its row; False when the team was deleted."""
    return bool(Team.update(version=Team.version + 1).where(Team.id == team_id, Team.deleted_at.is_null()).execute())


def delete(session_id: str, team_id: str, name: str) -> Happened[str]:
    """End the team for everybody at once: members, seats, offers, sessions of whoever is in no other team, and its
    conversations (the sweeper closes those beyond CLOSED_AT_ONCE). The answer is its name. Needs an owner."""
    agent_in(team_id, session_id)
    lock(team_id)
    owner = agent_in(team_id, session_id)
    if owner.role != "owner":
        raise Forbidden("Only an owner can delete the team.")
    team = Team.get_by_id(team_id)
    if name.split() != team.name.split():
        raise WrongName
    time = now()
    Team.update(deleted_at=time).where(Team.id == team_id).execute()
    Assistant.update(archived_at=time).where(Assistant.team == team_id, Assistant.archived_at.is_null()).execute()
    Invitation.update(withdrawn_at=time).where(
        Invitation.team == team_id, Invitation.used_at.is_null(), Invitation.withdrawn_at.is_null()
    ).execute()
    audit.note(team_id, owner.user_id, "team_deleted", name=team.name)
    facts = _end_members(team_id, time)
    for conversation_id in left_open(Conversation.team == team_id, CLOSED_AT_ONCE):
        facts += conversations.close(Conversation.id == conversation_id, "team")
    return Happened(team.name, facts)


def _end_members(team_id: str, time: int) -> list[Fact]:
    user_ids = [user_id for (user_id,) in Member.select(Member.user).where(_present_in(team_id)).tuples()]
    Seat.update(status="ended", ended_at=time).where(Seat.team == team_id, Seat.ended_at.is_null()).execute()
    Member.update(ended_at=time).where(_present_in(team_id)).execute()
    elsewhere = Member.select(Member.user).where(Member.ended_at.is_null())
    were_here = Member.select(Member.user).where(Member.team == team_id, Member.ended_at == time)
    Session.update(ended_at=time).where(
        Session.ended_at.is_null(), Session.user << were_here, Session.user.not_in(elsewhere)
    ).execute()
    return [AccessEnded(user_id) for user_id in user_ids]


def _present_in(team_id: str) -> Expression:
    return (Member.team == team_id) & Member.ended_at.is_null()


def left_open(which: Expression | None = None, most: int = 200) -> list[str]:
    """Active conversations of deleted teams; always in the same order, so that two who close them do not lock crosswise."""
    rows = (
        Conversation.select(Conversation.id)
        .join(Team)
        .where(Conversation.status == "active", Team.deleted_at.is_null(False), *([which] if which is not None else []))
        .order_by(Conversation.id)
        .limit(most)
        .tuples()
    )
    return [conversation_id for (conversation_id,) in rows]


def close_left_open(conversation_id: str) -> Happened[None]:
    """Close a conversation of a deleted team, once."""
    return Happened(None, conversations.close(Conversation.id == conversation_id, "team"))
