"""The web server on a real socket: tricks, crowds, clients that are slow or gone, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web import PNG, FakeMediaLibrary, open_connections, options, running_web_server, service
from wx2mqtt.store.records import MediaState
from wx2mqtt.web import http_limits
from wx2mqtt.web import routes as service_module
from wx2mqtt.web.auth import FREE_ATTEMPTS
from wx2mqtt.web.http_limits import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, RESERVED_CONNECTIONS
from wx2mqtt.web.login_page import MAX_OPEN_FORMS
from wx2mqtt.web.options import CannotListen
from wx2mqtt.web.request_context import MAX_HEAD_BYTES
from wx2mqtt.web.server import WebServer

LARGE = 100_000_000
HOST = "host: localhost"
FORM = "content-type: application/x-www-form-urlencoded"
PASSWORD = "sesame"


@pytest.fixture
def library(tmp_path):
    library = FakeMediaLibrary(tmp_path)
    library.put("a1", PNG)
    return library


@pytest.fixture(autouse=True)
def _patient_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a request may come long after its connection; tests of the bound set their own."""
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 2 * MAX_WAIT_SECONDS)


@pytest.fixture
def large(library):
    """A sparse file of 100 MB."""
    row = library.put("large", b"", mime="video/mp4")
    os.truncate(library.file(row), LARGE)
    return library


