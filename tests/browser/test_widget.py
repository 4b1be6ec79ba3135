"""The widget, as customers meet it: off the network, after a crash, in two tabs, by keyboard, with texts of every kind."""

import re

import pytest
from playwright.async_api import Page, expect

from handoff.models import Conversation, Widget
from tests.apart import stage_apart
from tests.browser.axe import fits, width_beyond
from tests.browser.pages import Chat, bubbles, draft, heard, is_connected, open_launcher, say, tab_to
from tests.cast import Stage
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

QUESTION = "How long does delivery take?"
ANSWER = re.compile("^Delivery takes five working days")
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
HOSTILE = [ATTACK, "W" * 4000, "\u202e" + "שלום עולם " * 40, "🛟" * 500 + "\u0301" * 300, "[a](javascript:alert(1)) **b** `c`"]
OFF_LINE = "ERR_|WebSocket"


async def its_conversation(chat: Chat) -> str:
    return str(await chat.locator(".conversation").last.get_attribute("data-conversation"))


# --- the network, and the server behind it ---


async def test_what_is_written_off_the_network_waits_and_is_sent_once_in_order(behind_line, open_chat):
    stage, network = behind_line
    await stage.hold_assistant()
    chat = await open_chat(stage, url=network.url, allow=OFF_LINE)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION])
    network.freeze()
    await say(chat, "Into the silence.")
    await expect(chat.locator("#unsent .message-mark span")).to_have_text("Sending…")
    await network.refuse()
    await network.cut()
    await expect(chat.locator("#connection")).to_contain_text("Connection lost")
    await say(chat, "Off the network.")
    await say(chat, "Still there?")
    await expect(chat.locator("#unsent .message-mark span")).to_have_text(["Waiting to send"] * 3)

    network.resume()
    await network.accept()
    await is_connected(chat)
    await expect(heard(chat)).to_have_text([QUESTION, "Into the silence.", "Off the network.", "Still there?"])
    await expect(chat.locator("#unsent .message")).to_have_count(0)
    await expect(chat.locator("#connection")).to_be_empty()
    stored = [line.text for line in await stage.messages(await its_conversation(chat))]
    assert stored == [QUESTION, "Into the silence.", "Off the network.", "Still there?"]


async def test_a_line_whose_answer_got_lost_is_repeated_and_stands_once(behind_line, open_chat):
    stage, network = behind_line
    await stage.hold_assistant()
    chat = await open_chat(stage, url=network.url, allow=OFF_LINE)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_count(1)
    conversation_id = await its_conversation(chat)
    network.is_deaf = True
    await say(chat, "Can you hear me?")
    await wait_until(lambda: _has_stored(stage, conversation_id, 2), what="the line is stored")
    await expect(chat.locator("#unsent .message")).to_have_count(1)
    await network.cut()
    network.is_deaf = False
    await expect(heard(chat)).to_have_text([QUESTION, "Can you hear me?"])
    await expect(chat.locator("#unsent .message")).to_have_count(0)
    await say(chat, "Good.")
    await expect(heard(chat)).to_have_text([QUESTION, "Can you hear me?", "Good."])
    await expect(bubbles(chat)).to_have_count(3)
    assert await _has_stored(stage, conversation_id, 3)


async def _has_stored(stage: Stage, conversation_id: str, count: int) -> bool:
    return len(await stage.messages(conversation_id)) == count


async def test_what_waits_outlives_the_tab(behind_line, open_chat):
    stage, network = behind_line
    await stage.hold_assistant()
    chat = await open_chat(stage, url=network.url, allow=OFF_LINE)
    await network.refuse()
    await network.cut()
    await say(chat, "Off the network.")
    await say(chat, "Still there?")
    await chat.locator("#composer-text").fill("And one m")
    await expect(chat.locator("#unsent .message")).to_have_count(2)
    await network.accept()
    await chat.reload()
    await expect(heard(chat)).to_have_text(["Off the network.", "Still there?"])
    await expect(chat.locator("#unsent .message")).to_have_count(0)
    await expect(chat.locator("#composer-text")).to_have_value("And one m")
    assert len(await stage.messages(await its_conversation(chat))) == 2


