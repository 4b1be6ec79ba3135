"""Bad input: each gets its own answer, nothing of it is stored, and nobody else notices."""

import asyncio
import gzip
import io
import json
import logging
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from argon2 import PasswordHasher
from prometheus_client import REGISTRY

from handoff import identity, sockets
from handoff.models import Conversation, Message, Note, Session, User, Widget
from tests.apart import served_apart
from tests.cast import Agent, Customer, Stage, found_team
from tests.waiting import wait_until
from tests.wire import Wire, entered

OpenStage = Callable[..., Awaitable[Stage]]

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _auth(stage: Stage, token: str | None = None) -> dict[str, Any]:
    return {"protocol": 1, "widget": stage.widget_key, "token": token}


async def _stored(stage: Stage) -> int:
    return await stage.look(lambda: Message.select().count())


async def test_a_customers_connection_that_is_not_right_is_refused_with_its_code(stage: Stage) -> None:
    known = (await stage.customer()).token
    right = _auth(stage)
    refused = [
        ({**right, "widget": "no such key"}, "unknown_widget"),
        ({**right, "widget": None}, "unknown_widget"),
        ({**right, "widget": ["key"]}, "unknown_widget"),
        ({**right, "widget": "k\x00ey"}, "unknown_widget"),
        ({**right, "widget": "k" * 10_000}, "unknown_widget"),
        ({**right, "token": "made up"}, "bad_token"),
        ({**right, "token": known.replace(".", ".A" if ".A" not in known else ".B")}, "bad_token"),
        ({**right, "token": {"customer": "somebody"}}, "bad_token"),
        ({**right, "token": "t" * 10_000}, "bad_token"),
        ({**right, "protocol": 0}, "reload"),
        ({**right, "protocol": "1"}, "reload"),
        ({**right, "protocol": True}, "reload"),
        ({}, "reload"),
        (..., "reload"),
        (["protocol", 1], "reload"),
        ("protocol", "reload"),
        (1, "reload"),
    ]
    for auth, code in refused:
        async with Wire(stage.url) as wire:
            assert await wire.enter(auth) == code, auth
    async with Wire(stage.url) as wire:
        assert await wire.enter({**right, "token": known}) is None
        await wire.send(f"40/customers,{json.dumps(right)}")  # a second time on one connection
        assert (await wire.until("44")) == '44/customers,"Unable to connect"'
        assert await wire.code('["catch_up",{"after":0}]') == "ok"
    await wait_until(lambda: len(stage.handoff.customers.visits) == 1, 10, "only the customer is left")


async def test_a_widget_that_names_its_sites_refuses_others(stage: Stage) -> None:
    await stage.make(lambda: Widget.update(sites='["https://shop.example"]').execute())
    for origin, code in (
        ("https://shop.example", None),
        ("https://evil.example", "site_not_allowed"),
        ("null", "site_not_allowed"),
    ):
        async with Wire(stage.url, headers={"Origin": origin}) as wire:
            assert await wire.enter(_auth(stage)) == code, origin


