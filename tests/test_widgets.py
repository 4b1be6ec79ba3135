"""Widgets as admins keep them: key, sites, look; where they were seen; two admins at once; the frame that only its sites open."""

import asyncio
import html
import json
import re
from typing import Any

import aiohttp
import pytest

from handoff import sites, widgets
from handoff.clock import new_id, now
from handoff.models import Assistant, Audit, Widget
from tests.asked import selects
from tests.cast import Customer, Stage, found_team
from tests.forms import beside, form_on
from tests.test_settings_pages import HTMX, ON_ONE, Seen, ada, ben, browser
from tests.waiting import wait_until

__all__ = ["ada", "ben", "browser"]

FIELDS = {
    "name": "Shop",
    "sites": "",
    "color": "",
    "line_color": "",
    "launcher": "",
    "greeting": "",
    "suggestions": "",
    "language": "en",
}


async def widget(stage: Stage) -> Widget:
    return await stage.look(lambda: Widget.get(Widget.assistant == stage.assistant_id))


async def here(stage: Stage) -> str:
    return f"assistants/{stage.assistant_id}/widgets/{(await widget(stage)).id}/"


async def put(stage: Stage, **columns: Any) -> None:
    await stage.make(lambda: Widget.update(columns).where(Widget.assistant == stage.assistant_id).execute())


async def kinds(stage: Stage) -> list[str]:
    lines = Audit.select(Audit.kind).where(Audit.team == stage.team_id, Audit.kind.startswith("widget_"))
    return [kind for (kind,) in await stage.look(lambda: list(lines.order_by(Audit.id).tuples()))]


def hidden(seen: Seen, name: str) -> str:
    return html.unescape(re.search(f'name="{name}" value="([^"]*)"', seen.text)[1])


def form_of(seen: Seen, **typed: str) -> dict[str, str]:
    """The form as the page shows it, with what somebody types into it."""
    form = {**form_on(seen, "widget-form"), **typed}
    for name in {"color", "line_color"} & set(typed):  # choosing a colour takes the tick out of the box beside it
        form = {key: value for key, value in form.items() if key != f"{name}_same" or key in typed}
    return form


# --- what is set shows ----------------------------------------------------------------------------


async def test_what_an_admin_sets_is_what_the_widget_shows(stage, browser, ada):
    path, page = await here(stage), browser(ada)
    seen = await page.look(path)
    assert seen.status == 200
    sent = form_of(
        seen,
        name=" Front door ",
        color="#ABCDEF",
        line_color="#112233",
        launcher="Ask us",
        greeting="Ahoj!\r\nHow can we help?",
        suggestions=" Where is my parcel? \r\n\r\nCan I return it?",
        language="ar",
        sites="HTTPS://Shop.Example.org/\r\nhttp://localhost:8080\nhttps://shop.example.org",
    )
    saved = await page.send(path, sent)
    assert (saved.status, saved.headers["Location"]) == (303, f"/teams/{stage.team_id}/{path}")
    row = await widget(stage)
    assert (row.name, row.color, row.line_color, row.launcher) == ("Front door", "#abcdef", "#112233", "Ask us")
    assert (row.greeting, row.language, row.version) == ("Ahoj!\nHow can we help?", "ar", 1)
    assert json.loads(row.suggestions) == ["Where is my parcel?", "Can I return it?"]
    assert json.loads(row.sites) == ["https://shop.example.org", "http://localhost:8080"]
    customer = await stage.customer()
    look = (await customer.heard.wait_for("conversation_opened"))["widget"]
    assert (look["color"], look["line_color"], look["launcher"]) == ("#abcdef", "#112233", "Ask us")
    assert look["suggestions"] == ["Where is my parcel?", "Can I return it?"]
    assert (look["greeting"], look["language"]) == ("Ahoj!\nHow can we help?", "ar")
    frame = await browser(None).look(f"/widget/{stage.widget_key}")
    assert frame.has('<html lang="ar" dir="rtl">') and frame.says("Ahoj!")
    launcher = await browser(None).look(f"/launcher/{stage.widget_key}")
    assert '{"color": "#abcdef", "launcher": "Ask us"}' in launcher.text
    assert launcher.headers["Content-Type"].startswith("text/javascript")
    assert await kinds(stage) == ["widget_changed"]
    assert (await page.look("audit/")).says("changed the widget Front door")


