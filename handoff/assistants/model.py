"""A model behind any endpoint that speaks chat completions as OpenAI's do. It may ask for a person and note what it is told."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from yarl import URL

from handoff.assistants import AnswerFailed, Piece, ProviderSettings, Question
from handoff.assistants.completion import Call, Completion
from handoff.assistants.event_stream import events
from handoff.assistants.outgoing import Outgoing, Rejected, Reply, TryAgain
from handoff.assistants.prompt import TOOLS, prompt
from handoff.assistants.retrieval import Found
from handoff.assistants.shelf import Shelf
from handoff.seals import Seal

ROUNDS = 4  # replies, with what tools brought in between
ENTRIES = 5
ASKED_LENGTH = 4_000
TRIES = 2


class Model:
    def __init__(self, outgoing: Outgoing, keys: Seal, shelf: Shelf) -> None:
        self._outgoing = outgoing
        self._keys = keys
        self._shelf = shelf

    async def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Stream the model's text; what it calls comes between. Raises AnswerFailed."""
        until = self._outgoing.until(question)
        messages, gap = prompt(question, await self._found(question)), ""
        for rounds_left in reversed(range(ROUNDS)):
            reply = Completion()
            async with aclosing(self._reply(question.provider, messages, rounds_left > 0, until, reply)) as texts:
                async for text in texts:
                    yield gap + text
                    gap = ""
            if not reply.calls:
                return
            gap = gap or ("\n\n" if reply.text else "")
            messages.append(reply.as_message())
            for call, made in zip((reply.calls[index] for index in sorted(reply.calls)), messages[-1]["tool_calls"], strict=True):
                piece = call.piece()
                if piece is not None:
                    yield piece
                messages.append({"role": "tool", "tool_call_id": made["id"], "content": _outcome(call, piece)})
        raise AnswerFailed("The model called its tools again and again and did not answer.")

    async def _found(self, question: Question) -> list[Found]:
        knowledge = await self._shelf.knowledge(question.assistant_id, question.knowledge_version)
        return await asyncio.to_thread(knowledge.nearest, question.text.strip()[-ASKED_LENGTH:], ENTRIES)

    async def _reply(
        self, settings: ProviderSettings, messages: list[dict[str, Any]], may_call: bool, until: float, reply: Completion
    ) -> AsyncGenerator[str, None]:
        """The text of one reply as it comes; `reply` holds all of it. Asked twice while nothing was shown and there is time."""
        tools: dict[str, Any] = {"tools": TOOLS, **({} if may_call else {"tool_choice": "none"})}
        clock = asyncio.get_running_loop().time
        for attempt in range(1, TRIES + 1):
            try:
                async with aclosing(self._one(settings, messages, tools, until, reply)) as texts:
                    async for text in texts:
                        yield text
                return
            except Rejected:
                if attempt == TRIES or not tools:
                    raise
                tools = {}  # some models know no tools, and their endpoints say so by refusing the whole
            except TryAgain as failure:
                if attempt == TRIES or reply.text or clock() + failure.pause >= until:
                    raise
                await asyncio.sleep(failure.pause)
                reply.calls.clear()

    async def _one(
        self, settings: ProviderSettings, messages: list[dict[str, Any]], tools: dict[str, Any], until: float, reply: Completion
    ) -> AsyncGenerator[str, None]:
        base = URL(settings.base_url)
        address = str(base.joinpath("chat", "completions").with_query(base.query))
        body = json.dumps({**_request(settings, messages), **tools}).encode()
        async with self._outgoing.post("The model", address, body, self._headers(settings), until) as response:
            async for text in _texts(response, reply):
                yield text

    def _headers(self, settings: ProviderSettings) -> dict[str, str]:
        headers = {"Accept": "text/event-stream, application/json"}
        if settings.model_key:
            key = self._keys.open(settings.model_key)
            if key is None:
                raise AnswerFailed("The model's key cannot be read any more: enter it again.")
            headers["Authorization"] = f"Bearer {key}"
        return headers


async def _texts(response: Reply, reply: Completion) -> AsyncIterator[str]:
    if not response.is_stream:
        for text in reply.take(await response.whole(), whole=True):
            yield text
        reply.finish = reply.finish or "stop"  # JSON is whole by itself
    else:
        async for _, data in events(response.chunks()):
            if data.strip() == "[DONE]":
                reply.finish = reply.finish or "stop"
                break
            for text in reply.take(data):
                yield text
            if reply.finish:
                break
    reply.must_be_whole()


def _request(settings: ProviderSettings, messages: list[dict[str, Any]]) -> dict[str, Any]:
    # OpenAI itself has another word for the limit, which its newer models insist on and which others don't know.
    limit = "max_completion_tokens" if URL(settings.base_url).host == "api.openai.com" else "max_tokens"
    request = {"model": settings.model, "messages": messages, "stream": True, limit: settings.answer_tokens}
    if settings.temperature is not None:
        request["temperature"] = settings.temperature
    return request


def _outcome(call: Call, piece: Piece | None) -> str:
    if piece is None:
        return "Not done: there is no such tool, or its arguments are not right."
    return "The team was told." if call.name == "request_human" else "Noted."
