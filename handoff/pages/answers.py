"""Where one assistant's answers come from, and a box to try it as it is saved."""

import json
import secrets
from contextlib import aclosing
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import answers, knowledge
from handoff.answers import KEYS, AnswersIncomplete, AnswersTyped, ChangedMeanwhile
from handoff.errors import RateLimited
from handoff.knowledge import TriedQuestion
from handoff.models import Assistant
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.team import faults_of, fields_of, frame, id_in_path, in_place, see, show, team_named, visitor, wants_partial
from handoff.seats import Agent
from handoff.trials import Ended, Said, Step

routes = web.RouteTableDef()

FORM, TRY = "answers/_form.html", "answers/_try.html"
STREAM = "text/event-stream"
NOT_TRIED = {"question": "", "refused": "", "text": "", "would": (), "times": "", "fault": None, "is_tried": False}
TYPE_AGAIN = "For safety a key is not shown again: type it once more."


@routes.get("/teams/{team}/assistants/{assistant}/answers/")
@in_place
async def page(request: web.Request) -> web.Response:
    return await _page(request)


@routes.post("/teams/{team}/assistants/{assistant}/answers/")
@in_place
async def change(request: web.Request) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house, form = request.app[HOUSE], await read_form(request)
    typed = fields_of(AnswersTyped, form)
    again: dict[str, Any] = {"typed": typed, "mark": form.get("mark", "")}
    if form.get("generate"):
        return await _page(request, generated=secrets.token_urlsafe(32), **again)
    allow_private = house.settings.allow_private_addresses
    try:
        wanted = (AnswersTyped.model_validate(typed), again["mark"], house.keys, allow_private)
        await house.database.write(team_id, answers.change, user.session_id, team_id, assistant_id, *wanted)
    except ValidationError as error:
        return await _page(request, status=422, faults=_with_keys(request, typed, faults_of(error)), **again)
    except AnswersIncomplete as refusal:
        return await _page(request, status=422, faults=_with_keys(request, typed, refusal.faults), **again)
    except ChangedMeanwhile as refusal:
        again["mark"] = answers.mark_of(refusal.assistant)
        theirs = {name: value for name, value in answers.shown_of(refusal.assistant).items() if value != typed[name]}
        faults = _with_keys(request, typed, {})
        return await _page(request, status=409, conflict=refusal.words, theirs=theirs, faults=faults, **again)
    if not wants_partial(request):
        return see(f"/teams/{team_id}/assistants/{assistant_id}/answers/")
    answer = await _page(request, said="Saved.")
    answer.headers["HX-Reswap"] = "outerHTML"  # a morph would leave in the fields what was typed
    return answer


@routes.post("/teams/{team}/assistants/{assistant}/answers/try")
@in_place
async def try_it(request: web.Request) -> web.StreamResponse:
    """Ask the assistant as it is saved. Whoever accepts an event stream hears the answer grow; others get a page at its end."""
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house = request.app[HOUSE]
    typed = fields_of(TriedQuestion, await read_form(request))
    _, assistant = await house.database.read(knowledge.assistant_of, user.session_id, team_id, assistant_id)
    streams = STREAM in request.headers.get("Accept", "")
    try:
        asked = TriedQuestion.model_validate(typed)
        with house.trials.room(team_id):
            if streams:
                return await _stream(request, assistant, asked.question)
            tried = await _whole(request, assistant, asked.question)
    except ValidationError as error:
        return await _not_tried(request, streams, typed["question"], 422, faults_of(error)["question"])
    except RateLimited as refusal:
        return await _not_tried(request, streams, typed["question"], refusal.status, refusal.words)
    return await _page(request, tried=tried)


async def _stream(request: web.Request, assistant: Assistant, question: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": f"{STREAM}; charset=utf-8", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    try:
        async with aclosing(request.app[HOUSE].trials.answer(assistant, question)) as steps:
            async for step in steps:
                await response.write(f"data: {json.dumps(_event(step))}\n\n".encode())
        await response.write_eof()
    except ConnectionResetError:  # who asked went away; the answer was closed above
        pass
    return response


def _event(step: Step) -> dict[str, Any]:
    if isinstance(step, Said):
        return {"text": step.text}
    if isinstance(step, Ended):
        return {"times": _times(step), "fault": step.fault}
    return {"would": step.words}


async def _whole(request: web.Request, assistant: Assistant, question: str) -> dict[str, Any]:
    tried: dict[str, Any] = {**NOT_TRIED, "question": question, "is_tried": True, "would": []}
    async with aclosing(request.app[HOUSE].trials.answer(assistant, question)) as steps:
        async for step in steps:
            if isinstance(step, Said):
                tried["text"] += step.text
            elif isinstance(step, Ended):
                tried |= {"times": _times(step), "fault": step.fault}
            else:
                tried["would"].append(step.words)
    return tried


async def _not_tried(request: web.Request, streams: bool, question: str, status: int, words: str) -> web.Response:
    if streams:
        return web.json_response({"refused": words}, status=status)
    return await _page(request, status=status, tried={**NOT_TRIED, "question": question, "refused": words})


def _times(ended: Ended) -> str:
    total = f"{ended.total / 1000:.2f} s in all."
    return total if ended.first is None else f"{ended.first / 1000:.2f} s to the first word, {total}"


def _with_keys(request: web.Request, typed: dict[str, str], faults: dict[str, str]) -> dict[str, str]:
    """Without JavaScript a key that was typed is lost with the page, and has to be typed again."""
    lost = {} if wants_partial(request) else {name: TYPE_AGAIN for name in KEYS if typed[name]}
    return lost | faults


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house = request.app[HOUSE]
    member, team, assistant = await house.database.read(_state, user.session_id, team_id, assistant_id)
    context = {
        **frame(user, member, team, "assistants"),
        "assistant": assistant,
        "typed": {**answers.shown_of(assistant), "remove_model_key": ""},
        "mark": answers.mark_of(assistant),
        "kept": {name: bool(getattr(assistant, name)) for name in KEYS},
        "faults": {},
        "theirs": {},
        "conflict": None,
        "generated": None,
        "tried": NOT_TRIED,
        "said": None,
        "allow_private": house.settings.allow_private_addresses,
        **more,
    }
    return show(request, "answers/index.html", FORM, context, status)


def _state(session_id: str, team_id: str, assistant_id: str) -> tuple[Agent, dict[str, Any], Assistant]:
    member, assistant = knowledge.assistant_of(session_id, team_id, assistant_id)
    return member, team_named(team_id), assistant
