"""A line passes bytes until it is cut, and is cut at exactly the byte that was named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.chaos.line import Direction, Line
from tests.support.deadlines import MAX_WAIT_SECONDS


class Echo:
    """A server that sends back what it gets; `received` is all of it, `ended` is set when a client is gone."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                self.received += data
                writer.write(data)
        writer.transport.abort()
        self.ended.set()


@contextlib.asynccontextmanager
async def line_to_echo() -> AsyncIterator[tuple[Line, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    line = Line(server.sockets[0].getsockname()[1])
    await line.open()
    try:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            yield line, echo
    finally:
        await line.close()
        server.close()


@contextlib.asynccontextmanager
async def client_of(line: Line) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Returns what still comes before the connection is cut."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1000):
            data += piece
    return data


async def test_all_bytes_pass_and_an_orderly_end_is_passed_on():
    async with line_to_echo() as (line, echo), client_of(line) as (reader, writer):
        writer.write(b"x" * 100_000)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.close()
        await echo.ended.wait()
        assert line.cuts == 0


@pytest.mark.parametrize("count", [0, 1, 7, 10])
async def test_a_cut_on_the_way_to_the_server_lets_exactly_so_many_bytes_pass(count: int):
    async with line_to_echo() as (line, echo), client_of(line) as (reader, writer):
        line.cut_after(Direction.TO_SERVER, count)
        writer.write(b"0123456789")
        await rest(reader)
        assert await line.was_cut(MAX_WAIT_SECONDS)
        await echo.ended.wait()
        assert echo.received == b"0123456789"[:count]


async def test_a_cut_on_the_way_to_the_client_comes_after_the_server_has_got_everything():
    async with line_to_echo() as (line, echo), client_of(line) as (reader, writer):
        line.cut_after(Direction.TO_CLIENT, 4)
        writer.write(b"0123456789")
        assert await rest(reader) == b"0123"
        await echo.ended.wait()
        assert echo.received == b"0123456789"


async def test_a_line_that_is_down_refuses_and_passes_again_afterwards():
    async with line_to_echo() as (line, _):
        line.is_down = True
        async with client_of(line) as (reader, _):
            assert await rest(reader) == b""
        line.is_down = False
        async with client_of(line) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            line.cut_now()
            assert await rest(reader) == b""


async def test_a_slow_line_passes_everything_in_small_pieces():
    async with line_to_echo() as (line, _), client_of(line) as (reader, writer):
        line.bytes_per_second = 100.0  # two bytes a tick
        writer.write(b"slow")
        assert await reader.read(1000) == b"sl"
        assert await reader.readexactly(2) == b"ow"