async def test_what_is_left_empty_is_the_assistants(stage, browser, ada):
    await stage.set_assistant(greeting="I am Tilly.", color="#0b6e6e")
    path = await here(stage)
    sent = form_of(await browser(ada).look(path), color="#123456", color_same="1", line_color="#654321", line_color_same="1")
    await browser(ada).send(path, sent)
    row = await stage.look(lambda: widgets.find(stage.widget_key))
    assert (row.color, row.line_color) == ("", "")
    look = widgets.look(row)
    assert (look["greeting"], look["color"], look["line_color"]) == ("I am Tilly.", "#0b6e6e", "#0b6e6e")
    await put(stage, color="#123456")
    assert widgets.look(await stage.look(lambda: widgets.find(stage.widget_key)))["line_color"] == "#123456"


async def test_a_new_widget_has_a_key_of_its_own_and_a_form_sent_many_times_makes_one(stage, browser, ada):
    path = f"assistants/{stage.assistant_id}/widgets/"
    sent = {"name": "Blog", "widget_id": new_id()}
    answers = await asyncio.gather(*(browser(ada).send(path, sent) for _ in range(5)))
    assert {(seen.status, seen.headers["Location"]) for seen in answers} == {
        (303, f"/teams/{stage.team_id}/{path}{sent['widget_id']}/")
    }
    made = await stage.look(lambda: Widget.get_by_id(sent["widget_id"]))
    page = await browser(ada).look(answers[0].headers["Location"])
    assert page.has(f"data-widget=&#34;{made.key}&#34;") and len(made.key) >= 20 and made.key != stage.widget_key
    assert await kinds(stage) == ["widget_added"]
    customer = await stage.customer(key=made.key)
    await customer.write("Hello?")
    listed = await browser(ada).look(path)
    assert listed.says("Blog") and listed.says("Shop") and listed.says(made.key) and listed.says("Not seen yet")


@ON_ONE
async def test_a_wrong_name_for_a_new_widget_is_told_beside_it(stage, browser, ada):
    for name, words in ((" ", "Please fill this in."), ("x" * 81, "this has 81"), ("a\nb", "one line")):
        for headers in ({}, HTMX):
            seen = await browser(ada).send(f"assistants/{stage.assistant_id}/widgets/", {"name": name}, headers=headers)
            assert seen.status == 422 and words in beside(seen, "new-name-error") and seen.has("<html") is (not headers)
    await stage.make(lambda: [Widget.create(assistant=stage.assistant_id, name=str(at), key=new_id()) for at in range(99)] and None)
    seen = await browser(ada).send(f"assistants/{stage.assistant_id}/widgets/", {"name": "One more"})
    assert seen.status == 409 and "at most 100" in beside(seen, "new-name-error") and seen.has('value="One more"')


@ON_ONE
async def test_each_fault_stands_beside_its_field_and_what_was_typed_stays(stage, browser, ada):
    path, long = await here(stage), "x" * 81
    for field, text, words in (
        ("name", "", "Please fill this in."),
        ("color", "red", "Choose a colour."),
        ("line_color", "#12345", "Choose a colour."),
        ("launcher", "x" * 41, "At most 40 characters"),
        ("greeting", "x" * 1001, "At most 1,000 characters"),
        ("greeting", "a\x00b", "NUL"),
        ("suggestions", f"Fine?\n{long}", "Line 2: at most 80 characters, please; this has 81."),
        ("suggestions", "a\nb\nc\nd\ne", "At most 4 suggestions, please; these are 5."),
        ("language", "tlh", "Choose one of these."),
        ("sites", "https://fine.example\nfine.example\nhttps://a.example/shop", "Line 2: begin with https:// or http://."),
        ("sites", "https://a.example/shop", "Line 1: leave out what comes after https://a.example."),
        ("sites", "https://a.example; script-src *", "Line 1: that is no address of a site."),
        ("sites", "https://a.example'; x", "Line 1: that is no address of a site."),
        ("sites", "https://*.org", "Line 1: after *. write a domain"),
        ("sites", "\n".join(f"https://s{at}.example" for at in range(51)), "At most 50 sites, please; these are 51."),
    ):
        for headers in ({}, HTMX):
            sent = form_of(await browser(ada).look(path), **{"launcher": "Typed"} | {field: text})
            seen = await browser(ada).send(path, sent, headers=headers)
            assert seen.status == 422, (field, text)
            assert words in beside(seen, f"{field}-error"), (field, text, beside(seen, f"{field}-error"))
            assert seen.has("<html") is (not headers)
            assert field == "launcher" or seen.has('value="Typed"')
            assert (hidden(seen, "began"), hidden(seen, "version")) == (sent["began"], sent["version"])
    both = await browser(ada).send(path, form_of(await browser(ada).look(path), sites="https://a.example/shop\nx"))
    assert beside(both, "sites-error").count("Line ") == 2
    assert (await widget(stage)).version == 0 and await kinds(stage) == []


