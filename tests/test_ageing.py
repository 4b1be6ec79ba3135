"""A conversation closes once, with one outcome (I11): by its agent, by its customer, or by age."""

import asyncio
import secrets

import pytest

from handoff import conversations
from handoff.models import Conversation
from tests.cast import Stage, found_team

MINUTE = 60_000


async def make_older(stage: Stage, id: str, minutes: float) -> None:
    by = int(minutes * MINUTE)
    await stage.make(lambda: Conversation.update(ages_from=Conversation.ages_from - by).where(Conversation.id == id).execute())


async def test_an_assistants_conversation_ages_from_its_last_line_and_a_humans_from_the_agents(stage: Stage) -> None:
    await stage.set_assistant(assistant_minutes=5, human_minutes=20)
    await stage.hold_assistant()
    answered, held, ada = await stage.customer(), await stage.customer(), await stage.watcher("Ada")
    await answered.write("hello")
    await held.write("hello")
    await ada.take_over(held.conversation_id)
    for customer in (answered, held):
        await make_older(stage, customer.conversation_id, 6)
    await held.write("are you there?")  # holds nothing open: its agent is away
    await make_older(stage, held.conversation_id, 13)
    await stage.handoff.sweeper.age_out()
    assert (await stage.conversation(answered.conversation_id)).closed_by == "age"
    assert (await stage.conversation(held.conversation_id)).status == "active"
    await make_older(stage, held.conversation_id, 2)
    await stage.handoff.sweeper.age_out()
    assert (await stage.conversation(held.conversation_id)).closed_by == "age"
    (takeover,) = await stage.takeovers(held.conversation_id)
    assert (takeover.ended_by, takeover.outcome_id) == ("age", None)
    assert (await held.heard.wait_for("conversation_closed"))["conversation"]["status"] == "closed"
    closed = await ada.heard.wait_for("conversation_closed", lambda fact: fact["conversation_id"] == held.conversation_id)
    assert closed["conversation"]["closed_by"] == "age"


@pytest.mark.parametrize("what", ["customer writes", "agent takes over", "agent writes"])
async def test_whatever_happens_after_it_was_judged_keeps_a_conversation_open(stage: Stage, what: str) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    id = customer.conversation_id
    if what == "agent writes":
        await ada.take_over(id)
    await make_older(stage, id, 31)
    judged = await stage.look(conversations.aged)
    assert [conversation_id for conversation_id, _ in judged] == [id]
    if what == "customer writes":
        await customer.write("still here")
    elif what == "agent takes over":
        await ada.take_over(id)
    else:
        await ada.write(id, "still here")
    await stage.handoff.database.write(id, conversations.age_out, *judged[0])
    assert (await stage.conversation(id)).status == "active"


async def test_agent_customer_and_age_close_at_once_and_one_of_them_did(stage: Stage) -> None:
    await stage.hold_assistant()
    ada = await stage.watcher("Ada")
    outcome = await stage.outcome("Solved")
    for _ in range(10):
        customer = await stage.customer()
        await customer.write("hello")
        id = customer.conversation_id
        version = (await ada.take_over(id))["version"]
        await asyncio.gather(
            ada.ask("close_conversation", conversation_id=id, outcome_id=outcome, note=""),
            customer.ask("end_conversation"),
            stage.handoff.database.write(secrets.token_hex(4), conversations.age_out, id, version),
        )
        closed = await ada.heard.wait_for("conversation_closed", lambda fact, id=id: fact["conversation_id"] == id)
        conversation = await stage.conversation(id)
        assert closed["conversation"]["closed_by"] == conversation.closed_by
        assert (conversation.outcome_id is not None) == (conversation.closed_by == "agent")
        assert len([1 for fact in ada.heard.named("conversation_closed") if fact["conversation_id"] == id]) == 1
        (takeover,) = await stage.takeovers(id)
        assert takeover.ended_by == conversation.closed_by


