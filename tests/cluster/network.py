"""The network between machines and servers: it can refuse or swallow all data of one machine.

A machine is an address of the loopback network: its connections come from that address, or go to it (those to
the database, since PostgreSQL's library binds no address).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.tcp_proxy import READ_BYTES, reset
from tests.support.broker import free_port

LOCAL = "127.0.0.1"
HEAD_BYTES = 400
"""The number of first bytes of a client that are kept: an MQTT CONNECT has the client id there."""


@dataclass(slots=True, kw_only=True)
class NetworkConnection:
    """One connection through the network; `head` has the first bytes of the client. Times are monotonic."""

    machine: str
    server: str
    began: float
    ended: float = math.inf
    head: bytes = b""


class Network:
    """All proxies of a run. `connections` is the record of their connections."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.machines = tuple(machines)
        self.connections: list[NetworkConnection] = []
        self._servers: list[asyncio.Server] = []
        self._refused: set[tuple[str, str]] = set()
        self._open: dict[tuple[str, str], asyncio.Event] = {}
        self._tasks: defaultdict[tuple[str, str], set[asyncio.Task[None]]] = defaultdict(set)

    async def proxy_to(self, server: str, port: int) -> int:
        """Opens a proxy to a server; returns its port. Servers with the same name are cut together."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept(server, port, reader, writer)

        while True:
            own = free_port()
            with contextlib.suppress(OSError):  # the port is free on one of the addresses only
                self._servers.append(await asyncio.start_server(accept, [LOCAL, *self.machines], own))
                return own

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self, machine: str, *servers: str) -> None:
        """Ends the connections of a machine to servers, and refuses new ones, until `heal`."""
        for server in servers:
            self._refused.add((machine, server))
            self._reset(machine, server)

    def swallow(self, machine: str, *servers: str) -> None:
        """Forwards nothing in either direction, and closes no connection, until `heal`."""
        for server in servers:
            self._is_open(machine, server).clear()

    def heal(self, machine: str, *servers: str) -> None:
        """Ends a `cut` or a `swallow`. What was swallowed is lost: its connections are reset."""
        for server in servers:
            self._refused.discard((machine, server))
            is_open = self._is_open(machine, server)
            if not is_open.is_set():
                self._reset(machine, server)
                is_open.set()

    def _reset(self, machine: str, server: str) -> None:
        for task in tuple(self._tasks[machine, server]):
            task.cancel()

    def _is_open(self, machine: str, server: str) -> asyncio.Event:
        if (machine, server) not in self._open:
            self._open[machine, server] = asyncio.Event()
            self._open[machine, server].set()
        return self._open[machine, server]

    def _machine_of(self, writer: asyncio.StreamWriter) -> str:
        addresses = [writer.get_extra_info(name)[0] for name in ("peername", "sockname")]
        return next((address for address in addresses if address in self.machines), LOCAL)

    async def _accept(
        self, server: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        machine = self._machine_of(writer)
        task = asyncio.current_task()
        assert task is not None
        writers = [writer]
        connection = NetworkConnection(machine=machine, server=server, began=time.monotonic())
        if (machine, server) in self._refused:
            reset(writer)
            return
        self.connections.append(connection)
        self._tasks[machine, server].add(task)
        try:
            await self._pass(connection, port, reader, writers)
        except (OSError, asyncio.CancelledError):
            pass  # a cut, or the other end has closed
        finally:
            connection.ended = time.monotonic()
            self._tasks[machine, server].discard(task)
            for writer in writers:
                reset(writer)

    async def _pass(
        self,
        connection: NetworkConnection,
        port: int,
        reader: asyncio.StreamReader,
        writers: list[asyncio.StreamWriter],
    ) -> None:
        await self._is_open(connection.machine, connection.server).wait()
        server_reader, server_writer = await asyncio.open_connection(
            LOCAL, port, local_addr=(connection.machine, 0)
        )
        (writer,) = writers
        writers.append(server_writer)
        tasks = [
            asyncio.ensure_future(self._copy(connection, reader, server_writer, is_client=True)),
            asyncio.ensure_future(self._copy(connection, server_reader, writer, is_client=False)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for writer in writers:
                with contextlib.suppress(OSError):
                    await writer.drain()
                    writer.close()
            writers.clear()
        finally:
            for is_open in tasks:
                is_open.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(
        self,
        connection: NetworkConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_client: bool,
    ) -> None:
        is_open = self._is_open(connection.machine, connection.server)
        while data := await reader.read(READ_BYTES):
            if is_client and len(connection.head) < HEAD_BYTES:
                connection.head += data[: HEAD_BYTES - len(connection.head)]
            await is_open.wait()
            writer.write(data)
            await writer.drain()
        await is_open.wait()  # the end of a stream is swallowed as well
