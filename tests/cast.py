"""The people of the tests. They meet on a `Stage`: a real Handoff, served on loopback, which they reach by real sockets.

Customers and agents remember every fact that they hear, so a test can wait for one and look at all of them afterwards.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import socketio
from aiohttp import web

from app import Handoff, prepare
from handoff import identity, teams
from handoff.assistants import NeedsHuman, Piece, Question
from handoff.database import Happened
from handoff.models import Assistant, Conversation, Entry, Member, Message, Outcome, Plan, Seat, Takeover, Team, Turn, User, Widget
from handoff.settings import Settings
from tests.servers import LOOPBACK, SECRET_KEY, free_port
from tests.waiting import wait_until

ENOUGH = 10.0  # seconds: what is right comes sooner, what is wrong never


@dataclass
class Heard:
    """Facts in the order in which they came."""

    facts: list[tuple[str, Any]] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        return [payload for heard, payload in self.facts if heard == name]

    async def wait_for(self, name: str, which: Callable[[Any], bool] = lambda payload: True) -> Any:
        """The first fact of that name that fits, past or future."""
        found = lambda: next((payload for payload in self.named(name) if which(payload)), None)  # noqa: E731
        await wait_until(lambda: found() is not None, ENOUGH, f"a fact {name}; heard {[heard for heard, _ in self.facts]}")
        return found()


class Person:
    """Somebody with a socket in one namespace."""

    namespace = "/"

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.heard = Heard()
        self.socket = socketio.AsyncClient(reconnection=False, **options)
        self.refusal: Any = None
        self.socket.on("*", self._hear, namespace=self.namespace)
        self.socket.on("connect_error", self._turned_away, namespace=self.namespace)

    async def _hear(self, event: str, *payload: Any) -> None:
        self.heard.facts.append((event, payload[0] if payload else None))
        await self.on_fact(event, payload[0] if payload else None)

    async def _turned_away(self, refusal: Any) -> None:
        self.refusal = refusal

    async def on_fact(self, event: str, payload: Any) -> None:
        """For people who do something about what they hear."""

    async def connect(
        self, auth: dict[str, Any], headers: dict[str, str] | None = None, transports: tuple[str, ...] = ("websocket",)
    ):
        await self.socket.connect(
            self.url,
            namespaces=[self.namespace],
            auth=auth,
            headers=headers or {},
            transports=list(transports),
            wait_timeout=ENOUGH,
        )
        return self

    async def ask(self, command: str, **payload: Any) -> dict[str, Any]:
        """Send a command and give its whole ack."""
        return await self.socket.call(command, payload, namespace=self.namespace, timeout=ENOUGH)

    async def do(self, command: str, **payload: Any) -> Any:
        """Send a command that must succeed, and give what it answers."""
        ack = await self.ask(command, **payload)
        assert "ok" in ack, f"{command} was refused: {ack}"
        return ack["ok"]

    async def refused(self, command: str, **payload: Any) -> dict[str, Any]:
        """Send a command that must be refused, and give the error."""
        ack = await self.ask(command, **payload)
        assert "error" in ack, f"{command} was carried out: {ack}"
        return ack["error"]

    async def leave(self) -> None:
        await self.socket.disconnect()
        await self.socket.shutdown()


class Customer(Person):
    namespace = "/customers"
    token: str | None = None
    conversation_id: str = ""

    async def arrive(self, key: str, token: str | None = None, **options: Any) -> "Customer":
        await self.connect({"protocol": 1, "widget": key, "token": token}, **options)
        self.token = (await self.heard.wait_for("conversation_opened"))["token"]
        return self

    async def write(self, text: str, client_id: str | None = None) -> dict[str, Any]:
        """Post a line; gives the stored message."""
        message = (await self.do("post_message", client_id=client_id or secrets.token_hex(8), text=text))["message"]
        self.conversation_id = message["conversation_id"]
        return message

    async def history(self) -> list[dict[str, Any]]:
        """Every line of the conversation, caught up from nothing."""
        lines: list[dict[str, Any]] = []
        while True:
            page = await self.do("catch_up", after=lines[-1]["number"] if lines else 0)
            lines += page["messages"]
            if not page["more"]:
                return lines


class Agent(Person):
    namespace = "/agents"
    member_id: str
    user_id: str
    name: str
    cookie: str

    async def sit_down(self, **options: Any) -> "Agent":
        await self.connect({"protocol": 1}, headers={"Cookie": f"{identity.COOKIE}={self.cookie}"}, **options)
        return self

    async def take_over(self, conversation_id: str) -> dict[str, Any]:
        return (await self.do("take_over", conversation_id=conversation_id))["conversation"]

    async def write(self, conversation_id: str, text: str, client_id: str | None = None) -> dict[str, Any]:
        client_id = client_id or secrets.token_hex(8)
        return (await self.do("post_message", conversation_id=conversation_id, client_id=client_id, text=text))["message"]


class HeldAssistant:
    """A model behind the same protocol as any other, which a test leads by the hand: it says nothing until it is let."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.stopped = 0
        self._pieces: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()

    def say(self, *pieces: str | NeedsHuman | Exception) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def finish(self) -> None:
        self._pieces.put_nowait(None)

    async def is_asked(self, times: int = 1) -> Question:
        await wait_until(lambda: len(self.asked) >= times, ENOUGH, f"the assistant is asked {times} times")
        return self.asked[times - 1]

    async def is_stopped(self, times: int = 1) -> None:
        await wait_until(lambda: self.stopped >= times, ENOUGH, f"the assistant has stopped {times} times")

    async def answer(self, question: Question):
        self.asked.append(question)
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.stopped += 1


