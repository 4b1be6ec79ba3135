"""The agents' console, as people meet it: without a seat, in a race, off the network, by keyboard, in a narrow window."""

import asyncio
import re

import pytest
from playwright.async_api import Locator, Page, expect

from handoff import seats
from handoff.models import Assistant, Session
from tests.browser.axe import WIDTHS, fits, width_beyond
from tests.browser.pages import answer, growing, line, lines, row, tab_to
from tests.cast import Agent, Customer, Stage
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

QUESTION = "How long does delivery take?"
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
HOSTILE = [ATTACK, "W" * 4000, "\u202e" + "שלום עולם " * 40, "🛟" * 500 + "\u0301" * 300, "[a](javascript:alert(1)) **b** `c`"]
OFF_LINE = "ERR_|WebSocket"


async def asks(stage: Stage, text: str = QUESTION) -> Customer:
    customer = await stage.customer()
    await customer.write(text)
    return customer


async def is_answered(stage: Stage, text: str = QUESTION) -> Customer:
    customer = await asks(stage, text)
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    return customer


async def owns(agent: Agent, *customers: Customer) -> None:
    for customer in customers:
        await agent.take_over(customer.conversation_id)


# --- who may, and who was first ---


async def test_without_a_seat_the_console_says_so_and_who_holds_them_until_one_comes(stage, open_console):
    await stage.member("Ada"), await stage.member("Ben")
    olga = await stage.member("Olga", role="owner", seat=None)
    cleo = await stage.member("Cleo", seat=None)
    customer = await asks(stage)
    page = await open_console(stage, cleo)
    await expect(page.locator("#no-seat-title")).to_have_text("You have no seat in Tidewater")
    await expect(page.locator("#seat-holders li")).to_have_text(["Ada", "Ben"])
    await expect(page.locator("#no-seat-ask")).to_contain_text("Ask Olga")
    await expect(page.locator("#conversations, #take-over").filter(visible=True)).to_have_count(0)
    await expect(row(page, customer.conversation_id)).to_have_count(0)

    session_id = await stage.look(lambda: Session.get(Session.user == olga.user_id).id)
    await stage.handoff.database.write(stage.team_id, seats.assign, session_id, stage.team_id, cleo.member_id)
    await expect(row(page, customer.conversation_id)).to_be_visible()
    await expect(page.locator("#no-seat")).to_be_hidden()


async def test_two_agents_click_at_once_and_one_has_it(stage, open_console):
    customer = await is_answered(stage)
    people = [await stage.member("Ada"), await stage.member("Ben")]
    desks = [await open_console(stage, person, customer.conversation_id) for person in people]
    # A real click waits until the button stands still; by then the other one has taken it.
    await asyncio.gather(*(desk.locator("#take-over").evaluate("it => it.click()") for desk in desks))
    winner = (await wait_until(lambda: _who_may_write(desks))).index(True)
    loser = desks[1 - winner]
    await expect(loser.locator("#problem")).to_have_text(f"{people[winner].name} was first and has this conversation now.")
    await expect(loser.locator("#taken")).to_have_text(f"{people[winner].name} has this conversation.")
    await expect(loser.locator("#composer")).to_be_hidden()
    assert (await stage.conversation(customer.conversation_id)).owner_id == people[winner].member_id


async def _who_may_write(desks: list[Page]) -> list[bool]:
    may = [await desk.locator("#composer").is_visible() for desk in desks]
    return may if any(may) else []


async def test_who_clicks_too_late_is_told_who_was_first(behind_line, open_console):
    stage, network = behind_line
    customer = await is_answered(stage)
    page = await open_console(stage, await stage.member("Ben"), customer.conversation_id, url=network.url)
    network.freeze()
    await page.locator("#take-over").click()
    await expect(page.locator("#take-over")).to_have_text("Taking over…")
    ada = await stage.agent("Ada")
    await owns(ada, customer)
    network.resume()
    await expect(page.locator("#problem")).to_have_text("Ada was first and has this conversation now.")
    await expect(page.locator("#taken")).to_have_text("Ada has this conversation.")


# --- writing ---


