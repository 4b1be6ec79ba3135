"""Forms that bring a file: read piece by piece, so that nobody's gigabytes are held or waited for."""

import asyncio

from aiohttp import BodyPartReader, web

from handoff.errors import TooLarge

UPLOAD_SECONDS = 30
MOST_PARTS = 20


async def read_upload(request: web.Request, most: int) -> dict[str, bytes]:
    """The parts of a form by name, together at most `most` bytes. Raises TooLarge before more than that was read."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPBadRequest(text="That form could not be read.")
    if (request.content_length or 0) > most:
        raise TooLarge
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            return await _parts(request, most)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, AssertionError, RuntimeError, web.PayloadAccessError):
        raise web.HTTPBadRequest(text="That form could not be read.") from None


async def _parts(request: web.Request, most: int) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    reader = await request.multipart()
    for _ in range(MOST_PARTS):
        part = await reader.next()
        if part is None:
            return parts
        if not isinstance(part, BodyPartReader):
            raise ValueError
        body = bytearray()
        while piece := await part.read_chunk():
            body += piece
            if len(body) > most:
                raise TooLarge
        most -= len(body)
        parts[part.name or ""] = bytes(body)
    raise ValueError
