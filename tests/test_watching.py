"""The watch list: who needs somebody most comes first, page by page, and the facts keep it true."""

import asyncio
from typing import Any

from handoff.models import Conversation, Customer
from tests.cast import Stage
from tests.waiting import wait_until


async def test_pages_leave_nobody_out(stage: Stage) -> None:
    held = await stage.hold_assistant()
    first = await stage.customer()
    await first.write("hello")
    await held.is_asked()
    widget_id = (await stage.conversation(first.conversation_id)).widget_id
    await stage.make(lambda: _many(stage, widget_id))
    ada = await stage.watcher("Ada")
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await ada.do("watch", assistant_id=stage.assistant_id, cursor=cursor)
        seen += page["conversations"]
        cursor = page["cursor"]
        if cursor is None:
            break
        assert len(page["conversations"]) == 50
    assert len({conversation["id"] for conversation in seen}) == len(seen) == 131
    assert page["counts"] == {"all": 131, "needs_human": 0, "mine": 0}
    keys = [(-c["changed_at"], c["id"]) for c in seen]  # tests/test_order.py has those who need a human
    assert keys == sorted(keys)


def _many(stage: Stage, widget_id: str) -> None:
    for number in range(130):
        customer = Customer.create(widget=widget_id, name=f"Customer {number % 13}")
        Conversation.create(
            team=stage.team_id,
            assistant=stage.assistant_id,
            widget=widget_id,
            customer=customer,
            waiting_since=1_000 + number % 7 if number % 3 else None,
            changed_at=2_000 + number % 11,
            ages_from=4_000_000_000_000,
        )


async def test_what_is_fetched_equals_what_the_facts_told(stage: Stage) -> None:
    """An agent who only listened knows what one who fetches now is told."""
    ada, ben = await stage.watcher("Ada"), await stage.watcher("Ben")
    customers = await asyncio.gather(*(stage.customer() for _ in range(6)))
    await asyncio.gather(*(customer.write("How long does delivery take?") for customer in customers))
    await ada.take_over(customers[0].conversation_id)
    await ada.write(customers[0].conversation_id, "Ada here")
    await ada.do("add_note", conversation_id=customers[0].conversation_id, client_id="n1", text="VIP")
    await customers[1].do("request_human")
    await customers[2].do("end_conversation")
    for customer in (customers[1], *customers[3:]):
        await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "assistant")
    fetched = (await ben.do("watch", assistant_id=stage.assistant_id))["conversations"]
    newest = {conversation["id"]: conversation["version"] for conversation in fetched}
    await wait_until(lambda: versions(ben.heard.facts).items() >= newest.items(), what="Ben has heard of all that")
    told = listened(ben.heard.facts)
    assert {conversation["id"] for conversation in fetched} == set(told)
    for conversation in fetched:
        heard = told[conversation["id"]]
        for key in ("version", "last_number", "waiting_since", "needed_since", "owner", "status"):
            assert heard[key] == conversation[key], key
        assert {signal["kind"] for signal in heard["signals"]} == {signal["kind"] for signal in conversation["signals"]}


def versions(facts: list[tuple[str, Any]]) -> dict[str, int]:
    return {id: row["version"] for id, row in listened(facts).items()}


def listened(facts: list[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """The list as the protocol tells a client to keep it: every fact is exactly one version newer than the last."""
    rows: dict[str, dict[str, Any]] = {}
    for name, fact in facts:
        id = fact.get("conversation_id")
        if name in ("typing_changed", "draft_changed", "draft_withdrawn"):
            continue
        if name == "conversation_opened":
            rows[id] = dict(fact["conversation"])
            continue
        row = rows[id]
        assert fact["version"] == row["version"] + 1, name
        if "conversation" in fact:
            row.update(fact["conversation"])
        row["version"] = fact["version"]
        if name == "message_posted":
            row["last_number"] = fact["message"]["number"]
            if fact["message"]["author"] == "customer":
                row["waiting_since"] = row["waiting_since"] or fact["message"]["sent_at"]
            elif not fact["message"]["interrupted"]:
                row["waiting_since"] = None
                row["signals"] = [signal for signal in row["signals"] if signal["kind"] != "waiting"]
        elif name == "signal_raised":
            row["signals"] = [*row["signals"], fact["signal"]]
        elif name == "conversation_closed":
            del rows[id]
            continue
        row["needed_since"] = min((signal["raised_at"] for signal in row["signals"]), default=None)
    return rows


async def test_search_filters_and_marks_are_each_agents_own(stage: Stage) -> None:
    await stage.hold_assistant()
    one, other = await stage.customer(), await stage.customer()
    await one.write("I want to CANCEL my order")
    await other.write("hello")
    ada, ben = await stage.watcher("Ada"), await stage.watcher("Ben")
    await ada.take_over(other.conversation_id)

    async def listed(agent: Any, **options: Any) -> list[str]:
        page = await agent.do("watch", assistant_id=stage.assistant_id, **options)
        return [conversation["id"] for conversation in page["conversations"]]

    assert await listed(ada, search="cancel") == [one.conversation_id]
    assert await listed(ada, search="100% _ nothing") == []
    assert await listed(ada, filter="mine") == [other.conversation_id]
    assert await listed(ben, filter="mine") == []
    await one.do("request_human")
    assert await listed(ben, filter="needs_human") == [one.conversation_id]
    assert (await ada.refused("watch", assistant_id=stage.assistant_id, cursor="nonsense"))["code"] == "invalid"

    async def unread(agent: Any) -> int:
        page = await agent.do("watch", assistant_id=stage.assistant_id, search="cancel")
        return page["conversations"][0]["unread"]

    assert (await unread(ada), await unread(ben)) == (1, 1)
    await ada.do("mark_read", conversation_id=one.conversation_id, number=1)
    await ada.do("mark_read", conversation_id=one.conversation_id, number=0)  # never backwards
    assert (await unread(ada), await unread(ben)) == (0, 1)


async def test_unwatching_ends_the_facts_and_opening_brings_only_its_own_drafts(stage: Stage) -> None:
    held = await stage.hold_assistant()
    one, other, ada = await stage.customer(), await stage.customer(), await stage.watcher("Ada")
    await one.write("hello")
    await held.is_asked()
    await ada.do("open_conversation", conversation_id=one.conversation_id)
    await ada.do("unwatch", assistant_id=stage.assistant_id)
    heard = len(ada.heard.named("message_posted"))
    held.say("For one ")
    assert (await ada.heard.wait_for("draft_changed"))["conversation_id"] == one.conversation_id
    await other.write("hello")
    await ada.do("open_conversation", conversation_id=other.conversation_id)
    held.say("for one again ")
    await one.heard.wait_for("draft_changed", lambda draft: draft["text"].endswith("again "))
    await ada.do("watch", assistant_id=stage.assistant_id)
    assert len(ada.heard.named("message_posted")) == heard
    assert len(ada.heard.named("draft_changed")) == 1


async def test_a_customer_who_asks_for_a_person_hears_whether_one_is_watching(stage: Stage) -> None:
    await stage.hold_assistant()
    customer = await stage.customer()
    assert await customer.do("request_human") == {"available": False}
    await customer.write("hello")
    ada = await stage.watcher("Ada")
    assert await customer.do("request_human") == {"available": True}
    assert (await ada.heard.wait_for("signal_raised"))["signal"]["kind"] == "asked_for_human"
    await customer.do("request_human")
    await ada.do("unwatch", assistant_id=stage.assistant_id)
    assert await customer.do("request_human") == {"available": False}
    assert len(ada.heard.named("signal_raised")) == 1
