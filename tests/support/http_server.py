"""A scripted HTTP server, byte by byte, for what no real one does on demand; and the transport that meets it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trustme

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.clock import Lease
from wx2mqtt.wechat.aiohttp_transport import AiohttpTransport, HttpRequest, HttpResponse, HttpTransport

HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWER = HEAD + b"Content-Length: 2\r\n\r\nok"


# Within so many turns of the event loop the server has the last connection of a client that has given up.
# asyncio leaves one open that it accepts while the server closes.
TURNS_TO_ACCEPT = 5

# A wait that a test is about; the others are bounded by `MAX_WAIT_SECONDS`.
SHORT_SECONDS = 0.05

# Of a long body.
PIECE_BYTES = 1 << 20


class Peer:
    """One connection as the server sees it."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Reads a request whole, and returns it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        body = await self.reader.readexactly(int(length.split(b"\r\n")[0])) if length else b""
        self._server.requests.append(head + body)
        return head + body

    async def say(self, *pieces: bytes) -> None:
        """Sends each piece for itself."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self, *pieces: bytes) -> None:
        """Reads a request and answers it."""
        await self.request()
        await self.say(*(pieces or (ANSWER,)))

    async def closed(self) -> None:
        """Waits until the client has closed the connection, whatever it says until then."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()

    def reset(self) -> None:
        """Ends the connection with a RST."""
        line: socket.socket = self.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Runs a script for each connection in turn, the last one for all further ones; then closes it.

    An error in a script fails the test.
    """

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self._scripts = scripts
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def run(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=context)
        scheme, name = ("http", "127.0.0.1") if context is None else ("https", "localhost")
        self.url = f"{scheme}://{name}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            for _ in range(TURNS_TO_ACCEPT):
                await asyncio.sleep(0)
            server.close()
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                if not writer.is_closing():
                    writer.transport.abort()
            await asyncio.sleep(0)
        assert [error for error in results if isinstance(error, Exception)] == []

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        self._writers.append(writer)
        self._tasks.add(asyncio.create_task(self._serve(script, Peer(self, reader, writer))))

    async def _serve(self, script: Script, peer: Peer) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(peer)
        peer.writer.close()


async def answers(peer: Peer) -> None:
    """Answers all requests of a connection."""
    while True:
        await peer.answer()


async def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds that no event tells."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)


async def hangs(peer: Peer) -> None:
    """Reads a request and says nothing until the client gives up."""
    await peer.request()
    await peer.closed()


def says(*pieces: bytes) -> Script:
    """Answers one request with these bytes, and then the connection ends."""

    async def script(peer: Peer) -> None:
        await peer.answer(*pieces)

    return script


def make_transport(
    context: ssl.SSLContext | None = None,
    *,
    connections: int = 20,
    keep_alive: float = 60.0,
    lease: Lease | None = None,
    uses_proxies: bool = False,
) -> AiohttpTransport:
    return AiohttpTransport(
        context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        lease or Lease(),
        uses_proxies=uses_proxies,
        max_connections=connections,
        keep_alive_seconds=keep_alive,
    )


@asynccontextmanager
async def opened(transport: HttpTransport) -> AsyncIterator[HttpTransport]:
    try:
        yield transport
    finally:
        await transport.close()


def request_to(
    url: str,
    body: bytes | AsyncIterable[bytes] | None = b"{}",
    *,
    idle_seconds: float = MAX_WAIT_SECONDS,
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    given = {"User-Agent": "Mozilla/5.0", "Accept-Encoding": "gzip", "Cookie": "a=1; b=2", **(headers or {})}
    return HttpRequest(url=url, headers=given, body=body, idle_seconds=idle_seconds)


async def ask(
    transport: HttpTransport, url: str, body: bytes | None = b"{}", *, idle_seconds: float = MAX_WAIT_SECONDS
) -> tuple[int, bytes]:
    """Makes one exchange."""
    return await exchange(transport, request_to(url, body, idle_seconds=idle_seconds))


async def exchange(transport: HttpTransport, request: HttpRequest) -> tuple[int, bytes]:
    """Returns the status and the body of the answer."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        response = await transport.send(request)
        try:
            return response.status, await read(response)
        finally:
            response.close()


async def read(response: HttpResponse) -> bytes:
    return b"".join([piece async for piece in response.chunks()])


def in_pieces(url: str, size: int, *, idle_seconds: float = MAX_WAIT_SECONDS) -> HttpRequest:
    """Returns a request with a body of so many bytes, in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, PIECE_BYTES):
            yield b"x" * min(PIECE_BYTES, size - start)

    headers = {"Content-Length": str(size)}
    return request_to(url, pieces(), idle_seconds=idle_seconds, headers=headers)


def tls_contexts(name: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Returns the contexts of a server with a certificate for `name`, and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
