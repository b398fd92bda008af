"""The ASGI application: finds who answers, and does the faults that were ordered.

Faults below HTTP (a reset, half an answer, a bad status line) are written to the transport, which
`server.py` puts into the request's state.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from wx2mqtt.simulator import answers, control, pages
from wx2mqtt.simulator.checks import Call, Refused
from wx2mqtt.simulator.endpoints import sync
from wx2mqtt.simulator.exchange import Answer, Receive, Request, Scope, Send, TooLarge, read, write
from wx2mqtt.simulator.faults import AFTER, Fault, FaultKind
from wx2mqtt.simulator.routes import ENDPOINTS, Endpoint, find
from wx2mqtt.simulator.wechat import WeChat

_FOREVER = 86_400.0


class App:
    """WeChat's servers, the phone page and the control on one port."""

    def __init__(self, wechat: WeChat) -> None:
        self.wechat = wechat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._serve(scope, receive, send)
        except TooLarge:
            await write(answers.page("413 Content Too Large", status=413), send)
        except asyncio.CancelledError:
            return  # the simulator stops; uvicorn would log the cancellation as a failure

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read(scope, receive)
        if request is None:
            return
        answer = await self._answer(request, receive)
        if answer is None:
            await _until_gone(receive, _FOREVER)
        else:
            await write(answer, send)

    async def _answer(self, request: Request, receive: Receive) -> Answer | None:
        """The answer; None when the transport was taken over and there will be none."""
        endpoint = find(request.path)
        if endpoint is not None:
            return await self._call(endpoint, request, receive)
        handler = control.HANDLERS.get((request.method, request.path))
        if handler is not None:
            return await control.answer(self.wechat, request, handler)
        return pages.find(request) or answers.page("404 Not Found", status=404)

    async def _call(self, endpoint: Endpoint, request: Request, receive: Receive) -> Answer | None:
        wechat = self.wechat
        wechat.calls[endpoint.name] += 1
        wechat.changed()
        call = Call(endpoint.name, request, wechat)
        fault = wechat.faults.meet(endpoint.name)
        if fault is None:
            return await _carry_out(endpoint, call)
        if fault.kind is FaultKind.DELAY:
            await _until_gone(receive, _seconds(fault))
            return await _carry_out(endpoint, call)
        if fault.kind in AFTER:
            return _spoil(fault, await _carry_out(endpoint, call), request)
        return await _instead(fault, endpoint, call, receive)


async def _carry_out(endpoint: Endpoint, call: Call) -> Answer:
    try:
        return await endpoint.handler(call)
    except Refused as refused:
        return endpoint.refused(refused.ret)


async def _until_gone(receive: Receive, seconds: float) -> None:
    """Wait until the client goes away, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


def _seconds(fault: Fault) -> float:
    return float(fault.value) if fault.value is not None else _FOREVER


def _number(fault: Fault, default: int) -> int:
    return int(fault.value) if fault.value is not None else default


async def _instead(fault: Fault, endpoint: Endpoint, call: Call, receive: Receive) -> Answer | None:
    """What comes instead of carrying out the call."""
    transport = call.request.transport
    match fault.kind:
        case FaultKind.HANG:
            await _until_gone(receive, _seconds(fault))
            transport.close()
            return None
        case FaultKind.RESET:
            _reset(transport)
            return None
        case FaultKind.BAD_STATUS_LINE:
            transport.write(b"0 -\r\n\r\n")
            transport.close()
            return None
        case _:
            return _strange(fault, endpoint, call)


def _strange(fault: Fault, endpoint: Endpoint, call: Call) -> Answer:
    match fault.kind:
        case FaultKind.STATUS:
            status = _number(fault, 503)
            return answers.page(str(status), status=status)
        case FaultKind.RET if endpoint is not ENDPOINTS["synccheck"]:
            return endpoint.refused(_number(fault, 1))
        case FaultKind.RET | FaultKind.RETCODE:
            return answers.synccheck(_number(fault, 1100), 0)
        case FaultKind.SELECTOR:
            return answers.synccheck(0, _number(fault, 2))
        case FaultKind.CODE if endpoint is ENDPOINTS["jslogin"]:
            return answers.script(f'window.QRLogin.code = {_number(fault, 500)}; window.QRLogin.uuid = "";')
        case FaultKind.CODE:
            return answers.script(f"window.code={_number(fault, 500)};")
        case FaultKind.GARBAGE:
            return Answer(body=str(fault.value or "\x00\x01{<garbage").encode())
        case FaultKind.STUCK:
            return sync.stuck(call)
        case FaultKind.EMPTY:
            return Answer()
        case _:
            return answers.page("Web WeChat")


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _spoil(fault: Fault, answer: Answer, request: Request) -> Answer | None:
    """The call was carried out; its answer comes damaged or not at all."""
    match fault.kind:
        case FaultKind.CHARSET:
            body = answer.body.decode("utf-8", "replace").encode(str(fault.value or "gbk"), "replace")
            return Answer(body=body, status=answer.status, content_type=answer.content_type, headers=answer.headers)
        case FaultKind.TRUNCATE:
            request.transport.write(_half(answer, _number(fault, len(answer.body) // 2)))
    request.transport.close()
    return None


def _half(answer: Answer, kept: int) -> bytes:
    lines = [b"%s: %s\r\n" % pair for pair in answer.header_list()]
    return b"HTTP/1.1 %d OK\r\n%s\r\n%s" % (answer.status, b"".join(lines), answer.body[:kept])
