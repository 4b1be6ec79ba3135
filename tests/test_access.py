"""Who may use what: every route and every command of the socket, tried as everybody, with their own ids and with others'."""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import socketio
from pydantic_core import PydanticUndefined

from app import Handoff
from handoff import access, identity, models
from handoff.access import Who
from handoff.clock import new_id
from handoff.models import Assistant, Conversation, Delivery, Entry, Invitation, Member, Outcome, Session, Widget
from handoff.namespaces.agents import Agents
from handoff.namespaces.customers import Customers
from handoff.settings import Settings
from tests.cast import Agent, Customer, Stage, found_team
from tests.servers import SECRET_KEY

COMMANDS = [(namespace, name) for namespace, door in (("/customers", Customers), ("/agents", Agents)) for name in door.handlers]


def routes_of(application: Any) -> list[tuple[str, str]]:
    """Method and pattern of every route. A HEAD is a GET whose answer is not read."""
    found = [(route.method, route.resource.canonical) for route in application.router.routes()]
    return sorted({("GET" if method == "HEAD" else method, path) for method, path in found})


@pytest.fixture
def routes(tmp_path: Any) -> list[tuple[str, str]]:
    """All of them, the demo's too."""
    url = f"sqlite:///{tmp_path / 'unused.db'}"
    return routes_of(Handoff(Settings(_env_file=None, secret_key=SECRET_KEY, database_url=url, demo=True)).application)


def test_every_route_is_in_the_table_and_nothing_else(routes) -> None:
    known = {("*", path) if ("*", path) in access.ROUTES else (method, path) for method, path in routes}
    assert known - set(access.ROUTES) == set(), "routes that nobody has said who may use"
    assert set(access.ROUTES) - known == set(), "rules of routes that are not there"


def test_every_command_is_in_the_table_and_nothing_else() -> None:
    assert set(access.COMMANDS) == set(COMMANDS)
    assert all(access.of_command(*command) for command in COMMANDS)


# --- routes ---------------------------------------------------------------------------------------

ABOUT_NOBODY = (Who.ANYONE, Who.BILLING)
HTMX = {"HX-Request": "true"}

# Fields for every form there is, so that an operation that must not happen could.
FIELDS = {
    "name": "Renamed",
    "email": "new@tidewater.example",
    "role": "admin",
    "plan": "business",
    "question": "Is it so?",
    "answer": "It is.",
    "text": "x",
    "color": "#123456",
    "handoff": "silent",
    "handoff_text": "",
    "fallback_text": "Sorry.",
    "provider": "built_in",
    "answer_tokens": "100",
    "assistant_minutes": "31",
    "human_minutes": "31",
    "waiting_seconds": "31",
    "sites": "https://tidewater.example",
    "launcher": "Ask",
    "greeting": "Hello",
    "language": "en",
    "suggestions": "",
    "phrases": "",
    "notice_seconds": "31",
    "notice_url": "",
    "notice_emails": "lead@tidewater.example",
    "away_text": "Back at nine.",
    "attempts": "0",
    "version": "0",
    "required": "1",
    "requires_second_factor": "1",
    "confirm": "Tidewater",
    "team": "Tidewater",
    "password": "wrong",
    "code": "000000",
}


@dataclass
class Answered:
    status: int
    body: str
    location: str

    @property
    def leads_to_sign_in(self) -> bool:
        """Before anything was done: who has just signed out everywhere is led there too, by a 303."""
        return self.location.startswith("/sign-in") and self.status in (302, 401)

    def is_refused_to(self, who: Who) -> bool:
        """A form about oneself may say 403 of a wrong password; nobody is refused it for who they are."""
        refusals = (401, 404, 405) if who is Who.USER else (401, 403, 404, 405)
        return self.status in refusals or self.status >= 500 or self.leads_to_sign_in


