"""Invitations: a link that works once, for 72 hours, and says why when it does not; copied, or mailed by a real SMTP server."""

import asyncio
import email
import email.policy
import html
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from handoff import identity, invitations, members, teams
from handoff.clock import new_id
from handoff.errors import NotFound
from handoff.invitations import AlreadyInvited, InvitationGone, InvitationTyped, InvitationUsed
from handoff.models import Audit, Invitation, Member, User
from handoff.people import EmailTaken
from tests.accounts import HTMX, PASSWORD, Browser, Seen, with_password
from tests.cast import Agent, Stage, found_team
from tests.servers import LOOPBACK, free_port

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HOUR = 60 * 60 * 1000

NewBrowser = Callable[..., Browser]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def browser(stage: Stage, http: aiohttp.ClientSession) -> NewBrowser:
    return lambda person=None: Browser(http, stage, {identity.COOKIE: person.cookie} if person else {})


@pytest.fixture
async def ada(stage: Stage) -> Agent:
    return await stage.member("Ada", role="owner")


@pytest.fixture
def invite(stage: Stage, browser: NewBrowser, ada: Agent) -> Callable[..., Awaitable[str]]:
    """`path = await invite("kim@x.org")`: the path of a link that Ada made."""

    async def invite(address: str = "kim@x.org", role: str = "member", by: Agent = ada) -> str:
        page = await browser(by).send(base(stage), {"email": address, "role": role}, headers=HTMX)
        assert page.status == 200, page.words
        return link_in(page, stage)

    return invite


def base(stage: Stage, path: str = "") -> str:
    return f"/teams/{stage.team_id}/invitations/{path}"


def link_in(page: Seen, stage: Stage) -> str:
    found = re.search(rf'value="{re.escape(stage.url)}(/invitations/\w+)"', page.text)
    assert found, page.words
    return found[1]


async def offers(stage: Stage) -> list[Invitation]:
    return await stage.look(lambda: list(Invitation.select().order_by(Invitation.created_at, Invitation.id)))


async def members_of(stage: Stage, team_id: str = "") -> list[tuple[str, str]]:
    rows = (
        Member.select(User.email, Member.role)
        .join(User)
        .where(Member.team == (team_id or stage.team_id), Member.ended_at.is_null())
    )
    return await stage.look(lambda: sorted(rows.tuples()))


NEWCOMER = {"name": "Kim", "password": PASSWORD}


# --- inviting -------------------------------------------------------------------------------------


async def test_an_invited_person_joins_with_a_name_and_a_password(stage, browser, ada, invite):
    path = await invite("Kim@X.org ", "admin")
    kim = browser()
    page = await kim.look(path)
    assert page.status == 200
    assert "Ada invites kim@x.org to the team, as an admin" in page.words
    joined = await kim.send(path, NEWCOMER)
    assert (joined.status, joined.location) == (303, f"/teams/{stage.team_id}/")
    assert (await kim.look(joined.location)).status == 200
    assert ("kim@x.org", "admin") in await members_of(stage)
    kept = await stage.look(lambda: User.get(User.email == "kim@x.org"))
    assert kept.name == "Kim" and kept.password_hash.startswith("$argon2")
    again = browser()
    assert (await again.sign_in("kim@x.org")).status == 303
    lines = await stage.look(lambda: [line.kind for line in Audit.select().where(Audit.team == stage.team_id)])
    assert "member_invited" in lines and "member_joined" in lines


async def test_the_link_is_shown_to_copy_until_it_is_used_and_only_its_hash_is_kept(stage, browser, ada, invite):
    path = await invite()
    for _ in range(2):
        assert link_in(await browser(ada).look(f"/teams/{stage.team_id}/members/"), stage) == path
    (offer,) = await offers(stage)
    assert path.removeprefix("/invitations/") not in str(offer.__data__)
    assert 71 * HOUR < offer.expires_at - offer.created_at <= 72 * HOUR
    await browser().send(path, NEWCOMER)
    assert "kim@x.org" in (await browser(ada).look(f"/teams/{stage.team_id}/members/")).words
    assert path not in (await browser(ada).look(f"/teams/{stage.team_id}/members/")).text


@ON_ONE
async def test_without_javascript_the_form_leads_back_to_the_page_that_shows_the_link(stage, browser, ada):
    sent = await browser(ada).send(base(stage), {"email": "kim@x.org", "role": "member"})
    (offer,) = await offers(stage)
    assert (sent.status, sent.location) == (303, f"/teams/{stage.team_id}/members/#invitation-{offer.id}")
    assert f'id="invitation-{offer.id}"' in (await browser(ada).look(f"/teams/{stage.team_id}/members/")).text


