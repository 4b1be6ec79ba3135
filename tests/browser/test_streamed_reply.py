"""A reply that a model streams over three seconds, in the widget and in the console of an agent who reads along."""

import pytest
from playwright.async_api import expect

from handoff.models import Conversation
from tests.browser.pages import answer, bubbles, draft, growing, heard, line, lines, say
from tests.cast import Stage
from tests.stubs import Call, Hand, ModelStub, WebhookStub

pytestmark = pytest.mark.browser

QUESTION = "How long does delivery take?"
WORDS = [f"word{number} " for number in range(30)]
PAUSE = 0.1  # thirty of them: three seconds
LAST = "word29"


@pytest.fixture(params=[ModelStub, WebhookStub], ids=["model", "webhook"])
async def stub(request: pytest.FixtureRequest):
    async with request.param() as made:
        made.will(made.says("Hello!"), made.says(*WORDS, pause=PAUSE))
        yield made


@pytest.fixture
async def stage(open_stage, stub) -> Stage:
    stage = await open_stage(allow_private_addresses=True)
    await stage.set_assistant(**stub.settings())
    return stage


async def begin(stage: Stage, open_chat, open_console):
    """A customer and an agent who looks at their conversation; the next question gets the long answer."""
    chat = await open_chat(stage)
    await say(chat, "Hello")
    await expect(heard(chat)).to_have_text(["Hello", "Hello!"])
    conversation = await stage.look(Conversation.get)
    return chat, await open_console(stage, await stage.member("Ada"), conversation.id)


async def test_a_takeover_in_the_middle_of_three_seconds(stage, stub, open_chat, open_console) -> None:
    chat, console = await begin(stage, open_chat, open_console)
    await say(chat, QUESTION)
    await expect(growing(console)).to_contain_text("word")
    await expect(draft(chat)).to_contain_text("word")
    await console.locator("#take-over").click()
    await expect(console.locator("#composer-text")).to_be_focused()
    await stub.calls[1].is_closed(1)
    await answer(console, "Ada here.")
    await expect(bubbles(chat)).to_have_count(5)
    *_, question, kept, said = await bubbles(chat).all_inner_texts()
    assert (question, said) == (QUESTION, "Ada here.")
    assert LAST not in kept
    assert kept.split() == [word.strip() for word in WORDS[: len(kept.split())]]
    await expect(chat.locator(".draft")).to_have_count(0)
    await expect(lines(console)).to_have_text(["Hello", "Hello!", QUESTION, kept, "Ada here."])
    await expect(line(console, 4).locator(".message-mark")).to_have_text("interrupted by takeover")
    await chat.reload()
    await expect(heard(chat)).to_have_text(["Hello", "Hello!", QUESTION, kept, "Ada here."])


async def test_a_reload_in_mid_draft_goes_on_with_that_draft_once(stage, stub, open_chat, open_console) -> None:
    hand = Hand(stub)
    stub.will(stub.says("Hello!"), hand)
    chat, console = await begin(stage, open_chat, open_console)
    await say(chat, QUESTION)
    hand.say("Five ")
    for page in (chat, console):
        await page.reload()
    await expect(draft(chat)).to_have_text("Five")
    await expect(growing(console)).to_have_text("Five")
    await expect(bubbles(chat)).to_have_count(4)
    hand.say("days")
    await expect(draft(chat)).to_have_text("Five days")
    hand.say(".")
    hand.finish()
    for page, shown in ((chat, bubbles(chat)), (console, lines(console))):
        await expect(shown).to_have_text(["Hello", "Hello!", QUESTION, "Five days."])
        await expect(page.locator(".draft, .is-draft")).to_have_count(0)
    assert len(stub.calls) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_failed_half_way_gives_way_to_the_fallback_text(stage, stub, open_chat) -> None:
    async def cuts(call: Call) -> None:
        await call.head()
        await call.send(stub.text("Half an answer"))
        await expect(draft(chat)).to_have_text("Half an answer")
        call.cut()

    stub.will(cuts)
    chat = await open_chat(stage)
    await say(chat, QUESTION)
    await expect(heard(chat)).to_have_text([QUESTION, "Sorry, I cannot answer that just now. Please try again in a moment."])
    await expect(bubbles(chat)).to_have_count(2)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_agent_sees_at_once_what_the_assistant_notes_and_it_is_inert(stage, stub, open_chat, open_console) -> None:
    async def notes(call: Call) -> None:
        await call.head()
        noted = [("name", "Eve Holt"), ("email", "eve@example.org"), ("company", "<b>Tide</b> & Sons")]
        if isinstance(stub, ModelStub):
            calls = [stub.called(at, "remember", {"name": name, "value": value}) for at, (name, value) in enumerate(noted)]
            await call.send(b"".join([*calls, stub.calls_over()]))
        else:
            await call.send(b"".join(stub.note(*pair) for pair in noted))
            await call.send(stub.text("Thanks.") + stub.over())
        await call.end()

    stub.will(stub.says("Who are you?"), notes, stub.says("Thanks."))
    chat = await open_chat(stage)
    await say(chat, "Hello")
    await expect(heard(chat)).to_have_text(["Hello", "Who are you?"])
    conversation = await stage.look(Conversation.get)
    console = await open_console(stage, await stage.member("Ada"), conversation.id, viewport={"width": 1440, "height": 900})
    await say(chat, "Eve Holt of Tide & Sons, eve@example.org")
    await expect(console.locator("#customer-name")).to_have_text("Eve Holt")
    details = console.locator("#details-customer")
    await expect(details.locator("dt")).to_have_text(["Name", "E-mail", "Company", "First seen"])
    await expect(details.locator("dd").nth(2)).to_have_text("<b>Tide</b> & Sons")
