"""A takeover at each point of an answer that comes over HTTP: nothing of it is heard any more, its connection is closed (I2)."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from handoff.database import Happened
from handoff.events import DraftChanged
from handoff.models import Customer as CustomerRow
from handoff.models import Turn
from tests.apart import STARTED, served_apart
from tests.cast import Agent, Customer, Stage
from tests.stubs import Hand, ModelStub, Stub, WebhookStub
from tests.waiting import wait_until

CAPS = {"allow_private_addresses": True}
KINDS = {"model": ModelStub, "webhook": WebhookStub}


@pytest.fixture(params=KINDS)
async def stub(request: pytest.FixtureRequest):
    async with KINDS[request.param]() as made:
        yield made


@pytest.fixture
async def stage(open_stage, stub: Stub) -> Stage:
    stage = await open_stage(**CAPS, sweep_seconds=0.1)
    await stage.set_assistant(**stub.settings())
    return stage


async def begin(stage: Stage, stub: Stub) -> tuple[Customer, Agent, Hand]:
    """A customer has asked, the stub waits for a hand, and Ada reads along."""
    hand = Hand(stub)
    stub.will(hand)
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("I am Eve. How long does delivery take?")
    await stub.is_asked()
    await ada.do("open_conversation", conversation_id=customer.conversation_id)
    return customer, ada, hand


async def take_over(stub: Stub, customer: Customer, ada: Agent) -> None:
    """At once, and the connection to the provider is closed within a second."""
    began = time.monotonic()
    await ada.take_over(customer.conversation_id)
    taken = time.monotonic()
    assert taken - began < 1, "a takeover does not wait for a provider"
    closed = [await call.is_closed(2) for call in stub.calls]
    assert max(closed) - taken < 1


async def assert_silent(stage: Stage, customer: Customer, ada: Agent, *said: str) -> None:
    """Ada goes on; before her line there is only what was `said`, and after the takeover nothing of the assistant."""
    id = customer.conversation_id
    await ada.write(id, "Ada here")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Ada here")
    await ada.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Ada here")
    assert [line.text for line in await stage.messages(id)][1:] == [*said, "Ada here"]
    takeover = (await stage.takeovers(id))[-1]
    assert all(line.number <= takeover.after for line in await stage.messages(id) if line.author == "assistant")
    names = [name for name, _ in ada.heard.facts]
    after = names[names.index("conversation_taken_over") :]
    assert not {"draft_changed", "conversation_changed", "signal_raised"} & set(after)
    heard = [name for name, _ in customer.heard.facts]
    assert "draft_changed" not in heard[max(at for at, name in enumerate(heard) if name == "message_posted") :]
    assert not [turn for turn in await stage.turns(id) if turn.status == "running"]


class Gate:
    """Holds up the lane of a conversation, so that what is asked meanwhile waits behind it in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._open, self._is_closed = threading.Event(), threading.Event()

    async def close(self, conversation_id: str) -> None:
        self._holding = asyncio.create_task(self.stage.handoff.database.write(conversation_id, self._hold))
        await wait_until(self._is_closed.is_set)

    def _hold(self) -> Happened[None]:
        self._is_closed.set()
        self._open.wait(3)
        return Happened(None)

    async def is_waited_at(self, *names: str) -> None:
        """Until these operations wait, in this order; a turn's sign of life may wait among them."""
        await wait_until(lambda: [name for name in self._waiting() if name in names] == [*names], 2, " and ".join(names))

    def _waiting(self) -> list[str]:
        return [job.operation.__name__ for lane in self.stage.handoff.database._lanes for job in [*lane.jobs.queue] if job]

    def open(self) -> None:
        self._open.set()


async def remembered(stage: Stage) -> set[str]:
    return set(await stage.look(lambda: [row.remembered for row in CustomerRow.select()]))


