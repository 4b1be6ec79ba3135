"""Who did what when in a team, for its admins."""

import json
from dataclasses import dataclass
from typing import Any

from peewee import JOIN

from handoff.clock import now
from handoff.models import Audit, Member, User

MOST_PEOPLE = 1_000  # to choose from

# Each kind of line: how the filter calls it, and what it says of somebody. In braces stand parts of what the line is about.
KINDS: dict[str, tuple[str, str]] = {
    "signed_in": ("Signed in", "signed in with {browser}"),
    "sign_in_failed": ("Sign-in failed", "was not let in, because the password or the code was wrong, with {browser}"),
    "signed_out": ("Signed out", "signed out"),
    "signed_out_everywhere": ("Signed out everywhere", "signed out everywhere"),
    "session_ended": ("Session ended", "ended one of their sessions"),
    "sessions_ended": ("Other sessions ended", "ended their other sessions"),
    "password_changed": ("Password changed", "changed their password"),
    "renamed": ("Name changed", "changed their name to {name}"),
    "second_factor_on": ("Second factor on", "turned their second factor on"),
    "second_factor_off": ("Second factor off", "turned their second factor off"),
    "recovery_codes_renewed": ("Recovery codes renewed", "made new recovery codes"),
    "second_factor_required": ("Second factor required", "required a second factor of every member"),
    "second_factor_not_required": ("Second factor not required", "stopped requiring a second factor"),
    "taken_over": ("Conversation taken over", "took over conversation {conversation_id}"),
    "seat_assigned": ("Seat assigned", "gave {name} a seat"),
    "seat_released": ("Seat released", "released the seat of {name}"),
    "seat_suspended": ("Seat suspended", "suspended the seat of {name}, for which the plan has no room"),
    "seat_resumed": ("Seat resumed", "gave {name} the suspended seat back"),
    "plan_changed": ("Plan changed", "changed the plan from {before} to {plan}"),
    "team_founded": ("Team founded", "founded the team {name}"),
    "team_deleted": ("Team deleted", "deleted the team"),
    "member_invited": ("Member invited", "invited {email} as {role}"),
    "invitation_resent": ("Invitation sent again", "sent the invitation of {email} again"),
    "invitation_withdrawn": ("Invitation withdrawn", "withdrew the invitation of {email}"),
    "member_joined": ("Member joined", "joined as {role}"),
    "member_left": ("Member left", "left the team"),
    "member_removed": ("Member removed", "removed {name} from the team"),
    "role_changed": ("Role changed", "changed the role of {name} from {was} to {role}"),
    "assistant_created": ("Assistant created", "created the assistant {name}"),
    "assistant_archived": ("Assistant archived", "archived the assistant {name}"),
    "assistant_brought_back": ("Assistant brought back", "brought the assistant {name} back"),
    "assistant_changed": ("Assistant changed", "changed the assistant {name}"),
    "widget_added": ("Widget added", "added the widget {name}"),
    "widget_changed": ("Widget changed", "changed the widget {name}"),
    "widget_key_rotated": ("Widget key rotated", "gave the widget {name} a new key"),
    "answers_changed": ("Answers changed", "changed where the answers of {name} come from"),
    "notices_changed": ("Notices changed", "changed where notices go"),
    "notice_tested": ("Notice tested", "sent a test notice"),
    "notice_replayed": ("Notice replayed", "sent a notice once more"),
    "outcome_added": ("Outcome added", "added the outcome {name}"),
    "outcome_renamed": ("Outcome renamed", "renamed the outcome {was} to {name}"),
    "outcome_archived": ("Outcome archived", "archived the outcome {name}"),
    "outcome_brought_back": ("Outcome brought back", "brought the outcome {name} back"),
    "entry_added": ("Entry added", "added an entry to {name}"),
    "entry_edited": ("Entry edited", "edited an entry of {name}"),
    "entries_imported": ("Entries imported", "imported entries into {name}: {added} added, {updated} changed"),
    "entry_deleted": ("Entry deleted", "deleted an entry of {name}"),
}


@dataclass(frozen=True)
class Line:
    id: int
    at: int
    kind: str
    who: str | None  # null: no person, but the operator or the plan's billing
    email: str | None
    about: dict[str, Any]

    @property
    def words(self) -> str:
        """What was done, as it goes on after a name."""
        _, sentence = KINDS.get(self.kind, ("", self.kind.replace("_", " ")))
        return sentence.format_map(_Parts({part: value for part, value in self.about.items() if value is not None}))


class _Parts(dict[str, Any]):
    def __missing__(self, part: str) -> str:
        return "somebody" if part == "name" else "something"


def note(team_id: str | None, user_id: str | None, kind: str, /, **about: str | int | None) -> None:
    """Write down what a user did, in the transaction that does it. `about` holds ids and names, never texts or secrets."""
    Audit.create(team=team_id, user=user_id, kind=kind, about=json.dumps(about, ensure_ascii=False))


def note_in_teams(user_id: str, kind: str, **about: str | int | None) -> None:
    """Write down what a user did with their own account, in each team that they belong to."""
    for team_id in _teams_of(user_id):
        note(team_id, user_id, kind, **about)


def note_seldom(user_id: str, kind: str, apart: int, **about: str | int | None) -> None:
    """The same for what strangers can cause: one line in `apart` milliseconds. The caller holds the user's row."""
    for team_id in _teams_of(user_id):
        lines = Audit.select(Audit.at).where(Audit.team == team_id, Audit.user == user_id, Audit.kind == kind)
        last = lines.order_by(Audit.id.desc()).limit(1).scalar()
        if last is None or last <= now() - apart:
            note(team_id, user_id, kind, **about)


def _teams_of(user_id: str) -> list[str]:
    rows = Member.select(Member.team).where(Member.user == user_id, Member.ended_at.is_null())
    return [team_id for (team_id,) in rows.tuples()]


def lines_of(team_id: str, person: str, kind: str, before: int | None, most: int) -> list[Line]:
    """The last lines, the newest first, of one user and of one kind where these are not empty; with ids under `before`."""
    conditions = [Audit.team == team_id]
    conditions += [Audit.user == person] if person else []
    conditions += [Audit.kind == kind] if kind else []
    conditions += [Audit.id < before] if before is not None else []
    rows = (
        Audit.select(Audit.id, Audit.at, Audit.kind, User.name, User.email, Audit.about)
        .join(User, JOIN.LEFT_OUTER)
        .where(*conditions)
        .order_by(Audit.id.desc())
        .limit(most)
        .tuples()
    )
    return [Line(id, at, kind, who, email, json.loads(about)) for id, at, kind, who, email, about in rows]


def people_of(team_id: str) -> list[dict[str, str]]:
    """Whoever is or was a member."""
    rows = User.select(User.id, User.name).join(Member, on=(Member.user == User.id)).where(Member.team == team_id).distinct()
    return list(rows.order_by(User.name, User.id).limit(MOST_PEOPLE).dicts())
