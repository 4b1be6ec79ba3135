"""Requests to the outside: where they may go, how long they may take, how much they may bring. They follow no redirect, keep no
cookie, use no proxy of the environment and accept nothing that is compressed, which could swell."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
from yarl import URL

from handoff.assistants import AnswerFailed, Question
from handoff.assistants.addresses import PrivateAddress, Resolver, any_socket, public_socket
from handoff.assistants.event_stream import text_of
from handoff.clock import now

CONNECTIONS = 200  # as many again as answers are written at once, for those that are only tried
STREAM_BYTES = 8 * 1024 * 1024  # of a stream; each word of it comes in some hundred bytes of JSON
WHOLE_BYTES = 512 * 1024  # of an answer that comes in one piece

T = TypeVar("T")


class TryAgain(AnswerFailed):
    """What failed may succeed when it is repeated, after a pause of so many seconds."""

    def __init__(self, words: str, pause: float = 0.2) -> None:
        super().__init__(words)
        self.pause = pause


class Rejected(AnswerFailed):
    """The request was understood and not liked."""


@dataclass(frozen=True)
class Caps:
    """Seconds."""

    first_byte: float
    idle: float
    total: float  # counted from the customer's line


class Outgoing:
    def __init__(self, caps: Caps, allow_private: bool) -> None:
        self.caps = caps
        self._socket_for = any_socket if allow_private else public_socket
        self._http: aiohttp.ClientSession | None = None
        self._resolver: Resolver | None = None

    def until(self, question: Question) -> float:
        """The time of the event loop's clock by which the customer must have an answer."""
        waited = max(0.0, (now() - question.asked_at) / 1000)
        return asyncio.get_running_loop().time() + self.caps.total - waited

    @asynccontextmanager
    async def post(self, whom: str, url: str, body: bytes, headers: Mapping[str, str], until: float) -> AsyncIterator["Reply"]:
        """Send `body` and give the reply, whose status is 200. Leaving closes the connection unless all was read.

        `whom` is who answers there, in the words of a reason ("The model"). Raises TryAgain, AnswerFailed.
        """
        patience = Patience(whom, self.caps, until)
        given = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "Handoff", **headers}
        asking = self._session().post(_checked(whom, url), data=body, headers=given, allow_redirects=False)
        response = await patience.for_first(asking)
        try:
            _must_be_good(whom, response)
            yield Reply(whom, response, patience)
        finally:
            response.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._resolver = Resolver()
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, resolver=self._resolver, socket_factory=self._socket_for)
            self._http = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._http

    @property
    def hangs(self) -> bool:
        """Whether a thread of ours still waits for a name server; the process would wait for it at its exit."""
        return self._resolver is not None and self._resolver.running > 0

    async def close(self) -> None:
        if self._http is not None and self._resolver is not None:
            await self._http.close()
            await self._resolver.close()


@dataclass
class Patience:
    """How long the next thing may take, and the words for when it takes longer or breaks off."""

    whom: str
    caps: Caps
    until: float

    def __post_init__(self) -> None:
        self._first_until = asyncio.get_running_loop().time() + self.caps.first_byte

    async def for_first(self, work: Awaitable[T]) -> T:
        return await self._wait(
            work, self._first_until, f"{self.whom} did not begin to answer within {self.caps.first_byte:g} seconds."
        )

    async def for_next(self, work: Awaitable[T]) -> T:
        until = asyncio.get_running_loop().time() + self.caps.idle
        return await self._wait(work, until, f"{self.whom} paused for more than {self.caps.idle:g} seconds.")

    async def _wait(self, work: Awaitable[T], until: float, words: str) -> T:
        try:
            async with asyncio.timeout_at(min(until, self.until)):
                return await work
        except TimeoutError:
            whole = f"{self.whom} had not answered as a whole after {self.caps.total:g} seconds."
            raise AnswerFailed(whole if self.until <= until else words) from None
        except aiohttp.ClientError as error:
            raise _why(self.whom, error) from None
        except (OSError, ValueError):
            raise AnswerFailed(f"{self.whom} could not be asked: its address or key is not well formed.") from None


