"""The page of notices, and what a customer sees who asks for a person while nobody is there, in a real Chromium."""

from typing import Any

import pytest
from playwright.async_api import expect

from handoff.models import Customer, Delivery, Team
from tests.browser.axe import fits
from tests.browser.pages import heard, say
from tests.browser.test_outcomes import open_page
from tests.browser.test_widget import ANSWER, QUESTION, asks_for_a_person
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

WORD = "donaudampfschifffahrtsgesellschaft"


async def test_notices_are_set_tested_and_replayed_by_keyboard(open_stage: Any, new_browser_page: Any) -> None:
    stage = await open_stage(allow_private_addresses=True)
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, "notices/", allow="422")
    await page.get_by_role("button", name="Send a test").press("Enter")
    await expect(page.locator("#test-refusal")).to_contain_text("There is no place to send it to yet")
    await expect(page.get_by_role("button", name="Send a test")).to_be_focused()
    await page.get_by_label("Webhook").fill(f"http://127.0.0.1:9/{WORD * 3}")
    await page.get_by_label("E-mail addresses").fill(f"{WORD}@tidewater.example\nnobody")
    await page.get_by_label("What customers are told when nobody is there").fill("We are asleep.")
    await page.get_by_role("button", name="Save").last.press("Enter")
    await expect(page.locator("#notice_emails-error")).to_contain_text("“nobody”")
    await expect(page.get_by_label("E-mail addresses")).to_be_focused()
    await fits(page, "a notice refused")
    await page.get_by_label("E-mail addresses").fill(f"{WORD}@tidewater.example")
    await page.get_by_role("button", name="Save").last.press("Enter")
    await expect(page.locator("#notice_key-error")).to_contain_text("generate one")
    await page.get_by_role("button", name="Generate a secret").press("Enter")
    await expect(page.get_by_label("Secret", exact=True)).to_be_focused()
    await page.get_by_role("button", name="Save").last.press("Enter")
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(page.locator("#notice_key-hint")).to_contain_text("One is set.")
    await expect(page.get_by_label("Secret", exact=True)).to_have_value("")

    await page.get_by_label("What customers are told when nobody is there").fill("Typed and not saved.")
    await page.get_by_role("button", name="Send a test").press("Enter")
    await expect(page.locator("#said")).to_have_text("A test is on its way.")
    await expect(page.locator("#deliveries > li")).to_have_count(2)
    await wait_until(lambda: _failed(stage), 15, "there is no mail server")
    await page.get_by_role("link", name="Look again").press("Enter")
    mail = page.locator("#deliveries > li[data-status=failed]")
    await expect(mail).to_contain_text("This Handoff has no mail server.")
    await expect(page.locator("#deliveries")).to_contain_text("127.0.0.1:9")
    await fits(page, "deliveries")
    await mail.get_by_role("button", name="Replay").press("Enter")
    await expect(page.locator("#said")).to_have_text("It is sent once more.")
    await wait_until(lambda: _failed(stage, 2), 15, "it was tried once more")
    await expect(page.get_by_label("What customers are told when nobody is there")).to_have_value("Typed and not saved.")


async def _failed(stage: Any, attempts: int = 1) -> bool:
    tried = (Delivery.status == "failed") & (Delivery.attempts == attempts)
    return bool(await stage.look(lambda: Delivery.select().where(tried).exists()))


async def test_who_asks_while_nobody_is_there_reads_the_teams_words_and_leaves_an_address(stage: Any, open_chat: Any) -> None:
    await stage.make(lambda: Team.update(away_text="We are asleep until nine.").execute())
    chat = await open_chat(stage)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    await asks_for_a_person(chat)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER, "We are asleep until nine."])
    address = chat.get_by_label("Your e-mail address")
    await expect(address).to_be_visible()
    await fits(chat, "an address is asked for")
    await address.press("Enter")
    await expect(chat.locator("#leave-email-error")).to_have_text("Enter your e-mail address.")
    await address.fill("nobody")
    await address.press("Enter")
    await expect(chat.locator("#leave-email-error")).to_contain_text("This is no e-mail address.")
    await expect(address).to_be_focused()
    await fits(chat, "an address is refused")
    await address.fill("kim@x.org")
    await address.press("Enter")
    await expect(chat.locator("#notice")).to_contain_text("Thank you.")
    await expect(address).to_be_hidden()
    assert await stage.look(lambda: [row.email for row in Customer.select()]) == ["kim@x.org"]
    await stage.watcher("Ada")
    await asks_for_a_person(chat)
    await expect(chat.locator("#notice")).to_contain_text("Somebody from the team is here")
    await expect(address).to_be_hidden()
