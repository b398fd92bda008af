"""The web server on a real socket: malformed requests, many connections, clients that are slow or gone, and its
stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
import structlog

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.web import PNG, FakeMediaLibrary, open_connections, options, running_web_server, service
from wx2mqtt.store.records import MediaState
from wx2mqtt.web import http_limits
from wx2mqtt.web import routes as service_module
from wx2mqtt.web import server as server_module
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
    """Gives requests more time after their connection, since a busy machine is slow; tests of the limit set their
    own.
    """
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 2 * MAX_WAIT_SECONDS)


@pytest.fixture
def large_media(library):
    """Returns a media store that also has a sparse file of 100 MB."""
    row = library.put("large", b"", mime="video/mp4")
    os.truncate(library.file(row), LARGE)
    return library


class RawConnection:
    """A connection over which a test sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send_lines(self, *lines: str) -> None:
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def status(self) -> int:
        """Reads the next answer completely; returns its status."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
            await self.reader.readexactly(length)
        return int(head.split()[1])

    async def read_to_end(self) -> bytes:
        """Returns all that comes until the server closes the connection."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""


@asynccontextmanager
async def connect(server: WebServer, address: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Yields a connection to the server from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
    try:
        yield RawConnection(reader, writer)
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


async def test_a_service_that_cannot_be_loaded_is_logged_and_tried_again_at_the_next_connection(
    library, monkeypatch
):
    monkeypatch.setattr(server_module, "SERVICE_MODULE", "wx2mqtt.web.broken")
    with structlog.testing.capture_logs() as lines:
        async with running_web_server(library) as (_, http):
            answer = await http.get("/media/a1")
            assert (answer.status_code, "its log says why" in answer.text) == (500, True)
            health = await http.get("/healthz")
            assert (health.status_code, health.json()["reasons"]) == (503, ["web_server_not_loaded"])
            assert (await http.get("/livez")).json() == {"alive": True}
            monkeypatch.setattr(server_module, "SERVICE_MODULE", "wx2mqtt.web.routes")
            assert (await http.get("/media/a1")).content == PNG
    failures = [line for line in lines if line["log_level"] == "error"]
    assert [line["event"] for line in failures] == ["web server cannot be loaded"]


async def test_a_client_that_sends_no_request_does_not_keep_a_broken_service_from_others(
    library, monkeypatch
):
    monkeypatch.setattr(server_module, "SERVICE_MODULE", "wx2mqtt.web.broken")
    monkeypatch.setattr(server_module, "FAILURE_HEAD_SECONDS", 0.01)
    async with running_web_server(library) as (server, http), connect(server) as silent:
        assert await silent.read_to_end() == b""
        assert (await http.get("/")).status_code == 500


@pytest.mark.parametrize(
    ("module", "status"), [("wx2mqtt.web.broken", 500), ("wx2mqtt.web.routes", 200)], ids=["broken", "whole"]
)
async def test_a_want_of_file_descriptors_at_the_first_connection_passes(
    library, monkeypatch, module, status
):
    failures = [OSError(errno.EMFILE, "Too many open files")] * 2
    duplicate = socket.socket.dup

    def fail_at_first(listener: socket.socket) -> socket.socket:
        if failures:
            raise failures.pop()
        return duplicate(listener)

    monkeypatch.setattr(server_module, "SERVICE_MODULE", module)
    monkeypatch.setattr(server_module, "FAILURE_PAUSE_SECONDS", 0.01)
    async with running_web_server(library) as (_, http):
        monkeypatch.setattr(socket.socket, "dup", fail_at_first)
        assert (await http.get("/media/a1")).status_code == status


@pytest.mark.parametrize("path", TRICKS)
async def test_no_trick_with_the_path_leads_anywhere(library, path):
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines(f"GET {path} HTTP/1.1", HOST)
        assert await client.status() == 404
    assert library.asked == []


async def test_a_target_with_a_name_is_read_as_its_path(library):
    """RFC 9112, 3.2.2 demands it; whether the name is ours says the Host header (`test_a_foreign_name_is_refused`)."""
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET http://localhost/media/a1 HTTP/1.1", HOST)
        assert await client.status() == 200


async def test_an_id_with_percent_escapes_is_still_an_id(library):
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET /media/%61%31 HTTP/1.1", HOST)
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
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines(*lines)
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
async def test_a_malformed_request_is_refused_and_the_connection_ends(library, lines):
    async with running_web_server(library) as (server, http):
        async with connect(server) as client:
            client.send_lines(*lines)
            assert (await client.read_to_end()).startswith(b"HTTP/1.1 400 ")
        assert (await http.get("/media/a1")).status_code == 200


@pytest.mark.parametrize("first_lines", ["GET /", f"GET /media/a1 HTTP/1.1\r\n{HOST}\r\nx: "])
async def test_a_head_without_end_ends_the_connection(library, first_lines):
    async with running_web_server(library) as (server, http):
        async with connect(server) as client:
            client.writer.write(first_lines.encode())
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    while not client.writer.is_closing():
                        client.writer.write(b"a" * 50_000)
                        await client.writer.drain()
        assert (await http.get("/media/a1")).status_code == 200
        assert library.asked == [("a1", 25.0)]


@pytest.mark.parametrize("lines", [(HOST, f"x: {'a' * MAX_HEAD_BYTES}"), (HOST, *["x: y"] * 7000)])
async def test_a_large_head_that_comes_at_once_is_refused(library, lines):
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET /media/a1 HTTP/1.1", *lines)
        assert await client.status() == 431


async def test_a_head_behind_a_request_that_is_answered_has_an_end(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        client.writer.write(b"GET /media/a1 HTTP/1.1\r\nx: ")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while True:
                    client.writer.write(b"a" * 10_000)
                    await client.writer.drain()
        await library.wait_until_waiting(0)


async def test_trailers_without_end_end_the_connection(library):
    async with running_web_server(library, password=PASSWORD) as (server, _), connect(server) as client:
        client.send_lines("POST /login HTTP/1.1", HOST, FORM, "transfer-encoding: chunked")
        client.writer.write(b"0\r\n")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while True:
                    client.writer.write(b"x: y\r\n" * 1000)
                    await client.writer.drain()


async def test_a_form_in_chunks_of_one_byte_is_read(library):
    body = f"password={PASSWORD}&next=/{'a' * 400}".encode()
    async with running_web_server(library, password=PASSWORD) as (server, _), connect(server) as client:
        client.send_lines("POST /login HTTP/1.1", HOST, FORM, "transfer-encoding: chunked")
        client.writer.write(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert await client.status() == 303


async def test_requests_sent_ahead_wait_for_the_one_before(library):
    """Only requests in one piece are read ahead; `MAX_CONNECTIONS` times them fit into memory."""
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        for _number in range(1000):
            client.send_lines("GET /media/a1 HTTP/1.1", HOST)
        await asyncio.wait_for(client.writer.drain(), MAX_WAIT_SECONDS)
        (connection,) = open_connections(server)
        assert len(connection._http.pipeline) < 100
        library.put("p1", PNG)
        assert {await client.status() for _ in range(1001)} == {200}


async def test_garbage_behind_a_request_is_not_answered_amid_its_answer(library):
    row = library.put("slow", b"", mime="video/mp4")
    os.truncate(library.file(row), LARGE)
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("GET /media/slow HTTP/1.1", HOST)
        await client.reader.readuntil(b"\r\n\r\n")
        client.send_lines("garbage")
        rest = await client.read_to_end()
    assert len(rest) < LARGE
    assert not rest.strip(b"\0")


async def test_garbage_behind_a_request_ends_the_connection_only(large_media):
    async with running_web_server(large_media) as (server, http):
        async with connect(server) as client:
            client.send_lines("POST /login HTTP/1.1", HOST, "transfer-encoding: chunked")
            client.writer.write(b"zz\r\n")
            await client.read_to_end()
        async with connect(server) as client:
            client.send_lines("GET /media/large HTTP/1.1", HOST)
            await client.reader.readuntil(b"\r\n\r\n")
            client.send_lines("garbage")
            client.writer.transport.abort()
        assert (await http.get("/media/a1")).status_code == 200


async def test_a_connection_serves_one_request_after_another(library):
    async with running_web_server(library) as (server, _), connect(server) as client:
        for _ in range(3):
            client.send_lines("GET /media/a1 HTTP/1.1", HOST)
        assert [await client.status() for _ in range(3)] == [200, 200, 200]


async def test_a_websocket_is_not_spoken(library):
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines(
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
        async with connect(server) as client:
            client.send_lines("GET /media/p1 HTTP/1.1", HOST)
            await library.wait_until_waiting(1)
        await library.wait_until_waiting(0)


async def test_a_download_that_is_broken_off_closes_its_file(large_media):
    async with running_web_server(large_media) as (server, http):
        for _ in range(20):
            async with connect(server) as client:
                client.send_lines("GET /media/large HTTP/1.1", HOST)
                await client.reader.readuntil(b"\r\n\r\n")
        await wait_until_idle(server)
        assert not [
            file for file in psutil.Process().open_files() if file.path.startswith(str(large_media.folder))
        ]
        assert (await http.get("/media/a1")).status_code == 200


async def wait_until_idle(server):
    """Waits until the server handles no request."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while service(server)._state.tasks:
            await asyncio.wait(service(server)._state.tasks)


async def test_a_slow_head_ends_the_connection(library, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.2)
    async with running_web_server(library) as (server, _), connect(server) as client:
        at_end = asyncio.create_task(client.read_to_end())
        client.writer.write(b"GET /")
        while not at_end.done():
            client.writer.write(b"a")
            await asyncio.wait({at_end}, timeout=0.02)
        assert at_end.result() == b""


@pytest.mark.parametrize("first_lines", [b"", b"GET /media/a1 HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_a_connection_on_which_nobody_asks_ends(library, monkeypatch, first_lines):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.5)
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.writer.write(first_lines)
        answer = await client.read_to_end()
        assert answer.endswith(PNG) if first_lines else not answer


async def test_a_body_without_end_after_its_answer_ends_the_connection(library, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_SECONDS", 0.3)
    async with running_web_server(library) as (server, _), connect(server) as client:
        client.send_lines("POST /nothing HTTP/1.1", HOST, f"content-length: {10**15}")
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


async def test_a_client_that_stops_reading_is_cut_off(large_media, monkeypatch):
    monkeypatch.setattr(http_limits, "WRITE_STALL_SECONDS", 0.3)
    async with running_web_server(large_media) as (server, _), connect(server) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send_lines("GET /media/large HTTP/1.1", HOST)
        await wait_until_busy(server)
        await wait_until_idle(server)
    assert open_connections(server) == []


async def wait_until_busy(server):
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not service(server)._state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)


async def test_a_slow_client_that_keeps_reading_gets_everything(library, monkeypatch):
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
            received = b""
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while piece := await loop.sock_recv(plain, 60_000):
                    received += piece
                    await asyncio.sleep(0.02)  # the client's slowness, which is what is tested
    assert len(received.partition(b"\r\n\r\n")[2]) == size


async def test_a_new_client_replaces_an_idle_connection(library):
    async with running_web_server(library) as (server, http), contextlib.AsyncExitStack() as connections:
        lines = [await connections.enter_async_context(connect(server)) for _ in range(3 * MAX_CONNECTIONS)]
        for client in lines[:MAX_CONNECTIONS]:
            assert await client.read_to_end() == b""
        assert (await http.get("/media/a1")).status_code == 200
        assert len(open_connections(server)) <= MAX_CONNECTIONS_PER_ADDRESS


async def take_all_places(
    server: WebServer, connections: contextlib.AsyncExitStack, library: FakeMediaLibrary
) -> RawConnection:
    """Uses all connections that the server allows, from several addresses; returns the last one."""
    library.put_row("p1", MediaState.PENDING)
    for number in range(MAX_CONNECTIONS):
        client = await connections.enter_async_context(connect(server, f"127.0.0.{1 + number % 4}"))
        client.send_lines("GET /media/p1 HTTP/1.1", HOST)
    await library.wait_until_waiting(MAX_CONNECTIONS)
    return client


async def test_a_new_client_is_refused_when_all_connections_are_busy(library):
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as connections:
        client = await take_all_places(server, connections, library)
        async with connect(server, "127.0.0.9") as new_client:
            new_client.send_lines("GET /media/a1 HTTP/1.1", HOST)
            assert (await new_client.read_to_end()).startswith(b"HTTP/1.1 503 ")
        library.put("p1", PNG)
        assert await client.status() == 200


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_a_health_request_is_answered_when_all_connections_are_busy(library, path):
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as connections:
        await take_all_places(server, connections, library)
        for _ in range(3 * RESERVED_CONNECTIONS):  # those who ask for nothing make room
            await connections.enter_async_context(connect(server, "127.0.0.9"))
        async with connect(server, "127.0.0.9") as new_client:
            new_client.send_lines(f"GET {path} HTTP/1.1", HOST)
            assert await new_client.status() == (200 if path == "/livez" else 503)
        assert len(open_connections(server)) <= MAX_CONNECTIONS + RESERVED_CONNECTIONS


async def test_one_address_cannot_use_all_connections(library):
    library.put_row("p1", MediaState.PENDING)
    async with running_web_server(library) as (server, _), contextlib.AsyncExitStack() as connections:
        for _ in range(2 * MAX_CONNECTIONS):
            client = await connections.enter_async_context(connect(server, "127.0.0.2"))
            client.send_lines("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(MAX_CONNECTIONS_PER_ADDRESS)
        async with connect(server, "127.0.0.3") as other:
            other.send_lines("GET /media/a1 HTTP/1.1", HOST)
            assert await other.status() == 200


async def test_slow_logins_of_one_address_block_neither_another_one_nor_the_health(library):
    slow = ("POST /login HTTP/1.1", HOST, "content-length: 1000", FORM)
    async with (
        running_web_server(library, password=PASSWORD) as (server, _),
        contextlib.AsyncExitStack() as connections,
    ):
        for number in range(MAX_CONNECTIONS):
            client = await connections.enter_async_context(connect(server, "127.0.0.2"))
            client.send_lines(*slow)
            client.writer.write(b"password=")
            if number >= MAX_OPEN_FORMS:
                assert await client.status() == 429
        async with connect(server, "127.0.0.2") as health:
            health.send_lines("GET /livez HTTP/1.1", HOST)
            assert await health.status() == 200
        async with connect(server, "127.0.0.3") as other_client:
            body = f"password={PASSWORD}"
            other_client.send_lines("POST /login HTTP/1.1", HOST, f"content-length: {len(body)}", FORM)
            other_client.writer.write(body.encode())
            assert await other_client.status() == 303


async def test_a_login_form_of_a_blocked_address_is_not_read(library):
    async with running_web_server(library, password=PASSWORD) as (server, _):
        for _ in range(FREE_ATTEMPTS):
            async with connect(server) as password:
                password.send_lines("POST /login HTTP/1.1", HOST, "content-length: 10", FORM)
                password.writer.write(b"password=x")
                await password.status()
        async with connect(server) as client:
            client.send_lines("POST /login HTTP/1.1", HOST, "content-length: 1000", FORM)
            assert await client.status() == 429  # and nothing of the form was sent


async def test_a_large_file_is_never_whole_in_memory(large_media):
    async with running_web_server(large_media) as (_, http):
        before, peak, size = psutil.Process().memory_info().rss, 0, 0
        async with http.stream("GET", "/media/large") as answer:
            async for piece in answer.aiter_raw():
                size += len(piece)
                peak = max(peak, psutil.Process().memory_info().rss)
    assert size == LARGE
    assert peak - before < 20_000_000


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
async def test_a_port_in_use_is_reported_with_its_cure(library, address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listening:
        listening.bind((address, 0))
        listening.listen()
        port = listening.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} on {address} is in use: choose another"):
            async with WebServer(options(host=address, port=port), [library]):
                pass


async def test_a_foreign_address_to_listen_on_is_reported(library):
    with pytest.raises(CannotListen, match="cannot be had"):
        async with WebServer(options(host="192.0.2.1"), [library]):
            pass


async def test_on_ipv6_the_server_reports_its_url(library):
    async with WebServer(options(host="::1"), [library]) as server:
        assert server.url == f"http://[::1]:{server.port}"


async def test_a_stop_lets_a_download_finish_and_accepts_no_new_connection(large_media, monkeypatch):
    monkeypatch.setattr(service_module, "STOP_GRACE_SECONDS", MAX_WAIT_SECONDS)
    async with running_web_server(large_media) as (server, http):
        async with http.stream("GET", "/media/large") as answer:
            stopping = asyncio.create_task(server.stop())
            size = 0
            async for piece in answer.aiter_raw():
                size += len(piece)
            await stopping
        assert size == LARGE
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_stop_cuts_off_a_download_that_takes_too_long(large_media, monkeypatch):
    monkeypatch.setattr(service_module, "STOP_GRACE_SECONDS", 0.2)
    async with running_web_server(large_media) as (server, _), connect(server) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send_lines("GET /media/large HTTP/1.1", HOST)
        await wait_until_busy(server)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await server.stop()
        assert service(server)._state.tasks == set()
        assert open_connections(server) == []


async def test_a_waiting_client_is_told_to_retry_at_a_stop(library):
    library.put_row("p1", MediaState.PENDING)
    async with (
        running_web_server(library) as (server, _),
        connect(server) as waiting,
        connect(server) as idle_connection,
    ):
        waiting.send_lines("GET /media/p1 HTTP/1.1", HOST)
        await library.wait_until_waiting(1)
        await server.stop()
        assert await waiting.status() == 503
        assert await waiting.read_to_end() == b""
        assert await idle_connection.read_to_end() == b""


async def test_an_abort_leaves_no_file_open(large_media):
    async with running_web_server(large_media) as (server, _), connect(server) as client:
        client.send_lines("GET /media/large HTTP/1.1", HOST)
        await client.reader.readuntil(b"\r\n\r\n")
    assert not [
        file for file in psutil.Process().open_files() if file.path.startswith(str(large_media.folder))
    ]


async def test_the_web_framework_is_not_imported_before_somebody_connects(large_media):
    """Most pages are never opened, and the libraries take 5 MB."""
    async with WebServer(options(), [large_media]) as server:
        assert server._service is None
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(_livez(server)) for _ in range(20)]
        assert {answer.result() for answer in answers} == {b"HTTP/1.1 200 OK"}
        assert server._service is not None


async def _livez(server: WebServer) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
    connect = await reader.readline()
    writer.close()
    return connect.rstrip()


async def test_a_server_that_nobody_has_connected_to_stops(large_media):
    async with WebServer(options(), [large_media]) as server:
        await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_server_that_is_just_being_loaded_stops(large_media, monkeypatch):
    loading = asyncio.Event()

    async def load(_function: object, _name: str) -> None:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "to_thread", load)
    async with WebServer(options(), [large_media]) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await loading.wait()
        await server.stop()
        writer.close()
