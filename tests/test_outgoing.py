"""Requests to the outside: where they may go and what they may bring."""

import asyncio
import gzip
import socket
import time

import pytest

from handoff.assistants import AnswerFailed
from handoff.assistants.addresses import is_public
from handoff.assistants.event_stream import events
from handoff.assistants.outgoing import Caps, Outgoing, TryAgain, address_fault
from tests.stubs import Call, Stub

PATIENT = Caps(first_byte=5, idle=5, total=10)


@pytest.fixture
async def outgoing():
    """What may reach the stubs."""
    made = Outgoing(PATIENT, allow_private=True)
    yield made
    await made.close()


@pytest.fixture
async def hasty():
    """The same, which waits for nobody."""
    made = Outgoing(Caps(first_byte=0.5, idle=0.5, total=2), allow_private=True)
    yield made
    await made.close()


@pytest.fixture
async def strict():
    """What may reach public addresses only."""
    made = Outgoing(PATIENT, allow_private=False)
    yield made
    await made.close()


@pytest.fixture
async def stub():
    async with Stub() as made:
        yield made


async def fetched(outgoing: Outgoing, url: str, seconds: float = 2) -> str:
    until = asyncio.get_running_loop().time() + seconds
    async with outgoing.post("The model", url, b"{}", {}, until) as reply:
        return await reply.whole()


async def reason(outgoing: Outgoing, url: str, seconds: float = 2) -> str:
    with pytest.raises(AnswerFailed) as failure:
        await fetched(outgoing, url, seconds)
    return str(failure.value)


PRIVATE = """
127.0.0.1 127.9.9.9 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.192
198.18.0.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 168.63.129.16 ::1 :: ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1
64:ff9b::7f00:1 64:ff9b:1::1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1
100::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0", "ⓛocalhost"],
)
async def test_no_spelling_of_a_private_address_reaches_what_listens_there(strict: Outgoing, stub: Stub, host: str) -> None:
    stub.will(stub.fails(200))
    port = stub.url.rpartition(":")[2]
    await reason(strict, f"http://{host}:{port}/secret")
    assert not stub.calls


async def test_the_reason_names_the_operators_setting_and_not_the_address(strict: Outgoing, stub: Stub) -> None:
    said = await reason(strict, f"{stub.url}/secret?key=1")
    assert said == "The model has a private address, which the operator of this Handoff does not allow."


async def test_a_name_that_comes_to_mean_a_private_address_is_refused_when_it_is_connected_to(
    strict: Outgoing, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name meant a public address when somebody looked, and means ours by now."""
    port = int(stub.url.rpartition(":")[2])
    mine = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: mine)
    assert "private address" in await reason(strict, f"http://rebinding.example:{port}/")
    assert not stub.calls