async def test_lines_of_the_other_side_that_were_missed_come_once_and_in_order(behind_line, open_chat):
    stage, network = behind_line
    chat = await open_chat(stage, url=network.url, allow=OFF_LINE)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    ada = await stage.agent("Ada")
    conversation_id = await its_conversation(chat)
    await ada.take_over(conversation_id)
    await network.refuse()
    await network.cut()
    texts = [f"Line {count}" for count in range(1, 6)]
    for text in texts:
        await ada.write(conversation_id, text)
    await network.accept()
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER, *texts])


async def test_a_killed_server_comes_back_and_the_chat_goes_on_by_itself(database_url, start_handoff, new_browser_page):
    handoff = await start_handoff(database_url=database_url, words_per_second=200, lease_seconds=1)
    async with stage_apart(handoff.url, database_url) as stage:
        chat = await new_browser_page(allow=OFF_LINE)
        await chat.goto(f"{handoff.url}/widget/{stage.widget_key}")
        await say(chat, QUESTION)
        await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
        handoff.kill()
        await expect(chat.locator("#connection")).not_to_have_attribute("data-state", "connected")
        await say(chat, "Are you there?")
        await expect(chat.locator("#unsent .message")).to_have_count(1)
        await handoff.start()
        await expect(heard(chat)).to_have_count(4, timeout=20_000)
        await expect(heard(chat).nth(2)).to_have_text("Are you there?")
        await expect(bubbles(chat)).to_have_count(4)
        authors = [line.author for line in await stage.messages(await its_conversation(chat))]
        assert authors == ["customer", "assistant"] * 2


async def test_a_server_killed_in_mid_draft_leaves_one_whole_answer(database_url, start_handoff, new_browser_page):
    handoff = await start_handoff(database_url=database_url, words_per_second=8, lease_seconds=1)
    async with stage_apart(handoff.url, database_url) as stage:
        chat = await new_browser_page(allow=OFF_LINE)
        await chat.goto(f"{handoff.url}/widget/{stage.widget_key}")
        await say(chat, QUESTION)
        await expect(draft(chat)).to_contain_text("Delivery takes")
        handoff.kill()
        await handoff.start()
        await expect(heard(chat)).to_have_text([QUESTION, re.compile(r"on its way to you\.\s*$")], timeout=20_000)
        await expect(bubbles(chat)).to_have_count(2)
        assert len(await stage.messages(await its_conversation(chat))) == 2


# --- who I am ---


async def test_a_token_that_is_no_good_is_forgotten(stage, open_chat):
    chat = await open_chat(stage)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    token = f"handoff:{stage.widget_key}:token"
    await chat.evaluate("name => localStorage.setItem(name, JSON.stringify('forged'))", token)
    await chat.reload()
    await is_connected(chat)
    await expect(heard(chat)).to_have_count(0)
    assert await chat.evaluate("name => JSON.parse(localStorage.getItem(name))", token) not in (None, "forged")
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])


async def test_two_tabs_are_one_customer(stage, open_chat):
    await stage.hold_assistant()
    one = await open_chat(stage)
    other = await one.context.new_page()
    await other.goto(one.url)
    await is_connected(other)
    await say(one, "From the first.")
    await expect(heard(other)).to_have_text(["From the first."])
    await say(other, "From the second.")
    await say(one, "And again.")
    for tab in (one, other):
        await expect(bubbles(tab)).to_have_text(["From the first.", "From the second.", "And again."])
    assert await stage.look(lambda: Conversation.select().count()) == 1


