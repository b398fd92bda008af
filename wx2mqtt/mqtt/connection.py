"""One connection on the event loop: its socket read and written in whole chunks, paho fed from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import structlog

from wx2mqtt.apart import apart
from wx2mqtt.mqtt.attempts import Attempt
from wx2mqtt.mqtt.opening import is_near, open_socket, resolves_near
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.packets import DISCONNECT, PINGREQ, short_packet
from wx2mqtt.mqtt.stream import Raw, Stream
from wx2mqtt.mqtt.window import place
from wx2mqtt.mqtt.wire import Hears, Wire, web_socket

log = structlog.get_logger(__name__)

ROUNDS = 8
"""Chunks that are read in one turn of the loop; then others have theirs."""


class Connection:
    """`open` it once; it tells `hears` the rest. All but the connecting runs on the loop's own thread.

    `near` says that the broker is on this machine or in a private network.
    """

    def __init__(self, options: Options, attempt: Attempt, hears: Hears) -> None:
        self.near = False
        self._options = options
        self._address = attempt.address
        self._hears = hears
        self._loop = asyncio.get_running_loop()
        self._stream: Stream | None = None
        self._attached = self._flushing = self._writing = False
        self._listening = True
        self._wire = Wire(options, attempt, hears, self._open_stream)
        self._wire.on_socket_register_write = lambda *_: self._flush_soon()
        self._wire.on_socket_close = lambda *_: self._detach()

    @property
    def stream(self) -> Stream:
        """There is one once `open` has returned."""
        assert self._stream is not None
        return self._stream

    async def open(self) -> None:
        """Connect and send CONNECT. Raises OSError; if it is cancelled nothing stays open."""
        try:
            await apart(lambda: self._wire.start(self._options, self._address), undo=self.close)
        except OSError:  # a certificate that is refused is both
            raise
        except ValueError as error:  # from ssl and idna
            raise OSError(0, "the host name is not valid") from error
        self._attached = self._listening = True
        self._loop.add_reader(self.stream.fileno(), self._readable)
        self._flush()

    def publish(self, topic: str, payload: bytes, *, retain: bool, properties: bytes) -> int:
        """As `Wire.send_publish`."""
        return self._wire.send_publish(topic, payload, retain=retain, properties=properties)

    def subscribe(self, filters: Sequence[str], *, everything: bool = False) -> int:
        """As `Wire.send_subscribe`."""
        return self._wire.send_subscribe(filters, everything=everything)

    def send(self, packet: bytes) -> None:
        """A packet of our own making, such as an acknowledgement."""
        if not self.stream.closed:
            self.stream.send(packet)
            self._flush_soon()

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.send(short_packet(PINGREQ))

    def listen(self, *, on: bool) -> None:
        """Read what the broker sends, or leave it in the kernel; what was read in part stays as it is."""
        if on == self._listening or not self._attached:
            return
        self._listening = on
        if on:
            self.stream.heard_at = time.monotonic()  # the silence was ours
            self._loop.add_reader(self.stream.fileno(), self._readable)
            self._loop.call_soon(self._readable)  # a part of it may be here already
        else:
            self._loop.remove_reader(self.stream.fileno())

    def say_goodbye(self) -> None:
        """DISCONNECT: the session stays, the will is dropped; then the broker closes."""
        self._flush()  # what paho still holds goes before it
        self.send(short_packet(DISCONNECT))
        self._flush()

    def close(self) -> None:
        """Close without a word. Does no harm when it is closed already."""
        self._detach()
        if self._stream is not None:
            self._stream.close()

    # in a thread of its own

    def _open_stream(self) -> Stream:
        try:
            plain = open_socket(self._address, self._options.tls, self._options.keepalive * 1.25)
        except OSError:
            self.near = resolves_near(self._address)
            raise
        raw = cast("Raw", plain)
        try:
            self.near = is_near(plain)  # raises when the broker has hung up already
            self._stream = Stream(web_socket(raw, self._address) if self._address.websocket else raw)
        except BaseException:
            plain.close()
            raise
        return self._stream

    # on the loop

    def _readable(self) -> None:
        if self.stream.closed or not self._listening:
            return
        try:
            self._take_in()
        except Exception as error:  # noqa: BLE001 - what escapes paho ends this connection, never the loop
            self._break_off(error)

    def _take_in(self) -> None:
        stream = self.stream
        for _ in range(ROUNDS):
            more = stream.readable or stream.fill()
            while stream.readable and not stream.closed and self._listening:
                self._wire.loop_read()
            if stream.closed or not more or not self._listening:
                return
        self._loop.call_soon(self._readable)

    def _flush_soon(self) -> None:
        if self._attached and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._attached:
            return
        try:
            self._wire.loop_write()
            done = self.stream.flush()
        except Exception as error:  # noqa: BLE001 - as in `_readable`
            self._break_off(error)
            return
        self._watch_writing(not done)
        if self.stream.error is not None:
            self._readable()  # what the broker said before the line broke may be waiting there

    def _watch_writing(self, wanted: bool) -> None:
        if wanted == self._writing:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self.stream.fileno(), self._flush)
        else:
            self._loop.remove_writer(self.stream.fileno())

    def _detach(self) -> None:
        if self._attached:
            self._attached = False
            self._loop.remove_reader(self.stream.fileno())
            self._loop.remove_writer(self.stream.fileno())

    def _break_off(self, error: Exception) -> None:
        log.error("broker sent what the library cannot take", error=type(error).__name__, at=place(error))
        self.close()
        self._hears.closed(-1, "", "")
