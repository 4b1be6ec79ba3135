"""An account: its name, its password, and where its user is signed in."""

import asyncio
import time

import pytest

from handoff import accounts, identity
from handoff.accounts import password_fault
from handoff.browsers import browser_name
from handoff.models import Audit, Session
from tests.accounts import HTMX, PASSWORD, NewBrowser, email_of, new_browser, user_of, with_password
from tests.cast import Stage
from tests.waiting import wait_until

__all__ = ["new_browser"]
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NEW = "quiet harbour seven lamps"


@pytest.fixture
async def ada(stage: Stage):
    return await with_password(stage, await stage.member("Ada", role="owner"))


async def seat_of(stage: Stage, cookie: str, person):
    """A live socket of that session."""
    other = type(person)(stage.url)
    stage.people.append(other)
    other.cookie = cookie
    return await other.sit_down()


async def kinds(stage: Stage) -> list[str]:
    return await stage.look(lambda: [line.kind for line in Audit.select().order_by(Audit.id)])


async def is_signed_in(browser) -> bool:
    return (await browser.look("/account/")).status == 200


def change(present: str = PASSWORD, new: str = NEW, again: str | None = None) -> dict[str, str]:
    return {"present_password": present, "new_password": new, "new_password_again": new if again is None else again}


async def test_a_user_changes_their_name_and_the_fault_stands_beside_the_field(stage: Stage, ada, new_browser: NewBrowser):
    browser = await new_browser(ada)
    assert (await browser.send("/account/name", {"name": "  Ada Byron "})).location == "/account/"
    assert (await user_of(stage, ada)).name == "Ada Byron"
    for name, words in (("", "Please fill this in."), ("x" * 81, "At most 80 characters"), ("a\nb", "one line")):
        refused = await browser.send("/account/name", {"name": name})
        assert refused.status == 422
        assert words in refused.words, name
    partial = await browser.send("/account/name", {"name": "<b>Ada</b>"}, headers=HTMX)
    assert partial.status == 200
    assert "<html" not in partial.text
    assert "&lt;b&gt;Ada&lt;/b&gt;" in partial.text


async def test_a_new_password_ends_the_other_sessions_and_their_sockets_within_a_second(stage: Stage, ada, new_browser):
    here, there = await new_browser(ada), await new_browser(ada)
    mine, other = await seat_of(stage, here.cookie, ada), await seat_of(stage, there.cookie, ada)
    await other.do("watch", assistant_id=stage.assistant_id)
    assert (await here.send("/account/password", change())).status == 303
    acknowledged = time.monotonic()
    await wait_until(lambda: not other.socket.connected, 5, "the other session's socket closes")
    assert time.monotonic() - acknowledged < 1
    assert not await is_signed_in(there)
    assert await is_signed_in(here)
    assert "ok" in await mine.ask("watch", assistant_id=stage.assistant_id)
    email = await email_of(stage, ada)
    assert (await there.sign_in(email)).status == 403
    assert (await there.sign_in(email, NEW)).status == 303
    assert "password_changed" in await kinds(stage)


async def test_a_command_that_is_under_way_when_the_password_changes_is_refused(stage: Stage, ada, new_browser):
    """The socket may still be there when the change is acknowledged; what it asks for is refused all the same (I10)."""
    here, there = await new_browser(ada), await new_browser(ada)
    session = await stage.look(lambda: identity.session_of(there.cookie).session_id)
    await here.send("/account/password", change())
    with pytest.raises(identity.SignedOut):
        await stage.handoff.database.write(ada.user_id, accounts.rename, session, "Eve")
    with pytest.raises(identity.SignedOut):
        await stage.handoff.database.write(ada.user_id, accounts.end_other_sessions, session)


async def test_a_sign_in_with_the_old_password_that_was_being_checked_meanwhile_gets_no_session(stage: Stage, ada, new_browser):
    here = await new_browser(ada)
    old_hash = (await user_of(stage, ada)).password_hash
    await here.send("/account/password", change())
    with pytest.raises(identity.WrongPassword):
        await stage.handoff.database.write(ada.user_id, identity.start_session, ada.user_id, old_hash, "", 14)


async def test_a_password_that_was_right_when_it_was_checked_and_is_not_any_more_changes_nothing(stage: Stage, ada, new_browser):
    here = await new_browser(ada)
    session = (await stage.look(lambda: identity.session_of(here.cookie))).session_id
    old_hash = (await user_of(stage, ada)).password_hash
    await here.send("/account/password", change())
    with pytest.raises(identity.WrongPassword):
        await stage.handoff.database.write(ada.user_id, accounts.change_password, session, old_hash, "stolen")
    assert (await user_of(stage, ada)).password_hash != "stolen"


async def test_of_two_password_changes_from_the_same_old_one_one_counts(stage: Stage, ada, new_browser):
    here, there = await new_browser(ada), await new_browser(ada)
    answers = await asyncio.gather(
        here.send("/account/password", change(new=NEW + " one")), there.send("/account/password", change(new=NEW + " two"))
    )
    assert sorted(answer.status for answer in answers)[0] == 303
    assert [answer.status for answer in answers].count(303) == 1
    assert [await is_signed_in(here), await is_signed_in(there)].count(True) == 1