class Line:
    """A connection on which a test writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *lines: str) -> None:
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def status(self) -> int:
        """Of the next answer, which is read whole."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
            await self.reader.readexactly(length)
        return int(head.split()[1])

    async def over(self) -> bytes:
        """What comes until the server ends the connection."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""


@asynccontextmanager
async def line(server: WebServer, address: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A connection to it from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


TRICKS = [
    *(
        "/media/",
        "/media//",
        "/media/..",
        "/media/../a1",
        "/media/%2e%2e/a1",
        "/media/%2e%2e%2fa1",
        "/media/a1/",
    ),
    *(
        "/media/a1/..",
        "/media/a1%2f",
        "/media/a1%00",
        "/media/%00a1",
        "/media/a1%0d%0aset-cookie:x",
        "/media//a1",
    ),
    *(
        "//media/a1",
        "/media/./a1",
        "/./media/a1",
        "/media/%2fetc%2fpasswd",
        "//etc/passwd",
        "/media/%2e%2e%5c",
    ),
    *(
        "/media/a1.png",
        "/media/a1;x",
        "/media/%20a1",
        f"/media/{'a' * 65}",
        "/media/%ff%fe",
        "/media/a1\\..\\x",
    ),
    *(
        "*",
        "/MEDIA/a1",
        "/media%2fa1/x",
        "/media/..%252fa1",
        "/%2e/media/a1",
    ),
]


@pytest.mark.parametrize("path", TRICKS)
async def test_no_trick_with_the_path_leads_anywhere(library, path):
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say(f"GET {path} HTTP/1.1", HOST)
        assert await client.status() == 404
    assert library.asked == []


async def test_a_target_with_a_name_is_read_as_its_path(library):
    """As RFC 9112, 3.2.2 asks; whether the name is ours says the Host header (`test_a_foreign_name_is_refused`)."""
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET http://localhost/media/a1 HTTP/1.1", HOST)
        assert await client.status() == 200


async def test_what_percent_signs_hide_is_still_an_id(library):
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET /media/%61%31 HTTP/1.1", HOST)
        assert await client.status() == 200


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /media/a1 HTTP/1.1", "host: evil.example"),
        ("GET /media/a1 HTTP/1.0",),
        ("GET http://localhost/media/a1 HTTP/1.1", "host: evil.example"),
    ],
)
async def test_a_foreign_name_is_refused(library, lines):
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say(*lines)
        assert await client.status() == 403


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /media/a1 HTTP/1.1",),
        ("GET /media/a1 HTTP/1.1", HOST, "host: evil.example"),
        ("GET /media/a1 HTTP/1.1", HOST, "content-length: 1", "content-length: 2"),
        ("GET /media/ä HTTP/1.1", HOST),
        ("GET media/a1 HTTP/1.1", HOST),
        ("GET /media/a1 HTTP/1.1", HOST, "content-length: 1", "transfer-encoding: chunked"),
        ("\x16\x03\x01\x02\x00\x01\x00",),  # TLS
        ("garbage",),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_ends(library, lines):
    async with running_web_server(library) as (server, http):
        async with line(server) as client:
            client.say(*lines)
            assert (await client.over()).startswith(b"HTTP/1.1 400 ")
        assert (await http.get("/media/a1")).status_code == 200


@pytest.mark.parametrize("begun", ["GET /", f"GET /media/a1 HTTP/1.1\r\n{HOST}\r\nx: "])
async def test_a_head_without_end_ends_the_connection(library, begun):
    async with running_web_server(library) as (server, http):
        async with line(server) as client:
            client.writer.write(begun.encode())
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    while not client.writer.is_closing():
                        client.writer.write(b"a" * 50_000)
                        await client.writer.drain()
        assert (await http.get("/media/a1")).status_code == 200
        assert library.asked == [("a1", 25.0)]


@pytest.mark.parametrize("lines", [(HOST, f"x: {'a' * MAX_HEAD_BYTES}"), (HOST, *["x: y"] * 7000)])
async def test_a_large_head_that_comes_at_once_is_refused(library, lines):
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET /media/a1 HTTP/1.1", *lines)
        assert await client.status() == 431


async def test_a_head_behind_a_request_that_is_answered_has_an_end(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        client.writer.write(b"GET /media/a1 HTTP/1.1\r\nx: ")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while True:
                    client.writer.write(b"a" * 10_000)
                    await client.writer.drain()
        await library.wait_until_waiting(0)


async def test_trailers_without_end_end_the_connection(library):
    async with running_web_server(library, password=PASSWORD) as (server, _), line(server) as client:
        client.say("POST /login HTTP/1.1", HOST, FORM, "transfer-encoding: chunked")
        client.writer.write(b"0\r\n")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while True:
                    client.writer.write(b"x: y\r\n" * 1000)
                    await client.writer.drain()


async def test_a_form_in_chunks_of_one_byte_is_read(library):
    body = f"password={PASSWORD}&next=/{'a' * 400}".encode()
    async with running_web_server(library, password=PASSWORD) as (server, _), line(server) as client:
        client.say("POST /login HTTP/1.1", HOST, FORM, "transfer-encoding: chunked")
        client.writer.write(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert await client.status() == 303


async def test_requests_sent_ahead_wait_for_the_one_before(library):
    """Only those of one piece are taken from the socket; `MAX_CONNECTIONS` times them fit into memory."""
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        for _number in range(1000):
            client.say("GET /media/a1 HTTP/1.1", HOST)
        await asyncio.wait_for(client.writer.drain(), MAX_WAIT_SECONDS)
        (connection,) = open_connections(server)
        assert len(connection._http.pipeline) < 100
        library.put("p1", PNG)
        assert {await client.status() for _ in range(1001)} == {200}


async def test_garbage_behind_a_request_is_not_answered_amid_its_answer(library):
    row = library.put("slow", b"", mime="video/mp4")
    os.truncate(library.file(row), LARGE)
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("GET /media/slow HTTP/1.1", HOST)
        await client.reader.readuntil(b"\r\n\r\n")
        client.say("garbage")
        rest = await client.over()
    assert len(rest) < LARGE
    assert not rest.strip(b"\0")


async def test_garbage_behind_a_request_ends_the_connection_only(large):
    async with running_web_server(large) as (server, http):
        async with line(server) as client:
            client.say("POST /login HTTP/1.1", HOST, "transfer-encoding: chunked")
            client.writer.write(b"zz\r\n")
            await client.over()
        async with line(server) as client:
            client.say("GET /media/large HTTP/1.1", HOST)
            await client.reader.readuntil(b"\r\n\r\n")
            client.say("garbage")
            client.writer.transport.abort()
        assert (await http.get("/media/a1")).status_code == 200


async def test_a_connection_serves_one_request_after_another(library):
    async with running_web_server(library) as (server, _), line(server) as client:
        for _ in range(3):
            client.say("GET /media/a1 HTTP/1.1", HOST)
        assert [await client.status() for _ in range(3)] == [200, 200, 200]


async def test_a_websocket_is_not_spoken(library):
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say(
            "GET /media/a1 HTTP/1.1",
            HOST,
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-key: x",
        )
        assert await client.status() == 200


async def test_a_client_that_goes_away_is_forgotten(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _):
        async with line(server) as client:
            client.say("GET /media/p1 HTTP/1.1", HOST)
            await library.wait_until_waiting(1)
        await library.wait_until_waiting(0)


async def test_a_download_that_is_broken_off_closes_its_file(large):
    async with running_web_server(large) as (server, http):
        for _ in range(20):
            async with line(server) as client:
                client.say("GET /media/large HTTP/1.1", HOST)
                await client.reader.readuntil(b"\r\n\r\n")
        await drained(server)
        assert not [file for file in psutil.Process().open_files() if file.path.startswith(str(large.folder))]
        assert (await http.get("/media/a1")).status_code == 200


async def drained(server):
    """Until nothing is under way."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while service(server)._state.tasks:
            await asyncio.wait(service(server)._state.tasks)


