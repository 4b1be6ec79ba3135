"""Every page there is, found in the access table, as somebody opens it: no complaint of the browser or its policy, nothing that
axe-core finds in light or dark, no wider than a phone, and everything within reach of the Tab key.

A new page is walked by itself; a new kind of id in its address has to be taught to `ids` below.
"""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Page

from handoff import audit, founding, identity
from handoff.access import ROUTES, Who
from handoff.models import Assistant, Delivery, Entry, Invitation, Member, Outcome, Session, Team, User, Widget
from handoff.pages import HOUSE
from tests.accounts import with_password
from tests.browser.axe import must_suit_everybody, violations, width_beyond
from tests.cast import Agent, Stage, found_team
from tests.servers import SECRET_KEY

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

LONG = "Wolfeschlegelsteinhausenbergerdorff " * 2
WORD = "Donaudampfschifffahrtsgesellschaft" * 2
NO_PAGES = ("/healthz", "/metrics", "/static", "/widget.js", "/launcher/{key}", "/teams/{team}/audit/audit.csv")
PAGES = sorted(path for method, path in ROUTES if method == "GET" and path not in NO_PAGES)
# A page that is refused, gone or not there is one too; nothing else may complain.
REFUSED = "Failed to load resource: the server responded with a status of 4"

LISTEN = """addEventListener("securitypolicyviolation", (it) =>
    console.error("policy:", it.violatedDirective, it.blockedURI, it.sourceFile))"""

# One radio button of a group is a stop, and whatever a closed <details> hides is none.
STOPS = """() => {
  const groups = new Set();
  window.stops = [...document.querySelectorAll(
      "a[href], button, input, select, textarea, summary, iframe, [tabindex='0'], [contenteditable='true']")].filter((it) => {
    if (it.disabled || it.tabIndex < 0 || it.closest("[inert]") || !it.checkVisibility({visibilityProperty: true})) return false;
    if (it.type !== "radio") return true;
    const key = it.form?.id + it.name;
    return groups.has(key) ? false : groups.add(key);
  });
  window.reached = new Set();
  document.activeElement?.blur();
  return window.stops.length;
}"""
STEP = """() => {
  let it = document.activeElement;
  if (!it || it === document.body) return "";
  while (it.shadowRoot?.activeElement) it = it.shadowRoot.activeElement;
  window.reached.add(it.type === "radio" ? it.form?.id + it.name : it);
  if (it.tagName === "IFRAME") return "";
  const seen = (at) => [null, "::before", "::after"].some((part) => { const style = getComputedStyle(at, part);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none"; });
  const box = it.getBoundingClientRect();
  if (!box.width || !box.height) return `out of sight: ${it.outerHTML.slice(0, 200)}`;
  return [it, it.parentElement, it.parentElement?.parentElement].some((at) => at && seen(at))
    ? "" : `no mark of the focus: ${it.outerHTML.slice(0, 200)}`;
}"""
MISSED = """() => window.stops.filter((it) => !window.reached.has(it.type === "radio" ? it.form?.id + it.name : it))
  .map((it) => it.outerHTML.slice(0, 200))"""


@dataclass
class Town:
    """A team with one of everything, in long words; its owner, a member without a seat, and nobody."""

    stage: Stage
    people: dict[str, Agent | None]
    ids: dict[str, str]

    def address(self, path: str) -> str:
        def id_of(found: re.Match[str]) -> str:
            name = found[1]
            kind = path.split("/")[1] if name == "token" else ""
            assert name + kind in self.ids, f"teach this test what {{{name}}} of {path} is"
            return self.ids[name + kind]

        return re.sub(r"{(\w+)}", id_of, path)


@pytest.fixture
async def town(open_stage: Any) -> AsyncIterator[Town]:
    stage = await open_stage(sign_up=True, demo=True)
    ada = await with_password(stage, await stage.member(f"Ada {LONG}", role="owner"))
    ben = await stage.member(f"Ben {LONG}", seat=None)
    other, _, _ = await found_team(stage, LONG)
    ids = await stage.make(lambda: _fill(stage, ada, ben, other))
    ids["tokensetup"] = founding.set_up_token(SECRET_KEY)
    ids["tokensign-in"] = await stage.handoff.database.write(ben.user_id, identity.offer_link, ben.user_id)
    yield Town(stage, {"the owner": ada, "a member": ben, "nobody": None}, ids)