@pytest.mark.parametrize(
    ("line", "origin"),
    [
        ("https://shop.example.org/", "https://shop.example.org"),
        ("HTTPS://SHOP.example.org:443", "https://shop.example.org"),
        ("http://shop.example.org:80/", "http://shop.example.org"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://*.Example.org", "https://*.example.org"),
        ("https://127.0.0.1:3000", "https://127.0.0.1:3000"),
    ],
)
def test_a_site_is_written_as_browsers_write_its_origin(line: str, origin: str) -> None:
    assert sites.origin_of(line) == origin
    assert sites.origin_of(origin) == origin
    assert sites.policy([origin]) == f"'self' {origin}"


@pytest.mark.parametrize(
    "line",
    ["", "x", "ftp://x.org", "https://", "https://a b", "https://a;b", "https://a,b", "https://*", "https://a.*.org", "//x.org",
     "https://u:p@x.org", "https://x.org?", "https://x.org#a", "https://x.org\\a", "https://x%0d%0a", "https://[::1]", "null",
     "https://x.org:99999", "javascript://x.org/%0aalert(1)", "https://" + "x" * 400, "https://*.127.0.0.1", "https://x..org"],
)  # fmt: skip
def test_what_is_no_origin_is_refused_and_never_gets_into_a_policy(line: str) -> None:
    with pytest.raises(sites.NoSite):
        sites.origin_of(line)
    assert sites.policy([line]) == "'self'"


@pytest.mark.parametrize(
    ("site", "origin", "may"),
    [
        ("https://shop.example", "https://shop.example", True),
        ("https://shop.example", "http://shop.example", False),
        ("https://shop.example", "https://shop.example:8443", False),
        ("https://shop.example", "https://shop.example.evil.example", False),
        ("https://*.shop.example", "https://www.shop.example", True),
        ("https://*.shop.example", "https://a.b.shop.example", True),
        ("https://*.shop.example", "https://shop.example", False),
        ("https://*.shop.example", "https://evilshop.example", False),
        ("https://*.shop.example", "https://evil.example/.shop.example", False),
        ("https://*.shop.example:8443", "https://www.shop.example:8443", True),
        ("https://*.shop.example", "https://www.shop.example:8443", False),
        ("https://*.shop.example", "http://www.shop.example", False),
        ("https://shop.example", "null", False),
    ],
)
def test_a_site_allows_its_own_origin_and_a_star_those_below_it(site: str, origin: str, may: bool) -> None:
    assert sites.allowed([site], origin) is may


# --- the key --------------------------------------------------------------------------------------


async def test_a_rotated_key_turns_new_visitors_away_and_lets_running_chats_go_on(stage, browser, ada):
    customer = await stage.customer()
    await customer.write("Hello?")
    path, old = await here(stage), stage.widget_key
    asked = await browser(ada).look(f"{path}rotate")
    assert asked.status == 200 and asked.says("take no new visitors") and hidden(asked, "key") == old
    answers = await asyncio.gather(*(browser(ada).send(f"{path}rotate", {"key": old}) for _ in range(5)))
    assert {seen.status for seen in answers} == {303}
    row = await widget(stage)
    assert row.key != old and row.former_key == old and await kinds(stage) == ["widget_key_rotated"]
    assert (await browser(ada).look(path)).has(f"data-widget=&#34;{row.key}&#34;")

    await customer.write("Are you still there?")
    frame = await browser(None).look(f"/widget/{old}")
    assert frame.status == 200 and f'"key": "{old}"' in frame.text  # the browser finds its token under this key
    again = Customer(stage.url)
    stage.people.append(again)
    await again.arrive(old, customer.token)
    assert [line["text"] for line in (await again.history()) if line["author"] == "customer"] == [
        "Hello?",
        "Are you still there?",
    ]
    stranger = Customer(stage.url)
    with pytest.raises(Exception):  # noqa: B017 - the library's own
        await stranger.connect({"protocol": 1, "widget": old, "token": None})
    assert stranger.refusal["data"]["code"] == "unknown_widget"
    await (await stage.customer(key=row.key)).write("Hello by the new key.")
    await browser(ada).send(f"{path}rotate", {"key": row.key})
    assert (await browser(None).look(f"/widget/{old}")).status == 404


async def test_a_key_of_another_widget_rotates_nothing(stage, browser, ada):
    path = await here(stage)
    for key in ("", "nowhere", "a\x00b", "x" * 5000):
        assert (await browser(ada).send(f"{path}rotate", {"key": key})).status == 303
    assert (await widget(stage)).key == stage.widget_key and await kinds(stage) == []


# --- two admins -----------------------------------------------------------------------------------


async def test_the_later_of_two_saves_is_told_field_by_field_and_loses_nothing(stage, browser, ada):
    otto = await stage.member("Otto", role="admin")
    path = await here(stage)
    for headers in ({}, HTMX):
        await put(stage, name="Shop", launcher="", greeting="", color="", sites="[]")
        mine, theirs = await browser(ada).look(path), await browser(otto).look(path)
        saved = await browser(otto).send(path, form_of(theirs, name="Otto's", launcher="Otto asks", sites="https://otto.example"))
        assert saved.status == 303
        told = await browser(ada).send(path, form_of(mine, name="Ada's", greeting="Ada greets"), headers=headers)
        assert told.status == 409 and told.has("<html") is (not headers)
        assert beside(told, "name-changed").startswith("Otto changed this meanwhile, to: Otto's")
        for name in ("launcher", "sites"):
            assert beside(told, f"{name}-changed") == "Otto changed this meanwhile; you had not, so it shows what they saved."
        assert not told.has('id="greeting-changed"')
        assert told.has('value="Ada&#39;s"') and told.has('value="Otto asks"') and told.says("Ada greets")
        assert (await browser(ada).send(path, form_of(told))).status == 303
        row = await widget(stage)
        assert (row.name, row.launcher, row.greeting) == ("Ada's", "Otto asks", "Ada greets")
        assert json.loads(row.sites) == ["https://otto.example"]


async def test_of_many_saves_from_one_page_one_goes_through_and_the_others_are_told(stage, browser, ada):
    path = await here(stage)
    page = await browser(ada).look(path)
    answers = await asyncio.gather(*(browser(ada).send(path, form_of(page, name=f"Name {at}")) for at in range(8)))
    assert sorted(seen.status for seen in answers) == [303] + [409] * 7
    assert (await widget(stage)).version == 1 and await kinds(stage) == ["widget_changed"]


async def test_a_save_sent_twice_is_one_change_and_nothing_changed_is_none(stage, browser, ada):
    path = await here(stage)
    page = await browser(ada).look(path)
    assert (await browser(ada).send(path, form_of(page))).status == 303
    answers = await asyncio.gather(*(browser(ada).send(path, form_of(page, launcher="Ask")) for _ in range(3)))
    assert {seen.status for seen in answers} == {303}
    assert (await widget(stage)).version == 1 and await kinds(stage) == ["widget_changed"]


@ON_ONE
async def test_a_form_that_lies_about_what_it_showed_breaks_nothing(stage, browser, ada):
    path = await here(stage)
    await put(stage, version=3)
    for began in ("", "x", ":", "name:1 name:2", ":" * 30_000, "name: sites:"):
        for version in ("", "0", "-1", "9" * 40, "²", "x"):
            seen = await browser(ada).send(path, {**FIELDS, "name": "Mine", "began": began, "version": version})
            assert seen.status == 409 and seen.has('value="Mine"')
    assert (await widget(stage)).name == "Shop"


# --- where it is seen -----------------------------------------------------------------------------


async def visit(stage: Stage, site: str, door: str = "widget", **headers: str) -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{stage.url}/{door}/{stage.widget_key}", headers={"Referer": site, **headers}) as response,
    ):
        return response.status, await response.text(), response.headers["Content-Security-Policy"].rpartition("frame-ancestors ")[2]