WRONG = [
    ({"email": ""}, "email", "Please fill this in."),
    ({"email": "kim"}, "email", "is no e-mail address"),
    ({"email": "kim@x.org, lee@x.org"}, "email", "is no e-mail address"),
    ({"email": "kim@x.org\nBcc: all@x.org"}, "email", "is no e-mail address"),
    ({"email": "kim\x00@x.org"}, "email", "NUL"),
    ({"email": "k" * 250 + "@x.org"}, "email", "At most 254 characters"),
    ({"role": "king"}, "role", "Choose one of these."),
    ({"role": ""}, "role", "Choose one of these."),
]


@ON_ONE
async def test_a_wrong_field_is_told_beside_it_and_keeps_what_was_typed(stage, browser, ada):
    for wrong, name, words in WRONG:
        sent = {"email": "typed@x.org", "role": "admin", **wrong}
        for headers in ({}, HTMX):
            page = await browser(ada).send(base(stage), sent, headers=headers)
            assert page.status == 422, wrong
            fault = page.text[page.text.index(f'id="{name}-error"') :].split("</p>")[0]
            assert words in fault
            assert name == "email" or 'value="typed@x.org"' in page.text
            assert name == "role" or 'value="admin" selected' in page.text
    assert await offers(stage) == []


async def test_who_is_in_the_team_or_invited_already_is_told_beside_the_address(stage, browser, ada, invite):
    await invite("kim@x.org")
    member = await stage.look(lambda: User.get_by_id(ada.user_id).email)
    for address, words in ((member.upper(), "is a member of the team already"), ("KIM@x.org", "has an open invitation already")):
        page = await browser(ada).send(base(stage), {"email": address, "role": "admin"}, headers=HTMX)
        assert page.status == 409
        assert words in page.text[page.text.index('id="email-error"') :].split("</p>")[0]
        assert f'value="{address}"' in page.text
    assert len(await offers(stage)) == 1


async def test_a_form_sent_twice_invites_once_and_shows_the_same_link(stage, browser, ada):
    sent = {"email": "kim@x.org", "role": "member", "invitation_id": new_id()}
    pages = [await browser(ada).send(base(stage), sent, headers=HTMX) for _ in range(2)]
    assert [page.status for page in pages] == [200, 200]
    assert link_in(pages[0], stage) == link_in(pages[1], stage)
    assert len(await offers(stage)) == 1
    # Going back and writing another address into the same form is no repetition.
    page = await browser(ada).send(base(stage), {**sent, "email": "lee@x.org"}, headers=HTMX)
    assert page.status == 409 and page.headers["HX-Retarget"] == "#problem"


async def test_only_an_owner_invites_owners_sees_their_links_or_touches_them(stage, browser, ada, invite):
    cleo = await stage.member("Cleo", role="admin")
    page = await browser(cleo).send(base(stage), {"email": "kim@x.org", "role": "owner"}, headers=HTMX)
    assert page.status == 403
    assert "Only an owner can invite an owner" in page.text[page.text.index('id="role-error"') :]
    path = await invite("kim@x.org", "owner")
    (offer,) = await offers(stage)
    seen = await browser(cleo).look(f"/teams/{stage.team_id}/members/")
    assert "kim@x.org" in seen.words and path not in seen.text
    for action in ("resend", "withdraw"):
        assert (await browser(cleo).send(base(stage, f"{offer.id}/{action}"))).status == 403
    assert (await browser().look(path)).status == 200


@ON_ONE
async def test_a_member_invites_nobody_and_nobody_touches_another_teams_invitations(stage, browser, ada, invite):
    ben = await stage.member("Ben")
    other_team, _, _ = await found_team(stage, "Harbour")
    carla = await stage.member("Carla", team=other_team, role="owner")
    await invite()
    (offer,) = await offers(stage)
    for fields in ({"email": "x@x.org", "role": "member"}, {"email": "", "role": ""}):
        assert (await browser(ben).send(base(stage), fields)).status == 403
        assert (await browser(carla).send(base(stage), fields)).status == 404
    for action in ("resend", "withdraw"):
        assert (await browser(ben).send(base(stage, f"{offer.id}/{action}"))).status == 403
        for team_id in (stage.team_id, other_team):
            assert (await browser(carla).send(f"/teams/{team_id}/invitations/{offer.id}/{action}")).status == 404
    assert len(await offers(stage)) == 1 and (await offers(stage))[0].withdrawn_at is None


