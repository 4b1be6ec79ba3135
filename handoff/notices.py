"""What a team wants to happen when nobody reacts, as its admins choose it: where notices go and when, what customers are told.

The webhook's secret goes in and never out, as the keys of assistants do.
"""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from handoff import meanwhile
from handoff.answers import ANOTHER_KEY, Address, Key, fault_of_address
from handoff.database import Happened
from handoff.errors import Refused
from handoff.events import storable
from handoff.knowledge import Typed
from handoff.meanwhile import Began, Edit, Values
from handoff.models import Team
from handoff.people import an_address, plain_address
from handoff.seals import Seal
from handoff.seats import Agent, admin_in, agent_in

MOST_ADDRESSES = 10
SHOWN = ("notice_seconds", "notice_url", "notice_emails", "away_text")


class NoticesIncomplete(Refused):
    """What was typed cannot be delivered to; `faults` are words by field."""

    status = 422

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("Some of these settings need another look.")
        self.faults = faults


def _listed(text: Any) -> Any:
    """Addresses as people write them, one on a line, as they are kept: each once."""
    return list(dict.fromkeys(plain_address(line) for line in str(text).splitlines() if line.strip()))


def _all_addresses(addresses: list[str]) -> list[str]:
    if len(addresses) > MOST_ADDRESSES:
        raise ValueError(f"has {len(addresses)} addresses; at most {MOST_ADDRESSES}, please")
    for address in addresses:
        if len(address) > 254:
            raise ValueError("holds a line that is too long for an e-mail address")
        try:
            an_address(storable(address))
        except ValueError:
            raise ValueError(f"holds “{address[:100]}”, which is no e-mail address: one on each line") from None
    return addresses


class NoticesTyped(Typed):
    """The form. An empty secret keeps the one that is set."""

    notice_seconds: Annotated[int, Field(ge=10, le=3_600)]
    notice_url: Address
    notice_key: Key
    notice_emails: Annotated[list[str], BeforeValidator(_listed), AfterValidator(_all_addresses)]
    away_text: Annotated[str, Field(max_length=1_000), AfterValidator(storable)]


def of_team(session_id: str, team_id: str) -> tuple[Agent, Team]:
    """The member who asks, and the team with its settings."""
    return agent_in(team_id, session_id), Team.get_by_id(team_id)


def shown_of(team: Team) -> Values:
    """What the fields of the form begin with. Of the secret it tells which one it is, by its sealed form, and nothing else."""
    shown = {name: str(getattr(team, name)) for name in SHOWN} | {"notice_emails": "\n".join(json.loads(team.notice_emails))}
    return shown | {"notice_key": meanwhile.mark(team.notice_key) if team.notice_key else ""}


def change(session_id: str, team_id: str, typed: NoticesTyped, began: Began, keys: Seal, allow_private: bool) -> Happened[None]:
    """Save the settings. Raises NoticesIncomplete, ChangedMeanwhile."""
    admin = admin_in(team_id, session_id)
    kept = meanwhile.held(Team, Team.id == team_id)
    edit = Edit(admin, "notices_changed", kept, shown_of(kept), _shown(typed, kept, keys), began)
    if not edit.fields:
        return Happened(None)
    edit.must_be_unchanged()
    faults = _faults(typed, kept, allow_private)
    if faults:
        raise NoticesIncomplete(faults)
    columns = {**typed.model_dump(include=set(SHOWN)), "notice_emails": json.dumps(typed.notice_emails)}
    if "notice_key" in edit.fields:
        columns["notice_key"] = keys.close(typed.notice_key) if typed.notice_url else ""
    edit.save(columns)
    return Happened(None)


def _shown(typed: NoticesTyped, kept: Team, keys: Seal) -> Values:
    """What the form would begin with when this is saved. Without a webhook there is no secret; one that is kept already stays."""
    shown = {name: str(getattr(typed, name)) for name in SHOWN} | {"notice_emails": "\n".join(typed.notice_emails)}
    shown["notice_key"] = shown_of(kept)["notice_key"] if typed.notice_url else ""
    if typed.notice_url and typed.notice_key and keys.open(kept.notice_key) != typed.notice_key:
        shown["notice_key"] = ANOTHER_KEY
    return shown


def _faults(typed: NoticesTyped, kept: Team, allow_private: bool) -> dict[str, str]:
    faults = {"notice_url": fault_of_address(typed.notice_url, allow_private)}
    if typed.notice_url and not (typed.notice_key or kept.notice_key):
        faults["notice_key"] = "Your program needs a secret to know us by: generate one."
    return {name: words for name, words in faults.items() if words}