async def test_a_head_that_drips_is_not_waited_for(library, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.2)
    async with running_web_server(library) as (server, _), line(server) as client:
        over = asyncio.create_task(client.over())
        client.writer.write(b"GET /")
        while not over.done():
            client.writer.write(b"a")
            await asyncio.wait({over}, timeout=0.02)
        assert over.result() == b""


@pytest.mark.parametrize("begun", [b"", b"GET /media/a1 HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_a_connection_on_which_nobody_asks_ends(library, monkeypatch, begun):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.5)
    async with running_web_server(library) as (server, _), line(server) as client:
        client.writer.write(begun)
        answer = await client.over()
        assert answer.endswith(PNG) if begun else not answer


async def test_a_body_without_end_after_its_answer_ends_the_connection(library, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.3)
    async with running_web_server(library) as (server, _), line(server) as client:
        client.say("POST /nothing HTTP/1.1", HOST, f"content-length: {10**15}")
        assert await client.status() == 413
        piece, size = bytes(65536), 0
        before = psutil.Process().memory_info().rss
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while True:
                    client.writer.write(piece)
                    await client.writer.drain()
                    size += len(piece)
    assert psutil.Process().memory_info().rss - before < 100_000_000


async def test_a_client_that_takes_nothing_is_cut_off(large, monkeypatch):
    monkeypatch.setattr(http_limits, "WRITE_STALL_SECONDS", 0.3)
    async with running_web_server(large) as (server, _), line(server) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.say("GET /media/large HTTP/1.1", HOST)
        await _until_one_is_busy(server)
        await drained(server)
    assert open_connections(server) == []


async def _until_one_is_busy(server):
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not service(server)._state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)


async def test_a_slow_client_that_takes_a_little_all_the_time_gets_everything(library, monkeypatch):
    monkeypatch.setattr(http_limits, "WRITE_STALL_SECONDS", 0.5)
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.5)
    size = 3_000_000
    row = library.put("slow", b"", mime="video/mp4")
    os.truncate(library.file(row), size)
    async with running_web_server(library) as (server, _):
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            plain.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(plain, ("127.0.0.1", server.port))
            await loop.sock_sendall(plain, b"GET /media/slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
            came = b""
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while piece := await loop.sock_recv(plain, 60_000):
                    came += piece
                    await asyncio.sleep(0.02)  # the client's slowness, which is what is tested
    assert len(came.partition(b"\r\n\r\n")[2]) == size


async def test_who_comes_when_all_places_are_taken_by_idle_ones_is_served(library):
    async with running_web_server(library) as (server, http), contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(server)) for _ in range(3 * MAX_CONNECTIONS)]
        for client in lines[:MAX_CONNECTIONS]:
            assert await client.over() == b""
        assert (await http.get("/media/a1")).status_code == 200
        assert len(open_connections(server)) <= MAX_CONNECTIONS_PER_ADDRESS


async def crowd(server: WebServer, stack: contextlib.AsyncExitStack, library: FakeMediaLibrary) -> Line:
    """Takes all places, from several addresses; returns one of the connections."""
    library.put_row("p1", MediaState.PENDING)
    for number in range(MAX_CONNECTIONS):
        client = await stack.enter_async_context(line(server, f"127.0.0.{1 + number % 4}"))
        client.say("GET /media/p1 HTTP/1.1", HOST)
    await library.wait_until_waiting(MAX_CONNECTIONS)
    return client


async def test_who_comes_when_everybody_is_busy_is_told_so(library):
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as stack:
        client = await crowd(server, stack, library)
        async with line(server, "127.0.0.9") as late:
            late.say("GET /media/a1 HTTP/1.1", HOST)
            assert (await late.over()).startswith(b"HTTP/1.1 503 ")
        library.put("p1", PNG)
        assert await client.status() == 200


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_who_asks_for_the_health_is_answered_when_everybody_is_busy(library, path):
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as stack:
        await crowd(server, stack, library)
        for _ in range(3 * RESERVED_CONNECTIONS):  # those who ask for nothing make room
            await stack.enter_async_context(line(server, "127.0.0.9"))
        async with line(server, "127.0.0.9") as late:
            late.say(f"GET {path} HTTP/1.1", HOST)
            assert await late.status() == (200 if path == "/livez" else 503)
        assert len(open_connections(server)) <= MAX_CONNECTIONS + RESERVED_CONNECTIONS