async def test_the_console_needs_a_live_session_and_its_own_origin(stage: Stage) -> None:
    ada = await stage.member("Ada")
    cookie = {"Cookie": f"{identity.COOKIE}={ada.cookie}"}
    unused_link = await stage.handoff.database.write("", identity.offer_link, ada.user_id)
    cases = [
        (cookie, {"protocol": 1}, None),
        ({**cookie, "Origin": stage.url}, {"protocol": 1}, None),
        ({**cookie, "Origin": "https://evil.example"}, {"protocol": 1}, "site_not_allowed"),
        ({**cookie, "Origin": "null"}, {"protocol": 1}, "site_not_allowed"),
        ({**cookie, "Origin": stage.url + ".evil.example"}, {"protocol": 1}, "site_not_allowed"),
        ({**cookie, "Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}, {"protocol": 1}, "site_not_allowed"),
        ({}, {"protocol": 1}, "signed_out"),
        ({"Cookie": f"{identity.COOKIE}=made-up"}, {"protocol": 1}, "signed_out"),
        ({"Cookie": f"{identity.COOKIE}={unused_link}"}, {"protocol": 1}, "signed_out"),
        (cookie, {"protocol": 2}, "reload"),
        (cookie, ..., "reload"),
    ]
    for headers, auth, code in cases:
        async with Wire(stage.url, "/agents", headers=headers) as wire:
            assert await wire.enter(auth) == code, (headers, auth)
    await stage.make(lambda: Session.update(expires_at=1).execute())
    async with Wire(stage.url, "/agents", headers=cookie) as wire:
        assert await wire.enter({"protocol": 1}) == "signed_out"


async def test_a_text_that_cannot_be_kept_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    ada, other = await stage.agent("Ada"), await stage.customer()
    await other.write("hello")
    await ada.take_over(other.conversation_id)
    before = await _stored(stage)
    texts = [
        ('""', "invalid"),
        ('" \\n\\t \\u2003"', "invalid"),
        (json.dumps("x" * 4001), "too_large"),
        (json.dumps("\U0001f600" * 4001), "too_large"),
        ("7", "invalid"),
        ("null", "invalid"),
        ("true", "invalid"),
        ('["hello"]', "invalid"),
        ('{"text":"hello"}', "invalid"),
        ('"a\\u0000b"', "invalid"),
        ('"a\\ud83d"', "invalid"),
        ('"\\ude00b"', "invalid"),
    ]
    at = json.dumps(other.conversation_id)
    cookie = {"Cookie": f"{identity.COOKIE}={ada.cookie}"}
    async with (
        entered(stage.url, _auth(stage)) as customer,
        entered(stage.url, {"protocol": 1}, "/agents", headers=cookie) as agent,
    ):
        for text, code in texts:
            assert await customer.code(f'["post_message",{{"client_id":"c","text":{text}}}]') == code, text
            for command in ("post_message", "add_note"):
                payload = f'{{"conversation_id":{at},"client_id":"c","text":{text}}}'
                assert await agent.code(f'["{command}",{payload}]') == code, (command, text)
        for id in ('""', "1", "null", json.dumps("i" * 65), '"a\\u0000"', '"\\ud83d"'):
            assert await customer.code(f'["post_message",{{"client_id":{id},"text":"hello"}}]') == "invalid", id
            assert await agent.code(f'["take_over",{{"conversation_id":{id}}}]') == "invalid", id
        assert await _stored(stage) == before
        assert await stage.look(lambda: Note.select().count()) == 0
        assert await stage.look(lambda: Conversation.select().count()) == 1
        longest = "\U0001f600" * 4000
        ack = await customer.command("post_message", {"client_id": "c", "text": longest})
        assert ack["ok"]["message"]["text"] == longest
    assert (await other.write("still here"))["text"] == "still here"


async def test_unknown_fields_and_other_types_are_refused(stage: Stage) -> None:
    ada, tab = await stage.watcher("Ada"), await stage.customer()
    await tab.write("hello")
    id, line = tab.conversation_id, {"client_id": "c", "text": "hello"}
    for command, payload in (
        ("post_message", {**line, "conversation_id": id}),
        ("post_message", {**line, "author": "agent"}),
        ("post_message", {"text": "hello"}),
        ("catch_up", {"after": True}),
        ("catch_up", {"after": "1"}),
        ("catch_up", {"after": 1.0}),
        ("catch_up", {"after": -1}),
        ("catch_up", {"after": 2**31}),
        ("catch_up", {"after": 10**18}),
        ("catch_up", {"after": 0, "conversation_id": id}),
        ("catch_up", {}),
        ("typing", {"is_typing": 1}),
        ("typing", {"is_typing": "true"}),
        ("request_human", {"now": True}),
        ("end_conversation", []),
        ("end_conversation", "now"),
        ("rate_conversation", {"score": 0}),
        ("rate_conversation", {"score": 6}),
        ("rate_conversation", {"score": True}),
        ("take_over", {"conversation_id": id}),
        ("watch", {"assistant_id": stage.assistant_id}),
    ):
        assert (await tab.socket.call(command, payload, namespace="/customers"))["error"]["code"] == "invalid", (command, payload)
    for command, payload in (
        ("watch", {"assistant_id": stage.assistant_id, "filter": "everything"}),
        ("watch", {"assistant_id": stage.assistant_id, "cursor": "not one of ours"}),
        ("watch", {"assistant_id": stage.assistant_id, "cursor": "\u00fc"}),
        ("watch", {"assistant_id": stage.assistant_id, "cursor": "WzEsIDJd"}),
        ("watch", {"assistant_id": stage.assistant_id, "cursor": "MQ=="}),
        ("watch", {"assistant_id": stage.assistant_id, "limit": 10**6}),
        ("watch", {"assistant_id": [stage.assistant_id]}),
        ("open_conversation", {"conversation_id": id, "after": "0"}),
        ("open_conversation", {"conversation_id": id, "before": True}),
        ("take_over", {"conversation_id": id, "member_id": ada.member_id}),
        ("take_over", {}),
        ("take_over", None),
        ("mark_read", {"conversation_id": id, "number": "1"}),
        ("typing", {"conversation_id": id, "is_typing": None}),
        ("close_conversation", {"conversation_id": id, "outcome_id": 1, "note": ""}),
        ("close_conversation", {"conversation_id": id, "outcome_id": None, "note": 1}),
        ("catch_up", {"after": 0}),
    ):
        assert (await ada.socket.call(command, payload, namespace="/agents"))["error"]["code"] == "invalid", (command, payload)
    assert (await stage.conversation(id)).owner_id is None
    assert (await stage.conversation(id)).status == "active"


async def test_what_is_not_mine_answers_as_what_is_not_there(stage: Stage) -> None:
    customer = await stage.customer()
    await customer.write("hello")
    theirs, assistant, _ = await found_team(stage, "Elsewhere")
    stranger = await stage.agent("Stranger", team=theirs)
    id = customer.conversation_id
    commands: list[tuple[str, dict[str, Any]]] = [
        ("take_over", {}),
        ("open_conversation", {}),
        ("post_message", {"client_id": "c", "text": "hello"}),
        ("add_note", {"client_id": "c", "text": "hello"}),
        ("typing", {"is_typing": True}),
        ("mark_read", {"number": 1}),
        ("close_conversation", {"outcome_id": None, "note": ""}),
    ]
    for command, payload in commands:
        foreign = await stranger.refused(command, conversation_id=id, **payload)
        absent = await stranger.refused(command, conversation_id="no such thing", **payload)
        assert foreign == absent, command
        assert foreign["code"] == "not_found", command
    assert (await stranger.refused("watch", assistant_id=stage.assistant_id))["code"] == "not_found"
    assert (await stranger.refused("watch", assistant_id="no such thing"))["code"] == "not_found"
    ada = await stage.agent("Ada")
    await ada.take_over(id)
    foreign_outcome = await stage.look(lambda: _outcome_of(theirs))
    refusal = await ada.refused("close_conversation", conversation_id=id, outcome_id=foreign_outcome, note="")
    assert refusal["code"] == "invalid"
    assert (await stage.conversation(id)).status == "active"
    await stranger.do("watch", assistant_id=assistant)
    await customer.write("only for Tidewater")
    await customer.history()
    assert stranger.heard.facts == []


def _outcome_of(team_id: str) -> str:
    from handoff.models import Outcome

    return Outcome.select(Outcome.id).where(Outcome.team == team_id).scalar()


async def test_a_customer_hears_nothing_of_anothers_conversation(stage: Stage) -> None:
    ann, bob, ada = await stage.customer(), await stage.customer(), await stage.watcher("Ada")
    await ann.write("ann's secret")
    await bob.write("bob's secret")
    await ada.take_over(ann.conversation_id)
    await ada.write(ann.conversation_id, "for ann alone")
    await ada.do("typing", conversation_id=ann.conversation_id, is_typing=True)
    await ada.do("add_note", conversation_id=ann.conversation_id, client_id="n", text="a note about ann")
    await ada.do("close_conversation", conversation_id=ann.conversation_id, outcome_id=None, note="")
    await ann.heard.wait_for("conversation_closed")
    await bob.heard.wait_for("message_posted", lambda payload: payload["message"]["author"] == "assistant")
    assert ann.conversation_id not in json.dumps(bob.heard.facts)
    assert "ann" not in json.dumps([line["text"] for line in await bob.history()])
    assert bob.conversation_id not in json.dumps(ann.heard.facts)
    assert "a note about ann" not in json.dumps(ann.heard.facts)


async def test_events_that_pretend_to_be_the_servers_own_do_nothing(stage: Stage) -> None:
    victim = await stage.customer()
    await victim.write("hello")
    forged = {"aiohttp.request": {"remote": "x"}, "HTTP_COOKIE": "x", "REMOTE_ADDR": "x"}
    async with entered(stage.url, _auth(stage)) as wire:
        for event in (
            ["connect", forged],
            ["connect", forged, _auth(stage, victim.token)],
            ["connect"],
            ["disconnect"],
            ["disconnect", "transport close"],
            ["connect_error", {}],
            ["message", "x"],
            ["*", "x"],
            ["admitted", {}],
            ["left", {}],
            ["heed", {}],
            ["trigger_event", "connect"],
            ["__class__", {}],
            ["no_such_command", {}],
            ["", {}],
            ["post_message", {"client_id": "c", "text": "a"}, {"client_id": "d", "text": "b"}],
        ):
            assert await wire.code(json.dumps(event)) == "invalid", event
        assert (await wire.command("post_message", {"client_id": "c", "text": "a"}))["ok"]["message"]["number"] == 1
    assert len(await victim.history()) >= 1
    assert len({visit.customer.customer_id for visit in stage.handoff.customers.visits.values()}) == 1


GARBAGE: list[str | bytes] = [
    "4",
    "42",
    "42/customers,",
    "42/customers,[",
    "42/customers,[]",
    "42/customers,{}",
    "42/customers,[7]",
    "42/customers,[[]]",
    "42/customers,[null,{}]",
    '42/customers,77["post_message",NaN]',
    '42/customers,77["catch_up",{"after":Infinity}]',
    '42/customers,77["catch_up",{"after":' + "9" * 5000 + "}]",
    "42/customers,77" + "[" * 30_000,
    '42/customers,77["typing",' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "]",
    '42/nowhere,77["post_message",{}]',
    '42["post_message",{}]',
    "43/customers,77[]",
    "43/customers,x",
    "44/customers,{}",
    '451-/customers,77["post_message",{"_placeholder":true,"num":0}]',
    '4599999999-/customers,["post_message",{"_placeholder":true,"num":0}]',
    '461-/customers,77[{"_placeholder":true,"num":0}]',
    "49",
    "4\ud7ff",
    "5",
    "6",
    b"\x00\x01\x02",
    b"4" * 1000,
]
NO_PACKETS = ["9", "x", "", "b4AAAA", "b4!", b""]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_garbage_costs_nobody_but_its_sender_anything(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    bystander = await stage.customer()
    for garbage in GARBAGE:
        async with entered(stage.url, _auth(stage)) as wire:
            await wire.send(garbage)
            assert await wire.code('["catch_up",{"after":0}]') == "ok", garbage
        assert (await bystander.do("catch_up", after=0))["messages"] == []
    await wait_until(lambda: len(stage.handoff.customers.visits) == 1, 10, "the senders are forgotten")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_not_even_a_packet_ends_at_most_its_own_connection(stage: Stage) -> None:
    bystander = await stage.customer()
    for frame in NO_PACKETS:
        async with entered(stage.url, _auth(stage)) as wire:
            await wire.send(frame)
            with suppress(EOFError):
                assert await wire.code('["catch_up",{"after":0}]') == "ok", frame
        assert (await bystander.do("catch_up", after=0))["messages"] == []
    assert bystander.socket.connected


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_frame_that_is_too_large_ends_its_connection_and_only_that(stage: Stage) -> None:
    bystander = await stage.customer()
    async with entered(stage.url, _auth(stage)) as wire:
        assert await wire.code(json.dumps(["post_message", {"client_id": "c", "text": "x" * 60_000}])) == "too_large"
        await wire.send('42/customers,1["post_message",{"client_id":"c","text":"' + "x" * 70_000 + '"}]')
        assert await wire.is_closed()
    assert (await bystander.write("unmoved"))["number"] == 1
    assert await _stored(stage) <= 2


async def test_commands_sent_in_one_go_are_carried_out_and_answered_in_order(stage: Stage) -> None:
    ada, tab = await stage.agent("Ada"), await stage.customer()
    await tab.write("hello")
    await ada.take_over(tab.conversation_id)
    cookie = {"Cookie": f"{identity.COOKIE}={ada.cookie}"}
    async with (
        entered(stage.url, _auth(stage, tab.token)) as customer,
        entered(stage.url, {"protocol": 1}, "/agents", headers=cookie) as agent,
    ):
        for wire, author, where in ((customer, "customer", {}), (agent, "agent", {"conversation_id": tab.conversation_id})):
            for number in range(200):
                line = {"client_id": f"c{number}", "text": f"{author} *line* {number}", **where}
                await wire.send(f"42{wire.namespace},{number}{json.dumps(['post_message', line])}")
            for number in range(200):
                assert (await wire.until(f"43{wire.namespace},")).startswith(f"43{wire.namespace},{number}[")
            stored = [row.text for row in await stage.messages(tab.conversation_id) if row.author == author and "*" in row.text]
            assert stored == [f"{author} *line* {number}" for number in range(200)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_watcher_who_does_not_read_is_dropped_and_the_others_hear_everything(open_stage: OpenStage) -> None:
    stage = await open_stage(max_queued_packets=20, commands_per_10_seconds=100_000)
    ada, ben, customer = await stage.watcher("Ada"), await stage.member("Ben"), await stage.customer()
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    cookie = {"Cookie": f"{identity.COOKIE}={ben.cookie}"}
    async with entered(stage.url, {"protocol": 1}, "/agents", headers=cookie, receive_buffer=4096) as wire:
        assert "ok" in await wire.command("watch", {"assistant_id": stage.assistant_id})
        long, count, before = "\U0001f600" * 4000, 0, _dropped()
        while len(stage.handoff.agents.desks) == 2:
            count += 1
            await ada.write(customer.conversation_id, long)
            assert count < 2_000, "Ben was not dropped"
    assert _dropped() == before + 1  # and not only because he answered no ping any more
    await wait_until(lambda: len(stage.handoff.server.eio.sockets) == 2, 10, "nothing is kept of Ben")
    assert (await ada.write(customer.conversation_id, "and now?"))["text"] == "and now?"
    said = lambda person: [fact["message"]["text"] for fact in person.heard.named("message_posted")]  # noqa: E731
    await wait_until(lambda: "and now?" in said(customer), 10, "the customer hears the last line")
    assert said(ada).count(long) == said(customer).count(long) == count


def _dropped() -> float:
    return REGISTRY.get_sample_value("handoff_connections_dropped_total", {"because": "does_not_read"}) or 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_connection_that_never_says_what_it_wants_is_cut(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "GREETING_SECONDS", 0.5)
    bystander = await stage.customer()
    async with Wire(stage.url) as silent:
        assert await silent.is_closed(10)
    async with Wire(stage.url) as refused:
        assert await refused.enter({"protocol": 0}) == "reload"
        assert await refused.is_closed(10)
    async with aiohttp.ClientSession() as http, http.get(f"{stage.url}/socket.io/?EIO=4&transport=polling") as response:
        assert response.status == 200
    open_sockets = lambda: [one for one in stage.handoff.server.eio.sockets.values() if not one.closed]  # noqa: E731
    await wait_until(lambda: len(open_sockets()) == 1, 10, "only the bystander is left")
    assert bystander.socket.connected


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_asks_too_often_is_told_when_to_come_back(open_stage: OpenStage) -> None:
    stage = await open_stage(commands_per_10_seconds=5)
    eager, other = await stage.customer(), await stage.customer()
    second_tab = await stage.customer(eager.token)
    acks = [await tab.ask("catch_up", after=0) for tab in (eager, second_tab) * 4]
    refusals = [ack["error"] for ack in acks if "error" in ack]
    assert len(refusals) >= 1
    assert {refusal["code"] for refusal in refusals} == {"rate_limited"}
    assert all(1 <= refusal["details"]["retry_after"] <= 10 for refusal in refusals)
    assert "ok" in await other.ask("catch_up", after=0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_connections_of_one_address_have_a_cap(open_stage: OpenStage) -> None:
    stage = await open_stage(max_connections_per_address=2)
    first, _ = await stage.customer(), await stage.customer()
    async with Wire(stage.url) as wire:
        assert await wire.enter(_auth(stage)) == "too_many"
    await first.leave()
    await wait_until(lambda: _gets_in(stage), 10, "there is room again")


async def _gets_in(stage: Stage) -> bool:
    async with Wire(stage.url) as wire:
        return await wire.enter(_auth(stage)) is None


async def _person_with_password(stage: Stage) -> User:
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return await stage.make(
        lambda: User.create(name="Pia", email="pia@tidewater.example", password_hash=hasher.hash("correct horse"))
    )


@pytest.fixture
async def http(stage: Stage):
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(stage.url, cookie_jar=jar) as session:
        yield session


async def _sign_in(http: aiohttp.ClientSession, password: str = "correct horse", onward: str = "", **headers: str):  # noqa: S107
    fields = {"email": "Pia@Tidewater.example", "password": password, "next": onward}
    return await http.post("/sign-in", data=fields, headers=headers, allow_redirects=False)


async def test_a_sign_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(stage: Stage, http: aiohttp.ClientSession) -> None:
    await _person_with_password(stage)
    response = await _sign_in(http)
    assert response.status == 303
    flags = response.headers["Set-Cookie"].lower()
    assert "httponly" in flags
    assert "samesite=lax" in flags
    assert "path=/" in flags
    assert "secure" not in flags  # this stage is not served over TLS
    token = response.cookies[identity.COOKIE].value
    rows = await stage.look(lambda: [row.token_hash for row in Session.select()])
    assert token not in rows
    signed_out = await http.post("/sign-out", allow_redirects=False)
    assert signed_out.status == 303
    assert await stage.look(lambda: identity.session_of(token)) is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_over_tls_the_cookie_is_secure(open_stage: OpenStage) -> None:
    stage = await open_stage(base_url="https://chat.example.org")
    await _person_with_password(stage)
    async with aiohttp.ClientSession(stage.url) as http:
        assert "secure" in (await _sign_in(http)).headers["Set-Cookie"].lower()
        assert (await _sign_in(http, Origin="https://chat.example.org")).status == 303
        assert (await _sign_in(http, Origin=stage.url)).status == 403


async def test_a_change_that_another_site_asks_for_is_refused(stage: Stage, http: aiohttp.ClientSession) -> None:
    await _person_with_password(stage)
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": stage.url},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": stage.url + ".evil.example"},
        {"Origin": ""},
    ):
        refused = await _sign_in(http, **headers)
        assert (refused.status, "Set-Cookie" in refused.headers) == (403, False), headers
    signed_in = await _sign_in(http, **{"Sec-Fetch-Site": "same-origin"})
    token = signed_in.cookies[identity.COOKIE].value
    refused = await http.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False)
    assert refused.status == 403
    assert await stage.look(lambda: identity.session_of(token)) is not None


@ON_ONE
async def test_what_is_sent_compressed_is_not_unpacked(stage: Stage, http: aiohttp.ClientSession) -> None:
    """Half a megabyte that holds half a gigabyte kept every socket waiting, whoever sent it and wherever to."""
    packed = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packed.compress(bytes(1024 * 1024)) for _ in range(500)), packed.flush()])
    late, running = [], True

    async def beat() -> None:
        while running:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late.append(time.monotonic() - began)

    beating = asyncio.create_task(beat())
    try:
        for path, body, status in (
            ("/sign-in", bomb, 413),
            ("/nowhere", bomb, 404),
            ("/sign-in", gzip.compress(b"email=a&password=b"), 400),
            ("/sign-in", b"no gzip at all \xff", 400),
        ):
            async with http.post(stage.url + path, data=body, headers={**FORM, "Content-Encoding": "gzip"}) as response:
                assert response.status == status, path
    finally:
        running = False
        await beating
    assert max(late) < 1


