"""The stock JavaScript client, in Node, goes by the README's protocol as a customer and as an agent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from handoff import identity
from tests.apart import STARTED, served_apart, terminated
from tests.cast import Stage
from tests.servers import ROOT
from tests.waiting import wait_until

STORIES = ROOT / "tests" / "javascript"


async def _begin(story: str, **given: Any) -> asyncio.subprocess.Process:
    command = ("node", str(STORIES / f"{story}.mjs"), json.dumps(given))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


async def _told(node: asyncio.subprocess.Process) -> Any:
    async with asyncio.timeout(60):
        output, errors = await node.communicate()
    assert node.returncode == 0, errors.decode()
    return json.loads(output.decode().splitlines()[-1])


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"], ["polling"]], ids="-".join)
async def test_a_customer_and_an_agent_meet(open_stage: Any, transports: list[str]) -> None:
    stage: Stage = await open_stage(words_per_second=10)
    ada = await stage.member("Ada")
    cookie = f"{identity.COOKIE}={ada.cookie}"
    at = {"url": stage.url, "key": stage.widget_key, "assistant_id": stage.assistant_id, "cookie": cookie}
    told = await _told(await _begin("takeover", **at, transports=transports))
    assert (told["opened"], told["assistant"], told["owner"]) == (None, "Tilly", "Ada")
    assert told["text"] == "How long does delivery take? \U0001f6b2"
    assert told["same"]
    assert told["heard"]["author"] == "assistant"
    assert "agent" not in told["heard"]
    assert "<strong>here</strong>" in told["heard"]["html"]
    assert told["numbers"] == list(range(1, len(told["numbers"]) + 1))
    assert (told["status"], told["late"]) == ("active", "closed")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_refused_connection_says_why_and_is_not_tried_again(stage: Stage) -> None:
    told = await _told(await _begin("refusals", url=stage.url, key=stage.widget_key))
    assert told == {code: {"code": code, "words": True, "active": False} for code in ("unknown_widget", "bad_token", "signed_out")}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids="-".join)
async def test_a_page_comes_back_by_itself_after_a_restart(database_url: str, tmp_path: Path, transports: list[str]) -> None:
    async with served_apart(database_url, tmp_path) as (stage, process):
        node = await _begin("restart", url=stage.url, key=stage.widget_key, transports=transports)
        assert node.stdout
        async with asyncio.timeout(STARTED):
            assert await node.stdout.readline() == b"ready\n"
        assert (await terminated(process))[0] == 0
        await wait_until(lambda: not process.is_running, 10, "it has ended")
        await process.start(STARTED)
        told = await _told(node)
    assert told["reason"] in ("transport close", "transport error")
    assert told["same"]
