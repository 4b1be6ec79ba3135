"""/customers: the widget's door. A signed token says who; no payload ever says which conversation (I9)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from handoff import customers, messages, widgets
from handoff.broadcasts import Broadcasts
from handoff.clock import new_id
from handoff.database import Database
from handoff.errors import Invalid, Unavailable
from handoff.events import (
    CatchUp,
    ConversationOpened,
    Fact,
    LeaveEmail,
    Nothing,
    PostMessage,
    RateConversation,
    Typing,
    TypingChanged,
)
from handoff.identity import CustomerToken, CustomerTokens
from handoff.models import Conversation
from handoff.namespaces.base import Allowance, Door, Turned, command
from handoff.people import an_address, plain_address
from handoff.presence import Presence
from handoff.sockets import Connections

EMAILS_A_MINUTE = 6  # that one customer may leave: enough for typing errors


@dataclass
class Visit:
    """One live socket of a customer."""

    customer: CustomerToken
    assistant_id: str
    look: dict[str, Any]
    conversation_id: str | None = None


class Customers(Door):
    def __init__(
        self,
        connections: Connections,
        per_10_seconds: int,
        *,
        database: Database,
        broadcasts: Broadcasts,
        announce: Callable[[Sequence[Fact]], None],
        presence: Presence,
        tokens: CustomerTokens,
        process: str,
        origins: frozenset[str],
    ) -> None:
        super().__init__("/customers", connections, per_10_seconds)
        self.database = database
        self.broadcasts = broadcasts
        self.announce = announce
        self.presence = presence
        self.tokens = tokens
        self.process = process
        self.origins = origins
        self.visits: dict[str, Visit] = {}
        self._emails = Allowance(EMAILS_A_MINUTE, 60)

    def who(self, sid: str) -> str | None:
        visit = self.visits.get(sid)
        return f"customer:{visit.customer.customer_id}" if visit else None

    def left(self, sid: str) -> None:
        self.visits.pop(sid, None)

    async def admitted(self, sid: str, request: web.Request, auth: dict[str, Any]) -> None:
        customer = self._customer(auth)
        widget = await self.database.read(widgets.find, auth.get("widget"), customer)
        if widget is None:
            raise Turned("unknown_widget", "This chat is not here any more.")
        origin = request.headers.get("Origin")
        if origin and origin not in self.origins and not widgets.allows(widget, origin):
            raise Turned("site_not_allowed", "This chat may not be used on this site.")
        if customer is None or customer.widget_id != widget.id:
            customer = CustomerToken(new_id(), widget.id)
        visit = self.visits[sid] = Visit(customer, widget.assistant_id, widgets.look(widget))
        # The room first and the row after it: what is committed in between reaches this socket as a fact.
        await self.enter_room(sid, f"customer:{customer.customer_id}")
        await self._find_conversation(sid, visit)
        self.server.start_background_task(self._greet, sid, visit)

    def _customer(self, auth: dict[str, Any]) -> CustomerToken | None:
        given = auth.get("token")
        if given is None:
            return None
        customer = self.tokens.read(given) if isinstance(given, str) and len(given) < 500 else None
        if customer is None:
            raise Turned("bad_token", "This token is not one of ours.")
        return customer

    async def _greet(self, sid: str, visit: Visit) -> None:
        """As a task of its own it comes after the CONNECT packet, and tells what is so by then."""
        try:
            conversation = await self.database.read(customers.summary, visit.conversation_id)
        except Unavailable:
            await self.server.disconnect(sid, namespace=self.namespace)
            return
        await self.broadcasts.tell_opened(sid, self.tokens.give(visit.customer), visit.look, conversation)

    async def _find_conversation(self, sid: str, visit: Visit) -> None:
        """Join the customer's conversation by the row. The fact that it opened only makes that quick; a fact can be lost."""
        conversation = await self.database.read(customers.latest, visit.customer)
        if conversation is not None and conversation.id != visit.conversation_id:
            await self._join(sid, visit, conversation.id)

    async def _join(self, sid: str, visit: Visit, conversation_id: str) -> None:
        if visit.conversation_id is not None:
            await self.leave_room(sid, f"conversation:{visit.conversation_id}")
        visit.conversation_id = conversation_id
        await self.enter_room(sid, f"conversation:{conversation_id}")

    async def heed(self, fact: Fact) -> None:
        """Move every socket of a customer into the conversation that their first line opened."""
        if not isinstance(fact, ConversationOpened):
            return
        for sid, _ in list(self.server.manager.get_participants(self.namespace, f"customer:{fact.customer_id}")):
            visit = self.visits.get(sid)
            if visit is not None and visit.conversation_id != fact.conversation_id:
                await self._join(sid, visit, fact.conversation_id)
                await self._greet(sid, visit)

    @command(PostMessage)
    async def post_message(self, sid: str, sent: PostMessage) -> dict[str, Any]:
        visit = self.visits[sid]
        said = await self.database.write(
            _key(visit), customers.post_message, visit.customer, sent.client_id, sent.text, self.process
        )
        if visit.conversation_id != said["conversation_id"]:
            await self._find_conversation(sid, visit)
        return {"message": messages.for_customer(said)}

    @command(CatchUp)
    async def catch_up(self, sid: str, sent: CatchUp) -> dict[str, Any]:
        visit = self.visits[sid]
        await self._find_conversation(sid, visit)
        return await self.database.read(customers.catch_up, visit.conversation_id, sent.after)

    @command(Typing)
    async def typing(self, sid: str, sent: Typing) -> None:
        conversation: Conversation | None = await self.database.read(customers.latest, self.visits[sid].customer)
        if conversation is not None and conversation.status == "active":
            at = (conversation.id, conversation.assistant_id, conversation.version)
            self.announce([TypingChanged(*at, "customer", sent.is_typing)])

    @command(Nothing)
    async def request_human(self, sid: str, sent: Nothing) -> dict[str, bool]:
        """Raise the signal, and say whether an agent is watching now."""
        visit = self.visits[sid]
        await self.database.write(_key(visit), customers.ask_for_human, visit.customer)
        return {"available": self.presence.is_watched(visit.assistant_id)}

    @command(LeaveEmail)
    async def leave_email(self, sid: str, sent: LeaveEmail) -> None:
        visit = self.visits[sid]
        self._emails.spend(visit.customer.customer_id)
        try:
            email = an_address(str(plain_address(sent.email)))
        except ValueError as fault:
            raise Invalid(f"email: {fault}", field="email") from None
        await self.database.write(_key(visit), customers.leave_email, visit.customer, email)

    @command(Nothing)
    async def end_conversation(self, sid: str, sent: Nothing) -> None:
        visit = self.visits[sid]
        await self.database.write(_key(visit), customers.end_conversation, visit.customer)

    @command(RateConversation)
    async def rate_conversation(self, sid: str, sent: RateConversation) -> None:
        visit = self.visits[sid]
        await self.database.write(_key(visit), customers.rate_conversation, visit.customer, sent.score, sent.comment)


def _key(visit: Visit) -> str:
    return visit.conversation_id or visit.customer.customer_id
