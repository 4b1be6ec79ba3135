"""The second factor: setting it up, signing in with it, recovery codes, turning it off, and a team that requires it."""

import asyncio
import json
import re
import time

import pytest

from handoff import identity, second_factor
from handoff.errors import Forbidden
from handoff.models import Audit, Session, Team, User
from handoff.second_factor import Secrets
from tests.accounts import HTMX, PASSWORD, NewBrowser, email_of, new_browser, set_up, user_of, with_password
from tests.cast import Agent, Stage
from tests.servers import SECRET_KEY
from tests.waiting import wait_until

__all__ = ["new_browser"]
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE = "/account/second-factor/"


@pytest.fixture
async def ada(stage: Stage):
    return await with_password(stage, await stage.member("Ada", role="owner"))


@pytest.fixture
async def ben(stage: Stage):
    return await with_password(stage, await stage.member("Ben"))


async def first_step(stage: Stage, browser, person) -> None:
    answer = await browser.sign_in(await email_of(stage, person))
    assert (answer.status, answer.location) == (303, "/sign-in/code?next=%2Fconsole")
    assert identity.COOKIE not in browser.cookies


async def is_signed_in(browser) -> bool:
    return (await browser.look("/account/")).status == 200


async def seated(stage: Stage, cookie: str) -> Agent:
    agent = Agent(stage.url)
    stage.people.append(agent)
    agent.cookie = cookie
    return await agent.sit_down()


async def require(stage: Stage, required: bool = True) -> None:
    await stage.make(lambda: Team.update(requires_second_factor=required).where(Team.id == stage.team_id).execute())


async def test_it_counts_once_a_code_was_given_and_the_secret_is_kept_encrypted(stage, ada, new_browser, monkeypatch):
    here, other = await new_browser(ada), await new_browser()
    await here.send(HERE + "begin")
    assert (await user_of(stage, ada)).totp_confirmed_at is None
    assert (await other.sign_in(await email_of(stage, ada))).location == "/console"
    page = await here.look(HERE)
    assert 'src="data:image/svg+xml' in page.text
    secret = re.search(r'id="secret"[^>]*>([^<]+)<', page.text)[1].replace(" ", "")
    await here.send(HERE + "begin")  # a double click shows the same secret
    assert secret in (await here.look(HERE)).text.replace(" ", "")
    kept = (await user_of(stage, ada)).totp_secret
    assert secret not in kept
    assert Secrets(SECRET_KEY).open(kept) == secret
    assert Secrets("another key of sixteen").open(kept) is None
    for code in ("", "000000", "12345", "1234567", "abcdef", "x" * 5_000, "\uff11\uff12\uff13\uff14\uff15\uff16"):
        refused = await here.send(HERE + "confirm", {"code": code})
        assert refused.status in (403, 422), code
        assert "field-error" in refused.text
    assert (await user_of(stage, ada)).totp_confirmed_at is None


@ON_ONE
async def test_a_secret_that_an_older_key_encrypted_is_replaced_at_set_up_and_recovery_codes_still_work(
    stage, ada, new_browser, monkeypatch
):
    here, there = await new_browser(ada), await new_browser()
    foreign = Secrets("another key of sixteen").new()
    await stage.make(lambda: User.update(totp_secret=foreign).where(User.id == ada.user_id).execute())
    _, codes = await set_up(here, monkeypatch)
    await stage.make(lambda: User.update(totp_secret=foreign).where(User.id == ada.user_id).execute())
    await first_step(stage, there, ada)
    assert (await there.send("/sign-in/code", {"code": "123456"})).status == 403
    assert (await there.send("/sign-in/code", {"code": codes[0]})).status == 303


async def test_turning_it_on_shows_ten_codes_once_and_ends_the_other_sessions(stage, ada, new_browser, monkeypatch):
    here, there = await new_browser(ada), await new_browser(ada)
    socket = await seated(stage, there.cookie)
    app, codes = await set_up(here, monkeypatch)
    assert len(set(codes)) == 10
    await wait_until(lambda: not socket.socket.connected, 1, "the other session's socket closes")
    assert [await is_signed_in(browser) for browser in (here, there)] == [True, False]
    user = await user_of(stage, ada)
    assert len(json.loads(user.recovery_hashes)) == 10
    page = await here.look(HERE)
    for code in codes:
        assert code not in page.text
        assert code.replace("-", "") not in user.recovery_hashes
    again = await here.send(HERE + "confirm", {"code": app.later().code()})
    assert again.status == 303
    assert json.loads((await user_of(stage, ada)).recovery_hashes) == json.loads(user.recovery_hashes)


