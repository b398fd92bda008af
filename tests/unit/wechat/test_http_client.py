"""The HTTP client of all backends, on a transport that a test makes."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.support.backend_options import backend_options
from tests.support.httpx_transport import HttpxTransport
from tests.support.loop_turns import turns_during
from tests.unit.wechat.rig import ManualClock, MemoryVault
from wx2mqtt.clock import Lease, boot_time
from wx2mqtt.errors import Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CallSpec
from wx2mqtt.wechat.backend_options import CallObserver
from wx2mqtt.wechat.http_client import HttpClient, TimeLimits

REQUEST: dict[str, Any] = {"headers": {}, "body": None, "limits": TimeLimits(idle=5, head=5, whole=5)}


@frozen
class Call(CallSpec):
    """A call."""

    name: str = "call"


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


def client(
    transport: httpx.AsyncBaseTransport,
    *,
    observe: CallObserver = lambda *_: None,
    lease: Lease | None = None,
) -> HttpClient:
    clock = replace(ManualClock().as_clock(), lease=lease or Lease())
    options = backend_options(credentials=MemoryVault(), clock=clock, observe=observe)
    return HttpClient(options, {"Connection": "keep-alive"}, lambda key, _: key, HttpxTransport(transport))


async def make_call(used: HttpClient, url: str) -> None:
    limits = TimeLimits(idle=5, head=5, whole=5)
    async with used.exchange(Call(), url, headers={"A": "b"}, body=b"{}", limits=limits) as response:
        assert await response.read(10) == b"ok"


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
    used = client(Recorder(), observe=lambda _, outcome, __: outcomes.append(outcome))
    with pytest.raises(type(error)) as raised:
        async with used.exchange(Call(), "http://wechat.test/", **REQUEST):
            raise error
    assert raised.value is error
    assert outcomes == ["200"]


@pytest.mark.parametrize("in_chunks", [True, False])
async def test_a_failure_of_the_body_is_reported_where_it_is_read(in_chunks: bool) -> None:
    outcomes: list[str] = []
    used = client(Recorder(BrokenBody()), observe=lambda _, outcome, __: outcomes.append(outcome))
    async with used.exchange(Call(), "http://wechat.test/", **REQUEST) as response:
        with pytest.raises(Unreachable, match="broken_answer"):
            if in_chunks:
                _ = [chunk async for chunk in response.iter_bytes()]
            else:
                await response.read(100)
    assert outcomes == ["broken_answer"]


async def test_without_a_lease_nothing_is_sent_and_that_is_certain() -> None:
    lease = Lease(60)
    recorder = Recorder()
    used = client(recorder, lease=lease)
    with pytest.raises(Unreachable, match="no_connection"):
        await make_call(used, "http://wechat.test/early")
    lease.renew(boot_time())
    await make_call(used, "http://wechat.test/")
    lease.revoke()
    with pytest.raises(Unreachable, match="no_connection"):
        await make_call(used, "http://wechat.test/late")
    assert [str(request.url) for request in recorder.requests] == ["http://wechat.test/"]
    await used.close()
    assert recorder.is_closed


# Compressed bodies


def client_of(body: httpx.AsyncByteStream, **headers: str) -> HttpClient:
    """Returns a client that gets this body as the answer to each call."""

    def answered(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=body)

    return client(httpx.MockTransport(answered))


async def read_body(encoding: str, *chunks: bytes, limit: int = 1 << 20) -> bytes:
    """Reads an answer whose body comes in these chunks."""

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    made = client_of(Body(), **{"Content-Encoding": encoding})
    async with made.exchange(Call(), "http://127.0.0.1/", **REQUEST) as response:
        return await response.read(limit)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


PLAIN = bytes(range(256)) * 100  # byte by byte these are 25,600 chunks
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
        async with made.exchange(Call(), "http://127.0.0.1/", **REQUEST) as response:
            if is_whole:
                return len(await response.read(1 << 20))
            return sum([len(chunk) async for chunk in response.iter_bytes()])

    made = client_of(Body())
    size, turns = await turns_during(read())
    assert size == 1000
    assert turns > 500
