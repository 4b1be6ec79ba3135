"""The assistant's side of a takeover: after it, not one more word (I2); one turn at a time, and none forgotten (I12)."""

import asyncio
import random
import secrets

import pytest

from handoff import takeovers, turns
from handoff.assistants import NeedsHuman
from handoff.clock import now
from handoff.database import Happened
from handoff.identity import session_of
from handoff.models import Entry, Turn
from tests.cast import Agent, Customer, Stage
from tests.waiting import wait_until


async def assert_silent_after_takeover(stage: Stage, customer: Customer, agent: Agent) -> None:
    """Nothing by the assistant has a number above the takeover, in the table and on both sockets; no draft came after it."""
    id = customer.conversation_id
    (takeover,) = await stage.takeovers(id)
    stored = await stage.messages(id)
    assert [message.number for message in stored] == list(range(1, len(stored) + 1))
    assert all(message.number <= takeover.after for message in stored if message.author == "assistant")
    assert not [turn for turn in await stage.turns(id) if turn.status == "running"]
    names = [name for name, _ in agent.heard.facts]
    assert "draft_changed" not in names[names.index("conversation_taken_over") :]
    shown = [payload["message"] for name, payload in agent.heard.facts if name == "message_posted"]
    assert [line["number"] for line in shown] == sorted(line["number"] for line in shown)


async def watch_closely(agent: Agent, customer: Customer) -> None:
    await agent.do("open_conversation", conversation_id=customer.conversation_id)


async def test_a_takeover_before_the_first_word_leaves_nothing_of_the_answer(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await held.is_asked()
    await watch_closely(ada, customer)
    await ada.take_over(customer.conversation_id)
    held.say("Too late")
    held.finish()
    await wait_until(lambda: held.stopped == 1, 1.0, "the model's stream is closed within a second")
    await ada.write(customer.conversation_id, "Ada here")
    await assert_silent_after_takeover(stage, customer, ada)
    assert [line["text"] for line in await customer.history()] == ["hello", "Ada here"]


async def test_a_takeover_while_the_model_has_sent_nothing_but_space_keeps_no_empty_line(stage: Stage) -> None:
    held = await stage.hold_assistant()
    held.say(" \n\n")
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    (begun,) = await stage.turns(customer.conversation_id)

    async def is_kept() -> bool:
        (turn,) = await stage.turns(customer.conversation_id)
        return turn.claimed_until > begun.claimed_until

    await wait_until(is_kept, 5, "the draft so far is written")
    await ada.take_over(customer.conversation_id)
    await ada.write(customer.conversation_id, "Ada here")
    assert [line["text"] for line in await customer.history()] == ["hello", "Ada here"]
    assert not customer.heard.named("draft_changed")


async def test_a_takeover_between_two_words_keeps_what_the_customer_saw_and_marks_it_for_agents(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await watch_closely(ada, customer)
    held.say("We are **open** ")
    seen = await customer.heard.wait_for("draft_changed")
    await ada.heard.wait_for("draft_changed", lambda draft: draft["text"] == seen["text"])
    await ada.take_over(customer.conversation_id)
    held.say("from nine")
    held.finish()
    await wait_until(lambda: held.stopped == 1, 1.0)
    await ada.write(customer.conversation_id, "Ada here")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 3)
    assert [(line["number"], line["author"], line["text"]) for line in await customer.history()] == [
        (1, "customer", "hello"),
        (2, "assistant", "We are **open** "),
        (3, "assistant", "Ada here"),
    ]
    assert len(customer.heard.named("draft_changed")) == 1
    interrupted = await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["interrupted"])
    assert interrupted["message"]["html"] == "<p>We are <strong>open</strong></p>\n"
    assert (await stage.turns(customer.conversation_id))[0].status == "interrupted"
    await assert_silent_after_takeover(stage, customer, ada)


