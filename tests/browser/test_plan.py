"""The plan's page, and what a suspended seat shows, in a real Chromium."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from handoff import identity, plans
from handoff.models import Plan, Seat, Team
from tests.browser.axe import must_suit_everybody
from tests.cast import Agent, Stage

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

OpenPlan = Callable[..., Awaitable[Page]]


@pytest.fixture
async def stage(open_stage: Any) -> Stage:
    stage = await open_stage(plans={"free": {"human_agents": 1}, "team": {"human_agents": 3}, "business": {"human_agents": 25}})
    await stage.make(lambda: Team.update(plan="team").where(Team.id == stage.team_id).execute())
    return stage


@pytest.fixture
def open_plan(stage: Stage, new_browser_page: Any) -> OpenPlan:
    async def open(person: Agent, **options: Any) -> Page:
        page = await new_browser_page(**options)
        await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
        await page.goto(f"{stage.url}/teams/{stage.team_id}/plan/")
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        return page

    return open


async def bill(stage: Stage, name: str, time: int) -> None:
    await stage.handoff.database.write(stage.team_id, plans.bill, stage.team_id, name, time)


async def test_an_owner_goes_up_and_down_with_the_keyboard_and_another_admins_page_follows(stage, open_plan):
    ada, cleo = await stage.member("Ada", role="owner"), await stage.member("Cleo", role="admin")
    page, other = await open_plan(ada, allow="409"), await open_plan(cleo)
    await page.get_by_role("button", name="Downgrade to free").press("Enter")
    refusal = page.get_by_role("alert").filter(has_text="Release 1 of the 2 seats in use first")
    await expect(refusal).to_contain_text("newest first: Cleo, Ada")
    await page.get_by_role("button", name="Upgrade to business").press("Enter")
    await expect(page.locator("#said")).to_have_text("Your plan is business now.")
    await expect(page.locator("#plan-present")).to_have_text("Your plan: business")
    await expect(refusal).to_have_count(0)
    await expect(other.locator("#plan-present")).to_have_text("Your plan: business")
    await other.get_by_role("button", name="Downgrade to team").press("Enter")
    await expect(page.locator("#plan-present")).to_have_text("Your plan: team")


async def test_a_forced_downgrade_shows_by_itself_on_every_open_page(stage, open_plan):
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben")
    await stage.make(lambda: Seat.update(assigned_at=1).where(Seat.member == ada.member_id).execute())
    page = await open_plan(ada)
    await bill(stage, "free", 100)
    await expect(page.get_by_text("1 seat is suspended")).to_be_visible()
    await page.get_by_role("link", name="Seats", exact=True).click()
    await expect(page.locator(f"#member-{ben.member_id}")).to_contain_text("Suspended")


async def test_whose_seat_is_suspended_finishes_what_they_have_and_comes_back_when_it_is_raised(stage, open_console):
    await stage.hold_assistant()
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben")
    await stage.make(lambda: Seat.update(assigned_at=1).where(Seat.member == ada.member_id).execute())
    mine, other = await stage.customer(), await stage.customer()
    await mine.write("Is my bike ready?")
    await other.write("Hello?")
    page = await open_console(stage, ben, mine.conversation_id)
    await page.locator("#take-over").click()
    await page.locator("#composer-text").fill("One mom")

    await bill(stage, "free", 100)
    await expect(page.locator("#suspended")).to_contain_text("Your seat is suspended")
    await expect(page.locator("#suspended")).to_contain_text("Ask Ada for a seat")
    await expect(page.locator("#conversations > li")).to_have_count(1)
    await expect(page.locator("#composer-text")).to_have_value("One mom")
    await page.locator("#composer-text").press("End")
    await page.locator("#composer-text").type("ent, please.")
    await page.locator("#composer-text").press("Enter")
    await mine.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "One moment, please.")
    await mine.write("Thank you!")
    await expect(page.locator("#lines")).to_contain_text("Thank you!")
    for width in (360, 1440):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(page.locator("#composer-text")).to_be_visible()
        await must_suit_everybody(page, f"suspended at {width}")

    await bill(stage, "team", 101)
    await expect(page.locator("#suspended")).to_be_hidden()
    await expect(page.locator("#conversations > li")).to_have_count(2)
    await expect(page.locator("#conversation")).to_have_attribute("data-state", "open")


async def test_who_comes_with_a_suspended_seat_and_nothing_left_is_told_whom_to_ask(stage, open_console):
    await stage.member("Ada", role="owner")
    ben = await stage.member("Ben", seat="suspended")
    page = await open_console(stage, ben)
    await expect(page.locator("#suspended")).to_be_visible()
    await expect(page.locator("#list-empty")).to_contain_text("You have no conversations left")
    await expect(page.locator(".filters")).to_be_hidden()


async def test_the_plans_page_is_accessible_and_fits_at_every_width(stage, open_plan):
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben", seat="suspended")
    await stage.make(
        lambda: Plan.insert(id="Donaudampfschifffahrtsgesellschaft and more " * 3, human_agents=0, position=9).execute()
    )
    for person in (ada, ben):
        page = await open_plan(person, allow="409")
        if person is ada:
            await page.locator("#plans button").last.click()
            await expect(page.locator(".row-refusal")).to_be_visible()
        for width in (360, 1440):
            await page.set_viewport_size({"width": width, "height": 900})
            await must_suit_everybody(page, f"{person.name} at {width}")
