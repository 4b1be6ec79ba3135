"""What a page must be for everybody: accessible to axe-core's rules, and no wider than its window."""

from playwright.async_api import Page

from tests.servers import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: Page) -> list[str]:
    """What axe-core finds on the page, a line for each rule."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{rule['id']}: {[node['html'] for node in rule['nodes']]}" for rule in found["violations"]]


async def width_beyond(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return await page.evaluate("document.documentElement.scrollWidth - innerWidth")


async def must_suit_everybody(page: Page, where: str = "") -> None:
    """Judge what stands still: a colour in mid-change has the contrast of neither end."""
    await page.evaluate(
        "Promise.all(document.getAnimations().filter(a => a.effect.getComputedTiming().activeDuration < 1e4).map(a => a.finished))"
    )
    found = await violations(page)
    assert not found, "\n".join([where, *found])
    assert await width_beyond(page) <= 0, where