async def test_an_answer_that_was_complete_but_not_stored_is_refused_by_the_statement_that_numbers_it(stage: Stage) -> None:
    """The writer is not even cancelled here: what it does last comes after the takeover, and the row decides."""
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    (turn,) = await stage.turns(customer.conversation_id)
    await ada.take_over(customer.conversation_id)
    for late in (
        lambda: turns.finish(turn.id, turn.conversation_id, "Late", "<p>Late</p>", "elsewhere"),
        lambda: turns.write_draft(turn.id, turn.conversation_id, "Late"),
    ):
        with pytest.raises(Exception, match="The turn has ended"):
            await stage.handoff.database.write(turn.conversation_id, late)
    assert [message.text for message in await stage.messages(turn.conversation_id)] == ["hello"]


async def test_takeover_and_answer_that_commit_at_the_same_time_never_both_count(stage: Stage) -> None:
    """The two run on different connections of PostgreSQL, as on two processes; whichever commits first, the rule holds."""
    await stage.hold_assistant()
    ada = await stage.member("Ada")
    session = await stage.look(lambda: session_of(ada.cookie).session_id)
    customers = await asyncio.gather(*(stage.customer() for _ in range(40)))
    await asyncio.gather(*(customer.write("hello") for customer in customers))
    answered = 0
    for customer in customers:
        id = customer.conversation_id
        (turn,) = await stage.turns(id)
        await asyncio.gather(
            stage.handoff.database.write(secrets.token_hex(4), takeovers.take_over, session, id),
            stage.handoff.database.write(secrets.token_hex(4), turns.write_draft, turn.id, id, "We are"),
            stage.handoff.database.write(secrets.token_hex(4), turns.finish, turn.id, id, "We are open", "", "elsewhere"),
            return_exceptions=True,
        )
        (takeover,) = await stage.takeovers(id)
        lines = [message for message in await stage.messages(id) if message.author == "assistant"]
        assert len(lines) <= 1
        assert all(line.number <= takeover.after for line in lines)
        assert (await stage.conversation(id)).turn_id is None
        answered += bool(lines and not lines[0].interrupted)
    assert answered < len(customers), "the takeover never came first: this test proves nothing"


async def test_takeovers_at_random_points_of_running_answers_are_followed_by_silence(open_stage) -> None:
    stage = await open_stage(words_per_second=20)
    customers = await asyncio.gather(*(stage.customer() for _ in range(30)))
    agents = await asyncio.gather(*(stage.watcher(f"Agent {number}") for number in range(30)))

    async def meet(customer: Customer, agent: Agent, after_drafts: int) -> None:
        await customer.write("How long does delivery take?")
        await watch_closely(agent, customer)
        await wait_until(lambda: _progress(customer) >= after_drafts, 10)
        await agent.take_over(customer.conversation_id)
        await agent.write(customer.conversation_id, "An agent here")

    chance = random.Random(7)
    pairs = list(zip(customers, agents, strict=True))
    await asyncio.gather(*(meet(customer, agent, chance.randrange(4)) for customer, agent in pairs))
    for customer in customers:
        await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "An agent here")
        takeover = (await stage.takeovers(customer.conversation_id))[0]
        lines = [message for message in await stage.messages(customer.conversation_id) if message.author == "assistant"]
        assert all(line.number <= takeover.after for line in lines)
        last = customer.heard.facts.index(("message_posted", {"message": customer.heard.named("message_posted")[-1]["message"]}))
        assert "draft_changed" not in [name for name, _ in customer.heard.facts[last:]]


def _progress(customer: Customer) -> int:
    """Drafts seen so far; a whole answer counts as all of them."""
    answered = any(fact["message"]["author"] == "assistant" for fact in customer.heard.named("message_posted"))
    return 100 if answered else len(customer.heard.named("draft_changed"))


async def test_a_draft_that_comes_late_from_another_process_is_not_said(stage: Stage) -> None:
    """The broadcasts drop it: its turn has ended."""
    from handoff.events import DraftChanged

    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await held.is_asked()
    await watch_closely(ada, customer)
    (turn,) = await stage.turns(customer.conversation_id)
    await ada.take_over(customer.conversation_id)
    stage.handoff.outbox.put_relayed(DraftChanged(turn.id, turn.conversation_id, "Late"))
    await ada.write(customer.conversation_id, "Ada here")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Ada here")
    await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Ada here")
    assert not customer.heard.named("draft_changed")
    assert not ada.heard.named("draft_changed")