async def test_a_wrong_key_has_quiet_words_and_the_shop_stays_as_it_is(stage, shop_of, new_browser_page):
    stage.widget_key = "no-such-key"
    shop = await new_browser_page(allow="404")
    await shop.goto(await shop_of(stage))
    await shop.get_by_role("button", name="Open chat").click()
    chat = shop.frame_locator("iframe[title=Chat]")
    await expect(chat.get_by_text("This chat is not available.")).to_be_visible()
    await shop.set_viewport_size({"width": 360, "height": 740})
    await shop.get_by_role("button", name="Close chat").click()
    await expect(shop.locator("iframe[title=Chat]")).to_be_hidden()
    await expect(shop.get_by_role("heading", name="Harbour Lamps")).to_be_visible()


# --- what a customer can do ---


async def test_a_customer_ends_the_conversation_and_rates_it(stage, open_chat):
    chat = await open_chat(stage)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    conversation_id = await its_conversation(chat)
    await chat.get_by_role("button", name="More").click()
    await chat.get_by_role("button", name="End conversation").click()
    await expect(chat.locator("#notice")).to_contain_text("End this conversation?")
    await chat.locator("#notice").get_by_role("button", name="End conversation").click()
    await expect(chat.locator(".conversation[data-status=closed]")).to_contain_text("This conversation has ended")
    await chat.get_by_label("4 of 5").check(force=True)
    await chat.get_by_label("Comment").fill("Quick.")
    await chat.get_by_role("button", name="Send rating").click()
    await expect(chat.get_by_text("Thank you.")).to_be_visible()
    ended = await stage.conversation(conversation_id)
    assert (ended.status, ended.closed_by, ended.score, ended.comment) == ("closed", "customer", 4, "Quick.")


async def test_a_customer_asks_for_a_person_and_learns_whether_one_is_here(stage, open_chat):
    chat = await open_chat(stage)
    await asks_for_a_person(chat)
    await expect(chat.locator("#notice")).to_contain_text("Write your question first")
    await chat.locator("#notice").get_by_role("button", name="OK").click()
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    await asks_for_a_person(chat)
    await expect(chat.locator("#notice")).to_contain_text("Nobody from the team is here just now")
    ada = await stage.watcher("Ada")
    await asks_for_a_person(chat)
    await expect(chat.locator("#notice")).to_contain_text("Somebody from the team is here")
    listed = (await ada.do("watch", assistant_id=stage.assistant_id))["conversations"]
    assert [signal["kind"] for signal in listed[0]["signals"]] == ["asked_for_human"]


async def asks_for_a_person(chat: Chat) -> None:
    await chat.get_by_role("button", name="More").click()
    await chat.get_by_role("button", name="Talk to a person").click()


async def test_everything_can_be_done_with_the_keyboard_alone(stage, shop_of, new_browser_page):
    shop = await new_browser_page()
    await shop.goto(await shop_of(stage))
    await expect(shop.get_by_role("button", name="Open chat")).to_be_visible()
    await shop.keyboard.press("Tab")
    await expect(shop.get_by_role("button", name="Open chat")).to_be_focused()
    await shop.keyboard.press("Enter")
    chat = shop.frame_locator("iframe[title=Chat]")
    await is_connected(chat)
    await expect(chat.locator("#composer-text")).to_be_focused()
    await shop.keyboard.type("How long")
    await shop.keyboard.press("Shift+Enter")
    await shop.keyboard.type("does delivery take?")
    await shop.keyboard.press("Enter")
    await expect(heard(chat)).to_have_text(["How long does delivery take?", ANSWER])
    await expect(chat.locator("#composer-text")).to_be_focused()
    await tab_to(shop, chat.locator("#menu-button"), "Shift+Tab")
    await shop.keyboard.press("Enter")
    await expect(chat.locator("#request-human")).to_be_focused()
    await shop.keyboard.press("Tab")
    await shop.keyboard.press("Enter")
    await expect(chat.locator("#notice button").first).to_be_focused()
    await shop.keyboard.press("Enter")
    await expect(chat.locator(".conversation")).to_have_attribute("data-status", "closed")
    await expect(chat.locator("#composer-text")).to_be_focused()
    await shop.keyboard.press("Escape")
    await expect(shop.locator("iframe[title=Chat]")).to_be_hidden()
    await expect(shop.get_by_role("button", name="Open chat")).to_be_focused()


