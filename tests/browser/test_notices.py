"""An agent looks up when a conversation needs a human: one sound, one notification, however many tabs are open.

The browser's own edge is recorded: what it is asked to play (AudioContext) and to show (Notification), in the page.
"""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff.assistants import NeedsHuman
from handoff.clock import now
from handoff.models import Conversation, Signal
from tests.browser.axe import fits
from tests.browser.pages import row, say, tab_to
from tests.browser.test_signals import many
from tests.cast import Agent, Stage
from tests.stubs import Call, ModelStub
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

TITLE = "Console \N{EN DASH} Handoff"

# Audio begins when a gesture allows it, or at once in a page that was told so; the permission is one for all tabs.
RECORDER = """
window.played = [];
window.audio = [];
window.shown = [];
window.AudioContext = class extends EventTarget {
  constructor() { super(); window.audio.push(this); }
  state = 'suspended';
  currentTime = 0;
  resume() {
    if (!navigator.userActivation.hasBeenActive) return new Promise(() => {});
    this.state = 'running';
    this.dispatchEvent(new Event('statechange'));
    return Promise.resolve();
  }
  param = { setValueAtTime() {}, exponentialRampToValueAtTime() {} };
  createOscillator() {
    return { frequency: this.param, connect: (next) => next, start: () => window.played.push(Date.now()), stop() {} };
  }
  createGain() { return { gain: this.param, connect: (next) => next }; }
};
window.Notification = class {
  static get permission() { return localStorage.getItem('test:permission') ?? 'default'; }
  static async requestPermission() {
    window.asked = (window.asked ?? 0) + 1;
    localStorage.setItem('test:permission', 'granted');
    return 'granted';
  }
  constructor(title, { body, tag }) { Object.assign(this, { title, body, tag, isClosed: false }); window.shown.push(this); }
  close() { this.isClosed = true; }
};
"""


@pytest.fixture
def desk(open_console: Any) -> Any:
    """`page = await desk(stage, ada)`: Ada's console in a browser that records, both notices turned on; 1440 pixels wide."""

    async def open(stage: Stage, agent: Agent, *, turned_on: bool = True, **options: Any) -> Page:
        page = await open_console(stage, agent, viewport={"width": 1440, "height": 900}, init=RECORDER, **options)
        if turned_on:
            await turn_on(page)
        return page

    return open


async def turn_on(page: Page) -> None:
    await page.locator("#notices-button").click()
    await page.get_by_role("button", name="Turn sound on").click()
    await expect(page.locator("#sound-state")).to_have_text("On.")
    await page.get_by_role("button", name="Turn notifications on").click()
    await expect(page.locator("#desktop-state")).to_have_text("On.")
    await page.keyboard.press("Escape")
    await page.evaluate("window.played.length = 0")


async def another_tab(page: Page, stage: Stage) -> Page:
    tab = await page.context.new_page()
    await tab.goto(f"{stage.url}/console#/{stage.assistant_id}")
    await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(tab.locator("#list-empty")).not_to_have_text("Fetching conversations…")
    return tab


async def _sounded(page: Page, times: int) -> bool:
    return await sounds(page) == times


async def sounds(page: Page) -> int:
    return await page.evaluate("window.played.length")


async def shown(page: Page) -> list[list[str]]:
    return await page.evaluate("window.shown.map(({title, body}) => [title, body])")


async def has_noticed(page: Page, times: int = 1, within: float = 2) -> None:
    async def has() -> bool:
        return (await sounds(page), len(await shown(page))) == (times, times)

    await wait_until(has, within, f"{times} sounds and notifications")


async def wants_human(stage: Stage) -> str:
    """A customer who asks for a human at once; gives the conversation."""
    customer = await stage.customer()
    await customer.write("hello")
    await customer.do("request_human")
    return customer.conversation_id


