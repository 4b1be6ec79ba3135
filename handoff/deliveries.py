"""Notices on their way out of the house: queued once for each signal and place, tried until they are delivered, kept for a month.

A claim is one conditional UPDATE on the time that was seen; it ends by itself, so what a lost process was delivering is taken up by
another. That may deliver twice: the receiver tells by the event's id, which stays the same through all attempts and replays.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from peewee import Expression

from handoff import audit, signals
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.models import Assistant, Conversation, Customer, Delivery, Signal, Team
from handoff.seats import Agent, admin_in, agent_in

CLAIM = 30_000  # milliseconds; one attempt takes at most half of it
PAUSES = (10, 60, 300, 1_800, 7_200)  # seconds after each attempt that failed; after the last one it has failed for good
KEPT = 30 * 24 * 60 * 60 * 1000
SHOWN = 100
LOOKED_AT = 50
MOST_TESTS = 20  # of a team that may wait at once


class NoTarget(Refused):
    status = 422
    message = "There is no place to send it to yet. Save a webhook or an e-mail address first."


class TooManyTests(Refused):
    code = "rate_limited"
    status = 429
    message = "Enough tests are on their way. Wait until they have arrived or failed."


@dataclass(frozen=True)
class Sending:
    """A delivery that this process has claimed."""

    id: str
    team_id: str
    kind: str
    target: str
    body: str = field(repr=False)
    attempt: int
    key: str = field(repr=False)  # sealed


def queue(signal_id: str, conversation_id: str, address: str) -> Happened[None]:
    """Queue the notice of a signal to which nobody reacted, for each place that the team named; once, whoever sweeps."""
    if not signals.notice(signal_id, conversation_id):
        return Happened(None)
    conversation, signal = Conversation.get_by_id(conversation_id), Signal.get_by_id(signal_id)
    _put(Team.get_by_id(conversation.team_id), signal_id, described(conversation, signal, address))
    return Happened(None)


def described(conversation: Conversation, signal: Signal, address: str) -> dict[str, Any]:
    """What leaves of a conversation: that it needs somebody, and why. No lines."""
    return {
        "kind": "signal",
        "team": conversation.team_id,
        "assistant": conversation.assistant_id,
        "assistant_name": Assistant.select(Assistant.name).where(Assistant.id == conversation.assistant_id).scalar(),
        "conversation": conversation.id,
        "signal": {"kind": signal.kind, "reason": signal.reason, "raised_at": signal.raised_at},
        "customer": {"name": Customer.select(Customer.name).where(Customer.id == conversation.customer_id).scalar()},
        "link": f"{address}/console#/{conversation.assistant_id}/{conversation.id}",
    }


def queue_test(session_id: str, team_id: str, test_id: str, address: str) -> Happened[None]:
    """Queue a delivery that says it is a test, once for each place, under the id that its form was given."""
    admin = admin_in(team_id, session_id)
    team, about = Team.get_by_id(team_id), f"test {test_id}"
    if Delivery.select().where(Delivery.team == team_id, Delivery.about == about).exists():
        return Happened(None)
    if not targets_of(team):
        raise NoTarget
    if Delivery.select().where(Delivery.team == team_id, Delivery.about.startswith("test "), _waits()).count() >= MOST_TESTS:
        raise TooManyTests
    _put(team, about, {"kind": "test", "team": team_id, "link": f"{address}/teams/{team_id}/notices/"})
    audit.note(team_id, admin.user_id, "notice_tested")
    return Happened(None)


def targets_of(team: Team) -> list[tuple[str, str]]:
    webhook = [("webhook", team.notice_url)] if team.notice_url else []
    return [*webhook, *(("email", address) for address in json.loads(team.notice_emails))]


def _put(team: Team, about: str, told: dict[str, Any]) -> None:
    for kind, target in targets_of(team):
        event = new_id()
        body = json.dumps({"event": event, **told}, ensure_ascii=False)
        Delivery.insert(id=event, team=team.id, about=about, kind=kind, target=target, body=body).on_conflict_ignore().execute()


def due(busy: Iterable[str]) -> list[tuple[str, str, int]]:
    """Deliveries whose time has come, of teams that are not busy: id, team and the time that a claim must have seen."""
    waiting = _waits() & (Delivery.next_at <= now())
    rows = Delivery.select(Delivery.id, Delivery.team, Delivery.next_at).where(waiting, Delivery.team.not_in(list(busy)))
    return list(rows.order_by(Delivery.next_at).limit(LOOKED_AT).tuples())


def _waits() -> Expression:
    return Delivery.next_at.is_null(False)


def claim(delivery_id: str, seen: int) -> Happened[Sending | None]:
    """Take it for one attempt; None where another process was faster, or where it may not be delivered any more."""
    time = now()
    counted = {"attempts": Delivery.attempts + 1, "tries": Delivery.tries + 1}
    rows = (
        Delivery.update(status="delivering", next_at=time + CLAIM, **counted)
        .where(Delivery.id == delivery_id, Delivery.next_at == seen, Delivery.next_at <= time)
        .returning(Delivery)
        .execute()
    )
    claimed = next(iter(rows), None)
    if claimed is None:
        return Happened(None)
    team = Team.get_by_id(claimed.team_id)
    if team.deleted_at is not None or (claimed.kind, claimed.target) not in targets_of(team):
        return _give_up(claimed, "It is not among the places that the team names any more.")
    if claimed.tries > len(PAUSES) + 1:
        return _give_up(claimed, "It was interrupted too often.")
    return Happened(Sending(claimed.id, team.id, claimed.kind, claimed.target, claimed.body, claimed.attempts, key=team.notice_key))


def _give_up(claimed: Delivery, words: str) -> Happened[Sending | None]:
    Delivery.update(status="failed", words=words, next_at=None).where(Delivery.id == claimed.id).execute()
    return Happened(None)


def delivered(sending: Sending, words: str) -> Happened[None]:
    Delivery.update(status="delivered", words=words, next_at=None, delivered_at=now()).where(_is_mine(sending)).execute()
    return Happened(None)


def not_delivered(sending: Sending, words: str, is_final: bool = False) -> Happened[None]:
    """Try again after a pause that grows; after the last one it has failed."""
    tries = Delivery.select(Delivery.tries).where(_is_mine(sending)).scalar()
    if tries is None:
        return Happened(None)
    if is_final or tries > len(PAUSES):
        columns: dict[str, Any] = {"status": "failed", "next_at": None}
    else:
        columns = {"status": "queued", "next_at": now() + PAUSES[tries - 1] * 1000}
    Delivery.update(words=words, **columns).where(_is_mine(sending)).execute()
    return Happened(None)


def _is_mine(sending: Sending) -> Expression:
    """Whether the claim still is the present one."""
    return (Delivery.id == sending.id) & (Delivery.attempts == sending.attempt) & (Delivery.status == "delivering")


def log_of(session_id: str, team_id: str) -> tuple[Agent, list[Delivery]]:
    """The member who asks, and the team's last deliveries without what they said."""
    member = agent_in(team_id, session_id)
    shown = [column for column in Delivery._meta.sorted_fields if column.name != "body"]
    rows = Delivery.select(*shown).where(Delivery.team == team_id).order_by(Delivery.created_at.desc(), Delivery.id)
    return member, list(rows.limit(SHOWN))


def replay(session_id: str, team_id: str, delivery_id: str, attempts: int) -> Happened[bool]:
    """Send it once more, to the same place with the same event. Of two forms that saw the same attempts one does."""
    admin = admin_in(team_id, session_id)
    mine = (Delivery.id == delivery_id) & (Delivery.team == team_id)
    if not Delivery.select().where(mine).exists():
        raise NotFound
    ended = Delivery.next_at.is_null() & (Delivery.attempts == attempts)
    again = {"status": "queued", "tries": 0, "next_at": now()}
    if not Delivery.update(again).where(mine & ended).execute():
        return Happened(False)
    audit.note(team_id, admin.user_id, "notice_replayed", delivery_id=delivery_id)
    return Happened(True)


def are_old() -> bool:
    return bool(Delivery.select().where(Delivery.created_at < now() - KEPT).exists())


def forget() -> Happened[None]:
    Delivery.delete().where(Delivery.created_at < now() - KEPT).execute()
    return Happened(None)
