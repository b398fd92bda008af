"""The socket to WeCom against a real WebSocket server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.loop_turns import longest_turn
from tests.support.wecom_gateway import Gateway, answer_nothing, close_socket
from wx2mqtt.clock import Clock, Lease, boot_time
from wx2mqtt.errors import OutcomeUnknown, Unreachable
from wx2mqtt.i18n.wechat import wecom_text
from wx2mqtt.wechat.wecom import connection as connection_module
from wx2mqtt.wechat.wecom.connection import ConnectionOptions, WeComConnection
from wx2mqtt.wechat.wecom.protocol.frames import Callback, FrameCommand

CALLBACK = {"cmd": "aibot_msg_callback", "headers": {"req_id": "r"}, "body": {}}


def text(key: str, /, **facts: object) -> str:
    return wecom_text("en", key, **facts)


@asynccontextmanager
async def connected(gateway: Gateway, **options: Any) -> AsyncIterator[WeComConnection]:
    defaults = {"clock": Clock(), "text": text, "observe": lambda *_: None, "endpoint": gateway.endpoint}
    connection = await WeComConnection.open(ConnectionOptions(**{**defaults, **options}))
    try:
        yield connection
    finally:
        await connection.close()


async def take_callbacks(connection: WeComConnection, count: int) -> list[Callback]:
    callbacks: list[Callback] = []
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while len(callbacks) < count:
            callbacks += await connection.next_callbacks(count)
    return callbacks


async def reason_of_end(connection: WeComConnection) -> str:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        with pytest.raises(Unreachable) as caught:
            while True:
                await connection.next_callbacks(100)
    return str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:9",  # needs a library that is not installed
        "gopher://127.0.0.1:9",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://",
        "127.0.0.1:9",
    ],
)
async def test_a_proxy_that_cannot_be_used_is_no_connection(monkeypatch: pytest.MonkeyPatch, proxy: str):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    options = ConnectionOptions(clock=Clock(), text=text, observe=lambda *_: None)
    with pytest.raises(Unreachable, match="no connection to WeCom"):
        await WeComConnection.open(options)


async def test_a_proxy_that_refuses_is_no_connection(monkeypatch: pytest.MonkeyPatch):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"CONNECT openws.work.weixin.qq.com:443 ")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        options = ConnectionOptions(clock=Clock(), text=text, observe=lambda *_: None)
        with pytest.raises(Unreachable, match="no connection to WeCom"):
            await WeComConnection.open(options)


async def test_an_answer_finds_its_request(gateway):
    observed = []
    async with connected(gateway, observe=lambda *call: observed.append(call[:2])) as connection:
        answers = await asyncio.gather(*(connection.request(FrameCommand.SEND, {"n": n}) for n in range(20)))
    assert {answer.errcode for answer in answers} == {0}
    sent = [request["headers"]["req_id"] for request in gateway.requests]
    assert sorted(answer.request_id for answer in answers) == sorted(sent)
    assert len(set(sent)) == 20
    assert observed == [("aibot_send_msg", "0")] * 20


async def test_callbacks_come_in_their_order_and_what_cannot_be_read_is_counted(gateway):
    async with connected(gateway) as connection:
        await connection.request(FrameCommand.PING)
        for number in range(3):
            await gateway.send({**CALLBACK, "headers": {"req_id": f"r{number}"}})
            await gateway.send("no frame")
        await gateway.send(b"\xff\xfe")
        callbacks = await take_callbacks(connection, 3)
        assert [callback.request_id for callback in callbacks] == ["r0", "r1", "r2"]
        await connection.request(FrameCommand.PING)
        assert connection.unreadable_count == 4


async def test_a_frame_that_is_no_utf_8_does_not_end_the_connection(gateway):
    async with connected(gateway) as connection:
        await connection.request(FrameCommand.PING)
        await gateway.sockets[0].send(b'{"cmd": "x\xff", "headers": {}}', text=True)
        assert [callback.command for callback in await take_callbacks(connection, 1)] == [
            "x\N{REPLACEMENT CHARACTER}"
        ]
        await connection.request(FrameCommand.PING)


async def test_without_an_answer_in_time_the_outcome_is_unknown(gateway, monkeypatch):
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.05)
    gateway.behave = answer_nothing
    async with connected(gateway) as connection:
        with pytest.raises(OutcomeUnknown, match="aibot_send_msg"):
            await connection.request(FrameCommand.SEND, {})
        assert connection.end_reason is None


async def test_a_connection_that_ends_during_a_request_leaves_its_outcome_unknown(gateway):
    gateway.behave = close_socket
    async with connected(gateway) as connection:
        with pytest.raises(OutcomeUnknown):
            await connection.request(FrameCommand.SEND, {})
        with pytest.raises(Unreachable):
            await connection.request(FrameCommand.SEND, {})
        assert await reason_of_end(connection) == "the connection to WeCom broke off"


async def test_callbacks_that_came_before_the_end_are_received(gateway):
    async with connected(gateway) as connection:
        await connection.request(FrameCommand.PING)
        await gateway.send(CALLBACK)
        await gateway.sockets[0].close()
        await gateway.until(lambda: not gateway.sockets)
        assert len(await take_callbacks(connection, 1)) == 1
        assert await reason_of_end(connection) == "the connection to WeCom broke off"


async def test_an_address_where_nobody_listens_is_no_connection():
    with socket.socket() as bound_socket:  # bound, so that nobody else can listen there
        bound_socket.bind(("127.0.0.1", 0))
        port = bound_socket.getsockname()[1]
        options = ConnectionOptions(
            clock=Clock(), text=text, observe=lambda *_: None, endpoint=f"http://127.0.0.1:{port}"
        )
        with pytest.raises(Unreachable, match="no connection to WeCom"):
            await WeComConnection.open(options)


async def test_without_a_lease_nothing_is_sent(gateway):
    lease = Lease(seconds=60.0)
    lease.renew(boot_time())
    async with connected(gateway, clock=Clock(lease=lease)) as connection:
        await connection.request(FrameCommand.PING)
        lease.revoke()
        with pytest.raises(Unreachable):
            await connection.request(FrameCommand.SEND, {})
        with pytest.raises(Unreachable):
            async with connected(gateway, clock=Clock(lease=lease)):
                pass
    assert [request["cmd"] for request in gateway.requests] == ["ping"]


async def test_two_heartbeats_without_an_answer_end_the_connection(gateway, monkeypatch):
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(connection_module, "HEARTBEAT_SECONDS", 0.06)
    gateway.behave = answer_nothing
    async with connected(gateway) as connection:
        assert await reason_of_end(connection) == "WeCom answered no heartbeat any more"
    assert [request["cmd"] for request in gateway.requests] == ["ping", "ping"]


async def test_an_answered_heartbeat_is_an_empty_list_of_callbacks(gateway, monkeypatch):
    monkeypatch.setattr(connection_module, "HEARTBEAT_SECONDS", 0.01)
    async with connected(gateway) as connection:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            assert await connection.next_callbacks(10) == []
            assert await connection.next_callbacks(10) == []
    assert len(gateway.sent("ping")) >= 2


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING_CALLBACKS", 2), ("MAX_WAITING_BYTES", 150)])
async def test_too_many_messages_that_are_not_taken_end_the_connection(gateway, monkeypatch, limit, value):
    monkeypatch.setattr(connection_module, limit, value)
    async with connected(gateway) as connection:
        await connection.request(FrameCommand.PING)
        for _ in range(3):
            await gateway.send(CALLBACK)
        await gateway.until(lambda: not gateway.sockets)
        assert len(await take_callbacks(connection, 3)) == 3
        assert "more messages came than could be stored" in await reason_of_end(connection)


async def test_a_take_over_by_another_program_is_noticed(gateway):
    async with connected(gateway) as connection:
        await connection.request(FrameCommand.PING)
        assert not connection.is_taken_over
        await gateway.tell("disconnected_event")
        await take_callbacks(connection, 1)
        assert connection.is_taken_over


async def test_a_piece_of_a_file_does_not_block_the_event_loop(gateway):
    """The gateway reads in the same event loop, so it only counts requests, and answers none meanwhile."""
    body = {"base64_data": "A" * 700_000}
    async with connected(gateway) as connection:
        # The first request does work that is done only once, and is not measured.
        await connection.request(FrameCommand.UPLOAD_PIECE, body)
        turns = []
        for _ in range(5):
            work = asyncio.create_task(connection.request(FrameCommand.UPLOAD_PIECE, body))
            turns.append(await longest_turn(work))
            await work
    assert min(turns) < 0.02
    assert len(gateway.requests[-1]["body"]["base64_data"]) == 700_000
