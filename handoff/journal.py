"""The log: one line per thing that happened, with ids and numbers, never with texts or secrets (I16)."""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from handoff.events import (
    AccessEnded,
    AssistantsChanged,
    ConversationFact,
    ConversationTakenOver,
    DraftChanged,
    Fact,
    MembersChanged,
    MessagePosted,
    OutcomesChanged,
    SeatsChanged,
    SignalRaised,
    TurnFact,
    TypingChanged,
)

log = structlog.get_logger()

_humps = re.compile(r"(?<!^)(?=[A-Z])")


def configure(level: str) -> None:
    """JSON lines on standard error; words for a person where that is a terminal."""
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_words,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WithoutWords("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to debug


def without_words(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Where an exception came from, without its words: a database's often quote the row that it refused (I16)."""
    error = event.pop("exc_info", None)
    error = sys.exc_info()[1] if error is True else error
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["at"] = _frames(error)
    return event


class WithoutWords(logging.Formatter):
    """The same for what libraries log."""

    def formatException(self, ei: Any) -> str:
        return f"{ei[0].__name__} at {' '.join(_frames(ei[1]))}"


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


async def note(fact: Fact) -> None:
    """Log a fact. Drafts and typing come too often to be worth a line."""
    if isinstance(fact, DraftChanged | TypingChanged):
        return
    log.info(_humps.sub("_", type(fact).__name__).lower(), **_ids(fact))


def _ids(fact: Fact) -> dict[str, Any]:
    match fact:
        case MessagePosted():
            message = fact.message
            return {**_of_conversation(fact), "number": message["number"], "author": message["author"]}
        case ConversationTakenOver():
            return {**_of_conversation(fact), "member": fact.takeover["member"]["id"], "takeover": fact.takeover["id"]}
        case SignalRaised():
            return {**_of_conversation(fact), "kind": fact.signal["kind"]}
        case ConversationFact():
            return _of_conversation(fact)
        case TurnFact():
            return {"conversation": fact.conversation_id, "turn": fact.turn}
        case AccessEnded():
            return {"user": fact.user_id, "session": fact.session_id}
        case SeatsChanged() | MembersChanged() | AssistantsChanged() | OutcomesChanged():
            return {"team": fact.team_id}
    return {}


def _of_conversation(fact: ConversationFact) -> dict[str, Any]:
    return {"conversation": fact.conversation_id, "assistant": fact.assistant_id, "version": fact.version}
