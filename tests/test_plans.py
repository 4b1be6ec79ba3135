"""A team's plan: filled from the settings, chosen by admins, lowered by force; seats held never exceed it (I8)."""

import asyncio
import contextlib
import json
import re
import secrets
import sqlite3

import aiohttp
import pytest

from handoff import identity, plans, seats
from handoff.errors import Forbidden, NotFound
from handoff.models import Audit, Member, Plan, Seat, Team, User
from tests.cast import Agent, Stage, found_team
from tests.waiting import wait_until

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HTMX = {"HX-Request": "true"}
PLANS = {"free": {"human_agents": 1}, "team": {"human_agents": 3}, "business": {"human_agents": 25}}


async def seat_of(stage: Stage, agent: Agent) -> str:
    return await stage.look(lambda: Seat.get(Seat.member == agent.member_id, Seat.ended_at.is_null()).status)


async def statuses(stage: Stage, *agents: Agent) -> list[str]:
    return [await seat_of(stage, agent) for agent in agents]


async def has_plan(stage: Stage, name: str) -> bool:
    return await stage.look(lambda: Team.get_by_id(stage.team_id).plan_id) == name


async def put_on(stage: Stage, name: str) -> None:
    await stage.make(lambda: Team.update(plan=name).where(Team.id == stage.team_id).execute())


async def seated_in_order(stage: Stage, *names: str) -> list[Agent]:
    """Agents whose seats were assigned one after another; the first is the owner."""
    people = [await stage.member(name, role="owner" if at == 0 else "member") for at, name in enumerate(names)]
    for at, agent in enumerate(people):
        await stage.make(
            lambda at=at, agent=agent: Seat.update(assigned_at=1_000 + at).where(Seat.member == agent.member_id).execute()
        )
    return people


async def session_of(stage: Stage, agent: Agent) -> str:
    return await stage.look(lambda: identity.session_of(agent.cookie).session_id)


async def choose(stage: Stage, agent: Agent, name: str) -> None:
    session = await session_of(stage, agent)
    await stage.handoff.database.write(stage.team_id, plans.choose, session, stage.team_id, name)


async def bill(stage: Stage, name: str, time: int) -> dict:
    return await stage.handoff.database.write(stage.team_id, plans.bill, stage.team_id, name, time)


async def kinds_noted(stage: Stage) -> list[str]:
    rows = await stage.look(lambda: list(Audit.select(Audit.kind).where(Audit.team == stage.team_id).order_by(Audit.id)))
    return [row.kind for row in rows if row.kind != "signed_in"]


async def start_with(stage: Stage, named: dict[str, dict[str, int]]) -> None:
    """What a start with these plans does to the rows, while this process serves: another process may be started beside it."""
    await stage.make(lambda: plans.begin(named))
    await stage.handoff.database.write("plans", plans.fill, named)


async def page(stage: Stage, agent: Agent, method: str = "GET", **options) -> tuple[int, str]:
    headers = {"Cookie": f"{identity.COOKIE}={agent.cookie}", **options.pop("headers", {})}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(
            method, f"{stage.url}/teams/{stage.team_id}/plan/", headers=headers, allow_redirects=False, **options
        ) as response,
    ):
        return response.status, " ".join(re.sub(r"<[^>]+>", " ", await response.text()).split())


# --- filled from the settings ---------------------------------------------------------------------


async def test_a_start_fills_the_plans_and_offers_only_those_that_are_named(open_stage) -> None:
    stage = await open_stage(plans={**PLANS, "old": {"human_agents": 2}})
    await put_on(stage, "old")
    await start_with(stage, {"team": {"human_agents": 4}, "free": {"human_agents": 1}})
    rows = await stage.look(lambda: {plan.id: (plan.human_agents, plan.is_offered) for plan in Plan.select()})
    assert rows == {"free": (1, True), "team": (4, True), "business": (25, False), "old": (2, False), "tests": (1000, False)}
    offered = await stage.look(lambda: [plan.id for plan in plans.offered_to(stage.team_id)])
    assert offered == ["team", "free", "old"]


