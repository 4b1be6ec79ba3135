"""The agent clicks Take over while the assistant's answer is still growing."""

import pytest
from playwright.async_api import expect

from tests.browser.pages import Frames, answer, bubbles, draft, growing, heard, is_connected, line, lines, say
from tests.cast import Stage
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

QUESTION = "How long does delivery take?"
SHOWN = "Delivery takes five working"
UNHEARD = " parrots and a raft."


async def conversation_with_a_growing_draft(stage: Stage, chat, assistant) -> str:
    """The customer has asked and reads the first words; gives the conversation's id."""
    await say(chat, QUESTION)
    asked = await assistant.is_asked()
    assistant.say(SHOWN)
    await expect(draft(chat)).to_have_text(SHOWN)
    return asked.conversation_id


async def test_the_customer_never_sees_another_token_and_what_they_saw_stays(stage, open_chat, open_console):
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage)
    frames = Frames(chat)
    await chat.reload()
    await is_connected(chat)
    conversation_id = await conversation_with_a_growing_draft(stage, chat, assistant)
    ada, ben = await stage.member("Ada"), await stage.member("Ben")
    hers, his = await open_console(stage, ada, conversation_id), await open_console(stage, ben, conversation_id)
    await expect(growing(hers)).to_have_text(SHOWN)
    await expect(growing(his)).to_have_text(SHOWN)

    before = len(frames.received)
    await hers.locator("#take-over").click()
    await expect(hers.locator("#composer-text")).to_be_focused()
    assistant.say(UNHEARD)
    await expect(his.locator("#taken")).to_have_text("Ada has this conversation.")
    await answer(hers, "Yours is at the harbour already.")
    await expect(bubbles(chat)).to_have_text([QUESTION, SHOWN, "Yours is at the harbour already."])
    assistant.finish()
    await say(chat, "How nice!")

    said = [QUESTION, SHOWN, "Yours is at the harbour already.", "How nice!"]
    await expect(heard(chat)).to_have_text(said)
    await expect(bubbles(chat)).to_have_text(said)
    await expect(chat.locator(".message[data-author=agent], .draft")).to_have_count(0)
    for console in (hers, his):
        await expect(lines(console)).to_have_text(said)
        await expect(console.locator(".is-interrupted")).to_have_count(1)
        await expect(line(console, 2).locator(".message-mark")).to_have_text("interrupted by takeover")
        await expect(console.locator(".is-draft, .is-pending")).to_have_count(0)
        await expect(console.locator("#typing")).to_be_hidden()
    await wait_until(lambda: assistant.stopped == 1, what="the call to the model is cancelled")
    assert "draft_changed" not in frames.since(before)
    assert "parrots" not in frames.since(0)
    assert "interrupt" not in frames.since(0) + await chat.content()

    await chat.reload()
    await expect(bubbles(chat)).to_have_text(said)
    messages = await stage.messages(conversation_id)
    assert [(line.number, line.author, line.text, bool(line.interrupted)) for line in messages] == [
        (1, "customer", QUESTION, False),
        (2, "assistant", SHOWN, True),
        (3, "agent", "Yours is at the harbour already.", False),
        (4, "customer", "How nice!", False),
    ]
    assert [turn.status for turn in await stage.turns(conversation_id)] == ["interrupted"]
    conversation = await stage.conversation(conversation_id)
    assert (conversation.owner_id, conversation.turn_id) == (ada.member_id, None)
    (takeover,) = await stage.takeovers(conversation_id)
    assert (takeover.member_id, takeover.after, takeover.ended_at) == (ada.member_id, 2, None)
    assert takeover.first_reply_at is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_reload_in_mid_draft_shows_the_draft_once_and_it_goes_on(stage, open_chat, open_console):
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage)
    conversation_id = await conversation_with_a_growing_draft(stage, chat, assistant)
    console = await open_console(stage, await stage.member("Ada"), conversation_id)
    for page in (chat, console):
        await page.reload()
    await expect(draft(chat)).to_have_text(SHOWN)
    await expect(bubbles(chat)).to_have_text([QUESTION, SHOWN])
    await expect(lines(console)).to_have_text([QUESTION, SHOWN])

    assistant.say(" days.")
    await expect(draft(chat)).to_have_text(f"{SHOWN} days.")
    await expect(growing(console)).to_have_text(f"{SHOWN} days.")
    assistant.finish()
    await expect(chat.locator(".draft")).to_have_count(0)
    await expect(console.locator(".is-draft")).to_have_count(0)
    await expect(bubbles(chat)).to_have_text([QUESTION, f"{SHOWN} days."])
    await expect(lines(console)).to_have_text([QUESTION, f"{SHOWN} days."])
    await expect(line(console, 2)).to_have_attribute("data-author", "assistant")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_takeover_before_the_first_word_leaves_nothing_of_the_answer(stage, open_chat, open_console):
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage)
    await say(chat, QUESTION)
    conversation_id = (await assistant.is_asked()).conversation_id
    await expect(chat.locator("#typing")).to_be_visible()
    console = await open_console(stage, await stage.member("Ada"), conversation_id)
    await console.locator("#take-over").click()
    await expect(console.locator("#composer")).to_be_visible()
    assistant.say(UNHEARD)
    assistant.finish()
    await answer(console, "Five days.")
    await expect(bubbles(chat)).to_have_text([QUESTION, "Five days."])
    await expect(lines(console)).to_have_text([QUESTION, "Five days."])
    await expect(chat.locator("#typing")).to_be_hidden()
    assert [line.number for line in await stage.messages(conversation_id)] == [1, 2]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_scripted_handoff_says_its_line_as_anybody_would(stage, open_chat, open_console):
    await stage.set_assistant(handoff="scripted", handoff_text="One moment, **please**.")
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage)
    conversation_id = await conversation_with_a_growing_draft(stage, chat, assistant)
    console = await open_console(stage, await stage.member("Ada"), conversation_id)
    await console.locator("#take-over").click()
    await answer(console, "Five days.")
    await expect(bubbles(chat)).to_have_text([QUESTION, SHOWN, "One moment, please.", "Five days."])
    await expect(chat.locator("#conversations .message[data-author=assistant]")).to_have_count(3)
    await expect(heard(chat).locator("strong")).to_have_text("please")
    await expect(chat.locator("body")).not_to_contain_text("Ada")
    await expect(lines(console)).to_have_text([QUESTION, SHOWN, "One moment, please.", "Five days."])
    await expect(line(console, 3)).to_have_attribute("data-author", "agent")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_announced_handoff_shows_who_speaks(stage, open_chat, open_console):
    await stage.set_assistant(handoff="announced")
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage)
    conversation_id = await conversation_with_a_growing_draft(stage, chat, assistant)
    console = await open_console(stage, await stage.member("Ada"), conversation_id)
    await console.locator("#take-over").click()
    await answer(console, "Five days.")
    await expect(bubbles(chat)).to_have_text([QUESTION, SHOWN, "Five days."])
    await expect(chat.locator(".message[data-author=agent] .message-author")).to_have_text("Ada")
    await expect(chat.locator(".message[data-author=agent] .message-author")).to_be_visible()
    await chat.reload()
    await expect(chat.locator(".message[data-author=agent] .message-author")).to_have_text("Ada")
