"""The ASGI application: finds who answers a request."""

from __future__ import annotations

import asyncio

from wx2mqtt.simulator import answers, control, fault_injection, pages
from wx2mqtt.simulator.checks import Call
from wx2mqtt.simulator.http_messages import (
    BodyTooLarge,
    Receive,
    Request,
    Scope,
    Send,
    SimulatedAnswer,
    read,
    until_gone,
    write,
)
from wx2mqtt.simulator.routes import Endpoint, carry_out, find
from wx2mqtt.simulator.wechat import WeChat


class SimulatorApp:
    """WeChat's servers, the phone page and the control on one port."""

    def __init__(self, wechat: WeChat) -> None:
        self.wechat = wechat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._serve(scope, receive, send)
        except BodyTooLarge:
            answer = answers.page("413 Content Too Large", status=413)
            await write(answer, scope["state"]["transport"], receive, send)
        except asyncio.CancelledError:
            return  # the simulator stops; uvicorn would log the cancellation as a failure

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read(scope, receive)
        if request is None:
            return
        answer = await self._answer(request, receive)
        if answer is None:
            await until_gone(receive)
        else:
            await write(answer, request.transport, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> SimulatedAnswer | None:
        """The answer; None when the transport was taken over and there will be none."""
        endpoint = find(request.path)
        if endpoint is not None:
            return await self._call(endpoint, request, receive)
        handler = control.find(request)
        if handler is not None:
            return await control.answer(self.wechat, request, handler)
        return pages.find(request) or answers.page("404 Not Found", status=404)

    async def _call(self, endpoint: Endpoint, request: Request, receive: Receive) -> SimulatedAnswer | None:
        wechat = self.wechat
        wechat.calls[endpoint.name] += 1
        wechat.notify_changed()
        call = Call(endpoint.name, request, wechat)
        fault = wechat.faults.next_fault(endpoint.name)
        if fault is None:
            return await carry_out(endpoint, call)
        return await fault_injection.happen(fault, endpoint, call, receive)
