"""A broker that ignores Retain Handling: mosquitto behind a proxy that asks it for all retained messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

SUBSCRIBE = 8
RETAIN_HANDLING_BITS = 0x30


class RedeliveringBroker:
    """Passes packets on, and takes the Retain Handling out of each SUBSCRIBE of MQTT 5."""

    def __init__(self, broker: int) -> None:
        self.port = 0
        self._broker = broker
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker)
            tasks = [
                asyncio.create_task(_forward(reader, broker_writer)),
                asyncio.create_task(_copy(broker_reader, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            broker_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readexactly(1)
        while not head[1:] or head[-1] & 0x80:
            head += await reader.readexactly(1)
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
        body = await reader.readexactly(size)
        writer.write(head + (_without_retain_handling(body) if head[0] >> 4 == SUBSCRIBE else body))


def _without_retain_handling(body: bytes) -> bytes:
    """Returns the body of a SUBSCRIBE without Retain Handling.

    The body is one of MQTT 5 without properties: packet id, 0, and filters with their options.
    """
    changed, position = bytearray(body), 3
    while position < len(body):
        position += 2 + int.from_bytes(body[position : position + 2], "big")
        changed[position] &= ~RETAIN_HANDLING_BITS
        position += 1
    return bytes(changed)


@contextlib.asynccontextmanager
async def redelivering_broker(broker: int) -> AsyncIterator[RedeliveringBroker]:
    """Runs the proxy in front of the broker on this port."""
    proxy = RedeliveringBroker(broker)
    server = await asyncio.start_server(proxy.handle_connection, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(proxy._tasks):
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