async def test_before_the_first_token(stage: Stage, stub: Stub) -> None:
    customer, ada, hand = await begin(stage, stub)
    await take_over(stub, customer, ada)
    hand.say("Too late")
    await assert_silent(stage, customer, ada)
    assert not customer.heard.named("draft_changed")


async def test_while_the_provider_has_not_even_answered(stage: Stage, stub: Stub) -> None:
    customer, ada, _ = await begin(stage, stub)
    await ada.take_over(customer.conversation_id)
    stub.will(stub.holds)
    other = await stage.customer()
    await other.write("hello")
    await stub.is_asked(2)
    await take_over(stub, other, ada)
    await assert_silent(stage, customer, ada)


async def test_between_two_tokens(stage: Stage, stub: Stub) -> None:
    customer, ada, hand = await begin(stage, stub)
    hand.say("Five ", "days")
    await customer.heard.wait_for("draft_changed", lambda draft: draft["text"] == "Five days")
    await ada.heard.wait_for("draft_changed", lambda draft: draft["text"] == "Five days")
    await take_over(stub, customer, ada)
    hand.say(" and a raft")
    hand.finish()
    await assert_silent(stage, customer, ada, "Five days")


async def test_after_the_last_token_and_before_the_commit(stage: Stage, stub: Stub) -> None:
    """The lane is held up, so that the takeover and, behind it, the whole answer wait for their commit."""
    customer, ada, hand = await begin(stage, stub)
    hand.say("Five days")
    await customer.heard.wait_for("draft_changed")
    gate = Gate(stage)
    await gate.close(customer.conversation_id)
    taking = asyncio.create_task(ada.take_over(customer.conversation_id))
    await gate.is_waited_at("take_over")
    hand.finish()
    await gate.is_waited_at("take_over", "finish")
    gate.open()
    await taking
    await assert_silent(stage, customer, ada, "Five days")
    assert [line.interrupted for line in await stage.messages(customer.conversation_id)] == [False, True, False]