@dataclass
class Town:
    """Two teams with one of everything, and everybody who might knock."""

    stage: Stage
    http: aiohttp.ClientSession
    own: dict[str, str]
    foreign: dict[str, str]
    people: dict[str, str | None] = field(default_factory=dict)  # who: cookie

    async def ask(self, method: str, path: str, ids: dict[str, str], who: str, headers: dict[str, str] | None = None) -> Answered:
        headers = dict(headers or {})
        cookie = self.people[who]
        if cookie is not None:
            headers["Cookie"] = f"{identity.COOKIE}={cookie}"
        url = re.sub(r"{(\w+)}", lambda found: self._id(found[1], ids, path), path)
        data = FIELDS if method == "POST" else None
        async with self.http.request(
            method, f"{self.stage.url}{url}", headers=headers, data=data, allow_redirects=False
        ) as response:
            text, location = await response.text(), response.headers.get("Location", response.headers.get("HX-Redirect", ""))
        return Answered(response.status, _without_ids(text), _without_ids(location))

    @staticmethod
    def _id(name: str, ids: dict[str, str], path: str) -> str:
        assert name in ids, f"teach this test what {{{name}}} of {path} is"
        return ids[name]

    def nowhere(self, *names: str) -> dict[str, str]:
        """The own ids, but those of that name are nobody's."""
        return {**self.own, **{name: new_id() for name in names}}

    async def rows(self) -> dict[str, Any]:
        """Everything that is kept, but when a session was last used and how often a team's row was locked."""
        return await self.stage.look(_rows)

    async def put_back(self, rows: dict[str, Any]) -> None:
        await self.stage.make(lambda: _put_back(rows))


def _without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{28}", "ID", text)


def _rows() -> dict[str, Any]:
    kept = {table.__name__: {row[table._meta.primary_key.name]: row for row in table.select().dicts()} for table in models.TABLES}
    for row in kept["Session"].values():
        row.pop("used_at")
    for row in kept["Team"].values():
        row.pop("version")
    return kept


def _put_back(rows: dict[str, Any]) -> None:
    for table in reversed(models.TABLES):
        table.delete().execute()
    for table in models.TABLES:
        for row in rows[table.__name__].values():
            table.insert(**row).execute()


@pytest.fixture
async def town(open_stage: Any) -> AsyncIterator[Town]:
    stage = await open_stage(sign_ins_per_minute=100_000)
    other, assistant, _ = await found_team(stage, "Harbour")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        town = Town(stage, http, {}, {})
        cast = {
            "a member": await stage.member("Ben", seat=None),
            "an agent": await stage.member("Cleo"),
            "an admin": await stage.member("Ada", role="admin"),
            "an owner": await stage.member("Olga", role="owner"),
            "a member of another team": await stage.member("Mo", seat=None, team=other),
            "an agent of another team": await stage.member("Ana", team=other),
            "an admin of another team": await stage.member("Abe", role="admin", team=other),
            "an owner of another team": await stage.member("Otto", role="owner", team=other),
            "somebody removed": await stage.member("Rex", role="owner"),
            "an ended session": await stage.member("Eve", role="owner"),
        }
        # Another owner, so that none is the last; and somebody to whom things are done.
        await stage.member("Oona", role="owner")
        await stage.member("Orla", role="owner", team=other)
        victims = await stage.member("Vic", seat=None), await stage.member("Val", seat=None, team=other)
        await stage.make(lambda: Member.update(ended_at=1).where(Member.id == cast["somebody removed"].member_id).execute())
        await stage.make(lambda: Session.update(ended_at=1).where(Session.user == cast["an ended session"].user_id).execute())
        customer = await stage.customer()
        town.people = {"nobody": None, "a customer": customer.token, **{who: agent.cookie for who, agent in cast.items()}}
        town.own = await stage.make(lambda: _ids(stage.team_id, stage.assistant_id, victims[0]))
        town.foreign = await stage.make(lambda: _ids(other, assistant, victims[1]))
        for ids in (town.own, town.foreign):
            ids["invitation"] = await stage.make(lambda ids=ids: _invite(ids["team"]))
        yield town


