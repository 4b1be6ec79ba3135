"""The list of outcomes, and an assistant's beginning and end, in a real Chromium: by keyboard, at every width, light and dark."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff import identity
from tests.browser.axe import fits
from tests.cast import Agent, Stage

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

LONG = "Wolfeschlegelsteinhausenbergerdorff " * 2


async def open_page(stage: Stage, new_browser_page: Any, person: Agent, path: str, **options: Any) -> Page:
    page = await new_browser_page(**options)
    await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
    await page.goto(f"{stage.url}/teams/{stage.team_id}/{path}")
    await expect(page.locator("#live[data-state=live]")).to_be_attached()
    return page


async def test_outcomes_are_ordered_and_edited_in_place_by_keyboard(stage, new_browser_page):
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, "outcomes/", allow="409|422")
    rows = page.locator("#outcome-list > li")
    count = await rows.count()
    await page.get_by_label("Name", exact=True).fill(LONG)
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(count + 1)
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("")
    await page.keyboard.press("Enter")
    await expect(page.locator("#new-outcome-error")).to_have_text("Please fill this in.")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()

    up = page.get_by_role("button", name=f"Move {LONG.strip()} up")
    for place in range(count - 1, -1, -1):
        await up.press("Enter")
        await expect(rows.nth(place).locator("input[name=name]")).to_have_value(LONG.strip())
        await expect(up).to_be_focused()
    await expect(up).to_have_attribute("aria-disabled", "true")

    name = rows.nth(0).locator("input[name=name]")
    await name.fill(await rows.nth(1).locator("input[name=name]").input_value())
    await name.press("Enter")
    await expect(rows.nth(0).locator(".field-error")).to_contain_text("has this name")
    await expect(name).to_be_focused()
    await fits(page, "a name refused")
    await name.fill("Sent on")
    await name.press("Enter")
    await expect(page.locator("#said")).to_have_text("Renamed.")
    await page.get_by_role("button", name="Archive Sent on").press("Enter")
    await expect(page.locator("#archived-outcomes")).to_contain_text("Sent on")
    await expect(page.locator("#outcomes-title")).to_be_focused()
    await fits(page, "outcomes")
    await page.get_by_role("button", name="Bring back Sent on").press("Enter")
    await expect(rows.last.locator("input[name=name]")).to_have_value("Sent on")
    await expect(page.locator("#archived-outcomes")).to_have_count(0)


async def test_an_assistant_is_made_archived_and_brought_back(stage, new_browser_page):
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, "assistants/", allow="422")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("#new-name-error")).to_be_visible()
    await fits(page, "a new assistant refused")
    await page.get_by_label("Name", exact=True).fill(LONG)
    await page.get_by_role("button", name="Create").dblclick(delay=40)
    await expect(page.locator("h1")).to_have_text(LONG.strip())
    await expect(page.get_by_label(re.compile("^Embed code"))).to_have_value(re.compile("/widget.js"))
    button = page.locator("#life-button")
    await button.press("Enter")
    await expect(page.locator("#assistant-head")).to_contain_text("Archived")
    await expect(button).to_have_text(f"Bring back {LONG.strip()}")
    await expect(button).to_be_focused()
    await fits(page, "archived")
    await page.get_by_role("link", name="All assistants").click()
    await expect(page.locator("#archived > li")).to_have_count(1)
    await fits(page, "assistants with an archived one")


async def test_members_read_the_outcomes(stage, new_browser_page):
    await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, await stage.member("Ben", seat=None), "outcomes/")
    await expect(page.get_by_text("ask Ada.")).to_be_visible()
    await fits(page, "outcomes for a member")
