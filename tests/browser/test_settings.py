"""The settings pages in a real Chromium: live and by keyboard."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff import identity
from handoff.models import Assistant, Plan
from tests.cast import Agent, Stage

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

SignIn = Callable[..., Awaitable[Page]]


@pytest.fixture
def open_settings(stage: Stage, new_browser_page: Any) -> SignIn:
    """`page = await open_settings(agent, "assistants/")`: a page of that person's own browser."""

    async def open(person: Agent, path: str = "", **options: Any) -> Page:
        page = await new_browser_page(**options)
        await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
        await page.goto(f"{stage.url}/teams/{stage.team_id}/{path}")
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        return page

    return open


async def test_a_second_admins_page_follows_by_itself_and_the_focus_stays(stage, open_settings):
    ada, cleo = await stage.member("Ada", role="owner"), await stage.member("Cleo", role="admin", seat=None)
    ben = await stage.member("Ben", seat=None)
    await stage.make(lambda: Plan.update(human_agents=2).where(Plan.id == "tests").execute())
    hers, other = await open_settings(ada), await open_settings(cleo, allow="409")
    await hers.get_by_role("button", name="Assign a seat to Ben").click()
    await expect(hers.locator("#said")).to_have_text("Ben has a seat now.")
    await expect(hers.get_by_role("button", name="Release the seat of Ben")).to_be_focused()
    await expect(other.locator("#seats-used")).to_have_text("2 of 2 used")
    await expect(other.locator(f"#holders #member-{ben.member_id}")).to_be_visible()

    await other.get_by_role("button", name="Assign a seat to Cleo").press("Enter")
    await expect(other.locator(f"#member-{cleo.member_id}")).to_contain_text("Every seat of your plan is in use")

    await hers.keyboard.press("Enter")
    await expect(other.locator("#seats-used")).to_have_text("1 of 2 used")
    await expect(other.locator(f"#others #member-{ben.member_id}")).to_be_visible()
    await expect(other.get_by_text("Every seat of your plan is in use")).to_have_count(0)


async def test_a_double_click_assigns_and_does_not_release_again(stage, open_settings):
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben", seat=None)
    page = await open_settings(ada)
    await page.get_by_role("button", name="Assign a seat to Ben").dblclick(delay=40)
    await expect(page.locator(f"#holders #member-{ben.member_id}")).to_be_visible()
    await expect(page.locator("#seats-used")).to_contain_text("2 of")


async def test_a_page_comes_back_after_its_own_seat_was_released(stage, open_settings):
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben")
    page, hers = await open_settings(ben), await open_settings(ada)
    await hers.get_by_role("button", name="Release the seat of Ben").click()
    await expect(page.locator(f"#others #member-{ben.member_id}")).to_be_visible()
    await expect(page.locator("#live[data-state=live]")).to_be_attached()


async def test_an_admin_teaches_the_assistant_with_the_keyboard(stage, open_settings):
    page = await open_settings(await stage.member("Ada", role="owner"), f"assistants/{stage.assistant_id}/", allow="422")
    await page.get_by_role("link", name="Add an entry").press("Enter")
    question = page.get_by_label("Question", exact=True)
    await expect(question).to_be_focused()
    await question.fill("Do you sell bells?")
    await page.get_by_role("button", name="Save").last.press("Enter")
    await expect(page.get_by_text("Please fill this in.")).to_be_visible()
    await expect(page.get_by_label("Answer", exact=True)).to_be_focused()
    await expect(question).to_have_value("Do you sell bells?")
    await page.get_by_label("Answer", exact=True).fill("Yes, **brass** ones.")
    await page.get_by_role("button", name="Save").last.press("Enter")
    await expect(page.get_by_role("link", name="Add an entry")).to_be_focused()
    await expect(page.locator("#entry-count")).to_have_text("2 entries")

    await page.get_by_label("Try a question").fill("bells?")
    await page.get_by_label("Try a question").press("Enter")
    await expect(page.locator("#tried strong")).to_have_text("brass")
    await expect(page.get_by_label("Try a question")).to_be_focused()

    await page.get_by_role("link", name="Edit Do you sell bells?").press("Enter")
    await page.get_by_label("Answer", exact=True).fill("No more.")
    await page.get_by_role("form", name="Edit entry").get_by_role("button", name="Save").press("Enter")
    await expect(page.get_by_role("link", name="Edit Do you sell bells?")).to_be_focused()
    await expect(page.get_by_text("No more.")).to_be_visible()

    await page.get_by_role("link", name="Edit Do you sell bells?").press("Enter")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete").press("Enter")
    await expect(page.locator("#entry-count")).to_have_text("1 entry")
    await expect(page.locator("#entries-title")).to_be_focused()


async def test_settings_are_saved_in_place_and_a_fault_is_focused(stage, open_settings):
    page = await open_settings(await stage.member("Ada", role="owner"), f"assistants/{stage.assistant_id}/", allow="422")
    text = page.get_by_label("What the customer reads first")
    await expect(text).to_be_hidden()
    await page.get_by_label("Name", exact=True).fill("Tilda")
    await page.get_by_role("radio", name="Scripted").check()
    await expect(text).to_be_visible()
    await page.locator("#assistant-save").press("Enter")
    await expect(text).to_be_focused()
    await expect(text).to_have_attribute("aria-invalid", "true")
    await text.fill("One moment, please.")
    await page.locator("#assistant-save").press("Enter")
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(page.locator("h1")).to_have_text("Tilda")
    await expect(page.locator("#assistant-save")).to_be_focused()
    saved = await stage.look(lambda: Assistant.get_by_id(stage.assistant_id))
    assert (saved.name, saved.handoff, saved.handoff_text) == ("Tilda", "scripted", "One moment, please.")


async def test_without_the_server_what_was_typed_stays(stage, open_settings):
    page = await open_settings(
        await stage.member("Ada", role="owner"), f"assistants/{stage.assistant_id}/", allow="Failed to|ERR_|htmx:error"
    )
    await page.get_by_label("Name", exact=True).fill("Tilda")
    await page.context.set_offline(True)
    await page.locator("#assistant-save").press("Enter")
    await expect(page.locator("#problem")).to_contain_text("cannot be reached")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Tilda")
