"""Notices: what leaves the house when nobody reacts, against a real HTTP receiver and SMTP server; and what customers are told."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from handoff import away, deliveries, signals
from handoff.clock import now
from handoff.delivering import OF_A_TEAM, Delivering
from handoff.models import Audit, Conversation, Delivery, Message, Signal, Team
from handoff.models import Customer as CustomerRow
from tests.apart import STARTED, served_apart
from tests.cast import Agent, HeldAssistant, Stage, found_team
from tests.servers import LOOPBACK, HandoffProcess, free_port
from tests.test_invitations import Inbox, Local
from tests.test_settings_pages import HTMX, ON_ONE, Browser
from tests.waiting import wait_until

SECRET = "the-secret-of-the-receiver"
SENDER = "Handoff <handoff@tidewater.example>"


@dataclass
class Receiver:
    """A team's webhook on a real HTTP server, which does not listen until it is opened."""

    port: int = field(default_factory=free_port)
    status: int = 204
    holds: bool = False
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/hook?token=in-the-address"

    @property
    def events(self) -> list[str]:
        return [headers["Handoff-Event"] for headers, _ in self.calls]

    async def open(self) -> None:
        application = web.Application()
        application.router.add_post("/hook", self._called)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _called(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        if self.holds:
            await asyncio.sleep(60)
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    yield receiver
    await receiver.close()


@dataclass
class Office:
    """A stage whose sweeper and deliveries wait for the test, and an owner at the page."""

    stage: Stage
    ada: Agent
    page: Browser
    held: HeldAssistant

    @property
    def delivering(self) -> Delivering:
        return self.stage.handoff.delivering

    async def fields(self, **changes: str) -> dict[str, str]:
        """What the page's form holds, with those changes."""
        seen = (await self.page.look("notices/")).text
        began = {name: seen.partition(f'name="{name}" value="')[2].partition('"')[0] for name in ("version", "began")}
        team = await self.stage.look(lambda: Team.get_by_id(self.stage.team_id))
        shown = {
            "notice_seconds": str(team.notice_seconds),
            "notice_url": team.notice_url,
            "notice_key": "",
            "notice_emails": "\r\n".join(json.loads(team.notice_emails)),
            "away_text": team.away_text,
        }
        return {**shown, **began, **changes}

    async def save(self, **changes: str) -> None:
        saved = await self.page.send("notices/", await self.fields(**changes))
        assert saved.status == 303, saved.words

    async def in_need(self) -> str:
        """A conversation whose customer asked for a person two minutes ago."""
        customer = await self.stage.customer()
        await customer.write("hello")
        await customer.do("request_human")
        await self.age(customer.conversation_id)
        return customer.conversation_id

    async def age(self, conversation_id: str, seconds: int = 120) -> None:
        older = Signal.update(raised_at=Signal.raised_at - seconds * 1000).where(Signal.conversation == conversation_id)
        await self.stage.make(older.execute)

    async def sweep(self) -> None:
        """As several processes would, at once."""
        await asyncio.gather(*(self.stage.handoff.sweeper.queue_notices() for _ in range(3)))

    async def deliver(self, later: bool = False) -> None:
        """What is due; with `later` also what waits for its next attempt."""
        if later:
            waiting = Delivery.update(next_at=now() - 1).where(Delivery.next_at.is_null(False))
            await self.stage.make(waiting.execute)
        while await self.stage.look(lambda: deliveries.due([])):
            await self.delivering.look()
            await self.delivering.rest()

    async def log(self) -> list[Delivery]:
        return await self.stage.look(lambda: list(Delivery.select().order_by(Delivery.kind.desc(), Delivery.created_at)))


@pytest.fixture
async def smtp_port() -> int:
    return free_port()


@pytest.fixture
async def office(open_stage: Any, smtp_port: int) -> AsyncIterator[Office]:
    stage = await open_stage(
        sweep_seconds=1_000, allow_private_addresses=True, smtp_url=f"smtp://{LOOPBACK}:{smtp_port}", mail_from=SENDER
    )
    held = await stage.hold_assistant()
    ada = await stage.member("Ada", role="owner")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Office(stage, ada, Browser(http, stage, ada.cookie), held)


async def test_a_signal_that_nobody_reacts_to_reaches_webhook_and_mail_once_they_are_up(
    office: Office, receiver: Receiver, smtp_port: int, capfd: Any
) -> None:
    await office.save(
        notice_url=receiver.url, notice_key=SECRET, notice_emails="Lead@tidewater.example\n\n lead@tidewater.example "
    )
    id = await office.in_need()
    await office.sweep()
    await office.sweep()
    await office.deliver()
    log = await office.log()
    assert [(one.kind, one.status, one.attempts) for one in log] == [("webhook", "queued", 1), ("email", "queued", 1)]
    assert all(9_000 < one.next_at - now() <= 10_000 for one in log)
    page = await office.page.look("notices/")
    assert page.says("The webhook could not be reached: it refused the connection.") and page.says("The mail server could not be")
    inbox = Inbox()
    mail_server = Local(inbox, hostname=LOOPBACK, port=smtp_port)
    await receiver.open()
    await asyncio.to_thread(mail_server.start)
    try:
        await office.deliver()
        assert receiver.calls == [], "not before its time"
        await office.deliver(later=True)
        log = await office.log()
        assert [(one.status, one.attempts, one.next_at) for one in log] == [("delivered", 2, None)] * 2
        (headers, body), (mail,) = receiver.calls[0], inbox.mails
        signed = hmac.new(SECRET.encode(), headers["Handoff-Time"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert headers["Handoff-Signature"] == signed
        told, stage = json.loads(body), office.stage
        signal = await stage.look(lambda: Signal.get(Signal.conversation == id))
        assert told == {
            "event": headers["Handoff-Event"],
            "kind": "signal",
            "team": stage.team_id,
            "assistant": stage.assistant_id,
            "assistant_name": "Tilly",
            "conversation": id,
            "signal": {"kind": "asked_for_human", "reason": "The customer asked for a person.", "raised_at": signal.raised_at},
            "customer": {"name": None},
            "link": f"{stage.handoff.settings.address}/console#/{stage.assistant_id}/{id}",
        }
        assert (mail["To"], mail["Subject"]) == ("lead@tidewater.example", "Tilly: a customer needs a person")
        assert mail["Message-ID"] == f"<{log[1].id}@handoff.invalid>"
        assert "The customer asked for a person." in mail.get_content() and told["link"] in mail.get_content()
        # Replay: the same event once more, however often the form is sent.
        again = {"attempts": "2"}
        sent = await asyncio.gather(*(office.page.send(f"notices/{log[0].id}/replay", again) for _ in range(3)))
        assert {answer.status for answer in sent} == {303}
        await office.deliver()
        await office.page.send(f"notices/{log[0].id}/replay", again)
        await office.deliver()
        assert receiver.events == [log[0].id] * 2
        audit = await stage.look(lambda: [line.kind for line in Audit.select().where(Audit.kind == "notice_replayed")])
        assert len(audit) == 1
    finally:
        await asyncio.to_thread(mail_server.stop)
    page = await office.page.look("notices/")
    assert page.says("It answered 204.") and page.says("The mail server took it.") and page.says("3 attempts")
    sealed = (await office.stage.look(lambda: Team.get_by_id(office.stage.team_id))).notice_key
    log_text = "".join(capfd.readouterr())
    for text in (page.text, log_text):
        assert SECRET not in text and sealed not in text
    assert "asked for a person" not in log_text and "lead@tidewater" not in log_text and "in-the-address" not in log_text
    ben = await office.stage.member("Ben", seat=None)
    seen = await Browser(office.page.http, office.stage, ben.cookie).look("notices/")
    assert seen.status == 200 and "in-the-address" not in seen.text and "Replay" not in seen.text


async def test_whoever_takes_opens_or_closes_the_conversation_keeps_the_notice_in(office: Office, receiver: Receiver) -> None:
    await office.save(notice_url=receiver.url, notice_key=SECRET)
    kim = await office.stage.agent("Kim")
    taken, opened, alone = [await office.in_need() for _ in range(3)]
    await kim.take_over(taken)
    await kim.do("open_conversation", conversation_id=opened)
    young = await office.in_need()
    await office.age(young, -100)
    await office.sweep()
    assert [json.loads(one.body)["conversation"] for one in await office.log()] == [alone]
    await office.age(young)
    await office.sweep()
    assert [json.loads(one.body)["conversation"] for one in await office.log()] == [alone, young]
    # Somebody opened it after the sweep had seen it.
    late = await office.in_need()
    ((signal, _),) = await office.stage.look(signals.unreacted)
    await kim.do("open_conversation", conversation_id=late)
    await office.stage.handoff.database.write(late, deliveries.queue, signal, late, "")
    assert len(await office.log()) == 2


async def test_of_several_processes_one_delivers_and_a_lost_claim_is_taken_up(office: Office, receiver: Receiver) -> None:
    await receiver.open()
    await office.save(notice_url=receiver.url, notice_key=SECRET)
    for _ in range(4):
        await office.in_need()
    await office.sweep()
    own = office.delivering
    others = [Delivering(own._database, own._outgoing, own._mail, own._keys, 1_000) for _ in range(3)]
    while await office.stage.look(lambda: deliveries.due([])):
        await asyncio.gather(*(one.look() for one in (own, *others)))
        assert all(len(one._running) <= OF_A_TEAM for one in (own, *others))
        await asyncio.gather(*(one.rest() for one in (own, *others)))
    assert len(receiver.events) == len(set(receiver.events)) == 4
    # Somebody claimed it and was never heard of again; when they are, it counts for nothing.
    (first, *_) = await office.log()
    seen = now() - 1
    await office.stage.make(lambda: Delivery.update(status="queued", next_at=seen).where(Delivery.id == first.id).execute())
    lost = await office.stage.handoff.database.write("x", deliveries.claim, first.id, seen)
    assert lost is not None and await office.stage.handoff.database.write("x", deliveries.claim, first.id, seen) is None
    await office.deliver()
    assert len(receiver.events) == 4, "the claim holds"
    await office.deliver(later=True)
    assert receiver.events[4:] == [first.id]
    await office.stage.handoff.database.write("x", deliveries.not_delivered, lost, "late")
    assert [(one.status, one.attempts) for one in await office.log() if one.id == first.id] == [("delivered", 3)]


async def test_what_cannot_be_delivered_has_failed_after_the_last_attempt(office: Office, receiver: Receiver) -> None:
    receiver.status = 500
    await receiver.open()
    await office.save(notice_url=receiver.url, notice_key=SECRET)
    await office.in_need()
    await office.sweep()
    for attempt in range(1, 8):
        await office.deliver(later=True)
        (one,) = await office.log()
        assert (one.status, one.attempts) == (("queued", attempt) if attempt < 6 else ("failed", 6))
    assert (await office.page.look("notices/")).says("The webhook had an error of its own (500).")
    receiver.status = 200
    await office.page.send(f"notices/{one.id}/replay", {"attempts": "6"})
    await office.deliver()
    assert [(one.status, one.attempts) for one in await office.log()] == [("delivered", 7)]


async def test_a_place_that_was_taken_off_the_list_gets_nothing_more(office: Office, receiver: Receiver) -> None:
    await receiver.open()
    await office.save(notice_url=receiver.url, notice_key=SECRET, notice_emails="lead@tidewater.example")
    await office.in_need()
    await office.sweep()
    await office.save(notice_url="", notice_emails="")
    await office.deliver()
    assert [(one.status, receiver.calls) for one in await office.log()] == [("failed", [])] * 2
    assert (await office.stage.look(lambda: Team.get_by_id(office.stage.team_id))).notice_key == ""
    await office.stage.make(lambda: Delivery.update(created_at=now() - deliveries.KEPT - 1).execute())
    await office.stage.handoff.sweeper.forget()
    assert await office.log() == []


async def test_a_test_delivery_goes_out_once_and_needs_a_place(office: Office, receiver: Receiver) -> None:
    refused = await office.page.send("notices/test", {"test_id": "a"}, headers=HTMX)
    assert refused.status == 422 and refused.says("There is no place to send it to yet")
    await receiver.open()
    await office.save(notice_url=receiver.url, notice_key=SECRET)
    for _ in range(2):
        assert (await office.page.send("notices/test", {"test_id": "a"})).status == 303
    await office.deliver()
    assert [json.loads(body)["kind"] for _, body in receiver.calls] == ["test"]
    assert (await office.page.look("notices/")).says("Test")


async def test_a_delivery_of_another_team_is_not_there(office: Office, receiver: Receiver) -> None:
    other, _, _ = await found_team(office.stage, "Harbour")
    foreign = await office.stage.make(
        lambda: Delivery.create(team=other, kind="email", about="x", target="them@harbour.example", body="{}", next_at=None).id
    )
    told = await office.page.send(f"notices/{foreign}/replay", {"attempts": "0"})
    assert told.status == (await office.page.send("notices/nobody/replay", {"attempts": "0"})).status == 404
    assert "harbour" not in (await office.page.look("notices/")).text
    assert (await office.log())[0].next_at is None


@ON_ONE
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"notice_seconds": "9"}, "Enter 10 or more."),
        ({"notice_seconds": "soon"}, "Enter a whole number."),
        ({"notice_url": "ftp://shop.example"}, "Start the address with https://"),
        ({"notice_url": "https://shop.example/x", "notice_key": ""}, "generate one"),
        ({"notice_emails": "lead@tidewater.example\nnobody"}, "holds “nobody”, which is no e-mail address"),
        ({"notice_emails": "\n".join(f"a{n}@x.org" for n in range(11))}, "has 11 addresses; at most 10"),
        ({"away_text": "x" * 1_001}, "At most 1,000 characters"),
    ],
)
async def test_what_cannot_be_is_refused_beside_its_field_and_kept(office: Office, changes: dict[str, str], words: str) -> None:
    refused = await office.page.send("notices/", await office.fields(**{"away_text": "We are asleep.", **changes}))
    assert refused.status == 422 and refused.says(words), refused.words
    assert changes.get("away_text", "We are asleep.") in refused.text
    assert (await office.stage.look(lambda: Team.get_by_id(office.stage.team_id))).away_text == ""