async def test_guessing_passwords_is_slowed_down_and_a_stranger_learns_nothing(open_stage: OpenStage) -> None:
    stage = await open_stage(sign_ins_per_minute=2)
    await _person_with_password(stage)
    async with aiohttp.ClientSession(stage.url) as http:
        wrong = [await _sign_in(http, "wrong"), await _sign_in(http, "wrong"), await _sign_in(http, "wrong")]
        assert [response.status for response in wrong] == [403, 403, 429]
        assert (await _sign_in(http)).status == 429
        fields = {"email": "nobody@tidewater.example", "password": "wrong"}
        nobody = await http.post("/sign-in", data=fields)
        known, unknown = await wrong[0].text(), await nobody.text()
        assert nobody.status == 403
        assert known.replace("Pia@Tidewater.example", "") == unknown.replace("nobody@tidewater.example", "")


async def test_signing_in_never_leads_to_another_site(stage: Stage, http: aiohttp.ClientSession) -> None:
    await _person_with_password(stage)
    for onward in (
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\\\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "evil.example",
        " //evil.example",
        "/console\r\nSet-Cookie: a=b",
        "/\u2028/evil.example",
    ):
        response = await _sign_in(http, onward=onward)
        assert response.status == 303, onward
        location = re.sub(r"[\t\r\n]", "", response.headers["Location"]).replace("\\", "/")  # as browsers read it
        assert urlsplit(urljoin(stage.url, location)).netloc == urlsplit(stage.url).netloc, onward
        assert "a" not in response.cookies
        shown = await http.get("/sign-in", params={"next": onward}, allow_redirects=False)
        location = re.sub(r"[\t\r\n]", "", shown.headers["Location"]).replace("\\", "/")
        assert urlsplit(urljoin(stage.url, location)).netloc == urlsplit(stage.url).netloc, onward
    assert (await _sign_in(http, onward="/console?a=1")).headers["Location"] == "/console?a=1"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_answer_protects_its_page(stage: Stage, http: aiohttp.ClientSession) -> None:
    asked = [
        ("GET", "/no-such-page", 404),
        ("GET", "/static/no-such-file.js", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/widget/no-such-key", 404),
        ("GET", "/sign-in/no-such-link", 403),
        ("PUT", "/sign-in", 405),
        ("POST", "/sign-in", 400),
        ("GET", "/sign-in", 200),
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/widget.js", 200),
        ("GET", "/console", 302),
        ("GET", f"/widget/{stage.widget_key}", 200),
    ]
    for method, path, status in asked:
        response = await http.request(method, path, allow_redirects=False)
        assert response.status == status, path
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert response.headers["X-Content-Type-Options"] == "nosniff", path
        assert ("frame-ancestors 'none'" in policy) == (not path.startswith("/widget/")), path
    too_large = await http.post("/sign-in", data=io.BytesIO(b"email=a&password=" + b"x" * 2_000_000), headers=FORM)
    assert too_large.status == 413
    assert "Content-Security-Policy" in too_large.headers


MARK = "Zx9Marked"


async def test_nothing_that_people_say_or_know_is_written_to_the_log(database_url: str, tmp_path: Path) -> None:
    async with served_apart(database_url, tmp_path, log_level="debug") as (stage, process):
        secrets = [await _say_everything(stage), *await _fail_everything(stage)]
        await wait_until(lambda: "conversation_closed" in process.output())
        log = process.output()
        assert "message_posted" in log
        assert MARK not in log
        for secret in secrets:
            assert secret not in log
        assert process.settings["HANDOFF_SECRET_KEY"] not in log


async def _say_everything(stage: Stage) -> str:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write(f"{MARK} how long does delivery take?")
    await customer.heard.wait_for("message_posted", lambda payload: payload["message"]["author"] == "assistant")
    await customer.do("typing", is_typing=True)
    await customer.do("request_human")
    id = customer.conversation_id
    await ada.do("watch", assistant_id=stage.assistant_id, search=MARK)
    await ada.do("open_conversation", conversation_id=id)
    await ada.take_over(id)
    await ada.write(id, f"{MARK} from the agent")
    await ada.do("add_note", conversation_id=id, client_id="n", text=f"{MARK} a note")
    await ada.do("close_conversation", conversation_id=id, outcome_id=None, note=f"{MARK} in the end")
    await customer.do("rate_conversation", score=5, comment=f"{MARK} thanks")
    await _say_wrongly(stage, customer, ada)
    return ada.cookie


async def _say_wrongly(stage: Stage, customer: Customer, ada: Agent) -> None:
    id = customer.conversation_id
    await ada.refused("post_message", conversation_id=id, client_id="late", text=f"{MARK} too late")
    await ada.refused("close_conversation", conversation_id=id, outcome_id=f"{MARK}", note=f"{MARK}")
    await ada.refused("watch", assistant_id=stage.assistant_id, cursor=MARK)
    await customer.refused("post_message", client_id="c", text=MARK * 1000)
    await customer.refused("post_message", client_id="c", text=f"{MARK}\x00")
    await customer.refused("post_message", client_id="c", text=[MARK])
    await customer.refused("post_message", client_id="c", text="a", **{MARK: MARK})
    await customer.refused(MARK, text=MARK)
    await customer.write(f"{MARK} first", "same")
    await customer.refused("post_message", client_id="same", text=f"{MARK} second")


async def _fail_everything(stage: Stage) -> list[str]:
    """What is refused before anybody is known: connections, frames, pages. Gives the secrets that were used."""
    await _person_with_password(stage)
    link = await stage.handoff.database.write("", identity.offer_link, (await stage.look(lambda: User.get(name="Pia"))).id)
    async with entered(stage.url, _auth(stage)) as wire:
        for frame in (f"4{MARK}", f"42/customers,{MARK}", f'42/customers,["{MARK}",NaN]', f'451-/customers,["{MARK}"]', f"{MARK}"):
            await wire.send(frame)
    for auth in (_auth(stage, MARK), {**_auth(stage), "widget": MARK}, {MARK: MARK}, [MARK]):
        async with Wire(stage.url, headers={"Cookie": f"{identity.COOKIE}={MARK}"}) as wire:
            await wire.enter(auth)
    async with aiohttp.ClientSession(stage.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        await _sign_in(http, f"{MARK} wrong")
        cookie = (await _sign_in(http)).cookies[identity.COOKIE].value
        await http.get(f"/sign-in/{MARK}")
        await http.get(f"/sign-in/{link}", allow_redirects=False)
        await http.get(f"/widget/{MARK}")
        await http.get("/sign-in", params={"next": f"/{MARK}"})
        await http.get("/console", cookies={identity.COOKIE: MARK})
    return ["correct horse", cookie, link]
