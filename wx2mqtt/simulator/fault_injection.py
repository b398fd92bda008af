"""Carries out the faults: what each kind of fault does to a call.

Faults below HTTP (a reset, half an answer, a bad status line) write to the transport, which `server.py` puts
into the state of the request.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket
import struct
from collections.abc import Callable

from wx2mqtt.simulator import answers
from wx2mqtt.simulator.checks import Call
from wx2mqtt.simulator.faults import Fault, FaultKind
from wx2mqtt.simulator.http_messages import (
    AnswerDelivery,
    BodyStream,
    Receive,
    SimulatedAnswer,
    wait_for_disconnect,
)
from wx2mqtt.simulator.media import PIECE_BYTES
from wx2mqtt.simulator.routes import Endpoint, run_endpoint

AnswerFactory = Callable[[Fault, Endpoint], SimulatedAnswer]
ConnectionCut = Callable[[asyncio.Transport], None]


async def apply_fault(
    fault: Fault, endpoint: Endpoint, call: Call, receive: Receive
) -> SimulatedAnswer | None:
    """Returns the answer that the fault leaves; None when the connection is closed without one."""
    transport = call.request.transport
    if fault.kind is FaultKind.HANG:
        await wait_for_disconnect(receive, None if fault.value is None else float(fault.value))
        transport.close()
        return None
    if fault.kind in _CONNECTION_CUTS:
        _CONNECTION_CUTS[fault.kind](transport)
        return None
    if fault.kind in _REPLACED_ANSWERS:
        return _REPLACED_ANSWERS[fault.kind](fault, endpoint)
    if fault.kind is FaultKind.DELAY:
        await wait_for_disconnect(receive, float(fault.value or 0))
    if fault.kind is FaultKind.HOLD:
        await _hold(call, receive)
    if fault.kind is FaultKind.STUCK and endpoint.stuck_handler:
        endpoint = dataclasses.replace(endpoint, handler=endpoint.stuck_handler)
    answer = await run_endpoint(endpoint, call)
    if fault.kind is FaultKind.LATE:
        await wait_for_disconnect(receive, float(fault.value or 0))
    return _modify_answer(fault, answer, transport)


async def _hold(call: Call, receive: Receive) -> None:
    """Returns when the faults are cleared or the client disconnects."""
    waits = [
        asyncio.create_task(call.wechat.faults.wait_until_cleared()),
        asyncio.create_task(wait_for_disconnect(receive)),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _int_value(fault: Fault, default: int) -> int:
    return default if fault.value is None else int(fault.value)


# Faults that close the connection instead of calling the handler


def _reset(transport: asyncio.Transport) -> None:
    """Closes the connection with RST instead of FIN."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _bad_status_line(transport: asyncio.Transport) -> None:
    transport.write(b"0 -\r\n\r\n")
    transport.close()


_CONNECTION_CUTS: dict[FaultKind, ConnectionCut] = {
    FaultKind.RESET: _reset,
    FaultKind.BAD_STATUS_LINE: _bad_status_line,
}


# Faults that answer instead of the handler


def _status(fault: Fault, _: Endpoint) -> SimulatedAnswer:
    status = _int_value(fault, 503)
    return answers.html_page(str(status), status=status)


def _code(fault: Fault, endpoint: Endpoint) -> SimulatedAnswer:
    code = _int_value(fault, 500)
    if endpoint.name == "jslogin":
        return answers.javascript(f'window.QRLogin.code = {code}; window.QRLogin.uuid = "";')
    return answers.javascript(f"window.code={code};")


def _garbage(fault: Fault, _: Endpoint) -> SimulatedAnswer:
    return SimulatedAnswer(body=str(fault.value or "\x00\x01{<garbage").encode())


def _huge(fault: Fault, _: Endpoint) -> SimulatedAnswer:
    """Returns valid JSON that is too large."""
    size = _int_value(fault, 200 * 1024 * 1024)
    head = b'{"ret": 0, "errmsg": "'
    tail = b'"}'
    filling = max(0, size - len(head) - len(tail))
    pieces = (b" " * min(PIECE_BYTES, filling - offset) for offset in range(0, filling, PIECE_BYTES))
    body = BodyStream(size=len(head) + filling + len(tail), pieces=itertools.chain((head,), pieces, (tail,)))
    return SimulatedAnswer(stream=body, content_type="application/json")


def _deep(fault: Fault, _: Endpoint) -> SimulatedAnswer:
    depth = _int_value(fault, 100_000)
    return SimulatedAnswer(
        body=b'{"msgs": ' + b"[" * depth + b"]" * depth + b"}", content_type="application/json"
    )


def _digits(fault: Fault, _: Endpoint) -> SimulatedAnswer:
    number = b"9" * _int_value(fault, 1_000_000)
    return SimulatedAnswer(body=b'{"ret": 0, "message_id": ' + number + b"}", content_type="application/json")


_REPLACED_ANSWERS: dict[FaultKind, AnswerFactory] = {
    FaultKind.STATUS: _status,
    FaultKind.RET: lambda fault, endpoint: endpoint.error_answer(_int_value(fault, 1)),
    FaultKind.RETCODE: lambda fault, _: answers.synccheck(_int_value(fault, 1100), 0),
    FaultKind.SELECTOR: lambda fault, _: answers.synccheck(0, _int_value(fault, 2)),
    FaultKind.CODE: _code,
    FaultKind.GARBAGE: _garbage,
    FaultKind.HTML: lambda _, __: answers.html_page("Web WeChat"),
    FaultKind.EMPTY: lambda _, __: SimulatedAnswer(),
    FaultKind.HUGE: _huge,
    FaultKind.DEEP: _deep,
    FaultKind.DIGITS: _digits,
}


# Faults that change the answer of the handler


def _modify_answer(
    fault: Fault, answer: SimulatedAnswer, transport: asyncio.Transport
) -> SimulatedAnswer | None:
    if fault.kind is FaultKind.CHARSET and answer.stream is None:
        body = answer.body.decode("utf-8", "replace").encode(str(fault.value or "gbk"), "replace")
        return dataclasses.replace(answer, body=body)
    if fault.kind is FaultKind.DROP_ANSWER:
        answer.close()
        transport.close()
        return None
    if fault.kind in _DELIVERIES:
        return dataclasses.replace(answer, delivery=_DELIVERIES[fault.kind](fault, answer))
    return answer


_DELIVERIES: dict[FaultKind, Callable[[Fault, SimulatedAnswer], AnswerDelivery]] = {
    FaultKind.TRUNCATE: lambda fault, answer: AnswerDelivery(max_bytes=_int_value(fault, answer.size // 2)),
    FaultKind.STALL: lambda fault, answer: AnswerDelivery(
        max_bytes=_int_value(fault, answer.size // 2), stalls=True
    ),
    FaultKind.DRIP: lambda fault, _: AnswerDelivery(bytes_per_second=float(fault.value or 1000)),
    FaultKind.NO_LENGTH: lambda _, __: AnswerDelivery(has_content_length=False),
}
