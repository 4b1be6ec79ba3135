"""/agents: the console's door. The session cookie says who; a seat lets them watch; being in an assistant's room is watching.

Whose seat is suspended is in no such room, but in one for each conversation that they own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web

from handoff import conversations, identity, messages, notes, signals, snapshots, takeovers, teams, watching
from handoff.database import Database
from handoff.errors import NotOwner, Unavailable
from handoff.events import (
    AccessEnded,
    AddNote,
    AgentTyping,
    CloseConversation,
    Fact,
    MarkRead,
    OpenConversation,
    PostAgentMessage,
    TakeOver,
    TypingChanged,
    Unwatch,
    Watch,
)
from handoff.identity import SignedIn
from handoff.markdown import render
from handoff.models import Conversation, Takeover
from handoff.namespaces.base import Door, Turned, command
from handoff.seats import Agent
from handoff.sockets import Connections

log = structlog.get_logger()

ACCESS_SECONDS = 2.0  # between two looks at whether those who are here may still be


@dataclass
class Desk:
    """One live socket of a user."""

    user: SignedIn
    may_watch: set[str]  # assistants, when last looked: whoever may watch less now has lost a seat
    open: str | None = None
    owned: dict[str, list[str]] = field(default_factory=dict)  # by assistant, where the seat is suspended


class Agents(Door):
    def __init__(
        self,
        connections: Connections,
        per_10_seconds: int,
        *,
        database: Database,
        announce: Callable[[Sequence[Fact]], None],
        origins: frozenset[str],
    ) -> None:
        super().__init__("/agents", connections, per_10_seconds)
        self.database = database
        self.announce = announce
        self.origins = origins
        self.desks: dict[str, Desk] = {}

    def who(self, sid: str) -> str | None:
        desk = self.desks.get(sid)
        return f"session:{desk.user.session_id}" if desk else None

    def left(self, sid: str) -> None:
        self.desks.pop(sid, None)

    async def admitted(self, sid: str, request: web.Request, auth: dict[str, Any]) -> None:
        # A browser always says where its page came from; what says nothing is no browser and holds no foreign cookie.
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self.origins:
            raise Turned("site_not_allowed", "The console works on its own address only.")
        user = await self.database.read(identity.session_of, request.cookies.get(identity.COOKIE, ""))
        if user is None:
            raise Turned("signed_out", "Sign in first.")
        let_in = await self.database.read(watching.let_in, [user.session_id])
        self.desks[sid] = Desk(user, let_in.get(user.session_id, set()))
        await self.enter_room(sid, f"user:{user.user_id}")
        # The session may have ended while the room was entered: then nobody would have told this socket.
        if await self.database.read(identity.session_of, request.cookies.get(identity.COOKIE, "")) is None:
            raise Turned("signed_out", "Sign in first.")
        # Read after that room was entered: a membership that ends from here on closes this socket.
        for team_id in await self.database.read(teams.ids_of, user.user_id):
            await self.enter_room(sid, f"team:{team_id}")

    async def heed(self, fact: Fact) -> None:
        """Close the sockets of somebody whose access ended (I10); the page finds out what is left when it comes back."""
        if not isinstance(fact, AccessEnded):
            return
        for sid, _ in list(self.server.manager.get_participants(self.namespace, f"user:{fact.user_id}")):
            desk = self.desks.get(sid)
            if desk is not None and fact.session_id in (None, desk.user.session_id):
                await self.server.disconnect(sid, namespace=self.namespace)

    async def watch_over(self) -> None:
        """Close, every few seconds, the sockets whose access ended unheard: a session runs out without a word, and what another
        process says can be lost (I10). Runs until cancelled."""
        while True:
            await asyncio.sleep(ACCESS_SECONDS)
            try:
                await self._close_ended()
            except Unavailable:
                log.warning("access_check_postponed")
            except Exception:
                log.exception("access_check_failed")

    async def _close_ended(self) -> None:
        here = dict(self.desks)
        let_in = await self.database.read(watching.let_in, list({desk.user.session_id for desk in here.values()}))
        for sid, desk in here.items():
            may_watch = let_in.get(desk.user.session_id)
            if may_watch is None or not desk.may_watch <= may_watch:
                await self.server.disconnect(sid, namespace=self.namespace)
            else:
                desk.may_watch = may_watch

    @command(Watch)
    async def watch(self, sid: str, sent: Watch) -> dict[str, Any]:
        desk = self.desks[sid]
        agent = await self.database.read(watching.agent_of_assistant, desk.user.session_id, sent.assistant_id, sent.filter)
        # The room first and the list after it: what is committed in between comes as a fact with a newer version.
        if agent.seat == "held":
            await self.enter_room(sid, f"assistant:{sent.assistant_id}")
        else:
            await self._watch_owned(sid, agent, sent.assistant_id)
        return await self.database.read(watching.watched, agent, sent)

    async def _watch_owned(self, sid: str, agent: Agent, assistant_id: str) -> None:
        self.desks[sid].owned[assistant_id] = owned = await self.database.read(watching.owned, agent, assistant_id)
        for conversation_id in owned:
            await self.enter_room(sid, f"owned:{conversation_id}")

    @command(Unwatch)
    async def unwatch(self, sid: str, sent: Unwatch) -> None:
        await self.leave_room(sid, f"assistant:{sent.assistant_id}")
        for conversation_id in self.desks[sid].owned.pop(sent.assistant_id, []):
            await self.leave_room(sid, f"owned:{conversation_id}")

    @command(OpenConversation)
    async def open_conversation(self, sid: str, sent: OpenConversation) -> dict[str, Any]:
        """Also brings this socket the conversation's drafts, and no other's."""
        desk = self.desks[sid]
        agent = await self.database.read(watching.agent_of_conversation, desk.user.session_id, sent.conversation_id)
        if desk.open not in (None, sent.conversation_id):
            await self.leave_room(sid, f"conversation:{desk.open}")
        desk.open = sent.conversation_id
        await self.enter_room(sid, f"conversation:{sent.conversation_id}")
        opened: dict[str, Any] = await self.database.read(snapshots.opened_by, agent, sent.conversation_id, sent.after, sent.before)
        if opened["conversation"]["signals"]:
            await self.database.write(sent.conversation_id, signals.opened, sent.conversation_id)
        return opened

    @command(TakeOver)
    async def take_over(self, sid: str, sent: TakeOver) -> Any:
        return await self._write(sid, sent.conversation_id, takeovers.take_over)

    @command(PostAgentMessage)
    async def post_message(self, sid: str, sent: PostAgentMessage) -> dict[str, Any]:
        html = await asyncio.to_thread(render, sent.text)
        said = await self._write(sid, sent.conversation_id, messages.post_as_agent, sent.client_id, sent.text, html)
        return {"message": messages.for_agents(said, self.desks[sid].user.user_id)}

    @command(AgentTyping)
    async def typing(self, sid: str, sent: AgentTyping) -> None:
        self.announce([await self.database.read(typing_of, self.desks[sid].user.session_id, sent.conversation_id, sent.is_typing)])

    @command(MarkRead)
    async def mark_read(self, sid: str, sent: MarkRead) -> None:
        await self._write(sid, sent.conversation_id, conversations.mark_read, sent.number)

    @command(AddNote)
    async def add_note(self, sid: str, sent: AddNote) -> Any:
        return await self._write(sid, sent.conversation_id, notes.add_note, sent.client_id, sent.text)

    @command(CloseConversation)
    async def close_conversation(self, sid: str, sent: CloseConversation) -> Any:
        return await self._write(sid, sent.conversation_id, conversations.close_as_agent, sent.outcome_id, sent.note)

    async def _write(self, sid: str, conversation_id: str, operation: Callable[..., Any], *arguments: Any) -> Any:
        session_id = self.desks[sid].user.session_id
        return await self.database.write(conversation_id, operation, session_id, conversation_id, *arguments)


def typing_of(session_id: str, conversation_id: str, is_typing: bool) -> TypingChanged:
    """The owner's typing, which the customer sees as the assistant's unless the takeover was announced (I7)."""
    agent = watching.agent_of_conversation(session_id, conversation_id)
    conversation = Conversation.get_by_id(conversation_id)
    if conversation.owner_id != agent.id or conversation.status != "active":
        raise NotOwner
    handoff = Takeover.select(Takeover.handoff).where(Takeover.id == conversation.takeover_id).scalar()
    silent = "assistant" if is_typing else None  # an assistant never says that it stopped
    shown_as = "agent" if handoff == "announced" else silent
    at = (conversation.id, conversation.assistant_id, conversation.version)
    return TypingChanged(*at, "agent", is_typing, agent.named, shown_as)
