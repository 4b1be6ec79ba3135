"""Two admins at one assistant, in two real browsers: each sees what the other does, and nobody's text is overwritten."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff import identity
from tests.browser.axe import fits
from tests.browser.test_outcomes import open_page
from tests.cast import Stage

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
CSV = b"question,answer\nDo you sell bells?,Brass ones.\nAlone\nHow long does delivery take?,Tomorrow\n"


@pytest.fixture
async def pages(stage: Stage, new_browser_page: Any) -> tuple[Page, Page]:
    """Ada's and Cleo's pages of Tilly."""
    path = f"assistants/{stage.assistant_id}/"
    people = [await stage.member("Ada", role="owner"), await stage.member("Cleo", role="admin", seat=None)]
    opened = [await open_page(stage, new_browser_page, person, path, allow="409|422|413") for person in people]
    return opened[0], opened[1]


async def save(page: Page, **fields: str) -> None:
    for field, text in fields.items():
        await page.locator(f"#{field}").fill(text)
    await page.locator("#assistant-save").press("Enter")


async def test_a_saved_setting_shows_on_the_others_page_by_itself(pages):
    ada, cleo = pages
    await save(cleo, name="Tilda", greeting="Ahoy")
    await expect(ada.locator("h1")).to_have_text("Tilda")
    await expect(ada.locator("#name")).to_have_value("Tilda")
    await expect(ada.locator("#greeting")).to_have_value("Ahoy")
    await save(ada, greeting="Hello")
    await expect(ada.locator("#said")).to_have_text("Saved.")
    await expect(cleo.locator("#greeting")).to_have_value("Hello")
    await cleo.locator("#life-button").click()
    await expect(ada.locator("#assistant-head")).to_contain_text("Archived")


async def test_what_somebody_types_is_never_overwritten_and_the_second_save_goes_through(pages):
    ada, cleo = pages
    await ada.locator("#name").fill("Typed")
    await ada.locator("#greeting").fill("typed and")
    await ada.locator("#greeting").fill("")  # put back: not hers
    await save(cleo, name="Tilda", greeting="Ahoy")
    await expect(ada.locator("h1")).to_have_text("Tilda")
    await expect(ada.locator("#assistant-form [data-stale]")).to_be_visible()
    await expect(ada.locator("#name")).to_have_value("Typed")
    await ada.locator("#assistant-save").press("Enter")
    await expect(ada.locator("#changed-meanwhile")).to_contain_text("Cleo saved this assistant")
    await expect(ada.locator("#name-changed")).to_contain_text("Tilda")
    await expect(ada.locator("#name")).to_have_value("Typed")
    await expect(ada.locator("#greeting")).to_have_value("Ahoy")
    await expect(ada.locator("#changed-meanwhile")).to_be_focused()
    await fits(ada, "changed meanwhile")
    await save(cleo, name="Tilda again")  # what was told of is still nobody's to overwrite
    await expect(ada.locator("#assistant-form [data-stale]")).to_be_visible()
    await expect(ada.locator("#name")).to_have_value("Typed")
    await ada.locator("#assistant-save").press("Enter")
    await expect(ada.locator("#name-changed")).to_contain_text("Tilda again")
    await ada.locator("#assistant-save").press("Enter")
    await expect(ada.locator("#said")).to_have_text("Saved.")
    await expect(cleo.locator("#name")).to_have_value("Typed")
    await expect(cleo.locator("#greeting")).to_have_value("Ahoy")


async def test_an_own_save_does_not_take_what_is_typed_next(pages):
    ada, _ = pages
    for number in range(3):
        await save(ada, name=f"Name {number}")
        await ada.locator("#greeting").fill(f"next {number}")
        await expect(ada.locator("h1")).to_have_text(f"Name {number}")
    await ada.wait_for_load_state("networkidle")
    await expect(ada.locator("#greeting")).to_have_value("next 2")
    await expect(ada.locator("#assistant-form [data-stale]")).to_be_hidden()


async def test_entries_follow_unless_somebody_writes_there(pages):
    ada, cleo = pages
    await cleo.locator("#add-entry").click()
    await cleo.get_by_label("Question", exact=True).fill("Bells?")
    await cleo.get_by_label("Answer", exact=True).fill("Brass ones.")
    await cleo.locator(".entry-form .button-primary").click()
    await expect(ada.get_by_role("link", name="Edit Bells?")).to_be_visible()
    await expect(ada.locator("#entry-count")).to_have_text("2 entries")

    await ada.get_by_role("link", name="Edit Bells?").click()
    await ada.get_by_label("Answer", exact=True).fill("Ada's words")
    await cleo.get_by_role("link", name="Edit Bells?").click()
    await cleo.get_by_label("Answer", exact=True).fill("Cleo's words")
    await cleo.locator(".entry-form .button-primary").click()
    await expect(ada.locator("#entry-part > [data-stale]")).to_be_visible()
    await expect(ada.get_by_label("Answer", exact=True)).to_have_value("Ada's words")
    await ada.locator(".entry-form .button-primary").click()
    await expect(ada.locator(".says-now")).to_contain_text("Cleo's words")
    await expect(ada.get_by_label("Answer", exact=True)).to_have_value("Ada's words")
    await fits(ada, "an entry changed meanwhile")
    await ada.locator(".entry-form .button-primary").click()
    await expect(ada.locator("#said")).to_have_text("Saved.")
    await expect(cleo.locator("#entry-list")).to_contain_text("Ada's words")


async def test_lists_of_assistants_and_outcomes_follow(stage, new_browser_page, pages):
    _, cleo = pages
    ada = await open_page(stage, new_browser_page, await stage.member("Dan", role="admin"), "assistants/")
    outcomes = await ada.context.new_page()
    await outcomes.goto(f"{stage.url}/teams/{stage.team_id}/outcomes/")
    await expect(outcomes.locator("#live[data-state=live]")).to_be_attached()
    await ada.locator("#new-name").fill("Half a na")
    await cleo.locator("#life-button").click()
    await expect(ada.locator("#archived")).to_contain_text("Tilly")
    await expect(ada.locator("#new-name")).to_have_value("Half a na")
    await fits(ada, "the list")

    await cleo.goto(f"{stage.url}/teams/{stage.team_id}/outcomes/")
    await cleo.get_by_label("Name", exact=True).fill("Lent out")
    await cleo.locator("#add-outcome-button").click()
    await expect(outcomes.get_by_label("Name of Lent out")).to_have_value("Lent out")
    await outcomes.get_by_label("Name", exact=True).fill("Half an ou")
    await cleo.get_by_role("button", name="Archive Lent out").click()
    await expect(outcomes.locator("#outcomes > [data-stale]")).to_be_visible()
    await expect(outcomes.get_by_label("Name", exact=True)).to_have_value("Half an ou")
    await fits(outcomes, "outcomes that changed")


async def test_entries_are_imported_from_a_file(stage, pages):
    ada, cleo = pages
    await ada.locator("#import-entries").click()
    await expect(ada.locator("#live[data-state=live]")).to_be_attached()
    await fits(ada, "import")
    await ada.locator("#import-look").press("Enter")
    await expect(ada.locator("#file-error")).to_have_text("Choose a file with rows in it.")
    await ada.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"x" * 3_000_000})
    await ada.locator("#import-look").press("Enter")
    await expect(ada.locator("#file-error")).to_contain_text("larger than 1 MB")
    await fits(ada, "import refused")
    await ada.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": CSV})
    await ada.locator("#import-look").press("Enter")
    await expect(ada.locator("#preview-title")).to_be_focused()
    await expect(ada.locator("#import-faults")).to_contain_text("Line 3")
    await fits(ada, "preview")
    await ada.locator("#import-button").dblclick(delay=40)
    await expect(ada.locator("#imported")).to_contain_text("1 entry added, 1 changed")
    await expect(cleo.locator("#entry-count")).to_have_text("2 entries")
    await fits(ada, "imported")


async def test_entries_are_imported_without_javascript(stage, new_browser_page):
    person = await stage.member("Ada", role="owner")
    page = await new_browser_page(java_script_enabled=False, allow="413")
    await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
    await page.goto(f"{stage.url}/teams/{stage.team_id}/assistants/{stage.assistant_id}/entries/import")
    await page.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"x" * 9_000_000})
    await page.locator("#import-look").click()
    await expect(page.locator("#file-error")).to_contain_text("larger than 1 MB")
    await page.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": CSV})
    await page.locator("#import-look").click()
    await page.locator("#known-skip").check()
    await page.locator("#import-button").click()
    await expect(page.locator("#imported")).to_contain_text("1 entry added, 0 changed")