@dataclass
class Stage:
    """A team, Tidewater, whose assistant Tilly answers in a widget; served by this process."""

    handoff: Handoff
    url: str
    team_id: str = ""
    assistant_id: str = ""
    widget_key: str = ""
    people: list[Person] = field(default_factory=list)

    async def make(self, operation: Callable[[], Any]) -> Any:
        """Change the rows as the operator of the database could, in one transaction."""
        return await self.handoff.database.write("stage", lambda: Happened(operation()))

    async def look(self, query: Callable[[], Any]) -> Any:
        return await self.handoff.database.read(query)

    async def customer(self, token: str | None = None, key: str | None = None, **options: Any) -> Customer:
        customer = Customer(self.url)
        self.people.append(customer)
        return await customer.arrive(key or self.widget_key, token, **options)

    async def agent(self, name: str, *, seat: str | None = "held", role: str = "member", team: str | None = None) -> Agent:
        """A member, signed in and connected, with or without a seat."""
        agent = await self.member(name, seat=seat, role=role, team=team)
        return await agent.sit_down()

    async def watcher(self, name: str, **options: Any) -> Agent:
        """An agent who watches Tilly."""
        agent = await self.agent(name, **options)
        await agent.do("watch", assistant_id=self.assistant_id)
        return agent

    async def member(self, name: str, *, seat: str | None = "held", role: str = "member", team: str | None = None) -> Agent:
        """A signed-in member who has no socket yet."""
        agent = Agent(self.url)
        self.people.append(agent)
        agent.name = name
        agent.user_id, agent.member_id = await self.make(lambda: _join(name, role, seat, team or self.team_id))
        agent.cookie = await self.sign_in(agent.user_id)
        return agent

    async def second_socket(self, agent: Agent) -> Agent:
        """The same user in another tab."""
        other = Agent(self.url)
        self.people.append(other)
        other.name, other.user_id, other.member_id, other.cookie = agent.name, agent.user_id, agent.member_id, agent.cookie
        return await other.sit_down()

    async def sign_in(self, user_id: str) -> str:
        """By a one-time link, as a person would; gives the cookie."""
        token = await self.handoff.database.write(user_id, identity.offer_link, user_id)
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(f"{self.url}/sign-in/{token}", allow_redirects=False) as response,
        ):
            return response.cookies[identity.COOKIE].value

    async def hold_assistant(self) -> HeldAssistant:
        """Put a model that the test leads behind Tilly."""
        held = HeldAssistant()
        self.handoff.writers.providers = {**self.handoff.writers.providers, "held": held}
        await self.set_assistant(provider="held")
        return held

    async def set_assistant(self, **columns: Any) -> None:
        await self.make(lambda: Assistant.update(columns).where(Assistant.id == self.assistant_id).execute())

    async def conversation(self, id: str) -> Conversation:
        return await self.look(lambda: Conversation.get_by_id(id))

    async def messages(self, conversation_id: str) -> list[Message]:
        return await self.look(
            lambda: list(Message.select().where(Message.conversation == conversation_id).order_by(Message.number))
        )

    async def takeovers(self, conversation_id: str) -> list[Takeover]:
        return await self.look(
            lambda: list(Takeover.select().where(Takeover.conversation == conversation_id).order_by(Takeover.taken_at))
        )

    async def turns(self, conversation_id: str) -> list[Turn]:
        return await self.look(lambda: list(Turn.select().where(Turn.conversation == conversation_id).order_by(Turn.started_at)))

    async def outcome(self, name: str = "Solved") -> str:
        return await self.look(lambda: Outcome.get(Outcome.name == name).id)


