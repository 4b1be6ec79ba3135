"""A webhook: the team's own assistant, asked by a signed POST. The example in the README is one."""

import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from handoff.assistants import AnswerFailed, NeedsHuman, Piece, Question, Remember
from tests.cast import Stage
from tests.servers import LOOPBACK, Program, free_port
from tests.stubs import KEY, Call, WebhookStub

SHORT = {"allow_private_addresses": True, "first_byte_seconds": 0.6, "idle_seconds": 0.6, "turn_seconds": 3}
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture
async def stage(open_stage) -> Stage:
    return await open_stage(**SHORT)


@pytest.fixture
async def stub():
    async with WebhookStub() as made:
        yield made


async def asked(stage: Stage, stub: WebhookStub, **settings: Any) -> list[Piece]:
    lines = (("customer", "Hello"), ("assistant", "Hi!"), ("customer", "How long?"), ("customer", "To Rome"))
    question = Question("c-1", "a-1", 0, lines, "t-1", stub.provider(**settings), "c-1-4")
    return [piece async for piece in stage.handoff.writers.providers["webhook"].answer(question)]


async def reason(stage: Stage, stub: WebhookStub, **settings: Any) -> str:
    with pytest.raises(AnswerFailed) as failure:
        await asked(stage, stub, **settings)
    assert KEY not in str(failure.value) and stub.url.removeprefix("http://") not in str(failure.value)
    return str(failure.value)


@ON_ONE
async def test_it_is_sent_the_transcript_signed_with_its_time_and_event(stage: Stage, stub: WebhookStub) -> None:
    stub.will(stub.says("Five days."))
    assert await asked(stage, stub) == ["Five days."]
    (call,) = stub.calls
    assert call.json == {
        "event": "c-1-4",
        "team": "t-1",
        "assistant": "a-1",
        "conversation": "c-1",
        "transcript": [
            {"author": "customer", "text": "Hello"},
            {"author": "assistant", "text": "Hi!"},
            {"author": "customer", "text": "How long?"},
            {"author": "customer", "text": "To Rome"},
        ],
        "question": "How long?\nTo Rome",
    }
    sent_at = call.headers["Handoff-Time"]
    assert abs(int(sent_at) - time.time()) < 5
    assert call.headers["Handoff-Event"] == "c-1-4"
    expected = hmac.new(KEY.encode(), f"{sent_at}.".encode() + call.body, hashlib.sha256).hexdigest()
    assert call.headers["Handoff-Signature"] == expected


@ON_ONE
async def test_it_may_answer_in_one_piece_of_json(stage: Stage, stub: WebhookStub) -> None:
    reply = {"text": "I ask the team.", "request_human": "He wants a discount.", "remember": {"company": "Tide", "lamps": 200}}
    stub.will(stub.fails(200, json.dumps(reply).encode()))
    assert await asked(stage, stub) == [
        Remember("company", "Tide"),
        Remember("lamps", "200"),
        NeedsHuman("asked_for_human", "He wants a discount."),
        "I ask the team.",
    ]


@ON_ONE
async def test_it_may_stream_and_end_by_an_event_of_that_name(stage: Stage, stub: WebhookStub) -> None:
    async def streams(call: Call) -> None:
        await call.head()
        await call.send(stub.wish("A question of money.") + stub.text("Five ") + stub.text("days.") + b"event: done\ndata: {}\n\n")
        await stub.holds(call)

    stub.will(streams)
    assert await asked(stage, stub) == [NeedsHuman("asked_for_human", "A question of money."), "Five ", "days."]
    await stub.calls[0].is_closed(1)


@ON_ONE
async def test_what_it_notes_and_wishes_again_and_again_counts_once(stage: Stage, stub: WebhookStub) -> None:
    """Each is a write; a stream of thousands would keep everybody else's waiting."""
    notes = [stub.note(f"fact {number % 30}", "so") for number in range(3_000)]
    wishes = [stub.wish(f"Look {number}") for number in range(3_000)]
    stub.will(stub.says(b"".join([*notes, *wishes]), "Hello."))
    first = [Remember(f"fact {number}", "so") for number in range(20)]
    assert await asked(stage, stub) == [*first, NeedsHuman("asked_for_human", "Look 0"), "Hello."]


@ON_ONE
async def test_it_is_asked_again_with_the_same_event_while_nothing_was_shown(stage: Stage, stub: WebhookStub) -> None:
    async def cuts(call: Call) -> None:
        call.cut()

    stub.will(stub.fails(500), cuts, stub.says("Here."))
    assert await asked(stage, stub) == ["Here."]
    assert {call.json["event"] for call in stub.calls} == {"c-1-4"}
    assert len(stub.calls) == 3


@ON_ONE
async def test_it_is_not_asked_again_once_something_was_shown(stage: Stage, stub: WebhookStub) -> None:
    async def half(call: Call) -> None:
        await call.head()
        await call.send(stub.text("Half an "))
        call.cut()

    stub.will(half, stub.says("Here."))
    assert await reason(stage, stub) == "The webhook broke off."
    assert len(stub.calls) == 1


LIES = {
    "no JSON": b"<b>hello</b>",
    "a list": b"[]",
    "text that is a number": b'{"text": 5}',
    "notes that are a list": b'{"text": "x", "remember": ["a"]}',
    "a wish that is an object": b'{"text": "x", "request_human": {}}',
    "an error": b'{"error": "db password is hunter2"}',
    "bad UTF-8": b'{"text": "\xff"}',
}


@ON_ONE
@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_as_agreed_fails_in_words(stage: Stage, stub: WebhookStub, lie: str) -> None:
    stub.will(stub.fails(200, LIES[lie]))
    words = await reason(stage, stub)
    assert words.startswith("The ") and "hunter2" not in words


@ON_ONE
async def test_a_stream_that_ends_without_done_is_cut(stage: Stage, stub: WebhookStub) -> None:
    async def cut(call: Call) -> None:
        await call.head()
        await call.send(stub.text("Half an "))
        await call.end()

    stub.will(cut)
    assert "without done" in await reason(stage, stub)


@ON_ONE
async def test_without_a_key_nothing_is_sent(stage: Stage, stub: WebhookStub) -> None:
    assert "no key" in await reason(stage, stub, webhook_key="")
    assert not stub.calls


async def test_the_example_in_the_readme_answers_customers_and_refuses_strangers(stage: Stage, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    port = free_port()
    (tmp_path / "example.py").write_text(code.replace("8090", str(port)))
    example = Program("example", tmp_path)
    example.launch("env", f"KEY={KEY}", sys.executable, tmp_path / "example.py")
    stub = WebhookStub()
    stub.url = f"http://{LOOPBACK}:{port}"
    try:
        await asyncio.to_thread(example.wait_ready, lambda: _answers(port))
        await stage.set_assistant(**stub.settings())
        customer, ada = await stage.customer(), await stage.watcher("Ada")
        await customer.write("How much is it?")
        said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
        assert said["message"]["text"] == "You said: How much is it?"
        await customer.write("I want a person")
        assert (await ada.heard.wait_for("signal_raised"))["signal"]["kind"] == "asked_for_human"
        await stage.set_assistant(webhook_key=stage.handoff.keys.close("another key"))
        other = await stage.customer()
        await other.write("hello")
        refused = await ada.heard.wait_for("signal_raised", lambda fact: fact["signal"]["kind"] == "assistant_failed")
        assert refused["signal"]["reason"] == "The webhook refused the key (401)."
    finally:
        example.close()


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
