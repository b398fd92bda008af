"""The transport of the WeChat client against a server that does what a test says: exchanges and connections."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import ssl
import struct
from dataclasses import dataclass

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.http_server import (
    ANSWER,
    HEAD,
    SHORT_SECONDS,
    Peer,
    Server,
    answers,
    ask,
    hangs,
    make_transport,
    opened,
    read,
    request_to,
    says,
    tls_contexts,
    until,
)
from wx2mqtt.clock import Lease, boot_time
from wx2mqtt.wechat.aiohttp_transport import MAX_PIECE_BYTES, ExchangeFailed

# Answers


@dataclass(frozen=True, kw_only=True)
class Framing:
    """An answer in the pieces in which it is sent, and whether the connection stays open after it."""

    pieces: tuple[bytes, ...]
    body: bytes = b"hello"
    status: int = 200
    stays_open: bool = True


CHUNKS = b"2\r\nhe\r\n3;name=value\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
PACKED = gzip.compress(b"hello", mtime=0)
FRAMINGS = {
    "length": Framing(pieces=(HEAD + b"Content-Length: 5\r\n\r\nhello",)),
    "length, byte by byte": Framing(
        pieces=tuple(bytes([byte]) for byte in HEAD + b"Content-Length: 5\r\n\r\nhello")
    ),
    "head and body apart": Framing(pieces=(HEAD + b"Content-Length: 5\r\n\r\n", b"hello")),
    "chunked": Framing(pieces=(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,)),
    "chunked, in pieces": Framing(
        pieces=(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nh",
            b"e\r\n3;name=value\r\nllo\r\n0\r",
            b"\n\r\n",
        )
    ),
    "until the end": Framing(pieces=(HEAD + b"\r\nhello",), stays_open=False),
    "HTTP/1.0": Framing(pieces=(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",), stays_open=False),
    "Connection: close": Framing(
        pieces=(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",), stays_open=False
    ),
    "nothing": Framing(pieces=(HEAD + b"Content-Length: 0\r\n\r\n",), body=b""),
    "204": Framing(pieces=(b"HTTP/1.1 204 No Content\r\n\r\n",), body=b"", status=204),
    "no reason": Framing(pieces=(b"HTTP/1.1 503\r\nContent-Length: 5\r\n\r\nhello",), status=503),
    "after 1xx": Framing(
        pieces=(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            HEAD + b"Content-Length: 5\r\n\r\nhello",
        )
    ),
    "gzip, left as it is": Framing(
        pieces=(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED), PACKED),
        body=PACKED,
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
async def test_an_answer_is_read_in_every_form(framing: Framing) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(*framing.pieces)
        if framing.stays_open:
            await answers(peer)

    async with Server(script, answers).run() as server, opened(make_transport()) as transport:
        assert await ask(transport, server.url) == (framing.status, framing.body)
        assert await ask(transport, server.url) == (200, b"ok")
        assert server.connections == (1 if framing.stays_open else 2)


@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 300_000], ids=["GET", "empty", "short", "long"])
async def test_a_request_is_sent_as_it_is(body: bytes | None) -> None:
    """The request has no further header, and its address is spelled as given."""
    async with Server(answers).run() as server, opened(make_transport()) as transport:
        await ask(transport, f"{server.url}/a/b?c=%E4%BD%A0&d=e%2Bf%2F%40~", body)
    head, _, rest = server.requests[0].decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    assert start == f"{'GET' if body is None else 'POST'} /a/b?c=%E4%BD%A0&d=e%2Bf%2F%40~ HTTP/1.1"
    assert sorted(lines) == [
        "Accept-Encoding: gzip",
        *([] if body is None else [f"Content-Length: {len(body)}"]),
        "Cookie: a=1; b=2",
        f"Host: {server.url.removeprefix('http://')}",
        "User-Agent: Mozilla/5.0",
    ]
    assert rest.encode() == (body or b"")


async def test_a_large_body_is_received_in_small_pieces_and_only_as_fast_as_it_is_read() -> None:
    content = b"0123456789abcdef" * (1 << 20)
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.answer(HEAD + b"Content-Length: %d\r\n\r\n" % len(content))
        for start in range(0, len(content), 1 << 16):
            await peer.say(content[start : start + (1 << 16)])
            sent = start

    async with Server(script).run() as server, opened(make_transport()) as transport:
        response = await transport.send(request_to(server.url))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sent < len(content) // 2  # the rest is in buffers of the system and the client
        pieces = [piece async for piece in response.chunks()]
        assert max(map(len, pieces)) <= MAX_PIECE_BYTES
        assert hashlib.sha256(b"".join(pieces)).digest() == hashlib.sha256(content).digest()


# Connections


async def test_a_connection_is_used_again_for_its_server_only() -> None:
    async with (
        Server(answers).run() as first,
        Server(answers).run() as second,
        opened(make_transport()) as transport,
    ):
        for _ in range(3):
            await ask(transport, first.url)
            await ask(transport, second.url)
        assert (first.connections, second.connections) == (1, 1)


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async with Server(answers).run() as server, opened(make_transport(keep_alive=0.0)) as transport:
        await ask(transport, server.url)
        await ask(transport, server.url)
        assert server.connections == 2


@pytest.mark.parametrize("end", ["read", "closed", "failed"])
async def test_a_transport_that_is_not_used_any_more_holds_no_connection(end: str) -> None:
    """The transport still serves the next request."""
    disconnected = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer({"failed": b"no HTTP\r\n\r\n"}.get(end, ANSWER))
        await peer.closed()
        disconnected.set()

    async with (
        Server(script, answers).run() as server,
        opened(make_transport(keep_alive=SHORT_SECONDS)) as transport,
    ):
        if end == "closed":
            (await transport.send(request_to(server.url))).close()
        elif end == "failed":
            with pytest.raises(ExchangeFailed, match="broken_answer"):
                await ask(transport, server.url)
        else:
            assert await ask(transport, server.url) == (200, b"ok")
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await disconnected.wait()
        assert await ask(transport, server.url) == (200, b"ok")


async def test_requests_at_once_have_a_connection_each_up_to_the_limit() -> None:
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await may_answer.wait()
            await peer.say(ANSWER)

    async with Server(script).run() as server, opened(make_transport(connections=3)) as transport:
        requests = [asyncio.create_task(ask(transport, server.url)) for _ in range(10)]
        await until(lambda: len(server.requests) == 3)
        with pytest.raises(ExchangeFailed, match="no_connection"):
            await ask(transport, server.url, idle_seconds=SHORT_SECONDS)
        assert len(server.requests) == 3
        may_answer.set()
        assert await asyncio.gather(*requests) == [(200, b"ok")] * 10
        assert server.connections == 3


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_an_idle_connection_that_the_server_has_ended_is_not_used(end: str) -> None:
    """This holds though the event loop has no turn between that end and the request."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def serve() -> socket.socket:
            connection, _ = await loop.sock_accept(listener)
            assert await loop.sock_recv(connection, 65536)
            await loop.sock_sendall(connection, ANSWER)
            return connection

        async with opened(make_transport()) as transport:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(serve())
            await ask(transport, url, None)
            connection = await serving
            serving = asyncio.create_task(serve())
            if end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            assert await ask(transport, url, None) == (200, b"ok")
            (await serving).close()


