"""An assistant that is only tried: its answer goes to whoever asks and is kept nowhere. Each may cost the team money: bounded."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from handoff.assistants import AnswerFailed, NeedsHuman, Piece, Provider, ProviderSettings, Question, Remember
from handoff.clock import new_id
from handoff.errors import RateLimited
from handoff.models import Assistant

log = structlog.get_logger()

AT_ONCE = 3  # of one team, in one process
PER_MINUTE = RateLimitItemPerMinute(20)
ANSWER_BYTES = 16 * 1024
PULSE = 0.5  # seconds between two signs of life while nothing comes


@dataclass(frozen=True)
class Said:
    """A piece of the answer; an empty one is a sign of life."""

    text: str


@dataclass(frozen=True)
class Would:
    """Something that the assistant would do besides, in words."""

    words: str


@dataclass(frozen=True)
class Ended:
    """Milliseconds to the first piece (None: there was none) and to the end; why it failed, in words, or None."""

    first: int | None
    total: int
    fault: str | None


Step = Said | Would | Ended


class Trials:
    def __init__(self, providers: Mapping[str, Provider], seconds: float) -> None:
        self._providers = providers
        self._seconds = seconds
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._running: Counter[str] = Counter()

    @contextmanager
    def room(self, team_id: str) -> Iterator[None]:
        """A place for one trial. Raises RateLimited."""
        if self._running[team_id] >= AT_ONCE:
            raise RateLimited(5)
        if not self._limiter.hit(PER_MINUTE, team_id):
            raise RateLimited(60)
        self._running[team_id] += 1
        try:
            yield
        finally:
            self._running[team_id] -= 1
            if not self._running[team_id]:
                del self._running[team_id]

    async def answer(self, assistant: Assistant, text: str) -> AsyncGenerator[Step, None]:
        """What the assistant answers by its saved settings, ended by one Ended. Closing it ends the work behind it."""
        lines = (("customer", text),)
        question = Question(
            "", assistant.id, assistant.knowledge_version, lines, assistant.team_id, ProviderSettings.of(assistant), new_id()
        )
        began, first, size, fault = time.monotonic(), None, 0, None
        pieces = self._pieces(assistant.provider, question, began + self._seconds)
        try:
            async for piece in pieces:
                if first is None and piece != "":
                    first = _since(began)
                step = _step_of(piece)
                size += len(step.text.encode()) if isinstance(step, Said) else 0
                if size > ANSWER_BYTES:
                    raise AnswerFailed("The assistant's answer did not end.")
                yield step
            fault = None if size else "The assistant's answer was empty."
        except AnswerFailed as failure:
            fault = str(failure)
        except Exception as error:  # a provider may raise anything; its text could hold what was said
            log.warning("trial_failed", kind=type(error).__name__)
            fault = "The assistant failed in an unexpected way."
        finally:
            await pieces.aclose()
        yield Ended(first, _since(began), fault)

    async def _pieces(self, kind: str, question: Question, end: float) -> AsyncGenerator[Piece, None]:
        """The pieces, and an empty one at each PULSE: whoever passes them on finds out by it that nobody listens any more."""
        # One task reads from the first piece to the last: what a provider bounds by time, it bounds for the task that asks it.
        queue: asyncio.Queue[Piece | None] = asyncio.Queue(100)
        collecting = asyncio.create_task(self._collect(kind, question, queue))
        try:
            while True:
                try:
                    piece = await asyncio.wait_for(queue.get(), PULSE)
                except TimeoutError:
                    if time.monotonic() > end:
                        raise AnswerFailed("No whole answer came in time.") from None
                    piece = ""
                if piece is None:
                    await collecting
                    return
                yield piece
        finally:
            collecting.cancel()
            while not queue.empty():  # it may wait for room there, to say that it has ended
                queue.get_nowait()
            await asyncio.gather(collecting, return_exceptions=True)

    async def _collect(self, kind: str, question: Question, queue: "asyncio.Queue[Piece | None]") -> None:
        try:
            if kind not in self._providers:
                raise AnswerFailed("There is no such kind of assistant.")
            async with aclosing(self._providers[kind].answer(question)) as pieces:
                async for piece in pieces:
                    await queue.put(piece)
        finally:
            await queue.put(None)


def _step_of(piece: Piece) -> Said | Would:
    match piece:
        case NeedsHuman():
            return Would(f"ask for a human: {_bounded(piece.reason)}")
        case Remember():
            return Would(f"remember {_bounded(piece.name)} = {_bounded(piece.value)}")
    return Said(piece.replace("\x00", "").encode("utf-8", "replace").decode())


def _bounded(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:500]


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