def _ids(team: str, assistant: str, victim: Agent) -> dict[str, str]:
    return {
        "team": team,
        "assistant": assistant,
        "entry": Entry.get(Entry.assistant == assistant).id,
        "widget": Widget.get(Widget.assistant == assistant).id,
        "key": Widget.get(Widget.assistant == assistant).key,
        "outcome": Outcome.select().where(Outcome.team == team).first().id,
        "member": victim.member_id,
        "session": Session.get(Session.user == victim.user_id).id,
        "delivery": Delivery.create(team=team, kind="email", about="x", target="x@x.org", body="{}", next_at=None).id,
        "token": "no-such-token",
    }


def _invite(team: str) -> str:
    member = Member.select().where(Member.team == team, Member.role == "owner").first()
    email = f"{secrets.token_hex(4)}@tidewater.example"
    return Invitation.create(
        team=team, email=email, role="member", token_hash=secrets.token_hex(), invited_by=member, expires_at=2**45
    ).id


INSIDERS = ("a member", "an agent", "an admin", "an owner")
OUTSIDERS = (
    "a member of another team",
    "an agent of another team",
    "an admin of another team",
    "an owner of another team",
    "somebody removed",
)
STRANGERS = ("nobody", "a customer", "an ended session")
MAY = {
    Who.USER: (*INSIDERS, *OUTSIDERS),
    Who.MEMBER: INSIDERS,
    Who.ADMIN: INSIDERS[2:],
    Who.OWNER: INSIDERS[3:],
}


async def test_who_may_not_gets_nowhere_and_changes_nothing(town: Town, routes) -> None:
    before = await town.rows()
    for method, path in routes:
        who = access.of_route(method, path)
        if who in ABOUT_NOBODY:
            continue
        for headers in ({}, HTMX):
            for stranger in STRANGERS:
                told = await town.ask(method, path, town.own, stranger, headers)
                assert told.leads_to_sign_in and told.body in ("", "302: Found"), (method, path, stranger, told)
            if who not in access.IN_A_TEAM:
                continue
            for outsider in OUTSIDERS:
                told = await town.ask(method, path, town.own, outsider, headers)
                assert told.status == 404, (method, path, outsider, told)
                assert told == await town.ask(method, path, town.nowhere("team"), outsider, headers), (method, path, outsider)
            for insider in set(INSIDERS) - set(MAY[who]):
                told = await town.ask(method, path, town.own, insider, headers)
                assert told.status == 403, (method, path, insider, told)
        after = await town.rows()
        assert after == before, (method, path, [name for name in after if after[name] != before[name]])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # who may not is tried on both
async def test_who_may_is_let_in(town: Town, routes) -> None:
    before = await town.rows()
    for method, path in routes:
        who = access.of_route(method, path)
        if who in ABOUT_NOBODY:
            continue
        for insider in MAY[who]:
            ids = town.own
            if "{session}" in path:
                ids = {**ids, "session": await town.stage.look(lambda cookie=town.people[insider]: _session_id(cookie))}
            told = await town.ask(method, path, ids, insider)
            assert not told.is_refused_to(who), (method, path, insider, told.status, _words(told.body))
            if method != "GET":
                await town.put_back(before)


async def test_what_belongs_to_somebody_else_is_as_if_it_were_not_there(town: Town, routes) -> None:
    before = await town.rows()
    for method, path in routes:
        if access.of_route(method, path) in ABOUT_NOBODY:
            continue
        for name in set(re.findall(r"{(\w+)}", path)) - {"team"}:
            for headers in ({}, HTMX):
                told = await town.ask(method, path, {**town.own, name: town.foreign[name]}, "an owner", headers)
                assert told == await town.ask(method, path, town.nowhere(name), "an owner", headers), (method, path, name)
        after = await town.rows()
        assert after == before, (method, path, [name for name in after if after[name] != before[name]])


