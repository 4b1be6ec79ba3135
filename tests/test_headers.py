"""Every response forbids inline script, sniffing and foreign frames, whatever it is: a page, a fault, a file, a socket's."""

import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from handoff import identity, plans
from handoff.clock import new_id
from handoff.errors import Unavailable
from handoff.models import Widget
from tests.cast import Stage
from tests.test_access import routes_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def must_protect(response: aiohttp.ClientResponse, ancestors: str = "'none'") -> None:
    where = f"{response.method} {response.url} {response.status}"
    assert len(response.headers.getall("Content-Security-Policy", [])) == 1, where
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'", where
    assert policy["script-src"] == policy["style-src"] == "'self'", where
    assert policy["base-uri"] == "'none'" and policy["form-action"] == "'self'", where
    assert not re.search(r"unsafe|nonce|\*|data:", " ".join(value for name, value in policy.items() if name != "img-src")) or (
        ancestors == "*" and policy["frame-ancestors"] == "*"
    ), where
    assert policy["frame-ancestors"] == ancestors, where
    assert response.headers["X-Content-Type-Options"] == "nosniff", where
    assert response.headers["Referrer-Policy"] == "same-origin", where
    assert "X-Frame-Allow" not in response.headers, where


class Walker:
    def __init__(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        self.stage, self.http = stage, http

    async def ask(self, path: str, status: int, method: str = "GET", ancestors: str = "'none'", **options: Any) -> str:
        url = self.stage.url + path
        async with self.http.request(method, url, allow_redirects=False, **options) as response:
            text = await response.text()
            assert response.status == status, (method, path, response.status, text[:300])
            must_protect(response, ancestors)
            return text


@pytest.fixture
async def stage(open_stage: Any) -> Stage:
    return await open_stage(billing_key="the operator's own key", demo=True)


@pytest.fixture
async def walker(stage: Stage) -> AsyncIterator[Walker]:
    ada = await stage.member("Ada", role="owner")
    headers = {"Cookie": f"{identity.COOKIE}={ada.cookie}"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Walker(stage, http)


@ON_ONE
async def test_every_route_protects_its_answer_with_and_without_ids_that_are_there(stage: Stage, walker: Walker) -> None:
    ids = {"team": stage.team_id, "assistant": stage.assistant_id, "key": stage.widget_key}
    for method, path in routes_of(stage.handoff.application):
        for known in (ids, {}):
            url = re.sub(r"{(\w+)}", lambda found, known=known: known.get(found[1], new_id()), path)
            method = "GET" if method == "*" else method
            is_frame = path == "/widget/{key}"
            async with walker.http.request(
                method, stage.url + url, allow_redirects=False, data={} if method == "POST" and "socket" not in path else None
            ) as response:
                must_protect(response, "*" if is_frame else "'none'")
                if response.content_type == "text/html":
                    assert not re.search(r'\sstyle="|\son\w+="|hx-on|javascript:', await response.text()), path


@ON_ONE
async def test_faults_protect_their_answer(stage: Stage, walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    team = f"/teams/{stage.team_id}/"
    for path in (
        "/nowhere",
        "/teams/nowhere/",
        f"{team}nowhere",
        "/static/nowhere.js",
        "/api/nowhere",
        "/teams/%00/",
        "/%2e%2e/x",
        f"/static/{'x' * 5000}",
    ):
        await walker.ask(path, 404)
    await walker.ask(team, 405, "PUT")
    await walker.ask("/console", 405, "DELETE")
    await walker.ask("/healthz", 405, "OPTIONS")
    await walker.ask("/static/css/base.css", 405, "POST")
    await walker.ask("/console", 302, headers={"Cookie": "x=y"})
    await walker.ask(team, 401, headers={"Cookie": "x=y", "HX-Request": "true"})
    await walker.ask("/", 302)
    await walker.ask(f"{team}plan/", 403, "POST", headers={"Origin": "https://elsewhere.example"})
    for headers in (FORM, {**FORM, "HX-Request": "true"}):
        await walker.ask(f"{team}plan/", 413, "POST", data=io.BytesIO(b"plan=" + b"x" * 1_100_000), headers=headers)
    await walker.ask(f"{team}plan/", 422, "POST", data={"plan": "nowhere"})
    await walker.ask(
        "/sign-in", 400, "POST", data=b"a=\xff&b=%ff", headers={"Content-Type": "application/x-www-form-urlencoded; charset=x"}
    )
    await walker.ask("/console", 417, headers={"Expect": "the unexpected"})
    monkeypatch.setattr(plans, "offered_to", _fail)
    assert "Traceback" not in await walker.ask(f"{team}plan/", 500)
    monkeypatch.setattr(plans, "offered_to", _unavailable)
    await walker.ask(f"{team}plan/", 503)


@ON_ONE
async def test_the_answers_of_the_billing_call_are_protected_too(
    stage: Stage, walker: Walker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/api/teams/{stage.team_id}/plan"
    for status, method, options in ((401, "PUT", {}), (405, "GET", {}), (413, "PUT", {"data": b"x" * 5000})):
        assert json.loads(await walker.ask(path, status, method, **options))["error"]["code"]
    monkeypatch.setattr("handoff.pages.api._signed_at", _fail)
    assert json.loads(await walker.ask(path, 500, "PUT"))["error"]["code"] == "unavailable"


@ON_ONE
async def test_files_are_protected_whole_unchanged_and_in_part(stage: Stage, walker: Walker) -> None:
    for path in ("/static/css/base.css", "/static/img/handoff.svg", "/static/js/console/main.js", "/widget.js"):
        async with walker.http.get(stage.url + path) as response:
            must_protect(response)
            tag = response.headers["ETag"]
        await walker.ask(path, 304, headers={"If-None-Match": tag})
        await walker.ask(path, 206, headers={"Range": "bytes=0-3"})
        await walker.ask(path, 416, headers={"Range": "bytes=9999999-"})
    await walker.ask("/static/", 403)
    await walker.ask("/static/../app.py", 404)


@ON_ONE
async def test_the_widgets_frame_allows_its_sites_and_no_other(stage: Stage, walker: Walker) -> None:
    path = f"/widget/{stage.widget_key}"
    await walker.ask(path, 200, ancestors="*")
    sites = ["https://shop.example", "https://www.shop.example:8443"]
    await stage.make(lambda: Widget.update(sites=json.dumps(sites)).where(Widget.key == stage.widget_key).execute())
    await walker.ask(path, 200, ancestors="'self' https://shop.example https://www.shop.example:8443")
    await walker.ask("/widget/nowhere", 404, ancestors="*")  # in words, wherever its old site shows it


@ON_ONE
async def test_the_sockets_own_answers_are_protected(stage: Stage, walker: Walker) -> None:
    await walker.ask("/socket.io/?EIO=4&transport=polling", 200)
    for query in ("", "?EIO=3&transport=polling", "?EIO=4&transport=pigeon", "?EIO=4&transport=polling&sid=nobody"):
        await walker.ask(f"/socket.io/{query}", 400)
    await walker.ask("/socket.io/?EIO=4&transport=polling", 400, "POST", data=b"x")
    await walker.ask("/socket.io/", 405, "DELETE")
    async with walker.http.ws_connect(f"{stage.url}/socket.io/?EIO=4&transport=websocket") as socket:
        must_protect(socket._response)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await walker.http.ws_connect(f"{stage.url}/socket.io/?EIO=4&transport=websocket&sid=nobody")
    assert "unsafe" not in refused.value.headers["Content-Security-Policy"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await walker.http.ws_connect(f"{stage.url}/console", headers={"Cookie": "x=y"})
    assert "frame-ancestors 'none'" in refused.value.headers["Content-Security-Policy"]


def _fail(*_: Any) -> None:
    raise RuntimeError("provoked")


def _unavailable(*_: Any) -> None:
    raise Unavailable
