"""Widgets in a real Chromium: what an admin sets shows on somebody else's site, live and by keyboard, at every width."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from handoff import identity
from handoff.clock import now
from handoff.models import Widget
from tests.browser.axe import fits
from tests.browser.conftest import SHOP
from tests.browser.pages import chat_in, heard, is_connected, open_launcher, say
from tests.cast import Agent, Stage
from tests.servers import LOOPBACK, free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

LONG = "Wolfeschlegelsteinhausenbergerdorff " * 2
EMBED = re.compile(r"/widget\.js")


@pytest.fixture
async def site_with() -> AsyncIterator[Callable[[str, str], Awaitable[str]]]:
    """`address = await site_with(url, key)`: a page of another site, under a policy as strict as the README asks for."""
    runners: list[web.AppRunner] = []

    async def serve(url: str, key: str) -> str:
        async def page(_: web.Request) -> web.Response:
            policy = f"default-src 'none'; img-src data:; script-src {url}; frame-src {url}"
            body = SHOP.format(url=url, key=key)
            return web.Response(text=body, content_type="text/html", headers={"Content-Security-Policy": policy})

        application, port = web.Application(), free_port()
        application.add_routes([web.get("/", page)])
        runners.append(web.AppRunner(application, access_log=None, shutdown_timeout=1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], LOOPBACK, port).start()
        return f"http://localhost:{port}"

    yield serve
    for runner in runners:
        await runner.cleanup()


async def open_page(stage: Stage, new_browser_page: Any, person: Agent, path: str = "", **options: Any) -> Page:
    page = await new_browser_page(**options)
    await page.context.add_cookies([{"name": identity.COOKIE, "value": person.cookie, "url": stage.url}])
    await page.goto(f"{stage.url}/teams/{stage.team_id}/assistants/{stage.assistant_id}/widgets/{path}")
    await expect(page.locator("#live[data-state=live]")).to_be_attached()
    return page


async def widget(stage: Stage) -> Widget:
    return await stage.look(lambda: Widget.get(Widget.assistant == stage.assistant_id))


async def set_color(page: Page, name: str, color: str) -> None:
    """As the colour picker does, which is no part of the page."""
    await page.locator(f"#{name}").evaluate(
        "(field, color) => { field.value = color; field.dispatchEvent(new Event('input', {bubbles: true})); }", color
    )


async def test_what_is_set_on_the_page_shows_in_the_widget_on_another_site(stage, new_browser_page, site_with):
    address = await site_with(stage.url, stage.widget_key)
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, f"{(await widget(stage)).id}/")
    await page.get_by_label("Allowed sites").fill(f"{address}/\nhttps://*.example.org")
    await set_color(page, "color", "#ffd400")
    await set_color(page, "line_color", "#5b1a8a")
    await expect(page.locator("#color_same, #line_color_same")).to_have_count(2)
    await expect(page.locator("#color_same")).not_to_be_checked()
    await page.get_by_label("Text on the launcher").fill("Ask us")
    await page.get_by_label("Greeting").fill("Ahlan!")
    await page.get_by_label("Opening suggestions").fill("Where is my parcel?\nHow long does delivery take?")
    await page.get_by_label("Language").select_option("ar")
    preview = page.locator("#widget-preview")
    await expect(preview.locator(".preview-launcher")).to_have_css("background-color", "rgb(255, 212, 0)")
    await expect(preview.locator(".preview-launcher")).to_have_css("color", "rgb(0, 0, 0)")
    await expect(preview.locator(".preview-own")).to_have_css("background-color", "rgb(91, 26, 138)")
    await expect(preview.locator(".preview-own")).to_have_css("color", "rgb(255, 255, 255)")
    await expect(preview).to_contain_text("Ahlan!")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#said")).to_have_text("Saved.")
    await expect(page.get_by_label("Allowed sites")).to_have_value(f"{address}\nhttps://*.example.org")
    await expect(preview.locator(".preview-launcher")).to_have_css("background-color", "rgb(255, 212, 0)")

    shop = await new_browser_page()
    await shop.goto(address)
    launcher = shop.get_by_role("button", name="Ask us")
    await expect(launcher).to_have_css("background-color", "rgb(255, 212, 0)")
    await expect(launcher).to_have_css("color", "rgb(0, 0, 0)")
    await launcher.click()
    chat = await chat_in(shop)
    await expect(chat.locator("html[lang=ar][dir=rtl]")).to_be_attached()
    await expect(chat.locator("#greeting")).to_have_text("Ahlan!")
    await expect(chat.locator("#suggestions button")).to_have_text(["Where is my parcel?", "How long does delivery take?"])
    await chat.locator("#suggestions button").nth(1).click()
    own = chat.locator("#conversations .message[data-author=customer] .message-text")
    await expect(own).to_have_text("How long does delivery take?")
    await expect(own).to_have_css("background-color", "rgb(91, 26, 138)")
    await expect(own).to_have_css("color", "rgb(255, 255, 255)")
    await expect(chat.locator("#suggestions")).to_be_hidden()
    await expect(page.locator("#site-check[data-state=allowed]")).to_contain_text(f"Last seen on {address} just now: allowed.")


async def test_a_site_that_is_not_allowed_reads_so_until_an_admin_adds_it_with_one_click(stage, new_browser_page, site_with):
    address = await site_with(stage.url, stage.widget_key)
    await stage.make(lambda: Widget.update(sites='["https://other.example"]').execute())
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, f"{(await widget(stage)).id}/")
    await expect(page.locator("body")).to_be_focused()
    await page.get_by_label("Greeting").fill("Half a sen")
    shop = await new_browser_page(allow="403")
    await shop.goto(address)
    await shop.get_by_role("button", name="Open chat").click()
    frame = shop.frame_locator("iframe[title=Chat]")
    await expect(frame.get_by_role("heading")).to_have_text("This chat may not be used on this site.")
    await expect(page.locator("#site-check[data-state=refused]")).to_contain_text("not allowed")
    await fits(page, "a refused site")
    await page.get_by_role("button", name="Add this site").press("Enter")
    await expect(page.locator("#site-check[data-state=allowed]")).to_contain_text(address)
    await expect(page.get_by_label("Allowed sites")).to_have_value(f"https://other.example\n{address}")
    await expect(page.get_by_label("Greeting")).to_have_value("Half a sen")
    await expect(page.locator("#site-title")).to_be_focused()
    assert json.loads((await widget(stage)).sites) == ["https://other.example", address]
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#said")).to_have_text("Saved.")
    await shop.reload()
    await is_connected(shop.frame_locator("iframe[title=Chat]"))
    await expect(shop.frame_locator("iframe[title=Chat]").locator("#greeting")).to_have_text("Half a sen")


async def test_a_frame_without_its_sites_word_is_kept_out_by_the_policy(stage, new_browser_page, site_with):
    await stage.make(lambda: Widget.update(sites='["https://other.example"]').execute())
    address = await site_with(stage.url, stage.widget_key)
    shop = await new_browser_page(allow="frame-ancestors|Refused|Framing|ERR_BLOCKED")
    await shop.goto(address)
    await shop.evaluate(
        """(url) => { const frame = document.createElement('iframe'); frame.referrerPolicy = 'no-referrer'; frame.src = url;
        frame.title = 'Own'; document.body.append(frame); }""",
        f"{stage.url}/widget/{stage.widget_key}",
    )
    await wait_until(lambda: _is_blocked(shop), what="the browser shows an error in the frame's place")


async def _is_blocked(page: Page) -> bool:
    return any(frame.url.startswith("chrome-error:") for frame in page.frames)


async def test_a_customer_in_mid_conversation_goes_on_after_a_rotation_and_a_reload(stage, new_browser_page, site_with):
    await stage.hold_assistant()
    address = await site_with(stage.url, stage.widget_key)
    shop, newcomer = await new_browser_page(), await new_browser_page()
    await shop.goto(address)
    chat = await open_launcher(shop)
    await say(chat, "Hello?")
    await expect(heard(chat)).to_have_text(["Hello?"])
    ada = await stage.member("Ada", role="owner")
    page = await open_page(stage, new_browser_page, ada, f"{(await widget(stage)).id}/")
    await page.get_by_role("link", name="Rotate the key").press("Enter")
    await expect(page.get_by_text("take no new visitors at once")).to_be_visible()
    await fits(page, "rotate")
    await page.get_by_role("button", name="Rotate the key").dblclick(delay=40)
    await expect(page.locator("#widget-key")).not_to_have_text(stage.widget_key)
    await expect(page.get_by_label("Embed code", exact=True)).to_have_value(re.compile((await widget(stage)).key))
    await say(chat, "Are you there?")
    await expect(heard(chat)).to_have_text(["Hello?", "Are you there?"])
    await shop.reload()
    chat = await chat_in(shop)
    await expect(heard(chat)).to_have_text(["Hello?", "Are you there?"])
    await say(chat, "Still here.")
    await expect(heard(chat)).to_have_count(3)
    await newcomer.goto(address)
    await newcomer.get_by_role("button", name="Open chat").click()
    refused = newcomer.frame_locator("iframe[title=Chat]").locator("#connection[data-state=refused]")
    await expect(refused).to_have_text("This chat is not available.")


async def test_a_colleagues_change_shows_by_itself_and_never_over_what_is_typed(stage, new_browser_page):
    ada, otto = await stage.member("Ada", role="owner"), await stage.member("Otto", role="admin")
    path = f"{(await widget(stage)).id}/"
    hers, his = [await open_page(stage, new_browser_page, person, path, allow="409") for person in (ada, otto)]
    listed = await open_page(stage, new_browser_page, ada)
    await his.get_by_label("Name").fill("Front door")
    await his.get_by_role("button", name="Save").click()
    await expect(hers.get_by_label("Name")).to_have_value("Front door")
    await expect(listed.locator("#widget-list")).to_contain_text("Front door")

    await hers.get_by_label("Greeting").fill("Mine")
    await his.get_by_label("Greeting").fill("His")
    await his.get_by_label("Text on the launcher").fill("Ask Otto")
    await his.get_by_role("button", name="Save").click()
    await expect(his.locator("#said")).to_have_text("Saved.")
    await hers.get_by_role("button", name="Save").press("Enter")
    await expect(hers.locator("#changed-meanwhile")).to_be_focused()
    await expect(hers.locator("#greeting-changed")).to_contain_text("Otto changed this meanwhile, to: His")
    await expect(hers.locator("#launcher-changed")).to_contain_text("it shows what they saved")
    await expect(hers.get_by_label("Greeting")).to_have_value("Mine")
    await expect(hers.get_by_label("Text on the launcher")).to_have_value("Ask Otto")
    await fits(hers, "a conflict")
    await hers.get_by_role("button", name="Save").press("Enter")
    await expect(hers.locator("#said")).to_have_text("Saved.")
    await expect(hers.locator("#changed-meanwhile")).to_have_count(0)
    await expect(his.get_by_label("Greeting")).to_have_value("Mine")


async def test_the_code_is_copied_by_keyboard_and_stands_in_a_field_without_javascript(stage, new_browser_page):
    ada = await stage.member("Ada", role="owner")
    path = f"{(await widget(stage)).id}/"
    page = await open_page(stage, new_browser_page, ada, path, permissions=["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy the embed code").press("Enter")
    await expect(page.locator("#said")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == (
        f'<script src="{stage.url}/widget.js" data-widget="{stage.widget_key}" async></script>'
    )
    plain = await new_browser_page(java_script_enabled=False)
    await plain.context.add_cookies([{"name": identity.COOKIE, "value": ada.cookie, "url": stage.url}])
    await plain.goto(page.url)
    await expect(plain.get_by_label("Embed code", exact=True)).to_have_value(EMBED)
    await expect(plain.get_by_role("button", name="Copy the embed code")).to_be_hidden()
    await plain.get_by_label("Text on the launcher").fill("Without a script")
    await plain.get_by_role("button", name="Save").click()
    await expect(plain.get_by_label("Text on the launcher")).to_have_value("Without a script")
    await plain.get_by_role("link", name="Rotate the key").click()
    await plain.get_by_role("button", name="Rotate the key").click()
    await expect(plain.locator("#widget-key")).not_to_have_text(stage.widget_key)


async def test_the_pages_fit_with_long_names_with_nothing_and_with_faults(stage, new_browser_page):
    ada, ben = await stage.member("Ada", role="owner"), await stage.member("Ben", seat=None)
    path = f"{(await widget(stage)).id}/"
    page = await open_page(stage, new_browser_page, ada, path, allow="422")
    await fits(page, "nothing set")
    await page.get_by_label("Allowed sites").fill("x\nhttps://a.example/shop")
    await page.get_by_label("Name").fill("")
    await page.get_by_label("Opening suggestions").fill("x" * 90)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".field-error")).to_have_count(3)
    await expect(page.get_by_label("Name")).to_be_focused()
    await fits(page, "faults")
    await stage.make(
        lambda: Widget.update(
            name=LONG,
            launcher=LONG[:40],
            greeting=LONG * 3,
            last_site=f"https://{'a' * 60}.{'b' * 60}.example",
            last_seen_at=now(),
            sites='["https://other.example"]',
            suggestions=json.dumps([LONG]),
        ).execute()
    )
    for person in (ada, ben):
        for place in ("", path):
            page = await open_page(stage, new_browser_page, person, place, allow="422")
            await fits(page, f"long names for {person.name} at {place}")
    page = await open_page(stage, new_browser_page, ada, allow="422")
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("#new-name-error")).to_be_visible()
    await fits(page, "a new widget refused")
    await page.get_by_label("Name", exact=True).fill("Blog")
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("h1")).to_have_text("Blog")
    await page.goto(f"{stage.url}/teams/{stage.team_id}/assistants/{stage.assistant_id}/widgets/")
    await stage.make(lambda: Widget.delete().execute())
    await page.reload()
    await expect(page.get_by_text("No widgets yet")).to_be_visible()
    await fits(page, "no widgets")