@dataclass
class Reply:
    whom: str
    response: aiohttp.ClientResponse
    patience: Patience

    @property
    def is_stream(self) -> bool:
        """Whether it is an event stream, or else JSON. Raises AnswerFailed where it is neither."""
        kind = self.response.content_type.lower()
        if kind not in ("text/event-stream", "application/json"):
            shown = kind if re.fullmatch(r"[a-z0-9.+-]{1,30}/[a-z0-9.+-]{1,40}", kind) else "something"
            raise AnswerFailed(f"{self.whom} sent {shown} instead of an event stream or JSON.")
        return kind == "text/event-stream"

    async def chunks(self, most: int = STREAM_BYTES) -> AsyncIterator[bytes]:
        """The bytes as they come. Raises AnswerFailed, TryAgain."""
        content, count = self.response.content, 0
        chunk = await self.patience.for_first(content.readany())
        while chunk:
            count += len(chunk)
            if count > most:
                raise AnswerFailed(f"{self.whom} sent an answer that did not end.")
            yield chunk
            chunk = await self.patience.for_next(content.readany())

    async def whole(self) -> str:
        """A text that comes in one piece."""
        return text_of(b"".join([chunk async for chunk in self.chunks(WHOLE_BYTES)]))


def address_fault(url: str) -> str | None:
    """What is wrong with an address, in words for who typed it; None when a request could be sent there."""
    try:
        parts = URL(url)
        if parts.scheme not in ("http", "https") or not parts.host or not parts.port:
            return "must begin with https:// or http:// and name a host"
        if parts.user is not None or parts.password is not None:
            return "must not hold a user or password"
    except ValueError:
        return "is not an address"
    return None


def _checked(whom: str, url: str) -> URL:
    fault = address_fault(url)
    if fault:
        raise AnswerFailed(f"{whom} has no usable address: it {fault}.")
    return URL(url)


def _must_be_good(whom: str, response: aiohttp.ClientResponse) -> None:
    status = response.status
    if 300 <= status < 400:
        raise AnswerFailed(f"{whom} sent us to another address ({status}), which is not followed.")
    if status in (401, 403):
        raise AnswerFailed(f"{whom} refused the key ({status}).")
    if status == 404:
        raise AnswerFailed(f"{whom} is not known at its address (404).")
    if status == 429:
        raise _too_many(whom, response)
    if status >= 500:
        raise TryAgain(f"{whom} had an error of its own ({status}).")
    if status != 200:
        raise Rejected(f"{whom} did not accept the request ({status}).")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise AnswerFailed(f"{whom} sent a compressed answer, which is not accepted.")


def _too_many(whom: str, response: aiohttp.ClientResponse) -> AnswerFailed:
    """Asked to wait, we wait once; not told how long, we don't guess."""
    words = f"{whom} had too many requests (429)."
    pause = _seconds(response.headers.get("Retry-After", ""))
    return AnswerFailed(words) if pause is None else TryAgain(words, pause)


def _seconds(retry_after: str) -> float | None:
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,6}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now() / 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _why(whom: str, error: aiohttp.ClientError) -> AnswerFailed:
    """In words, without the address: it may hold a secret."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TryAgain(f"{whom} could not be reached: its name is not known.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return AnswerFailed(f"{whom} could not be reached: its certificate is not valid.")
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, PrivateAddress):
            return AnswerFailed(f"{whom} has a private address, which the operator of this Handoff does not allow.")
        refused = isinstance(error.os_error, ConnectionRefusedError | socket.timeout)
        return TryAgain(f"{whom} could not be reached: it {'refused the connection' if refused else 'does not answer'}.")
    if isinstance(error, aiohttp.InvalidURL):
        return AnswerFailed(f"{whom} has no usable address.")
    if isinstance(error, aiohttp.ClientResponseError):
        return AnswerFailed(f"{whom} sent what is no HTTP.")
    return TryAgain(f"{whom} broke off.")