async def test_who_is_cancelling_sounds_and_shows_within_two_seconds_and_a_takeover_settles_it(stage: Stage, desk) -> None:
    await stage.hold_assistant()
    await stage.set_assistant(phrases=json.dumps(["cancel*"]))
    leaving = await stage.customer()
    await leaving.write("Hello there")
    for _ in range(3):
        await (await stage.customer()).write("hello")
    page = await desk(stage, await stage.agent("Ada"))
    await expect(page.locator("#conversations .row")).to_have_count(4)
    await expect(page).to_have_title(TITLE)
    assert await shown(page) == []
    await leaving.write("I'm cancelling")
    await has_noticed(page)
    assert await shown(page) == [["A customer", "Said “cancelling”"]]
    first = page.locator("#conversations .row").first
    await expect(first).to_have_attribute("data-conversation", leaving.conversation_id)
    await expect(page).to_have_title(f"(1) {TITLE}")
    await expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("^data:image/svg.xml,.*%3E1%3C"))
    await page.evaluate("window.shown[0].onclick()")
    await expect(page.locator("#conversation")).to_have_attribute("data-conversation-id", leaving.conversation_id)
    await page.get_by_role("button", name="Take over").click()
    await expect(page.locator("[data-count=needs_human]")).to_have_text("0")
    await expect(page).to_have_title(TITLE)
    await expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/static/img/handoff.svg")
    assert await page.evaluate("window.shown[0].isClosed")


@pytest.fixture
async def tabs(stage: Stage, desk: Any) -> tuple[Page, Page]:
    """Two tabs of Ada's, of which the first sounds and shows."""
    await stage.hold_assistant()
    first = await desk(stage, await stage.agent("Ada"))
    second = await another_tab(first, stage)
    await expect(second.locator("#sound-state")).to_have_text(re.compile("^Waiting"))
    await second.locator("#nothing-open").click()
    await expect(second.locator("#sound-state")).to_have_text("On.")
    return first, second


async def test_of_two_tabs_one_sounds_and_the_other_when_that_is_closed(stage: Stage, tabs) -> None:
    first, second = tabs
    id = await wants_human(stage)
    await expect(row(second, id)).to_be_visible()
    await has_noticed(first)
    assert (await sounds(second), await shown(second)) == (0, [])
    await first.close()
    await wants_human(stage)
    await has_noticed(second)


async def test_a_tab_that_the_browser_freezes_hands_over_at_once_and_does_not_claim_it_back(stage: Stage, tabs) -> None:
    """A Chromium without a screen hides and freezes no page, so the page is told that it will be."""
    first, second = tabs
    await first.evaluate("document.dispatchEvent(new Event('freeze'))")
    await wants_human(stage)
    await has_noticed(second)
    await first.evaluate("document.dispatchEvent(new Event('resume'))")
    id = await wants_human(stage)
    await expect(row(first, id)).to_be_visible()
    await wait_until(lambda: _has_shown(second, 2), 2, "the other one goes on")
    assert (await sounds(first), await shown(first)) == (0, [])


async def _has_shown(page: Page, times: int) -> bool:
    return len(await shown(page)) == times


async def test_a_tab_whose_audio_was_taken_away_is_relieved(stage: Stage, tabs) -> None:
    first, second = tabs
    await first.evaluate("window.audio[0].state = 'interrupted'")
    await wants_human(stage)
    await wait_until(lambda: _sounded(second, 1), 10, "the other tab steps in")
    assert (await sounds(first), len(await shown(first)), await shown(second)) == (0, 1, [])


async def test_a_hidden_tab_notices_by_the_fact_alone(stage: Stage, desk) -> None:
    """Chromium lets the timers of a tab that was hidden for long run once a minute: here none runs at all, and no frame comes."""
    await stage.hold_assistant()
    page = await desk(stage, await stage.agent("Ada"))
    await page.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'})")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.evaluate("window.setTimeout = () => 0; window.requestAnimationFrame = () => 0")
    await wants_human(stage)
    await has_noticed(page)
    assert await shown(page) == [["A customer", "Asked for a human"]]


