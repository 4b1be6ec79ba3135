"""Where an assistant's answers come from: chosen by admins on a page that never gives a key back, and tried there."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from handoff import trials
from handoff.assistants import AnswerFailed, NeedsHuman, Remember
from handoff.models import Assistant, Audit
from handoff.pages import HOUSE
from tests.cast import HeldAssistant, Stage
from tests.forms import beside, form_on
from tests.stubs import KEY as STUB_KEY
from tests.stubs import ModelStub, Stub, WebhookStub
from tests.test_settings_pages import ON_ONE, Browser, ada, ben, browser
from tests.waiting import wait_until

__all__ = ["ada", "ben", "browser"]

KEY, SECRET = "sk-the-key-of-the-team", "the-secret-of-the-program"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def path(stage: Stage) -> str:
    return f"assistants/{stage.assistant_id}/answers/"


async def kept(stage: Stage) -> Assistant:
    return await stage.look(lambda: Assistant.get_by_id(stage.assistant_id))


async def form(page: Any, path: str, **changes: str) -> dict[str, str]:
    """What the form holds that the page shows, with those changes."""
    shown = {
        **form_on(await page.look(path), "answers-form"),
        "provider": "model",
        "base_url": "https://models.example/v1",
        "model": "small",
        "model_key": "",
        "instructions": "Be kind.",
        "temperature": "0.123456789",
        "answer_tokens": "500",
        "webhook_url": "",
        "webhook_key": "",
    }
    return {**shown, **changes}


def opened(stage: Stage, sealed: str) -> str | None:
    return stage.handoff.application[HOUSE].keys.open(sealed)


async def test_a_model_is_chosen_and_its_key_goes_in_and_never_comes_out(stage, browser, ada, path):
    page = browser(ada)
    fields = await form(page, path, model_key=KEY)
    for _ in range(2):  # a double submit is one
        sent = await page.send(path, fields)
        assert (sent.status, sent.headers["Location"]) == (303, f"/teams/{stage.team_id}/{path}")
    row = await kept(stage)
    assert (row.provider, row.model, row.temperature, row.answer_tokens) == ("model", "small", 0.1235, 500)
    assert KEY not in row.model_key and opened(stage, row.model_key) == KEY
    seen = await page.look(path)
    assert "One is set" in seen.words and KEY not in seen.text and row.model_key not in seen.text
    assert (await page.look("audit/")).says("changed where the answers of Tilly come from")
    lines = await stage.look(lambda: [line.about for line in Audit.select().where(Audit.kind == "answers_changed")])
    assert len(lines) == 1 and KEY not in lines[0]
    await page.send(path, await form(page, path, model="large"))  # empty keeps it
    assert opened(stage, (await kept(stage)).model_key) == KEY
    await page.send(path, await form(page, path, model_key="another"))
    assert opened(stage, (await kept(stage)).model_key) == "another"
    await page.send(path, await form(page, path, remove_model_key="yes"))
    assert (await kept(stage)).model_key == ""


async def test_a_key_is_not_sent_to_another_place_than_it_was_typed_for(stage, browser, ada, path):
    page = browser(ada)
    await page.send(path, await form(page, path, model_key=KEY))
    refused = await page.send(path, await form(page, path, base_url="https://elsewhere.example/v1"))
    assert refused.status == 422 and "type the key again" in refused.words
    assert (await kept(stage)).base_url == "https://models.example/v1"
    assert (await page.send(path, await form(page, path, base_url="https://models.example/v2"))).status == 303
    assert (await page.send(path, await form(page, path, base_url="https://x.example", model_key="new"))).status == 303


async def test_a_webhook_gets_a_secret_that_is_shown_once(stage, browser, ada, path):
    page = browser(ada)
    webhook = {"provider": "webhook", "webhook_url": "https://shop.example/answer"}
    refused = await page.send(path, await form(page, path, **webhook))
    assert refused.status == 422 and "generate one" in refused.words
    made = await page.send(path, await form(page, path, **webhook, generate="webhook_key"))
    secret = made.text.partition('class="code" value="')[2].partition('"')[0]
    assert len(secret) > 30 and "https://shop.example/answer" in made.text
    assert (await kept(stage)).webhook_key == ""
    assert (await page.send(path, await form(page, path, **webhook, webhook_key=secret))).status == 303
    assert opened(stage, (await kept(stage)).webhook_key) == secret
    assert secret not in (await page.look(path)).text


@ON_ONE
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_url": "http://models.example/v1"}, "Start the address with https://"),
        ({"base_url": "models.example"}, "Start the address with https://"),
        ({"base_url": "javascript:alert(1)"}, "Start the address with https://"),
        ({"base_url": "https://10.0.0.1/v1"}, "not on the public internet"),
        ({"base_url": "https://[::1]/v1"}, "not on the public internet"),
        ({"base_url": "https://localhost/v1"}, "not on the public internet"),
        ({"base_url": "https://me:secret@models.example"}, "Leave out names"),
        ({"base_url": "https://models.example:port"}, "This is no address"),
        ({"base_url": ""}, "Where does the model answer?"),
        ({"model": ""}, "Which model is to answer?"),
        ({"temperature": "2.1"}, "a number from 0 to 2"),
        ({"temperature": "nan"}, "a number from 0 to 2"),
        ({"temperature": "warm"}, "a number from 0 to 2"),
        ({"answer_tokens": "0"}, "Enter 1 or more"),
        ({"answer_tokens": "many"}, "Enter a whole number"),
        ({"provider": "magic"}, "Choose one of these"),
        ({"instructions": "x" * 8_001}, "At most 8,000 characters"),
    ],
)
async def test_what_cannot_answer_is_refused_in_words_and_what_was_typed_stays(stage, browser, ada, path, changes, words):
    page, before = browser(ada), (await kept(stage)).__data__
    refused = await page.send(path, await form(page, path, model_key=KEY, **{"instructions": "Be kind.", **changes}))
    assert (refused.status, words in refused.words) == (422, True), refused.words
    assert KEY not in refused.text and "type it once more" in refused.words
    assert changes.get("instructions", "Be kind.") in refused.text
    assert (await kept(stage)).__data__ == before


@ON_ONE
async def test_an_operator_may_allow_private_addresses(open_stage, browser):
    stage = await open_stage(allow_private_addresses=True)
    page = Browser(browser(None).http, stage, (await stage.member("Ada", role="owner")).cookie)
    path = f"assistants/{stage.assistant_id}/answers/"
    assert (await page.send(path, await form(page, path, base_url="http://127.0.0.1:9/v1"))).status == 303


async def test_of_two_admins_the_later_is_told_and_loses_nothing(stage, browser, ada, path):
    one, other = browser(ada), browser(await stage.member("Cleo", role="admin"))
    mine, hers = await form(one, path, model="mine", instructions="Be brief."), await form(other, path, model="hers")
    sent = await asyncio.gather(one.send(path, mine), other.send(path, hers))
    assert sorted(answer.status for answer in sent) == [303, 409]
    late = next(answer for answer in sent if answer.status == 409)
    won, lost = ("hers", "mine") if sent[0].status == 409 else ("mine", "hers")
    assert f"{'Cleo' if lost == 'mine' else 'Ada'} saved these settings while you were editing" in late.words
    assert f'value="{lost}"' in late.text and f"to: {won}" in beside(late, "model-changed")
    assert (await one.send(path, form_on(late, "answers-form"))).status == 303
    assert (await kept(stage)).model == lost


async def test_a_key_that_another_admin_set_is_kept_or_told_of_and_never_shown(stage, browser, ada, path):
    one, other = browser(ada), browser(await stage.member("Cleo", role="admin"))
    await one.send(path, await form(one, path, model_key="first"))
    mine, same = await form(one, path, instructions="Be brief."), await form(one, path, model_key=KEY)
    await other.send(path, await form(other, path, model_key="hers"))
    assert (await one.send(path, mine)).status == 303  # typed no key: hers stays
    assert opened(stage, (await kept(stage)).model_key) == "hers"
    late = await one.send(path, same)
    assert late.status == 409 and "Cleo changed this meanwhile." in beside(late, "model_key-changed")
    assert "type it once more" in beside(late, "model_key-error")
    for secret in ("hers", KEY, "another", (await kept(stage)).model_key):
        assert secret not in late.text.replace("puts yours in the place of theirs", "")
    assert (await one.send(path, {**form_on(late, "answers-form"), "model_key": KEY})).status == 303
    assert opened(stage, (await kept(stage)).model_key) == KEY
    notes = await stage.look(lambda: [line.about for line in Audit.select().where(Audit.kind == "answers_changed")])
    assert [json.loads(note)["fields"] for note in notes][1:] == ["model_key", "instructions", "model_key"]
    assert not any(secret in note for note in notes for secret in ("hers", KEY))


async def test_what_is_saved_of_the_assistant_itself_is_in_nobodys_way(stage, browser, ada, path):
    mine = await form(browser(ada), path)
    await stage.make(lambda: Assistant.update(version=5, greeting="Ahoy").where(Assistant.id == stage.assistant_id).execute())
    assert (await browser(ada).send(path, mine)).status == 303
    assert ((await kept(stage)).model, (await kept(stage)).greeting) == ("small", "Ahoy")


async def test_members_read_and_change_nothing(stage, browser, ada, ben, path):
    await browser(ada).send(path, await form(browser(ada), path, model_key=KEY))
    seen = await browser(ben).look(path)
    assert seen.status == 200 and "small at https://models.example/v1" in seen.words and "<form id=" not in seen.text
    assert (await browser(ben).send(path, {"model": "x"})).status == 403
    assert (await browser(ben).send(f"{path}try", {"question": "x"})).status == 403


# --- try it ---------------------------------------------------------------------------------------


@pytest.fixture
async def held(stage: Stage) -> HeldAssistant:
    held = HeldAssistant()
    house = stage.handoff.application[HOUSE]
    house.trials._providers = {**house.trials._providers, "held": held}
    await stage.set_assistant(provider="held")
    return held


def events_of(text: str) -> list[dict[str, Any]]:
    found = [json.loads(part.removeprefix("data: ")) for part in text.split("\n\n") if part]
    return [event for event in found if event != {"text": ""}]


async def test_trying_streams_the_saved_answer_and_its_times(stage, browser, ada, path):
    seen = await browser(ada).send(f"{path}try", {"question": "How long does delivery take?"}, headers=STREAM)
    assert seen.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *pieces, end = events_of(seen.text)
    assert "".join(piece["text"] for piece in pieces).startswith("Delivery takes five working days.")
    assert len(pieces) > 5 and end["fault"] is None and "s to the first word" in end["times"]


async def test_without_javascript_the_whole_answer_comes_as_a_page(stage, browser, ada, held, path):
    held.say("<b>Five</b> ", NeedsHuman("asked_for_human", "they are angry"), Remember("name", "Kim & Co"), "days.")
    held.finish()
    seen = await browser(ada).send(f"{path}try", {"question": "When?"})
    assert seen.status == 200 and "&lt;b&gt;Five&lt;/b&gt; days." in seen.text
    assert "It would ask for a human: they are angry" in seen.words
    assert "It would remember name = Kim &amp; Co" in seen.words


async def test_a_failure_is_told_in_words_and_holds_nothing_secret(stage, browser, ada, held, path, caplog):
    for error, words in (
        (AnswerFailed("The model refused the key (401)."), "The model refused the key (401)."),
        (RuntimeError(KEY), "The assistant failed in an unexpected way."),
    ):
        held.say(error)
        seen = await browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)
        assert events_of(seen.text)[-1]["fault"] == words
        assert KEY not in seen.text and KEY not in caplog.text
    held.finish()
    empty = await browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)
    assert events_of(empty.text)[-1]["fault"] == "The assistant's answer was empty."


async def test_an_endless_answer_and_one_that_never_comes_are_cut(stage, browser, ada, held, path):
    held.say("x" * 20_000)
    endless = await browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)
    assert events_of(endless.text)[-1]["fault"] == "The assistant's answer did not end."
    stage.handoff.application[HOUSE].trials._seconds = 0.2
    hangs = await browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)
    assert events_of(hangs.text)[-1]["fault"] == "No whole answer came in time."
    await wait_until(lambda: held.stopped == 2, 5, "both were ended")


async def test_the_answer_is_cancelled_when_the_browser_leaves(stage, browser, ada, held, path):
    held.say("One ")
    asking = asyncio.create_task(browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM))
    await held.is_asked()
    asking.cancel()
    await wait_until(lambda: held.stopped == 1, 2, "the provider is told within two seconds")
    await wait_until(lambda: not stage.handoff.application[HOUSE].trials._running, 2, "its place is free again")


async def test_a_team_tries_a_few_at_once_and_so_many_a_minute(stage, browser, ada, held, path, monkeypatch):
    asking = [
        asyncio.create_task(browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)) for _ in range(trials.AT_ONCE)
    ]
    await held.is_asked(trials.AT_ONCE)
    refused = await browser(ada).send(f"{path}try", {"question": "When?"}, headers=STREAM)
    assert (refused.status, json.loads(refused.text)["refused"]) == (429, "Too many at once. Wait a moment.")
    for _ in asking:
        held.say("x")
        held.finish()
    await asyncio.gather(*asking)
    for question, words in (("", "Please fill this in."), ("x" * 501, "At most 500 characters")):
        seen = await browser(ada).send(f"{path}try", {"question": question})
        assert seen.status == 422 and words in seen.words


# --- real servers behind it ------------------------------------------------------------------------


@pytest.fixture(params=[ModelStub, WebhookStub], ids=lambda kind: kind.kind)
async def stub(request: pytest.FixtureRequest) -> AsyncIterator[Stub]:
    async with request.param() as made:
        yield made


@pytest.fixture
async def outgoing(open_stage: Any, stub: Stub) -> Stage:
    """A team whose assistant asks the stub."""
    stage = await open_stage(allow_private_addresses=True, first_byte_seconds=1, idle_seconds=1, turn_seconds=3)
    await stage.set_assistant(**stub.settings())
    return stage


@pytest.fixture
async def asker(outgoing: Stage) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Browser(http, outgoing, (await outgoing.member("Ada", role="owner")).cookie)


async def tried(asker: Browser) -> list[dict[str, Any]]:
    path = f"assistants/{asker.stage.assistant_id}/answers/try"
    return events_of((await asker.send(path, {"question": "When?"}, headers=STREAM)).text)


async def test_a_real_answer_streams_with_what_the_assistant_would_do(asker: Browser, stub: Stub) -> None:
    note, wish = stub.note("name", "Kim"), stub.wish("They are angry.")
    if isinstance(stub, ModelStub):  # it is asked once more after each tool that it called
        stub.will(stub.says("Five ", note), stub.says(wish), stub.says("days."))
    else:
        stub.will(stub.says("Five ", note, wish, "days."))
    events = await tried(asker)
    assert "".join(event.get("text", "") for event in events).startswith("Five ")
    would = [event["would"] for event in events if "would" in event]
    assert would == ["remember name = Kim", "ask for a human: They are angry."]
    assert events[-1]["fault"] is None and "s to the first word" in events[-1]["times"]


async def test_each_failure_of_a_server_is_told_and_never_its_key(asker: Browser, stub: Stub) -> None:
    for script in (stub.fails(401, STUB_KEY.encode()), stub.fails(500), stub.says(), stub.holds):
        stub.calls.clear()
        stub.will(script)
        events = await tried(asker)
        assert events[-1]["fault"], events
        assert STUB_KEY not in str(events) and "unexpected" not in events[-1]["fault"], events


async def test_the_servers_connection_closes_when_the_browser_leaves(asker: Browser, stub: Stub) -> None:
    stub.will(stub.says(*["word "] * 100, pause=0.1))
    asking = asyncio.create_task(tried(asker))
    call = await stub.is_asked()
    asking.cancel()
    await call.is_closed(2)


async def test_a_flood_of_pieces_is_cut_and_holds_no_place(asker: Browser, stub: Stub) -> None:
    stub.will(stub.says(b"".join(stub.text("0123456789 ") for _ in range(3_000))))
    events = await asyncio.wait_for(tried(asker), 5)
    assert events[-1]["fault"] == "The assistant's answer did not end."
    assert not asker.stage.handoff.application[HOUSE].trials._running


async def test_who_leaves_in_the_middle_of_a_flood_holds_no_place(asker: Browser, stub: Stub) -> None:
    stub.will(stub.says(b"".join(stub.text("0") for _ in range(14_000))))
    asking = asyncio.create_task(tried(asker))
    await wait_until(lambda: asker.stage.handoff.application[HOUSE].trials._running, 5, "it is tried")
    await stub.is_asked()
    asking.cancel()
    await wait_until(lambda: not asker.stage.handoff.application[HOUSE].trials._running, 5, "its place is free again")