async def test_what_is_half_written_belongs_to_its_conversation(stage, open_console):
    one, other = await is_answered(stage), await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, one, other)
    page = await open_console(stage, ada, one.conversation_id)
    text = page.locator("#composer-text")
    await text.fill("For the first")
    await row(page, other.conversation_id).click()
    await expect(text).to_have_value("")
    await text.fill("For the second")
    await row(page, one.conversation_id).click()
    await expect(text).to_have_value("For the first")
    await page.reload()
    await expect(text).to_have_value("For the first")
    await row(page, other.conversation_id).click()
    await expect(text).to_have_value("For the second")
    await text.press("Enter")
    await expect(lines(page).last).to_have_text("For the second")
    await expect(text).to_have_value("")
    await page.reload()
    await expect(lines(page).last).to_have_text("For the second")
    await expect(text).to_have_value("")


async def test_lines_written_off_the_network_wait_and_are_sent_once(behind_line, open_console):
    stage, network = behind_line
    customer = await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, customer)
    page = await open_console(stage, ada, customer.conversation_id, url=network.url, allow=OFF_LINE)
    network.freeze()
    await answer(page, "Into the silence.")
    await expect(page.locator(".is-pending .message-mark")).to_have_text("Sending…")
    await network.refuse()
    await network.cut()
    await expect(page.locator("#connection")).not_to_have_attribute("data-state", "live")
    await answer(page, "Off the network.")
    await expect(page.locator(".is-pending .message-mark")).to_have_text(["Waits for the connection"] * 2)

    network.resume()
    await network.accept()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(line(page, 4).locator(".message-text")).to_have_text("Off the network.")
    await expect(lines(page)).to_have_count(4)
    await expect(page.locator(".is-pending")).to_have_count(0)
    assert [said["text"] for said in await customer.history()][2:] == ["Into the silence.", "Off the network."]


async def test_a_line_whose_answer_got_lost_is_repeated_and_stands_once(behind_line, open_console):
    stage, network = behind_line
    customer = await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, customer)
    page = await open_console(stage, ada, customer.conversation_id, url=network.url, allow=OFF_LINE)
    network.is_deaf = True
    await answer(page, "Can you hear me?")
    await wait_until(lambda: _has_stored(stage, customer, 3), what="the line is stored")
    await expect(page.locator(".is-pending")).to_have_count(1)
    await network.cut()
    network.is_deaf = False
    await expect(line(page, 3).locator(".message-text")).to_have_text("Can you hear me?")
    await expect(page.locator(".is-pending")).to_have_count(0)
    await answer(page, "Good.")
    await expect(line(page, 4).locator(".message-text")).to_have_text("Good.")
    await expect(lines(page)).to_have_count(4)
    assert await _has_stored(stage, customer, 4)


async def _has_stored(stage: Stage, customer: Customer, count: int) -> bool:
    return len(await stage.messages(customer.conversation_id)) == count


async def test_a_reload_off_the_network_keeps_what_waits(behind_line, open_console):
    stage, network = behind_line
    customer = await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, customer)
    page = await open_console(stage, ada, customer.conversation_id, url=network.url, allow=OFF_LINE)
    await network.refuse()
    await network.cut()
    await answer(page, "Off the network.")
    await expect(page.locator(".is-pending")).to_have_attribute("data-state", "waiting")
    await network.accept()
    await page.reload()
    await expect(line(page, 3).locator(".message-text")).to_have_text("Off the network.")
    await expect(lines(page)).to_have_count(3)
    assert len(await customer.history()) == 3


async def test_a_refused_line_says_so_and_can_be_tried_again_or_thrown_away(behind_line, open_console):
    stage, network = behind_line
    customer = await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, customer)
    page = await open_console(stage, ada, customer.conversation_id, url=network.url, allow=OFF_LINE)
    await network.refuse()
    await network.cut()
    await answer(page, "Too late.")
    await customer.do("end_conversation")
    await network.accept()
    refused = page.locator(".is-pending")
    await expect(refused).to_have_attribute("data-state", "failed")
    await expect(refused.locator(".message-mark")).to_contain_text("Not sent:")
    await refused.get_by_role("button", name="Retry").click()
    await expect(refused).to_have_attribute("data-state", "failed")
    await refused.get_by_role("button", name="Discard").click()
    await expect(refused).to_have_count(0)
    await page.reload()
    await expect(page.locator("#ended")).to_contain_text("Closed by the customer")
    await expect(lines(page)).to_have_count(2)