async def test_the_page_says_where_the_widget_was_seen_and_adds_the_site_with_one_click(stage, browser, ada):
    path = await here(stage)
    assert (await browser(ada).look(path)).says("Not seen yet.")
    assert (await visit(stage, "https://shop.example/"))[0] == 200
    await wait_until(lambda: seen_on(stage, "https://shop.example"), what="the site is noted")
    assert (await browser(ada).look(path)).says("Last seen on https://shop.example just now : allowed.")
    await put(stage, sites='["https://other.example"]', last_seen_at=now() - 3 * 60_000)
    page = await browser(ada).look(path)
    assert page.says("Last seen on https://shop.example 3 minutes ago : not allowed.")
    assert (await browser(ada).look(f"assistants/{stage.assistant_id}/widgets/")).says("3 minutes ago , not allowed")
    answers = await asyncio.gather(*(browser(ada).send(f"{path}allow", {"site": hidden(page, "site")}) for _ in range(3)))
    assert {seen.status for seen in answers} == {303}
    assert json.loads((await widget(stage)).sites) == ["https://other.example", "https://shop.example"]
    assert (await browser(ada).look(path)).says(": allowed.") and await kinds(stage) == ["widget_changed"]


async def test_adding_the_site_keeps_what_is_typed_in_the_form(stage, browser, ada):
    path = await here(stage)
    await put(stage, sites='["https://a.example"]', last_site="https://b.example", last_seen_at=now())
    page = await browser(ada).look(path)
    for typed, sites_then in (
        ("https://a.example", "https://a.example\nhttps://b.example"),
        ("https://c.example", "https://c.example\nhttps://b.example"),
    ):
        await put(stage, sites='["https://a.example"]')
        sent = {**form_of(page, greeting="Half a sen", sites=typed), "site": "https://b.example"}
        seen = await browser(ada).send(f"{path}allow", sent, headers=HTMX)
        assert seen.status == 200 and seen.says("Half a sen") and not seen.has("<html")
        assert beside_text(seen, "sites") == sites_then
        assert json.loads((await widget(stage)).sites) == ["https://a.example", "https://b.example"]
        assert (await widget(stage)).greeting == ""
    saved = await browser(ada).send(path, {**form_of(seen, greeting="Half a sentence.")})
    assert saved.status == 303


