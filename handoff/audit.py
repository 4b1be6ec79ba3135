"""Who did what when in a team, for its admins."""

import json

from handoff.models import Audit


def note(team_id: str | None, user_id: str | None, kind: str, **about: str | int | None) -> None:
    """Write down what a user did, in the transaction that does it. `about` holds ids and names, never texts or secrets."""
    Audit.create(team=team_id, user=user_id, kind=kind, about=json.dumps(about, ensure_ascii=False))
