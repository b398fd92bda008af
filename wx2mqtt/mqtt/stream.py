"""A socket with a buffer on each side: paho takes it for its socket, the event loop fills and flushes it.

paho reads single bytes and writes single packets; with the buffers many packets share one system call.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

CHUNK = 64 * 1024
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Raw(Protocol):
    """A non-blocking socket: plain, TLS, or paho's WebSocket around one of them."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytearray, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...


class Stream:
    """Times are of the monotonic clock: `heard_at` of the last byte in, `sent_at` of the last byte out.

    `drained_at` is when the kernel last took something of a backlog: a large packet on a slow line moves.
    `over` is true once the other side, or the line, has ended it; `error` says how if not in order.
    """

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._acknowledge = _quick_acknowledgement(raw)
        self._read = b""
        self._at = 0
        self.over = False
        self._unsent = bytearray()
        self._behind = False
        self.error: OSError | None = None
        self.closed = False
        self.heard_at = self.sent_at = self.drained_at = time.monotonic()

    # what paho calls

    def recv(self, size: int) -> bytes:
        """Bytes that `fill` has brought; the end and an error only after all of them."""
        start = self._at
        if start < len(self._read):
            data = self._read[start : start + size]
            self._at = start + len(data)
            return data
        if not (self.over or self.closed):
            raise BlockingIOError
        if self.error is not None:
            raise self.error
        return b""

    def send(self, data: bytes | bytearray) -> int:
        """Takes everything; `flush` hands it on."""
        self._unsent += data
        return len(data)

    def close(self) -> None:
        """Nothing more is given out, not even what was read already."""
        self.closed = True
        self._read = b""
        self._raw.close()

    def fileno(self) -> int:
        return self._raw.fileno()

    def setblocking(self, flag: bool) -> None:
        self._raw.setblocking(flag)

    # what the event loop calls

    @property
    def readable(self) -> bool:
        """Whether `recv` has something to give: bytes, the end, or an error."""
        return self._at < len(self._read) or self.over

    @property
    def behind(self) -> bool:
        """Whether the kernel has yet to take some of what was sent."""
        return bool(self._unsent)

    def fill(self) -> bool:
        """Take in what has arrived, when all before has been read. True: there may be more already."""
        try:
            data = self._raw.recv(CHUNK)
        except NOT_NOW:
            return self._pending()
        except OSError as error:
            self._end(error)
            return False
        if not data:
            self._end(None)
            return False
        self._acknowledge()
        self._read, self._at = data, 0
        self.heard_at = time.monotonic()
        return len(data) == CHUNK or self._pending()

    def flush(self) -> bool:
        """Hand on what was sent. True: nothing is left, or the connection is broken (and then readable)."""
        left = len(self._unsent)
        try:
            while self._unsent:
                taken = self._raw.send(self._unsent)
                if not taken:
                    break
                del self._unsent[:taken]
        except NOT_NOW:
            pass
        except OSError as error:
            self._unsent.clear()
            self._end(error)
        self._note_sent(left)
        return not self._unsent

    def _note_sent(self, before: int) -> None:
        if len(self._unsent) < before:
            self.sent_at = time.monotonic()
            if self._behind or self._unsent:
                self.drained_at = self.sent_at
        self._behind = bool(self._unsent)

    def _pending(self) -> bool:
        """TLS may hold bytes that the kernel no longer shows (paho #131)."""
        pending = getattr(self._raw, "pending", None)
        return pending is not None and pending() > 0

    def _end(self, error: OSError | None) -> None:
        self.over = True
        self.error = self.error or error


def _quick_acknowledgement(raw: Raw) -> Callable[[], object]:
    """Have the kernel acknowledge at once what was just read, where it can (Linux; it forgets each time).

    Else a broker that collects small packets, as mosquitto does unless told otherwise, holds a command back
    until the kernel has acknowledged the PUBACK before it, some 40 ms later.
    """
    if not isinstance(raw, socket.socket) or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return _nothing
    option = getattr(socket, "TCP_QUICKACK", None)
    return _nothing if option is None else partial(_set, raw, option)


def _set(raw: socket.socket, option: int) -> None:
    with suppress(OSError):  # the connection is gone; the next read says so
        raw.setsockopt(socket.IPPROTO_TCP, option, 1)


def _nothing() -> None:
    """Other systems have no such option."""
