"""Lines for the team's eyes only. A note stands after a number of the transcript and has none itself."""

from typing import Any

from handoff import conversations, snapshots, watching
from handoff.database import Happened
from handoff.errors import Conflict
from handoff.events import NoteAdded
from handoff.models import Conversation, Note


def add_note(session_id: str, conversation_id: str, client_id: str, text: str) -> Happened[dict[str, Any]]:
    agent = watching.agent_of_conversation(session_id, conversation_id)
    said = Note.get_or_none(Note.member == agent.id, Note.client_id == client_id)
    if said is not None:
        if (said.text, said.conversation_id) != (text, conversation_id):
            raise Conflict
        return Happened({"note": snapshots.describe_note(said, agent.name, mine=True)})
    version = conversations.touch(conversation_id)
    conversation = Conversation.get_by_id(conversation_id)
    note = Note.create(
        conversation=conversation_id, member=agent.id, client_id=client_id, after=conversation.last_number, text=text
    )
    described = snapshots.describe_note(note, agent.name, mine=True)
    fact = NoteAdded(conversation_id, conversation.assistant_id, version, described, agent.user_id)
    return Happened({"note": described}, [fact])
