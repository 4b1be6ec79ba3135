"""The operator's billing sets a team's plan with one signed call."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import subprocess
import time
from typing import Any

import aiohttp
import pytest

from handoff.models import Audit, Seat, Team
from tests.cast import Stage, found_team
from tests.servers import ROOT

KEY = "the operator's own key"
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def stage(open_stage: Any) -> Stage:
    return await open_stage(billing_key=KEY)


def signed(team_id: str, body: bytes, at: object, key: str = KEY) -> dict[str, str]:
    signature = hmac.new(key.encode(), f"{at}.{team_id}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Handoff-Time": str(at), "X-Handoff-Signature": signature}


async def put(stage: Stage, team_id: str, body: bytes, headers: dict[str, str], method: str = "PUT") -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(method, f"{stage.url}/api/teams/{team_id}/plan", data=body, headers=headers) as response,
    ):
        assert response.content_type == "application/json"
        return response.status, json.loads(await response.text())


async def set_plan(stage: Stage, name: object, at: object = None, **options: Any) -> tuple[int, Any]:
    body, at = json.dumps({"plan": name}).encode(), at if at is not None else int(time.time())
    return await put(stage, stage.team_id, body, signed(stage.team_id, body, at, **options))


async def plan_of(stage: Stage, team_id: str = "") -> str:
    return await stage.look(lambda: Team.get_by_id(team_id or stage.team_id).plan_id)


async def test_a_signed_call_sets_the_plan_once(stage: Stage) -> None:
    at = int(time.time())
    for name in ("Ada", "Ben"):
        await stage.member(name)
    status, answer = await set_plan(stage, "free", at)
    assert status == 200
    assert answer == {"ok": {"team": stage.team_id, "plan": "free", "used": 1, "limit": 1, "suspended": 1}}
    for again in (at, at - 1):
        status, answer = await set_plan(stage, "free", again)
        assert (status, answer["error"]["code"]) == (409, "replayed")
    assert (await set_plan(stage, "team", at + 1))[0] == 200
    assert await plan_of(stage) == "team"
    assert await stage.look(lambda: Seat.select().where(Seat.status == "held").count()) == 2
    assert await stage.look(lambda: Audit.select().where(Audit.kind == "plan_changed", Audit.user.is_null()).count()) == 2


async def test_a_call_that_was_carried_out_cannot_be_replayed_by_many_at_once(stage: Stage) -> None:
    at = int(time.time())
    answers = await asyncio.gather(*(set_plan(stage, "team", at) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 9


@ON_ONE
async def test_a_call_that_is_not_ours_or_not_of_now_is_refused_before_anything_is_looked_up(stage: Stage) -> None:
    other, _, _ = await found_team(stage, "Harbour")
    body, at = b'{"plan": "free"}', int(time.time())
    right = signed(stage.team_id, body, at)
    wrong = [
        ({}, "bad_signature"),
        ({"X-Handoff-Time": str(at)}, "bad_signature"),
        ({"X-Handoff-Signature": right["X-Handoff-Signature"]}, "bad_signature"),
        (signed(stage.team_id, body, at, key="another key"), "bad_signature"),
        (signed(stage.team_id, b'{"plan": "team"}', at), "bad_signature"),
        (signed(other, body, at), "bad_signature"),
        ({**right, "X-Handoff-Time": str(at + 1)}, "bad_signature"),
        ({**right, "X-Handoff-Signature": "é" * 64}, "bad_signature"),
        (signed(stage.team_id, body, at - 301), "too_old"),
        (signed(stage.team_id, body, at + 310), "too_old"),
        (signed(stage.team_id, body, f"{at}.5"), "invalid"),
        (signed(stage.team_id, body, f"-{at}"), "invalid"),
        (signed(stage.team_id, body, "9" * 40), "invalid"),
        (signed(stage.team_id, body, "soon"), "invalid"),
    ]
    for headers, code in wrong:
        status, answer = await put(stage, stage.team_id, body, headers)
        assert (status, answer["error"]["code"]) == ({"invalid": 400}.get(code, 401), code), headers
    # Without the key nobody learns which teams there are.
    assert (await put(stage, "nowhere", body, {}))[1] == (await put(stage, stage.team_id, body, {}))[1]
    assert await plan_of(stage) == "tests"


@ON_ONE
async def test_a_signed_body_that_makes_no_sense_is_told_so_and_uses_up_no_time(stage: Stage) -> None:
    at = int(time.time())
    for body in (b"", b"{", b"[]", b"null", b"{}", b'{"plan": 5}', b'{"plan": ""}', b'{"plan": "free", "more": 1}', b"\xff\xfe"):
        status, answer = await put(stage, stage.team_id, body, signed(stage.team_id, body, at))
        assert (status, answer["error"]["code"]) == (400, "invalid"), body
    for name in ("nowhere", "a\x00b", "x" * 201, "\ud800"):
        status, answer = await set_plan(stage, name, at)
        assert (status in (400, 422), answer["error"]["code"]) == (True, "invalid"), name
    large = json.dumps({"plan": "x" * 5000}).encode()
    status, answer = await put(stage, stage.team_id, large, signed(stage.team_id, large, at))
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert (await set_plan(stage, "free", at))[0] == 200


@ON_ONE
async def test_a_team_that_is_not_there_and_another_method_are_told_in_json(stage: Stage) -> None:
    at, body = int(time.time()), b'{"plan": "free"}'
    for team_id in ("nowhere", "%00", "a" * 80):
        name = "\x00" if team_id == "%00" else team_id
        status, answer = await put(stage, team_id, body, signed(name, body, at))
        assert (status, answer["error"]["code"]) == (404, "not_found"), team_id
    for method in ("GET", "POST", "DELETE", "PATCH"):
        assert (await put(stage, stage.team_id, body, {}, method))[1]["error"]["code"] == "not_allowed"


@ON_ONE
async def test_without_the_key_there_is_no_such_call(open_stage: Any) -> None:
    stage = await open_stage()
    for key in (KEY, ""):
        status, answer = await set_plan(stage, "free", key=key)
        assert (status, answer["error"]["code"]) == (404, "not_found")
    assert await plan_of(stage) == "tests"


@ON_ONE
async def test_the_call_needs_no_cookie_and_no_origin_of_ours(stage: Stage) -> None:
    body, at = b'{"plan": "team"}', int(time.time())
    headers = {**signed(stage.team_id, body, at), "Origin": "https://billing.example", "Sec-Fetch-Site": "cross-site"}
    assert (await put(stage, stage.team_id, body, headers))[0] == 200


@ON_ONE
async def test_the_example_in_the_readme_works(stage: Stage) -> None:
    example = re.search(r"### Billing.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = example[1].replace("TEAM_ID", stage.team_id).replace("https://chat.example.org", stage.url)
    env = {**os.environ, "HANDOFF_BILLING_KEY": KEY}
    shell = await asyncio.create_subprocess_exec("sh", "-c", script, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, _ = await shell.communicate()
    assert json.loads(output)["ok"]["plan"] == "business"