async def test_after_a_broken_connection_only_what_came_meanwhile_is_noticed(behind_line, desk) -> None:
    stage, line = behind_line
    await stage.hold_assistant()
    page = await desk(stage, await stage.agent("Ada"), url=line.url, allow="WebSocket|ERR_CONNECTION")
    first = await wants_human(stage)
    await has_noticed(page)
    await line.refuse()
    await line.cut()
    await expect(page.locator("#connection")).not_to_have_attribute("data-state", "live")
    second = await wants_human(stage)
    await line.accept()
    await expect(row(page, second)).to_be_visible()
    await wait_until(lambda: _are_shown(page, [first, second]), 5, "the second is noticed, the first is not again")
    await page.reload()
    await expect(row(page, second)).to_be_visible()
    assert await shown(page) == []


async def _are_shown(page: Page, ids: list[str]) -> bool:
    return await page.evaluate("window.shown.map(({tag}) => tag)") == [f"handoff:{id}" for id in ids]


async def test_what_comes_up_from_the_pages_below_is_no_news(stage: Stage, desk) -> None:
    await stage.hold_assistant()
    lost = await stage.customer()
    await lost.write("hello")
    widget_id = (await stage.conversation(lost.conversation_id)).widget_id
    ids = await stage.make(lambda: many(stage, widget_id))
    await stage.make(lambda: [_call(id, 60_000 - number) for number, id in enumerate(ids[:90])])
    page = await desk(stage, await stage.agent("Ada"))
    await page.locator("#more-conversations").click()
    await expect(page.locator("#conversations .row")).to_have_count(100)
    await lost.do("request_human")  # beyond both pages, so they are fetched again
    await expect(row(page, lost.conversation_id).locator(".chip")).to_have_text("Asked for a human")
    await expect(page.locator("[data-count=needs_human]")).to_have_text("91")
    await has_noticed(page)


def _call(id: str, ago: int) -> None:
    """It has needed a human for so many milliseconds."""
    Signal.create(conversation=id, kind="asked_for_human", after=0, raised_at=now() - ago)
    Conversation.update(needed_since=now() - ago, changed_at=1).where(Conversation.id == id).execute()


async def test_what_nobody_sees_to_sounds_again_three_times_and_not_once_it_was_opened(stage: Stage, desk) -> None:
    await stage.hold_assistant()
    page = await desk(stage, await stage.agent("Ada"))
    await page.clock.install()
    await wants_human(stage)
    await has_noticed(page)
    for times in (2, 3, 4, 4):
        await page.clock.fast_forward(31_000)
        assert await sounds(page) == times
    id = await wants_human(stage)
    await wait_until(lambda: _sounded(page, 5), 2, "another one sounds")
    await row(page, id).locator("button").click()
    await expect(page.locator("#conversation")).to_have_attribute("data-state", "open")
    await page.clock.fast_forward(31_000)
    assert await sounds(page) == 5


async def test_what_a_colleague_has_is_no_notice_and_what_they_take_over_falls_silent(stage: Stage, desk) -> None:
    await stage.hold_assistant()
    page = await desk(stage, await stage.agent("Ada"))
    bob = await stage.watcher("Bob")
    await page.clock.install()
    id = await wants_human(stage)
    await has_noticed(page)
    await bob.take_over(id)
    await expect(row(page, id).locator(".row-owner")).to_have_text("Bob")
    assert await page.evaluate("window.shown[0].isClosed")
    await page.clock.fast_forward(31_000)
    assert await sounds(page) == 1
    await stage.make(lambda: Conversation.update(waiting_since=1, ages_from=1).where(Conversation.id == id).execute())
    await stage.handoff.sweeper.raise_waiting()
    await expect(row(page, id).locator(".chip")).to_have_text("No answer yet")
    assert (await sounds(page), len(await shown(page))) == (1, 1)