def _fill(stage: Stage, ada: Agent, ben: Agent, other: str) -> dict[str, str]:
    team, assistant = stage.team_id, stage.assistant_id
    Member.create(team=other, user=ada.user_id, role="admin")
    Assistant.update(name=WORD, handoff="scripted", handoff_text=WORD, fallback_text=WORD).where(
        Assistant.id == assistant
    ).execute()
    entry = Entry.create(assistant=assistant, question=WORD * 3, answer=f"{WORD * 4}\n\n<b>{WORD}</b>")
    outcome = Outcome.create(team=team, name=WORD, position=9)
    Outcome.create(team=team, name=f"{WORD} of old", position=10, archived_at=1)
    audit.note(team, ada.user_id, "seat_assigned", name=LONG)
    Team.update(away_text=WORD * 3, notice_emails=json.dumps([f"{WORD.lower()}@x.org"])).where(Team.id == team).execute()
    for status in ("queued", "delivering", "delivered", "failed"):
        ended = None if status in ("delivered", "failed") else identity.now() + 3_600_000
        given = {"status": status, "words": WORD * 2, "next_at": ended, "attempts": 3}
        Delivery.create(team=team, kind="email", about=status, target=f"{WORD.lower()}@x.org", body="{}", **given)
    audit.note(team, None, "plan_changed", plan=LONG, before="free")
    links = stage.handoff.application[HOUSE].links
    kinds = {"open": {}, "used": {"used_at": 1}, "expired": {"expires_at": 1}, "withdrawn": {"withdrawn_at": 1}, "known": {}}
    for kind, columns in kinds.items():
        email = User.get_by_id(ben.user_id).email if kind == "known" else f"{'donaudampfschifffahrt' * 3}{kind}@x.org"
        given = {"expires_at": identity.now() + 3_600_000, **columns}
        token_hash = identity.token_hash(links.token(kind))
        Invitation.create(id=kind, team=team, email=email, role="owner", token_hash=token_hash, invited_by=ada.member_id, **given)
    return {
        "team": team,
        "assistant": assistant,
        "entry": entry.id,
        "outcome": outcome.id,
        "member": ben.member_id,
        "widget": Widget.get(Widget.assistant == assistant).id,
        "key": stage.widget_key,
        "session": Session.get(Session.user == ada.user_id).id,
        "tokeninvitations": links.token("open"),
        **{f"invitation {kind}": links.token(kind) for kind in kinds},
    }


# What one address shows besides, to whom: (who, address)
MORE = [
    ("the owner", "/teams/{team}/assistants/{assistant}/try?question=delivery"),
    ("the owner", "/teams/{team}/audit/?before=0"),
    ("the owner", "/teams/{team}/nowhere"),
    ("nobody", "/nowhere"),
    ("a member", "/teams/{team}/audit/"),
    *(("nobody", f"/invitations/{{invitation {kind}}}") for kind in ("used", "expired", "withdrawn", "known")),
]
ABOUT_TEAM = (Who.MEMBER, Who.AGENT)


def walks() -> dict[str, list[str]]:
    """Who opens which pages: the owner all of them, members and nobody what shows them something else."""
    found: dict[str, list[str]] = {"the owner": list(PAGES), "a member": [], "nobody": []}
    for path in PAGES:
        if ROUTES["GET", path] in ABOUT_TEAM:
            found["a member"].append(path)
        if ROUTES["GET", path] is Who.ANYONE:
            found["nobody"].append(path)
    for who, path in MORE:
        found[who].append(path)
    return found


def _parts() -> list[tuple[str, list[str]]]:
    """In three or four parts, for machines with more than one core."""
    parts = []
    for who, paths in walks().items():
        half = len(paths) // 2 + 1
        parts += [(who, paths[:half]), (who, paths[half:])] if len(paths) > 20 else [(who, paths)]
    return parts


@pytest.mark.parametrize(("who", "paths"), _parts(), ids=lambda it: it.replace(" ", "-") if isinstance(it, str) else str(len(it)))
async def test_every_page_suits_everybody_and_breaks_no_policy(town: Town, new_browser_page, who: str, paths: list[str]) -> None:
    page = await _page_of(town, new_browser_page, who)
    for path in paths:
        address = re.sub(r"{(invitation \w+)}", lambda found: town.ids[found[1]], path)
        await page.goto(town.stage.url + town.address(address), wait_until="load")
        where = f"{path} as {who}"
        await _must_suit(page, where)
        await _must_be_in_reach(page, where)


async def test_a_refused_form_breaks_no_policy_either(town: Town, new_browser_page) -> None:
    """As browsers without JavaScript send it: the whole page comes back."""
    page = await _page_of(town, new_browser_page, "the owner")
    for path, form in (("/teams/{team}/assistants/", "main form"), ("/teams/{team}/assistants/{assistant}/", "#assistant-form")):
        await page.goto(town.stage.url + town.address(path))
        await page.locator(f"{form} [name=name]").fill("")
        async with page.expect_navigation() as sent:
            await page.locator(form).first.evaluate("form => HTMLFormElement.prototype.submit.call(form)")
        assert (await sent.value).status == 422, path
        await _must_suit(page, f"{path} refused")


async def _page_of(town: Town, new_browser_page: Any, who: str) -> Page:
    page = await new_browser_page(allow=REFUSED)
    await page.add_init_script(LISTEN)
    person = town.people[who]
    if person is not None:
        cookie = await town.stage.sign_in(person.user_id)
        await page.context.add_cookies([{"name": identity.COOKIE, "value": cookie, "url": town.stage.url}])
    return page


async def _must_suit(page: Page, where: str) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await must_suit_everybody(page, f"{where}, 360 px")
    await page.set_viewport_size({"width": 1440, "height": 900})
    await page.emulate_media(color_scheme="light")
    assert await width_beyond(page) <= 0, f"{where}, 1440 px"
    if "as a member" not in where:  # the owner's page is the same and more
        found = await violations(page)
        assert not found, "\n".join([f"{where}, 1440 px", *found])


async def _must_be_in_reach(page: Page, where: str) -> None:
    count = await page.evaluate(STOPS)
    for _ in range(count + 3):
        await page.keyboard.press("Tab")
        fault = await page.evaluate(STEP)
        assert not fault, f"{where}: {fault}"
    missed = await page.evaluate(MISSED)
    assert not missed, "\n".join([f"{where}: not reached by Tab", *missed])