def beside_text(seen: Seen, name: str) -> str:
    return html.unescape(re.search(rf'<textarea id="{name}"[^>]*>\n(.*?)</textarea>', seen.text, re.S)[1])


async def seen_on(stage: Stage, site: str) -> bool:
    return (await widget(stage)).last_site == site


async def test_a_site_that_is_not_allowed_reads_so_and_is_noted_too(stage):
    await put(stage, sites='["https://shop.example", "https://*.shop.example"]')
    status, text, ancestors = await visit(stage, "https://evil.example/page")
    assert (status, ancestors) == (403, "*") and "This chat may not be used on this site." in text
    assert stage.widget_key not in text
    await wait_until(lambda: seen_on(stage, "https://evil.example"), what="the refused site is noted")
    for site in ("https://shop.example/", "https://www.shop.example/a", f"{stage.url}/console", "", "null", "::"):
        status, _, ancestors = await visit(stage, site)
        assert (status, ancestors) == (200, "'self' https://shop.example https://*.shop.example"), site
    # Whoever follows a link opens the chat in a tab of its own: no site carries it.
    assert (await visit(stage, "https://mail.example/", **{"Sec-Fetch-Dest": "document"}))[0] == 200
    await put(stage, sites='["https://a.example; script-src *", "x"]')
    assert (await visit(stage, ""))[2] == "'self'"


async def test_however_many_visit_it_is_noted_once_a_minute(stage):
    key, before = stage.widget_key, now()
    await asyncio.gather(*(visit(stage, f"https://s{at}.example/", door) for at in range(10) for door in ("widget", "launcher")))
    await wait_until(lambda: was_seen(stage), what="a site is noted")
    first = (await widget(stage)).last_site
    row = await stage.look(lambda: widgets.find(key))
    for at in range(5):
        await stage.handoff.database.write("x", widgets.note_seen, row.id, row.team_id, f"https://t{at}.example")
    row = await widget(stage)
    assert row.last_site == first and row.last_seen_at >= before and row.version == 0
    await put(stage, last_seen_at=now() - 61_000)
    await asyncio.gather(
        *(
            stage.handoff.database.write(str(at), widgets.note_seen, row.id, stage.team_id, f"https://t{at}.example")
            for at in range(5)
        )
    )
    assert (await widget(stage)).last_site.startswith("https://t")
    await visit(stage, "https://late.example/")
    assert (await widget(stage)).last_site.startswith("https://t")


async def was_seen(stage: Stage) -> bool:
    return (await widget(stage)).last_site is not None


@ON_ONE
async def test_what_is_no_origin_is_not_noted(stage):
    for lie in ("https://<script>.example/", "javascript:alert(1)", "x" * 8000, "https://a.example;b", "data:,x", "https://[::1]/"):
        await visit(stage, lie)
    await visit(stage, "https://fine.example/")
    await wait_until(lambda: seen_on(stage, "https://fine.example"), what="the one that is a site")