async def test_bytes_that_nobody_asked_for_are_no_answer() -> None:
    """Such bytes come with an answer or later; their connection is not used again."""
    has_sent_late = asyncio.Event()

    async def answer_twice_at_once(peer: Peer) -> None:
        await peer.answer(ANSWER + ANSWER.replace(b"ok", b"NO"))
        await peer.closed()

    async def answer_twice(peer: Peer) -> None:
        await peer.answer()
        await peer.say(ANSWER.replace(b"ok", b"NO"))
        await peer.closed()
        has_sent_late.set()

    async with (
        Server(answer_twice_at_once, answer_twice, answers).run() as server,
        opened(make_transport()) as transport,
    ):
        assert await ask(transport, server.url) == (200, b"ok")
        assert await ask(transport, server.url) == (200, b"ok")
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await has_sent_late.wait()
        assert await ask(transport, server.url) == (200, b"ok")
        assert server.connections == 3


@pytest.mark.parametrize("turns", [0, 5], ids=["not read yet", "read by the event loop"])
async def test_bytes_on_an_idle_connection_are_not_the_answer_to_the_next_request(turns: int) -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answers(peer)

    async with Server(script).run() as server, opened(make_transport()) as transport:
        assert await ask(transport, server.url) == (200, b"ok")
        peers[0].writer.write(ANSWER.replace(b"ok", b"NO"))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await ask(transport, server.url) == (200, b"ok")
        assert (server.connections, len(server.requests)) == (2, 2)


