"""An HTTP proxy for CONNECT only, which connects to one port of this machine whatever host is requested."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Tunnel:
    """The proxy; `hosts` are the names that were requested, in order."""

    def __init__(self, port: int) -> None:
        self.hosts: list[str] = []
        self.url = ""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accepts a client."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            assert method == "CONNECT", head
            self.hosts.append(target.rpartition(":")[0])
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            tasks = [
                asyncio.create_task(_copy(reader, server_writer)),
                asyncio.create_task(_copy(server_reader, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server_writer.close()
        writer.close()

    async def end(self) -> None:
        """Cuts all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def tunnel(port: int) -> AsyncIterator[Tunnel]:
    """Runs a proxy that connects to `port`."""
    made = Tunnel(port)
    server = await asyncio.start_server(made.handle_connection, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.end()
