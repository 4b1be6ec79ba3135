"""Whose answer is written when, how often, and what is noted meanwhile."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from handoff import memory, writers
from handoff.assistants import AnswerFailed, Remember
from handoff.assistants.places import Places
from handoff.errors import TurnEnded
from handoff.models import Customer as CustomerRow
from handoff.models import Message, Turn
from handoff.seals import Seal
from handoff.second_factor import Secrets
from handoff.writers import ANSWERS_AN_HOUR, LINES
from tests.cast import Customer, HeldAssistant, Stage, found_team
from tests.waiting import wait_until

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FALLBACK = "Sorry, I cannot answer that just now. Please try again in a moment."


class Row:
    """People who stand in line for places, in the order in which they were let in."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.let_in: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def stand(self, *names: str) -> None:
        """The letter of a name is the team's."""
        for name in names:
            self._tasks[name] = asyncio.create_task(self._stay(name))
            await asyncio.sleep(0)

    async def _stay(self, name: str) -> None:
        async with self.places.place(name[0]):
            self.let_in.append(name)
            await asyncio.Event().wait()

    async def leave(self, *names: str) -> None:
        for name in names:
            self._tasks[name].cancel()
            await asyncio.gather(self._tasks[name], return_exceptions=True)
            await asyncio.sleep(0)


async def test_teams_are_let_in_by_turns_however_many_one_of_them_sends() -> None:
    row = Row(Places(2))
    await row.stand("a1", "a2", "a3", "a4", "a5", "b1", "c1", "b2")
    assert row.let_in == ["a1", "a2"]
    for name in ("a1", "a2", "a3", "b1", "c1", "a4"):
        await row.leave(name)
    assert row.let_in == ["a1", "a2", "a3", "b1", "c1", "a4", "b2", "a5"]


async def test_who_leaves_the_line_is_not_called_and_no_place_is_lost() -> None:
    row = Row(Places(1))
    await row.stand("a1", "b1", "b2", "c1")
    await row.leave("b1", "c1", "a1")
    assert row.let_in == ["a1", "b2"]
    await row.leave("b2")
    await row.stand("d1")
    assert row.let_in[-1] == "d1"


