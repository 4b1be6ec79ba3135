"""The ways in which a team's conversations can end: a list that its admins order by hand.

Archived ones are offered no more, and stay where conversations ended with them.
"""

from typing import Any

from peewee import fn

from handoff import audit
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.events import OutcomesChanged
from handoff.knowledge import Typed
from handoff.models import Outcome
from handoff.people import OneLine
from handoff.seats import Agent, admin_in, agent_in

MOST = 100  # to choose from


class OutcomeNamed(Typed):
    name: OneLine


class NameUsed(Refused):
    code = "conflict"
    status = 409
    message = "Another outcome has this name. Choose a different one."


class TooMany(Refused):
    code = "conflict"
    status = 409
    message = f"A team has at most {MOST} outcomes. Archive one first."


def of_team(session_id: str, team_id: str) -> tuple[Agent, list[dict[str, Any]], list[dict[str, Any]]]:
    """The member who asks, the outcomes to choose from in their order, and the archived ones."""
    member = agent_in(team_id, session_id)
    rows = Outcome.select(Outcome.id, Outcome.name).where(Outcome.team == team_id).order_by(Outcome.position, Outcome.name)
    offered = rows.where(Outcome.archived_at.is_null()).limit(MOST)
    archived = rows.where(Outcome.archived_at.is_null(False)).order_by(Outcome.archived_at.desc(), Outcome.id).limit(MOST)
    return member, list(offered.dicts()), list(archived.dicts())


def add(session_id: str, team_id: str, outcome_id: str, named: OutcomeNamed) -> Happened[str]:
    """Add an outcome at the end, under the id that its form was given, so that sending the form twice adds one."""
    admin = admin_in(team_id, session_id)
    known = Outcome.get_or_none(Outcome.id == outcome_id)
    if known is not None:
        if (known.team_id, known.name) == (team_id, named.name):
            return Happened(outcome_id)
        outcome_id = new_id()
    offered = _offered(team_id)
    _must_fit(offered, named.name)
    Outcome.create(id=outcome_id, team=team_id, name=named.name, position=_end_of(team_id))
    audit.note(team_id, admin.user_id, "outcome_added", outcome_id=outcome_id, name=named.name)
    return Happened(outcome_id, [OutcomesChanged(team_id)])


def rename(session_id: str, team_id: str, outcome_id: str, named: OutcomeNamed) -> Happened[None]:
    """Conversations that ended with it show its new name."""
    admin = admin_in(team_id, session_id)
    found = _outcome(team_id, outcome_id)
    if found.name == named.name:
        return Happened(None)
    _must_be_free([other for other in _offered(team_id) if other.id != outcome_id], named.name)
    Outcome.update(name=named.name).where(Outcome.id == outcome_id).execute()
    audit.note(team_id, admin.user_id, "outcome_renamed", outcome_id=outcome_id, was=found.name, name=named.name)
    return Happened(None, [OutcomesChanged(team_id)])


def archive(session_id: str, team_id: str, outcome_id: str) -> Happened[None]:
    """Offer it no more. What is archived already stays so."""
    admin = admin_in(team_id, session_id)
    found = _outcome(team_id, outcome_id)
    if found.archived_at is not None:
        return Happened(None)
    Outcome.update(archived_at=now()).where(Outcome.id == outcome_id).execute()
    audit.note(team_id, admin.user_id, "outcome_archived", outcome_id=outcome_id, name=found.name)
    return Happened(None, [OutcomesChanged(team_id)])


def bring_back(session_id: str, team_id: str, outcome_id: str) -> Happened[None]:
    """Offer it again, at the end of the list."""
    admin = admin_in(team_id, session_id)
    found = _outcome(team_id, outcome_id)
    if found.archived_at is None:
        return Happened(None)
    _must_fit(_offered(team_id), found.name)
    Outcome.update(archived_at=None, position=_end_of(team_id)).where(Outcome.id == outcome_id).execute()
    audit.note(team_id, admin.user_id, "outcome_brought_back", outcome_id=outcome_id, name=found.name)
    return Happened(None, [OutcomesChanged(team_id)])


def move(session_id: str, team_id: str, outcome_id: str, place: int) -> Happened[None]:
    """Put it at a place of the list, counted from 0; whoever asks twice for the same place moves it once."""
    admin_in(team_id, session_id)
    _outcome(team_id, outcome_id)
    ids = [outcome.id for outcome in _offered(team_id)]
    if outcome_id not in ids:
        return Happened(None)  # archived meanwhile: it has no place
    ids.remove(outcome_id)
    ids.insert(max(0, min(place, len(ids))), outcome_id)
    changed = [
        Outcome.update(position=position).where(Outcome.id == moved, Outcome.position != position).execute()
        for position, moved in enumerate(ids)
    ]
    return Happened(None, [OutcomesChanged(team_id)] if any(changed) else [])


def _offered(team_id: str) -> list[Outcome]:
    rows = Outcome.select().where(Outcome.team == team_id, Outcome.archived_at.is_null())
    return list(rows.order_by(Outcome.position, Outcome.name, Outcome.id))


def _outcome(team_id: str, outcome_id: str) -> Outcome:
    found: Outcome | None = Outcome.get_or_none(Outcome.id == outcome_id, Outcome.team == team_id)
    if found is None:
        raise NotFound
    return found


def _must_fit(offered: list[Outcome], name: str) -> None:
    _must_be_free(offered, name)
    if len(offered) >= MOST:
        raise TooMany


def _must_be_free(others: list[Outcome], name: str) -> None:
    if name.casefold() in (other.name.casefold() for other in others):
        raise NameUsed


def _end_of(team_id: str) -> int:
    last = Outcome.select(fn.MAX(Outcome.position)).where(Outcome.team == team_id, Outcome.archived_at.is_null()).scalar()
    return 0 if last is None else int(last) + 1