@ON_ONE
async def test_private_addresses_need_the_operators_word(open_stage: Any) -> None:
    stage = await open_stage(sweep_seconds=1_000)
    ada = await stage.member("Ada", role="owner")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        office = Office(stage, ada, Browser(http, stage, ada.cookie), HeldAssistant())
        refused = await office.page.send("notices/", await office.fields(notice_url="https://10.0.0.1/x", notice_key=SECRET))
        assert refused.status == 422 and refused.says("not on the public internet") and SECRET not in refused.text


async def test_of_two_admins_the_later_is_told_and_loses_nothing(office: Office) -> None:
    mine, theirs = await office.fields(away_text="Mine."), await office.fields(away_text="Theirs.")
    for _ in range(2):  # a double submit is one
        assert (await office.page.send("notices/", theirs)).status == 303
    late = await office.page.send("notices/", mine, headers=HTMX)
    assert late.status == 409 and "Mine." in late.text and "Theirs." in late.text and late.says("Ada changed this meanwhile, to:")
    lines = await office.stage.look(lambda: Audit.select().where(Audit.kind == "notices_changed").count())
    assert lines == 1


async def test_a_killed_process_leaves_its_delivery_to_the_next(database_url: str, tmp_path: Path, receiver: Receiver) -> None:
    receiver.holds = True
    await receiver.open()
    (tmp_path / "next").mkdir()
    settings = {"allow_private_addresses": True, "sweep_seconds": 0.2}
    async with served_apart(database_url, tmp_path, **settings) as (stage, process):
        heir = HandoffProcess(tmp_path / "next", database_url=database_url, **settings)
        ada = await stage.member("Ada", role="owner")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            office = Office(stage, ada, Browser(http, stage, ada.cookie), HeldAssistant())
            await office.save(notice_url=receiver.url, notice_key=SECRET)
        await office.in_need()
        await wait_until(lambda: receiver.calls, 20, "the receiver is called")
        process.kill()
        receiver.holds = False
        try:
            await heir.start(STARTED)
            (one,) = await office.log()
            assert one.status == "delivering"
            await stage.make(lambda: Delivery.update(next_at=now()).execute())  # the claim runs out
            await wait_until(lambda: len(receiver.calls) == 2, 20, "the next process delivers it")
            assert receiver.events == [one.id] * 2
            await wait_until(lambda: _is_delivered(office), 10, "it is noted")
        finally:
            heir.close()