async def test_one_address_does_not_take_the_places_of_others(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS):
            client = await stack.enter_async_context(line(server, "127.0.0.2"))
            client.say("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(MAX_CONNECTIONS_PER_ADDRESS)
        async with line(server, "127.0.0.3") as other:
            other.say("GET /media/a1 HTTP/1.1", HOST)
            assert await other.status() == 200


async def test_slow_logins_of_one_address_block_neither_another_one_nor_the_health(library):
    slow = ("POST /login HTTP/1.1", HOST, "content-length: 1000", FORM)
    async with (
        running_web_server(library, password=PASSWORD) as (server, _),
        contextlib.AsyncExitStack() as stack,
    ):
        for number in range(MAX_CONNECTIONS):
            client = await stack.enter_async_context(line(server, "127.0.0.2"))
            client.say(*slow)
            client.writer.write(b"password=")
            if number >= MAX_OPEN_FORMS:
                assert await client.status() == 429
        async with line(server, "127.0.0.2") as health:
            health.say("GET /livez HTTP/1.1", HOST)
            assert await health.status() == 200
        async with line(server, "127.0.0.3") as owner:
            body = f"password={PASSWORD}"
            owner.say("POST /login HTTP/1.1", HOST, f"content-length: {len(body)}", FORM)
            owner.writer.write(body.encode())
            assert await owner.status() == 303


async def test_the_form_of_who_must_wait_is_not_read(library):
    async with running_web_server(library, password=PASSWORD) as (server, _):
        for _ in range(FREE_ATTEMPTS):
            async with line(server) as guess:
                guess.say("POST /login HTTP/1.1", HOST, "content-length: 10", FORM)
                guess.writer.write(b"password=x")
                await guess.status()
        async with line(server) as client:
            client.say("POST /login HTTP/1.1", HOST, "content-length: 1000", FORM)
            assert await client.status() == 429  # and nothing of the form was sent


async def test_a_large_file_is_never_whole_in_memory(large):
    async with running_web_server(large) as (_, http):
        before, most, size = psutil.Process().memory_info().rss, 0, 0
        async with http.stream("GET", "/media/large") as answer:
            async for piece in answer.aiter_raw():
                size += len(piece)
                most = max(most, psutil.Process().memory_info().rss)
    assert size == LARGE
    assert most - before < 20_000_000


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
async def test_a_port_that_is_taken_is_said_with_its_cure(library, address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} on {address} is in use: choose another"):
            async with WebServer(options(host=address, port=port), [library]):
                pass


async def test_an_address_that_is_not_ours_is_said(library):
    with pytest.raises(CannotListen, match="cannot be had"):
        async with WebServer(options(host="192.0.2.1"), [library]):
            pass


async def test_on_ipv6_it_says_where_it_is(library):
    async with WebServer(options(host="::1"), [library]) as server:
        assert server.url == f"http://[::1]:{server.port}"


async def test_the_stop_lets_a_download_come_to_its_end_and_takes_no_more(large, monkeypatch):
    monkeypatch.setattr(service_module, "STOP_GRACE_SECONDS", MAX_WAIT_SECONDS)
    async with running_web_server(large) as (server, http):
        async with http.stream("GET", "/media/large") as answer:
            stopping = asyncio.create_task(server.stop())
            size = 0
            async for piece in answer.aiter_raw():
                size += len(piece)
            await stopping
        assert size == LARGE
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_the_stop_cuts_off_who_takes_too_long(large, monkeypatch):
    monkeypatch.setattr(service_module, "STOP_GRACE_SECONDS", 0.2)
    async with running_web_server(large) as (server, _), line(server) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.say("GET /media/large HTTP/1.1", HOST)
        await _until_one_is_busy(server)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await server.stop()
        assert service(server)._state.tasks == set()
        assert open_connections(server) == []


async def test_at_the_stop_who_waits_is_told_to_come_again(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), line(server) as waiting, line(server) as idle:
        waiting.say("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        await server.stop()
        assert await waiting.status() == 503
        assert await waiting.over() == b""
        assert await idle.over() == b""


async def test_an_end_without_a_stop_leaves_nothing_behind(large):
    async with running_web_server(large) as (server, _), line(server) as client:
        client.say("GET /media/large HTTP/1.1", HOST)
        await client.reader.readuntil(b"\r\n\r\n")
    assert not [file for file in psutil.Process().open_files() if file.path.startswith(str(large.folder))]


async def test_nothing_of_it_is_loaded_before_somebody_connects(large):
    """Most bridges are never looked at, and it takes 5 MB."""
    async with WebServer(options(), [large]) as server:
        assert server._service is None
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(_livez(server)) for _ in range(20)]
        assert {answer.result() for answer in answers} == {b"HTTP/1.1 200 OK"}
        assert server._service is not None


async def _livez(server: WebServer) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return line.rstrip()


async def test_a_server_that_nobody_has_connected_to_stops(large):
    async with WebServer(options(), [large]) as server:
        await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_server_that_is_just_being_loaded_stops(large, monkeypatch):
    loading = asyncio.Event()

    async def load(_function: object, _name: str) -> None:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "to_thread", load)
    async with WebServer(options(), [large]) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await loading.wait()
        await server.stop()
        writer.close()
