"""The network of the tests forwards, cuts and swallows the data of one machine and not of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.cluster.network import Network
from tests.support.deadlines import MAX_WAIT_SECONDS

A, B = "127.0.1.1", "127.0.1.2"
QUIET_TURNS = 20
"""Turns of the loop after which forwarded data has come."""


class Echo:
    """A server that sends back what it gets; `peers` are the addresses of its clients."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()


class Client:
    """A connection of a machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def echo_of(self, text: bytes) -> bytes:
        """Sends a text; returns what comes back, nothing if the connection has ended."""
        self._writer.write(text)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            try:
                return await self._reader.read(1000)
            except ConnectionError:
                return b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def network() -> AsyncIterator[tuple[Network, int, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    lines = Network([A, B])
    try:
        port = await lines.proxy_to("broker", server.sockets[0].getsockname()[1])
        yield lines, port, echo
    finally:
        await lines.close()
        server.close()


async def connect(port: int, machine: str) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(machine, 0)))


async def test_a_server_gets_the_address_of_the_machine_and_the_record_names_it():
    async with network() as (lines, port, echo):
        client = await connect(port, A)
        assert await client.echo_of(b"hello") == b"hello"
        client.close()
        to_own_address = Client(*await asyncio.open_connection(B, port))
        assert await to_own_address.echo_of(b"hello") == b"hello"
        assert echo.peers == [A, B]
        assert [
            (connection.machine, connection.server, connection.head) for connection in lines.connections
        ] == [
            (A, "broker", b"hello"),
            (B, "broker", b"hello"),
        ]
        to_own_address.close()


async def test_a_cut_ends_the_connections_of_one_machine_and_refuses_new_ones_until_it_is_healed():
    async with network() as (lines, port, _):
        client, other = await connect(port, A), await connect(port, B)
        assert [await peer.echo_of(b"1") for peer in (client, other)] == [b"1", b"1"]
        lines.cut(A, "broker")
        assert [await peer.echo_of(b"2") for peer in (client, other)] == [b"", b"2"]
        refused = await connect(port, A)
        assert await refused.echo_of(b"3") == b""
        lines.heal(A, "broker")
        again = await connect(port, A)
        assert await again.echo_of(b"4") == b"4"
        for peer in (client, other, refused, again):
            peer.close()


async def test_swallowed_data_is_lost_and_no_connection_ends():
    async with network() as (lines, port, _):
        client, other = await connect(port, A), await connect(port, B)
        assert [await peer.echo_of(b"1") for peer in (client, other)] == [b"1", b"1"]
        lines.swallow(A, "broker")
        waiting = asyncio.create_task(client.echo_of(b"2"))
        for _set_next_address in range(QUIET_TURNS):
            assert await other.echo_of(b"2") == b"2"
        assert not waiting.done()
        lines.heal(A, "broker")
        assert await waiting == b""
        again = await connect(port, A)
        assert await again.echo_of(b"3") == b"3"
        for peer in (client, other, again):
            peer.close()


@pytest.mark.parametrize("how", ["cut", "swallow"])
async def test_other_servers_of_the_machine_are_still_reached(how: str):
    async with network() as (lines, port, _):
        client = await connect(port, A)
        getattr(lines, how)(A, "database")
        assert await client.echo_of(b"1") == b"1"
        client.close()
