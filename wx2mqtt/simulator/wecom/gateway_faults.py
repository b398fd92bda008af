"""Carries out faults on the WebSocket: what each kind does to the handshake and to a command.

Kinds that mean nothing here (`selector`, `code`, `stuck` …) leave the command as it is.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable

from wx2mqtt.simulator.faults import Fault, FaultKind
from wx2mqtt.simulator.http_messages import Receive, Send
from wx2mqtt.simulator.wecom import commands, subscription
from wx2mqtt.simulator.wecom.codes import SYSTEM_ERROR, Refused
from wx2mqtt.simulator.wecom.commands import Call, Fields, Handler

_INTERNAL_ERROR = 1011


# The handshake


async def fail_handshake(fault: Fault, transport: asyncio.Transport, receive: Receive, send: Send) -> bool:
    """Applies a fault to the handshake; returns whether that was its end."""
    match fault.kind:
        case FaultKind.DELAY | FaultKind.LATE:
            await asyncio.sleep(float(fault.value or 0))
            return False
        case FaultKind.HANG | FaultKind.STALL | FaultKind.HOLD:
            await _wait_for_end(receive, fault)
            transport.close()
        case FaultKind.RESET:
            _reset(transport)
        case FaultKind.BAD_STATUS_LINE | FaultKind.GARBAGE:
            transport.write(b"0 -\r\n\r\n")
            transport.close()
        case FaultKind.DROP_ANSWER | FaultKind.EMPTY | FaultKind.TRUNCATE:
            transport.close()
        case FaultKind.STATUS | FaultKind.HTML | FaultKind.RET:
            await _refuse(fault, send)
        case _:
            return False
    return True


async def _wait_for_end(receive: Receive, fault: Fault) -> None:
    try:
        async with asyncio.timeout(None if fault.value is None else float(fault.value)):
            while (await receive())["type"] != "websocket.disconnect":
                continue
    except TimeoutError:
        return


async def _refuse(fault: Fault, send: Send) -> None:
    status = 200 if fault.kind is FaultKind.HTML else 503
    if fault.kind is FaultKind.STATUS and fault.value is not None:
        status = int(fault.value)
    body = f"<html><body><h1>{status}</h1></body></html>\n".encode()
    headers = [(b"content-type", b"text/html")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _reset(transport: asyncio.Transport) -> None:
    """Closes the connection with RST instead of FIN."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


# A command


async def apply_fault(fault: Fault, handler: Handler, call: Call) -> None:
    """Applies a fault to a command and sends the answer that it leaves, if any."""
    instead = _INSTEAD.get(fault.kind)
    if instead is not None:
        await instead(fault, call)
        return
    if fault.kind is FaultKind.DELAY:
        await asyncio.sleep(float(fault.value or 0))
    if fault.kind is FaultKind.HOLD:
        await call.wecom.faults.wait_until_cleared()
    answer = await commands.carry_out(handler, call)
    await _deliver(fault, call, answer)


async def _refuse_command(fault: Fault, call: Call) -> None:
    """Answers with a code; one of a subscription is remembered as a refusal."""
    errcode = SYSTEM_ERROR if fault.value is None else int(fault.value)
    if call.name == "aibot_subscribe":
        call.connection.asked_to_subscribe = True
        subscription.note_refusal(call)
    call.connection.post(commands.refuse(call, Refused(errcode)))


async def _hang(fault: Fault, call: Call) -> None:
    """Answers nothing; after the seconds of the fault the connection is closed."""
    if fault.value is not None:
        await asyncio.sleep(float(fault.value))
        call.connection.close(_INTERNAL_ERROR)


async def _close(_: Fault, call: Call) -> None:
    call.connection.close(_INTERNAL_ERROR)


async def _abort(_: Fault, call: Call) -> None:
    _reset(call.connection.transport)


async def _bad_bytes(_: Fault, call: Call) -> None:
    """Bytes that are no frame of a WebSocket."""
    call.connection.transport.write(b"\xff\xff\xff\xff")


def _instead(frame: Callable[[Fault, Call], str | bytes]) -> Callable[[Fault, Call], Awaitable[None]]:
    async def post(fault: Fault, call: Call) -> None:
        call.connection.post(frame(fault, call))

    return post


def _number(fault: Fault, default: int) -> int:
    return default if fault.value is None else int(fault.value)


def _huge(fault: Fault, call: Call) -> str:
    frame = commands.answer(call.req_id, 0)
    return json.dumps({**frame, "errmsg": "x" * _number(fault, 16 * 1024 * 1024)})


def _deep(fault: Fault, call: Call) -> str:
    depth = _number(fault, 100_000)
    return f'{{"headers": {{"req_id": "{call.req_id}"}}, "errcode": 0, "body": {"[" * depth}{"]" * depth}}}'


def _digits(fault: Fault, call: Call) -> str:
    digits = "9" * _number(fault, 1_000_000)
    return f'{{"headers": {{"req_id": "{call.req_id}"}}, "errcode": {digits}}}'


_INSTEAD: dict[FaultKind, Callable[[Fault, Call], Awaitable[None]]] = {
    FaultKind.RET: _refuse_command,
    FaultKind.HANG: _hang,
    FaultKind.STATUS: _close,
    FaultKind.RESET: _abort,
    FaultKind.BAD_STATUS_LINE: _bad_bytes,
    FaultKind.GARBAGE: _instead(lambda fault, _: str(fault.value or "\x00\x01{<garbage")),
    FaultKind.HTML: _instead(lambda _, __: "<html><body>WeCom</body></html>"),
    FaultKind.EMPTY: _instead(lambda _, __: ""),
    FaultKind.HUGE: _instead(_huge),
    FaultKind.DEEP: _instead(_deep),
    FaultKind.DIGITS: _instead(_digits),
}
"""Faults in place of which the command is not carried out."""


async def _deliver(fault: Fault, call: Call, answer: Fields) -> None:
    """Sends the answer of a command that was carried out, or what the fault leaves of it."""
    connection, text = call.connection, json.dumps(answer, ensure_ascii=False)
    match fault.kind:
        case FaultKind.DROP_ANSWER:
            connection.close(_INTERNAL_ERROR)
        case FaultKind.STALL:
            return
        case FaultKind.TRUNCATE:
            connection.post(text[: _number(fault, len(text) // 2)])
            connection.close(_INTERNAL_ERROR)
        case FaultKind.CHARSET:
            connection.post(text.encode(str(fault.value or "gbk"), "replace"))
        case FaultKind.LATE:
            await asyncio.sleep(float(fault.value or 0))
            connection.post(text)
        case FaultKind.DRIP:
            await asyncio.sleep(len(text) / float(fault.value or 1000))
            connection.post(text)
        case _:
            connection.post(text)
