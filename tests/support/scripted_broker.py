"""A scripted MQTT broker, packet by packet, for what no real one does on demand. Shares no code with the client.

A script is a coroutine that gets a `Peer` for each connection in turn; when it returns the connection is
closed. What a script raises fails the test at the end of the `with`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.support.deadlines import MAX_WAIT_SECONDS

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(
    1, 12
)
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


@dataclass(frozen=True)
class Packet:
    """One packet from the client: its type, the lower half of its first byte, and the rest."""

    kind: int
    flags: int
    body: bytes

    @property
    def mid(self) -> int:
        """The packet id, of any packet but CONNECT and PUBLISH."""
        return int.from_bytes(self.body[:2], "big")

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.body[2 : 2 + self.mid].decode()

    @property
    def publish_mid(self) -> int:
        """The packet id of a PUBLISH at QoS 1."""
        at = 2 + self.mid
        return int.from_bytes(self.body[at : at + 2], "big")

    @property
    def level(self) -> int:
        """The protocol level of a CONNECT: 5, or 4 for 3.1.1."""
        return self.body[6]


class Peer:
    """One connection of a client."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_until_done: asyncio.Event
    ) -> None:
        self.reader, self.writer = reader, writer
        self._done = wait_until_done

    async def read(self, *kinds: int) -> Packet:
        """Reads the next packet, which must be one of `kinds` if some are named; pings are answered."""
        while True:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                first = (await self.reader.readexactly(1))[0]
                body = await self.reader.readexactly(await self._length())
            packet = Packet(first >> 4, first & 15, body)
            if packet.kind == PINGREQ and PINGREQ not in kinds:
                self.send(PINGRESP)
                continue
            assert not kinds or packet.kind in kinds, f"expected {kinds}, got {packet}"
            return packet

    async def _length(self) -> int:
        value = place = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            value |= (byte & 0x7F) << 7 * place
            place += 1
            if byte < 0x80:
                return value

    def reached(self) -> None:
        """Lets `ScriptedBroker.wait_until_done` return."""
        self._done.set()

    async def until_closed(self) -> list[Packet]:
        """Reads all further packets, up to DISCONNECT or the end of the connection.

        A script that calls it has done its work: `ScriptedBroker.wait_until_done` returns.
        """
        self._done.set()
        packets: list[Packet] = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not packets or packets[-1].kind != DISCONNECT:
                packets.append(await self.read())
        return packets

    def send(self, kind: int, body: bytes = b"", flags: int = 0) -> None:
        """Sends a packet."""
        self.raw(bytes((kind << 4 | flags,)) + number(len(body)) + body)

    def raw(self, data: bytes) -> None:
        """Sends bytes."""
        self.writer.write(data)

    async def accept(self, properties: bytes = b"", *, present: bool = False) -> Packet:
        """Reads the CONNECT and accepts it; returns the CONNECT."""
        connect = await self.read(CONNECT)
        v5 = number(len(properties)) + properties if connect.level == 5 else b""
        self.send(CONNACK, bytes((present, 0)) + v5)
        return connect

    async def refuse(self, code: int, properties: bytes = b"") -> Packet:
        """Reads the CONNECT and refuses it; returns the CONNECT."""
        connect = await self.read(CONNECT)
        v5 = number(len(properties)) + properties if connect.level == 5 else b""
        self.send(CONNACK, bytes((0, code)) + v5)
        return connect

    async def grant(self, *codes: int, v5: bool = True) -> Packet:
        """Reads the SUBSCRIBE and answers with these codes; returns it."""
        subscribe = await self.read(SUBSCRIBE)
        self.send(SUBACK, subscribe.body[:2] + (b"\0" if v5 else b"") + bytes(codes))
        return subscribe

    async def welcome(self, properties: bytes = b"", *, present: bool = False) -> Packet:
        """Accepts the CONNECT, and grants one filter at QoS 1; returns the CONNECT."""
        connect = await self.accept(properties, present=present)
        await self.grant(1, v5=connect.level == 5)
        return connect

    def acknowledge(self, publish: Packet, code: int | None = None) -> None:
        """Sends a PUBACK; one with a code has the form of MQTT 5."""
        mid = publish.publish_mid.to_bytes(2, "big")
        self.send(PUBACK, mid if code is None else mid + bytes((code,)))

    def deliver(
        self,
        topic: str | bytes,
        payload: bytes,
        mid: int,
        properties: bytes = b"",
        *,
        qos: int = 1,
        dup: bool = False,
        retain: bool = False,
    ) -> None:
        """Sends a PUBLISH in the form of MQTT 5."""
        name = topic.encode() if isinstance(topic, str) else topic
        packet_id = mid.to_bytes(2, "big") if qos else b""
        body = length_prefixed(name) + packet_id + number(len(properties)) + properties + payload
        self.send(PUBLISH, body, flags=qos << 1 | dup << 3 | retain)


Script = Callable[[Peer], Awaitable[object]]


@dataclass
class ScriptedBroker:
    """The broker; `connections` is the number of connections so far."""

    scripts: list[Script]
    port: int = 0
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _done: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    @property
    def url(self) -> str:
        """The address of the broker."""
        return f"mqtt://127.0.0.1:{self.port}"

    def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Runs the next script for a connection; the last one for all further ones."""
        if self._ended:
            writer.transport.abort()
            return
        self._writers.append(writer)
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        self._tasks.append(asyncio.create_task(self._play(script, reader, writer)))

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Peer(reader, writer, self._done))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 - it fails the test, at the end of the `with`
            self.errors.append(error)
            self._done.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._writers.remove(writer)  # asyncio fails to abort one that was closed while it still wrote

    async def wait_until_done(self) -> None:
        """Waits until a script has called `until_closed` or `reached`, or has failed."""
        await asyncio.wait_for(self._done.wait(), MAX_WAIT_SECONDS)
        self._done.clear()

    def reached(self) -> None:
        """Lets `wait_until_done` return."""
        self._done.set()

    async def end(self) -> None:
        """Cancels running scripts; raises the error of one that failed."""
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # a script that was cancelled before it began has closed nothing
        if self.errors:
            raise self.errors[0]


@contextlib.asynccontextmanager
async def scripted_broker(*scripts: Script, port: int = 0) -> AsyncIterator[ScriptedBroker]:
    """Runs a broker with these scripts, one for each connection, the last one for all further ones."""
    broker = ScriptedBroker(list(scripts))
    server = await asyncio.start_server(broker.handle_connection, "127.0.0.1", port)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        await broker.end()
        await server.wait_closed()


def number(value: int) -> bytes:
    """Returns a variable byte integer."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def length_prefixed(data: bytes | str) -> bytes:
    """Returns a string or binary data with its length in front."""
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(2, "big") + data


def receive_maximum(value: int) -> bytes:
    """Returns a property of CONNACK."""
    return b"\x21" + value.to_bytes(2, "big")


def packet_limit(value: int) -> bytes:
    """Returns a property of CONNACK."""
    return b"\x27" + value.to_bytes(4, "big")


def server_reference(text: str) -> bytes:
    """Returns a property of CONNACK and DISCONNECT."""
    return b"\x1c" + length_prefixed(text)


def reason_string(text: str) -> bytes:
    """Returns a property of many answers."""
    return b"\x1f" + length_prefixed(text)