@ON_ONE
async def test_a_team_has_room_for_so_many_open_invitations(stage, browser, ada, invite, monkeypatch):
    monkeypatch.setattr(invitations, "MOST_OPEN", 1)
    await invite("kim@x.org")
    page = await browser(ada).send(base(stage), {"email": "lee@x.org", "role": "member"})
    assert page.status == 409 and "Withdraw some first" in page.words


# --- links that do not work any more ----------------------------------------------------------------


async def test_a_used_link_says_so(stage, browser, invite):
    path = await invite()
    assert (await browser().send(path, NEWCOMER)).status == 303
    for seen in (await browser().look(path), await browser().send(path, {"name": "Eve", "password": "quiet trams in rain"})):
        assert seen.status == 410 and "was used already" in seen.words


async def test_an_expired_link_says_so_and_can_be_sent_again(stage, browser, ada, invite):
    path = await invite()
    await stage.make(lambda: Invitation.update(expires_at=identity.now() - 1).execute())
    for seen in (
        await browser().look(path),
        await browser().send(path, NEWCOMER),
        await browser(await stranger(stage)).send(path + "/accept"),
    ):
        assert seen.status == 410 and "has expired" in seen.words
    assert "Expired" in (await browser(ada).look(f"/teams/{stage.team_id}/members/")).words
    assert (await browser().look(await invite())).status == 200  # inviting the address again takes its place
    assert "has expired" in (await browser().look(path)).words


async def test_a_withdrawn_link_says_so(stage, browser, ada, invite):
    path = await invite()
    (offer,) = await offers(stage)
    for headers in ({}, HTMX):
        assert (await browser(ada).send(base(stage, f"{offer.id}/withdraw"), headers=headers)).status in (200, 303)
    for seen in (await browser().look(path), await browser().send(path, NEWCOMER)):
        assert seen.status == 410 and "was withdrawn" in seen.words
    assert ("kim@x.org", "member") not in await members_of(stage)


async def test_resending_makes_a_new_link_and_the_old_one_says_so(stage, browser, ada, invite):
    path = await invite()
    (offer,) = await offers(stage)
    page = await browser(ada).send(base(stage, f"{offer.id}/resend"), headers=HTMX)
    fresh = link_in(page, stage)
    assert fresh != path
    assert "A newer link was sent to you" in (await browser().look(path)).words
    assert (await browser().look(fresh)).status == 200
    # The second half of a double click finds it done.
    assert (await browser(ada).send(base(stage, f"{offer.id}/resend"))).status == 303
    assert len(await offers(stage)) == 2
    assert (await browser().send(fresh, NEWCOMER)).status == 303


@ON_ONE
async def test_a_link_that_never_was_is_not_there(stage, browser):
    for token in (secrets.token_hex(20), "%00", "x" * 200, "%F0%9F%98%80"):
        for seen in (await browser().look(f"/invitations/{token}"), await browser().send(f"/invitations/{token}", NEWCOMER)):
            assert seen.status == 404


# --- accepting ------------------------------------------------------------------------------------


async def stranger(stage: Stage) -> Agent:
    """Somebody of another team."""
    other_team, _, _ = await found_team(stage, f"Harbour {secrets.token_hex(2)}")
    return await stage.member("Carla", team=other_team, role="owner")


async def test_whoever_is_signed_in_joins_as_themselves(stage, browser, invite):
    path, carla = await invite("kim@x.org"), await stranger(stage)
    page = await browser(carla).look(path)
    assert "Join as Carla" in page.words and "this was sent to kim@x.org" in page.words
    for address in (f"{path}/accept", f"{path}/accept", path):  # twice is once
        accepted = await browser(carla).send(address)
        assert (accepted.status, accepted.location) == (303, f"/teams/{stage.team_id}/")
    assert len(await members_of(stage)) == 2
    mine = await browser(carla).look("/teams/")
    assert "Tidewater" in mine.words and "Harbour" in mine.words


async def test_whoever_has_an_address_that_is_known_signs_in_first(stage, browser, invite):
    carla = await with_password(stage, await stranger(stage))
    address = await stage.look(lambda: User.get_by_id(carla.user_id).email)
    path = await invite(address)
    nobody = browser()
    page = await nobody.look(path)
    assert f'href="/sign-in?next={path}"' in page.text and 'name="password"' not in page.text
    taken = await nobody.send(path, NEWCOMER)
    assert taken.status == 409 and "sign in first" in taken.words
    assert (await nobody.send(f"{path}/accept")).location == f"/sign-in?next={path}"
    onward = await nobody.sign_in(address, onward=path)
    assert onward.location == path
    assert (await nobody.send(f"{path}/accept")).location == f"/teams/{stage.team_id}/"
    assert (address, "member") in await members_of(stage)


