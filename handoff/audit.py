"""Who did what when in a team, for its admins."""

import json

from handoff.models import Audit, Member


def note(team_id: str | None, user_id: str | None, kind: str, **about: str | int | None) -> None:
    """Write down what a user did, in the transaction that does it. `about` holds ids and names, never texts or secrets."""
    Audit.create(team=team_id, user=user_id, kind=kind, about=json.dumps(about, ensure_ascii=False))


def note_in_teams(user_id: str, kind: str, **about: str | int | None) -> None:
    """Write down what a user did with their own account, in each team that they belong to."""
    for (team_id,) in Member.select(Member.team).where(Member.user == user_id, Member.ended_at.is_null()).tuples():
        note(team_id, user_id, kind, **about)
