"""A TCP proxy in front of a server, which can cut connections at any byte in either direction, be slow, or be down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from enum import Enum

READ_BYTES = 65_536
TICK_SECONDS = 0.02
"""A slow proxy forwards its share of bytes once in this time."""


class Direction(Enum):
    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class TcpProxy:
    """Forwards bytes between clients and the server on `server_port`.

    `bytes_per_second` is None for a proxy that is not slow. `is_down`: connections are refused. `cuts` counts
    connections that were cut.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.bytes_per_second: float | None = None
        self.is_down = False
        self.cuts = 0
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._bytes_until_cut: dict[Direction, int] = {}
        self._cut = asyncio.Event()
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.is_down = True
        self.cut_now()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut_after(self, direction: Direction, count: int) -> None:
        """Cuts the connection that forwards the byte number `count` from now on in this direction."""
        self._bytes_until_cut[direction] = count
        self._cut.clear()

    async def was_cut(self, seconds: float) -> bool:
        """Waits for the cut; after `seconds` without one all connections are cut. Returns which it was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cut.wait()
            return True
        self._bytes_until_cut.clear()
        self.cut_now()
        return False

    def cut_now(self) -> None:
        """Cuts all connections."""
        for task in tuple(self._connections):
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = [writer]
        try:
            if not self.is_down:
                await self._pass(reader, writer, self._connections[task])
        except (OSError, asyncio.CancelledError):
            pass  # a cut, or the other end has closed
        finally:
            for writer in self._connections.pop(task):
                reset(writer)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, writers: list[asyncio.StreamWriter]
    ) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        writers.append(server_writer)
        tasks = [
            asyncio.ensure_future(self._copy(reader, server_writer, Direction.TO_SERVER)),
            asyncio.ensure_future(self._copy(server_reader, writer, Direction.TO_CLIENT)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not any(task.result() for task in done):
                await self._finish(writers)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, writers: list[asyncio.StreamWriter]) -> None:
        """Forwards what is left after one end has closed in order, and closes the other end."""
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.close()
        writers.clear()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> bool:
        """Returns whether the connection was cut; False at the end of the stream."""
        while data := await reader.read(READ_BYTES):
            async for piece in self._paced(data):
                allowed, is_cut = self._take(direction, len(piece))
                writer.write(piece[:allowed])
                await writer.drain()
                if is_cut:
                    return True
        return False

    async def _paced(self, data: bytes) -> AsyncIterator[bytes]:
        while data:
            rate = self.bytes_per_second
            size = len(data) if rate is None else max(1, int(rate * TICK_SECONDS))
            yield data[:size]
            data = data[size:]
            if rate is not None:
                await asyncio.sleep(TICK_SECONDS)

    def _take(self, direction: Direction, size: int) -> tuple[int, bool]:
        """Returns how many of `size` bytes pass, and whether the connection is cut behind them."""
        left = self._bytes_until_cut.pop(direction, None)
        if left is None:
            return size, False
        if size < left:
            self._bytes_until_cut[direction] = left - size
            return size, False
        self.cuts += 1
        self._cut.set()
        return left, True


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST, as a router does that does not know the connection."""
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