async def test_whoever_is_in_the_team_already_leaves_the_link_to_others(stage, browser, ada, invite):
    path = await invite()
    assert "You are in this team already" in (await browser(ada).look(path)).words
    assert (await browser(ada).send(f"{path}/accept")).status == 409
    assert (await browser().send(path, NEWCOMER)).status == 303


async def test_a_form_of_joining_sent_twice_signs_the_same_person_in_twice(stage, browser, invite):
    path = await invite()
    kim = browser()
    seen = await asyncio.gather(*(kim.send(path, NEWCOMER) for _ in range(2)))
    assert [page.status for page in seen] == [303, 303]
    assert (await kim.look(f"/teams/{stage.team_id}/")).status == 200
    assert await stage.look(lambda: User.select().where(User.email == "kim@x.org").count()) == 1


@ON_ONE
async def test_a_name_or_password_that_will_not_do_is_told_beside_it(stage, browser, invite):
    path = await invite()
    for fields, name, words in (
        ({"name": " "}, "name", "Please fill this in."),
        ({"name": "x" * 81}, "name", "At most 80 characters"),
        ({"name": "K\x00"}, "name", "NUL"),
        ({"password": "short"}, "password", "characters"),
        ({"password": ""}, "password", "characters"),
        ({"password": "kim@x.org"}, "password", ""),
    ):
        page = await browser().send(path, {"name": "Typed", "password": PASSWORD, **fields})
        assert page.status == 422, fields
        assert words in page.text[page.text.index(f'id="{name}-error"') :].split("</p>")[0]
        assert name == "name" or 'value="Typed"' in page.text
        assert PASSWORD not in page.text
    assert len(await members_of(stage)) == 1


async def test_a_link_lets_one_of_fifty_in(stage, browser, invite):
    path = await invite()
    token = path.removeprefix("/invitations/")
    other_team = (await found_team(stage, "Harbour"))[0]
    strangers = await asyncio.gather(*(stage.member(f"Stranger {n}", team=other_team) for n in range(25)))
    sessions = [await stage.look(lambda who=who: identity.session_of(who.cookie).session_id) for who in strangers]
    write = stage.handoff.database.write
    results = await asyncio.gather(
        *(write(secrets.token_hex(4), invitations.accept, session, token) for session in sessions),
        *(write(secrets.token_hex(4), invitations.accept_as_newcomer, token, "Kim", "hash") for _ in range(25)),
        return_exceptions=True,
    )
    faults = [result for result in results if isinstance(result, Exception)]
    assert len(faults) == 49
    assert {type(fault) for fault in faults} <= {InvitationUsed, EmailTaken}
    assert len(await members_of(stage)) == 2


