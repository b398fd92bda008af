"""A small gateway of WeCom for the tests of the backend: a real WebSocket server that answers as a test says.

async with gateway_running() as gateway:
    backend = …(endpoint=gateway.endpoint)
    gateway.behave = answer_nothing
    await gateway.say({"msgid": "m1", …})
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Behaviour = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


class Gateway:
    """Answers each request as a test says, and remembers all of them."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        #: Those that are open, the oldest first.
        self.sockets: list[ServerConnection] = []
        self.behave: Behaviour = answer_ok
        #: Bodies by path (without query) of what is asked for over HTTP, used up one after the other but the last.
        self.bodies: dict[str, list[bytes]] = {}
        #: The `Content-Disposition` of the answers, by path.
        self.names: dict[str, str] = {}
        self.paths: list[str] = []
        self.endpoint = ""
        self._changed = asyncio.Event()
        self._numbers = count(1)

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        try:
            async for text in socket:
                request = json.loads(text)
                self.requests.append(request)
                self._changed.set()
                await self.behave(socket, request)
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)
            self._changed.set()

    def serve_http(self, _socket: ServerConnection, request: Request) -> Response | None:
        """Answers a plain HTTP request; None for a WebSocket."""
        if "Upgrade" in request.headers:
            return None
        self.paths.append(request.path)
        self._changed.set()
        path = request.path.partition("?")[0]
        bodies = self.bodies.get(path, [])
        status, phrase = (200, "OK") if bodies else (404, "Not Found")
        body = bodies.pop(0) if len(bodies) > 1 else next(iter(bodies), b"")
        headers = Headers([("Content-Length", str(len(body))), ("Connection", "close")])
        if path in self.names:
            headers["Content-Disposition"] = self.names[path]
        return Response(status, phrase, headers, body)

    def answer_json(self, path: str, *answers: object) -> None:
        """Answers requests of a path with these, the last one again and again."""
        self.bodies[path] = [json.dumps(answer).encode() for answer in answers]

    def sent(self, command: str) -> list[dict[str, Any]]:
        """Returns the requests with this command, in their order."""
        return [request for request in self.requests if request["cmd"] == command]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition is true, which changes with requests and sockets."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def say(self, body: dict[str, Any], *, cmd: str = "aibot_msg_callback") -> str:
        """Sends a callback over the newest socket; returns its id."""
        request_id = f"callback-{next(self._numbers)}"
        await self.send({"cmd": cmd, "headers": {"req_id": request_id}, "body": body})
        return request_id

    async def tell(self, eventtype: str, **body: Any) -> str:
        """Sends an event over the newest socket; returns its id."""
        event = {
            "msgid": f"event-{next(self._numbers)}",
            "msgtype": "event",
            "event": {"eventtype": eventtype},
        }
        return await self.say({**event, **body}, cmd="aibot_event_callback")

    async def send(self, frame: object) -> None:
        """Sends a frame over the newest socket; a text or bytes are sent unchanged."""
        await self.sockets[-1].send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


async def answer_ok(socket: ServerConnection, request: dict[str, Any]) -> None:
    await answer(socket, request, 0, "ok")


async def answer_nothing(_socket: ServerConnection, _request: dict[str, Any]) -> None:
    """Answers nothing."""


async def close_socket(socket: ServerConnection, _request: dict[str, Any]) -> None:
    await socket.close()


async def answer(socket: ServerConnection, request: dict[str, Any], errcode: int, errmsg: str = "no") -> None:
    await socket.send(json.dumps({"headers": request["headers"], "errcode": errcode, "errmsg": errmsg}))


def refusing(errcode: int, *commands: str, errmsg: str = "no") -> Behaviour:
    """Answers these commands with an error code, and all others with 0."""

    async def behave(socket: ServerConnection, request: dict[str, Any]) -> None:
        await answer(socket, request, errcode if request["cmd"] in commands else 0, errmsg)

    return behave


@asynccontextmanager
async def gateway_running() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    process = gateway.serve_http
    async with serve(gateway.handle, "127.0.0.1", 0, max_size=None, process_request=process) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        gateway.endpoint = f"http://127.0.0.1:{port}"
        yield gateway
