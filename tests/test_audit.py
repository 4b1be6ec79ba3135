"""The audit: every change that an admin may ask about leaves one line, which only the team's admins read."""

import ast
import asyncio
import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from handoff import audit, identity
from handoff.database import Happened
from handoff.models import Audit, Entry, Member, User
from handoff.pages.audit import _lines, inert
from tests.accounts import HTMX, NewBrowser, email_of, new_browser, set_up, with_password
from tests.cast import Stage, found_team
from tests.waiting import wait_until

__all__ = ["new_browser"]
SOURCES = sorted((Path(__file__).parent.parent / "handoff").rglob("*.py"))
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def ada(stage: Stage):
    return await with_password(stage, await stage.member("Ada", role="owner"))


async def fill(stage: Stage, person, count: int, kind: str = "entry_added") -> None:
    def write() -> None:
        for number in range(count):
            audit.note(stage.team_id, person.user_id, kind, name=f"Assistant {number}")

    await stage.make(write)


async def lines(stage: Stage, team_id: str = "") -> list[Audit]:
    return await stage.look(lambda: list(Audit.select().where(Audit.team == (team_id or stage.team_id)).order_by(Audit.id)))


async def rows_of(seen) -> list[list[str]]:
    return list(csv.reader(io.StringIO(seen.text)))


async def test_each_change_leaves_one_line_with_who_and_what(stage: Stage, ada, new_browser: NewBrowser, monkeypatch):
    here, ben = await new_browser(ada), await stage.member("Ben", seat=None)
    customer = await stage.customer()
    await customer.write("Hello?")
    team, one = f"/teams/{stage.team_id}", f"/teams/{stage.team_id}/assistants/{stage.assistant_id}"
    for _ in range(2):  # twice is once
        await here.send(f"{team}/seats/{ben.member_id}/assign")
    for _ in range(2):
        await here.send(f"{team}/seats/{ben.member_id}/release")
    entry = {"question": "Bells?", "answer": "Yes.", "entry_id": "abc"}
    await here.send(f"{one}/entries/", entry)
    await here.send(f"{one}/entries/", entry)
    saved = await stage.look(lambda: Entry.get_by_id("abc").changed_at)
    await here.send(f"{one}/entries/abc/", {**entry, "answer": "No.", "changed_at": str(saved)})
    await here.send(f"{one}/entries/abc/delete")
    await here.send(f"{one}/entries/abc/delete")
    agent = type(ada)(stage.url)
    stage.people.append(agent)
    agent.cookie = here.cookie
    await agent.sit_down()
    for _ in range(2):
        await agent.take_over(customer.conversation_id)
    await set_up(here, monkeypatch)
    await here.send("/sign-out")
    found = [(line.kind, line.user_id == ada.user_id) for line in await lines(stage) if line.user_id != ben.user_id]
    # Ada also signed in once by a link, on the stage.
    assert found == [
        (kind, True)
        for kind in (
            "signed_in",
            "signed_in",
            "seat_assigned",
            "seat_released",
            "entry_added",
            "entry_edited",
            "entry_deleted",
            "taken_over",
            "second_factor_on",
            "signed_out",
        )
    ]
    whole = " ".join(line.about for line in await lines(stage))
    assert "Bells" not in whole
    assert "Hello" not in whole


async def test_a_sign_in_shows_in_every_team_of_the_user_and_in_no_other(stage: Stage, ada, new_browser):
    other, _, _ = await found_team(stage, "Harbour")
    foreign, _, _ = await found_team(stage, "Foreign")
    await stage.make(lambda: Member.create(team=other, user=ada.user_id, role="member"))
    await new_browser(ada)
    assert [line.kind for line in await lines(stage, other)] == ["signed_in"]
    assert json.loads((await lines(stage, other))[0].about) == {"browser": "Firefox on Linux"}
    assert await lines(stage, foreign) == []


async def test_a_failed_sign_in_shows_in_the_teams_of_whose_address_it_was_once_a_minute(
    stage: Stage, ada, new_browser, monkeypatch
):
    ben, stranger = await stage.member("Ben"), await new_browser()
    email, most = await email_of(stage, ada), stage.handoff.settings.sign_ins_per_minute

    async def failures() -> list[tuple[str, str]]:
        return [(line.user_id, line.about) for line in await lines(stage) if line.kind == "sign_in_failed"]

    await asyncio.gather(*(stranger.sign_in(email, "my other password") for _ in range(most)))
    await stranger.sign_in("nobody@tidewater.example", "my other password")
    await wait_until(failures, 5, "the failure is written down")
    assert await stage.handoff.database.write(ada.user_id, identity.note_failure, ada.user_id, stranger.agent) is None
    assert await failures() == [(ada.user_id, '{"browser": "Firefox on Linux"}')]
    monkeypatch.setattr(audit, "now", lambda: identity.now() + identity.FAILED_EVERY)
    await stage.handoff.database.write(ada.user_id, identity.note_failure, ada.user_id, stranger.agent)
    await stage.handoff.database.write(ben.user_id, identity.note_failure, ben.user_id, "")
    assert [user for user, _ in await failures()] == [ada.user_id, ada.user_id, ben.user_id]
    whole = " ".join(line.about for line in await lines(stage))
    assert "my other password" not in whole and "nobody@" not in whole
    here = await new_browser()
    here.cookies[identity.COOKIE] = ada.cookie
    page = await here.look(f"/teams/{stage.team_id}/audit/?kind=sign_in_failed")
    assert "Ada was not let in, because the password or the code was wrong, with Firefox on Linux" in page.words
    csv_file = await here.look(f"/teams/{stage.team_id}/audit/audit.csv?kind=sign_in_failed")
    assert [row[1:4] for row in await rows_of(csv_file)][1:] == [
        [name, await email_of(stage, who), "sign_in_failed"] for name, who in (("Ben", ben), ("Ada", ada), ("Ada", ada))
    ]


