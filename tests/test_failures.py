"""However a provider fails: the customer gets the fallback text, once and in time, and the agents a signal that says why.

Each test reports how long the customer waited. The caps are shorter here than an operator's: 2 s stand for 40.
"""

import asyncio
import gzip
import time
from dataclasses import dataclass
from typing import Any

import pytest

from handoff.models import Message, Turn
from tests.cast import Agent, Customer, Stage, found_team
from tests.stubs import KEY, Call, ModelStub, Script, Stub, WebhookStub

TOTAL = 2.0
CAPS = {"allow_private_addresses": True, "first_byte_seconds": 0.5, "idle_seconds": 0.5, "turn_seconds": TOTAL}
SLACK = 2.5  # two busy cores; 5 s stand beside the real 40
HALF = "Half an answer "
BOMB = gzip.compress(b'{"text": "' + b"x" * 20_000_000 + b'"}')  # 20 kB


@dataclass
class Case:
    """A customer who asks an assistant behind a stub, and an agent who watches."""

    stub: Stub
    customer: Customer
    agent: Agent


def script_of(fault: str, stub: Stub) -> Script:
    async def after_half(call: Call, *raw: bytes) -> None:
        await call.head()
        await call.send(stub.text(HALF))
        await asyncio.sleep(0.4)  # until somebody has seen it
        for data in raw:
            await call.send(data)

    async def breaks(call: Call) -> None:
        await after_half(call)
        call.cut()

    async def is_cut(call: Call) -> None:
        await after_half(call)
        await call.end()

    async def stalls(call: Call) -> None:
        await after_half(call)
        await stub.holds(call)

    async def drips(call: Call) -> None:
        await call.head()
        while True:
            await call.send(stub.text("so "))
            await asyncio.sleep(0.1)

    async def never_ends(call: Call) -> None:
        await after_half(call)
        while True:
            await call.send(stub.text("and so on " * 50))
            await asyncio.sleep(0)  # it shares a loop with who is to stop it

    async def bad_utf8(call: Call) -> None:
        await after_half(call, b"data: \xff\xfe\xfa\n\n")
        await stub.holds(call)

    async def explodes(call: Call) -> None:
        await call.head(200, "application/json", Content_Encoding="gzip")
        await call.send(BOMB)
        await call.end()

    scripts: dict[str, Script] = {
        "hangs": stub.holds,
        "401": stub.fails(401, b'{"error": "wrong key sk-the-key-of-the-stub"}'),
        "429 with Retry-After": stub.fails(429, Retry_After="60"),
        "500": stub.fails(500),
        "HTML instead of JSON": stub.fails(200, b"<h1>Welcome</h1>", "text/html"),
        "redirect": stub.fails(302, Location="http://127.0.0.1:1/"),
        "broken stream": breaks,
        "cut in mid-stream": is_cut,
        "stalls in mid-stream": stalls,
        "drips for ever": drips,
        "empty": stub.says(),
        "endless": never_ends,
        "bad UTF-8": bad_utf8,
        "gzip bomb": explodes,
    }
    return scripts[fault]


FAULTS = {
    "refused": "refused the connection",
    "hangs": "did not begin to answer within 0.5 seconds",
    "401": "refused the key (401)",
    "429 with Retry-After": "too many requests (429)",
    "500": "an error of its own (500)",
    "HTML instead of JSON": "sent text/html instead of",
    "redirect": "not followed",
    "broken stream": "broke off",
    "cut in mid-stream": "was cut off",
    "stalls in mid-stream": "paused for more than 0.5 seconds",
    "drips for ever": "2 seconds",
    "empty": "was empty",
    "endless": "did not end",
    "bad UTF-8": "not UTF-8",
    "gzip bomb": "compressed",
}
SHOWN = ("broken stream", "cut in mid-stream", "stalls in mid-stream", "bad UTF-8", "drips for ever")


@pytest.fixture
async def cases(open_stage):
    """One customer of a model's and one of a webhook's, each in a team of their own."""
    stage: Stage = await open_stage(**CAPS)
    async with ModelStub() as model, WebhookStub() as webhook:
        second = await found_team(stage, "Webhookers")
        teams = ((model, (stage.team_id, stage.assistant_id, stage.widget_key)), (webhook, second))
        made = [await _case(stage, stub, *ids) for stub, ids in teams]
        yield stage, made