async def test_whose_turn_comes_in_the_moment_of_leaving_hands_the_place_on() -> None:
    places = Places(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(places.place("a"))
        row = Row(places)
        await row.stand("b1", "c1")
        first = row._tasks["b1"]
        stack.push_async_callback(row.leave, "c1")
        stack.callback(first.cancel)  # and right after it the place is given: both before the task runs again
    await wait_until(lambda: "c1" in row.let_in or places._free == 1)
    async with asyncio.timeout(1), places.place("d"):
        pass


async def test_the_line_of_a_team_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handoff.assistants.places.WAITING", 2)
    row = Row(Places(1))
    await row.stand("a1", "a2", "a3")
    with pytest.raises(AnswerFailed, match="Too many"):
        async with row.places.place("a"):
            pass
    await row.stand("b1")
    await row.leave("a1")
    assert row.let_in == ["a1", "a2"]
    await row.leave("a2")
    assert row.let_in[-1] == "b1"
    await row.leave("a3", "b1")


async def ask(stage: Stage, key: str) -> Customer:
    customer = await stage.customer(key=key)
    await customer.write("hello")
    return customer


async def test_a_team_that_floods_does_not_starve_another(stage: Stage) -> None:
    stage.handoff.writers._places = Places(3)
    held = await stage.hold_assistant()
    _, other, other_key = await found_team(stage, "Others")
    stage.assistant_id, mine = other, stage.assistant_id
    await stage.set_assistant(provider="held")
    for _ in range(6):
        await ask(stage, stage.widget_key)
    await held.is_asked(3)
    quiet = await ask(stage, other_key)
    await wait_until(lambda: len(stage.handoff.writers._places._waiting) == 2, what="both teams stand in line")
    assert [question.assistant_id for question in held.asked] == [mine] * 3
    for _ in range(2):
        held.say("Here.")
        held.finish()
    await wait_until(lambda: other in [question.assistant_id for question in held.asked[3:5]], 5, "the other team's turn")
    for _ in range(6):
        held.say("Here.")
        held.finish()
    await quiet.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")


async def test_after_twenty_answers_within_an_hour_the_conversation_is_a_persons(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    for number in range(ANSWERS_AN_HOUR):
        await answered(customer, held, f"line {number}", "Here.")
    assert not ada.heard.named("signal_raised")
    await customer.write("one more")
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == FALLBACK)
    signal = (await ada.heard.wait_for("signal_raised"))["signal"]
    assert (signal["kind"], signal["after"]) == ("assistant_failed", said["message"]["number"])
    assert "20 times within an hour" in signal["reason"]
    assert len(held.asked) == ANSWERS_AN_HOUR
    await stage.make(lambda: Turn.update(ended_at=Turn.ended_at - 3_600_000).execute())
    await answered(customer, held, "an hour later", "Here again.")
    assert [turn.status for turn in await stage.turns(customer.conversation_id)][-2:] == ["refused", "finished"]


async def test_the_built_in_assistant_which_costs_nobody_anything_answers_as_often_as_it_is_asked(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    for number in range(ANSWERS_AN_HOUR + 1):
        await customer.write("hello")
        await wait_until(lambda n=number: len(customer.heard.named("message_posted")) == 2 * n + 2, what=f"answer {number + 1}")
    assert not [said for said in customer.heard.named("message_posted") if said["message"]["text"] == FALLBACK]
    assert not [raised for raised in ada.heard.named("signal_raised") if raised["signal"]["kind"] == "assistant_failed"]


async def answered(customer: Customer, held: HeldAssistant, text: str, answer: str) -> None:
    number = (await customer.write(text))["number"]
    held.say(answer)
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == number + 1)


@ON_ONE
async def test_lines_that_pour_in_after_a_turn_began_push_none_of_its_own_out(stage: Stage) -> None:
    held, customer = await stage.hold_assistant(), await stage.customer()
    await customer.write("First?")
    await held.is_asked()
    turn = await stage.look(lambda: Turn.get(Turn.status == "running"))
    lines = [{"conversation": turn.conversation_id, "number": 2 + at, "author": "customer", "text": "More"} for at in range(LINES)]
    await stage.make(lambda: [Message.create(**line) for line in lines] and None)
    assert (await stage.look(lambda: writers.ask(turn.id))).question.text == "First?"


async def test_what_is_noted_has_its_bounds_and_fills_only_what_is_empty_and_plausible(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("hello")
    held.say(
        Remember("Name", "http://spam.example"), Remember("email", "not an address"), Remember("company", "Tide\x00 & \ud800Sons")
    )
    held.say(Remember("x" * 60, "y" * 600), Remember("  ", "nothing"), Remember("need", "\n"))
    held.say(*(Remember(f"thing {number}", "1") for number in range(30)), Remember("company", "Tide and Sons"))
    held.say("Thanks.")
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Thanks.")
    row = await stage.look(lambda: CustomerRow.get())
    kept = json.loads(row.remembered)
    assert (row.name, row.email) == (None, None)
    assert len(kept) == memory.NAMES
    assert kept["company"] == "Tide and Sons"
    assert kept["x" * 40] == "y" * 500
    held.say(Remember("name", "Eve Holt"), Remember("e-mail", "eve@example.org"), Remember("name", "Mallory"), "Hello.")
    await customer.write("I am Eve")
    held.finish()
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Hello.")
    row = await stage.look(lambda: CustomerRow.get())
    assert (row.name, row.email) == ("Eve Holt", "eve@example.org")


async def test_nothing_is_noted_and_nobody_called_for_a_turn_that_has_ended(stage: Stage) -> None:
    from handoff import turns

    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    (turn,) = await stage.turns(customer.conversation_id)
    await ada.take_over(customer.conversation_id)
    at = (turn.id, customer.conversation_id)
    for late in (lambda: memory.remember(*at, "name", "Eve"), lambda: turns.call_human(*at, "asked_for_human", "Late")):
        with pytest.raises(TurnEnded):
            await stage.handoff.database.write(customer.conversation_id, late)
    assert await stage.look(lambda: CustomerRow.get().remembered) == "{}"
    assert not ada.heard.named("signal_raised")


def test_what_is_sealed_for_one_purpose_opens_for_no_other() -> None:
    sealed = Seal("a key of sixteen letters", "assistant keys").close("sk-1")
    assert "sk-1" not in sealed
    assert Seal("a key of sixteen letters", "assistant keys").open(sealed) == "sk-1"
    assert Seal("a key of sixteen letters", "second factor").open(sealed) is None
    assert Seal("another key of sixteen", "assistant keys").open(sealed) is None
    assert Seal("a key of sixteen letters", "assistant keys").open(None) is None


def test_second_factors_that_were_sealed_before_still_open() -> None:
    """Sealed by the code that was there before the seals."""
    before = (
        "gAAAAABrA2KMXf7-GHXIr1BdKvLuS7IBGF6REFGa2-n1bKBX0deoqNWLkpneySg6SnrIMPEMUwyf5Bwrtzhn6Y7aYaSa5f8uBN0zElnvVyFSv9eXw3U4j80="
    )
    assert Secrets("the key of an older Handoff").open(before) == "JBSWY3DPEHPK3PXP"
