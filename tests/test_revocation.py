"""Access that ends, ends at once and everywhere (I10): each way in which it can end, in one process and across two."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from socketio.exceptions import SocketIOError

from handoff import identity
from handoff.models import Assistant, Member, Seat
from tests.accounts import PASSWORD, with_password
from tests.apart import ask_until_lost
from tests.cast import Agent, Customer, Stage, found_team
from tests.test_billing import KEY, signed
from tests.test_several_processes import SECOND, SLOW_MACHINE, pair
from tests.waiting import wait_until

__all__ = ["pair"]

NEW_PASSWORD = "quiet harbour seven lamps"


@dataclass
class Scene:
    """Ada, an agent with two browsers, has a conversation and watches; Olga owns the team."""

    here: Stage
    there: Stage
    olga: Agent
    ada: Agent
    elsewhere: str  # the cookie of Ada's other browser
    customer: Customer

    async def post(self, path: str, cookie: str, **fields: str) -> int:
        headers = {"Cookie": f"{identity.COOKIE}={cookie}"}
        async with (
            aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.post(self.here.url + path, data=fields, allow_redirects=False) as response,
        ):
            return response.status

    @property
    def team(self) -> str:
        return f"/teams/{self.here.team_id}"


async def removed(scene: Scene) -> int:
    return await scene.post(f"{scene.team}/members/{scene.ada.member_id}/remove", scene.olga.cookie)


async def seat_released(scene: Scene) -> int:
    return await scene.post(f"{scene.team}/seats/{scene.ada.member_id}/release", scene.olga.cookie)


async def signed_out(scene: Scene) -> int:
    return await scene.post("/sign-out", scene.ada.cookie)


async def session_ended(scene: Scene) -> int:
    session = await scene.here.look(lambda: identity.session_of(scene.ada.cookie))
    return await scene.post(f"/account/sessions/{session.session_id}/end", scene.elsewhere)


async def others_ended(scene: Scene) -> int:
    return await scene.post("/account/sessions/end-others", scene.elsewhere)


async def signed_out_everywhere(scene: Scene) -> int:
    return await scene.post("/account/sessions/end-all", scene.elsewhere)


async def password_changed(scene: Scene) -> int:
    fields = {"present_password": PASSWORD, "new_password": NEW_PASSWORD, "new_password_again": NEW_PASSWORD}
    return await scene.post("/account/password", scene.elsewhere, **fields)


async def team_deleted(scene: Scene) -> int:
    status = await scene.post(f"{scene.team}/delete", scene.olga.cookie, name="Tidewater")
    return 303 if status == 200 else status


async def forced_downgrade(scene: Scene) -> int:
    body = json.dumps({"plan": "free"}).encode()
    async with (
        aiohttp.ClientSession() as http,
        http.put(
            f"{scene.here.url}/api{scene.team}/plan", data=body, headers=signed(scene.here.team_id, body, int(time.time()))
        ) as answer,
    ):
        return 303 if answer.status == 200 else answer.status


Way = Callable[[Scene], Awaitable[int]]
WAYS: list[Way] = [
    removed,
    seat_released,
    signed_out,
    session_ended,
    others_ended,
    signed_out_everywhere,
    password_changed,
    forced_downgrade,
    team_deleted,
]


async def scene_of(here: Stage, there: Stage) -> Scene:
    """Ada sits there; what ends her access happens here."""
    ada = await with_password(here, await there.member("Ada", role="admin"))
    elsewhere = await here.sign_in(ada.user_id)
    olga, customer = await here.member("Olga", role="owner", seat=None), await here.customer()
    await customer.write("hello")
    await ada.sit_down()
    await ada.do("watch", assistant_id=here.assistant_id)
    return Scene(here, there, olga, ada, elsewhere, customer)


async def must_end(scene: Scene, way: Way) -> None:
    ada, what = scene.ada, way.__name__
    status = await way(scene)
    acknowledged = time.monotonic()
    assert status == 303, (what, status)
    # Whatever arrives from here on fails, on the socket that is still open and on every new one, at each process.
    asked = await ask_until_lost(ada, "take_over", conversation_id=scene.customer.conversation_id)
    assert asked is None or "error" in asked, (what, asked)
    await wait_until(lambda: not ada.socket.connected, SECOND + SLOW_MACHINE, f"{what}: the socket closes")
    assert time.monotonic() - acknowledged < SECOND + SLOW_MACHINE, what
    for stage in (scene.here, scene.there):
        again = Agent(stage.url)
        stage.people.append(again)
        again.cookie = ada.cookie
        try:
            await again.sit_down()
        except SocketIOError:
            continue
        for command, payload in (
            ("watch", {"assistant_id": stage.assistant_id}),
            ("take_over", {"conversation_id": scene.customer.conversation_id}),
            ("open_conversation", {"conversation_id": scene.customer.conversation_id}),
        ):
            refusal = await again.refused(command, **payload)
            assert refusal["code"] in ("not_found", "no_seat", "forbidden"), (what, command, refusal)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_access_ends_at_once(open_stage: Any, way: Way) -> None:
    stage = await open_stage(billing_key=KEY)
    await stage.hold_assistant()
    await stage.member("Olivia", role="owner")  # her seat is older, and stays in the downgrade
    await must_end(await scene_of(stage, stage), way)


async def test_access_ends_at_once_in_the_other_process_too(pair: Any) -> None:
    for way in WAYS:
        if way is not forced_downgrade:
            await must_end(await scene_of(pair.here, pair.there), way)


async def test_a_demoted_admin_changes_nothing_more_and_goes_on_as_an_agent(open_stage: Any) -> None:
    """What a role gives ends with it, on every page; the seat stays, and the socket comes back."""
    stage = await open_stage()
    await stage.hold_assistant()
    scene = await scene_of(stage, stage)
    path = f"{scene.team}/members/{scene.ada.member_id}/role"
    assert await scene.post(f"{scene.team}/assistants/", scene.ada.cookie, name="Before") == 303
    assert await scene.post(path, scene.olga.cookie, role="member") == 303
    tries = [scene.post(f"{scene.team}/assistants/", cookie, name="After") for cookie in (scene.ada.cookie, scene.elsewhere)]
    assert await asyncio.gather(*tries) == [403, 403]
    assert await stage.look(lambda: Assistant.select().where(Assistant.name == "After").count()) == 0
    await wait_until(lambda: not scene.ada.socket.connected, SECOND + SLOW_MACHINE, "the socket closes")
    await scene.ada.sit_down()
    await scene.ada.take_over(scene.customer.conversation_id)


async def test_whoever_is_in_two_teams_loses_the_one_and_keeps_the_other(stage: Stage) -> None:
    await stage.hold_assistant()
    other, assistant, _ = await found_team(stage, "Harbour")
    scene = await scene_of(stage, stage)

    def joins() -> None:
        Seat.create(team=other, member=Member.create(team=other, user=scene.ada.user_id, role="member"))

    await stage.make(joins)
    await must_end(scene, removed)
    await scene.ada.sit_down()
    await scene.ada.do("watch", assistant_id=assistant)
