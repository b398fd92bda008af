"""The ASGI application of the simulator: routes requests to endpoints, the control API or the phone page.

WebSockets go to the gateway of WeCom.
"""

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
    read_request,
    wait_for_disconnect,
    write_answer,
)
from wx2mqtt.simulator.routes import Endpoint, find_endpoint, run_endpoint
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.wecom import gateway


class SimulatorApp:
    """ASGI application that serves WeChat's endpoints, the phone page and the control API on one port."""

    def __init__(self, wechat: WeChat, language: str = "") -> None:
        self.wechat = wechat
        self._language = language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except BodyTooLarge:
            answer = answers.html_page("413 Content Too Large", status=413)
            await write_answer(answer, scope["state"]["transport"], receive, send)
        except asyncio.CancelledError:
            return  # the simulator stops; uvicorn would log the cancellation as a failure

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await gateway.serve(self.wechat.wecom, scope, receive, send)
            return
        request = await read_request(scope, receive)
        if request is None:
            return
        answer = await self._answer(request, receive)
        if answer is None:
            await wait_for_disconnect(receive)
        else:
            await write_answer(answer, request.transport, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> SimulatedAnswer | None:
        """Returns the answer, or None when a fault has taken over the transport."""
        endpoint = find_endpoint(request.path)
        if endpoint is not None:
            return await self._call(endpoint, request, receive)
        handler = control.find_handler(request)
        if handler is not None:
            return await control.carry_out(self.wechat, request, handler)
        return pages.find_page(request, self._language) or answers.html_page("404 Not Found", status=404)

    async def _call(self, endpoint: Endpoint, request: Request, receive: Receive) -> SimulatedAnswer | None:
        wechat = self.wechat
        wechat.count_call(endpoint.name)
        call = Call(endpoint.name, request, wechat)
        fault = wechat.faults.next_fault(endpoint.name)
        if fault is None:
            return await run_endpoint(endpoint, call)
        return await fault_injection.apply_fault(fault, endpoint, call, receive)