async def _is_delivered(office: Office) -> bool:
    return [one.status for one in await office.log()] == ["delivered"]


# --- away -----------------------------------------------------------------------------------------


async def lines_of(office: Office, conversation_id: str) -> list[Message]:
    return await office.stage.messages(conversation_id)


async def test_who_asks_while_nobody_is_there_is_told_once_in_the_teams_words_after_the_answer(office: Office) -> None:
    await office.save(away_text="We are **asleep**.")
    customer = await office.stage.customer()
    await customer.write("Can I talk to a human?")
    for _ in range(2):
        assert await customer.do("request_human") == {"available": False}
    id = customer.conversation_id
    waiting = (await office.stage.conversation(id)).waiting_since
    assert [line.author for line in await lines_of(office, id)] == ["customer"], "the assistant is still answering"
    office.held.say("I have passed it on.")
    office.held.finish()
    fact = await customer.heard.wait_for("message_posted", lambda fact: "asleep" in fact["message"]["text"])
    assert fact["message"]["author"] == "assistant" and "<strong>asleep</strong>" in fact["message"]["html"]
    assert "agent" not in fact["message"]
    said = [(line.author, line.text) for line in await lines_of(office, id)]
    assert said[1:] == [("assistant", "I have passed it on."), ("assistant", "We are **asleep**.")]
    assert waiting is not None
    standing = await office.stage.look(lambda: [row.kind for row in Signal.select().where(Signal.cleared_at.is_null())])
    assert standing == ["asked_for_human"], "the request stays at the top"


