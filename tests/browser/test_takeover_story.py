"""The main job, told once from beginning to end in real browsers: a customer in a shop, Ada and Ben at their consoles."""

import json
import re

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Page, expect

from handoff.models import Assistant, Conversation, Outcome, User
from tests.browser.pages import Frames, answer, bubbles, chat_in, draft, growing, heard, lines, open_launcher, row, say
from tests.cast import Agent, Stage
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

PASSWORD = "a harbour full of lamps"
QUESTION, ANSWER = "How long does delivery take?", "Delivery takes five working days."
AGAIN, ANSWER_AGAIN = "Even to the islands?", "The islands wait a day longer."
# What would tell a customer that somebody took over, in what they see or in what their browser is sent.
TELLING = re.compile(r"\b(Ada|Ben|took|note|human)\b|agent|member|owner|taken|takeover|interrupt|outcome", re.IGNORECASE)


async def signs_in(stage: Stage, page: Page, agent: Agent) -> None:
    """Through the form, to where the person wanted to go."""
    hashed = PasswordHasher().hash(PASSWORD)
    await stage.make(lambda: User.update(password_hash=hashed).where(User.id == agent.user_id).execute())
    email = await stage.look(lambda: User.get_by_id(agent.user_id).email)
    await page.goto(f"{stage.url}/console")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page.locator("#who")).to_have_text(agent.name)


async def test_a_takeover_from_the_first_word_to_the_next_conversation(stage, shop_of, open_console, new_browser_page):
    assistant = await stage.hold_assistant()
    await stage.make(lambda: Assistant.create(team=stage.team_id, name="Archie"))
    address = await shop_of(stage)

    # A customer opens the chat in a shop, writes, and sees the answer grow.
    shop = await new_browser_page()
    frames = Frames(shop)
    await shop.goto(address)
    chat = await open_launcher(shop)
    await say(chat, QUESTION)
    first_id = (await assistant.is_asked()).conversation_id
    for words in ("Delivery takes", " five working", " days."):
        assistant.say(words)
        await expect(draft(chat)).to_have_text(re.compile(f"{words.strip()}$"))
    await expect(heard(chat)).to_have_count(1)
    assistant.finish()
    await expect(chat.locator(".draft")).to_have_count(0)
    await expect(bubbles(chat)).to_have_text([QUESTION, ANSWER])
    seen_by_assistant = _look_of(await chat.locator(".message[data-author=assistant]").first.evaluate("it => it.outerHTML"))

    # A reload, a second tab, another visit: the same conversation and history.
    await shop.reload()
    await expect(bubbles(await chat_in(shop))).to_have_text([QUESTION, ANSWER])
    second_tab = await shop.context.new_page()
    await second_tab.goto(address)
    await expect(bubbles(await open_launcher(second_tab))).to_have_text([QUESTION, ANSWER])

    # Ada signs in and picks the assistant. What goes on is there.
    ada, ben = await stage.member("Ada"), await stage.member("Ben")
    desk = await new_browser_page()
    await signs_in(stage, desk, ada)
    await desk.get_by_label("Assistant").select_option(label="Tilly")
    await expect(row(desk, first_id).locator(".row-line")).to_have_text(f"Assistant: {ANSWER}")
    await expect(row(desk, first_id).locator(".row-count")).to_have_text("1")
    await expect(row(desk, first_id).locator(".row-owner")).to_have_text("Assistant")
    await expect(row(desk, first_id).locator(".row-waiting")).to_be_hidden()
    await expect(desk.locator("[data-count=all]")).to_have_text("1")

    # A second conversation appears by itself and moves by itself.
    neighbour = await stage.customer()
    await neighbour.write("Do you sell bells?")
    second = row(desk, neighbour.conversation_id)
    await expect(second.locator(".row-line")).to_have_text("Assistant is writing…")
    await expect(second.locator(".row-waiting")).to_have_text(re.compile(r"waiting \d+ s"))
    await expect(second.locator(".row-count")).to_have_text("1")
    await expect(desk.locator("[data-count=all]")).to_have_text("2")
    await assistant.is_asked(2)
    assistant.say("Brass ones.")
    assistant.finish()
    await expect(second.locator(".row-line")).to_have_text("Assistant: Brass ones.")
    await expect(second.locator(".row-waiting")).to_be_hidden()

    # Ada reads along: the draft grows for her too, and nobody is told.
    await row(desk, first_id).click()
    await expect(lines(desk)).to_have_text([QUESTION, ANSWER])
    await expect(row(desk, first_id).locator(".row-unread")).to_be_hidden()
    await say(chat, AGAIN)
    await assistant.is_asked(3)
    await expect(row(desk, first_id).locator(".row-waiting")).to_be_visible()
    assistant.say("The islands wait")
    await expect(growing(desk)).to_have_text("The islands wait")
    await expect(draft(chat)).to_have_text("The islands wait")
    assistant.say(" a day longer.")
    await expect(growing(desk)).to_have_text(ANSWER_AGAIN)
    assistant.finish()
    await expect(lines(desk)).to_have_text([QUESTION, ANSWER, AGAIN, ANSWER_AGAIN])
    await expect(desk.locator("#answering-text")).to_have_text("Assistant Tilly is answering")
    assert (await stage.conversation(first_id)).owner_id is None

    # She takes over. Ben sees at once who has it and cannot write there.
    his_desk = await open_console(stage, ben, first_id)
    await expect(his_desk.locator("#take-over")).to_be_visible()
    silent_from = len(frames.received)
    await desk.locator("#take-over").click()
    await expect(desk.locator("#composer-text")).to_be_focused()
    await expect(his_desk.locator("#taken")).to_have_text("Ada has this conversation.")
    await expect(his_desk.locator("#take-over")).to_be_hidden()
    await expect(his_desk.locator("#composer")).to_be_hidden()
    await expect(row(his_desk, first_id).locator(".row-owner")).to_have_text("Ada")
    await expect(row(desk, first_id).locator(".row-owner")).to_have_text("You")

    # Her lines reach the customer as the assistant's, and the assistant is silent.
    await answer(desk, "Two days, I asked the ferry.")
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER, AGAIN, ANSWER_AGAIN, "Two days, I asked the ferry."])
    await say(chat, "Wonderful, thanks!")
    await expect(lines(desk).last).to_have_text("Wonderful, thanks!")
    await expect(lines(his_desk).last).to_have_text("Wonderful, thanks!")
    await expect(row(his_desk, first_id).locator(".row-line")).to_have_text("Customer: Wonderful, thanks!")
    await answer(desk, "You are welcome.")
    await expect(heard(chat)).to_have_count(7)
    await expect(heard(await chat_in(second_tab))).to_have_count(7)
    assert len(assistant.asked) == 3

    # The customer sees nothing of it, nor does their browser hear of it.
    await expect(chat.locator(".message[data-author=agent]")).to_have_count(0)
    seen = [
        _look_of(html)
        for html in await chat.locator(".message[data-author=assistant]").evaluate_all("all => all.map(it => it.outerHTML)")
    ]
    assert seen == [seen_by_assistant] * 4
    before, after = frames.received[:silent_from], frames.received[silent_from:]
    assert _shapes(after) <= _shapes(before)
    assert any("I asked the ferry" in frame for frame in after)
    assert not [frame for frame in after if TELLING.search(frame) or ada.member_id in frame or ada.user_id in frame]
    assert not TELLING.search(await chat.locator("#transcript").inner_text())

    # Ada closes with an outcome and a note; the list loses the conversation.
    await desk.get_by_role("button", name="Close…").click()
    await desk.get_by_label("Solved").check()
    await desk.get_by_label("Note for your team").fill("Asked the ferry office.")
    await desk.get_by_role("button", name="Close conversation").click()
    await expect(desk.locator("#close-dialog")).to_be_hidden()
    await expect(desk.locator("#ended")).to_contain_text("Closed by Ada · Solved")
    await expect(his_desk.locator("#ended")).to_contain_text("Closed by Ada · Solved")
    await expect(desk.locator("[data-count=all]")).to_have_text("1")
    await row(desk, neighbour.conversation_id).click()
    await desk.locator("#transcript").hover()
    await expect(row(desk, first_id)).to_have_count(0)
    await expect(chat.locator(".conversation[data-status=closed]")).to_contain_text("This conversation has ended")

    # The customer's next message opens a new conversation, with the assistant.
    await say(chat, "One more thing!")
    next_id = (await assistant.is_asked(4)).conversation_id
    assert next_id != first_id
    await expect(row(desk, next_id).locator(".row-line")).to_have_text("Assistant is writing…")
    await expect(row(desk, next_id).locator(".row-owner")).to_have_text("Assistant")
    assistant.say("Yes?")
    assistant.finish()
    await expect(chat.locator(f".conversation[data-conversation='{next_id}'] .message-text")).to_have_text(
        ["One more thing!", "Yes?"]
    )
    await expect(chat.locator(".conversation")).to_have_count(2)
    await agrees(stage, first_id, next_id, ada)


