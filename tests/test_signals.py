"""Signals: why a conversation wants a human. Each raised once per cause, settled by whoever comes."""

import asyncio
import json
import time
from typing import Any

import pytest

from handoff import signals as judged
from handoff.assistants import NeedsHuman
from handoff.models import NEVER, Conversation, Seat, Signal
from tests.cast import Stage

QUESTION = "How long does delivery take?"


async def signals(stage: Stage, id: str) -> list[Signal]:
    return await stage.look(lambda: list(Signal.select().where(Signal.conversation == id).order_by(Signal.raised_at)))


async def standing(stage: Stage, id: str) -> list[str]:
    """Kinds of what stands; the conversation's own column must agree."""
    found = [signal for signal in await signals(stage, id) if signal.cleared_at is None]
    needed_since = (await stage.conversation(id)).needed_since
    assert needed_since == min((signal.raised_at for signal in found), default=NEVER)
    return [signal.kind for signal in found]


async def make_wait(stage: Stage, id: str, seconds: int) -> None:
    """As if the customer's unanswered line and the agent's last one were older."""
    older = {name: getattr(Conversation, name) - seconds * 1000 for name in ("waiting_since", "ages_from")}
    await stage.make(lambda: Conversation.update(older).where(Conversation.id == id).execute())


async def sweep(stage: Stage) -> None:
    """As several processes would, at once."""
    await asyncio.gather(*(stage.handoff.sweeper.raise_waiting() for _ in range(3)))


@pytest.fixture
async def quiet(open_stage: Any) -> Stage:
    """A stage whose sweeper waits for the test, and whose assistant does."""
    stage = await open_stage(sweep_seconds=1_000)
    await stage.hold_assistant()
    await stage.set_assistant(phrases=json.dumps(["cancel*", "refund", "speak to my *manager"]))
    return stage


async def test_a_line_with_one_of_the_teams_phrases_raises_it_once(quiet: Stage) -> None:
    customer, ada = await quiet.customer(), await quiet.watcher("Ada")
    await customer.write("Hello there")
    await customer.write("I'm CANCELLING, and I want a refund")
    await customer.write("a refund, do you hear")
    id = customer.conversation_id
    fact = await ada.heard.wait_for("signal_raised")
    assert fact["signal"]["kind"] == "phrase"
    assert fact["signal"]["reason"] == "The customer said “cancelling”."
    assert fact["signal"]["after"] == 2
    assert await standing(quiet, id) == ["phrase"]
    assert len(await signals(quiet, id)) == 1


async def test_a_changed_list_counts_from_the_next_line(quiet: Stage) -> None:
    customer = await quiet.customer()
    await customer.write("demo")
    await quiet.set_assistant(phrases=json.dumps(["demo"]))
    assert await standing(quiet, customer.conversation_id) == []
    await customer.write("a demo!")
    assert await standing(quiet, customer.conversation_id) == ["phrase"]


@pytest.mark.parametrize(
    "text", ["Can I talk to a human?", "HABLAR CON UNA PERSONA", "担当者と話したいです", "let me see your Boss"]
)
async def test_a_line_that_asks_for_a_human_raises_that(quiet: Stage, text: str) -> None:
    await quiet.set_assistant(phrases=json.dumps(["talk to a human", "boss"]))
    customer = await quiet.customer()
    await customer.write(text)
    kinds = await standing(quiet, customer.conversation_id)
    assert kinds == (["phrase"] if "Boss" in text else ["asked_for_human"])
    await customer.do("request_human")
    assert sorted(await standing(quiet, customer.conversation_id)) == sorted({*kinds, "asked_for_human"})
    assert (await quiet.conversation(customer.conversation_id)).changed_at == (await quiet.messages(customer.conversation_id))[
        0
    ].sent_at


async def test_asking_the_same_again_is_noticed_once_and_short_lines_are_not(quiet: Stage) -> None:
    customer = await quiet.customer()
    for text in ("ok", "ok", "yes", "yes", "I ordered 2 lamps", "I ordered 3 lamps", QUESTION):
        await customer.write(text)
    assert await standing(quiet, customer.conversation_id) == []
    await customer.write("how long does DELIVERY take")
    await customer.write("How long does the delivery take??")
    assert [signal.after for signal in await signals(quiet, customer.conversation_id)] == [8]
    assert await standing(quiet, customer.conversation_id) == ["repeating"]


async def test_what_was_asked_long_ago_is_not_asked_again(quiet: Stage) -> None:
    customer = await quiet.customer()
    for text in (QUESTION, *(f"something else number {n}" for n in range(5)), QUESTION):
        await customer.write(text)
    assert await standing(quiet, customer.conversation_id) == []


async def test_an_unanswered_line_is_pointed_out_once_and_settled_by_the_answer(quiet: Stage) -> None:
    held = await quiet.hold_assistant()
    customer, ada = await quiet.customer(), await quiet.watcher("Ada")
    await customer.write(QUESTION)
    id = customer.conversation_id
    await make_wait(quiet, id, 40)
    await sweep(quiet)
    assert await standing(quiet, id) == []
    await make_wait(quiet, id, 21)
    await sweep(quiet)
    await customer.write("are you there?")
    await sweep(quiet)
    assert await standing(quiet, id) == ["waiting"]
    held.say("Five days.")
    held.finish()
    answer = await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert [fact["signal"]["reason"] for fact in ada.heard.named("signal_raised")] == ["No answer for 60 seconds."]
    assert await standing(quiet, id) == []
    assert (await signals(quiet, id))[0].cleared_at == answer["message"]["sent_at"]


