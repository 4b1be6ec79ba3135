"""Teams, their plans and their members."""

from handoff.models import Assistant, Member, Outcome, Plan, Seat, Team, User, Widget

OUTCOMES = ("Solved", "Sold", "Cancelled", "Follow up", "No reply", "Spam")


def fill_plans(plans: dict[str, dict[str, int]]) -> None:
    """Make the plan rows those of the settings. A plan that teams still have stays, though it is not offered any more."""
    for position, (name, credits) in enumerate(plans.items()):
        Plan.insert(id=name, human_agents=credits["human_agents"], position=position).on_conflict(
            conflict_target=[Plan.id], preserve=[Plan.human_agents, Plan.position]
        ).execute()


def found(name: str, plan: str, owner: User) -> tuple[Team, Member]:
    """A new team with its first owner, who holds the first seat, and a list of outcomes to begin with."""
    team = Team.create(name=name, plan=plan)
    member = join(team, owner, "owner")
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


def ids_of(user_id: str) -> list[str]:
    """The teams that a user is a member of."""
    rows = Member.select(Member.team).where(Member.user == user_id, Member.ended_at.is_null()).limit(1_000).tuples()
    return [team_id for (team_id,) in rows]
