"""The HTTP client of all backends: its certificates and proxies, and which transport makes which call."""

from __future__ import annotations

import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.support.loop_turns import turns_during
from tests.unit.wechat.webwx.server import ManualClock
from wx2mqtt.clock import Lease, boot_time
from wx2mqtt.errors import Unreachable
from wx2mqtt.wechat import transport_factory
from wx2mqtt.wechat.backend import CallObserver
from wx2mqtt.wechat.http import HttpClient, TimeLimits
from wx2mqtt.wechat.http_transport import Http11Transport, OccasionalTransport
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink
from wx2mqtt.wechat.transport_factory import ProxiedTransport, Transports
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx

REQUEST: dict[str, Any] = {"headers": {}, "body": None, "limits": TimeLimits.for_whole(5)}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a proxy."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call as `HttpClient` sees it."""

    is_regular: bool
    name: str = "call"
    is_delivery: bool = False
    is_long_poll: bool = False


class Recorder(httpx.AsyncBaseTransport):
    """Keeps the requests."""

    def __init__(self, body: bytes | httpx.AsyncByteStream = b"ok") -> None:
        self.body = body
        self.requests: list[httpx.Request] = []
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.body, bytes):
            return httpx.Response(200, content=self.body)
        return httpx.Response(200, stream=self.body)

    async def aclose(self) -> None:
        self.is_closed = True


def same_for_all(transport: httpx.AsyncBaseTransport) -> Transports:
    return Transports(regular=transport, other=transport)


def client(
    endpoint: str | None = None, *, observe: CallObserver = lambda *_: None, lease: Lease | None = None
) -> HttpClient:
    return HttpClient(
        endpoint=endpoint,
        headers={"Connection": "keep-alive"},
        clock=replace(ManualClock().as_clock(), lease=lease or Lease()),
        observe=observe,
        text=lambda key, _: key,
    )


async def make_call(used: HttpClient, url: str, *, is_regular: bool) -> None:
    limits = TimeLimits.for_whole(5)
    call = Call(is_regular=is_regular)
    async with used.exchange(call, url, headers={"A": "b"}, body=b"{}", limits=limits) as response:
        assert await response.read(10) == b"ok"


def test_certificates_are_loaded_only_where_there_is_tls() -> None:
    assert transport_factory.tls_context("http://127.0.0.1:1").get_ca_certs() == []
    assert transport_factory.tls_context("https://127.0.0.1:1").verify_mode is ssl.CERT_REQUIRED
    assert transport_factory.tls_context(None).verify_mode is ssl.CERT_REQUIRED


