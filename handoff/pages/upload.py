"""Forms that bring a file: read up to a size, so that nobody's gigabytes are held or waited for, then taken apart.

Not by aiohttp's own reader, which goes line by line through what stands before the first part: a megabyte of empty lines keeps
everybody else waiting for seconds.
"""

import asyncio
import io

from aiohttp import web
from multipart import MultipartParser, parse_options_header

from handoff.errors import TooLarge

UPLOAD_SECONDS = 30
MOST_PARTS = 20


async def read_upload(request: web.Request, most: int) -> dict[str, bytes]:
    """The parts of a form by name, together at most `most` bytes. Raises TooLarge before more than that was read."""
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    if kind != "multipart/form-data":
        raise _unreadable()
    if (request.content_length or 0) > most:
        raise TooLarge
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            body = await _body(request, most)
        return _parts(body, options.get("boundary", ""))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, web.PayloadAccessError):  # a ParserError is a ValueError
        raise _unreadable() from None


async def _body(request: web.Request, most: int) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > most:
            raise TooLarge
    return bytes(body)


def _parts(body: bytes, boundary: str) -> dict[str, bytes]:
    if not boundary:
        raise ValueError
    in_memory = {"spool_limit": len(body), "memory_limit": len(body), "part_limit": MOST_PARTS}
    return {part.name: part.raw for part in MultipartParser(io.BytesIO(body), boundary, strict=True, **in_memory)}


def _unreadable() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="That form could not be read.")
