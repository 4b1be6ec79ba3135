"""How the first owner and team come about: by the link of a first start, by the command line, and by sign-up where it is on."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from handoff import founding
from handoff.clock import new_id
from handoff.models import Audit, Member, Outcome, Plan, Seat, Team, User
from handoff.settings import SettingsError, load
from tests.accounts import PASSWORD, Browser
from tests.cast import Stage
from tests.fresh import start
from tests.servers import ROOT, SECRET_KEY

__all__ = ["start"]
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TYPED = {"team": "Harbour Lamps", "name": "Carla", "email": "Carla@Harbour.example", "password": PASSWORD}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


def teams() -> list[str]:
    return [team.name for team in Team.select()]


# --- the link of a first start ----------------------------------------------------------------------


async def test_the_link_makes_the_first_owner_and_team_and_signs_them_in(start, http):
    fresh = await start()
    browser = Browser(http, fresh)
    assert (await browser.look(fresh.path)).status == 200
    sent = await browser.send(fresh.path, TYPED)
    assert sent.status == 303
    assert re.fullmatch(r"/teams/\w+/members/", sent.location)
    page = await browser.look(sent.location)
    assert page.status == 200 and "Harbour Lamps" in page.words and "Carla (you)" in page.words
    member = await fresh.look(lambda: Member.get())
    assert member.role == "owner"
    assert await fresh.look(lambda: Seat.select().where(Seat.member == member.id, Seat.status == "held").count()) == 1
    assert await fresh.look(lambda: Team.get().plan_id) == "free"
    assert await fresh.look(lambda: Outcome.select().count()) > 0
    assert "team_founded" in await fresh.look(lambda: [line.kind for line in Audit.select()])
    again = Browser(http, fresh)
    assert (await again.sign_in("carla@harbour.example")).status == 303


async def test_the_link_works_once(start, http):
    fresh = await start()
    await Browser(http, fresh).send(fresh.path, TYPED)
    for seen in (
        await Browser(http, fresh).look(fresh.path),
        await Browser(http, fresh).send(fresh.path, {**TYPED, "team": "Mine"}),
    ):
        assert seen.status == 410 and "set up already" in seen.words
    assert (await Browser(http, fresh).look("/setup")).status == 404
    assert await fresh.look(teams) == ["Harbour Lamps"]
    later = await start()
    assert later.lines == []


async def test_a_form_sent_twice_sets_up_once_and_signs_in_twice(start, http):
    fresh = await start()
    browser = Browser(http, fresh)
    first, second = [await browser.send(fresh.path, TYPED) for _ in range(2)]
    assert (first.status, first.location) == (second.status, second.location)
    assert await fresh.look(teams) == ["Harbour Lamps"]


async def test_of_twenty_who_set_up_at_once_one_does(start):
    fresh = await start()
    forms = [founding.FoundingTyped(**{**TYPED, "email": f"c{n}@x.org", "team": f"Team {n}"}) for n in range(20)]
    results = await asyncio.gather(
        *(fresh.handoff.database.write(new_id(), founding.set_up, typed, "hash") for typed in forms), return_exceptions=True
    )
    faults = [result for result in results if isinstance(result, Exception)]
    assert [type(fault) for fault in faults] == [founding.AlreadySetUp] * 19
    assert len(await fresh.look(teams)) == 1
    assert await fresh.look(lambda: User.select().count()) == 1


@ON_ONE
async def test_without_the_link_nothing_is_set_up(start, http):
    fresh = await start()
    assert (await Browser(http, fresh).look("/setup")).status == 403
    for path in ("/setup/wrong", "/setup/%00", f"{fresh.path}x", "/setup/%F0%9F%98%80"):
        assert (await Browser(http, fresh).look(path)).status == 404
        assert (await Browser(http, fresh).send(path, TYPED)).status == 404
    assert (await Browser(http, fresh).send(fresh.path, TYPED, headers={"Sec-Fetch-Site": "cross-site"})).status == 403
    assert await fresh.look(teams) == []


@ON_ONE
async def test_a_wrong_field_is_told_beside_it_and_keeps_what_was_typed(start, http):
    fresh = await start(sign_up=True)
    wrong = [
        ("team", " ", "Please fill this in."),
        ("team", "x" * 81, "At most 80 characters"),
        ("name", "one\ntwo", "one line"),
        ("name", "NUL\x00", "NUL"),
        ("email", "carla", "is no e-mail address"),
        ("password", "", "characters"),
        ("password", "short", "characters"),
        ("password", "x" * 401, "characters"),
    ]
    for path in (fresh.path, "/sign-up"):
        for name, value, words in wrong:
            page = await Browser(http, fresh).send(path, {**TYPED, name: value})
            assert page.status == 422, name
            assert words in page.text[page.text.index(f'id="{name}-error"') :].split("</p>")[0]
            kept = "team" if name != "team" else "name"
            assert f'value="{TYPED[kept]}"' in page.text
            assert PASSWORD not in page.text
        everything = await Browser(http, fresh).send(path, {})
        assert all(f'id="{name}-error"' in everything.text for name in TYPED)
    assert await fresh.look(teams) == []


@ON_ONE
async def test_the_first_plan_of_the_operator_is_the_teams_and_a_plan_without_seats_gives_none(start, http):
    fresh = await start(plans={"watching": {"human_agents": 0}, "more": {"human_agents": 3}})
    assert (await Browser(http, fresh).send(fresh.path, TYPED)).status == 303
    assert await fresh.look(lambda: Team.get().plan_id) == "watching"
    assert await fresh.look(lambda: Seat.select().count()) == 0
    assert await fresh.look(lambda: Plan.select().count()) == 2


# --- sign-up --------------------------------------------------------------------------------------


@ON_ONE
async def test_sign_up_is_off_unless_it_is_switched_on(stage: Stage, http):
    assert (await Browser(http, stage).look("/sign-up")).status == 404
    assert (await Browser(http, stage).send("/sign-up", TYPED)).status == 404
    ada = await stage.member("Ada", role="owner")
    assert (await Browser(http, stage, {"handoff_session": ada.cookie}).look("/sign-up")).status == 404
    assert await stage.look(teams) == ["Tidewater"]


async def test_where_it_is_on_anybody_begins_a_team_and_a_user_one_more(open_stage, http):
    stage = await open_stage(sign_up=True)
    browser = Browser(http, stage)
    first, second = [await Browser(http, stage, browser.cookies).send("/sign-up", TYPED) for _ in range(2)]
    assert first.status == 303 and first.location == second.location
    assert sorted(await stage.look(teams)) == ["Harbour Lamps", "Tidewater"]
    taken = await Browser(http, stage).send("/sign-up", {**TYPED, "team": "Other"})
    assert taken.status == 409 and "sign in first" in taken.text[taken.text.index('id="email-error"') :]

    ada = await stage.member("Ada", role="owner")
    hers = Browser(http, stage, {"handoff_session": ada.cookie})
    page = await hers.look("/sign-up")
    assert 'name="password"' not in page.text
    form = {"team": "Second", "team_id": re.search(r'name="team_id" value="(\w+)"', page.text)[1]}
    assert len({(await hers.send("/sign-up", form)).location for _ in range(2)}) == 1
    assert (await hers.send("/sign-up", {"team": " "})).status == 422
    assert sorted(await stage.look(teams)) == ["Harbour Lamps", "Second", "Tidewater"]
    assert "Second" in (await hers.look("/teams/")).words


# --- the command line -----------------------------------------------------------------------------


def run(database_url: str, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    environment = {"HANDOFF_DATABASE_URL": database_url, "HANDOFF_SECRET_KEY": SECRET_KEY, "PATH": ""}
    return subprocess.run(
        [sys.executable, ROOT / "app.py", *words],
        input=f"{password}\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def create_owner(database_url: str, password: str = PASSWORD, **changes: str) -> subprocess.CompletedProcess[str]:
    given = {"email": "Carla@Harbour.example", "name": "Carla", "team": "Harbour Lamps", **changes}
    return run(
        database_url, "create-owner", *(word for name, value in given.items() for word in (f"--{name}", value)), password=password
    )


async def test_an_operator_without_a_browser_makes_an_owner(database_url, start, http):
    made = await asyncio.to_thread(create_owner, database_url)
    assert (made.returncode, "carla@harbour.example owns Harbour Lamps" in made.stdout) == (0, True), made.stderr
    assert PASSWORD not in made.stdout + made.stderr
    fresh = await start()
    assert fresh.lines == []
    browser = Browser(http, fresh)
    assert (await browser.sign_in("carla@harbour.example")).status == 303
    assert "Harbour Lamps" in (await browser.look("/teams/")).words


@ON_ONE
async def test_the_command_says_what_is_wrong_and_makes_nothing(database_url, tmp_path: Path):
    made = await asyncio.to_thread(create_owner, database_url)
    assert made.returncode == 0
    for changes, words in (
        ({}, "signs in with this address already"),
        ({"email": "carla"}, "email: "),
        ({"email": "new@x.org", "password": "short"}, "characters"),
        ({"email": "new@x.org", "team": " "}, "team: "),
    ):
        refused = await asyncio.to_thread(create_owner, database_url, **changes)
        assert refused.returncode == 1 and words in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    with_password = await asyncio.to_thread(run, database_url, "create-owner", "--password", "x")
    assert with_password.returncode == 2


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"smtp_url": "http://mail.example"}, "HANDOFF_SMTP_URL"),
        ({"smtp_url": "smtp://"}, "HANDOFF_SMTP_URL"),
        ({"smtp_url": "smtp://mail.example"}, "HANDOFF_MAIL_FROM"),
        ({"smtp_url": "smtp://mail.example", "mail_from": "nobody"}, "HANDOFF_MAIL_FROM"),
        ({"mail_from": "a@x.org\nBcc: b@x.org"}, "HANDOFF_MAIL_FROM"),
        ({"sign_up": "perhaps"}, "HANDOFF_SIGN_UP"),
    ],
)
def test_a_wrong_setting_is_named(given, name):
    with pytest.raises(SettingsError, match=name):
        load(_env_file=None, secret_key=SECRET_KEY, **given)