async def test_proxies_of_the_environment_are_used_for_wechat_itself_only(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    wechat, own = client(), client("http://wechat.test")
    assert isinstance(wechat._transports.other, ProxiedTransport)
    assert any(mount is not None for mount in wechat._transports.other._client._mounts.values())
    assert isinstance(own._transports.other, OccasionalTransport)  # goes to the address itself
    await wechat.close()
    await own.close()


@pytest.mark.parametrize("name", [*PROXIES[:3], *(name.lower() for name in PROXIES[:3])])
async def test_behind_a_proxy_all_calls_to_wechat_itself_are_made_by_httpx(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "http://proxy.test:3128")
    wechat, own = client(), client("http://wechat.test")
    assert wechat._transports.regular is wechat._transports.other
    assert isinstance(wechat._transports.regular, ProxiedTransport)
    assert isinstance(own._transports.regular, Http11Transport)
    await wechat.close()
    await own.close()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("endpoint", [None, "http://wechat.test"])
async def test_without_a_proxy_regular_calls_have_a_transport_of_their_own(endpoint: str | None) -> None:
    used = client(endpoint)
    assert isinstance(used._transports.regular, Http11Transport)
    assert isinstance(used._transports.other, OccasionalTransport)
    await used.close()
    transports = Recorder(), Recorder()
    used._transports = Transports(other=transports[0], regular=transports[1])
    for number in range(2):
        await make_call(used, f"http://wechat.test/{number}", is_regular=False)
        await make_call(used, "http://wechat.test/regular", is_regular=True)
    assert [str(request.url) for request in transports[0].requests] == [
        "http://wechat.test/0",
        "http://wechat.test/1",
    ]
    assert [str(request.url) for request in transports[1].requests] == ["http://wechat.test/regular"] * 2
    await used.close()
    assert all(transport.is_closed for transport in transports)


@pytest.mark.usefixtures("environment")
async def test_the_address_of_a_regular_call_is_the_one_that_it_has_now() -> None:
    used = client("http://wechat.test")
    recorder = Recorder()
    used._transports = same_for_all(recorder)
    for path in ("a?skey=1", "a?skey=2", "a?skey=2", "a?skey=1"):
        await make_call(used, f"http://wechat.test/{path}", is_regular=True)
    assert [request.url.query for request in recorder.requests] == [
        b"skey=1",
        b"skey=2",
        b"skey=2",
        b"skey=1",
    ]


@pytest.mark.usefixtures("environment")
async def test_the_query_of_a_regular_call_goes_to_the_transport_as_it_is() -> None:
    """httpx would look at each of its characters, for every poll."""
    used = client("http://wechat.test")
    recorder = Recorder()
    used._transports = Transports(regular=recorder, other=recorder, takes_target=True)
    for path in ("a?skey=%401", "a?skey=2", "a", "b/c?", "a?skey=1?2"):
        await make_call(used, f"http://wechat.test/{path}", is_regular=True)
    await make_call(used, "http://wechat.test/a?skey=1", is_regular=False)
    whole = [request.extensions.get("target", request.url.raw_path) for request in recorder.requests]
    assert whole == [b"/a?skey=%401", b"/a?skey=2", b"/a", b"/b/c?", b"/a?skey=1?2", b"/a?skey=1"]
    assert not any(request.url.query for request in recorder.requests[:-1])
    assert "target" not in recorder.requests[-1].extensions


def test_regular_are_logins_contacts_polls_and_texts() -> None:
    regular = {
        endpoint.name
        for module in (webwx, ilink)
        for endpoint in vars(module).values()
        if isinstance(endpoint, webwx.Endpoint | ilink.Endpoint) and endpoint.is_regular
    }
    assert regular == {
        *("jslogin", "login", "webwxnewloginpage", "webwxpushloginurl", "webwxinit", "webwxstatusnotify"),
        *("webwxgetcontact", "webwxbatchgetcontact", "synccheck", "webwxsync", "webwxsendmsg"),
        *("get_bot_qrcode", "get_qrcode_status", "notifystart", "notifystop", "getconfig", "sendtyping"),
        *("getupdates", "getuploadurl", "sendmessage"),
    }


class BrokenBody(httpx.AsyncByteStream):
    """A body that ends in the middle."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise httpx.RemoteProtocolError("cut off")


@pytest.mark.parametrize("error", [TimeoutError("the disk is away"), httpx.ReadTimeout("of another server")])
async def test_an_error_of_the_caller_is_no_failure_of_the_exchange(error: Exception) -> None:
    """Only WeChat's own silence may say that WeChat did not answer."""
    outcomes: list[str] = []
    used = client("http://wechat.test", observe=lambda _, outcome, __: outcomes.append(outcome))
    used._transports = same_for_all(Recorder())
    with pytest.raises(type(error)) as raised:
        async with used.exchange(Call(is_regular=True), "http://wechat.test/", **REQUEST):
            raise error
    assert raised.value is error
    assert outcomes == ["200"]


@pytest.mark.parametrize("in_chunks", [True, False])
async def test_a_failure_of_the_body_is_reported_where_it_is_read(in_chunks: bool) -> None:
    outcomes: list[str] = []
    used = client("http://wechat.test", observe=lambda _, outcome, __: outcomes.append(outcome))
    used._transports = same_for_all(Recorder(BrokenBody()))
    async with used.exchange(Call(is_regular=True), "http://wechat.test/", **REQUEST) as response:
        with pytest.raises(Unreachable, match="broken_answer"):
            if in_chunks:
                _ = [chunk async for chunk in response.iter_bytes()]
            else:
                await response.read(100)
    assert outcomes == ["broken_answer"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("is_regular", [True, False])
async def test_without_a_lease_nothing_is_sent_and_that_is_certain(is_regular: bool) -> None:
    lease = Lease(60)
    used = client("http://wechat.test", lease=lease)
    recorder = Recorder()
    used._transports = same_for_all(recorder)
    with pytest.raises(Unreachable, match="no_connection"):
        await make_call(used, "http://wechat.test/early", is_regular=is_regular)
    lease.renew(boot_time())
    await make_call(used, "http://wechat.test/", is_regular=is_regular)
    lease.revoke()
    with pytest.raises(Unreachable, match="no_connection"):
        await make_call(used, "http://wechat.test/late", is_regular=is_regular)
    assert [str(request.url) for request in recorder.requests] == ["http://wechat.test/"]
    await used.close()


# Compressed bodies


def client_of(body: httpx.AsyncByteStream, **headers: str) -> HttpClient:
    """Returns a client that gets this body as the answer to each call."""

    def answered(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=body)

    return HttpClient(
        endpoint=None,
        headers={},
        clock=ManualClock().as_clock(),
        observe=lambda *_: None,
        text=lambda key, _: key,
        transport=httpx.MockTransport(answered),
    )


async def read_body(encoding: str, *chunks: bytes, limit: int = 1 << 20) -> bytes:
    """Reads an answer whose body comes in these chunks."""

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    made = client_of(Body(), **{"Content-Encoding": encoding})
    async with made.exchange(Call(is_regular=True), "http://127.0.0.1/", **REQUEST) as response:
        return await response.read(limit)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


PLAIN = bytes(range(256)) * 1000
BOMB = gzip.compress(bytes(16 << 20))


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
async def test_a_compressed_body_is_read_whole_however_it_is_cut(
    encoding: str, compress: Callable[[bytes], bytes], size: int
) -> None:
    packed = compress(PLAIN)
    chunks = (packed[start : start + size] for start in range(0, len(packed), size))
    assert await read_body(encoding, *chunks) == PLAIN


@pytest.mark.parametrize(
    ("encoding", "chunks", "failure"),
    [
        ("gzip", (BOMB,), "too_large"),
        ("gzip, gzip", (gzip.compress(BOMB),), "broken_answer"),
        ("deflate, gzip", (BOMB,), "broken_answer"),
        ("br", (b"x",), "broken_answer"),
        ("gzip", (b"no gzip",), "broken_answer"),
        ("deflate", (b"\xff\xff",), "broken_answer"),
        ("gzip", (gzip.compress(b"x"), *(b"x" for _ in range(100))), "broken_answer"),
    ],
    ids=["large", "twice", "two ways", "unknown", "no gzip", "no deflate", "more behind it"],
)
async def test_a_hostile_compressed_body_takes_no_memory(
    encoding: str, chunks: tuple[bytes, ...], failure: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unreachable, match=failure):
            await read_body(encoding, *chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_body_in_many_small_chunks_lets_others_run(is_whole: bool) -> None:
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b"x"

    async def read() -> int:
        async with made.exchange(Call(is_regular=True), "http://127.0.0.1/", **REQUEST) as response:
            if is_whole:
                return len(await response.read(1 << 20))
            return sum([len(chunk) async for chunk in response.iter_bytes()])

    made = client_of(Body())
    size, turns = await turns_during(read())
    assert size == 1000
    assert turns > 500
