"""The web server: listens, and loads the HTTP service when somebody connects for the first time.

    1. It listens. Connections wait in the kernel.
    2. The first one loads `routes.py` in a thread.
    3. The service accepts them, and all later ones.

Where the service cannot be loaded, the connections that wait are answered 500, and the next one tries again.
The libraries of the service take memory, and perhaps nobody ever connects. So nothing here imports them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import structlog

from wx2mqtt.aio import LogInterval
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.web import server_text
from wx2mqtt.model import Json
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.options import CannotListen, Serves, WebOptions, listen_problem
from wx2mqtt.web.senders.sender_rights import SenderRegistry

if TYPE_CHECKING:
    from wx2mqtt.bridge.media.stored_media import MediaLibrary
    from wx2mqtt.web.http_limits import HttpConnection
    from wx2mqtt.web.routes import HttpService

log = structlog.get_logger(__name__)

SERVICE_MODULE = "wx2mqtt.web.routes"
MAX_ACCEPTS_PER_TURN = 64  # connections accepted in one iteration of the event loop
LISTEN_BACKLOG = 512  # connections that the kernel queues; they cost no file descriptor

# A connection that is answered without the service must bring a whole head in this time.
FAILURE_HEAD_SECONDS = 2.0

# After this time a service that could not be loaded is tried again for those who still wait.
FAILURE_PAUSE_SECONDS = 1.0

# A service that cannot be loaded is logged once in this time.
FAILURE_LOG_SECONDS = 60.0

# The addresses that programs watch; `middleware.py` has the same.
_HEALTH_PATH = b"/healthz"
_LIVENESS_PATH = b"/livez"


class WebServer:
    """An async context manager that serves at `url` while it is open. Entering raises `CannotListen`.

    Leaving closes all connections at once; `stop` before it lets responses in progress finish. Port 0 takes a
    free port, which `port` holds then.
    """

    #: Set when the context is entered.
    _server: asyncio.Server

    def __init__(
        self,
        options: WebOptions,
        media_libraries: Sequence[MediaLibrary],
        bridge: BridgeState | None = None,
        senders: SenderRegistry | None = None,
    ) -> None:
        self._options = options
        self._media_libraries = media_libraries
        self._bridge = bridge
        self._senders = senders
        self._language = options.language
        #: None until somebody has connected.
        self._service: HttpService | None = None
        #: The task that loads the service.
        self._loading: asyncio.Task[None] | None = None
        self._failure_log = LogInterval(FAILURE_LOG_SECONDS)
        self.port = options.port

    def set_language(self, language: Language) -> None:
        self._language = language
        if self._service is not None:
            self._service.set_language(language)

    @property
    def url(self) -> str:
        """The address that it listens on, without a slash at the end."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connection,
                self._options.host,
                self._options.port,
                backlog=MAX_ACCEPTS_PER_TURN,
                start_serving=False,
            )
        except OSError as error:
            raise CannotListen(listen_problem(self._options, error)) from error
        try:
            self._listen()
        except OSError as error:
            self._server.close()
            raise CannotListen(listen_problem(self._options, error)) from error
        self._await_connection()
        self.port = self._server.sockets[0].getsockname()[1]
        is_for_people = self._options.serves in {Serves.EVERYTHING, Serves.PAGE}
        log.info("web server runs" if is_for_people else "senders are served", url=self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def options(self) -> WebOptions:
        return self._options

    def set_served(self, options: WebOptions) -> None:
        """Changes what of the senders' interfaces is served; all other options are as before."""
        self._options = replace(self._options, serves=options.serves, key=options.key)
        if self._service is not None:
            self._service.set_served(options.serves)

    async def stop(self) -> None:
        """Accepts no more requests, and closes when responses finish or after `STOP_GRACE_SECONDS`."""
        self._stop_listening()
        if self._service is not None:
            await self._service.finish_responses()
        await self.close()

    def _listen(self) -> None:
        for listener in self._server.sockets:
            with listener.dup() as duplicate:
                duplicate.listen(LISTEN_BACKLOG)  # asyncio would take `MAX_ACCEPTS_PER_TURN` for this, too

    def _await_connection(self) -> None:
        """Loads the service when somebody connects."""
        loop = asyncio.get_running_loop()
        for listener in self._server.sockets:
            loop.add_reader(listener.fileno(), self._on_connection)

    def _on_connection(self) -> None:
        self._ignore_connections()
        self._loading = asyncio.create_task(self._load_service())

    async def _load_service(self) -> None:
        """Loads the service, and accepts connections from then on; else answers those that wait."""
        try:
            module = await asyncio.to_thread(importlib.import_module, SERVICE_MODULE)
            service = module.HttpService(self._options, self._media_libraries, self._bridge, self._senders)
        except Exception:  # whatever is missing or broken, the bridge goes on without its pages
            if self._failure_log.is_due():
                log.exception("web server cannot be loaded", url=self.url)
            if not await self._answer_waiting_connections():
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)
            self._await_connection()
            return
        self._service = service
        service.set_language(self._language)
        await self._server.start_serving()
        with suppress(OSError):  # too many files are open: then the queue stays as short as asyncio makes it
            self._listen()

    async def _answer_waiting_connections(self) -> bool:
        """Says that the service cannot be loaded to those who have connected, and closes the connections.

        Returns whether there was one: without a file descriptor left none can be accepted.
        """
        bridge = self._bridge or BridgeState()
        explanation = server_text(self._language, "not_loaded")
        answer = partial(_failure_answer, bridge=bridge, explanation=explanation)
        connections = [
            connection for listener in self._server.sockets for connection in _accept_waiting(listener)
        ]
        await asyncio.gather(*(_answer_once(connection, answer) for connection in connections))
        return bool(connections)

    def _connection(self) -> HttpConnection:
        assert self._service is not None, "nothing is accepted before it is loaded"
        return self._service.connection()

    def _ignore_connections(self) -> None:
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())

    def _stop_listening(self) -> None:
        self._ignore_connections()
        if self._loading is not None:
            self._loading.cancel()
        self._server.close()

    async def close(self) -> None:
        """Closes all connections at once."""
        self._stop_listening()
        if self._service is not None:
            await self._service.close()


