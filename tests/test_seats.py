"""Seats: never more than the plan gives (I8), and nothing works for somebody whose access ended (I10)."""

import asyncio
import secrets

import aiohttp
import pytest
import socketio

from handoff import identity, seats
from handoff.models import Member, Plan, Seat, Team
from tests.cast import Agent, Stage
from tests.waiting import wait_until


async def session_of(stage: Stage, agent: Agent) -> str:
    return await stage.look(lambda: identity.session_of(agent.cookie).session_id)


async def limit_seats(stage: Stage, count: int) -> None:
    await stage.make(lambda: Plan.insert(id="small", human_agents=count).execute())
    await stage.make(lambda: Team.update(plan="small").where(Team.id == stage.team_id).execute())


async def test_the_last_free_seat_goes_to_exactly_one_of_fifty(stage: Stage) -> None:
    owner = await stage.member("Owner", role="owner", seat="held")
    members = await asyncio.gather(*(stage.member(f"Member {n}", seat=None) for n in range(50)))
    await limit_seats(stage, 2)
    session = await session_of(stage, owner)
    results = await asyncio.gather(
        *(
            stage.handoff.database.write(secrets.token_hex(4), seats.assign, session, stage.team_id, member.member_id)
            for member in members
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results].count(seats.SeatsUsed) == 49
    assert await stage.look(lambda: seats.overview(stage.team_id)["used"]) == 2


async def test_assigning_twice_is_assigning_once_and_only_admins_may(stage: Stage) -> None:
    owner, member = await stage.member("Owner", role="owner"), await stage.member("Member", seat=None)
    session, other = await session_of(stage, owner), await session_of(stage, member)
    for _ in range(2):
        await stage.handoff.database.write(stage.team_id, seats.assign, session, stage.team_id, member.member_id)
    assert await stage.look(lambda: Seat.select().where(Seat.member == member.member_id).count()) == 1
    with pytest.raises(seats.Forbidden):
        await stage.handoff.database.write(stage.team_id, seats.release, other, stage.team_id, owner.member_id)


async def test_a_suspended_seat_lets_its_holder_finish_what_they_own_and_nothing_else(stage: Stage) -> None:
    await stage.hold_assistant()
    mine, other, watching = await stage.customer(), await stage.customer(), await stage.watcher("Ada")
    ada = await stage.second_socket(watching)
    await mine.write("hello")
    await other.write("hello")
    await ada.take_over(mine.conversation_id)
    await stage.make(lambda: Seat.update(status="suspended").where(Seat.member == ada.member_id).execute())
    await ada.write(mine.conversation_id, "still with you")
    assert (await ada.refused("take_over", conversation_id=other.conversation_id))["code"] == "no_seat"
    assert (await ada.refused("watch", assistant_id=stage.assistant_id))["code"] == "no_seat"
    assert (await ada.refused("open_conversation", conversation_id=other.conversation_id))["code"] == "no_seat"
    assert await stage.look(lambda: seats.overview(stage.team_id)["used"]) == 0
    await ada.do("close_conversation", conversation_id=mine.conversation_id, outcome_id=None, note="")
    await wait_until(lambda: not watching.socket.connected, 5, "the socket that watched is closed")


@pytest.mark.parametrize("how", ["seat released", "signed out", "member removed"])
async def test_somebody_whose_access_ended_can_do_nothing_and_their_sockets_close(stage: Stage, how: str) -> None:
    await stage.hold_assistant()
    owner = await stage.member("Owner", role="owner")
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    id = customer.conversation_id
    await ada.take_over(id)
    if how == "seat released":
        session = await session_of(stage, owner)
        await stage.handoff.database.write(stage.team_id, seats.release, session, stage.team_id, ada.member_id)
    elif how == "signed out":
        async with aiohttp.ClientSession(headers={"Cookie": f"{identity.COOKIE}={ada.cookie}"}) as http:
            await http.post(f"{stage.url}/sign-out", allow_redirects=False)
    else:
        await stage.make(lambda: Member.update(ended_at=1).where(Member.id == ada.member_id).execute())
        for command in ("take_over", "open_conversation"):
            assert (await ada.refused(command, conversation_id=id))["code"] == "not_found"
    if how != "member removed":
        await wait_until(lambda: not ada.socket.connected, 1.0, "the socket closes within a second")
    conversation = await stage.conversation(id)
    assert (conversation.owner_id, conversation.status) == (ada.member_id, "active")
    await customer.write("anybody?")
    assert conversation.turn_id is None
    if how == "signed out":
        with pytest.raises(socketio.exceptions.ConnectionError):
            await ada.sit_down()
        assert ada.refusal == {"message": "Sign in first.", "data": {"code": "signed_out"}}


async def test_a_command_on_a_socket_whose_session_just_ended_is_refused(stage: Stage) -> None:
    """The row says so although nobody told this socket yet."""
    from handoff.models import Session

    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await stage.make(lambda: Session.update(ended_at=1).where(Session.user == ada.user_id).execute())
    assert (await ada.refused("take_over", conversation_id=customer.conversation_id))["code"] == "forbidden"
    await wait_until(lambda: not ada.socket.connected, 1.0)


async def test_without_a_seat_nothing_is_watched_opened_or_taken(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, cleo = await stage.customer(), await stage.agent("Cleo", seat=None, role="admin")
    await customer.write("hello")
    for command, payload in (
        ("watch", {"assistant_id": stage.assistant_id}),
        ("watch", {"assistant_id": stage.assistant_id, "filter": "mine"}),
        ("open_conversation", {"conversation_id": customer.conversation_id}),
        ("take_over", {"conversation_id": customer.conversation_id}),
        ("add_note", {"conversation_id": customer.conversation_id, "client_id": "n", "text": "hi"}),
    ):
        assert (await cleo.refused(command, **payload))["code"] == "no_seat"
    assert cleo.heard.facts == []