async def test_a_connection_whose_answer_was_not_read_is_not_used_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(HEAD + b"Content-Length: 5\r\n\r\nhe")
        await peer.closed()

    async with Server(script, answers).run() as server, opened(make_transport()) as transport:
        response = await transport.send(request_to(server.url))
        response.close()
        assert await ask(transport, server.url) == (200, b"ok")
        assert server.connections == 2


async def test_closing_ends_idle_connections_and_exchanges() -> None:
    ended: list[str] = []

    async def script(peer: Peer) -> None:
        if b"/idle" in await peer.request():
            await peer.say(ANSWER)
        await peer.closed()
        ended.append("connection")

    async with Server(script).run() as server, opened(make_transport()) as transport:
        hanging = asyncio.create_task(ask(transport, f"{server.url}/hangs"))
        await ask(transport, f"{server.url}/idle")
        await until(lambda: len(server.requests) == 2)
        await transport.close()
        with pytest.raises(ExchangeFailed, match="broken_answer"):
            await hanging
        await until(lambda: len(ended) == 2)


@pytest.mark.parametrize("moment", ["head", "body"])
async def test_an_exchange_that_is_cancelled_leaves_no_connection_behind(moment: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(
            *([b"HTTP/1.1 200"] if moment == "head" else [HEAD + b"Content-Length: 5\r\n\r\nhe"])
        )
        reached.set()
        await peer.closed()

    reached = asyncio.Event()
    async with Server(script, answers).run() as server, opened(make_transport(connections=1)) as transport:
        task = asyncio.create_task(ask(transport, server.url))
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ask(transport, server.url, idle_seconds=MAX_WAIT_SECONDS) == (200, b"ok")
        assert server.connections == 2


async def test_a_body_whose_reading_is_cancelled_needs_no_closing() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(HEAD + b"Content-Length: 5\r\n\r\nhe")
        await peer.closed()

    async with Server(script, answers).run() as server, opened(make_transport(connections=1)) as transport:
        response = await transport.send(request_to(server.url))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_SECONDS):
                await read(response)
        assert await ask(transport, server.url) == (200, b"ok")


async def test_a_wait_for_a_connection_that_is_cancelled_takes_no_slot() -> None:
    async with Server(hangs, answers).run() as server, opened(make_transport(connections=1)) as transport:
        first = asyncio.create_task(ask(transport, server.url))
        await until(lambda: bool(server.requests))
        second = asyncio.create_task(ask(transport, server.url))
        await asyncio.sleep(0)
        for task in (second, first):
            task.cancel()
        await asyncio.wait([first, second])
        assert await ask(transport, server.url) == (200, b"ok")


# TLS


async def test_a_server_with_tls_answers_again_and_again() -> None:
    server_context, client_context = tls_contexts()
    async with (
        Server(answers).run(server_context) as server,
        opened(make_transport(client_context)) as transport,
    ):
        for body in (None, b"{}", b"x" * 1_000_000):
            assert await ask(transport, server.url, body) == (200, b"ok")
        assert server.connections == 1
        assert server.requests[-1].endswith(b"x" * 1_000_000)


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
async def test_an_answer_is_read_in_every_form_by_tls(framing: Framing) -> None:
    server_context, client_context = tls_contexts()
    async with (
        Server(says(*framing.pieces), answers).run(server_context) as server,
        opened(make_transport(client_context)) as transport,
    ):
        assert await ask(transport, server.url) == (framing.status, framing.body)
        assert await ask(transport, server.url) == (200, b"ok")