async def test_a_name_whose_server_stalls_holds_up_no_other_thread(hasty: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    stalled = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: stalled.wait(5) and [])
    try:
        asking = [asyncio.create_task(reason(hasty, f"http://stalls{number}.example/")) for number in range(10)]
        began = time.monotonic()
        await asyncio.to_thread(time.monotonic)
        assert time.monotonic() - began < 0.4
        assert set(await asyncio.gather(*asking)) == {"The model did not begin to answer within 0.5 seconds."}
        assert hasty.hangs
    finally:
        stalled.set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(outgoing: Outgoing, stub: Stub, status: int) -> None:
    stub.will(stub.fails(status, Location=f"{stub.url}/elsewhere"))
    assert "not followed" in await reason(outgoing, f"{stub.url}/here")
    assert [call.path for call in stub.calls] == ["/here"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_what_is_compressed_is_refused_before_it_is_unpacked(outgoing: Outgoing, stub: Stub, encoding: str) -> None:
    stub.will(stub.fails(200, gzip.compress(b'{"text": "' + b"x" * 10_000 + b'"}'), Content_Encoding=encoding))
    assert "compressed" in await reason(outgoing, stub.url)
    assert stub.calls[0].headers["Accept-Encoding"] == "identity"


async def test_no_cookie_is_kept_and_no_proxy_of_the_environment_asked(
    outgoing: Outgoing, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    stub.will(stub.fails(200, b"{}", Set_Cookie="who=me"))
    assert [await fetched(outgoing, stub.url) for _ in range(2)] == ["{}", "{}"]
    assert "Cookie" not in stub.calls[1].headers


async def test_each_wait_has_its_end_and_its_words(hasty: Outgoing, stub: Stub) -> None:
    async def pauses(call: Call) -> None:
        await call.head()
        await call.send(b"some")
        await stub.holds(call)

    async def drips(call: Call) -> None:
        await call.head()
        while True:
            await call.send(b":\n")
            await asyncio.sleep(0.1)

    async def only_head(call: Call) -> None:
        await call.head()
        await stub.holds(call)

    expected = {
        stub.holds: "The model did not begin to answer within 0.5 seconds.",
        only_head: "The model did not begin to answer within 0.5 seconds.",
        pauses: "The model paused for more than 0.5 seconds.",
        drips: "The model had not answered as a whole after 2 seconds.",
    }
    for script, words in expected.items():
        stub.will(script)
        assert await reason(hasty, stub.url, seconds=1) == words
    for call in stub.calls:
        await call.is_closed(1)


async def test_leaving_closes_the_connection_at_once(outgoing: Outgoing, stub: Stub) -> None:
    stub.will(stub.holds)
    asking = asyncio.create_task(fetched(outgoing, stub.url))
    call = await stub.is_asked()
    left_at = time.monotonic()
    asking.cancel()
    assert await call.is_closed(1) - left_at < 0.5


async def test_what_does_not_end_is_not_read_for_ever(outgoing: Outgoing, stub: Stub) -> None:
    async def endless(call: Call) -> None:
        await call.head()
        while True:
            await call.send(b"x" * 60_000)

    stub.will(endless)
    assert "did not end" in await reason(outgoing, stub.url)


@pytest.mark.parametrize(
    ("retry_after", "pause"), [("3", 3), ("Fri, 01 Jan 1999 00:00:00 GMT", 0), ("soon", None), ("-1", None), ("", None)]
)
async def test_who_has_too_many_requests_says_when_to_come_again(
    outgoing: Outgoing, stub: Stub, retry_after: str, pause: float | None
) -> None:
    stub.will(stub.fails(429, Retry_After=retry_after))
    with pytest.raises(AnswerFailed) as failure:
        await fetched(outgoing, stub.url)
    assert getattr(failure.value, "pause", None) == pause
    assert isinstance(failure.value, TryAgain) == (pause is not None)


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org/", "http://", "https://ann:secret@example.org/", "example.org", "http://[", "//x"]
)
async def test_what_is_no_address_is_refused_in_words(outgoing: Outgoing, url: str) -> None:
    assert address_fault(url)
    assert "secret" not in await reason(outgoing, url)


async def _chunked(raw: bytes, size: int):
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_the_same_however_their_bytes_are_cut(size: int) -> None:
    raw = "\ufeffdata: één\r\n\r\n: a comment\nevent: done\ndata:two\ndata\ndata:  three\n\nid: 7\r\rdata: Ω\r\rdata: cut".encode()
    assert [event async for event in events(_chunked(raw, size))] == [
        ("message", "één"),
        ("done", "two\n\n three"),
        ("message", "Ω"),
    ]


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_an_event_is_there_once_its_last_line_end_is_whichever_that_is(size: int) -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        raw = b"data: one" + end * 2 + b"data: two" + end * 2
        assert [data async for _, data in events(_chunked(raw, size))] == ["one", "two"], end


async def test_a_chunk_of_thousands_of_events_leaves_others_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    waiting = asyncio.create_task(others())
    raw = b"data: {}\n\n" * 29_000
    assert len([event async for event in events(_chunked(raw, len(raw)))]) == 29_000
    waiting.cancel()
    assert turns > 200


@pytest.mark.parametrize(
    "raw", [b"data: \xff\xfe\n\n", b"data: \xed\xa0\x80\n\n", b"x" * 200_000, b"data: y\n" * 300_000, b"\n" * 70_000]
)
async def test_what_is_no_text_or_too_long_is_refused(raw: bytes) -> None:
    with pytest.raises(AnswerFailed):
        [event async for event in events(_chunked(raw, 5_000))]