# --- the list ---


async def test_no_row_moves_under_the_pointer(stage, open_console):
    first, second = await is_answered(stage), await is_answered(stage)
    await stage.hold_assistant()
    page = await open_console(stage, await stage.member("Ada"))
    rows = page.locator("#conversations .row")
    await expect(rows).to_have_count(2)
    before = await order(rows)
    assert before == [second.conversation_id, first.conversation_id]
    await rows.first.hover()
    await first.write("Hello?")
    await expect(page.locator("#new-conversations")).to_have_text("Update order")
    third = await asks(stage)
    await expect(page.locator("#new-conversations")).to_have_text("1 new")
    assert await order(rows) == before
    await expect(row(page, first.conversation_id).locator(".row-count")).to_have_text("2")

    await page.locator(".bar").hover()
    await expect(page.locator("#new-conversations")).to_be_hidden()
    assert await order(rows) == [third.conversation_id, first.conversation_id, second.conversation_id]


async def order(rows: Locator) -> list[str]:
    return await rows.evaluate_all("rows => rows.map(row => row.dataset.conversation)")


async def test_the_filters_show_who_needs_a_human_and_what_is_mine(stage, open_console):
    quiet, asking, mine = await is_answered(stage), await is_answered(stage), await is_answered(stage)
    ada = await stage.agent("Ada")
    await owns(ada, mine)
    page = await open_console(stage, ada)
    rows = page.locator("#conversations .row")
    await expect(rows).to_have_count(3)
    await asking.do("request_human")
    await expect(row(page, asking.conversation_id).locator(".chip")).to_have_text("Asked for a human")
    await expect(page.locator("[data-count=needs_human]")).to_have_text("1")
    await expect(page).to_have_title(re.compile(r"^\(1\) Console"))

    await page.get_by_role("radio", name="Needs a human").check(force=True)
    await expect(rows).to_have_count(1)
    await expect(row(page, asking.conversation_id)).to_be_visible()
    await page.get_by_role("radio", name="Mine").check(force=True)
    await expect(row(page, mine.conversation_id)).to_be_visible()
    await expect(rows).to_have_count(1)
    await page.get_by_role("radio", name="All").check(force=True)
    await expect(row(page, quiet.conversation_id)).to_be_visible()
    await expect(rows).to_have_count(3)


# --- every window, every text, every hand ---


async def test_a_narrow_window_shows_one_thing_at_a_time(stage, open_console):
    customer = await is_answered(stage)
    page = await open_console(stage, await stage.member("Ada"), viewport={"width": 360, "height": 740}, has_touch=True)
    await expect(page.locator("#conversation")).to_be_hidden()
    await row(page, customer.conversation_id).tap()
    await expect(lines(page)).to_have_count(2)
    await expect(page.locator("#conversations")).to_be_hidden()
    assert await width_beyond(page) <= 0
    await page.get_by_role("button", name="Back").tap()
    await expect(row(page, customer.conversation_id)).to_be_visible()
    await expect(page.locator("#conversation")).to_be_hidden()
    await page.go_forward()
    await expect(lines(page)).to_have_count(2)
    await page.go_back()
    await expect(row(page, customer.conversation_id)).to_be_visible()


async def test_hostile_texts_are_inert_and_stay_within_the_window(stage, open_console):
    assistant = await stage.hold_assistant()
    customer = await asks(stage, ATTACK)
    for text in HOSTILE[1:]:
        await customer.write(text)
    await assistant.is_asked()
    assistant.say(*(f"{text}\n\n" for text in HOSTILE), "The end.")
    others = [await asks(stage, text) for text in HOSTILE[1:]]
    page = await open_console(stage, await stage.member(ATTACK), customer.conversation_id)
    await expect(lines(page)).to_have_count(len(HOSTILE) + 1)
    await expect(line(page, 1).locator(".message-text")).to_have_text(ATTACK)
    await expect(page.locator("#who")).to_have_text(ATTACK)
    await expect(page.locator("#conversations .row")).to_have_count(len(others) + 1)
    await expect(growing(page)).to_contain_text("The end.")
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        assert await width_beyond(page) <= 0, f"{width} px"
        assert await lines(page).evaluate_all("all => all.filter(it => it.getBoundingClientRect().right > innerWidth).length") == 0
    await page.locator("#take-over").click()
    await answer(page, ATTACK)
    await expect(lines(page).last).to_have_text(ATTACK)
    await expect(page.locator("img, a[href^=javascript]")).to_have_count(0)
    await expect(page).to_have_title(re.compile("^Console"))
    assert await width_beyond(page) <= 0


