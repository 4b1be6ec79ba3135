"""What a chat-completions endpoint sends, put together: text, tool calls that come in parts, and how it ended."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from handoff.assistants import AnswerFailed, NeedsHuman, Piece, Remember

CALLS = 8  # tool calls of one round
ARGUMENTS = 8_000  # characters of one call's


@dataclass
class Call:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def piece(self) -> Piece | None:
        """What the call asks for; None when it makes no sense."""
        given = self.given() or {}
        if self.name == "request_human":
            kind = "no_answer" if given.get("no_answer") is True else "asked_for_human"
            return NeedsHuman(kind, str(given.get("reason") or "The assistant asked for a person."))
        name, value = given.get("name"), given.get("value")
        if self.name == "remember" and isinstance(name, str) and isinstance(value, str | int | float):
            return Remember(name, str(value))
        return None

    def given(self) -> dict[str, Any] | None:
        try:
            given = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return given if isinstance(given, dict) else None


@dataclass
class Completion:
    """One reply of the model, as far as it has come."""

    text: str = ""
    calls: dict[int, Call] = field(default_factory=dict)
    finish: str = ""

    def take(self, sent: str, whole: bool = False) -> Iterator[str]:
        """Add one chunk of a stream, or a `whole` reply, and give its text. Raises AnswerFailed when it is none."""
        try:
            chunk = json.loads(sent)
        except (ValueError, RecursionError):
            raise AnswerFailed("The model sent what is no JSON.") from None
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices") or [], list):
            raise AnswerFailed("The model sent what is no chat completion.")
        if chunk.get("error"):
            raise AnswerFailed("The model reported an error.")
        for choice in (chunk.get("choices") or [])[:1]:
            yield from self._choose(choice, "message" if whole else "delta")

    def _choose(self, choice: Any, part: str) -> Iterator[str]:
        said = choice.get(part) or {} if isinstance(choice, dict) else None
        if not isinstance(said, dict):
            raise AnswerFailed("The model sent what is no chat completion.")
        text = said.get("content") or ""
        if not isinstance(text, str):
            raise AnswerFailed("The model sent something else than text.")
        for position, call in enumerate(_list(said.get("tool_calls"))):
            self._call(position, call)
        if text:
            self.text += text
            yield text
        self.finish = str(choice.get("finish_reason") or self.finish)

    def _call(self, position: int, part: Any) -> None:
        """A call's id and name come once, its arguments in parts; the index says whose they are."""
        function = part.get("function") if isinstance(part, dict) else None
        index = part.get("index", position) if isinstance(part, dict) else None
        if not isinstance(function, dict) or not isinstance(index, int):
            raise AnswerFailed("The model sent a tool call that makes no sense.")
        call = self.calls.setdefault(index, Call())
        call.id = call.id or str(part.get("id") or "")
        call.name = call.name or str(function.get("name") or "")
        call.arguments += str(function.get("arguments") or "")
        if len(self.calls) > CALLS or len(call.arguments) > ARGUMENTS:
            raise AnswerFailed("The model called too many tools.")

    def must_be_whole(self) -> None:
        """Raises AnswerFailed for a reply that was cut: by the connection, by the limit of tokens, by a filter."""
        if self.finish == "length":
            raise AnswerFailed("The model's answer was cut at the limit of tokens that is set for it.")
        if self.finish == "content_filter":
            raise AnswerFailed("The model's provider withheld the answer.")
        if not self.finish:
            raise AnswerFailed("The model's answer was cut off.")

    def as_message(self) -> dict[str, Any]:
        """As it goes back to the model, followed by what its calls brought."""
        calls = [
            {
                "id": call.id or f"call_{index}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.given() or {})},
            }
            for index, call in sorted(self.calls.items())
        ]
        return {"role": "assistant", "content": self.text or None, "tool_calls": calls}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
