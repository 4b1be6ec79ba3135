"""An owner's first day, told once in real browsers; and what a team's pages do in place."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from handoff import identity
from handoff.models import Member
from tests.accounts import PASSWORD
from tests.browser.axe import must_suit_everybody
from tests.browser.pages import answer, heard, open_launcher, say
from tests.cast import Agent, Stage, found_team
from tests.fresh import start
from tests.servers import LOOPBACK, free_port

__all__ = ["start"]
pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PLANS = {"team": {"human_agents": 2}}
OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def site_of() -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """`address = await site_of(code)`: a page on another port, into which that code was pasted."""
    runners: list[web.AppRunner] = []

    async def serve(code: str) -> str:
        async def page(_: web.Request) -> web.Response:
            text = f'<!doctype html><html lang="en"><title>Lamps</title><link rel="icon" href="data:,"><h1>Lamps</h1>{code}</html>'
            return web.Response(text=text, content_type="text/html")

        application, port = web.Application(), free_port()
        application.add_routes([web.get("/", page)])
        runners.append(web.AppRunner(application, access_log=None, shutdown_timeout=1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], LOOPBACK, port).start()
        return f"http://localhost:{port}/"

    yield serve
    for runner in runners:
        await runner.cleanup()


async def test_an_owners_first_day_from_the_link_in_the_log_to_a_takeover(start, site_of, new_browser_page):
    fresh = await start(plans=PLANS, words_per_second=200)

    # Carla follows the link of the first start.
    hers = await new_browser_page(allow="422")
    await hers.goto(fresh.url + fresh.path)
    await must_suit_everybody(hers, "set-up")
    await hers.get_by_label("Name of the team").fill("Harbour Lamps")
    await hers.get_by_label("Your name").fill("Carla")
    await hers.get_by_label("E-mail").fill("carla")
    await hers.get_by_label("Password").fill(PASSWORD)
    await hers.get_by_role("button", name="Set up").click()
    await expect(hers.get_by_text("This is no e-mail address")).to_be_visible()
    await expect(hers.get_by_label("E-mail")).to_be_focused()
    await must_suit_everybody(hers, "set-up refused")
    await hers.get_by_label("E-mail").fill("carla@harbour.example")
    await hers.get_by_label("Password").fill(PASSWORD)
    await hers.keyboard.press("Enter")
    await expect(hers.locator("h1")).to_have_text("Team")
    team = re.search(r"(/teams/\w+/)", hers.url)[1]
    await expect(hers.locator("#live[data-state=live]")).to_be_attached()

    # She invites Kim with the keyboard alone.
    await hers.get_by_label("E-mail").fill("kim@harbour.example")
    await hers.keyboard.press("Enter")
    link = hers.get_by_label("Link for kim@harbour.example").first
    await expect(link).to_have_value(re.compile(f"^{fresh.url}/invitations/"))
    await expect(hers.locator("#invitations")).to_contain_text("kim@harbour.example")

    # Kim accepts in a browser of their own, and Carla's page shows it by itself.
    kims = await new_browser_page(allow="404")  # what Kim meets after the removal
    await kims.goto(await link.input_value())
    await must_suit_everybody(kims, "invitation")
    await kims.get_by_label("Your name").fill("Kim")
    await kims.get_by_label("Password").fill("quiet harbour seven lamps")
    await kims.get_by_role("button", name="Join the team").click()
    await expect(kims.locator("h1")).to_have_text("Seats")
    await expect(hers.locator("#member-rows li")).to_have_count(2)
    await expect(hers.locator("#member-rows")).to_contain_text("Kim")
    await expect(hers.locator("#invitations")).to_have_count(0)

    # Kim gets a seat.
    await hers.get_by_role("link", name="Seats", exact=True).click()
    await hers.get_by_role("button", name="Assign a seat to Kim").click()
    await expect(hers.locator("#seats-used")).to_have_text("2 of 2 used")
    await expect(kims.locator("#seats-used")).to_have_text("2 of 2 used")

    # She makes an assistant, and its embed code goes into a page on another port.
    await hers.get_by_role("link", name="Assistants", exact=True).click()
    await hers.get_by_role("button", name="Create").click()
    await expect(hers.get_by_text("Please fill this in.")).to_be_visible()
    await expect(hers.get_by_label("Name", exact=True)).to_be_focused()
    await must_suit_everybody(hers, "assistant refused")
    await hers.get_by_label("Name", exact=True).fill("Lumen")
    await hers.keyboard.press("Enter")
    await expect(hers.locator("h1")).to_have_text("Lumen")
    await hers.get_by_role("link", name="Add an entry").click()
    await hers.get_by_label("Question", exact=True).fill("Do you sell anchors?")
    await hers.get_by_label("Answer", exact=True).fill("Yes, small ones.")
    await hers.get_by_label("Answer", exact=True).press("Tab")
    await hers.keyboard.press("Enter")
    await expect(hers.get_by_text("Yes, small ones.")).to_be_visible()
    code = await hers.get_by_label(re.compile("^Embed code")).first.input_value()
    shop = await new_browser_page()
    await shop.goto(await site_of(code))
    chat = await open_launcher(shop)
    await say(chat, "Do you sell anchors?")
    await expect(heard(chat)).to_have_text(["Do you sell anchors?", "Yes, small ones."])

    # Kim takes over, and the customer hears them.
    await kims.get_by_role("link", name="Console").click()
    await expect(kims.locator("#connection")).to_have_attribute("data-state", "live")
    await kims.locator("#conversations [data-conversation]").click()
    await kims.locator("#take-over").click()
    await expect(kims.locator("#composer-text")).to_be_focused()
    await answer(kims, "This is better than any assistant.")
    await expect(heard(chat)).to_have_count(3)
    await expect(heard(chat).last).to_have_text("This is better than any assistant.")

    # Carla removes Kim: Kim is out, and she goes on.
    await hers.goto(fresh.url + team + "members/")
    await hers.get_by_role("link", name="Manage Kim").click()
    await hers.get_by_role("button", name="Remove Kim").click()
    await expect(hers.locator("#member-rows li")).to_have_count(1)
    await kims.goto(fresh.url + team)
    await expect(kims.locator("h1")).to_have_text("Not found")
    await hers.get_by_role("link", name="Console").click()
    await hers.locator("#conversations [data-conversation]").click()
    await hers.locator("#take-over").click()
    await answer(hers, "Carla here.")
    await expect(heard(chat).last).to_have_text("Carla here.")


@pytest.fixture
def open_settings(stage: Stage, new_browser_page: Any) -> OpenPage:
    async def open(person: Agent, path: str, **options: Any) -> Page:
        page = await new_browser_page(**options)
        await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
        await page.goto(f"{stage.url}/teams/{stage.team_id}/{path}")
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        return page

    return open


async def test_invitations_are_made_resent_and_withdrawn_in_place_and_the_other_admin_sees_it(stage, open_settings):
    ada, cleo = await stage.member("Ada", role="owner"), await stage.member("Cleo", role="admin")
    hers = await open_settings(ada, "members/", allow="409", permissions=["clipboard-read", "clipboard-write"])
    other = await open_settings(cleo, "members/")
    await other.get_by_label("E-mail").fill("half typed")
    await hers.get_by_label("E-mail").fill("kim@x.org")
    await hers.get_by_role("button", name="Invite").click()
    await expect(hers.locator("#invited")).to_contain_text("kim@x.org is invited")
    await expect(other.locator("#invitations")).to_contain_text("kim@x.org")
    await expect(other.get_by_label("E-mail")).to_have_value("half typed")
    await hers.locator("#invited").get_by_role("button", name="Copy the link").click()
    await expect(hers.locator("#said")).to_have_text("Copied.")
    first = await hers.evaluate("navigator.clipboard.readText()")
    assert first == await hers.locator("#invited-link").input_value()

    await hers.get_by_label("E-mail").fill("kim@x.org")
    await hers.keyboard.press("Enter")
    await expect(hers.locator("#email-error")).to_contain_text("has an open invitation already")
    await expect(hers.get_by_label("E-mail")).to_be_focused()
    await expect(hers.get_by_label("E-mail")).to_have_value("kim@x.org")

    await hers.get_by_role("button", name="Resend the invitation of kim@x.org").press("Enter")
    await expect(hers.locator("#invited-link")).not_to_have_value(first)
    await expect(hers.locator("#invited-link")).to_have_value(re.compile("/invitations/"))
    await hers.get_by_role("button", name="Withdraw the invitation of kim@x.org").press("Enter")
    await expect(hers.locator("#said")).to_contain_text("Withdrawn")
    await expect(hers.locator("#invitations")).to_have_count(0)
    await expect(hers.locator("#members-title")).to_be_focused()
    await expect(other.locator("#invitations")).to_have_count(0)


async def test_a_role_is_changed_in_place_and_the_last_owner_stays(stage, open_settings):
    ada = await stage.member("Ada", role="owner")
    page = await open_settings(ada, f"members/{ada.member_id}/", allow="409")
    await page.get_by_role("radio", name="Admin").check()
    await page.locator("#role-save").press("Enter")
    await expect(page.locator("#role-error")).to_contain_text("Make somebody else an owner first")
    await expect(page.get_by_role("radio", name="Admin")).to_be_checked()
    ben = await stage.member("Ben")
    await page.goto(f"{stage.url}/teams/{stage.team_id}/members/{ben.member_id}/")
    await page.get_by_role("radio", name="Owner").check()
    await page.locator("#role-save").press("Enter")
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(page.locator("#role-save")).to_be_focused()


async def test_the_switcher_loads_the_other_team_whole(stage, open_settings):
    ada = await stage.member("Ada", role="owner")
    other_team, _, _ = await found_team(stage, "Harbour")
    await stage.make(lambda: Member.create(team=other_team, user=ada.user_id, role="admin"))
    page = await open_settings(ada, "members/")
    await page.evaluate("window.old = true")
    await page.locator(".switcher summary").press("Enter")
    await page.get_by_role("link", name="Harbour").press("Enter")
    await expect(page.locator("#live")).to_have_attribute("data-team", other_team)
    assert await page.evaluate("window.old") is None
    assert stage.team_id not in await page.locator("main").inner_html()


async def test_a_team_is_deleted_by_typing_its_name(stage, open_settings):
    ada = await stage.member("Ada", role="owner")
    page = await open_settings(ada, "delete", allow="422")
    await page.get_by_label("Type the name").fill("Tide")
    await page.keyboard.press("Enter")
    await expect(page.locator("#name-error")).to_be_visible()
    await expect(page.get_by_label("Type the name")).to_be_focused()
    await page.get_by_label("Type the name").fill("Tidewater")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Tidewater is deleted")
    await must_suit_everybody(page, "deleted")
