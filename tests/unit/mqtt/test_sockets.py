"""The buffered socket loses no byte, and reports the end only after all bytes before it."""

from __future__ import annotations

import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.mqtt.sockets import READ_CHUNK_BYTES, BufferedSocket


class Raw:
    """A socket: `gives` is what `recv` returns, `takes` how much `send` accepts; an error in them is raised."""

    def __init__(self, gives=(), takes=(), pending=0):
        self.gives = list(gives)
        self.takes = list(takes)
        self.taken = b""
        self.closed = False
        self._pending = pending

    def recv(self, size):
        if not self.gives:
            raise BlockingIOError
        item = self.gives.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def send(self, data):
        item = self.takes.pop(0) if self.takes else len(data)
        if isinstance(item, Exception):
            raise item
        self.taken += bytes(data[:item])
        return min(item, len(data))

    def pending(self):
        return self._pending

    def close(self):
        self.closed = True

    def fileno(self):
        return 7

    def setblocking(self, flag):
        pass


def read_all(stream, sizes):
    out = b""
    for size in sizes:
        try:
            out += stream.recv(size)
        except BlockingIOError:
            break
    return out


@given(st.binary(min_size=1), st.lists(st.integers(1, 5), min_size=1))
def test_what_arrived_is_read_piece_by_piece(data, sizes):
    stream = BufferedSocket(Raw([data]))
    stream.fill()
    assert read_all(stream, sizes * len(data)) == data


def test_with_nothing_there_reading_would_block():
    stream = BufferedSocket(Raw())
    assert not stream.fill()
    assert not stream.readable
    with pytest.raises(BlockingIOError):
        stream.recv(1)


def test_the_end_comes_after_what_was_sent_before_it():
    stream = BufferedSocket(Raw([b"bye", b""]))
    stream.fill()
    assert stream.recv(3) == b"bye"
    assert not stream.readable
    stream.fill()
    assert stream.readable
    assert stream.recv(1) == b""


def test_an_error_in_writing_leaves_what_the_broker_said_to_be_read():
    stream = BufferedSocket(Raw([b"DISCONNECT"], takes=[BrokenPipeError()]))
    stream.fill()
    stream.send(b"x")
    assert stream.flush()
    assert stream.recv(20) == b"DISCONNECT"
    with pytest.raises(BrokenPipeError):
        stream.recv(1)
    assert isinstance(stream.error, BrokenPipeError)


def test_a_full_chunk_or_bytes_inside_tls_mean_that_there_is_more():
    assert BufferedSocket(Raw([b"x" * READ_CHUNK_BYTES])).fill()
    assert not BufferedSocket(Raw([b"x"])).fill()
    assert BufferedSocket(Raw([b"x"], pending=5)).fill()
    assert BufferedSocket(Raw([ssl.SSLWantReadError()], pending=5)).fill()


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 7), max_size=30))
def test_everything_is_written_in_order_whatever_the_socket_takes(packets, takes):
    raw = Raw(takes=takes)
    stream = BufferedSocket(raw)
    for packet in packets:
        stream.send(packet)
        stream.flush()
    while not stream.flush():
        assert stream.has_backlog
    assert raw.taken == b"".join(packets)


def test_a_socket_that_takes_no_more_is_waited_for():
    raw = Raw(takes=[2, BlockingIOError()])
    stream = BufferedSocket(raw)
    stream.send(b"abcd")
    assert not stream.flush()
    assert stream.has_backlog
    assert raw.taken == b"ab"
    assert stream.flush()
    assert raw.taken == b"abcd"


def test_only_a_backlog_that_moves_counts_as_draining():
    raw = Raw(takes=[1, 2, BlockingIOError()])
    stream = BufferedSocket(raw)
    stream.drained_at = stream.sent_at = 0.0
    stream.send(b"a")
    stream.flush()
    assert (stream.sent_at > 0, stream.drained_at) == (True, 0.0)
    stream.send(b"abcd")
    stream.flush()
    assert stream.drained_at > 0


def test_after_close_nothing_is_given_out():
    raw = Raw([b"left"])
    stream = BufferedSocket(raw)
    stream.fill()
    stream.close()
    assert raw.closed
    assert stream.recv(4) == b""


class Noted(socket.socket):
    """A real socket that notes the options set on it."""

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
    """Else mosquitto's small packets wait 40 ms for the kernel's delayed acknowledgement."""
    with Noted(socket.AF_INET, socket.SOCK_STREAM) as raw:
        stream = BufferedSocket(raw)

        stream.fill()
        stream.recv(1)
        stream.fill()

        assert raw.options == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)] * 2
