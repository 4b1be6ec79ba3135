"""Forms that bring a file: read up to a size, so that nobody's gigabytes are held or waited for, then taken apart.

Taken apart here, because aiohttp's reader goes line by line through what stands before the first part: a megabyte of empty lines
keeps everybody else waiting for seconds.
"""

import asyncio
from email.message import Message

from aiohttp import web

from handoff.errors import TooLarge

UPLOAD_SECONDS = 30
MOST_PARTS = 20
HEAD_BYTES = 4096  # of one part


async def read_upload(request: web.Request, most: int) -> dict[str, bytes]:
    """The parts of a form by name, together at most `most` bytes. Raises TooLarge before more than that was read."""
    if request.content_type != "multipart/form-data":
        raise _unreadable()
    if (request.content_length or 0) > most:
        raise TooLarge
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            body = await _body(request, most)
        return _parts(body, _boundary(request))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, web.PayloadAccessError):
        raise _unreadable() from None


async def _body(request: web.Request, most: int) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > most:
            raise TooLarge
    return bytes(body)


def _boundary(request: web.Request) -> bytes:
    boundary = _parameter(request.headers["Content-Type"], "boundary")
    if len(boundary) > 70:
        raise ValueError
    return boundary.encode("ascii")


def _parts(body: bytes, boundary: bytes) -> dict[str, bytes]:
    before, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MOST_PARTS + 1)
    if before.strip() or not pieces or not pieces.pop().startswith(b"--"):
        raise ValueError
    return dict(_part(piece) for piece in pieces)


def _part(piece: bytes) -> tuple[str, bytes]:
    head, end, content = piece.partition(b"\r\n\r\n")
    if not end or not head.startswith(b"\r\n") or len(head) > HEAD_BYTES:
        raise ValueError
    headers = (line.partition(":") for line in head.decode().split("\r\n"))
    told = next((value for name, _, value in headers if name.lower() == "content-disposition"), "")
    return _parameter(told, "name"), content


def _parameter(header: str, name: str) -> str:
    """One that is there, and written plainly. Raises ValueError."""
    message = Message()
    message["Content-Type"] = header
    value = message.get_param(name)
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _unreadable() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="That form could not be read.")