async def test_a_wrong_code_is_a_failed_sign_in(stage: Stage, ada, new_browser, monkeypatch):
    await set_up(await new_browser(ada), monkeypatch)
    other = await new_browser()
    await other.sign_in(await email_of(stage, ada))
    assert (await other.send("/sign-in/code", {"code": "000000"})).status == 403
    await wait_until(lambda: _has_failed(stage), 5, "the failure is written down")


async def _has_failed(stage: Stage) -> bool:
    return "sign_in_failed" in [line.kind for line in await lines(stage)]


async def test_what_is_refused_or_rolled_back_leaves_no_line(stage: Stage, ada, new_browser):
    def fails() -> Happened[None]:
        audit.note(stage.team_id, ada.user_id, "seat_assigned")
        raise RuntimeError

    before = len(await lines(stage))
    with pytest.raises(Exception):  # noqa: B017 - whatever the lane makes of it
        await stage.handoff.database.write("x", fails)
    assert len(await lines(stage)) == before


async def test_pages_of_fifty_by_cursor_show_each_line_once(stage: Stage, ada, new_browser):
    here = await new_browser(ada)
    await fill(stage, ada, 120)
    path, seen = f"/teams/{stage.team_id}/audit/", []
    while path:
        page = await here.look(path, headers=HTMX)
        assert "<html" not in page.text
        shown = [part.split(" .")[0].split(" Assistant ")[-1] for part in page.words.split("added an entry to")[1:]]
        seen += shown
        assert page.text.count('class="audit-line"') <= 50
        older = page.text.partition('id="older" href="')[2].partition('"')[0].replace("&amp;", "&")
        path = older
    assert len(seen) == 120
    assert [number.split(".")[0].split(" ")[-1] for number in seen] == [str(number) for number in range(119, -1, -1)]


async def test_a_page_is_one_query_on_an_index_however_many_lines_there_are(stage: Stage, ada):
    await fill(stage, ada, 300)
    await fill(stage, ada, 3, "plan_changed")
    plans = []

    def explain(person: str, kind: str) -> None:
        asked: list[tuple] = []
        here, execute = threading.get_ident(), stage.handoff.database.peewee.execute_sql

        def execute_sql(sql, params=None):
            if threading.get_ident() == here:  # another thread reads what the sweeper asks
                asked.append((sql, params))
            return execute(sql, params)

        stage.handoff.database.peewee.execute_sql = execute_sql
        try:
            audit.lines_of(stage.team_id, person, kind, None, 51)
        finally:
            del stage.handoff.database.peewee.execute_sql
        assert len(asked) == 1
        prefix = "EXPLAIN QUERY PLAN " if stage.handoff.database.embedded else "EXPLAIN "
        if not stage.handoff.database.embedded:
            execute("SET LOCAL enable_seqscan = off")
        plans.append(" ".join(str(row) for row in execute(prefix + asked[0][0], asked[0][1]).fetchall()))

    for person, kind in (("", ""), (ada.user_id, ""), ("", "plan_changed")):
        await stage.look(lambda person=person, kind=kind: explain(person, kind))
    assert all("audit_of_" in plan and "TEMP B-TREE" not in plan for plan in plans), plans


async def test_lines_are_filtered_by_person_and_by_kind(stage: Stage, ada, new_browser):
    here, ben = await new_browser(ada), await stage.member("Ben")
    await fill(stage, ada, 2, "plan_changed")
    await fill(stage, ben, 3, "plan_changed")
    await fill(stage, ben, 4, "seat_assigned")
    path = f"/teams/{stage.team_id}/audit/"
    for query, count in (
        (f"?person={ben.user_id}", 8),
        ("?kind=plan_changed", 5),
        (f"?person={ben.user_id}&kind=plan_changed", 3),
        (f"?person={ada.user_id}&kind=seat_assigned", 0),
        ("?person=%00&kind=%27&before=x", 12),
        ("?before=99999999999999999999", 12),
        ("?before=-1&before=2", 12),
        ("?before=0", 0),
    ):
        page = await here.look(path + query)
        assert (page.status, page.text.count('class="audit-line"')) == (200, count), query
    assert "Nothing here" in (await here.look(path + "?before=0")).words


