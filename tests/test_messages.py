"""Lines: stored once however often they are sent (I4), numbered without a gap (I5), one history for all (I6)."""

import asyncio
import secrets

from handoff.models import Message
from tests.cast import Stage, found_team


async def test_a_line_sent_on_five_connections_at_once_is_stored_once_and_answered_alike(stage: Stage) -> None:
    customer = await stage.customer()
    tabs = [customer, *await asyncio.gather(*(stage.customer(customer.token) for _ in range(4)))]
    acks = await asyncio.gather(*(tab.ask("post_message", client_id="same", text="hello") for tab in tabs for _ in range(3)))
    assert all(ack == acks[0] for ack in acks)
    id = acks[0]["ok"]["message"]["conversation_id"]
    stored = await stage.look(lambda: list(Message.select().where(Message.client_id == "same")))
    assert [message.conversation_id for message in stored] == [id]


async def test_a_repeat_gets_its_first_answer_after_a_close_too_and_another_text_is_a_conflict(stage: Stage) -> None:
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    first = await customer.write("hello", "c1")
    id = customer.conversation_id
    await ada.take_over(id)
    reply = await ada.write(id, "Ada here", "a1")
    await ada.do("close_conversation", conversation_id=id, outcome_id=None, note="")
    assert await customer.write("hello", "c1") == first
    assert await ada.write(id, "Ada here", "a1") == reply
    assert (await customer.refused("post_message", client_id="c1", text="other"))["code"] == "conflict"
    assert (await ada.refused("post_message", conversation_id=id, client_id="a1", text="other"))["code"] == "conflict"
    assert len(await stage.messages(id)) == 2


async def test_two_people_may_use_the_same_client_id(stage: Stage) -> None:
    one, other = await stage.customer(), await stage.customer()
    await one.write("from one", "same")
    await other.write("from the other", "same")
    assert one.conversation_id != other.conversation_id


async def test_two_hundred_lines_sent_in_a_row_keep_their_order(stage: Stage) -> None:
    await stage.hold_assistant()
    customer = await stage.customer()
    await asyncio.gather(*(customer.ask("post_message", client_id=f"{n:03}", text=f"line {n}") for n in range(200)))
    lines = await customer.history()
    assert [line["text"] for line in lines] == [f"line {n}" for n in range(200)]
    assert [line["number"] for line in lines] == list(range(1, 201))


async def test_everybody_hears_one_order_without_a_gap(stage: Stage) -> None:
    customer, ada, ben = await stage.customer(), await stage.watcher("Ada"), await stage.watcher("Ben")
    await stage.hold_assistant()
    await customer.write("hello")
    id = customer.conversation_id
    await ada.take_over(id)
    await asyncio.gather(*(customer.write(f"customer {n}") for n in range(20)), *(ada.write(id, f"agent {n}") for n in range(20)))
    everything = [(message.number, message.text) for message in await stage.messages(id)]
    assert [number for number, _ in everything] == list(range(1, 42))
    for person in (customer, ada, ben):
        await person.heard.wait_for("message_posted", lambda fact: fact["message"]["number"] == 41)
        heard = [(fact["message"]["number"], fact["message"]["text"]) for fact in person.heard.named("message_posted")]
        assert heard == everything
    versions = [fact["version"] for name, fact in ben.heard.facts if "version" in fact and name != "typing_changed"]
    assert versions == list(range(1, len(versions) + 1))


async def test_two_connections_that_open_a_conversation_at_once_open_one(stage: Stage) -> None:
    customer = await stage.customer()
    tabs = [customer, *await asyncio.gather(*(stage.customer(customer.token) for _ in range(7)))]
    lines = await asyncio.gather(*(tab.write(f"from tab {n}") for n, tab in enumerate(tabs)))
    assert len({line["conversation_id"] for line in lines}) == 1
    assert sorted(line["number"] for line in lines if line["author"] == "customer") == sorted(
        message.number for message in await stage.messages(lines[0]["conversation_id"]) if message.author == "customer"
    )


async def test_every_tab_of_a_customer_follows_into_the_new_conversation(stage: Stage) -> None:
    customer = await stage.customer()
    await customer.write("hello")
    tab = await stage.customer(customer.token)
    await customer.do("end_conversation")
    await tab.heard.wait_for("conversation_closed")
    first = customer.conversation_id
    await customer.write("hello again")
    assert customer.conversation_id != first
    opened = await tab.heard.wait_for(
        "conversation_opened", lambda fact: (fact["conversation"] or {}).get("id") not in (None, first)
    )
    assert opened["conversation"]["id"] == customer.conversation_id
    await tab.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "hello again")
    assert (await tab.do("catch_up", after=0))["messages"][0]["text"] == "hello again"