async def test_the_menu_says_what_is_true_and_suits_everybody(stage: Stage, desk) -> None:
    await stage.hold_assistant()
    page = await desk(stage, await stage.agent("Ada"), turned_on=False)
    bell = page.locator("#notices-button")
    assert await page.evaluate("window.asked") is None, "nothing asks by itself"
    await expect(bell).to_have_accessible_name("Notices: sound off, notifications off")
    await tab_to(page, bell)
    await page.keyboard.press("Enter")
    await expect(page.locator("#sound-state")).to_have_text("Off.")
    await expect(page.locator("#desktop-state")).to_have_text("Off. Your browser will ask you whether it may.")
    await fits(page, "the menu, off")
    await page.keyboard.press("Tab")
    await expect(page.locator("#sound-switch")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#sound-state")).to_have_text("On.")
    assert await sounds(page) == 1
    await page.get_by_role("button", name="Play it").click()
    assert await sounds(page) == 2
    await page.get_by_role("button", name="Turn notifications on").click()
    await expect(page.locator("#desktop-state")).to_have_text("On.")
    await fits(page, "the menu, on")
    await page.keyboard.press("Escape")
    await expect(page.locator("#notices-menu")).to_be_hidden()
    await expect(bell).to_have_accessible_name("Notices: sound on, notifications on")
    await page.reload()
    await expect(bell).to_have_accessible_name("Notices: sound off, notifications on")  # until the first click on this page
    await bell.click()
    await expect(bell).to_have_accessible_name("Notices: sound on, notifications on")
    await page.get_by_role("button", name="Mute").click()
    await page.get_by_role("button", name="Turn notifications off").click()
    await wants_human(stage)
    await expect(page).to_have_title(f"(1) {TITLE}")
    assert (await sounds(page), await shown(page)) == (0, [])
    await page.evaluate("localStorage.setItem('test:permission', 'denied')")
    await page.keyboard.press("Escape")
    await bell.click()
    await expect(page.locator("#desktop-state")).to_contain_text("Blocked by your browser.")
    await expect(page.locator("#desktop-switch")).to_be_hidden()


async def test_a_lead_who_asks_for_a_demo_shows_what_the_assistant_remembered(open_stage, desk, open_chat) -> None:
    stage = await open_stage(allow_private_addresses=True)
    async with ModelStub() as model:

        async def notes(call: Call) -> None:
            await call.head()
            await call.send(model.called(0, "remember", {"name": "name", "value": "Eve Holt"}))
            await call.send(model.called(1, "remember", {"name": "need", "value": "200 lamps by May"}) + model.calls_over())
            await call.end()

        model.will(notes, model.says("A colleague will show you one."))
        await stage.set_assistant(**model.settings(), phrases=json.dumps(["demo"]))
        page = await desk(stage, await stage.agent("Ada"))
        chat = await open_chat(stage)
        await say(chat, "I am Eve Holt. We need 200 lamps by May, can I get a demo?")
        await has_noticed(page)
        assert await shown(page) == [["A customer", "Said “demo”"]]
        await expect(page.locator("#conversations .row").first.locator(".row-name")).to_have_text("Eve Holt")
        await page.evaluate("window.shown[0].onclick()")
        details = page.locator("#details-customer")
        await expect(details.locator("dd").nth(0)).to_have_text("Eve Holt")
        await expect(details).to_contain_text("200 lamps by May")
        await page.get_by_role("button", name="Take over").click()
        await expect(page.locator("#composer-text")).to_be_focused()


async def test_of_two_hundred_chats_the_one_without_an_answer_is_heard_and_on_top(stage: Stage, desk) -> None:
    held = await stage.hold_assistant()
    lost = await stage.customer()
    await lost.write("Do you sell anchors?")
    widget_id = (await stage.conversation(lost.conversation_id)).widget_id
    await stage.make(lambda: many(stage, widget_id))
    page = await desk(stage, await stage.agent("Ada"))
    await expect(page.locator("[data-count=all]")).to_have_text("201")
    await expect(row(page, lost.conversation_id)).to_have_count(0)
    held.say(NeedsHuman("no_answer", "The assistant found nothing in its knowledge."), "I do not know.")
    held.finish()
    await has_noticed(page)
    assert await shown(page) == [["A customer", "No answer found"]]
    await expect(page.locator("#conversations .row").first).to_have_attribute("data-conversation", lost.conversation_id)
