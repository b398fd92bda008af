"""A proxy between a client and its broker that cuts connections where a test says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable


class CuttingProxy:
    """Forwards bytes, and resets each connection after as many bytes as `bytes_until_cut` returns.

    What the client wrote before the cut may or may not have reached the broker, as on a real network.
    """

    def __init__(self, broker: int, bytes_until_cut: Callable[[], float]) -> None:
        self.port = 0
        self.cuts = 0
        self._broker = broker
        self._bytes_until_cut = bytes_until_cut
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = False

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://127.0.0.1:{self.port}"

    def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accepts a connection."""
        self._writers.append(writer)
        if self._ended:
            _reset(writer)
            return
        task = asyncio.create_task(self._pass(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker)
            self._writers.append(broker_writer)
            left = [self._bytes_until_cut()]
            tasks = [
                asyncio.create_task(self._copy(*streams, left))
                for streams in ((reader, broker_writer), (broker_reader, writer))
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, broker_writer):
                _reset(end)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[float]
    ) -> None:
        while data := await reader.read(4096):
            writer.write(data[: max(0, int(min(left[0], len(data))))])
            left[0] -= len(data)
            if left[0] <= 0:
                self.cuts += 1
                return

    async def end(self) -> None:
        """Cuts all open connections."""
        self._ended = True
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # also of tasks that were cancelled before they began


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def cutting_proxy(broker: int, bytes_until_cut: Callable[[], float]) -> AsyncIterator[CuttingProxy]:
    """Runs a proxy in front of the broker on this port."""
    connection = CuttingProxy(broker, bytes_until_cut)
    server = await asyncio.start_server(connection.handle_connection, "127.0.0.1", 0)
    connection.port = server.sockets[0].getsockname()[1]
    try:
        yield connection
    finally:
        server.close()
        await connection.end()
        await server.wait_closed()