def _session_id(cookie: str) -> str:
    found = identity.session_of(cookie)
    assert found is not None
    return found.session_id


def _words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())[:300]


# --- commands -------------------------------------------------------------------------------------


def payload_of(door: Any, name: str, **ids: str) -> dict[str, Any]:
    """What the command needs, and nothing that it does not."""
    values = {
        "client_id": secrets.token_hex(6),
        "text": "hello",
        "is_typing": True,
        "number": 1,
        "after": 0,
        "score": 5,
        "email": "kim@x.org",
        **ids,
    }
    fields = door.handlers[name].payload.model_fields
    return {name: values[name] for name, field in fields.items() if field.default is PydanticUndefined}


def payload(name: str, town: dict[str, str]) -> dict[str, Any]:
    return payload_of(Agents, name, assistant_id=town["assistant"], conversation_id=town["conversation"])


AGENT_COMMANDS = [name for namespace, name in COMMANDS if namespace == "/agents"]
CUSTOMER_COMMANDS = [name for namespace, name in COMMANDS if namespace == "/customers"]


async def _chat(stage: Stage, key: str) -> str:
    customer = await stage.customer(key=key)
    await customer.write("hello")
    return customer.conversation_id


async def test_every_command_of_agents_asks_who_it_is(stage: Stage) -> None:
    await stage.hold_assistant()
    other, assistant, key = await found_team(stage, "Harbour")
    await stage.make(lambda: Assistant.update(provider="held").execute())
    own = {"assistant": stage.assistant_id}
    foreign = {"assistant": assistant, "conversation": await _chat(stage, key)}
    nowhere = {"assistant": new_id(), "conversation": new_id()}
    kim, cleo, ben = await stage.agent("Kim"), await stage.agent("Cleo"), await stage.agent("Ben", seat=None, role="owner")
    strangers = [
        await stage.agent("Ana", team=other),
        await stage.agent("Otto", team=other, role="owner"),
        await stage.agent("Rex", role="owner", seat=None),  # no seat that could end: that would close the socket
    ]
    await stage.make(lambda: Member.update(ended_at=1).where(Member.id == strangers[-1].member_id).execute())
    for name in AGENT_COMMANDS:
        who = access.of_command("/agents", name)
        own["conversation"] = await _chat(stage, stage.widget_key)
        if who is Who.CONVERSATION_OWNER:
            await kim.take_over(own["conversation"])
        before = await stage.look(_conversations)
        for stranger in strangers:
            ack = await stranger.ask(name, **payload(name, own))
            assert ack == await stranger.ask(name, **payload(name, nowhere)), (name, stranger.name)
            assert who is Who.USER or ack["error"]["code"] == "not_found", (name, stranger.name, ack)
        for agent in (kim, cleo):
            ack = await agent.ask(name, **payload(name, foreign))
            assert ack == await agent.ask(name, **payload(name, nowhere)), (name, agent.name)
        if who is not Who.USER:
            assert (await ben.refused(name, **payload(name, own)))["code"] == "no_seat", name
        if who is Who.CONVERSATION_OWNER:
            assert (await cleo.refused(name, **payload(name, own)))["code"] == "not_owner", name
        assert await stage.look(_conversations) == before, name
        await kim.do(name, **payload(name, own))
        if who is Who.AGENT:
            again = await cleo.ask(name, **payload(name, own))
            assert "ok" in again or again["error"]["code"] == "already_taken", name
    assert [stranger.heard.facts for stranger in (*strangers, ben)] == [[], [], [], []]


def _conversations() -> list[Any]:
    return list(Conversation.select().order_by(Conversation.id).dicts())