async def test_fifty_invitations_of_one_address_leave_one_open(stage, ada):
    session = await stage.look(lambda: identity.session_of(ada.cookie).session_id)
    typed = InvitationTyped(email="kim@x.org", role="member")
    results = await asyncio.gather(
        *(
            stage.handoff.database.write(
                secrets.token_hex(4), invitations.invite, session, stage.team_id, new_id(), secrets.token_hex(), typed
            )
            for _ in range(50)
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result is not True] == [AlreadyInvited] * 49
    assert len(await offers(stage)) == 1


@pytest.mark.parametrize("how", ["withdrawn", "team deleted", "inviter removed"])
async def test_joining_and_the_end_of_the_offer_agree_on_who_was_first(stage, browser, ada, invite, how):
    ben = await stage.member("Ben", role="admin")
    session = await stage.look(lambda: identity.session_of(ada.cookie).session_id)
    write, team = stage.handoff.database.write, stage.team_id
    for n in range(4 if how != "team deleted" else 1):
        path = await invite(f"kim{n}@x.org", by=ben)
        offer = (await offers(stage))[-1]
        ends = {
            "withdrawn": (invitations.withdraw, session, team, offer.id),
            "team deleted": (teams.delete, session, team, "Tidewater"),
            "inviter removed": (members.remove, session, team, ben.member_id),
        }
        join = (invitations.accept_as_newcomer, path.removeprefix("/invitations/"), "Kim", "hash")
        calls = [ends[how], join] if n % 2 else [join, ends[how]]
        results = await asyncio.gather(*(write(secrets.token_hex(4), *call) for call in calls), return_exceptions=True)
        joined = results[calls.index(join)]
        offer = await stage.look(lambda offer=offer: Invitation.get_by_id(offer.id))
        is_in = await stage.look(lambda n=n: User.select().where(User.email == f"kim{n}@x.org").exists())
        assert is_in == (offer.used_at is not None) == (not isinstance(joined, Exception))
        assert is_in or isinstance(joined, InvitationGone | NotFound)
        if how == "team deleted":
            assert await members_of(stage) == []
        if how == "inviter removed":
            await stage.make(lambda: Member.update(ended_at=None).where(Member.id == ben.member_id).execute())


@ON_ONE
async def test_open_pages_hear_that_somebody_was_invited_and_joined(stage, browser, ada, invite):
    watching = await stage.second_socket(ada)
    path = await invite()
    await watching.heard.wait_for("members_changed")
    watching.heard.facts.clear()
    await browser().send(path, NEWCOMER)
    await watching.heard.wait_for("members_changed")


@ON_ONE
async def test_what_is_shown_of_an_invitation_is_inert(stage, browser, invite):
    eve = await stage.member("<img src=x onerror=alert(1)>", role="owner")
    page = await browser().look(await invite(by=eve))
    assert page.status == 200 and "<img" not in page.text and html.escape("<img") in page.text


# --- mail -----------------------------------------------------------------------------------------


@dataclass
class Inbox:
    """What a real SMTP server on loopback was given."""

    url: str = ""
    with_password: str = ""
    mails: list[email.message.EmailMessage] = field(default_factory=list)
    signed_in: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_DATA(self, server, session, envelope) -> str:
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def judge(self, server, session, envelope, mechanism, given) -> AuthResult:
        self.signed_in.append((given.login, given.password))
        return AuthResult(success=given.password == b"p@ss word", handled=False)


class Local(Controller):
    def factory(self) -> SMTP:
        return SMTP(self.handler, authenticator=self.handler.judge, auth_require_tls=False, enable_SMTPUTF8=True)


@pytest.fixture
def inbox():
    inbox = Inbox()
    server = Local(inbox, hostname=LOOPBACK, port=free_port())
    server.start()
    inbox.url = f"smtp://{LOOPBACK}:{server.port}"
    inbox.with_password = f"smtp://kiosk:p%40ss%20word@{LOOPBACK}:{server.port}"
    yield inbox
    server.stop()


SENDER = "Handoff <handoff@tidewater.example>"


@pytest.mark.parametrize("door", ["url", "with_password"])
async def test_a_link_is_mailed_where_smtp_is_set_up(open_stage, http, inbox, door):
    stage = await open_stage(smtp_url=getattr(inbox, door), mail_from=SENDER)
    ada = await stage.member("Ada Ünal", role="owner")
    page = await Browser(http, stage, {identity.COOKIE: ada.cookie}).send(
        base(stage), {"email": "kim@x.org", "role": "member"}, headers=HTMX
    )
    assert "The link is in their mail" in page.words
    (mail,) = inbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("kim@x.org", SENDER, "Ada Ünal invites you to Tidewater")
    assert stage.url + link_in(page, stage) in mail.get_content().splitlines()
    assert "72 hours" in mail.get_content()
    assert (await Browser(http, stage).look(link_in(page, stage))).status == 200
    if door == "with_password":
        assert inbox.signed_in == [(b"kiosk", b"p@ss word")]
    (offer,) = await offers(stage)
    await Browser(http, stage, {identity.COOKIE: ada.cookie}).send(base(stage, f"{offer.id}/resend"))
    assert len(inbox.mails) == 2
    assert inbox.mails[0].get_content() != inbox.mails[1].get_content()


@ON_ONE
@pytest.mark.parametrize("fault", ["nobody listens", "wrong password"])
async def test_a_mail_that_fails_is_told_and_the_link_is_there_to_copy(open_stage, http, inbox, fault):
    urls = {"nobody listens": f"smtp://{LOOPBACK}:{free_port()}", "wrong password": inbox.with_password.replace("word", "w0rd")}
    stage = await open_stage(smtp_url=urls[fault], mail_from=SENDER)
    ada = await stage.member("Ada", role="owner")
    for headers in ({}, HTMX):
        sent = {"email": f"kim{len(headers)}@x.org", "role": "member"}
        page = await Browser(http, stage, {identity.COOKIE: ada.cookie}).send(base(stage), sent, headers=headers)
        assert page.status == 200
        assert "The mail could not be sent" in page.words
        assert (await Browser(http, stage).look(link_in(page, stage))).status == 200
    assert inbox.mails == []
