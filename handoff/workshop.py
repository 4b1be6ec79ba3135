"""How an assistant begins and ends: made with a first widget, archived, brought back."""

import secrets

from handoff import audit, teams
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound
from handoff.events import AssistantsChanged
from handoff.knowledge import AssistantName
from handoff.models import Assistant, Team
from handoff.seats import admin_in

FIRST_WIDGET = "Web site"


def create(session_id: str, team_id: str, assistant_id: str, named: AssistantName) -> Happened[str]:
    """Make an assistant and its first widget, under the id that its form was given, so that sending the form twice makes
    one. Answers with its id.

    A form that is sent again with another name (somebody went back in the browser) makes another assistant.
    """
    admin = admin_in(team_id, session_id)
    known = Assistant.get_or_none(Assistant.id == assistant_id)
    if known is not None:
        if (known.team_id, known.name) == (team_id, named.name):
            return Happened(assistant_id)
        assistant_id = new_id()
    made = teams.add_assistant(Team.get_by_id(team_id), named.name, id=assistant_id)
    teams.add_widget(made, FIRST_WIDGET, new_key())
    audit.note(team_id, admin.user_id, "assistant_created", assistant_id=assistant_id, name=named.name)
    return Happened(assistant_id, [AssistantsChanged(team_id)])


def archive(session_id: str, team_id: str, assistant_id: str) -> Happened[None]:
    """It takes no new conversation from now on; its active ones go on. What is archived already stays so."""
    return _set_archived(session_id, team_id, assistant_id, now(), "assistant_archived")


def bring_back(session_id: str, team_id: str, assistant_id: str) -> Happened[None]:
    """It takes new conversations again."""
    return _set_archived(session_id, team_id, assistant_id, None, "assistant_brought_back")


def new_key() -> str:
    """The public name of a widget. It is no secret, but nobody can guess another team's."""
    return secrets.token_hex(12)


def _set_archived(session_id: str, team_id: str, assistant_id: str, at: int | None, kind: str) -> Happened[None]:
    admin = admin_in(team_id, session_id)
    found = Assistant.get_or_none(Assistant.id == assistant_id, Assistant.team == team_id)
    if found is None:
        raise NotFound
    differs = Assistant.archived_at.is_null(at is not None)
    if not Assistant.update(archived_at=at).where(Assistant.id == assistant_id, differs).execute():
        return Happened(None)
    audit.note(team_id, admin.user_id, kind, assistant_id=assistant_id, name=found.name)
    return Happened(None, [AssistantsChanged(team_id)])