async def test_inside_the_tool_call(stage: Stage, stub: Stub) -> None:
    customer, ada, hand = await begin(stage, stub)
    hand.say("One moment.")
    await customer.heard.wait_for("draft_changed")
    noted = stub.note("need", "a lamp")
    hand.say(noted[: len(noted) // 2])
    await take_over(stub, customer, ada)
    hand.say(noted[len(noted) // 2 :])
    hand.finish()
    await assert_silent(stage, customer, ada, "One moment.")
    assert await remembered(stage) == {"{}"}


async def test_between_the_tool_call_and_its_note(stage: Stage, stub: Stub) -> None:
    """The call was read; what it asks for waits behind the takeover and is not done."""
    customer, ada, hand = await begin(stage, stub)
    gate = Gate(stage)
    await gate.close(customer.conversation_id)
    taking = asyncio.create_task(ada.take_over(customer.conversation_id))
    await gate.is_waited_at("take_over")
    hand.say(stub.note("need", "a lamp"))
    if isinstance(stub, ModelStub):
        hand.say(stub.calls_over())
    await gate.is_waited_at("take_over", "remember")
    gate.open()
    await taking
    await stub.calls[0].is_closed(1)
    await assert_silent(stage, customer, ada)
    assert await remembered(stage) == {"{}"}


async def test_in_the_retry_after_its_process_was_lost(stage: Stage, stub: Stub) -> None:
    customer, ada, hand = await begin(stage, stub)
    hand.say("Lost words")
    await customer.heard.wait_for("draft_changed")
    await stage.handoff.writers.stop()  # as if its process were gone
    (lost,) = await stage.turns(customer.conversation_id)
    await stage.make(lambda: Turn.update(claimed_until=0).execute())
    again = await stub.is_asked(2)
    if isinstance(stub, WebhookStub):
        assert again.json["event"] == stub.calls[0].json["event"]
    assert (await customer.heard.wait_for("draft_withdrawn"))["turn"] == lost.id
    hand.say("Five days")
    await customer.heard.wait_for("draft_changed", lambda draft: draft["text"] == "Five days")
    await take_over(stub, customer, ada)
    for turn in await stage.turns(customer.conversation_id):
        stage.handoff.outbox.put_relayed(DraftChanged(turn.id, customer.conversation_id, "Late"))
    hand.finish()
    await assert_silent(stage, customer, ada, "Five days")


async def test_who_is_stopped_in_the_moment_of_a_commit_stops(stage: Stage) -> None:
    """A draft and the takeover in one batch: the writer's cancellation must not be lost with the answer that came first."""
    database, loop = stage.handoff.database, asyncio.get_running_loop()
    announce = database.announce
    writing = asyncio.create_task(database.write("key", lambda: Happened("done", ["stop"])))
    database.announce = lambda facts: loop.call_soon(writing.cancel)
    try:
        with pytest.raises(asyncio.CancelledError):
            await writing
    finally:
        database.announce = announce


async def test_a_draft_is_updated_five_times_a_second_at_most_and_only_for_who_reads_it(stage: Stage, stub: Stub) -> None:
    customer, ada, _ = await begin(stage, stub)
    ben = await stage.watcher("Ben")
    await take_over(stub, customer, ada)
    stub.will(stub.says(*("word " for _ in range(100)), pause=0.01))
    other = await stage.customer()
    began = time.monotonic()
    await other.write("hello")
    await other.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert 1 < len(other.heard.named("draft_changed")) <= (time.monotonic() - began) * 5 + 1
    await ben.heard.wait_for("typing_changed", lambda fact: fact["conversation_id"] == other.conversation_id)
    assert not ben.heard.named("draft_changed")
    assert not [draft for draft in ada.heard.named("draft_changed") if draft["conversation_id"] == other.conversation_id]


@pytest.mark.slow
async def test_twenty_replies_that_a_kill_ends_are_given_whole_or_as_the_fallback_with_a_signal(
    database_url: str, tmp_path: Path
) -> None:
    """Half of the customers ask a model that is well after the restart, half a webhook that is gone by then."""
    settings = {"allow_private_addresses": True, "lease_seconds": 1, "sweep_seconds": 0.2}
    answer = [f"word{number} " for number in range(30)]
    async with ModelStub() as model, WebhookStub() as webhook, served_apart(database_url, tmp_path, **settings) as (stage, process):
        for stub in (model, webhook):
            stub.will(stub.says(*answer, pause=0.1))
        customers = await asyncio.gather(*(stage.customer() for _ in range(20)))
        for stub, half in ((model, customers[:10]), (webhook, customers[10:])):
            await stage.set_assistant(**stub.settings())
            await asyncio.gather(*(customer.write("how long?") for customer in half))
            await asyncio.gather(*(customer.heard.wait_for("draft_changed") for customer in half))
        process.kill()
        await webhook.__aexit__()
        # One assistant stands for both: whoever is asked again now gets what its settings say by then.
        await process.start(STARTED)
        await wait_until(lambda: _all_are_answered(stage, customers), 40, "everybody is answered")
        for customer in customers:
            _, said = await stage.messages(customer.conversation_id)
            signals = [signal["kind"] for signal in await _signals(stage, customer)]
            assert (said.text, signals) in [("".join(answer).strip(), []), (FALLBACK, ["assistant_failed"])]
            assert not said.interrupted
        assert not await stage.look(lambda: Turn.select().where(Turn.status == "running").count())


FALLBACK = "Sorry, I cannot answer that just now. Please try again in a moment."


async def _all_are_answered(stage: Stage, customers: list[Customer]) -> bool:
    lines = [await stage.messages(customer.conversation_id) for customer in customers]
    return all(len(said) == 2 for said in lines)


async def _signals(stage: Stage, customer: Customer) -> list[dict]:
    from handoff import signals

    return await stage.look(lambda: signals.of(customer.conversation_id))
