"""Silent means silent: after a takeover the customer's socket carries nothing that an assistant-only chat lacks (I7)."""

import re
from typing import Any

import pytest

from tests.cast import Agent, Customer, HeldAssistant, Stage


def shape(value: Any) -> Any:
    """Keys and kinds of a payload, without its values."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value).__name__


def frames(customer: Customer) -> set[str]:
    """Every kind of fact that the customer heard: its name, its shape, the author it names and what it says of them."""
    kinds = set()
    for name, payload in customer.heard.facts:
        message = payload.get("message", {})
        if message.get("author") == "customer":
            continue
        kinds.add(repr((name, shape(payload), message.get("author"), payload.get("author"), payload.get("is_typing"))))
    return kinds


async def chat_with_the_assistant(stage: Stage, held: HeldAssistant) -> Customer:
    customer = await stage.customer()
    for number, line in enumerate(("hello", "and then?"), start=1):
        await customer.write(line)
        held.say("A piece ", "of an answer")
        await customer.heard.wait_for("draft_changed")
        held.finish()
        await customer.heard.wait_for("message_posted", lambda fact, n=number: fact["message"]["number"] == 2 * n)
    await customer.do("end_conversation")
    await customer.heard.wait_for("conversation_closed")
    return customer


async def chat_with_an_agent(stage: Stage, held: HeldAssistant, name: str) -> tuple[Customer, Agent]:
    customer, agent = await stage.customer(), await stage.watcher(name)
    await customer.write("hello")
    held.say("A piece ")
    await customer.heard.wait_for("draft_changed")
    id = customer.conversation_id
    await agent.take_over(id)
    await agent.do("typing", conversation_id=id, is_typing=True)
    await agent.do("add_note", conversation_id=id, client_id="n1", text="For the team: a VIP")
    await agent.write(id, "Let me **see**", "secret-client-id")
    await agent.do("typing", conversation_id=id, is_typing=False)
    await customer.write("and then?")
    await agent.write(id, "It is done")
    outcome = await stage.outcome("Solved")
    await agent.do("close_conversation", conversation_id=id, outcome_id=outcome, note="For the team: angry")
    await customer.heard.wait_for("conversation_closed")
    return customer, agent


@pytest.mark.parametrize("handoff", ["silent", "scripted"])
async def test_a_customer_cannot_tell_a_taken_over_chat_from_an_assistants(stage: Stage, handoff: str) -> None:
    held = await stage.hold_assistant()
    usual = await chat_with_the_assistant(stage, held)
    await stage.set_assistant(handoff=handoff, handoff_text="One moment, I am looking into it.")
    customer, agent = await chat_with_an_agent(stage, held, "Zaphod Unmistakable")
    assert not frames(customer) - frames(usual)
    heard = repr(customer.heard.facts) + repr(await customer.history())
    for secret in ("Zaphod", agent.member_id, agent.user_id, "secret-client-id", "For the team", "Solved", "agent", "takeover"):
        assert secret not in heard
    numbers = [line["number"] for line in await customer.history()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {line["author"] for line in await customer.history()} == {"customer", "assistant"}


async def test_scripted_says_its_text_first_and_silent_says_nothing(stage: Stage) -> None:
    await stage.hold_assistant()
    await stage.set_assistant(handoff="scripted", handoff_text="One moment, I am **looking**.")
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    await ada.take_over(customer.conversation_id)
    said = await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 2)
    assert (said["message"]["author"], said["message"]["html"]) == (
        "assistant",
        "<p>One moment, I am <strong>looking</strong>.</p>\n",
    )
    line = (await stage.messages(customer.conversation_id))[1]
    assert (line.author, line.member_id) == ("agent", ada.member_id)
    names = [name for name, _ in ada.heard.facts]
    assert names.index("conversation_taken_over") < len(names) - 1
    (takeover,) = await stage.takeovers(customer.conversation_id)
    assert (takeover.after, takeover.first_reply_at) == (1, None)


async def test_announced_shows_the_agents_name_and_only_that(stage: Stage) -> None:
    held = await stage.hold_assistant()
    await stage.set_assistant(handoff="announced")
    customer, agent = await chat_with_an_agent(stage, held, "Ada Finch")
    lines = await customer.history()
    assert lines[2]["author"] == "agent"
    assert lines[2]["agent"] == {"name": "Ada Finch"}
    assert agent.member_id not in repr(customer.heard.facts)
    assert {"author": "agent", "is_typing": True} in customer.heard.named("typing_changed")


async def test_a_later_edit_of_the_setting_changes_no_history(stage: Stage) -> None:
    held = await stage.hold_assistant()
    customer, _ = await chat_with_an_agent(stage, held, "Ada")
    before = await customer.history()
    await stage.set_assistant(handoff="announced", handoff_text="Hello from a human")
    assert await customer.history() == before
    (takeover,) = await stage.takeovers(customer.conversation_id)
    assert (takeover.handoff, takeover.handoff_text) == ("silent", "")


async def test_markup_in_anybodys_line_is_inert(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("<script>alert(1)</script><b>bold?</b>")
    id = customer.conversation_id
    await ada.take_over(id)
    hostile = "<img src=x onerror=alert(1)> [link](javascript:alert(1)) ![pixel](https://spy.example/x.png) **bold**"
    await ada.write(id, hostile)
    mine, theirs = await customer.history()
    assert mine["html"] is None
    assert "<strong>bold</strong>" in theirs["html"]
    assert not re.search(r"<img|<script|href=.?javascript", theirs["html"])
    assert theirs["text"] == hostile


def test_shape_tells_keys_and_kinds() -> None:
    assert shape({"b": [1], "a": None}) == {"a": "NoneType", "b": ["int"]}
