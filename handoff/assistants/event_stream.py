"""Reading `text/event-stream` as it comes (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import re
from collections.abc import AsyncIterator

from handoff.assistants import AnswerFailed

LINE_BYTES = 128 * 1024
LINES = 60_000  # 16 KiB of answer, letter by letter
LINES_AT_ONCE = 200  # before others have their turn: a chunk may hold tens of thousands
EVENT_LENGTH = 256 * 1024  # characters

_line_end = re.compile(rb"\r\n|\n|\r")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """`(event, data)` of each event. What stands after the last empty line is none: it may be cut. Raises AnswerFailed."""
    event, data, size = "", list[str](), 0
    async for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield event or "message", "\n".join(data)
            event, data, size = "", [], 0
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
            size += len(value) + 1
            if size > EVENT_LENGTH:
                raise AnswerFailed("The answer held an event that is too long.")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    held, searched, count, is_half = bytearray(), 0, 0, False
    async for chunk in chunks:
        held += chunk[1:] if is_half and chunk.startswith(b"\n") else chunk
        is_half = chunk.endswith(b"\r")  # a "\n" that comes next is the rest of the same end
        start = 0
        while end := _line_end.search(held, max(start, searched)):
            line = held[start : end.start()]
            count += 1
            yield text_of(line.removeprefix(b"\xef\xbb\xbf") if count == 1 else line)
            start = end.end()
            if count % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        del held[:start]
        searched = len(held)
        if len(held) > LINE_BYTES or count > LINES:
            raise AnswerFailed("The answer held too many lines, or one that is too long.")
        await asyncio.sleep(0)  # whoever sends fast must not keep everybody else waiting


def text_of(raw: bytes | bytearray) -> str:
    """Strictly UTF-8. Raises AnswerFailed."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise AnswerFailed("The answer was not UTF-8.") from None
