"""Who has a conversation: one agent, from one statement (I1)."""

import asyncio
import secrets

from handoff import takeovers
from handoff.models import Seat
from tests.cast import Stage, found_team


async def test_of_fifty_agents_one_wins_and_the_others_hear_the_winners_name(stage: Stage) -> None:
    customer = await stage.customer()
    await customer.write("I'm cancelling")
    agents = await asyncio.gather(*(stage.agent(f"Agent {number}") for number in range(50)))
    acks = await asyncio.gather(*(agent.ask("take_over", conversation_id=customer.conversation_id) for agent in agents))
    winners = [agent for agent, ack in zip(agents, acks, strict=True) if "ok" in ack]
    assert len(winners) == 1
    refusals = [ack["error"] for ack in acks if "error" in ack]
    assert {refusal["code"] for refusal in refusals} == {"already_taken"}
    assert {refusal["details"]["owner"]["name"] for refusal in refusals} == {winners[0].name}
    conversation = await stage.conversation(customer.conversation_id)
    assert conversation.owner_id == winners[0].member_id
    assert [takeover.member_id for takeover in await stage.takeovers(conversation.id)] == [winners[0].member_id]


async def test_two_lanes_that_take_over_at_the_same_time_agree_on_the_winner(stage: Stage) -> None:
    """The keys put the two commands on different connections, as two processes would be."""
    ada, ben = await stage.member("Ada"), await stage.member("Ben")
    customers = await asyncio.gather(*(stage.customer() for _ in range(20)))
    await asyncio.gather(*(customer.write("hello") for customer in customers))
    sessions = [await stage.look(lambda who=who: _session(who.cookie)) for who in (ada, ben)]
    for customer in customers:
        results = await asyncio.gather(
            *(
                stage.handoff.database.write(secrets.token_hex(4), takeovers.take_over, session, customer.conversation_id)
                for session in sessions
                for _ in range(3)
            ),
            return_exceptions=True,
        )
        losers = [result for result in results if isinstance(result, Exception)]
        assert {type(loser).__name__ for loser in losers} == {"AlreadyTaken"}
        assert len(losers) == 3
        assert len(await stage.takeovers(customer.conversation_id)) == 1


async def test_taking_what_is_mine_succeeds_again_and_leaves_one_record(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.agent("Ada")
    await customer.write("hello")
    first = await ada.take_over(customer.conversation_id)
    again = await ada.take_over(customer.conversation_id)
    assert (again["owner"], again["version"]) == (first["owner"], first["version"])
    assert len(await stage.takeovers(customer.conversation_id)) == 1


async def test_every_watcher_sees_at_once_who_took_it_and_cannot_write_there(stage: Stage) -> None:
    customer, ada, ben = await stage.customer(), await stage.watcher("Ada"), await stage.watcher("Ben")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    fact = await ben.heard.wait_for("conversation_taken_over")
    assert fact["conversation"]["owner"] == {"id": ada.member_id, "name": "Ada"}
    assert fact["takeover"]["member"] == {"id": ada.member_id, "name": "Ada"}
    refusal = await ben.refused("post_message", conversation_id=customer.conversation_id, client_id="b1", text="me too")
    assert refusal["code"] == "not_owner"


async def test_nobody_takes_over_what_is_closed_foreign_absent_or_without_a_seat(stage: Stage) -> None:
    customer = await stage.customer()
    await customer.write("hello")
    theirs, _, _ = await found_team(stage, "Elsewhere")
    stranger = await stage.agent("Stranger", team=theirs)
    seatless = await stage.agent("Seatless", seat=None)
    suspended = await stage.agent("Suspended", seat="suspended")
    id = customer.conversation_id
    assert (await stranger.refused("take_over", conversation_id=id)) == (await stranger.refused("take_over", conversation_id="no"))
    assert (await stranger.refused("take_over", conversation_id=id))["code"] == "not_found"
    assert (await seatless.refused("take_over", conversation_id=id))["code"] == "no_seat"
    assert (await suspended.refused("take_over", conversation_id=id))["code"] == "no_seat"
    await customer.do("end_conversation")
    ada = await stage.agent("Ada")
    assert (await ada.refused("take_over", conversation_id=id))["code"] == "closed"


async def test_a_conversation_whose_agent_lost_the_seat_can_be_taken_by_another(stage: Stage) -> None:
    customer, ada, ben = await stage.customer(), await stage.agent("Ada"), await stage.watcher("Ben")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    await stage.make(lambda: Seat.update(status="ended", ended_at=1).where(Seat.member == ada.member_id).execute())
    assert (await ben.take_over(customer.conversation_id))["owner"]["name"] == "Ben"
    first, second = await stage.takeovers(customer.conversation_id)
    assert (first.member_id, first.ended_by) == (ada.member_id, "takeover")
    assert (second.member_id, second.ended_at) == (ben.member_id, None)


async def test_the_first_reply_is_recorded_once_and_the_close_ends_the_takeover_with_its_outcome(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    id = customer.conversation_id
    await ada.take_over(id)
    await ada.write(id, "Ada here")
    await ada.write(id, "What can I do?")
    await ada.do("close_conversation", conversation_id=id, outcome_id=await stage.outcome("Sold"), note="Wants an Ebb in blue")
    (takeover,) = await stage.takeovers(id)
    first_line = next(message for message in await stage.messages(id) if message.author == "agent")
    assert takeover.first_reply_at == first_line.sent_at
    assert (takeover.ended_by, takeover.note) == ("agent", "Wants an Ebb in blue")
    assert takeover.outcome_id == await stage.outcome("Sold")


def _session(cookie: str) -> str:
    from handoff.identity import session_of

    found = session_of(cookie)
    assert found
    return found.session_id
