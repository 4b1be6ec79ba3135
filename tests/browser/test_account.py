"""The account, the audit and the second factor in a real Chromium: by keyboard, at every width, light and dark."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pyotp
import pytest
from playwright.async_api import Page, expect

from handoff import audit, identity
from handoff.clock import now
from handoff.models import Session, Team, User
from handoff.second_factor import Secrets
from tests.accounts import PASSWORD, email_of, user_of, with_password
from tests.browser.axe import fits, must_suit_everybody
from tests.cast import Agent, Stage
from tests.servers import SECRET_KEY

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
def open_page(stage: Stage, new_browser_page: Any) -> OpenPage:
    """`page = await open_page(ada, "/account/")`: in a browser of its own, signed in with a session of its own."""

    async def open(person: Agent, path: str = "/account/", **options: Any) -> Page:
        page = await new_browser_page(**options)
        cookie = await stage.sign_in(person.user_id)
        await page.context.add_cookies([{"name": identity.COOKIE, "value": cookie, "url": stage.url}])
        await page.goto(stage.url + path)
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        return page

    return open


async def code_of(stage: Stage, person: Agent) -> str:
    """What the authenticator of somebody shows now."""
    secret = Secrets(SECRET_KEY).open((await user_of(stage, person)).totp_secret)
    assert secret
    return pyotp.TOTP(secret).now()


async def turned_on(stage: Stage, person: Agent) -> str:
    """Somebody who set a second factor up some time ago; gives one of their recovery codes."""
    code = "abcd-efgh-jkmn-pqrs"
    columns = {
        "totp_secret": Secrets(SECRET_KEY).new(),
        "totp_confirmed_at": now(),
        "recovery_hashes": json.dumps([identity.token_hash(code.replace("-", ""))]),
    }
    await stage.make(lambda: User.update(columns).where(User.id == person.user_id).execute())
    return code


async def test_a_second_factor_is_set_up_and_asked_for_by_keyboard(stage: Stage, open_page, new_browser_page):
    ada = await with_password(stage, await stage.member("Ada", role="owner"))
    page = await open_page(ada, f"/account/second-factor/?next=/teams/{stage.team_id}/security/", allow="403")
    await page.get_by_role("button", name="Set it up").press("Enter")
    await expect(page.get_by_role("heading", name="Set it up")).to_be_focused()
    await expect(page.get_by_alt_text("QR code")).to_be_visible()
    assert await page.locator("img.qr").evaluate("image => image.naturalWidth") > 100
    await page.get_by_label("Code", exact=True).fill("000000")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("That code is not right")).to_be_visible()
    await expect(page.get_by_label("Code", exact=True)).to_be_focused()
    await expect(page.get_by_label("Code", exact=True)).to_have_value("000000")
    await page.get_by_label("Code", exact=True).fill(await code_of(stage, ada))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your recovery codes")).to_be_focused()
    codes = (await page.get_by_label("Your recovery codes").input_value()).split()
    assert len(codes) == 10
    await expect(page.get_by_role("button", name="Copy")).to_be_visible()
    await page.get_by_role("link", name="I have kept them").press("Enter")
    await expect(page).to_have_url(f"{stage.url}/teams/{stage.team_id}/security/")
    await page.get_by_role("button", name="Require it").press("Enter")
    await expect(page.get_by_role("button", name="Stop requiring it")).to_be_visible()

    other = await new_browser_page(allow="403")
    await other.goto(f"{stage.url}/sign-in?next=/teams/{stage.team_id}/security/")
    await other.get_by_label("E-mail").fill(await email_of(stage, ada))
    await other.get_by_label("Password").fill(PASSWORD)
    await other.keyboard.press("Enter")
    await expect(other.get_by_label("Code", exact=True)).to_be_focused()
    await must_suit_everybody(other, "the second step")
    await other.keyboard.type("111111")
    await other.keyboard.press("Enter")
    await expect(other.get_by_role("alert")).to_contain_text("That code is not right")
    await other.get_by_label("Code", exact=True).fill(codes[0])
    await other.keyboard.press("Enter")
    await expect(other).to_have_url(f"{stage.url}/teams/{stage.team_id}/security/")


async def test_a_member_is_led_from_the_console_and_from_a_teams_page_to_set_it_up(stage: Stage, open_page):
    ben = await stage.member("Ben")
    page = await open_page(ben)
    await stage.make(lambda: Team.update(requires_second_factor=True).where(Team.id == stage.team_id).execute())
    await page.goto(f"{stage.url}/teams/{stage.team_id}/assistants/")
    await expect(page.get_by_text("Tidewater requires a second factor")).to_be_visible()
    assert page.url == f"{stage.url}/account/second-factor/?next=/teams/{stage.team_id}/assistants/"
    await page.goto(f"{stage.url}/console")
    await expect(page.get_by_text("Tidewater requires a second factor")).to_be_visible()


async def test_a_session_that_is_ended_elsewhere_leads_to_sign_in(stage: Stage, open_page):
    ada = await stage.member("Ada")
    there = await open_page(ada)
    here = await open_page(ada)
    await expect(here.locator("#sessions .row")).to_have_count(2 + 1)  # the stage signed her in, too
    await here.get_by_role("button", name="End all other sessions").press("Enter")
    await expect(here.locator("#said")).to_have_text("Your other sessions have ended.")
    await expect(here.locator("#sessions .row")).to_have_count(1)
    await expect(here.locator("#sessions-title")).to_be_focused()
    await expect(there).to_have_url(f"{stage.url}/sign-in?next=%2Faccount%2F")


async def test_a_password_is_changed_in_place_and_what_was_typed_stays_after_a_fault(stage: Stage, open_page):
    ada = await with_password(stage, await stage.member("Ada"))
    page = await open_page(ada, allow="422")
    present, new, again = (
        page.get_by_label(label, exact=True) for label in ("Present password", "New password", "New password again")
    )
    await present.fill(PASSWORD)
    await new.fill("quiet harbour seven lamps")
    await again.fill("quiet harbour seven lamp")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("These two are not the same")).to_be_visible()
    await expect(again).to_be_focused()
    await expect(new).to_have_value("quiet harbour seven lamps")
    await again.fill("quiet harbour seven lamps")
    await page.keyboard.press("Enter")
    await expect(page.locator("#said")).to_contain_text("Your password is changed")
    await expect(new).to_have_value("")
    await expect(present).to_have_value("")
    await expect(page.locator("#sessions .row")).to_have_count(1)


async def test_the_audit_is_filtered_and_turned_by_keyboard(stage: Stage, open_page):
    ada = await stage.member("Ada", role="owner")

    def fill() -> None:
        for number in range(60):
            audit.note(stage.team_id, ada.user_id, "seat_assigned", name=f"Ben {number}")

    await stage.make(fill)
    page = await open_page(ada, f"/teams/{stage.team_id}/audit/")
    await page.get_by_label("What").select_option("Seat assigned")
    await page.get_by_role("button", name="Show").press("Enter")
    await expect(page.locator(".audit-line").first).to_contain_text("Ada gave Ben 59 a seat.")
    await page.get_by_role("link", name="Older").press("Enter")
    await expect(page.locator(".audit-line")).to_have_count(10)
    await expect(page.locator("#audit-title")).to_be_focused()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download CSV").press("Enter")
    text = (await (await download.value).path()).read_text()
    assert text.count("seat_assigned") == 60


async def test_each_step_of_a_second_factor_suits_everybody(stage: Stage, open_page):
    page = await open_page(await with_password(stage, ada := await stage.member("Ada", role="owner")), "/account/second-factor/")
    await page.locator("#begin-button").click()
    await expect(page.locator("#secret")).to_be_visible()
    await fits(page, "the secret")
    await page.locator("#code").fill(await code_of(stage, ada))
    await page.locator("#confirm-button").click()
    await expect(page.locator("#recovery-codes")).to_be_visible()
    await fits(page, "recovery codes")
    await page.goto(f"{stage.url}/account/second-factor/")
    await fits(page, "on")
    await stage.make(lambda: Session.update(second_factor_at=None).execute())
    await stage.make(lambda: Team.update(requires_second_factor=True).execute())
    await stage.make(lambda: User.update(totp_confirmed_at=None, totp_secret=None).execute())
    await page.goto(f"{stage.url}/account/second-factor/")
    await fits(page, "required")