async def test_everything_can_be_done_with_the_keyboard_alone(stage, open_console):
    customer = await is_answered(stage)
    await stage.make(lambda: Assistant.create(team=stage.team_id, name="Archie"))
    ada = await stage.member("Ada")
    page = await open_console(stage, ada)
    await page.goto(f"{stage.url}/console#/")
    await page.reload()
    await tab_to(page, page.get_by_label("Assistant"))
    await expect(page.get_by_label("Assistant")).to_have_js_property("selectedIndex", 0)
    await page.keyboard.press("ArrowDown")
    await expect(row(page, customer.conversation_id)).to_be_visible()
    await tab_to(page, row(page, customer.conversation_id).get_by_role("button"))
    await page.keyboard.press("Enter")
    await expect(lines(page)).to_have_count(2)
    await tab_to(page, page.locator("#take-over"))
    await page.keyboard.press("Enter")
    await expect(page.locator("#composer-text")).to_be_focused()
    await page.keyboard.type("Five days.")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("Six by raft.")
    await page.keyboard.press("Enter")
    await expect(lines(page).last).to_have_text("Five days. Six by raft.")
    await tab_to(page, page.locator("#close-conversation"), "Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Solved")).to_be_focused()
    await page.keyboard.press("Space")
    await tab_to(page, page.get_by_label("Note for your team"))
    await page.keyboard.type("Done.")
    await tab_to(page, page.locator("#close-confirm"))
    await page.keyboard.press("Enter")
    await expect(page.locator("#ended")).to_contain_text("Solved")
    (takeover,) = await stage.takeovers(customer.conversation_id)
    assert (takeover.ended_by, takeover.note) == ("agent", "Done.")


async def test_every_view_is_accessible_and_fits(stage, open_console):
    assistant = await stage.hold_assistant()
    await stage.set_assistant(name="Tilly the very patient assistant of the harbour")
    customer = await asks(stage)
    await assistant.is_asked()
    assistant.say("Delivery takes **five")
    neighbour = await asks(stage, "Do you sell bells?")
    await neighbour.do("request_human")
    ben = await stage.watcher("Ben")
    page = await open_console(stage, await stage.member("Ada"), customer.conversation_id)
    await expect(growing(page)).to_have_text("Delivery takes **five")
    await fits(page, "with a draft")
    await page.locator("#take-over").click()
    await answer(page, "Six days, in fact.")
    await expect(page.locator(".is-interrupted")).to_be_visible()
    await fits(page, "taken over")
    await page.locator("#close-conversation").click()
    await fits(page, "closing")
    await page.locator("#close-cancel").click()
    await owns(ben, neighbour)
    await page.set_viewport_size({"width": 1440, "height": 800})
    await row(page, neighbour.conversation_id).click()
    await expect(page.locator("#taken")).to_be_visible()
    await fits(page, "somebody else has it")
    await page.goto(f"{stage.url}/console#/{stage.assistant_id}")
    await expect(row(page, neighbour.conversation_id)).to_be_visible()
    await fits(page, "the list")


async def test_the_pages_around_it_are_accessible_and_fit(stage, open_console, new_browser_page):
    stranger = await new_browser_page(allow="403")
    await stranger.goto(f"{stage.url}/sign-in")
    await stranger.get_by_label("E-mail").fill("ada@tidewater.example")
    await stranger.get_by_label("Password").fill("wrong")
    await stranger.get_by_role("button", name="Sign in").click()
    await expect(stranger.locator("#sign-in-error")).to_be_visible()
    await fits(stranger, "a wrong password")
    page = await open_console(stage, await stage.member("Cleo", seat=None))
    await expect(page.locator("#no-seat")).to_be_visible()
    await fits(page, "without a seat")