async def test_an_answer_settles_the_waiting_and_nothing_else(quiet: Stage) -> None:
    held = await quiet.hold_assistant()
    customer = await quiet.customer()
    await customer.write("refund")
    id = customer.conversation_id
    await make_wait(quiet, id, 61)
    await sweep(quiet)
    assert await standing(quiet, id) == ["phrase", "waiting"]
    held.say(NeedsHuman("no_answer", "Nothing found."), "Hm.")
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert await standing(quiet, id) == ["phrase", "no_answer"]


async def test_each_assistant_has_its_own_patience(quiet: Stage) -> None:
    await quiet.set_assistant(waiting_seconds=600)
    customer = await quiet.customer()
    await customer.write(QUESTION)
    await make_wait(quiet, customer.conversation_id, 570)
    await sweep(quiet)
    assert await standing(quiet, customer.conversation_id) == []
    await make_wait(quiet, customer.conversation_id, 31)
    await sweep(quiet)
    assert await standing(quiet, customer.conversation_id) == ["waiting"]


async def test_a_takeover_settles_all_and_the_agent_has_their_own_time(quiet: Stage) -> None:
    customer, ada = await quiet.customer(), await quiet.watcher("Ada")
    await customer.write("refund")
    id = customer.conversation_id
    await customer.do("request_human")
    await make_wait(quiet, id, 100)
    await sweep(quiet)
    assert len(await standing(quiet, id)) == 3
    taken = await ada.take_over(id)
    assert (taken["signals"], taken["needed_since"]) == ([], None)
    await sweep(quiet)
    await customer.write("cancel it, let me talk to a human: refund")  # to a human, who reads it
    await customer.do("request_human")
    assert await standing(quiet, id) == []
    await make_wait(quiet, id, 40)
    await sweep(quiet)
    assert await standing(quiet, id) == []
    await make_wait(quiet, id, 21)
    await sweep(quiet)
    assert await standing(quiet, id) == ["waiting"]
    await ada.write(id, "Sorry, here I am.")
    assert await standing(quiet, id) == []


async def test_a_customer_who_writes_to_an_absent_agent_is_seen(quiet: Stage) -> None:
    customer, ada, ben = await quiet.customer(), await quiet.watcher("Ada"), await quiet.watcher("Ben")
    await customer.write(QUESTION)
    id = customer.conversation_id
    await ada.take_over(id)
    await ada.write(id, "I will look")
    await quiet.make(lambda: Seat.update(status="ended", ended_at=1).where(Seat.member == ada.member_id).execute())
    await customer.write("are you there?")
    await make_wait(quiet, id, 61)
    await sweep(quiet)
    needing = await ben.do("watch", assistant_id=quiet.assistant_id, filter="needs_human")
    assert [row["id"] for row in needing["conversations"]] == [id]
    assert needing["counts"]["needs_human"] == 1
    assert (await ben.take_over(id))["signals"] == []
    assert await standing(quiet, id) == []


async def test_the_close_settles_all(quiet: Stage) -> None:
    customer = await quiet.customer()
    await customer.write("refund, let me talk to a human")
    id = customer.conversation_id
    assert sorted(await standing(quiet, id)) == ["asked_for_human", "phrase"]
    await customer.do("end_conversation")
    assert await standing(quiet, id) == []


@pytest.mark.parametrize("what", ["answer", "takeover", "close"])
async def test_what_happens_after_it_was_judged_keeps_the_waiting_from_being_raised(quiet: Stage, what: str) -> None:
    held = await quiet.hold_assistant()
    customer, ada = await quiet.customer(), await quiet.watcher("Ada")
    await customer.write(QUESTION)
    id = customer.conversation_id
    await make_wait(quiet, id, 61)
    (seen,) = await quiet.look(judged.unanswered)
    assert seen == (id, 60)
    if what == "answer":
        held.say("Five days.")
        held.finish()
        await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    elif what == "takeover":
        await ada.take_over(id)
    else:
        await customer.do("end_conversation")
    await quiet.handoff.database.write(id, judged.raise_waiting, *seen)
    assert await signals(quiet, id) == []


async def test_noticing_is_quick(quiet: Stage) -> None:
    """With 200 phrases and five earlier lines a usual line is stored within a few milliseconds, a huge one soon after."""
    await quiet.set_assistant(phrases=json.dumps([f"phrase{n}*" for n in range(200)]))
    customer = await quiet.customer()
    for n in range(6):
        await customer.write(f"{n} {QUESTION} " + "How much is the blue lamp with the golden foot? " * (80 if n > 3 else 1))
    begun = time.perf_counter()
    for n in range(20):
        await customer.write(f"And what about the lamp number {n} with the silver foot?")
    assert time.perf_counter() - begun < 4  # a bound against mistakes of another order; the machine is shared