async def test_admins_hear_that_something_changed_and_not_what(stage, browser, ada):
    cleo = await stage.agent("Cleo")
    path = await here(stage)
    await browser(ada).send(path, form_of(await browser(ada).look(path), launcher="Ask"))
    assert await cleo.heard.wait_for("widgets_changed") == {"team_id": stage.team_id}
    await visit(stage, "https://shop.example/")
    await wait_until(lambda: len(cleo.heard.named("widgets_changed")) == 2, what="the site was new")


# --- who may, and how much it costs ---------------------------------------------------------------


async def test_members_read_and_change_nothing_and_foreign_ids_are_not_there(stage, browser, ada, ben):
    other, foreign_assistant, _ = await found_team(stage, "Harbour")
    foreign = await stage.look(lambda: Widget.get(Widget.assistant == foreign_assistant).id)
    path, mine = await here(stage), (await widget(stage)).id
    before = await stage.look(lambda: list(Widget.select().order_by(Widget.id).dicts()))
    base = f"assistants/{stage.assistant_id}/widgets/"
    for action, fields in (("", FIELDS), ("allow", {"site": "https://x.example"}), ("rotate", {"key": stage.widget_key})):
        for person, place, status in (
            (ben, f"{path}{action}", 403),
            (ada, f"{base}{foreign}/{action}", 404),
            (ada, f"{base}{new_id()}/{action}", 404),
            (ada, f"assistants/{foreign_assistant}/widgets/{mine}/{action}", 404),
            (ada, f"/teams/{other}/assistants/{foreign_assistant}/widgets/{foreign}/{action}", 404),
        ):
            assert (await browser(person).send(place, fields)).status == status, (action, place)
    assert (await browser(ben).send(base, {"name": "X"})).status == 403
    assert await stage.look(lambda: list(Widget.select().order_by(Widget.id).dicts())) == before
    for place in (base, path, f"{path}rotate"):
        seen = await browser(ben).look(place)
        assert seen.status == 200 and seen.says("ask Ada.")
        assert not re.search("widget-save|add-widget-button|rotate-button|allow-site", seen.text)
    assert (await browser(ben).look(path)).has("data-widget=")


async def test_widgets_of_an_archived_assistant_are_there_to_read(stage, browser, ada):
    await stage.set_assistant(archived_at=now())
    for place in (await here(stage), f"assistants/{stage.assistant_id}/widgets/"):
        seen = await browser(ada).look(place)
        assert seen.status == 200 and seen.says("Tilly is archived")


async def test_a_list_of_a_hundred_asks_no_more_than_one_of_three(stage, browser, ada):
    async def look() -> None:
        assert (await browser(ada).look(f"assistants/{stage.assistant_id}/widgets/")).status == 200

    async def have(count: int) -> None:
        def make() -> None:
            present = Widget.select().where(Widget.assistant == stage.assistant_id).count()
            for at in range(present, count):
                Widget.create(
                    assistant=stage.assistant_id, name=f"W{at}", key=new_id(), last_site="https://a.example", last_seen_at=1
                )

        await stage.make(make)

    await have(3)
    await look()
    few = len(await selects(stage, look))
    await have(100)
    assert len(await selects(stage, look)) == few
    seen = await browser(ada).look(f"assistants/{stage.assistant_id}/widgets/")
    assert seen.text.count("data-widget-id=") == 100


@ON_ONE
async def test_texts_are_inert_on_every_page_and_in_the_launcher(stage, browser, ada):
    evil = "</script><script>alert(1)</script>\u2028'\"><img src=x onerror=alert(1)>"
    await put(
        stage,
        name=evil[:80],
        launcher=evil,
        greeting=evil,
        suggestions=json.dumps([evil]),
        last_site="https://x.example",
        last_seen_at=now(),
    )
    await stage.make(lambda: Assistant.update(greeting=evil).execute())
    path = await here(stage)
    for place in (path, f"{path}rotate", f"assistants/{stage.assistant_id}/widgets/", f"/widget/{stage.widget_key}"):
        seen = await browser(ada).look(place)
        assert seen.status == 200 and not seen.has("<script>alert") and not seen.has("<img src=x"), place
    launcher = await browser(ada).look(f"/launcher/{stage.widget_key}")
    assert launcher.text.isascii() and launcher.text.count("\n") == 0
    assert (await browser(ada).look("/launcher/nowhere")).status == 404
