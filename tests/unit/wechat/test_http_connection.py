"""One HTTP connection on a transport of asyncio that only keeps what is done with it; the network is a scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.wechat.http_connection import MAX_HEAD_BYTES, Origin, PooledConnection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class PaperTransport(asyncio.Transport):
    """Keeps what is written, and tells its protocol of the end as asyncio does: in the next turn of the loop."""

    def __init__(self, protocol: PooledConnection) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def connected() -> tuple[PooledConnection, PaperTransport]:
    connection = PooledConnection(Origin(is_tls=False, host="wechat.test", port=80))
    transport = PaperTransport(connection)
    connection.connection_made(transport)
    return connection, transport


def post(body: bytes = b"{}") -> h11.Request:
    headers = [("Host", "wechat.test"), ("Content-Length", str(len(body)))]
    return h11.Request(method="POST", target="/a?b=c", headers=headers)


async def exchange(connection: PooledConnection) -> tuple[int, bytes]:
    """Makes an exchange; returns status and body."""
    await connection.send(post(), b"{}", seconds=MAX_WAIT_SECONDS)
    head = await connection.receive_head(seconds=MAX_WAIT_SECONDS)
    body = b""
    while piece := await connection.receive_body(seconds=MAX_WAIT_SECONDS):
        body += piece
    return head.status_code, body


async def test_a_request_is_written_whole_and_once() -> None:
    connection, transport = connected()
    await connection.send(post(), b"{}", seconds=MAX_WAIT_SECONDS)
    assert transport.written == [b"POST /a?b=c HTTP/1.1\r\nHost: wechat.test\r\nContent-Length: 2\r\n\r\n{}"]


async def test_nothing_is_written_of_a_request_whose_body_is_longer_than_it_says() -> None:
    connection, transport = connected()
    with pytest.raises(httpx.LocalProtocolError):
        await connection.send(post(b"{}"), b"{} ", seconds=MAX_WAIT_SECONDS)
    assert transport.written == []
    assert not connection.finish()
    assert transport.is_aborted


async def test_a_request_that_is_not_taken_in_time() -> None:
    connection, _ = connected()
    connection.pause_writing()
    with pytest.raises(httpx.WriteTimeout):
        await connection.send(post(), b"{}", seconds=0.0)


async def test_a_request_that_is_taken_later_is_answered() -> None:
    connection, _ = connected()
    connection.pause_writing()
    made = asyncio.create_task(exchange(connection))
    await asyncio.sleep(0)
    connection.resume_writing()
    connection.data_received(ANSWER)
    assert await made == (200, b"ok")
    assert connection.finish()


async def test_an_exchange_after_which_bytes_are_left_is_the_last_one() -> None:
    for end, stays in ((b"", True), (b"\r\n", False), (ANSWER, False)):
        connection, transport = connected()
        made = asyncio.create_task(exchange(connection))
        await asyncio.sleep(0)
        connection.data_received(ANSWER + end)
        assert await made == (200, b"ok")
        assert connection.finish() is stays
        assert transport.is_aborted is not stays


@pytest.mark.parametrize(
    "event",
    [
        lambda connection: connection.data_received(ANSWER),
        lambda connection: connection.eof_received(),
        lambda connection: connection.connection_lost(None),
        lambda connection: connection.abort(),
    ],
    ids=["bytes", "its end", "lost", "aborted"],
)
async def test_an_idle_connection_to_which_something_happens_is_not_used_again(
    event: Callable[[PooledConnection], object],
) -> None:
    connection, _ = connected()
    made = asyncio.create_task(exchange(connection))
    await asyncio.sleep(0)
    connection.data_received(ANSWER)
    await made
    assert connection.finish()
    event(connection)
    assert not connection.can_start(MAX_WAIT_SECONDS)


async def test_a_connection_can_be_closed_after_its_end() -> None:
    connection, transport = connected()
    connection.connection_lost(ConnectionResetError())
    connection.abort()
    assert not transport.is_aborted  # asyncio's transport may fail at it


HEADS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 5\r\n",
            b"Content-Length: 0\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"Set-Cookie: a=1\r\n",
            b": x\r\n",
        ]
    ),
    max_size=3,
).map(b"".join)
BODIES = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"zz\r\n"]) | st.binary(
    max_size=40
)
ANSWERS = st.tuples(HEADS, FIELDS, st.just(b"\r\n"), BODIES).map(b"".join) | st.binary(max_size=60)


async def outcome(pieces: list[bytes], *, reset: bool) -> tuple[object, ...]:
    """Returns what an exchange comes to whose answer arrives in these pieces, after which the connection ends."""
    connection, _ = connected()
    made = asyncio.create_task(exchange(connection))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    if made.done() and made.exception() is None:
        return (*made.result(), connection.finish())
    connection.connection_lost(ConnectionResetError() if reset else None)
    try:
        result = await made
    except httpx.ReadError:
        assert reset
        result = (0, b"broken")
    except httpx.RemoteProtocolError:
        result = (0, b"broken")
    assert not connection.finish()
    return (*result, False)


@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 200), max_size=4), reset=st.booleans())
async def test_an_answer_means_the_same_in_whatever_pieces_it_comes(
    answer: bytes, cuts: list[int], reset: bool
) -> None:
    """Whatever comes ends in an answer or in an error of httpx; what is left over is never the next answer."""
    places = sorted({min(cut, len(answer)) for cut in cuts} - {0, len(answer)})
    pieces = [answer[start:end] for start, end in zip([0, *places], [*places, len(answer)], strict=True)]
    whole = [answer] if answer else []
    assert await outcome([piece for piece in pieces if piece], reset=reset) == await outcome(
        whole, reset=reset
    )


async def test_a_head_without_an_end_is_not_kept() -> None:
    connection, _ = connected()
    made = asyncio.create_task(exchange(connection))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 * MAX_HEAD_BYTES))
    with pytest.raises(httpx.RemoteProtocolError):
        await made