async def test_messages_that_come_during_a_turn_are_answered_together(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("one")
    await held.is_asked()
    await customer.write("two")
    await customer.write("three")
    held.say("First answer")
    held.finish()
    second = await held.is_asked(2)
    assert second.lines == (
        ("customer", "one"),
        ("assistant", "First answer"),
        ("customer", "two"),
        ("customer", "three"),
    )
    assert second.text == "two\nthree"
    held.say("Second answer")
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Second answer")
    texts = [line["text"] for line in await customer.history()]
    assert texts == ["one", "two", "three", "First answer", "Second answer"]
    assert [turn.answers for turn in await stage.turns(customer.conversation_id)] == [1, 3]


async def test_a_question_that_comes_during_an_answer_gets_its_own(open_stage) -> None:
    stage = await open_stage(words_per_second=40)
    await stage.make(lambda: Entry.create(assistant=stage.assistant_id, question="What does it cost?", answer="Ten euros."))
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("How long does delivery take?")
    await customer.heard.wait_for("typing_changed")
    await customer.write("What does it cost?")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 4)
    assert [line["text"][:10] for line in (await customer.history())[2:]] == ["Delivery t", "Ten euros."]
    assert not ada.heard.named("signal_raised")


async def test_who_asks_the_assistant_for_a_person_raises_the_signal(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("Can I talk to a person?")
    assert (await ada.heard.wait_for("signal_raised"))["signal"]["kind"] == "asked_for_human"
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert "told the team" in said["message"]["text"]


async def test_a_turn_whose_assistant_is_not_known_ends_with_the_fallback_text(stage: Stage) -> None:
    await stage.set_assistant(provider="no such provider")
    customer = await stage.customer()
    await customer.write("hello")
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert said["message"]["text"].startswith("Sorry")


async def test_every_turn_begins_with_typing_and_its_draft_only_grows(open_stage) -> None:
    stage = await open_stage(words_per_second=30)
    customer = await stage.customer()
    await customer.write("How long does delivery take?")
    posted = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    names = [name for name, _ in customer.heard.facts]
    assert names.index("typing_changed") < names.index("draft_changed")
    drafts = [payload["text"] for payload in customer.heard.named("draft_changed")]
    for shorter, longer in zip(drafts, [*drafts[1:], posted["message"]["text"]], strict=True):
        assert longer.startswith(shorter.strip())
    assert len({payload["turn"] for payload in customer.heard.named("draft_changed")}) == 1


async def test_a_turn_that_nobody_writes_is_taken_up_under_another_id_and_answered_once(open_stage) -> None:
    stage = await open_stage(sweep_seconds=0.05)
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("hello")
    await held.is_asked()
    held.say("We are ")
    await customer.heard.wait_for("draft_changed")
    (lost,) = await stage.turns(customer.conversation_id)
    await stage.handoff.writers.stop()  # as if its process were gone
    await stage.make(lambda: Turn.update(claimed_until=now() - 1).where(Turn.id == lost.id).execute())
    await held.is_asked(2)
    assert (await customer.heard.wait_for("draft_withdrawn"))["turn"] == lost.id
    held.say("We are open")
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "We are open")
    assert [line["text"] for line in await customer.history()] == ["hello", "We are open"]
    assert [turn.status for turn in await stage.turns(customer.conversation_id)] == ["abandoned", "finished"]


