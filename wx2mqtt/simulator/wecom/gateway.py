"""The gateway: accepts the WebSocket of a program, reads its frames, and answers them (wecom 2).

A connection goes: handshake, `aibot_subscribe`, then commands of the program and callbacks of the gateway
beside each other. Each command is a task of its own, so that a slow one holds up no other.
"""

from __future__ import annotations

import asyncio
import json

from wx2mqtt.simulator.http_messages import Receive, Scope, Send
from wx2mqtt.simulator.wecom import commands, gateway_faults, respond, send, subscription, upload
from wx2mqtt.simulator.wecom.commands import Call, Fields, Handler
from wx2mqtt.simulator.wecom.connection import Connection
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom

CONNECT = "wecom_connect"
"""The name of the handshake, for counts and faults."""

UNKNOWN = "wecom_frame"
"""The name under which frames are recorded that are no known command."""

MAX_FRAME_BYTES = 1024 * 1024
_UNSUPPORTED_DATA, _TOO_BIG = 1003, 1009

HANDLERS: dict[str, Handler] = {
    "aibot_subscribe": subscription.subscribe,
    "ping": subscription.ping,
    "aibot_send_msg": send.send_msg,
    "aibot_respond_msg": respond.respond_msg,
    "aibot_respond_welcome_msg": respond.respond_welcome,
    "aibot_respond_update_msg": respond.respond_update,
    "aibot_upload_media_init": upload.upload_init,
    "aibot_upload_media_chunk": upload.upload_chunk,
    "aibot_upload_media_finish": upload.upload_finish,
}

NAMES = frozenset({CONNECT, *HANDLERS})
"""What faults can be ordered for."""

_ANSWERS = frozenset(
    {"aibot_respond_msg", "aibot_respond_welcome_msg", "aibot_respond_update_msg"},
)
"""Commands whose `req_id` is that of a callback."""


async def serve(wecom: SimulatedWeCom, scope: Scope, receive: Receive, send_asgi: Send) -> None:
    """Serves one WebSocket, from the handshake to its end. Called by the server (ASGI)."""
    await receive()  # websocket.connect
    transport: asyncio.Transport = scope["state"]["transport"]
    wecom.count_call(CONNECT)
    fault = wecom.faults.next_fault(CONNECT)
    if fault is not None and await gateway_faults.fail_handshake(fault, transport, receive, send_asgi):
        return
    if scope["path"] not in ("", "/"):
        wecom.violations.record(CONNECT, "the path of the gateway is /")
        await send_asgi({"type": "websocket.close"})
        return
    await send_asgi({"type": "websocket.accept"})
    connection = Connection(transport, _address(scope))
    wecom.connections.add(connection)
    writer = asyncio.create_task(connection.write(send_asgi))
    try:
        await _read(wecom, connection, receive)
    finally:
        wecom.detach(connection)
        for task in (writer, *connection.tasks):
            task.cancel()


def _address(scope: Scope) -> str:
    headers = dict(scope["headers"])
    scheme = "https" if scope["scheme"] == "wss" else "http"
    return f"{scheme}://{headers.get(b'host', b'127.0.0.1').decode('latin-1')}"


async def _read(wecom: SimulatedWeCom, connection: Connection, receive: Receive) -> None:
    """Reads frames until the program disconnects."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if not connection.is_open:
            continue
        text = message.get("text")
        if text is None:
            wecom.violations.record(UNKNOWN, "a binary frame")
            connection.close(_UNSUPPORTED_DATA)
        elif len(text.encode()) > MAX_FRAME_BYTES:
            wecom.violations.record(UNKNOWN, f"a frame is larger than {MAX_FRAME_BYTES} bytes")
            connection.close(_TOO_BIG)
        else:
            _take_frame(wecom, connection, text)


def _take_frame(wecom: SimulatedWeCom, connection: Connection, text: str) -> None:
    call = _read_frame(wecom, connection, text)
    if call is None:
        return
    wecom.count_call(call.name)
    task = asyncio.create_task(_answer(call))
    connection.tasks.add(task)
    task.add_done_callback(connection.tasks.discard)


def _read_frame(wecom: SimulatedWeCom, connection: Connection, text: str) -> Call | None:
    """Returns the command in a frame; None, and a violation, where there is none."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        wecom.violations.record(UNKNOWN, "a frame is no JSON")
        return None
    problem = _form_problem(frame)
    if problem:
        wecom.violations.record(UNKNOWN, problem)
        return None
    body: Fields = frame.get("body") or {}
    call = Call(
        wecom=wecom, connection=connection, name=frame["cmd"], req_id=frame["headers"]["req_id"], body=body
    )
    for name in sorted(frame.keys() - {"cmd", "headers", "body"}):
        call.record_oddity(f"{name} beside cmd, headers and body")
    if call.name not in _ANSWERS and not connection.use_req_id(call.req_id):
        call.record_violation("req_id is that of an older command")
    return call


def _form_problem(frame: object) -> str:
    """Returns what is wrong with the form of a frame; empty where nothing is."""
    if not isinstance(frame, dict):
        return "a frame is no object"
    headers = frame.get("headers")
    req_id = headers.get("req_id") if isinstance(headers, dict) else None
    if not isinstance(req_id, str) or not req_id:
        return "a frame has no headers.req_id"
    if not isinstance(frame.get("body", {}), dict | None):
        return "the body of a frame is no object"
    if frame.get("cmd") not in HANDLERS:
        return "cmd is not known"
    return ""


async def _answer(call: Call) -> None:
    """Carries a command out and sends its answer, as a fault leaves it."""
    handler = HANDLERS[call.name]
    fault = call.wecom.faults.next_fault(call.name)
    if fault is None:
        call.connection.post(await commands.carry_out(handler, call))
    else:
        await gateway_faults.apply_fault(fault, handler, call)
