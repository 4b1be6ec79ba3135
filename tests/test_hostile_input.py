"""Input that is well formed and meant to hurt: it costs its sender's patience, never another person's."""

import asyncio

import aiohttp

from handoff.models import Conversation
from tests.cast import Stage


async def test_lines_made_to_slow_the_assistant_down_hold_up_nobody(stage: Stage) -> None:
    hostile, other = await stage.customer(), await stage.customer()
    await hostile.write("How long does delivery take?")
    marks = "\u0316\u0301" * 2000
    lines = ["hi", *["!" * 4000] * 8, "x", *[marks] * 5]
    await asyncio.gather(*(hostile.ask("post_message", client_id=f"h{n}", text=line) for n, line in enumerate(lines)))
    await hostile.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    await other.write("How long does delivery take?")
    await other.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")


async def test_a_form_is_read_as_utf_8_whatever_charset_it_claims(stage: Stage) -> None:
    async with aiohttp.ClientSession() as http:
        for charset in ("punycode", "idna", "unicode_escape", "utf-7", "no such charset"):
            headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
            body = b"email=a" + b"-" * 100_000 + b"&password=\\ud800"
            async with http.post(f"{stage.url}/sign-in", data=body, headers=headers) as answer:
                assert answer.status in (400, 403), charset
        too_much = b"email=" + b"a" * 200_000
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with http.post(f"{stage.url}/sign-in", data=too_much, headers=headers) as answer:
            assert answer.status == 413
        async with http.post(f"{stage.url}/sign-in", data=b"email=%ff", headers=headers) as answer:
            assert answer.status == 400


async def test_an_operation_that_fails_alone_makes_nobody_else_impatient(stage: Stage) -> None:
    def fail() -> None:
        raise UnicodeError

    customer = await stage.customer()
    await asyncio.gather(*(stage.handoff.database.write("", fail) for _ in range(5)), return_exceptions=True)
    assert not any(lane.is_down for lane in stage.handoff.database._lanes)
    await customer.write("hello")


async def test_a_clock_that_went_back_does_not_hide_the_active_conversation(stage: Stage) -> None:
    await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("hello")
    await customer.do("end_conversation")
    closed = customer.conversation_id
    later = Conversation.opened_at + 3_000
    await stage.make(lambda: Conversation.update(opened_at=later).where(Conversation.id == closed).execute())
    await customer.write("hello again")
    back = await stage.customer(customer.token)
    assert (await back.heard.wait_for("conversation_opened"))["conversation"]["id"] == customer.conversation_id