# --- every text, every window ---


async def test_hostile_texts_are_inert_and_stay_within_the_window(stage, open_chat):
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage, viewport={"width": 360, "height": 740})
    for text in HOSTILE:
        await say(chat, text)
    await expect(heard(chat)).to_have_count(len(HOSTILE))
    await expect(heard(chat).first).to_have_text(ATTACK)
    assistant.say(*(f"{text}\n\n" for text in HOSTILE), "The end.")
    await expect(draft(chat)).to_contain_text("The end.")
    assert await width_beyond(chat) <= 0
    assert await _cut_off(chat) == 0
    assistant.finish()
    await expect(chat.locator(".message[data-author=assistant][data-number]")).to_contain_text("The end.")
    ada = await stage.agent("Ada")
    conversation_id = await its_conversation(chat)
    await ada.take_over(conversation_id)
    for text in HOSTILE:
        await ada.write(conversation_id, text)
    await expect(heard(chat)).to_have_count(2 * len(HOSTILE) + 1)
    await expect(chat.locator("img, script:not([src], [type]), a[href^=javascript]")).to_have_count(0)
    await expect(chat).to_have_title("Tilly")
    for width in (360, 1440):
        await chat.set_viewport_size({"width": width, "height": 740})
        assert await width_beyond(chat) <= 0
        assert await _cut_off(chat) == 0


async def _cut_off(chat: Page) -> int:
    """How many lines reach beyond the window."""
    return await bubbles(chat).evaluate_all(
        "all => all.map(it => it.getBoundingClientRect()).filter(box => box.left < 0 || box.right > innerWidth).length"
    )


async def test_every_state_is_accessible_and_fits(behind_line, open_chat):
    stage, network = behind_line
    await stage.make(
        lambda: (
            Widget.update(
                greeting="Hello, I am Tilly.", suggestions='["How long does delivery take?", "Where are you?"]', color="#ffcc00"
            )
            .where(Widget.key == stage.widget_key)
            .execute()
        )
    )
    await stage.set_assistant(handoff="announced")
    assistant = await stage.hold_assistant()
    chat = await open_chat(stage, url=network.url, allow=OFF_LINE)
    await expect(chat.locator("#suggestions button")).to_have_count(2)
    await fits(chat, "new")
    await chat.locator("#suggestions button").first.click()
    assistant.say("Five **working")
    await expect(draft(chat)).to_have_text("Five working")
    await fits(chat, "with a draft")
    ada = await stage.agent("Ada")
    conversation_id = await its_conversation(chat)
    await ada.take_over(conversation_id)
    await ada.write(conversation_id, "Six, in *fact*: [our map](https://tidewater.example)\n\n1. one\n2. two")
    await expect(heard(chat)).to_have_count(3)
    await chat.locator("#menu-button").click()
    await fits(chat, "with an agent and the menu")
    await chat.keyboard.press("Escape")
    await network.refuse()
    await network.cut()
    await say(chat, "Off the network.")
    await expect(chat.locator("#connection")).to_contain_text("Connection lost")
    await fits(chat, "off the network")
    await network.accept()
    await expect(chat.locator("#unsent .message")).to_have_count(0)
    await ada.do("close_conversation", conversation_id=conversation_id, outcome_id=await stage.outcome(), note="")
    await expect(chat.locator(".rating")).to_be_visible()
    await fits(chat, "ended")


async def test_a_shop_with_the_chat_open_is_accessible(stage, shop_of, new_browser_page):
    shop = await new_browser_page()
    await shop.goto(await shop_of(stage))
    chat = await open_launcher(shop)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, ANSWER])
    await fits(shop, "a shop")