async def test_closing_what_i_closed_succeeds_and_changes_nothing(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada, ben = await stage.customer(), await stage.watcher("Ada"), await stage.watcher("Ben")
    await customer.write("hello")
    id = customer.conversation_id
    assert (await ada.refused("close_conversation", conversation_id=id, outcome_id=None, note=""))["code"] == "not_owner"
    await ada.take_over(id)
    assert (await ben.refused("close_conversation", conversation_id=id, outcome_id=None, note=""))["code"] == "not_owner"
    first = await ada.do("close_conversation", conversation_id=id, outcome_id=await stage.outcome("Sold"), note="")
    again = await ada.do("close_conversation", conversation_id=id, outcome_id=await stage.outcome("Spam"), note="")
    assert again["conversation"]["outcome"] == first["conversation"]["outcome"]
    assert again["conversation"]["version"] == first["conversation"]["version"]
    assert (await ben.refused("close_conversation", conversation_id=id, outcome_id=None, note=""))["code"] == "closed"
    assert (await ada.refused("post_message", conversation_id=id, client_id="late", text="late"))["code"] == "closed"


async def test_an_outcome_of_another_team_is_none_of_ours(stage: Stage) -> None:
    await stage.hold_assistant()
    theirs, _, _ = await found_team(stage, "Elsewhere")
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    from handoff.models import Outcome

    foreign = await stage.look(lambda: Outcome.get(Outcome.team == theirs).id)
    refusal = await ada.refused("close_conversation", conversation_id=customer.conversation_id, outcome_id=foreign, note="")
    assert refusal["code"] == "invalid"
    assert (await stage.conversation(customer.conversation_id)).status == "active"


async def test_the_next_message_after_a_close_opens_a_new_conversation_with_the_assistant(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    first = customer.conversation_id
    await ada.take_over(first)
    await ada.do("close_conversation", conversation_id=first, outcome_id=None, note="")
    asked = len(held.asked)
    message = await customer.write("one more thing")
    assert (message["number"], message["conversation_id"] != first) == (1, True)
    conversation = await stage.conversation(customer.conversation_id)
    assert (conversation.owner_id, conversation.status) == (None, "active")
    await held.is_asked(asked + 1)


async def test_a_customer_who_was_away_still_gets_what_was_said_before_the_close(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    id = customer.conversation_id
    await ada.take_over(id)
    await customer.leave()
    await ada.write(id, "Goodbye")
    await ada.do("close_conversation", conversation_id=id, outcome_id=None, note="")
    back = await stage.customer(customer.token)
    greeting = await back.heard.wait_for("conversation_opened")
    assert greeting["conversation"] == {"id": id, "status": "closed", "last_number": 2}
    page = await back.do("catch_up", after=1)
    assert ([line["text"] for line in page["messages"]], page["status"]) == (["Goodbye"], "closed")


async def test_a_rating_is_the_customers_last_word_on_their_latest_conversation(stage: Stage) -> None:
    await stage.hold_assistant()
    customer = await stage.customer()
    assert (await customer.refused("rate_conversation", score=5, comment=""))["code"] == "not_found"
    await customer.write("hello")
    await customer.do("end_conversation")
    await customer.do("rate_conversation", score=2, comment="slow")
    await customer.do("rate_conversation", score=4, comment="fine after all")
    conversation = await stage.conversation(customer.conversation_id)
    assert (conversation.score, conversation.comment) == (4, "fine after all")
    for score in (0, 6, True, "5", 4.5):
        assert (await customer.refused("rate_conversation", score=score, comment=""))["code"] == "invalid"


async def test_an_archived_assistant_takes_no_new_conversation_and_its_active_ones_go_on(stage: Stage) -> None:
    await stage.hold_assistant()
    old, new = await stage.customer(), await stage.customer()
    await old.write("hello")
    await stage.set_assistant(archived_at=1)
    await old.write("still there?")
    assert (await new.refused("post_message", client_id="n1", text="hello"))["code"] == "forbidden"
    await old.do("end_conversation")
    assert (await old.refused("post_message", client_id="n2", text="again"))["code"] == "forbidden"