async def test_signing_in_asks_for_a_code_which_works_once(stage, ada, new_browser, monkeypatch):
    app, _ = await set_up(await new_browser(ada), monkeypatch)
    first, second = await new_browser(), await new_browser()
    await first_step(stage, first, ada)
    used = await first.send("/sign-in/code", {"code": app.code()})
    assert (used.status, "used already" in used.words) == (403, True)  # it set the factor up
    code = app.later().code()
    welcome = await first.send("/sign-in/code", {"code": f" {code[:3]} {code[3:]} ", "next": "/account/"})
    assert (welcome.status, welcome.location) == (303, "/account/")
    assert await is_signed_in(first)
    await first_step(stage, second, ada)
    assert (await second.send("/sign-in/code", {"code": code})).status == 403
    assert not await is_signed_in(second)
    early = app.totp.generate_otp(app.time // 30_000 - 1)
    assert (await second.send("/sign-in/code", {"code": early})).status == 403  # an older one than the last used
    assert (await second.send("/sign-in/code", {"code": app.later().code()})).status == 303
    assert await stage.look(lambda: Session.select().where(Session.second_factor_at.is_null(False)).count()) == 3


async def test_of_two_browsers_with_the_same_code_at_once_one_gets_in(stage, ada, new_browser, monkeypatch):
    app, _ = await set_up(await new_browser(ada), monkeypatch)
    browsers = [await new_browser() for _ in range(4)]
    for browser in browsers:
        await first_step(stage, browser, ada)
    code = app.later().code()
    answers = await asyncio.gather(*(browser.send("/sign-in/code", {"code": code}) for browser in browsers))
    assert sorted(answer.status for answer in answers) == [303, 403, 403, 403]


async def test_a_recovery_code_signs_in_once(stage, ada, new_browser, monkeypatch):
    _, codes = await set_up(await new_browser(ada), monkeypatch)
    first, second = await new_browser(), await new_browser()
    await first_step(stage, first, ada)
    assert (await first.send("/sign-in/code", {"code": codes[3].upper().replace("-", " ")})).status == 303
    await first_step(stage, second, ada)
    assert (await second.send("/sign-in/code", {"code": codes[3]})).status == 403
    assert (await second.send("/sign-in/code", {"code": codes[4]})).status == 303
    assert "8 of 10 recovery codes are left" in (await second.look(HERE)).words


async def test_the_first_step_alone_opens_nothing(stage, ada, new_browser, monkeypatch):
    await set_up(await new_browser(ada), monkeypatch)
    browser = await new_browser()
    await first_step(stage, browser, ada)
    step = browser.cookies["handoff_sign_in"]
    browser.cookies[identity.COOKIE] = step
    assert not await is_signed_in(browser)
    agent = Agent(stage.url)
    agent.cookie = step
    with pytest.raises(Exception):  # noqa: B017 - the client's own kind
        await agent.sit_down()
    assert agent.refusal["data"]["code"] == "signed_out"
    followed = await browser.look(f"/sign-in/{step}")  # not a way around: a link asks for the code too
    assert followed.location.startswith("/sign-in/code")
    assert not await is_signed_in(browser)


async def test_a_sign_in_link_asks_for_the_code_too_and_works_once(stage, ada, new_browser, monkeypatch):
    app, _ = await set_up(await new_browser(ada), monkeypatch)
    token = await stage.handoff.database.write(ada.user_id, identity.offer_link, ada.user_id)
    browser, other = await new_browser(), await new_browser()
    assert (await browser.look(f"/sign-in/{token}")).location == "/sign-in/code?next=%2Fconsole"
    assert (await other.look(f"/sign-in/{token}")).status == 403
    assert (await browser.send("/sign-in/code", {"code": app.later().code()})).status == 303
    assert await is_signed_in(browser)


async def test_a_password_change_ends_sign_ins_that_wait_for_their_code(stage, ada, new_browser, monkeypatch):
    here, waiting = await new_browser(ada), await new_browser()
    app, _ = await set_up(here, monkeypatch)
    await first_step(stage, waiting, ada)
    new = "quiet harbour seven lamps"
    fields = {"present_password": PASSWORD, "new_password": new, "new_password_again": new}
    assert (await here.send("/account/password", fields)).status == 303
    refused = await waiting.send("/sign-in/code", {"code": app.later().code()})
    assert (refused.status, "took too long" in refused.words) == (403, True)
    assert not await is_signed_in(waiting)


@ON_ONE
async def test_a_code_that_comes_too_late_or_from_nobody_leads_back(stage, ada, new_browser, monkeypatch):
    await set_up(await new_browser(ada), monkeypatch)
    nobody, late = await new_browser(), await new_browser()
    assert (await nobody.look("/sign-in/code")).location == "/sign-in"
    assert (await nobody.send("/sign-in/code", {"code": "123456"})).status == 403
    await first_step(stage, late, ada)
    assert (await late.look("/sign-in/code")).status == 200
    await stage.make(lambda: Session.update(expires_at=1).where(Session.started_at.is_null()).execute())
    assert (await late.look("/sign-in/code")).location == "/sign-in"


async def test_guessing_codes_is_slowed_down_whatever_the_browser_and_the_right_one_too(stage, ada, new_browser, monkeypatch):
    app, _ = await set_up(await new_browser(ada), monkeypatch)
    one, other = await new_browser(), await new_browser()
    await first_step(stage, one, ada)
    await first_step(stage, other, ada)
    tries = await asyncio.gather(*(one.send("/sign-in/code", {"code": f"00000{digit}"}) for digit in range(6)))
    assert sorted(answer.status for answer in tries) == [403] * 5 + [429]
    assert (await other.send("/sign-in/code", {"code": app.later().code()})).status == 429


async def test_turning_it_off_needs_the_password_and_a_code(stage, ada, new_browser, monkeypatch):
    here = await new_browser(ada)
    app, codes = await set_up(here, monkeypatch)
    socket = await seated(stage, here.cookie)
    for fields, words in (
        ({"present_password": "wrong", "code": codes[0]}, "That is not your present password."),
        ({"present_password": PASSWORD, "code": ""}, "Type the six figures"),
        ({"present_password": PASSWORD, "code": app.code()}, "used already"),
        ({"present_password": PASSWORD, "code": "nnnn-nnnn-nnnn-nnnn"}, "That code is not right"),
    ):
        refused = await here.send(HERE + "off", fields)
        assert refused.status in (403, 422), fields
        assert words in refused.words, fields
    assert (await user_of(stage, ada)).totp_confirmed_at is not None
    assert (await here.send(HERE + "off", {"present_password": PASSWORD, "code": app.later().code()})).status == 303
    user = await user_of(stage, ada)
    assert (user.totp_secret, user.totp_confirmed_at, user.recovery_hashes) == (None, None, "[]")
    await wait_until(lambda: not socket.socket.connected, 1, "the socket closes")
    assert (await (await new_browser()).sign_in(await email_of(stage, ada))).location == "/console"
    assert (await here.send(HERE + "off", {"present_password": PASSWORD, "code": codes[0]})).status == 303  # a double click


async def test_new_recovery_codes_take_the_place_of_the_old(stage, ada, new_browser, monkeypatch):
    here, there = await new_browser(ada), await new_browser()
    app, old = await set_up(here, monkeypatch)
    fields = {"present_password": PASSWORD, "code": app.later().code()}
    shown = await here.send(HERE + "recovery-codes", fields, headers=HTMX)
    new = re.findall(r"\b[a-z2-9]{4}(?:-[a-z2-9]{4}){3}\b", shown.text)
    assert len(set(new) - set(old)) == 10
    await first_step(stage, there, ada)
    assert (await there.send("/sign-in/code", {"code": old[0]})).status == 403
    assert (await there.send("/sign-in/code", {"code": new[0]})).status == 303


# --- a team that requires it ------------------------------------------------------------------------


async def test_a_member_without_one_is_led_to_set_it_up_before_the_teams_pages(stage, ben, new_browser, monkeypatch):
    browser = await new_browser(ben)
    await require(stage)
    for path in ("", "assistants/", f"assistants/{stage.assistant_id}/"):
        led = await browser.look(f"/teams/{stage.team_id}/{path}")
        assert (led.status, led.location) == (303, f"{HERE}?next=/teams/{stage.team_id}/{path}")
    partial = await browser.look(f"/teams/{stage.team_id}/", headers=HTMX)
    assert partial.headers["HX-Redirect"] == f"{HERE}?next=/teams/{stage.team_id}/"
    page = await browser.look(f"{HERE}?next=/teams/{stage.team_id}/")
    assert "Tidewater requires a second factor" in page.words
    await browser.send(HERE + "begin", {"next": f"/teams/{stage.team_id}/"})
    await set_up(browser, monkeypatch)
    assert (await browser.look(f"/teams/{stage.team_id}/")).status == 200


async def test_a_member_without_one_can_neither_watch_nor_take_over_nor_send(stage: Stage, ben, new_browser, monkeypatch):
    customer = await stage.customer()
    await customer.write("Hello?")
    id = customer.conversation_id
    browser = await new_browser(ben)
    agent = await seated(stage, browser.cookie)
    await agent.take_over(id)
    await require(stage)
    for command, payload in (
        ("watch", {"assistant_id": stage.assistant_id}),
        ("open_conversation", {"conversation_id": id}),
        ("take_over", {"conversation_id": id}),
        ("post_message", {"conversation_id": id, "client_id": "c1", "text": "Hello"}),
        ("typing", {"conversation_id": id, "is_typing": True}),
        ("mark_read", {"conversation_id": id, "number": 1}),
        ("add_note", {"conversation_id": id, "client_id": "c2", "text": "Hello"}),
        ("close_conversation", {"conversation_id": id}),
    ):
        assert (await agent.refused(command, **payload))["code"] == "second_factor", command
    await set_up(browser, monkeypatch)
    assert "ok" in await agent.ask("watch", assistant_id=stage.assistant_id)


async def test_an_owner_requires_it_and_watchers_without_one_are_put_out_within_a_second(
    stage: Stage, ada, ben, new_browser: NewBrowser, monkeypatch
):
    here, bens = await new_browser(ada), await new_browser(ben)
    agent = await seated(stage, bens.cookie)
    await agent.do("watch", assistant_id=stage.assistant_id)
    path = f"/teams/{stage.team_id}/security/"
    refused = await here.send(path, {"required": "yes"})
    assert (refused.status, "Set up your own second factor first" in refused.words) == (409, True)
    await set_up(here, monkeypatch)
    mine = await seated(stage, here.cookie)
    assert "1 of 2 members has one. Without one: Ben" in (await here.look(path)).words
    assert (await here.send(path, {"required": "yes"})).status == 303
    acknowledged = time.monotonic()
    await wait_until(lambda: not agent.socket.connected, 5, "Ben's socket closes")
    assert time.monotonic() - acknowledged < 1
    assert mine.socket.connected
    back = await seated(stage, bens.cookie)
    assert (await back.refused("watch", assistant_id=stage.assistant_id))["code"] == "second_factor"
    assert (await here.send(path, {"required": "yes"})).status == 303
    kinds = await stage.look(lambda: [line.kind for line in Audit.select()])
    assert kinds.count("second_factor_required") == 1
    assert (await here.send(path, {"required": "no"})).status == 303
    assert "ok" in await back.ask("watch", assistant_id=stage.assistant_id)


async def test_turning_it_off_shuts_a_requiring_team_until_it_is_on_again(stage, ada, new_browser, monkeypatch):
    here = await new_browser(ada)
    app, _ = await set_up(here, monkeypatch)
    await require(stage)
    assert (await here.look(f"/teams/{stage.team_id}/")).status == 200
    await here.send(HERE + "off", {"present_password": PASSWORD, "code": app.later().code()})
    assert (await here.look(f"/teams/{stage.team_id}/")).status == 303


async def test_only_an_owner_requires_it_and_members_do_not_see_who_lacks_it(stage, ada, ben, new_browser):
    cleo = await with_password(stage, await stage.member("Cleo", role="admin"))
    path = f"/teams/{stage.team_id}/security/"
    admins, bens = await new_browser(cleo), await new_browser(ben)
    assert "Only an owner can change this" in (await admins.look(path)).words
    assert (await admins.send(path, {"required": "yes"})).status == 403
    assert (await bens.look(path)).status == 403
    session = await stage.look(lambda: identity.session_of(admins.cookie).session_id)
    with pytest.raises(Forbidden):  # the operation asks again, whatever the page let through
        await stage.handoff.database.write(stage.team_id, second_factor.require, session, stage.team_id, True)
    assert not await stage.look(lambda: Team.get_by_id(stage.team_id).requires_second_factor)
