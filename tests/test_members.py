"""Who is in a team, in which role; and how a member, and a whole team, come to an end."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from handoff import identity, members, seats, teams
from handoff.clock import new_id
from handoff.errors import NotFound
from handoff.members import LastOwner, OwnersOnly
from handoff.models import Audit, Invitation, Member, Seat, Session, Team, User
from tests.accounts import HTMX, Browser
from tests.asked import selects
from tests.cast import Agent, Stage, found_team
from tests.waiting import wait_until

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def browser(stage: Stage) -> AsyncIterator[Callable[[Agent], Browser]]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield lambda person: Browser(http, stage, {identity.COOKIE: person.cookie})


@pytest.fixture
async def ada(stage: Stage) -> Agent:
    return await stage.member("Ada", role="owner")


async def session_of(stage: Stage, agent: Agent) -> str:
    return await stage.look(lambda: identity.session_of(agent.cookie).session_id)


async def role_of(stage: Stage, agent: Agent) -> str | None:
    """The role of a present member, None for somebody who has left."""
    row = await stage.look(lambda: Member.get_by_id(agent.member_id))
    return None if row.ended_at else row.role


async def do(stage: Stage, operation, who: Agent, *arguments):
    session = await session_of(stage, who)
    # Any key: two processes would not share a lane either.
    return await stage.handoff.database.write(secrets.token_hex(4), operation, session, stage.team_id, *arguments)


def here(stage: Stage, path: str = "") -> str:
    return f"/teams/{stage.team_id}/{path}"


# --- the page -------------------------------------------------------------------------------------


async def test_the_page_tells_each_ones_role_seat_last_use_and_sign_ins(stage, browser, ada):
    ben = await stage.member("Ben", seat=None)
    await stage.sign_in(ben.user_id)
    await stage.member("Cleo", seat="suspended", role="admin")
    never = await stage.make(
        lambda: Member.create(team=stage.team_id, user=User.create(name="Dan", email="d@x.org"), role="member")
    )
    page = await browser(ada).look(here(stage, "members/"))
    assert page.status == 200
    rows = {part.split('"')[0]: part for part in page.text.split('id="member-')[1:]}
    assert "Owner ·" in rows[ada.member_id] and "Has a seat" in rows[ada.member_id] and "(you)" in rows[ada.member_id]
    assert "No seat" in rows[ben.member_id] and "2 sign-ins" in rows[ben.member_id] and "Seen" in rows[ben.member_id]
    assert "Never signed in" in rows[never.id]
    assert "Seat suspended" in page.text


@ON_ONE
async def test_a_thousand_members_take_as_many_queries_as_ten(stage, browser, ada):
    async def queries(path: str) -> int:
        async def look() -> None:
            assert (await browser(ada).look(here(stage, path))).status == 200

        return len(await selects(stage, look))

    await stage.make(lambda: crowd(stage.team_id, 9))
    few = [await queries(path) for path in ("members/", "")]
    assert min(few) > 0
    await stage.make(lambda: crowd(stage.team_id, 991))
    assert [await queries(path) for path in ("members/", "")] == few


def crowd(team_id: str, count: int) -> None:
    for _ in range(count):
        user = User.create(name=f"Person {secrets.token_hex(3)}", email=f"{secrets.token_hex(8)}@tidewater.example")
        Member.create(team=team_id, user=user, role="member")
        Session.create(user=user, token_hash=secrets.token_hex(16), started_at=1, expires_at=2)


@ON_ONE
async def test_a_member_reads_the_team_and_learns_whom_to_ask(stage, browser, ada):
    ben = await stage.member("Ben")
    for path in ("members/", f"members/{ada.member_id}/"):
        page = await browser(ben).look(here(stage, path))
        assert page.status == 200
        assert "/role" not in page.text and "/invitations/" not in page.text and "/remove" not in page.text
    assert "ask Ada." in (await browser(ben).look(here(stage, "members/"))).words


@ON_ONE
async def test_names_are_inert(stage, browser):
    eve = await stage.member("<script>alert(1)</script>", role="owner")
    for path in ("members/", f"members/{eve.member_id}/", "leave", "delete"):
        page = await browser(eve).look(here(stage, path))
        assert page.status == 200 and "<script>alert" not in page.text


# --- roles ----------------------------------------------------------------------------------------


async def test_an_owner_makes_an_owner_and_an_admin_does_not(stage, browser, ada):
    ben, cleo = await stage.member("Ben"), await stage.member("Cleo", role="admin")
    for role in ("admin", "member", "admin"):
        sent = await browser(cleo).send(here(stage, f"members/{ben.member_id}/role"), {"role": role})
        assert sent.status == 303
        assert await role_of(stage, ben) == role
    for headers in ({}, HTMX):
        refused = await browser(cleo).send(here(stage, f"members/{ben.member_id}/role"), {"role": "owner"}, headers=headers)
        assert refused.status == 403
        assert "Only an owner of the team can do that" in refused.words
    assert (await browser(cleo).send(here(stage, f"members/{ada.member_id}/role"), {"role": "member"})).status == 403
    assert (await browser(ada).send(here(stage, f"members/{ben.member_id}/role"), {"role": "owner"})).status == 303
    assert [await role_of(stage, who) for who in (ada, ben)] == ["owner", "owner"]


async def test_a_member_changes_nothing_and_nobody_changes_another_teams(stage, browser, ada):
    ben = await stage.member("Ben")
    other_team, _, _ = await found_team(stage, "Harbour")
    carla = await stage.member("Carla", team=other_team, role="owner")
    for path in (f"members/{ada.member_id}/role", f"members/{ada.member_id}/remove", "delete"):
        assert (await browser(ben).send(here(stage, path), {"role": "member", "name": "Tidewater"})).status == 403
    for base in (f"/teams/{other_team}/", f"/teams/{stage.team_id}/", f"/teams/{new_id()}/"):
        for path in (f"members/{carla.member_id}/role", f"members/{carla.member_id}/remove"):
            assert (await browser(ada).send(base + path, {"role": "member"})).status == 404
    for path in ("members/", "leave", "delete", f"members/{carla.member_id}/"):
        foreign, absent = (
            await browser(ada).look(f"/teams/{other_team}/{path}"),
            await browser(ada).look(f"/teams/{new_id()}/{path}"),
        )
        assert (foreign.status, foreign.text) == (404, absent.text)
    assert [await role_of(stage, who) for who in (ada, ben, carla)] == ["owner", "member", "owner"]


async def test_a_role_that_is_none_is_told_beside_the_choice(stage, browser, ada):
    ben = await stage.member("Ben")
    for role in ("", "king", "owner\x00"):
        page = await browser(ada).send(here(stage, f"members/{ben.member_id}/role"), {"role": role})
        assert page.status == 422 and 'id="role-error"' in page.text and "Choose one of these." in page.words


async def test_a_changed_role_counts_at_once_and_the_sockets_come_back(stage, browser, ada):
    ben = await stage.agent("Ben", role="admin")
    watching = await stage.second_socket(ada)
    await browser(ada).send(here(stage, f"members/{ben.member_id}/role"), {"role": "member"})
    await wait_until(lambda: not ben.socket.connected, 1.0, "the socket closes within a second")
    await watching.heard.wait_for("members_changed", lambda fact: fact == {"team_id": stage.team_id})
    assert (await browser(ben).send(here(stage, f"seats/{ben.member_id}/release"))).status == 403
    assert (await browser(ben).send(here(stage, "invitations/"), {"email": "x@x.org", "role": "member"})).status == 403


# --- the last owner -------------------------------------------------------------------------------


async def test_the_last_owner_can_neither_leave_nor_be_removed_nor_demoted(stage, browser, ada):
    await stage.member("Ben", role="admin")
    tries = ((f"members/{ada.member_id}/role", {"role": "admin"}), (f"members/{ada.member_id}/remove", {}), ("leave", {}))
    for path, fields in tries:
        page = await browser(ada).send(here(stage, path), fields)
        assert page.status == 409, path
        assert "Make somebody else an owner first" in page.words
    assert await role_of(stage, ada) == "owner"


@pytest.mark.parametrize("how", ["demote each other", "remove each other", "leave", "all at once"])
async def test_of_owners_who_go_at_once_one_stays(stage, ada, how):
    ben, cleo = await stage.member("Ben", role="owner"), await stage.member("Cleo", role="owner")
    owners = [ada, ben, cleo]
    ways = {
        "demote each other": [(members.change_role, who, owners[n - 1].member_id, "member") for n, who in enumerate(owners)],
        "remove each other": [(members.remove, who, owners[n - 1].member_id) for n, who in enumerate(owners)],
        "leave": [(members.leave, who) for who in owners],
    }
    ways["all at once"] = [way for each in list(ways.values()) for way in each]
    for _ in range(3):
        results = await asyncio.gather(*(do(stage, *way) for way in ways[how]), return_exceptions=True)
        faults = [result for result in results if isinstance(result, Exception)]
        # Whoever lost their own right first hears that, the last one hears why they must stay.
        assert {type(fault) for fault in faults} <= {LastOwner, OwnersOnly, NotFound, members.Forbidden}, faults
        left = await stage.look(
            lambda: Member.select().where(Member.team == stage.team_id, Member.role == "owner", Member.ended_at.is_null()).count()
        )
        assert left >= 1
        await stage.make(
            lambda: Member.update(role="owner", ended_at=None).where(Member.id << [who.member_id for who in owners]).execute()
        )


# --- removal --------------------------------------------------------------------------------------


async def test_a_removed_member_is_out_at_once_and_another_agent_goes_on(stage, browser, ada):
    await stage.hold_assistant()
    ben, cleo, customer = await stage.watcher("Ben"), await stage.watcher("Cleo"), await stage.customer()
    await customer.write("hello")
    await ben.take_over(customer.conversation_id)
    page_of_ben = browser(ben)
    sent = await browser(ada).send(here(stage, f"members/{ben.member_id}/remove"))
    assert (sent.status, sent.location) == (303, here(stage, "members/"))
    await wait_until(lambda: not ben.socket.connected, 1.0, "the socket closes within a second")
    await ben.sit_down()
    for command, payload in (
        ("watch", {"assistant_id": stage.assistant_id}),
        ("take_over", {"conversation_id": customer.conversation_id}),
        ("post_message", {"conversation_id": customer.conversation_id, "client_id": "1", "text": "hi"}),
    ):
        assert (await ben.refused(command, **payload))["code"] == "not_found"
    assert (await page_of_ben.look(here(stage, "members/"))).status == 404
    conversation = await stage.conversation(customer.conversation_id)
    assert (conversation.owner_id, conversation.status) == (ben.member_id, "active")
    await customer.write("anybody?")
    assert (await stage.conversation(customer.conversation_id)).turn_id is None
    assert (await cleo.take_over(customer.conversation_id))["owner"]["id"] == cleo.member_id
    assert await stage.look(lambda: Seat.select().where(Seat.member == ben.member_id, Seat.ended_at.is_null()).count()) == 0


async def test_removing_twice_is_removing_once_and_both_are_told_the_same(stage, browser, ada):
    ben = await stage.member("Ben")
    for _ in range(2):
        assert (await browser(ada).send(here(stage, f"members/{ben.member_id}/remove"))).status == 303
    kinds = await stage.look(lambda: [line.kind for line in Audit.select().where(Audit.team == stage.team_id)])
    assert kinds.count("member_removed") == 1


async def test_a_removed_admin_cannot_come_back_by_a_link_of_their_own(stage, browser, ada):
    ben = await stage.member("Ben", role="admin")
    await browser(ben).send(here(stage, "invitations/"), {"email": "ben2@x.org", "role": "admin"})
    await browser(ada).send(here(stage, f"members/{ben.member_id}/remove"))
    offer = await stage.look(lambda: Invitation.get())
    assert offer.withdrawn_at is not None


async def test_somebody_who_left_can_be_invited_again(stage, browser, ada):
    ben = await stage.member("Ben")
    assert (await browser(ben).send(here(stage, "leave"))).location == "/teams/"
    assert "You are in no team" in (await browser(ben).look("/teams/")).words
    email = await stage.look(lambda: User.get_by_id(ben.user_id).email)
    assert (await browser(ada).send(here(stage, "invitations/"), {"email": email, "role": "member"})).status == 303


# --- several teams --------------------------------------------------------------------------------


@ON_ONE
async def test_the_switcher_leads_to_each_team_and_nothing_of_the_other_is_on_its_page(stage, browser, ada):
    other_team, other_assistant, _ = await found_team(stage, "Harbour")
    assert 'class="switcher"' not in (await browser(ada).look(here(stage))).text
    await stage.make(lambda: Member.create(team=other_team, user=ada.user_id, role="member"))
    page = await browser(ada).look(here(stage))
    assert f'href="/teams/{other_team}/"' in page.text
    assert 'class="switcher"' in page.text and "hx-boost" not in page.text
    there = await browser(ada).look(f"/teams/{other_team}/assistants/")
    assert other_assistant in there.text and stage.assistant_id not in there.text
    listed = await browser(ada).look("/teams/")
    assert "Harbour" in listed.words and "Tidewater" in listed.words


# --- the end of a team ----------------------------------------------------------------------------


async def test_deleting_needs_an_owner_and_the_teams_name(stage, browser, ada):
    ben = await stage.member("Ben", role="admin")
    assert (await browser(ben).send(here(stage, "delete"), {"name": "Tidewater"})).status == 403
    for typed in ("", "tidewater", "Tide", "Tidewater\x00"):
        page = await browser(ada).send(here(stage, "delete"), {"name": typed})
        assert page.status == 422 and 'id="name-error"' in page.text
        assert f'value="{typed}"' in page.text
    assert (await stage.look(lambda: Team.get_by_id(stage.team_id))).deleted_at is None


async def test_a_deleted_team_ends_for_everybody_and_its_conversations_close(stage, browser, ada, monkeypatch):
    monkeypatch.setattr(teams, "CLOSED_AT_ONCE", 2)
    other_team, _, _ = await found_team(stage, "Harbour")
    ben, cleo = await stage.watcher("Ben"), await stage.member("Cleo")
    await stage.make(lambda: Member.create(team=other_team, user=cleo.user_id, role="member"))
    customers = [await stage.customer() for _ in range(4)]
    for customer in customers:
        await customer.write("hello")
    await ben.take_over(customers[0].conversation_id)
    await browser(ada).send(here(stage, "invitations/"), {"email": "new@x.org", "role": "member"})
    page = await browser(ada).send(here(stage, "delete"), {"name": " Tidewater "})
    assert page.status == 200 and "Tidewater is deleted" in page.words
    await wait_until(lambda: not ben.socket.connected, 1.0, "the socket closes within a second")
    for customer in customers:
        await customer.heard.wait_for("conversation_closed")
        conversation = await stage.conversation(customer.conversation_id)
        assert (conversation.status, conversation.closed_by) == ("closed", "team")
        assert (await customer.refused("post_message", client_id="again", text="hello?"))["code"] == "forbidden"
    assert (await browser(ada).look(here(stage))).status == 302  # signed out: this was her only team
    assert (await browser(cleo).look(here(stage))).status == 404
    assert (await browser(cleo).look(f"/teams/{other_team}/")).status == 200
    offer = await stage.look(lambda: Invitation.get())
    assert offer.withdrawn_at is not None
    assert await stage.look(lambda: seats.used(stage.team_id)) == 0
    (takeover,) = await stage.takeovers(customers[0].conversation_id)
    assert takeover.ended_by == "team"


async def test_what_happens_to_members_is_written_down(stage, browser, ada):
    ben, cleo = await stage.member("Ben"), await stage.member("Cleo")
    await browser(ada).send(here(stage, f"members/{ben.member_id}/role"), {"role": "admin"})
    await browser(ada).send(here(stage, f"members/{ben.member_id}/remove"))
    await browser(cleo).send(here(stage, "leave"))
    lines = await stage.look(lambda: [(line.kind, line.user_id) for line in Audit.select().where(Audit.team == stage.team_id)])
    expected = [("role_changed", ada.user_id), ("member_removed", ada.user_id), ("member_left", cleo.user_id)]
    assert [line for line in lines if line[0] in ("role_changed", "member_removed", "member_left")] == expected