@ON_ONE
async def test_a_password_that_will_not_do_is_refused_in_words(stage: Stage, ada, new_browser):
    browser, email = await new_browser(ada), await email_of(stage, ada)
    cases = [
        (change(present=""), "Type the password that you use now."),
        (change(present="wrong password"), "That is not your present password."),
        (change(new="short"), "Use at least 12 characters"),
        (change(new="x" * 401), "At most 400 characters"),
        (change(new=email.upper()), "This is your e-mail address"),
        (change(new="Password1234!"), "one of the most common passwords"),
        (change(again=NEW + "x"), "These two are not the same"),
        ({}, "Type the password that you use now."),
    ]
    for fields, words in cases:
        refused = await browser.send("/account/password", fields)
        assert refused.status == 422, fields
        assert words in refused.words, fields
        assert NEW not in refused.text
        assert PASSWORD not in refused.text
    assert await is_signed_in(browser)
    assert "password_changed" not in await kinds(stage)


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "P@ssw0rd1234",
        "123456789012",
        "qwertyuiopas",
        "aaaaaaaaaaaa",
        "letmeinletmein",
        "Welcome12345",
        "ada@tidewater.example",
        "ADA@tidewater.example1",
    ],
)
def test_common_passwords_are_refused(password: str) -> None:
    assert password_fault(password, "ada@tidewater.example")


@pytest.mark.parametrize("password", [NEW, PASSWORD, "x7#kq!2mvvR9", "Übergrößenträger", "passage of words", "            b c d"])
def test_others_are_not(password: str) -> None:
    assert password_fault(password, "ada@tidewater.example") is None


@ON_ONE
async def test_guessing_the_present_password_is_slowed_down(stage: Stage, ada, new_browser):
    browser, most = await new_browser(ada), stage.handoff.settings.sign_ins_per_minute
    words = [(await browser.send("/account/password", change(present="wrong"))).words for _ in range(most + 1)]
    assert "Too many" not in words[-2]
    assert "Too many" in words[-1]
    assert "Too many" in (await browser.send("/account/password", change())).words


@ON_ONE
async def test_whoever_has_no_password_yet_sets_one(stage: Stage, new_browser):
    ben = await stage.member("Ben")
    browser = await new_browser()
    browser.cookies[identity.COOKIE] = ben.cookie
    assert "Present password" not in (await browser.look("/account/")).words
    assert (await browser.send("/account/password", change(present=""))).status == 303
    assert (await browser.sign_in(await email_of(stage, ben), NEW)).status == 303


async def test_sessions_are_shown_by_browser_with_this_one_marked_and_nobody_elses(stage: Stage, ada, new_browser):
    await with_password(stage, ben := await stage.member("Ben"))
    here, there, bens = await new_browser(), await new_browser(), await new_browser()
    there.agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1 Version/18.5 Mobile Safari/604.1"
    bens.agent = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0"
    for browser, person in ((here, ada), (there, ada), (bens, ben)):
        await browser.sign_in(await email_of(stage, person))
    page = await here.look("/account/")
    assert page.words.count("This one") == 1
    assert "Firefox on Linux This one" in page.words
    assert "Safari on iPhone" in page.words
    assert "Edge on Windows" not in page.words


async def test_ending_one_session_closes_its_sockets_within_a_second_and_no_others(stage: Stage, ada, new_browser):
    here, there, third = await new_browser(ada), await new_browser(ada), await new_browser(ada)
    other, bystander = await seat_of(stage, there.cookie, ada), await seat_of(stage, third.cookie, ada)
    session = (await stage.look(lambda: identity.session_of(there.cookie))).session_id
    assert (await here.send(f"/account/sessions/{session}/end")).status == 303
    acknowledged = time.monotonic()
    await wait_until(lambda: not other.socket.connected, 5, "the ended session's socket closes")
    assert time.monotonic() - acknowledged < 1
    assert bystander.socket.connected
    assert not await is_signed_in(there)
    assert await is_signed_in(third)
    assert (await here.send(f"/account/sessions/{session}/end")).status == 303  # a double click


async def test_ending_all_others_leaves_this_one(stage: Stage, ada, new_browser):
    here, there, third = await new_browser(ada), await new_browser(ada), await new_browser(ada)
    sockets = [await seat_of(stage, browser.cookie, ada) for browser in (there, third)]
    answer = await here.send("/account/sessions/end-others", headers=HTMX)
    assert answer.status == 200
    assert answer.text.count('class="row"') == 1
    acknowledged = time.monotonic()
    await wait_until(lambda: not any(one.socket.connected for one in sockets), 5, "the other sockets close")
    assert time.monotonic() - acknowledged < 1
    assert [await is_signed_in(browser) for browser in (here, there, third)] == [True, False, False]
    assert (await kinds(stage)).count("sessions_ended") == 1