async def test_nobody_is_told_so_while_an_agent_watches_or_has_it_or_the_team_has_no_words(office: Office) -> None:
    customer = await office.stage.customer()
    await customer.write("hello")
    await customer.do("request_human")
    office.held.say("Hi.")
    office.held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    await asyncio.gather(*office.stage.handoff.away._telling)
    await office.save(away_text="We are asleep.")
    kim = await office.stage.watcher("Kim")
    other = await office.stage.customer()
    await other.write("hello")
    assert await other.do("request_human") == {"available": True}
    office.held.say("Hi.")
    office.held.finish()
    await other.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    third = await office.stage.customer()
    await third.write("hello")
    await kim.do("unwatch", assistant_id=office.stage.assistant_id)
    await third.do("request_human")
    await kim.take_over(third.conversation_id)  # before the turn has ended
    await asyncio.gather(*office.stage.handoff.away._telling)
    for person in (customer, other, third):
        assert "We are asleep." not in [line.text for line in await lines_of(office, person.conversation_id)]


async def test_the_away_text_is_stored_only_while_the_request_stands_and_nobody_has_or_answers_it(office: Office) -> None:
    kim, write = await office.stage.agent("Kim"), office.stage.handoff.database.write
    id = await office.in_need()  # the assistant is answering
    signal = await office.stage.look(lambda: Signal.get(Signal.conversation == id).id)
    await office.save(away_text="We are asleep.")
    assert await write(id, away.tell, signal, id) is False, "later"
    await kim.take_over(id)
    raised = await office.stage.make(lambda: Signal.update(cleared_at=None).where(Signal.id == signal).execute())
    assert raised == 1 and await write(id, away.tell, signal, id) is True
    await kim.do("close_conversation", conversation_id=id, outcome_id=None, note=None)
    assert await write(id, away.tell, signal, id) is True
    assert [line.author for line in await lines_of(office, id)] == ["customer"]


