"""The buffered socket loses no byte, and reports the end only after all bytes before it."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.mqtt.sockets import READ_CHUNK_BYTES, BufferedSocket


class ScriptedSocket:
    """A socket whose `recv` returns `received`, and whose `send` accepts so many bytes; an error among them is raised."""

    def __init__(self, received=(), accepted_sizes=(), pending=0):
        self.received = list(received)
        self.accepted_sizes = list(accepted_sizes)
        self.sent = b""
        self.closed = False
        self._pending = pending

    def recv(self, size):
        if not self.received:
            raise BlockingIOError
        item = self.received.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def send(self, data):
        item = self.accepted_sizes.pop(0) if self.accepted_sizes else len(data)
        if isinstance(item, Exception):
            raise item
        self.sent += bytes(data[:item])
        return min(item, len(data))

    def pending(self):
        return self._pending

    def close(self):
        self.closed = True

    def fileno(self):
        return 7

    def setblocking(self, flag):
        pass


def buffered(raw: Any) -> BufferedSocket:
    return BufferedSocket(raw)


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=5))
def test_what_arrived_is_returned_chunk_by_chunk(chunks):
    stream = buffered(ScriptedSocket(chunks))
    assert [stream.receive() for _ in chunks] == chunks
    assert not stream.ended


def test_with_nothing_there_nothing_is_returned():
    stream = buffered(ScriptedSocket())
    assert (stream.receive(), stream.has_more, stream.ended) == (b"", False, False)


def test_the_end_comes_after_what_was_sent_before_it():
    stream = buffered(ScriptedSocket([b"bye", b""]))
    assert (stream.receive(), stream.ended) == (b"bye", False)
    assert (stream.receive(), stream.ended, stream.error) == (b"", True, None)


def test_an_error_in_writing_is_the_end_and_the_first_one_counts():
    stream = buffered(ScriptedSocket([ConnectionResetError()], accepted_sizes=[BrokenPipeError()]))
    stream.send(b"x")
    assert stream.flush()
    assert stream.receive() == b""
    assert stream.ended
    assert isinstance(stream.error, BrokenPipeError)


@every_row(
    ("given_chunk", "pending", "has_more"),
    [
        (b"x" * READ_CHUNK_BYTES, 0, True),
        (b"x", 0, False),
        (b"x", 5, True),
        (ssl.SSLWantReadError(), 5, True),
        (ssl.SSLWantReadError(), 0, False),
    ],
)
def test_a_full_chunk_or_bytes_inside_tls_mean_that_there_is_more(given_chunk, pending, has_more):
    stream = buffered(ScriptedSocket([given_chunk], pending=pending))
    stream.receive()
    assert stream.has_more is has_more


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 7), max_size=30))
def test_everything_is_written_in_order_whatever_the_socket_takes(packets, accepted_sizes):
    raw = ScriptedSocket(accepted_sizes=accepted_sizes)
    stream = buffered(raw)
    for packet in packets:
        stream.send(packet)
        stream.flush()
    while not stream.flush():
        assert stream.has_backlog
    assert raw.sent == b"".join(packets)


def test_a_socket_that_takes_no_more_is_waited_for():
    raw = ScriptedSocket(accepted_sizes=[2, BlockingIOError()])
    stream = buffered(raw)
    stream.send(b"abcd")
    assert not stream.flush()
    assert stream.has_backlog
    assert raw.sent == b"ab"
    assert stream.flush()
    assert raw.sent == b"abcd"


def test_only_a_backlog_that_moves_counts_as_draining():
    raw = ScriptedSocket(accepted_sizes=[1, 2, BlockingIOError()])
    stream = buffered(raw)
    stream.drained_at = stream.sent_at = 0.0
    stream.send(b"a")
    stream.flush()
    assert (stream.sent_at > 0, stream.drained_at) == (True, 0.0)
    stream.send(b"abcd")
    stream.flush()
    assert stream.drained_at > 0


def test_close_says_so_before_the_socket_is_closed():
    raw = ScriptedSocket()
    stream = buffered(raw)
    seen = []
    stream.on_close = lambda: seen.append(raw.closed)
    stream.close()
    stream.close()
    assert (seen, raw.closed, stream.closed) == ([False], True, True)


class RecordingSocket(socket.socket):
    """A real socket that records the options set on it."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)
        self.options: list[tuple[int, ...]] = []

    def setsockopt(self, *option: int) -> None:  # type: ignore[override]
        self.options.append(option)
        super().setsockopt(*option)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        return b"x"


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has the option")
def test_each_read_is_acknowledged_at_once() -> None:
    """Without it mosquitto's small packets wait 40 ms for the kernel's delayed acknowledgement."""
    with RecordingSocket(socket.AF_INET, socket.SOCK_STREAM) as raw:
        stream = buffered(raw)

        stream.receive()
        stream.receive()

        assert raw.options == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)] * 2
