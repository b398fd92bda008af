"""The proxy forwards bytes until a cut, which is at exactly the byte that was named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.chaos.tcp_proxy import Direction, TcpProxy
from tests.support.deadlines import MAX_WAIT_SECONDS


class Echo:
    """A server that sends back what it gets; `received` is all of it, `ended` is set when a client has disconnected."""

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
async def proxy_to_echo() -> AsyncIterator[tuple[TcpProxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = TcpProxy(server.sockets[0].getsockname()[1])
    await proxy.open()
    try:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            yield proxy, echo
    finally:
        await proxy.close()
        server.close()


@contextlib.asynccontextmanager
async def client_of(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Returns what comes before the connection is cut."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1000):
            data += piece
    return data


async def test_all_bytes_and_an_orderly_end_are_forwarded():
    async with proxy_to_echo() as (proxy, echo), client_of(proxy) as (reader, writer):
        writer.write(b"x" * 100_000)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.close()
        await echo.ended.wait()
        assert proxy.cuts == 0


@pytest.mark.parametrize("count", [0, 1, 7, 10])
async def test_a_cut_towards_the_server_forwards_exactly_so_many_bytes(count: int):
    async with proxy_to_echo() as (proxy, echo), client_of(proxy) as (reader, writer):
        proxy.cut_after(Direction.TO_SERVER, count)
        writer.write(b"0123456789")
        await read_to_end(reader)
        assert await proxy.was_cut(MAX_WAIT_SECONDS)
        await echo.ended.wait()
        assert echo.received == b"0123456789"[:count]


async def test_a_cut_towards_the_client_comes_after_the_server_has_got_everything():
    async with proxy_to_echo() as (proxy, echo), client_of(proxy) as (reader, writer):
        proxy.cut_after(Direction.TO_CLIENT, 4)
        writer.write(b"0123456789")
        assert await read_to_end(reader) == b"0123"
        await echo.ended.wait()
        assert echo.received == b"0123456789"


async def test_a_proxy_that_is_down_refuses_connections_and_forwards_again_afterwards():
    async with proxy_to_echo() as (proxy, _):
        proxy.is_down = True
        async with client_of(proxy) as (reader, _):
            assert await read_to_end(reader) == b""
        proxy.is_down = False
        async with client_of(proxy) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            proxy.cut_now()
            assert await read_to_end(reader) == b""


async def test_a_slow_proxy_forwards_everything_in_small_pieces():
    async with proxy_to_echo() as (proxy, _), client_of(proxy) as (reader, writer):
        proxy.bytes_per_second = 100.0  # two bytes a tick
        writer.write(b"slow")
        assert await reader.read(1000) == b"sl"
        assert await reader.readexactly(2) == b"ow"
