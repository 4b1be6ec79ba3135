"""Who needs a human is on top, with the reason; in a flash sale the busiest are."""

import asyncio
import json

import pytest
from playwright.async_api import Page, expect

from handoff.assistants import NeedsHuman
from handoff.models import Conversation, Customer, Message
from tests.browser.axe import fits
from tests.browser.pages import row
from tests.cast import Stage
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


async def order(page: Page) -> list[str]:
    return await page.locator("#conversations .row").evaluate_all("rows => rows.map(row => row.dataset.conversation)")


async def test_a_customer_who_is_cancelling_is_on_top_with_what_they_said(stage: Stage, open_console) -> None:
    await stage.hold_assistant()
    await stage.set_assistant(phrases=json.dumps(["cancel*", "refund"]))
    leaving = await stage.customer()
    await leaving.write("Hello there")
    others = [await stage.customer() for _ in range(3)]
    for other in others:
        await other.write("hello")
    page = await open_console(stage, await stage.agent("Ada"))
    await expect(page.locator("#conversations .row")).to_have_count(4)
    assert (await order(page))[3] == leaving.conversation_id
    await leaving.write("I'm cancelling")
    top = row(page, leaving.conversation_id)
    await expect(top.locator(".chip")).to_have_text("Said “cancelling”", timeout=2_000)
    await wait_until(lambda: _is_first(page, leaving.conversation_id), 2, "who is leaving is on top")
    await expect(top.locator(".row-since")).to_contain_text("for ")
    await expect(page.locator("[data-count=needs_human]")).to_have_text("1")
    await top.locator("button").click()
    mark = page.locator(".mark[data-kind=signal]")
    await expect(mark.locator(".mark-title")).to_contain_text("Said one of your phrases · ")
    await expect(mark.locator(".mark-text")).to_have_text("The customer said “cancelling”.")
    assert await mark.evaluate("mark => mark.previousElementSibling.dataset.number") == "2"
    await page.get_by_role("button", name="Take over").click()
    await expect(mark).to_have_class("mark is-settled")
    await expect(top.locator(".chip")).to_have_count(0)
    await page.locator(".bar").hover()
    await page.locator("#composer-text").focus()
    await expect(top.locator(".row-since")).to_be_hidden()


async def _is_first(page: Page, id: str) -> bool:
    return (await order(page))[:1] == [id]


async def test_an_answer_settles_the_wait_on_every_console(stage: Stage, open_console) -> None:
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("Is anybody there?")
    id = customer.conversation_id
    page = await open_console(stage, await stage.agent("Ada"), id)
    await stage.set_assistant(waiting_seconds=0)
    await stage.handoff.sweeper.raise_waiting()
    await expect(row(page, id).locator(".chip")).to_have_text("No answer yet")
    await expect(page.locator(".mark[data-kind=signal]:not(.is-settled)")).to_have_count(1)
    await stage.set_assistant(waiting_seconds=600)
    held.say("I am.")
    held.finish()
    await expect(page.locator(".mark.is-settled")).to_have_count(1)
    await expect(row(page, id).locator(".chip")).to_have_count(0)
    await expect(page.locator("[data-count=needs_human]")).to_have_text("0")


async def test_of_two_hundred_chats_the_one_without_an_answer_is_on_top_and_the_busiest_can_be(stage: Stage, open_console) -> None:
    held = await stage.hold_assistant()
    lost = await stage.customer()
    await lost.write("Do you sell anchors?")
    widget_id = (await stage.conversation(lost.conversation_id)).widget_id
    ids = await stage.make(lambda: many(stage, widget_id))
    page = await open_console(stage, await stage.agent("Ada"))
    await expect(page.locator("[data-count=all]")).to_have_text("201")
    assert lost.conversation_id not in await order(page)
    held.say(NeedsHuman("no_answer", "The assistant found nothing in its knowledge."), "I do not know.")
    held.finish()
    await expect(row(page, lost.conversation_id).locator(".chip")).to_have_text("No answer found")
    assert await _is_first(page, lost.conversation_id)
    await page.get_by_label("Order").select_option("busiest")
    await wait_until(lambda: _is_first(page, ids[180]), 5, "the busiest is on top")
    assert (await order(page))[:20] == ids[180:]
    await asyncio.gather(*(lost.write(f"hello {n}?") for n in range(12)))
    await wait_until(lambda: _is_first(page, lost.conversation_id), 10, "who writes most now is on top")
    await page.get_by_label("Order").select_option("need")
    await wait_until(lambda: _is_first(page, lost.conversation_id), 5, "and in need")


def many(stage: Stage, widget_id: str) -> list[str]:
    """200 conversations that came later; the later, the more was said in them."""
    ids = []
    for number in range(200):
        customer = Customer.create(widget=widget_id, name=f"Customer {number}")
        common = {"team": stage.team_id, "assistant": stage.assistant_id, "widget": widget_id, "customer": customer}
        lines = number // 20
        conversation = Conversation.create(**common, version=1 + lines, last_number=lines)
        for line in range(lines):
            Message.create(conversation=conversation, number=line + 1, author="customer", text=f"line {line}")
        ids.append(conversation.id)
    return ids


async def test_the_list_with_signals_suits_everybody(stage: Stage, open_console) -> None:
    await stage.hold_assistant()
    await stage.set_assistant(phrases=json.dumps(["a very long phrase that somebody on the team wrote*"]), waiting_seconds=600)
    for text in (
        "a very long phrase that somebody on the team wrotedown",
        "let me talk to a human, I want a refund",
        "hello there",
    ):
        customer = await stage.customer()
        await customer.write(text)
    await customer.write("hello there")
    page = await open_console(stage, await stage.agent("Ada"))
    await expect(page.locator("#conversations .chip")).to_have_count(3)
    await fits(page, "the list")
    await row(page, customer.conversation_id).locator("button").click()
    await expect(page.locator(".mark[data-kind=signal]")).to_have_count(1)
    await fits(page, "a conversation")
