"""The pages as people open them: the agents' console, the chat in a tab of its own, and a shop that carries the chat."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from handoff import identity
from tests.browser.pages import is_connected
from tests.cast import Agent, Stage
from tests.network import Relay
from tests.servers import LOOPBACK, free_port

OpenPage = Callable[..., Awaitable[Page]]

# Another site than Handoff's: for a browser `localhost` and 127.0.0.1 have nothing in common.
SHOP = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Harbour Lamps</title><link rel="icon" href="data:,">
<main><h1>Harbour Lamps</h1><p>Lamps for boats.</p></main>
<script src="{url}/widget.js" data-widget="{key}" async></script>
"""


@pytest.fixture
def open_console(open_stage: Any, new_browser_page: Any) -> OpenPage:
    """`page = await open_console(stage, ada, conversation_id)`: the console in a browser of that person's own."""

    async def open(stage: Stage, agent: Agent, conversation_id: str = "", *, url: str = "", init: str = "", **options: Any) -> Page:
        page = await new_browser_page(**options)
        if init:
            await page.context.add_init_script(init)
        url = url or stage.url
        await page.context.add_cookies([{"name": identity.COOKIE, "value": agent.cookie, "url": url}])
        await page.goto(f"{url}/console#/{stage.assistant_id}" + (f"/{conversation_id}" if conversation_id else ""))
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        if conversation_id:
            await expect(page.locator("#conversation")).to_have_attribute("data-state", "open")
        return page

    return open


@pytest.fixture
def open_chat(open_stage: Any, new_browser_page: Any) -> OpenPage:
    """`chat = await open_chat(stage)`: the widget's page in a tab of its own, by a customer with a browser of their own."""

    async def open(stage: Stage, *, url: str = "", **options: Any) -> Page:
        page = await new_browser_page(**options)
        await page.goto(f"{url or stage.url}/widget/{stage.widget_key}")
        await is_connected(page)
        return page

    return open


class Line(Relay):
    """A customer's or agent's line to Handoff, which can also go deaf: what they say arrives, what they would hear is lost."""

    is_deaf = False

    async def _pump(self, reader: Any, writer: Any) -> None:
        is_heard = writer.get_extra_info("peername")[1] != self.target
        while data := await reader.read(65536):
            await self._flows.wait()
            if not (is_heard and self.is_deaf):
                writer.write(data)
                await writer.drain()


@pytest.fixture
async def behind_line(open_stage: Any) -> AsyncIterator[tuple[Stage, Line]]:
    """A stage that people reach at `line.url`, through a network that can fail: `stage, line`."""
    async with Line(0) as line:
        stage = await open_stage(base_url=line.url)
        line.target = stage.handoff.settings.port
        yield stage, line


@pytest.fixture
async def shop_of() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`address = await shop_of(stage)`: a page on somebody else's site that carries the widget."""
    runners: list[web.AppRunner] = []

    async def serve(stage: Stage) -> str:
        async def shop(_: web.Request) -> web.Response:
            return web.Response(text=SHOP.format(url=stage.url, key=stage.widget_key), content_type="text/html")

        application, port = web.Application(), free_port()
        application.add_routes([web.get("/", shop)])
        runners.append(web.AppRunner(application, access_log=None, shutdown_timeout=1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], LOOPBACK, port).start()
        return f"http://localhost:{port}/"

    yield serve
    for runner in runners:
        await runner.cleanup()
