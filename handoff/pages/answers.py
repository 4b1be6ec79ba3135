"""Where one assistant's answers come from, and a box to try it as it is saved."""

import json
import secrets
from contextlib import aclosing
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from handoff import answers, knowledge
from handoff.answers import KEYS, AnswersIncomplete, AnswersTyped
from handoff.errors import RateLimited
from handoff.knowledge import TriedQuestion
from handoff.meanwhile import Began, ChangedMeanwhile
from handoff.models import Assistant
from handoff.pages import HOUSE
from handoff.pages.edge import read_form
from handoff.pages.forms import opened, refused, replacing, told
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
    began = Began.brought(form)
    if form.get("generate"):
        return await _page(request, generated=secrets.token_urlsafe(32), **refused(typed, {}, began))
    try:
        wanted = (AnswersTyped.model_validate(typed), began, house.keys, house.settings.allow_private_addresses)
        await house.database.write(team_id, answers.change, user.session_id, team_id, assistant_id, *wanted)
    except (ValidationError, AnswersIncomplete) as refusal:
        faults = refusal.faults if isinstance(refusal, AnswersIncomplete) else faults_of(refusal)
        lost = {} if wants_partial(request) else _lost(typed)
        return await _page(request, status=422, **refused(typed, lost | faults, began))
    except ChangedMeanwhile as meanwhile:
        again = told(meanwhile)
        again["typed"]["remove_model_key"] = typed["remove_model_key"]
        return replacing(await _page(request, status=meanwhile.status, **again, faults=_lost(typed)))
    if not wants_partial(request):
        return see(f"/teams/{team_id}/assistants/{assistant_id}/answers/")
    return replacing(await _page(request, said="Saved."))


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


def _lost(typed: dict[str, str]) -> dict[str, str]:
    """A key that was typed is lost with its field, where the form is put in place anew."""
    return {name: TYPE_AGAIN for name in KEYS if typed[name]}


async def _page(request: web.Request, status: int = 200, **more: Any) -> web.Response:
    user, team_id, assistant_id = await visitor(request), id_in_path(request, "team"), id_in_path(request, "assistant")
    house = request.app[HOUSE]
    member, team, assistant = await house.database.read(_state, user.session_id, team_id, assistant_id)
    context: dict[str, Any] = {
        **frame(user, member, team, "assistants"),
        **opened(answers.shown_of(assistant), assistant.version),
        "assistant": assistant,
        "kept": {name: bool(getattr(assistant, name)) for name in KEYS},
        "generated": None,
        "tried": NOT_TRIED,
        "said": None,
        "allow_private": house.settings.allow_private_addresses,
        **more,
    }
    context["typed"] = {"remove_model_key": "", **context["typed"]}
    return show(request, "answers/index.html", FORM, context, status)


def _state(session_id: str, team_id: str, assistant_id: str) -> tuple[Agent, dict[str, Any], Assistant]:
    member, assistant = knowledge.assistant_of(session_id, team_id, assistant_id)
    return member, team_named(team_id), assistant