async def test_only_admins_of_the_team_read_it(stage: Stage, ada, new_browser):
    ben = await with_password(stage, await stage.member("Ben"))
    cleo = await with_password(stage, await stage.member("Cleo", role="admin", seat=None))
    other, _, _ = await found_team(stage, "Harbour")
    bens, cleos, nobody = await new_browser(ben), await new_browser(cleo), await new_browser()
    for page in ("audit/", "audit/audit.csv"):
        path = f"/teams/{stage.team_id}/{page}"
        assert (await cleos.look(path)).status == 200
        assert (await bens.look(path)).status == 403
        assert (await nobody.look(path)).status == 302
        foreign, absent = await cleos.look(f"/teams/{other}/{page}"), await cleos.look(f"/teams/none-such/{page}")
        assert (foreign.status, foreign.text) == (absent.status, absent.text)
        assert foreign.status == 404


async def test_the_csv_holds_every_line_of_the_filter_and_no_formula(stage: Stage, ada, new_browser, monkeypatch):
    monkeypatch.setattr("handoff.pages.audit.CHUNK", 20)
    here = await new_browser(ada)
    await fill(stage, ada, 110)
    evil = '=HYPERLINK("http://evil.example","x")'
    await stage.make(lambda: User.update(name=evil, email="@sum+1").where(User.id == ada.user_id).execute())
    await stage.make(lambda: audit.note(stage.team_id, None, "plan_changed", plan="team", before="free, or\nso"))
    seen = await here.look(f"/teams/{stage.team_id}/audit/audit.csv")
    assert seen.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert seen.headers.get("Transfer-Encoding") == "chunked"
    rows = await rows_of(seen)
    assert rows[0] == ["time", "person", "e-mail", "kind", "what"]
    assert len(rows) == 1 + 1 + 110 + 2
    assert rows[1][1:] == ["Handoff", "", "plan_changed", "changed the plan from free, or\nso to team"]
    assert rows[2][1:] == [f"'{evil}", "'@sum+1", "entry_added", "added an entry to Assistant 109"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    async with here.http.head(
        f"{stage.url}/teams/{stage.team_id}/audit/audit.csv",
        headers={"Cookie": "; ".join(f"{k}={v}" for k, v in here.cookies.items())},
    ) as head:
        assert (head.status, await head.read()) == (200, b"")
    filtered = await rows_of(await here.look(f"/teams/{stage.team_id}/audit/audit.csv?kind=plan_changed"))
    assert len(filtered) == 2


@ON_ONE
async def test_whoever_loses_the_right_while_the_csv_is_read_gets_no_whole_file(stage: Stage, ada, new_browser, monkeypatch):
    monkeypatch.setattr("handoff.pages.audit.CHUNK", 10)
    here = await new_browser(ada)
    await fill(stage, ada, 30)
    read, session = _lines, await stage.look(lambda: identity.session_of(here.cookie).session_id)

    def read_and_end(*asked: Any) -> Any:
        found = read(*asked)
        asyncio.run_coroutine_threadsafe(stage.handoff.database.write("x", identity.sign_out, session), loop).result(5)
        return found

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("handoff.pages.audit._lines", read_and_end)
    with pytest.raises(aiohttp.ClientPayloadError):
        await here.look(f"/teams/{stage.team_id}/audit/audit.csv")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_a_cell_that_could_be_a_formula_gets_a_quote(cell: str) -> None:
    assert inert(cell) == "'" + cell


def test_every_kind_that_is_written_down_has_its_words() -> None:
    """And no kind has words that nobody writes down."""
    noted = {node.value for path in SOURCES for call in calls_of_note(path) for node in call if isinstance(node, ast.Constant)}
    assert noted == set(audit.KINDS)


def calls_of_note(path: Path) -> list[list[ast.expr]]:
    """The kinds that a file notes: the constants in the third argument of `note`, the second of `note_in_teams` and of what
    passes them on."""
    names = {"note": 2, "note_in_teams": 1, "note_seldom": 1, "_note": 1, "_set_archived": 4, "Edit": 1}
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in names and len(node.args) > names[name]:
                kind = node.args[names[name]]
                found.append([kind.body, kind.orelse] if isinstance(kind, ast.IfExp) else [kind])
    return found


@ON_ONE
async def test_names_are_inert_on_the_page(stage: Stage, ada, new_browser):
    here = await new_browser(ada)
    await stage.make(lambda: User.update(name="<img src=x onerror=1>").where(User.id == ada.user_id).execute())
    await stage.make(lambda: audit.note(stage.team_id, ada.user_id, "seat_assigned", name="<script>1</script>{name.__class__}"))
    await stage.make(lambda: audit.note(stage.team_id, ada.user_id, "a_kind_from_later", about="x"))
    page = await here.look(f"/teams/{stage.team_id}/audit/")
    assert "<img src=x" not in page.text
    assert "<script>1" not in page.text
    assert "a kind from later" in page.words
