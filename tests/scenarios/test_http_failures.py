"""What the WeChat client knows after an exchange that failed.

`Unreachable` after a call that delivers a message means that it was certainly not delivered, `OutcomeUnknown` that
nobody knows. No request is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.backend_options import backend_options
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.http_server import (
    HEAD,
    SHORT_SECONDS,
    Peer,
    Script,
    Server,
    answers,
    ask,
    exchange,
    hangs,
    in_pieces,
    make_transport,
    opened,
    read,
    request_to,
    says,
    tls_contexts,
    until,
)
from tests.unit.wechat.rig import ManualClock, MemoryVault
from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.aiohttp_transport import ExchangeFailed, HttpTransport
from wx2mqtt.wechat.backend import CallSpec
from wx2mqtt.wechat.http_client import HttpClient, TimeLimits

LIMIT_BYTES = 1000


@frozen
class Call(CallSpec):
    """A call that delivers a message, unless a test says otherwise."""

    name: str = "send"
    is_delivery: bool = True


async def closes(_: Peer) -> None:
    """Ends the connection before the request was read."""


async def resets(peer: Peer) -> None:
    """Ends the connection with a RST before the request was read."""
    peer.reset()


async def resets_after_the_request(peer: Peer) -> None:
    await peer.request()
    peer.reset()


def resets_after(*pieces: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.answer(*pieces)
        peer.reset()

    return script


def stops(*pieces: bytes) -> Script:
    """Says this much, and then nothing until the client gives up."""

    async def script(peer: Peer) -> None:
        await peer.answer(*pieces)
        await peer.closed()

    return script


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN: dict[str, Script] = {
    "closed before the request": closes,
    "reset before the request": resets,
    "closed after the request": says(b""),
    "reset after the request": resets_after_the_request,
    "closed in the status line": says(b"HTTP/1.1 20"),
    "closed in the head": says(HEAD + b"Content-Len"),
    "closed after 1xx": says(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "closed in the body": says(HEAD + b"Content-Length: 5\r\n\r\nhe"),
    "closed in a chunk": says(CHUNKED + b"5\r\nhe"),
    "closed before the last chunk": says(CHUNKED + b"5\r\nhello\r\n"),
    "closed in the trailer": says(CHUNKED + b"5\r\nhello\r\n0\r\nX: "),
    "reset in the body": resets_after(HEAD + b"Content-Length: 5\r\n\r\nhe"),
    "reset in a body without a length": resets_after(HEAD + b"\r\nhe"),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a bad header": says(HEAD + b"no header\r\n\r\n"),
    "a chunk without a size": says(CHUNKED + b"five\r\nhello\r\n0\r\n\r\n"),
    "two lengths": says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "another protocol": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "bad gzip": says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    "a head without an end": says(HEAD + b"X: " + b"x" * 400_000),
    "a head of many lines": says(HEAD + b"X: x\r\n" * 100_000),
}
LATE: dict[str, Script] = {
    "hangs before the request": lambda peer: peer.closed(),
    "hangs after the request": hangs,
    "hangs in the head": stops(HEAD),
    "hangs in the body": stops(HEAD + b"Content-Length: 5\r\n\r\nhe"),
    "hangs in a chunk": stops(CHUNKED + b"5\r\nhe"),
    "sends 1xx and hangs": stops(b"HTTP/1.1 100 Continue\r\n\r\n"),
}
UNUSABLE = {
    **{name: (script, "broken_answer") for name, script in BROKEN.items()},
    **{name: (script, "no_answer") for name, script in LATE.items()},
    "too large": (says(HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001), "too_large"),
}

# What happens when the server has read the request.
READ = [name for name in UNUSABLE if "before the request" not in name]


def after_one_answer(script: Script) -> Script:
    async def both(peer: Peer) -> None:
        await peer.answer()
        await script(peer)

    return both


class Caller:
    """A client with one transport; `outcomes` are what it reported."""

    def __init__(self, transport: HttpTransport) -> None:
        self.outcomes: list[str] = []
        options = backend_options(
            credentials=MemoryVault(),
            clock=ManualClock().as_clock(),
            observe=lambda _call, outcome, _seconds: self.outcomes.append(outcome),
        )
        self.client = HttpClient(options, {"Accept-Encoding": "gzip"}, lambda key, _call: key, transport)

    async def call(
        self, url: str, call: Call, seconds: float = MAX_WAIT_SECONDS, *, idle: float | None = None
    ) -> bytes:
        limits = TimeLimits(idle=seconds if idle is None else idle, head=seconds, whole=seconds)
        async with self.client.exchange(call, url, headers={}, body=b"{}", limits=limits) as response:
            return await response.read(LIMIT_BYTES)


@asynccontextmanager
async def calling(transport: HttpTransport) -> AsyncIterator[Caller]:
    caller = Caller(transport)
    try:
        yield caller
    finally:
        await caller.client.close()


async def failed_call(server: Server, name: str, *, call: Call, used: bool) -> list[str]:
    """Makes a call whose answer cannot be used, first or second on its connection; returns the outcomes."""
    async with calling(make_transport()) as caller:
        if used:
            assert await caller.call(server.url, call) == b"ok"
        with pytest.raises(OutcomeUnknown if call.is_delivery else Unreachable):
            await caller.call(server.url, call, SHORT_SECONDS if name in LATE else MAX_WAIT_SECONDS)
        return caller.outcomes


@pytest.mark.parametrize("name", UNUSABLE)
async def test_after_a_request_was_written_nobody_knows(name: str) -> None:
    script, outcome = UNUSABLE[name]
    async with Server(script, answers).run() as server:
        assert await failed_call(server, name, call=Call(), used=False) == [outcome]
        assert server.connections <= 1  # none where the time was over before there was one


@pytest.mark.parametrize("name", READ)
async def test_nor_on_a_connection_that_was_used_before_and_nothing_is_sent_twice(name: str) -> None:
    script, outcome = UNUSABLE[name]
    async with Server(after_one_answer(script), answers).run() as server:
        assert await failed_call(server, name, call=Call(), used=True) == ["200", outcome]
        assert server.connections == 1
        assert len(server.requests) <= 2


@pytest.mark.parametrize("name", UNUSABLE)
async def test_a_call_that_delivers_nothing_can_be_made_again(name: str) -> None:
    script, outcome = UNUSABLE[name]
    async with Server(script, answers).run() as server:
        call = Call(is_delivery=False)
        assert await failed_call(server, name, call=call, used=False) == [outcome]


@pytest.mark.parametrize("name", READ)
async def test_after_a_failure_the_next_call_has_a_connection_of_its_own(name: str) -> None:
    script = after_one_answer(UNUSABLE[name][0])
    async with Server(script, answers).run() as server, calling(make_transport(connections=1)) as caller:
        assert await caller.call(server.url, Call()) == b"ok"
        with pytest.raises(OutcomeUnknown):
            await caller.call(server.url, Call(), SHORT_SECONDS if name in LATE else MAX_WAIT_SECONDS)
        assert await caller.call(server.url, Call()) == b"ok"
        assert server.connections == 2


# Certainly not sent


async def test_without_a_connection_nothing_was_sent() -> None:
    async with Server(answers).run() as server:
        gone = server.url
    async with calling(make_transport()) as caller:
        for url in (
            gone,
            "http://no-such-host.invalid/",
            "http://a..b/",
            "ftp://127.0.0.1/",
            "http://host\x00/",
        ):
            with pytest.raises(Unreachable):
                await caller.call(url, Call())
        assert set(caller.outcomes) == {"no_connection"}


async def test_without_a_free_connection_nothing_was_sent() -> None:
    async with Server(hangs).run() as server, calling(make_transport(connections=1)) as caller:
        first = asyncio.create_task(caller.call(server.url, Call()))
        await until(lambda: bool(server.requests))
        with pytest.raises(BackendError) as failure:
            await caller.call(server.url, Call(), MAX_WAIT_SECONDS, idle=SHORT_SECONDS)
        assert (type(failure.value), len(server.requests)) == (Unreachable, 1)
        first.cancel()
        await asyncio.wait([first])


async def test_without_the_right_certificate_nothing_was_sent() -> None:
    served, _ = tls_contexts()
    _, trusting_another = tls_contexts()
    async with Server(answers).run(served) as server, calling(make_transport(trusting_another)) as caller:
        with pytest.raises(Unreachable):
            await caller.call(server.url, Call())
        assert (caller.outcomes, server.requests) == (["no_connection"], [])


@pytest.mark.parametrize("headers", [{"X": "a\r\nb"}, {"X": "a\x00b"}])
async def test_a_request_that_is_no_http_is_not_sent(headers: dict[str, str]) -> None:
    async with Server(answers).run() as server, opened(make_transport()) as transport:
        request = request_to(server.url, headers=headers)
        with pytest.raises(ExchangeFailed, match="no_connection"):
            await transport.send(request)
        assert await ask(transport, server.url) == (200, b"ok")
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"{}", b"{} {}"])
async def test_a_body_of_another_length_than_announced_is_not_sent_as_a_request(body: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        yield body[1:]

    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        received.append(await peer.reader.read())

    async with Server(script).run() as server, calling(make_transport()) as caller:
        limits = TimeLimits(idle=MAX_WAIT_SECONDS, head=MAX_WAIT_SECONDS, whole=MAX_WAIT_SECONDS)
        headers = {"Content-Length": "4"}
        with pytest.raises(OutcomeUnknown):
            async with caller.client.exchange(
                Call(), server.url, headers=headers, body=chunks(), limits=limits
            ):
                pass
        await until(lambda: bool(received))
        assert len(received[0].partition(b"\r\n\r\n")[2]) < 4


# A server that does not read


async def test_a_request_that_is_not_taken_in_time() -> None:
    async def script(peer: Peer) -> None:
        await until(lambda: given_up)

    given_up = False
    async with Server(script).run() as server, opened(make_transport()) as transport:
        with pytest.raises(ExchangeFailed, match="no_answer"):
            await exchange(transport, in_pieces(server.url, 50_000_000, idle_seconds=SHORT_SECONDS))
        given_up = True


@pytest.mark.parametrize("ending", ["stays open", "ends"])
async def test_an_answer_that_comes_before_the_request_was_read_is_an_answer(ending: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        close = b"Connection: close\r\n" if ending == "ends" else b""
        await peer.say(b"HTTP/1.1 413 Too Large\r\n" + close + b"Content-Length: 2\r\n\r\nno")
        if close:
            peer.writer.write_eof()
        await peer.reader.readexactly(5_000_000)
        await answers(peer)

    async with Server(script, answers).run() as server, opened(make_transport()) as transport:
        assert await exchange(transport, in_pieces(server.url, 5_000_000)) == (413, b"no")
        assert await ask(transport, server.url) == (200, b"ok")


async def test_an_answer_of_a_server_that_reads_no_more_is_not_waited_for() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        peer.writer.write_eof()
        await until(lambda: answered)

    answered = False
    async with Server(script).run() as server, opened(make_transport()) as transport:
        assert await exchange(transport, in_pieces(server.url, 50_000_000)) == (413, b"no")
        answered = True


async def test_a_connection_that_is_gone_before_its_answer_was_read() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        peer.writer.write_eof()
        await peer.closed()
        gone.set()

    gone = asyncio.Event()
    async with Server(script, answers).run() as server, opened(make_transport()) as transport:
        response = await transport.send(in_pieces(server.url, 5_000_000))
        await gone.wait()
        assert await read(response) == b"no"
        response.close()
        assert await ask(transport, server.url) == (200, b"ok")
