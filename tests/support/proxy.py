"""A line between a client and its broker that breaks where the test says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable


class Proxy:
    """Passes bytes on; each connection is cut, without a farewell, after so many bytes as `life` gives.

    What the client wrote before the cut may or may not have reached the broker, as on a real line.
    """

    def __init__(self, broker: int, life: Callable[[], float]) -> None:
        self.port = 0
        self.cuts = 0
        self._broker = broker
        self._life = life
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = False

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://127.0.0.1:{self.port}"

    def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection."""
        self._writers.append(writer)
        if self._ended:
            _reset(writer)
            return
        task = asyncio.create_task(self._pass(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._broker)
            self._writers.append(back)
            left = [self._life()]
            ways = [asyncio.create_task(self._copy(*way, left)) for way in ((reader, back), (there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, back):
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
        """Cut what is left."""
        self._ended = True
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # also of what was broken off before it began


def _reset(writer: asyncio.StreamWriter) -> None:
    line: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def proxy(broker: int, life: Callable[[], float]) -> AsyncIterator[Proxy]:
    """A running proxy before the broker on this port."""
    line = Proxy(broker, life)
    server = await asyncio.start_server(line.handle_connection, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await line.end()
        await server.wait_closed()