def _join(name: str, role: str, seat: str | None, team: str) -> tuple[str, str]:
    user = User.create(name=name, email=f"{secrets.token_hex(6)}@tidewater.example")
    member = Member.create(team=team, user=user, role=role)
    if seat:
        Seat.create(team=team, member=member, status=seat)
    return user.id, member.id


def _found_team(name: str) -> tuple[str, str, str]:
    Plan.insert(id="tests", human_agents=1_000).on_conflict_ignore().execute()
    team = Team.create(name=name, plan="tests")
    for position, outcome in enumerate(teams.OUTCOMES):
        Outcome.create(team=team, name=outcome, position=position)
    assistant = Assistant.create(team=team, name="Tilly")
    Entry.create(
        assistant=assistant,
        question="How long does delivery take?",
        answer="Delivery takes five working days. You get a link by e-mail to follow your parcel on its way to you.",
    )
    widget = Widget.create(assistant=assistant, name="Shop", key=secrets.token_urlsafe(12))
    return team.id, assistant.id, widget.key


async def found_team(stage: Stage, name: str = "Tidewater") -> tuple[str, str, str]:
    """Another team with an assistant and a widget: ids and key."""
    return await stage.make(lambda: _found_team(name))


@pytest.fixture
async def open_stage(database_url: str) -> AsyncIterator[Callable[..., Any]]:
    """`stage = await open_stage(words_per_second=...)`: Handoff served with these settings, on each of the databases."""
    opened: list[tuple[Stage, web.AppRunner]] = []

    async def open(**settings: Any) -> Stage:
        port = free_port()
        given = {"host": LOOPBACK, "port": port, "secret_key": SECRET_KEY, "database_url": database_url}
        handoff = Handoff(Settings(_env_file=None, **{**given, "words_per_second": 200, **settings}))
        prepare(handoff.settings)
        await handoff.start()
        runner = handoff.runner()
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, port).start()
        stage = Stage(handoff, f"http://{LOOPBACK}:{port}")
        opened.append((stage, runner))
        stage.team_id, stage.assistant_id, stage.widget_key = await found_team(stage)
        return stage

    yield open
    for stage, runner in opened:
        await asyncio.gather(*(person.leave() for person in stage.people), return_exceptions=True)
        await stage.handoff.stop()
        await runner.cleanup()


@pytest.fixture
async def stage(open_stage: Callable[..., Any]) -> Stage:
    return await open_stage()
