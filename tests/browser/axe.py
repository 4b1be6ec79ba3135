"""What a page must be for everybody: accessible to axe-core's rules, and no wider than its window."""

from playwright.async_api import Page

from tests.servers import ROOT

WIDTHS = (360, 1440)
# A colour in mid-change has the contrast of neither end.
STANDS_STILL = """Promise.allSettled(document.getAnimations()
    .filter((it) => it.effect.getComputedTiming().endTime < 10_000).map((it) => it.finished))"""
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: Page) -> list[str]:
    """What axe-core finds on the page, a line for each rule."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{rule['id']}: {[node['html'] for node in rule['nodes']]}" for rule in found["violations"]]


async def width_beyond(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return await page.evaluate("document.documentElement.scrollWidth - innerWidth")


async def fits(page: Page, where: str) -> None:
    """The page as it is now suits everybody: narrow and wide, light and dark."""
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        await must_suit_everybody(page, f"{where}, {width} px")


async def must_suit_everybody(page: Page, where: str) -> None:
    """At its present width the page is no wider than its window, and axe-core finds nothing in light and in dark."""
    assert await width_beyond(page) <= 0, where
    for color_scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=color_scheme)
        await page.evaluate(STANDS_STILL)
        found = await violations(page)
        assert not found, "\n".join([f"{where}, {color_scheme}", *found])