def _accept_waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Yields connections that wait in the kernel, at most `MAX_ACCEPTS_PER_TURN`."""
    with suppress(OSError), listener.dup() as duplicate:  # none waits any more, or too many files are open
        for _ in range(MAX_ACCEPTS_PER_TURN):
            connection, _ = duplicate.accept()
            yield connection


async def _answer_once(connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Reads the head of a request, writes the answer to it, and closes the connection."""
    reader, writer = await asyncio.open_connection(sock=connection)
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(FAILURE_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _failure_answer(head: bytes, *, bridge: BridgeState, explanation: str) -> bytes:
    """Returns the answer to a request while the service cannot be loaded."""
    path = head.partition(b" ")[2].partition(b" ")[0].partition(b"?")[0]
    if path.endswith(_HEALTH_PATH):
        return _json_answer({"healthy": False, "reasons": ["web_server_not_loaded"]}, is_good=False)
    if path.endswith(_LIVENESS_PATH):
        is_alive = not bridge.overdue()
        return _json_answer({"alive": is_alive}, is_good=is_alive)
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", f"{explanation}\n")


def _json_answer(body: dict[str, Json], *, is_good: bool) -> bytes:
    status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(status, "application/json", json.dumps(body))


def _answer(status: HTTPStatus, content_type: str, text: str) -> bytes:
    body = text.encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "connection: close",
        "cache-control: no-store",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


class WebServers:
    """The web server and the addresses that serve senders only, as one: a context manager.

    Leaving it closes all connections at once; `stop` before it lets responses in progress finish.
    """

    def __init__(
        self,
        media_libraries: Sequence[MediaLibrary],
        bridge: BridgeState | None = None,
        senders: SenderRegistry | None = None,
    ) -> None:
        self._media_libraries = media_libraries
        self._bridge = bridge
        self._senders = senders
        #: That of the page first; empty before `listen_on`.
        self._servers: list[WebServer] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            await server.close()

    async def listen_on(self, all_options: Sequence[WebOptions]) -> None:
        """Opens the addresses that are not open yet, then stops those that are not among them.

        Raises `CannotListen` with all addresses that cannot be had; then nothing has changed.
        """
        unused = {_address_of(server.options): server for server in self._servers}
        servers: list[WebServer] = []
        problems: list[str] = []
        async with AsyncExitStack() as opened:
            for options in all_options:
                server = unused.pop(_address_of(options), None)
                if server is None:
                    server = WebServer(options, self._media_libraries, self._bridge, self._senders)
                    try:
                        await opened.enter_async_context(server)
                    except CannotListen as error:
                        problems += error.problems
                servers.append(server)
            if problems:
                raise CannotListen(*problems)
            opened.pop_all()
        for server, options in zip(servers, all_options, strict=True):
            server.set_served(options)
        self._servers = servers
        await asyncio.gather(*(server.stop() for server in unused.values()))

    @property
    def url(self) -> str:
        return self._servers[0].url

    def set_language(self, language: Language) -> None:
        for server in self._servers:
            server.set_language(language)

    async def stop(self) -> None:
        """Stops all of them as `WebServer.stop`, at the same time."""
        await asyncio.gather(*(server.stop() for server in self._servers))


def _address_of(options: WebOptions) -> tuple[str, int, str]:
    """Returns what tells an address from others; with port 0 each key of the configuration has one."""
    return options.host, options.port, "" if options.port else options.key