async def test_a_start_that_lowers_a_plan_suspends_its_newest_seats_and_one_that_raises_it_gives_them_back(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    await put_on(stage, "team")
    people = await seated_in_order(stage, "Ada", "Ben", "Cleo")
    await start_with(stage, {**PLANS, "team": {"human_agents": 1}})
    assert await statuses(stage, *people) == ["held", "suspended", "suspended"]
    await start_with(stage, {**PLANS, "team": {"human_agents": 2}})
    assert await statuses(stage, *people) == ["held", "held", "suspended"]
    await start_with(stage, {**PLANS, "team": {"human_agents": 2}})
    assert await statuses(stage, *people) == ["held", "held", "suspended"]
    assert (await kinds_noted(stage)).count("seat_suspended") == 2


async def test_the_real_start_does_it(start_handoff, tmp_path) -> None:
    path = tmp_path / "handoff.db"
    given = {"database_url": f"sqlite:///{path}", "demo": True}
    (await start_handoff(**given, plans=json.dumps(PLANS))).terminate()
    await start_handoff(**given, plans=json.dumps({"team": {"human_agents": 1}}))
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT id, human_agents, is_offered FROM plan ORDER BY id").fetchall()
        assert rows == [("business", 25, 0), ("free", 1, 0), ("team", 1, 1)]
        assert database.execute("SELECT status FROM seat ORDER BY assigned_at, id").fetchall() == [("held",), ("suspended",)]


# --- chosen by admins -----------------------------------------------------------------------------


async def test_an_owner_upgrades_and_downgrades(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    ada = await stage.member("Ada", role="owner")
    cleo = await stage.member("Cleo", role="admin", seat=None)
    await put_on(stage, "free")
    assert "free (current)" in (await page(stage, ada))[1]
    assert (await page(stage, ada, "POST", data={"plan": "business"}))[0] == 303
    assert await has_plan(stage, "business")
    assert (await page(stage, ada, "POST", data={"plan": "business"}))[0] == 303  # sent twice
    status, words = await page(stage, cleo, "POST", data={"plan": "free"}, headers=HTMX)
    assert (status, "Your plan is free now." in words) == (200, True)
    assert await has_plan(stage, "free")
    assert await kinds_noted(stage) == ["plan_changed", "plan_changed"]


async def test_a_downgrade_below_the_seats_held_is_refused_with_the_names_to_release_first(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    ada, ben, cleo = await seated_in_order(stage, "Ada", "Ben", "Cleo")
    await put_on(stage, "team")
    for headers in ({}, HTMX):
        status, words = await page(stage, ada, "POST", data={"plan": "free"}, headers=headers)
        assert status == 409
        assert "Release 2 of the 3 seats in use first: this plan has 1." in words
        assert "newest first: Cleo, Ben, Ada" in words
    assert await has_plan(stage, "team")
    assert await statuses(stage, ada, ben, cleo) == ["held", "held", "held"]


@ON_ONE
async def test_members_see_the_plan_and_whom_to_ask_and_cannot_change_it(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    await stage.member("Ada", role="owner")
    ben = await stage.member("Ben")
    status, words = await page(stage, ben)
    assert (status, "To change the plan, ask Ada" in words, "Upgrade" in words) == (200, True, False)
    assert (await page(stage, ben, "POST", data={"plan": "free"}))[0] == 403
    assert await has_plan(stage, "tests")


@ON_ONE
async def test_a_plan_that_is_not_offered_or_not_there_cannot_be_chosen(open_stage) -> None:
    stage = await open_stage(plans={**PLANS, "old": {"human_agents": 2}})
    await start_with(stage, PLANS)
    ada = await stage.member("Ada", role="owner")
    for name in ("old", "nowhere", "", "x" * 5000, "a\x00b"):
        status, words = await page(stage, ada, "POST", data={"plan": name})
        assert (status, "That plan is not offered." in words) == (422, True)


async def test_the_operation_itself_asks_for_an_admin_of_the_team(open_stage) -> None:
    """The page's guard is the first to ask and not the last."""
    stage = await open_stage(plans=PLANS)
    other, _, _ = await found_team(stage, "Harbour")
    ben, otto = await stage.member("Ben"), await stage.member("Otto", role="owner", team=other)
    with pytest.raises(Forbidden):
        await choose(stage, ben, "free")
    with pytest.raises(NotFound):
        await choose(stage, otto, "free")
    assert await has_plan(stage, "tests")


# --- lowered by force -----------------------------------------------------------------------------


async def test_the_newest_seats_are_suspended_in_no_conversation_and_come_back_oldest_first(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    await stage.hold_assistant()
    *_, cleo = people = await seated_in_order(stage, "Ada", "Ben", "Cleo")
    await put_on(stage, "team")
    mine, other = await stage.customer(), await stage.customer()
    await mine.write("hello")
    await other.write("hello")
    await cleo.sit_down()
    await cleo.do("watch", assistant_id=stage.assistant_id)
    await cleo.take_over(mine.conversation_id)

    answer = await bill(stage, "free", 100)
    assert answer == {"team": stage.team_id, "plan": "free", "used": 1, "limit": 1, "suspended": 2}
    assert await statuses(stage, *people) == ["held", "suspended", "suspended"]
    await wait_until(lambda: not cleo.socket.connected, 1.0, "a socket that watches is closed")

    cleo = await stage.second_socket(cleo)
    await cleo.write(mine.conversation_id, "still with you")
    assert (await cleo.refused("take_over", conversation_id=other.conversation_id))["code"] == "no_seat"
    assert (await cleo.refused("watch", assistant_id=stage.assistant_id))["code"] == "no_seat"
    await bill(stage, "team", 101)
    assert await statuses(stage, *people) == ["held", "held", "held"]
    await cleo.take_over(other.conversation_id)
    noted = await kinds_noted(stage)
    assert [noted.count(kind) for kind in ("plan_changed", "seat_suspended", "seat_resumed")] == [2, 2, 2]


async def test_with_a_suspended_seat_one_hears_of_ones_own_conversations_and_of_no_other(stage: Stage) -> None:
    await stage.hold_assistant()
    mine, other = await stage.customer(), await stage.customer()
    cleo, ada = await stage.watcher("Cleo"), await stage.watcher("Ada")
    await mine.write("hello")
    await other.write("a secret")
    await cleo.take_over(mine.conversation_id)
    await stage.make(lambda: Seat.update(status="suspended").where(Seat.member == cleo.member_id).execute())
    cleo = await stage.second_socket(cleo)
    seen = await cleo.do("watch", assistant_id=stage.assistant_id, filter="mine")
    assert [row["id"] for row in seen["conversations"]] == [mine.conversation_id]
    assert seen["counts"] == {"all": 1, "needs_human": 0, "mine": 1}
    await other.write("another secret")
    await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "another secret")
    await mine.write("are you there?")
    heard = await cleo.heard.wait_for("message_posted")
    assert heard["message"]["text"] == "are you there?"
    await cleo.write(mine.conversation_id, "I am", client_id="c1")
    own = await cleo.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "I am")
    assert own["message"]["client_id"] == "c1"
    assert len([fact for fact in cleo.heard.named("message_posted") if fact["message"]["text"] == "I am"]) == 1
    for command, payload in (
        ("add_note", {"client_id": "n", "text": "hi"}),
        ("mark_read", {"number": 1}),
        ("open_conversation", {}),
        ("take_over", {}),
    ):
        refusal = await cleo.refused(command, conversation_id=other.conversation_id, **payload)
        assert refusal["code"] == "no_seat", command
    await cleo.do("unwatch", assistant_id=stage.assistant_id)
    await mine.write("more")
    await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "more")
    assert "more" not in [fact["message"]["text"] for fact in cleo.heard.named("message_posted")]
    assert other.conversation_id not in json.dumps(cleo.heard.facts)


async def test_seats_never_exceed_the_plan_while_it_is_lowered_raised_and_assigned_at_once(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    ada, *_ = await seated_in_order(stage, "Ada", "Ben")
    await put_on(stage, "team")
    others = [await stage.member(f"Member {at}", seat=None) for at in range(6)]
    session = await session_of(stage, ada)
    over: list[tuple[int, int]] = []
    done = asyncio.Event()

    async def watch_over() -> None:
        while not done.is_set():
            used, limit = await stage.look(lambda: (seats.used(stage.team_id), seats.limit(stage.team_id)))
            if used > limit:
                over.append((used, limit))
            await asyncio.sleep(0)

    async def write(operation, *arguments) -> None:
        # A key of its own: on PostgreSQL they run in all four lanes, as they would in several processes.
        await stage.handoff.database.write(secrets.token_hex(4), operation, *arguments)

    async def one_after_another(*calls) -> None:
        for call in calls:
            with contextlib.suppress(seats.SeatsUsed, plans.SeatsHeld, plans.Replayed):
                await write(*call)

    rounds = 8
    watching = asyncio.create_task(watch_over())
    await asyncio.gather(
        *(
            one_after_another(
                *[
                    (seats.assign, session, stage.team_id, one.member_id),
                    (seats.release, session, stage.team_id, one.member_id),
                ]
                * rounds
            )
            for one in others
        ),
        one_after_another(
            *((plans.bill, stage.team_id, ("free", "team", "business")[at % 3], 100 + at) for at in range(rounds * 2))
        ),
        one_after_another(*((plans.choose, session, stage.team_id, ("team", "free")[at % 2]) for at in range(rounds))),
        one_after_another(
            *((plans.fill, {**PLANS, "tests": {"human_agents": 9}, "team": {"human_agents": 2 + at % 2}}) for at in range(rounds))
        ),
    )
    done.set()
    await watching
    assert over == []


async def test_a_team_that_is_gone_and_others_are_left_alone(open_stage) -> None:
    stage = await open_stage(plans=PLANS)
    other, _, _ = await found_team(stage, "Harbour")
    with pytest.raises(plans.PlanNotOffered):
        await bill(stage, "nowhere", 100)
    await stage.make(lambda: Team.update(deleted_at=1).where(Team.id == stage.team_id).execute())
    with pytest.raises(NotFound):
        await bill(stage, "free", 100)
    assert await stage.look(lambda: Team.get_by_id(other).plan_id) == "tests"
    assert await stage.look(lambda: Team.get_by_id(stage.team_id).billed_at) == 0
    assert await stage.look(lambda: Member.select().count()) == await stage.look(lambda: User.select().count())