async def test_a_turn_that_is_lost_again_and_again_ends_with_the_fallback_text_and_a_signal(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    for _ in range(turns.ATTEMPTS):
        running = (await stage.turns(customer.conversation_id))[-1]
        await stage.handoff.writers.stop()
        await stage.make(lambda id=running.id: Turn.update(claimed_until=0).where(Turn.id == id).execute())
        await stage.handoff.sweeper.take_up()
        await wait_until(lambda id=running.id: _ended(stage, id), 5)
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert said["message"]["text"].startswith("Sorry")
    assert (await ada.heard.wait_for("signal_raised"))["signal"]["kind"] == "assistant_failed"
    assert [line["author"] for line in await customer.history()] == ["customer", "assistant"]


async def _ended(stage: Stage, turn_id: str) -> bool:
    return (await stage.look(lambda: Turn.get_by_id(turn_id).status)) != "running"


@pytest.mark.parametrize("fault", ["raises", "empty", "endless", "silent"])
async def test_an_answer_that_fails_becomes_the_fallback_text_once_and_a_signal_says_why(open_stage, fault: str) -> None:
    stage = await open_stage(turn_seconds=0.5 if fault == "silent" else 40)
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await held.is_asked()
    if fault == "raises":
        held.say("Half an ", ConnectionError("model went away"))
    elif fault == "empty":
        held.say("  \n")
        held.finish()
    elif fault == "endless":
        held.say(*["x" * 1000] * 17)
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert said["message"]["text"].startswith("Sorry, I cannot answer")
    signal = await ada.heard.wait_for("signal_raised")
    assert signal["signal"]["kind"] == "assistant_failed"
    assert signal["signal"]["reason"]
    assert [line["author"] for line in await customer.history()] == ["customer", "assistant"]
    assert held.stopped == 1


async def test_an_assistant_that_knows_no_answer_says_so_and_raises_a_signal_once(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("Quis custodiet ipsos custodes?")
    await ada.heard.wait_for("signal_raised", lambda fact: fact["signal"]["kind"] == "no_answer")
    await customer.write("Cui bono fuisset?")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 4)
    assert len((await ada.do("watch", assistant_id=stage.assistant_id, filter="needs_human"))["conversations"]) == 1
    assert len(ada.heard.named("signal_raised")) == 1
    await ada.take_over(customer.conversation_id)
    assert (await ada.do("watch", assistant_id=stage.assistant_id, filter="needs_human"))["conversations"] == []


async def test_a_signal_of_a_model_stands_when_its_answer_is_stored(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("A person please")
    held.say(NeedsHuman("asked_for_human", "The customer wants a person."), "I'll ask.")
    held.finish()
    assert (await ada.heard.wait_for("signal_raised"))["signal"]["reason"] == "The customer wants a person."


async def test_what_a_customer_writes_to_an_agent_starts_no_turn(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    await customer.write("are you there?")
    await ada.write(customer.conversation_id, "Yes")
    assert len(await stage.turns(customer.conversation_id)) == 1
    assert len(held.asked) <= 1


async def test_the_end_of_a_conversation_ends_its_turn_and_keeps_what_was_shown(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("hello")
    held.say("We are ")
    await customer.heard.wait_for("draft_changed")
    await customer.do("end_conversation")
    await wait_until(lambda: held.stopped == 1, 1.0)
    await customer.heard.wait_for("conversation_closed")
    assert [(line.author, line.text) for line in await stage.messages(customer.conversation_id)] == [
        ("customer", "hello"),
        ("assistant", "We are "),
    ]


async def test_a_reader_that_comes_in_mid_draft_gets_that_draft_once(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    held.say("We are ")
    draft = await customer.heard.wait_for("draft_changed")
    opened = await ada.do("open_conversation", conversation_id=customer.conversation_id)
    assert opened["draft"] == draft
    again = await stage.customer(customer.token)
    assert (await again.do("catch_up", after=0))["draft"] == draft
    held.say("open")
    held.finish()
    for person in (customer, again, ada):
        posted = await person.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
        assert posted["message"]["text"] == "We are open"
    assert (await again.do("catch_up", after=2)) == {"messages": [], "draft": None, "status": "active", "more": False}


def test_an_operation_says_what_happened_and_nothing_else() -> None:
    assert Happened("answer").facts == ()
