"""Who hears what. Nothing else in Handoff emits; everything here is said after the commit, in the order of the commits."""

from collections import OrderedDict
from typing import Any

from socketio import AsyncServer

from handoff.events import (
    AssistantsChanged,
    ConversationChanged,
    ConversationClosed,
    ConversationFact,
    ConversationOpened,
    ConversationTakenOver,
    DraftChanged,
    Fact,
    MembersChanged,
    MessagePosted,
    NoteAdded,
    OutcomesChanged,
    SeatsChanged,
    SignalRaised,
    TurnEnded,
    TypingChanged,
    WidgetsChanged,
)
from handoff.messages import for_agents, for_customer

ENDED_TURNS = 10_000  # remembered, so that a draft which comes late from another process is dropped


class Broadcasts:
    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def announce(self, fact: Fact) -> None:
        """Say a fact to everyone who is to hear it."""
        match fact:
            case MessagePosted():
                await self._message_posted(fact)
            case DraftChanged():
                await self._draft_changed(fact)
            case TurnEnded():
                await self._turn_ended(fact)
            case TypingChanged():
                await self._typing_changed(fact)
            case ConversationTakenOver():
                await self._to_watchers("conversation_taken_over", fact, conversation=fact.conversation, takeover=fact.takeover)
            case ConversationOpened():
                await self._to_watchers("conversation_opened", fact, conversation=fact.conversation)
            case ConversationChanged():
                await self._to_watchers("conversation_changed", fact, conversation=fact.conversation)
            case ConversationClosed():
                await self._conversation_closed(fact)
            case SignalRaised():
                await self._to_watchers("signal_raised", fact, signal=fact.signal)
            case NoteAdded():
                await self._note_added(fact)
            case SeatsChanged():
                await self._to_team("seats_changed", fact.team_id)
            case MembersChanged():
                await self._to_team("members_changed", fact.team_id)
            case AssistantsChanged():
                await self._to_team("assistants_changed", fact.team_id)
            case OutcomesChanged():
                await self._to_team("outcomes_changed", fact.team_id)
            case WidgetsChanged():
                await self._to_team("widgets_changed", fact.team_id)

    async def tell_opened(self, sid: str, token: str, widget: dict[str, Any], conversation: dict[str, Any] | None) -> None:
        """Greet one socket of a customer with who they are, how the widget looks and which conversation is theirs."""
        greeting = {"token": token, "widget": widget, "conversation": conversation}
        await self._server.emit("conversation_opened", greeting, namespace="/customers", to=sid)

    async def _message_posted(self, fact: MessagePosted) -> None:
        await self._to_customer("message_posted", fact.conversation_id, {"message": for_customer(fact.message)})
        author = fact.message["user_id"]
        await self._to_watchers(
            "message_posted",
            fact,
            author,
            {"message": for_agents(fact.message, author)},
            message=for_agents(fact.message),
        )

    async def _draft_changed(self, fact: DraftChanged) -> None:
        if fact.turn in self._ended:
            return
        draft = {"turn": fact.turn, "text": fact.text}
        await self._to_customer("draft_changed", fact.conversation_id, draft)
        await self._to_readers("draft_changed", fact.conversation_id, draft)

    async def _turn_ended(self, fact: TurnEnded) -> None:
        self._ended[fact.turn] = None
        if len(self._ended) > ENDED_TURNS:
            self._ended.popitem(last=False)
        if fact.withdrawn:
            await self._to_customer("draft_withdrawn", fact.conversation_id, {"turn": fact.turn})
            await self._to_readers("draft_withdrawn", fact.conversation_id, {"turn": fact.turn})

    async def _typing_changed(self, fact: TypingChanged) -> None:
        if fact.shown_as is not None:
            heard = {"author": fact.shown_as, "is_typing": fact.is_typing}
            await self._to_customer("typing_changed", fact.conversation_id, heard)
        payload: dict[str, Any] = {"author": fact.author, "is_typing": fact.is_typing}
        if fact.agent is not None:
            payload["agent"] = fact.agent
        await self._to_watchers("typing_changed", fact, **payload)

    async def _conversation_closed(self, fact: ConversationClosed) -> None:
        closed = {key: fact.conversation[key] for key in ("id", "status", "last_number")}
        await self._to_customer("conversation_closed", fact.conversation_id, {"conversation": closed})
        await self._to_watchers("conversation_closed", fact, conversation=fact.conversation)

    async def _note_added(self, fact: NoteAdded) -> None:
        others = {key: value for key, value in fact.note.items() if key != "client_id"}
        await self._to_watchers("note_added", fact, fact.user_id, {"note": fact.note}, note=others)

    async def _to_customer(self, event: str, conversation_id: str, payload: dict[str, Any]) -> None:
        await self._server.emit(event, payload, namespace="/customers", room=f"conversation:{conversation_id}")

    async def _to_readers(self, event: str, conversation_id: str, payload: dict[str, Any]) -> None:
        """To the agents who have the conversation open."""
        payload = {"conversation_id": conversation_id, **payload}
        await self._server.emit(event, payload, namespace="/agents", room=f"conversation:{conversation_id}")

    async def _to_watchers(
        self,
        event: str,
        fact: ConversationFact,
        user_id: str | None = None,
        own: dict[str, Any] | None = None,
        **payload: Any,
    ) -> None:
        """To the assistant's room, and to an owner whose seat is suspended, who hears of what is theirs alone. The sockets of
        that user hear `own` instead: their client_id is theirs alone."""
        head = {"conversation_id": fact.conversation_id, "assistant_id": fact.assistant_id, "version": fact.version}
        rooms = [f"assistant:{fact.assistant_id}", f"owned:{fact.conversation_id}"]
        authors = self._in_both(rooms, f"user:{user_id}") if user_id else []
        for sid in authors:
            await self._server.emit(event, {**head, **(own or {})}, namespace="/agents", to=sid)
        await self._server.emit(event, {**head, **payload}, namespace="/agents", room=rooms, skip_sid=authors)

    async def _to_team(self, event: str, team_id: str) -> None:
        """To whoever has something of the team's open: which team, and nothing of what changed."""
        await self._server.emit(event, {"team_id": team_id}, namespace="/agents", room=f"team:{team_id}")

    def _in_both(self, rooms: list[str], other: str) -> list[str]:
        participants = self._server.manager.get_participants
        theirs = {sid for sid, _ in participants("/agents", other)}
        return [sid for sid, _ in participants("/agents", rooms) if sid in theirs]
