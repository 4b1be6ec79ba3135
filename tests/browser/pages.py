"""What people do on the pages, and where on them things stand."""

from typing import Any

from playwright.async_api import FrameLocator, Locator, Page, expect

Chat = Page | FrameLocator


async def open_launcher(page: Page) -> FrameLocator:
    """Click the launcher on a shop's page; gives the chat that opens."""
    await page.get_by_role("button", name="Open chat").click()
    return await chat_in(page)


async def chat_in(page: Page) -> FrameLocator:
    chat = page.frame_locator("iframe[title=Chat]")
    await is_connected(chat)
    return chat


async def is_connected(chat: Chat) -> None:
    await expect(chat.locator("#connection")).to_have_attribute("data-state", "connected")
    await expect(chat.locator("#transcript:not([aria-busy])")).to_be_visible()


async def say(chat: Chat, text: str) -> None:
    """Write a line as a customer."""
    await chat.locator("#composer-text").fill(text)
    await chat.locator("#composer-text").press("Enter")


def heard(chat: Chat) -> Locator:
    """The customer's stored lines, of all conversations on the page."""
    return chat.locator("#conversations .message .message-text")


def bubbles(chat: Chat) -> Locator:
    """Everything that looks like a line: stored, unsent or still growing."""
    return chat.locator("#lines .message .message-text")


def draft(chat: Chat) -> Locator:
    return chat.locator("#turn .draft .message-text")


def row(console: Page, conversation_id: str) -> Locator:
    return console.locator(f"#conversations [data-conversation='{conversation_id}']")


def lines(console: Page) -> Locator:
    """The lines of the open conversation: stored, unsent or still growing."""
    return console.locator("#lines .message .message-text")


def line(console: Page, number: int) -> Locator:
    return console.locator(f"#lines .message[data-number='{number}']")


def growing(console: Page) -> Locator:
    return console.locator("#lines .message.is-draft .message-text")


async def answer(console: Page, text: str) -> None:
    """Write a line as an agent."""
    await console.locator("#composer-text").fill(text)
    await console.locator("#composer-text").press("Enter")


async def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab as often as it takes; a stop that cannot be seen would be a fault, and one that is never reached too."""
    for _ in range(40):
        if await target.evaluate("it => it === document.activeElement"):
            return
        await page.keyboard.press(key)
        assert await page.evaluate("document.activeElement.getClientRects().length > 0"), "the focus is out of sight"
    raise AssertionError(f"{key} does not lead to {target}")


class Frames:
    """Every WebSocket frame that a page receives from now on. Call it before the page is opened."""

    def __init__(self, page: Page) -> None:
        self.received: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._hear))

    def _hear(self, frame: Any) -> None:
        self.received.append(frame if isinstance(frame, str) else frame.decode())

    def since(self, position: int) -> str:
        return "\n".join(self.received[position:])