async def _case(stage: Stage, stub: Stub, team_id: str, assistant_id: str, key: str) -> Case:
    stage.assistant_id = assistant_id
    await stage.set_assistant(**stub.settings())
    agent = await stage.watcher(f"Agent of the {stub.kind}", team=team_id)
    return Case(stub, await stage.customer(key=key), agent)


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_customer_gets_the_fallback_text_in_time_and_the_agents_the_reason(cases, fault: str, record_property) -> None:
    stage, (model, webhook) = cases
    waits = await asyncio.gather(*(_fails(stage, case, fault) for case in (model, webhook)))
    record_property("waited", waits)
    print(f"{fault}: the customer of a model waited {waits[0]:.2f} s, of a webhook {waits[1]:.2f} s")
    assert max(waits) < TOTAL + SLACK


async def _fails(stage: Stage, case: Case, fault: str) -> float:
    stub, customer = case.stub, case.customer
    if fault == "refused":
        await stub.__aexit__()
    else:
        stub.will(script_of(fault, stub))
    began = time.monotonic()
    await customer.write("How long does delivery take?")
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    waited = time.monotonic() - began
    assert said["message"]["text"].startswith("Sorry, I cannot answer that")
    signal = (await case.agent.heard.wait_for("signal_raised"))["signal"]
    assert signal["kind"] == "assistant_failed"
    assert FAULTS[fault] in signal["reason"]
    assert KEY not in signal["reason"] and "127.0.0.1" not in signal["reason"]
    await _nothing_of_the_half_is_left(stage, customer, fault)
    if stub.calls:
        await stub.calls[-1].is_closed(1)
    return waited


async def _nothing_of_the_half_is_left(stage: Stage, customer: Customer, fault: str) -> None:
    history = await customer.history()
    assert [line["author"] for line in history] == ["customer", "assistant"]
    assert HALF.strip() not in repr(history)
    shown = {draft["turn"] for draft in customer.heard.named("draft_changed")}
    withdrawn = {draft["turn"] for draft in customer.heard.named("draft_withdrawn")}
    assert shown <= withdrawn
    assert bool(shown) or fault not in SHOWN, "nothing was shown: this test proves nothing"
    names = [name for name, _ in customer.heard.facts]
    assert "draft_changed" not in names[names.index("draft_withdrawn") :]
    (turn,) = await stage.turns(customer.conversation_id)
    assert turn.status == "failed"


async def test_a_customer_who_goes_on_is_answered_when_the_provider_is_well_again(cases) -> None:
    stage, (model, _) = cases
    model.stub.will(model.stub.fails(401), model.stub.says("Five days."))
    await model.customer.write("How long?")
    await model.customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 2)
    await model.customer.write("And now?")
    said = await model.customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 4)
    assert said["message"]["text"] == "Five days."
    assert [turn.status for turn in await stage.turns(model.customer.conversation_id)] == ["failed", "finished"]


async def test_a_failing_provider_leaves_no_secret_in_the_log(cases, capfd: pytest.CaptureFixture[str]) -> None:
    _, both = cases
    for case in both:
        case.stub.will(script_of("broken stream", case.stub))
        await case.customer.write("My number is 4111-1111")
        await case.customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 2)
    logged = "".join(capfd.readouterr())
    assert KEY not in logged and "4111" not in logged and HALF not in logged


async def test_the_time_counts_from_the_customers_line_and_not_from_the_start_of_the_turn(cases) -> None:
    """Whoever was away longer than an answer may take says so at once."""
    stage, (model, _) = cases
    model.stub.will(model.stub.holds)
    await model.customer.write("How long?")
    await model.stub.is_asked()
    await stage.handoff.writers.stop()  # as if its process were gone, for longer than the caps allow
    await stage.make(lambda: Message.update(sent_at=Message.sent_at - 60_000).execute())
    await stage.make(lambda: Turn.update(claimed_until=0).execute())
    await stage.handoff.sweeper.take_up()
    said = await model.customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    assert said["message"]["text"].startswith("Sorry")
    assert len(model.stub.calls) == 1


def caps_of(settings: Any) -> tuple[float, float, float]:
    return settings.first_byte_seconds, settings.idle_seconds, settings.turn_seconds


def test_the_real_caps_leave_five_seconds_to_store_the_fallback() -> None:
    from handoff.settings import Settings

    assert caps_of(Settings(_env_file=None, secret_key="x" * 16)) == (15, 10, 40)