async def agrees(stage: Stage, first_id: str, next_id: str, ada: Agent) -> None:
    """The database tells the same story."""
    first, following = await stage.conversation(first_id), await stage.conversation(next_id)
    assert (first.status, first.closed_by, first.last_number) == ("closed", "agent", 7)
    assert (following.status, following.owner_id, following.customer_id) == ("active", None, first.customer_id)
    authors = [message.author for message in await stage.messages(first_id)]
    assert authors == ["customer", "assistant", "customer", "assistant", "agent", "customer", "agent"]
    (takeover,) = await stage.takeovers(first_id)
    assert (takeover.member_id, takeover.ended_by, takeover.note) == (ada.member_id, "agent", "Asked the ferry office.")
    assert takeover.taken_at <= takeover.first_reply_at <= takeover.ended_at
    assert await stage.look(lambda: Outcome.get_by_id(takeover.outcome_id).name) == "Solved"
    assert await stage.look(lambda: Conversation.select().where(Conversation.status == "active").count()) == 2
    await wait_until(lambda: _all_turns_finished(stage, first_id), what="no turn is left over")


async def _all_turns_finished(stage: Stage, conversation_id: str) -> bool:
    return [turn.status for turn in await stage.turns(conversation_id)] == ["finished", "finished"]


def _look_of(html: str) -> list[str]:
    """The tags of an element and the names of their attributes: what a style or a script could tell lines apart by."""
    tags = re.findall(r"<(\w+)([^>]*)>", html)
    known = [(tag, sorted(re.findall(r'([\w-]+)="', rest)), re.findall(r'class="([^"]*)"', rest)) for tag, rest in tags]
    return [str(one).replace(" was-shown", "").replace(" continues", "") for one in known]


def _shapes(frames: list[str]) -> set[str]:
    """The facts and acks in the frames: their names and their fields, without what the fields hold."""
    packets = [re.sub(r"^\d+(/customers,)?\d*", "", frame) for frame in frames]
    return {_shape(json.loads(packet)) for packet in packets if packet}


def _shape(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shape(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list) and value and isinstance(value[0], str):
        return f"{value[0]} {_shape(value[1:])}"  # a fact: its name and what it holds
    if isinstance(value, list):
        return str(sorted({_shape(item) for item in value}))
    return type(value).__name__
