"""A web server that serves files, and writes any bytes that a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Script = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that answers each request with its script. `requests` has the heads of the requests."""

    def __init__(self, script: Script, url: str) -> None:
        self.script = script
        self.url = url
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            await self.script(head, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has disconnected, or the test has ended
        finally:
            writer.close()

    def header(self, name: str) -> str:
        """Returns a header of the last request; empty without it."""
        lines = self.requests[-1].decode().split("\r\n")
        return next((line.partition(": ")[2] for line in lines if line.lower().startswith(f"{name}: ")), "")


@asynccontextmanager
async def server(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    made = Server(script, "")
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    async with listening:
        yield made


def says(*parts: bytes) -> Script:
    async def script(_head: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return script


def ok(body: bytes, *headers: bytes) -> Script:
    length = b"Content-Length: %d" % len(body)
    return says(b"\r\n".join([b"HTTP/1.1 200 OK", length, *headers, b"", body]))


def leads(location: str, status: int = 302) -> Script:
    head = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return says(head.encode())
