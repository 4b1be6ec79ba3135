"""Reading `text/event-stream` as it comes (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import re
from collections.abc import AsyncIterator

from handoff.assistants import AnswerFailed

LINE_BYTES = 128 * 1024
EVENT_BYTES = 256 * 1024

_line_end = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)  # a last "\r" may be half of an end


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """`(event, data)` of each event. What stands after the last empty line is none: it may be cut. Raises AnswerFailed."""
    event, data = "", list[str]()
    async for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield event or "message", "\n".join(data)
            event, data = "", []
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
            if sum(map(len, data)) > EVENT_BYTES:
                raise AnswerFailed("The answer held an event that is too long.")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    held, searched, is_first = bytearray(), 0, True
    async for chunk in chunks:
        held += chunk
        start = 0
        while end := _line_end.search(held, max(start, searched)):
            line = held[start : end.start()]
            if is_first:
                line, is_first = line.removeprefix(b"\xef\xbb\xbf"), False
            yield text_of(line)
            start = end.end()
        del held[:start]
        searched = max(0, len(held) - 1)
        if len(held) > LINE_BYTES:
            raise AnswerFailed("The answer held a line that is too long.")


def text_of(raw: bytes | bytearray) -> str:
    """Strictly UTF-8. Raises AnswerFailed."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise AnswerFailed("The answer was not UTF-8.") from None
