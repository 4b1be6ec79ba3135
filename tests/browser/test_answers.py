"""The page of an assistant's answers in a real Chromium: chosen by keyboard, and tried while the answer grows."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff import identity
from handoff.models import Assistant
from handoff.pages import HOUSE
from tests.browser.axe import fits
from tests.cast import HeldAssistant, Stage

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

KEY = "sk-the-key-of-the-team"


@pytest.fixture
async def page(stage: Stage, new_browser_page: Any) -> Page:
    page = await new_browser_page(allow="422|429")
    ada = await stage.member("Ada", role="owner")
    await page.context.add_cookies([{"name": identity.COOKIE, "value": ada.cookie, "url": stage.url}])
    await page.goto(f"{stage.url}/teams/{stage.team_id}/assistants/{stage.assistant_id}/")
    await page.get_by_role("link", name="Where its answers come from").click()
    await expect(page.locator("#live[data-state=live]")).to_be_attached()
    return page


async def test_a_model_is_set_up_by_keyboard_and_a_fault_is_focused(stage: Stage, page: Page):
    await expect(page.get_by_label("Address of the model")).to_be_hidden()
    await page.get_by_role("radio", name="A model").check()
    await page.get_by_label("Address of the model").fill("http://models.example/v1")
    await page.get_by_label("Name of the model").fill("small")
    await page.get_by_label("Key", exact=True).fill(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#base_url-error")).to_contain_text("Start the address with https://")
    await expect(page.get_by_label("Address of the model")).to_be_focused()
    await expect(page.get_by_label("Key", exact=True)).to_have_value(KEY)
    await fits(page, "refused")
    await page.get_by_label("Address of the model").fill("https://models.example/v1")
    await page.keyboard.press("Enter")
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(page.get_by_label("Key", exact=True)).to_have_value("")
    await expect(page.locator("#model_key-hint")).to_contain_text("One is set")
    saved = await stage.look(lambda: Assistant.get_by_id(stage.assistant_id))
    assert (saved.provider, saved.base_url, saved.model) == ("model", "https://models.example/v1", "small")
    await fits(page, "a model")


async def test_a_secret_is_made_in_place_and_saved(stage: Stage, page: Page):
    await page.get_by_role("radio", name="Your own program").check()
    await page.get_by_label("Address of your program").fill("https://shop.example/answer")
    await page.get_by_role("button", name="Generate a secret").press("Enter")
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_have_value(re.compile(r"^[\w-]{40,}$"))
    made = await secret.input_value()
    await expect(page.get_by_label("Address of your program")).to_have_value("https://shop.example/answer")
    await fits(page, "a new secret")
    await page.locator("#answers-save").press("Enter")
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(secret).to_have_value("")
    saved = await stage.look(lambda: Assistant.get_by_id(stage.assistant_id))
    assert stage.handoff.application[HOUSE].keys.open(saved.webhook_key) == made


async def test_the_tried_answer_is_seen_to_grow_and_then_its_times(stage: Stage, page: Page):
    held = HeldAssistant()
    trials = stage.handoff.application[HOUSE].trials
    trials._providers = {**trials._providers, "held": held}
    await stage.set_assistant(provider="held")
    await page.locator("#trial-question").fill("When?")
    await page.keyboard.press("Enter")
    await held.is_asked()
    text = page.locator("#tried-text")
    held.say("Five ")
    await expect(text).to_have_text("Five")
    held.say("<b>working</b> ")
    await expect(text).to_have_text("Five <b>working</b>")
    await expect(page.locator("#tried-times")).to_be_empty()
    held.say("days.")
    held.finish()
    await expect(page.locator("#tried-times")).to_contain_text("s to the first word")
    await expect(text).to_have_text("Five <b>working</b> days.")
    await fits(page, "tried")
    await page.locator("#trial-question").press("Enter")
    await held.is_asked(2)
    await page.goto(f"{stage.url}/account/")
    await expect(page.locator("h1")).to_be_visible()
    await held.is_stopped(2)


async def test_an_empty_question_is_refused_in_place(page: Page):
    await page.get_by_role("button", name="Try", exact=True).click()
    await expect(page.locator("#trial-refused")).to_have_text("Please fill this in.")
    await expect(page.locator("#trial-question")).to_be_focused()