async def test_the_away_text_is_no_answer(office: Office) -> None:
    await office.save(away_text="We are asleep.")
    customer = await office.stage.customer()
    await customer.write("hello")
    id = customer.conversation_id
    # As after an assistant that said nothing: no turn runs, and the customer waits.
    await office.stage.make(lambda: Conversation.update(turn_id=None).where(Conversation.id == id).execute())
    await office.stage.make(lambda: Conversation.update(waiting_since=now() - 90_000).where(Conversation.id == id).execute())
    await office.stage.handoff.sweeper.raise_waiting()
    await customer.do("request_human")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "We are asleep.")
    kinds = await office.stage.look(lambda: sorted(row.kind for row in Signal.select().where(Signal.cleared_at.is_null())))
    assert kinds == ["asked_for_human", "waiting"]
    assert (await office.stage.conversation(id)).waiting_since is not None


async def test_a_customer_leaves_an_address_which_agents_see(office: Office) -> None:
    stage, customer = office.stage, await office.stage.customer()
    assert (await customer.refused("leave_email", email="kim@x.org"))["code"] == "not_found"
    await customer.write("hello")
    kim = await stage.watcher("Kim")
    for address in ("", "nobody", "a@b@c", "kim@x.org\x00", "a" * 250 + "@x.org", "a\u2028@x.org"):
        if address:
            assert (await customer.refused("leave_email", email=address))["code"] in ("invalid", "rate_limited"), address
    other = await stage.customer(token=customer.token)
    await stage.make(lambda: stage.handoff.customers._emails._spent.clear())
    for _ in range(2):
        assert await other.do("leave_email", email=" Kim@X.org ") is None
    opened = await kim.do("open_conversation", conversation_id=customer.conversation_id)
    assert opened["customer"]["email"] == "kim@x.org"
    changed = [fact["version"] for fact in kim.heard.named("conversation_changed")]
    assert changed == [opened["conversation"]["version"]], "once, and nothing is missing"
    row = await stage.look(lambda: CustomerRow.get(CustomerRow.email == "kim@x.org"))
    assert row.id == opened["customer"]["id"]
    codes = [(await other.ask("leave_email", email=f"kim{n}@x.org")).get("error", {}).get("code") for n in range(6)]
    assert codes[-1] == "rate_limited"
