"""What a team pays for: its plan. Plans are rows, filled from the settings at start; only those that the settings name are offered.

Whoever changes a team's plan, or what a plan gives, takes the row of every team that it may concern before looking at anything,
so that nobody counts seats against a number that is about to change (I8).
"""

from typing import Any

from peewee import fn

from handoff import audit, seats
from handoff.database import Happened
from handoff.errors import Invalid, NotFound, Refused
from handoff.events import Fact, SeatsChanged
from handoff.models import Plan, Seat, Team


class PlanNotOffered(Invalid):
    status = 422
    message = "That plan is not offered. Choose one of the others."


class SeatsHeld(Refused):
    """A downgrade that would leave somebody without the seat they hold; `holders` names them, the newest first."""

    code = "conflict"
    status = 409

    def __init__(self, most: int, holders: list[str]) -> None:
        those = f"{len(holders) - most} of the {len(holders)} seats" if len(holders) > 1 else "the seat"
        words = f"Release {those} in use first: this plan has {most}."
        super().__init__(words, holders=holders)


class Replayed(Refused):
    code = "replayed"
    status = 409
    message = "A call of this time or a later one was carried out already. Sign a new one."


def begin(plans: dict[str, dict[str, int]]) -> None:
    """Rows for plans that are new, before a team can have one. What is there already waits for `fill`."""
    for position, (name, credits) in enumerate(plans.items()):
        Plan.insert(id=name, position=position, **credits).on_conflict_ignore().execute()


def fill(plans: dict[str, dict[str, int]]) -> Happened[None]:
    """Make the plan rows those of the settings, and fit the teams on a plan that changed, as by a forced downgrade.

    A plan that is no longer named stays with the teams that have it, and is offered to nobody.
    """
    before = dict(Plan.select(Plan.id, Plan.human_agents).tuples())
    changed = [name for name, credits in plans.items() if credits["human_agents"] != before.get(name, credits["human_agents"])]
    if changed:  # every team: one may be on its way to such a plan, and an assign that runs now must not be missed
        Team.update(version=Team.version + 1).execute()
    for position, (name, credits) in enumerate(plans.items()):
        Plan.insert(id=name, position=position, is_offered=True, **credits).on_conflict(
            conflict_target=[Plan.id], preserve=[Plan.human_agents, Plan.position, Plan.is_offered]
        ).execute()
    Plan.update(is_offered=False).where(Plan.id.not_in(list(plans))).execute()
    facts: list[Fact] = []
    for name in changed:
        facts += _fit_teams(name, raised=plans[name]["human_agents"] > before[name])
    return Happened(None, facts)


def _fit_teams(name: str, raised: bool) -> list[Fact]:
    held = Seat.select(fn.COUNT(Seat.id)).where(Seat.team == Team.id, Seat.status == "held")
    suspended = Seat.select(1).where(Seat.team == Team.id, Seat.status == "suspended", Seat.ended_at.is_null())
    fits_not = fn.EXISTS(suspended) if raised else Plan.human_agents < held
    teams = Team.select(Team.id).join(Plan).where(Team.plan == name, Team.deleted_at.is_null(), fits_not).tuples()
    return [fact for (team_id,) in list(teams) for fact in _fitted(team_id, raised)]


def _fitted(team_id: str, raised: bool) -> list[Fact]:
    return seats.resume_within_plan(team_id) if raised else seats.suspend_beyond_plan(team_id)


def offered_to(team_id: str) -> list[Plan]:
    """The plans that a team may choose from, and the one it has, in the order of the settings."""
    present = Team.select(Team.plan).where(Team.id == team_id)
    return list(
        Plan.select().where(Plan.is_offered | (Plan.id == present)).order_by(Plan.is_offered.desc(), Plan.position, Plan.id)
    )


def choose(session_id: str, team_id: str, name: str) -> Happened[None]:
    """An admin's upgrade or downgrade. Refused with SeatsHeld while more seats are held than the plan has, or PlanNotOffered.

    Choosing the present plan changes nothing.
    """
    admin = seats.admin_in(team_id, session_id)
    plan, present = Plan.get_or_none(Plan.id == name), _present(team_id)
    if plan is not None and plan.id == present.id:
        return Happened(None)
    if plan is None or not plan.is_offered:
        raise PlanNotOffered
    holders = seats.holders(team_id)
    if len(holders) > plan.human_agents:
        raise SeatsHeld(plan.human_agents, [name for _, name in holders])
    return Happened(None, _changed(team_id, admin.user_id, present, plan))


def bill(team_id: str, name: str, time: int) -> Happened[dict[str, Any]]:
    """Set a team's plan as the operator's billing says, whatever is in use: the newest seats beyond it are suspended.

    `time` is when the call was signed, in epoch seconds; one that is not later than the last is refused as Replayed.
    """
    team = Team.get_or_none(Team.id == team_id, Team.deleted_at.is_null())
    if team is None:
        raise NotFound
    seats.lock(team_id)
    plan, present = Plan.get_or_none(Plan.id == name), _present(team_id)
    if plan is None or not (plan.is_offered or plan.id == present.id):
        raise PlanNotOffered
    if not Team.update(billed_at=time).where(Team.id == team_id, Team.billed_at < time).execute():
        raise Replayed
    facts = _changed(team_id, None, present, plan) if plan.id != present.id else []
    return Happened({"team": team_id, "plan": plan.id, **seats.counts(team_id)}, facts)


def _present(team_id: str) -> Plan:
    plan: Plan = Plan.select().join(Team).where(Team.id == team_id).get()
    return plan


def _changed(team_id: str, user_id: str | None, before: Plan, plan: Plan) -> list[Fact]:
    Team.update(plan=plan.id).where(Team.id == team_id).execute()
    audit.note(team_id, user_id, "plan_changed", plan=plan.id, before=before.id)
    facts = _fitted(team_id, raised=plan.human_agents > before.human_agents)
    return facts or [SeatsChanged(team_id)]