@pytest.mark.parametrize("name", AGENT_COMMANDS)
async def test_no_command_of_agents_works_on_an_ended_session(stage: Stage, name: str) -> None:
    await stage.hold_assistant()
    own = {"assistant": stage.assistant_id, "conversation": await _chat(stage, stage.widget_key)}
    eve = await stage.watcher("Eve", role="owner")
    if access.of_command("/agents", name) is Who.CONVERSATION_OWNER:
        await eve.take_over(own["conversation"])
    before = await stage.look(_conversations)
    await stage.make(lambda: Session.update(ended_at=1).where(Session.user == eve.user_id).execute())
    ack = await eve.ask(name, **payload(name, own))
    if access.of_command("/agents", name) is not Who.USER:
        assert ack["error"]["code"] == "forbidden"
    assert await stage.look(_conversations) == before


async def test_nobody_and_no_customer_comes_in_at_the_agents_door(stage: Stage) -> None:
    customer = await stage.customer()
    ended = await stage.member("Eve")
    await stage.make(lambda: Session.update(ended_at=1).where(Session.user == ended.user_id).execute())
    for cookie in (None, customer.token, ended.cookie, "", "x" * 5000):
        person = Agent(stage.url)
        headers = {"Cookie": f"{identity.COOKIE}={cookie}"} if cookie is not None else {}
        with pytest.raises(socketio.exceptions.ConnectionError):
            await person.connect({"protocol": 1}, headers=headers)
        assert person.refusal["data"]["code"] == "signed_out"


async def test_no_command_of_a_customer_reaches_another_conversation(stage: Stage) -> None:
    await stage.hold_assistant()
    theirs, mine, new = await stage.customer(), await stage.customer(), await stage.customer()
    agent = await stage.member("Ada", role="owner")
    as_agent = await stage.customer(headers={"Cookie": f"{identity.COOKIE}={agent.cookie}"})
    await theirs.write("a secret")
    await mine.write("hello")
    before = await stage.look(lambda: Conversation.select().where(Conversation.id == theirs.conversation_id).dicts().get())
    heard = len(theirs.heard.facts)
    for name in CUSTOMER_COMMANDS:
        for customer in (mine, new, as_agent):
            sent = payload_of(Customers, name)
            reply = await customer.ask(name, **sent)
            assert "a secret" not in str(reply)
            for field_name in ("conversation_id", "customer_id", "token"):
                refusal = await customer.refused(name, **sent, **{field_name: theirs.conversation_id})
                assert refusal["code"] == "invalid", (name, field_name)
    after = await stage.look(lambda: Conversation.select().where(Conversation.id == theirs.conversation_id).dicts().get())
    assert after == before
    assert len(theirs.heard.facts) == heard


async def test_a_customer_needs_a_token_of_ours_and_a_widget_that_is_there(stage: Stage) -> None:
    for auth, code in (
        ({"protocol": 1}, "unknown_widget"),
        ({"protocol": 1, "widget": new_id()}, "unknown_widget"),
        ({"protocol": 1, "widget": stage.widget_key, "token": "forged"}, "bad_token"),
    ):
        person = Customer(stage.url)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await person.connect(auth)
        assert person.refusal["data"]["code"] == code


async def test_a_route_that_is_not_in_the_table_is_closed(open_stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(access.ROUTES, ("GET", "/teams/{team}/plan/"))
    stage = await open_stage()
    ada = await stage.member("Ada", role="owner")
    async with (
        aiohttp.ClientSession(headers={"Cookie": f"{identity.COOKIE}={ada.cookie}"}) as http,
        http.get(f"{stage.url}/teams/{stage.team_id}/plan/") as response,
    ):
        assert response.status == 404


async def test_a_command_that_is_not_in_the_table_ends_the_start(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(access.COMMANDS, ("/agents", "watch"))
    with pytest.raises(KeyError):
        Handoff(Settings(_env_file=None, secret_key=SECRET_KEY, database_url=f"sqlite:///{tmp_path / 'unused.db'}"))