async def test_signing_out_everywhere_ends_this_one_too(stage: Stage, ada, new_browser):
    here, there = await new_browser(ada), await new_browser(ada)
    sockets = [await seat_of(stage, browser.cookie, ada) for browser in (here, there)]
    cookie = here.cookie
    answer = await here.send("/account/sessions/end-all")
    assert (answer.status, answer.location) == (303, "/sign-in")
    assert identity.COOKIE not in here.cookies
    await wait_until(lambda: not any(one.socket.connected for one in sockets), 1, "every socket closes")
    assert await stage.look(lambda: identity.session_of(cookie)) is None
    assert not await is_signed_in(there)


async def test_somebody_elses_session_and_none_are_the_same_answer(stage: Stage, ada, new_browser):
    await with_password(stage, ben := await stage.member("Ben"))
    here, bens = await new_browser(ada), await new_browser(ben)
    session = (await stage.look(lambda: identity.session_of(bens.cookie))).session_id
    one, other = await here.send(f"/account/sessions/{session}/end"), await here.send("/account/sessions/none-such/end")
    assert (one.status, one.text) == (other.status, other.text)
    assert one.status == 404
    assert await is_signed_in(bens)


@ON_ONE
async def test_a_header_of_any_bytes_is_kept_and_shown_as_words(stage: Stage, ada, new_browser):
    email = await email_of(stage, ada)
    browser = await new_browser()
    browser.agent = "Firefox/<script>" + "x" * 1_000
    assert (await browser.sign_in(email)).status == 303
    page = await browser.look("/account/")
    assert "<script>x" not in page.text
    reader, writer = await asyncio.open_connection(*stage.url.removeprefix("http://").split(":"))
    body = f"email={email}&password={PASSWORD}".replace(" ", "+").encode()
    head = (
        f"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    )
    writer.write(head.encode() + b"User-Agent: \xff\xfe Firefox/\r\nConnection: close\r\n\r\n" + body)
    assert (await reader.read()).startswith(b"HTTP/1.1 303")
    writer.close()
    assert await stage.look(lambda: Session.select().where(Session.user == ada.user_id).count()) == 3


@ON_ONE
async def test_nobody_is_sent_to_sign_in_and_htmx_too(stage: Stage, new_browser):
    browser = await new_browser()
    assert (await browser.look("/account/")).location == "/sign-in?next=/account/"
    partial = await browser.look("/account/", headers=HTMX)
    assert (partial.status, partial.headers["HX-Redirect"]) == (401, "/sign-in?next=/account/")


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 Version/18 Safari/605", "Safari on macOS"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 SamsungBrowser/28 Chrome/130 Safari/537", "Samsung Internet on Android"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/141 Safari/537", "Chrome on Windows"),
        ("curl/8.5", "curl"),
        ("", "An unknown browser"),
        ("Something on Linux", "A browser on Linux"),
    ],
)
def test_a_user_agent_becomes_a_few_words(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


# --- one browser, one session ---------------------------------------------------------------------


async def test_signing_in_again_ends_the_session_that_the_browser_held(stage: Stage, ada, new_browser):
    here, there = await new_browser(ada), await new_browser(ada)
    before, socket = here.cookie, await seat_of(stage, here.cookie, ada)
    assert (await here.sign_in(await email_of(stage, ada))).status == 303
    assert here.cookie != before
    await wait_until(lambda: not socket.socket.connected, 5, "the old session's socket closes")
    assert await stage.look(lambda: identity.session_of(before)) is None
    assert await is_signed_in(here) and await is_signed_in(there)


async def test_a_link_does_not_swap_whoever_is_signed_in(stage: Stage, ada, new_browser):
    await with_password(stage, ben := await stage.member("Ben <b>"))
    browser = await new_browser(ada)
    before = browser.cookie
    link = await stage.handoff.database.write(ben.user_id, identity.offer_link, ben.user_id)
    for _ in range(2):  # looking uses nothing up
        asked = await browser.look(f"/sign-in/{link}")
        assert (asked.status, browser.cookie) == (200, before)
        assert "signed in as Ada" in asked.words and "Continue as Ben &lt;b&gt;" in asked.words
        assert link not in asked.text
    refused = await browser.send(f"/sign-in/{link}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (refused.status, browser.cookie) == (403, before)
    assert (await browser.send(f"/sign-in/{link}")).location == "/console"
    assert await stage.look(lambda: identity.session_of(browser.cookie).user_id) == ben.user_id
    assert await stage.look(lambda: identity.session_of(before)) is None
    assert (await browser.send(f"/sign-in/{link}")).status == 403


async def test_a_link_of_ones_own_and_a_dead_one_ask_nothing(stage: Stage, ada, new_browser):
    browser = await new_browser(ada)
    link = await stage.handoff.database.write(ada.user_id, identity.offer_link, ada.user_id)
    before = browser.cookie
    assert (await browser.look(f"/sign-in/{link}")).location == "/console"
    assert await stage.look(lambda: identity.session_of(before)) is None
    assert (await browser.look(f"/sign-in/{link}")).status == 403
    assert await is_signed_in(browser)