async def test_a_client_id_goes_to_its_author_alone(stage: Stage) -> None:
    customer, ada, ben = await stage.customer(), await stage.watcher("Ada"), await stage.watcher("Ben")
    await customer.write("hello")
    id = customer.conversation_id
    await ada.take_over(id)
    second = await stage.second_socket(ada)
    await second.do("watch", assistant_id=stage.assistant_id)
    await ada.write(id, "Ada here", "a1")
    for mine in (ada, second):
        fact = await mine.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "agent")
        assert fact["message"]["client_id"] == "a1"
    fact = await ben.heard.wait_for("message_posted", lambda fact: fact["message"]["author"] == "agent")
    assert "client_id" not in fact["message"]
    opened = await ben.do("open_conversation", conversation_id=id)
    assert all("client_id" not in line for line in opened["messages"])


async def test_a_long_history_comes_in_pages_of_two_hundred_and_a_quarter_of_a_megabyte(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.watcher("Ada")
    await customer.write("hello")
    id = customer.conversation_id
    await stage.make(lambda: _fill(id, 450, "short"))
    page = await customer.do("catch_up", after=0)
    assert (len(page["messages"]), page["more"]) == (200, True)
    assert [line["number"] for line in await customer.history()] == list(range(1, 452))
    newest = await ada.do("open_conversation", conversation_id=id)
    assert ([newest["messages"][0]["number"], newest["messages"][-1]["number"]], newest["more"]) == ([402, 451], True)
    older = await ada.do("open_conversation", conversation_id=id, before=402)
    assert [older["messages"][0]["number"], older["messages"][-1]["number"]] == [352, 401]
    first = await ada.do("open_conversation", conversation_id=id, before=5)
    assert ([line["number"] for line in first["messages"]], first["more"]) == ([1, 2, 3, 4], False)


async def test_long_lines_make_a_page_shorter(stage: Stage) -> None:
    await stage.hold_assistant()
    customer = await stage.customer()
    await customer.write("hello")
    await stage.make(lambda: _fill(customer.conversation_id, 40, "x" * 16_000))
    page = await customer.do("catch_up", after=0)
    assert page["more"]
    assert sum(len(line["text"]) for line in page["messages"]) <= 256 * 1024
    assert len(await customer.history()) == 41


async def test_a_customer_reaches_only_their_own_conversation(stage: Stage) -> None:
    customer, other = await stage.customer(), await stage.customer()
    await customer.write("secret")
    assert await other.do("catch_up", after=0) == {"messages": [], "draft": None, "status": None, "more": False}
    await other.write("mine")
    await customer.write("more secrets")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "more secrets")
    assert "secret" not in repr(other.heard.facts)


async def test_an_agent_of_another_team_gets_the_same_answer_for_foreign_and_for_absent(stage: Stage) -> None:
    theirs, their_assistant, _ = await found_team(stage, "Elsewhere")
    stranger = await stage.agent("Stranger", team=theirs, role="owner")
    await stranger.do("watch", assistant_id=their_assistant)
    customer = await stage.customer()
    await customer.write("hello")
    id = customer.conversation_id
    for command, payload in (
        ("open_conversation", {}),
        ("take_over", {}),
        ("post_message", {"client_id": "x", "text": "hi"}),
        ("typing", {"is_typing": True}),
        ("mark_read", {"number": 1}),
        ("add_note", {"client_id": "x", "text": "hi"}),
        ("close_conversation", {"outcome_id": None, "note": ""}),
    ):
        foreign = await stranger.refused(command, conversation_id=id, **payload)
        absent = await stranger.refused(command, conversation_id=secrets.token_hex(14), **payload)
        assert foreign == absent, command
        assert foreign["code"] == "not_found", command
    assert (await stranger.refused("watch", assistant_id=stage.assistant_id))["code"] == "not_found"
    assert "hello" not in repr(stranger.heard.facts)


def _fill(conversation_id: str, count: int, text: str) -> None:
    from handoff.messages import claim_number, store
    from handoff.models import Conversation

    for _ in range(count):
        store(claim_number(Conversation.id == conversation_id), "assistant", text)


async def test_a_customer_whose_opening_nobody_told_this_socket_finds_the_conversation(stage: Stage) -> None:
    """The fact that a conversation opened can be lost, on its way from another process; the row is found all the same."""
    await stage.hold_assistant()
    customer = await stage.customer()
    tab = await stage.customer(customer.token)
    announce, stage.handoff.database.announce = stage.handoff.database.announce, lambda facts: None
    await customer.write("hello")
    stage.handoff.database.announce = announce
    assert [line["text"] for line in (await tab.do("catch_up", after=0))["messages"]] == ["hello"]
    await customer.write("again")
    for person in (customer, tab):
        await person.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "again")
