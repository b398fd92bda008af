"""The network between machines and servers: it can be cut, or swallow everything, for one machine at a time.

A machine is an address of the loopback network: its connections come from there, or go to there (those to the
database, since PostgreSQL's library binds no address).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.line import READ_BYTES, reset
from tests.support.broker import free_port

LOCAL = "127.0.0.1"
HEAD_BYTES = 400
"""So much of the first bytes of a client is kept: an MQTT CONNECT names its client there."""


@dataclass(slots=True, kw_only=True)
class Passage:
    """One connection through the network; `head` is what the client said first. Times are monotonic."""

    machine: str
    server: str
    began: float
    ended: float = math.inf
    head: bytes = b""


class Network:
    """All lines of a run. `passages` is the record of their connections."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.machines = tuple(machines)
        self.passages: list[Passage] = []
        self._servers: list[asyncio.Server] = []
        self._refused: set[tuple[str, str]] = set()
        self._open: dict[tuple[str, str], asyncio.Event] = {}
        self._tasks: defaultdict[tuple[str, str], set[asyncio.Task[None]]] = defaultdict(set)

    async def line_to(self, server: str, port: int) -> int:
        """Returns the port of a line to a server; `server` is the name of all that is cut together."""

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
        """Passes nothing on in either direction, and ends nothing, until `heal`."""
        for server in servers:
            self._way(machine, server).clear()

    def heal(self, machine: str, *servers: str) -> None:
        """Ends a `cut` or a `swallow`. What was swallowed is lost: its connections are reset."""
        for server in servers:
            self._refused.discard((machine, server))
            way = self._way(machine, server)
            if not way.is_set():
                self._reset(machine, server)
                way.set()

    def _reset(self, machine: str, server: str) -> None:
        for task in tuple(self._tasks[machine, server]):
            task.cancel()

    def _way(self, machine: str, server: str) -> asyncio.Event:
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
        ends = [writer]
        passage = Passage(machine=machine, server=server, began=time.monotonic())
        if (machine, server) in self._refused:
            reset(writer)
            return
        self.passages.append(passage)
        self._tasks[machine, server].add(task)
        try:
            await self._pass(passage, port, reader, ends)
        except (OSError, asyncio.CancelledError):
            pass  # a cut, or an end that is gone
        finally:
            passage.ended = time.monotonic()
            self._tasks[machine, server].discard(task)
            for end in ends:
                reset(end)

    async def _pass(
        self, passage: Passage, port: int, reader: asyncio.StreamReader, ends: list[asyncio.StreamWriter]
    ) -> None:
        await self._way(passage.machine, passage.server).wait()
        there_reader, there_writer = await asyncio.open_connection(
            LOCAL, port, local_addr=(passage.machine, 0)
        )
        (writer,) = ends
        ends.append(there_writer)
        ways = [
            asyncio.ensure_future(self._copy(passage, reader, there_writer, is_client=True)),
            asyncio.ensure_future(self._copy(passage, there_reader, writer, is_client=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                with contextlib.suppress(OSError):
                    await end.drain()
                    end.close()
            ends.clear()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(
        self,
        passage: Passage,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_client: bool,
    ) -> None:
        way = self._way(passage.machine, passage.server)
        while data := await reader.read(READ_BYTES):
            if is_client and len(passage.head) < HEAD_BYTES:
                passage.head += data[: HEAD_BYTES - len(passage.head)]
            await way.wait()
            writer.write(data)
            await writer.drain()
        await way.wait()  # the end of a stream is swallowed as well