@pytest.mark.parametrize("reason", ["another authority", "another name", "an address"])
async def test_a_certificate_that_is_not_valid_means_that_nothing_was_sent(reason: str) -> None:
    server_context, client_context = tls_contexts(
        "elsewhere.test" if reason == "another name" else "localhost"
    )
    used_context = tls_contexts()[1] if reason == "another authority" else client_context
    async with (
        Server(answers).run(server_context) as server,
        opened(make_transport(used_context)) as transport,
    ):
        url = server.url.replace("localhost", "127.0.0.1") if reason == "an address" else server.url
        with pytest.raises(ExchangeFailed, match="no_connection"):
            await ask(transport, url)
        assert server.requests == []


@pytest.mark.parametrize("script", ["hangs", "closes", "talks"])
async def test_a_tls_handshake_that_fails_means_that_nothing_was_sent(script: str) -> None:
    async def serve(peer: Peer) -> None:
        if script == "talks":
            await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if script == "hangs":
            await peer.closed()

    async with (
        Server(serve).run() as server,
        opened(make_transport(ssl.create_default_context())) as transport,
    ):
        url = server.url.replace("http:", "https:")
        with pytest.raises(ExchangeFailed, match="no_connection"):
            await ask(transport, url, idle_seconds=SHORT_SECONDS if script == "hangs" else MAX_WAIT_SECONDS)


async def test_a_lease_that_ends_while_the_connection_is_opened_keeps_the_request_back() -> None:
    lease = Lease(60)
    async with Server(answers).run() as server, opened(make_transport(lease=lease)) as transport:
        with pytest.raises(ExchangeFailed, match="no_connection"):
            await ask(transport, server.url)
        lease.renew(boot_time())
        assert await ask(transport, server.url) == (200, b"ok")
        assert len(server.requests) == 1


# Proxies

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Removes the variables of proxies from the environment."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
async def test_a_request_goes_through_the_proxy_that_the_environment_names(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    async with Server(answers).run() as proxy, opened(make_transport(uses_proxies=True)) as transport:
        environment.setenv(name, proxy.url.replace("http://", "http://me:secret@"))
        environment.setenv("NO_PROXY", "elsewhere.test")
        assert await ask(transport, "http://wechat.test/a?b=%40") == (200, b"ok")
    assert proxy.requests[0].startswith(b"POST http://wechat.test/a?b=%40 HTTP/1.1\r\nHost: wechat.test\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n" in proxy.requests[0]


@pytest.mark.parametrize("reason", ["another scheme", "an exception", "an endpoint"])
async def test_other_requests_go_straight_to_their_server(
    environment: pytest.MonkeyPatch, reason: str
) -> None:
    environment.setenv("HTTPS_PROXY" if reason == "another scheme" else "HTTP_PROXY", "http://127.0.0.1:1")
    if reason == "an exception":
        environment.setenv("NO_PROXY", "127.0.0.1")
    uses_proxies = reason != "an endpoint"
    async with (
        Server(answers).run() as server,
        opened(make_transport(uses_proxies=uses_proxies)) as transport,
    ):
        assert await ask(transport, server.url) == (200, b"ok")


@pytest.mark.usefixtures("environment")
async def test_a_proxy_that_cannot_be_reached_or_refuses_means_that_nothing_was_sent(
    environment: pytest.MonkeyPatch,
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with Server(says(refusal)).run() as proxy, opened(make_transport(uses_proxies=True)) as transport:
        for address in (proxy.url, "http://127.0.0.1:1"):
            environment.setenv("HTTPS_PROXY", address)
            with pytest.raises(ExchangeFailed, match="no_connection"):
                await ask(transport, "https://wechat.test/")
