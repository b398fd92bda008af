"""The web server: listens, and loads the HTTP service when somebody connects for the first time.

    1. It listens. Connections wait in the kernel.
    2. The first one loads `routes.py` in a thread.
    3. The service accepts them, and all later ones.

The libraries of the service take memory, and perhaps nobody ever connects. So nothing here imports them.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import structlog

from wx2mqtt.i18n import Language
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
        for listener in self._server.sockets:
            loop.add_reader(listener.fileno(), self._on_first_connection)
        self.port = self._server.sockets[0].getsockname()[1]
        is_for_people = self._options.serves in {Serves.EVERYTHING, Serves.PAGE}
        log.info("web server runs" if is_for_people else "senders are served", url=self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close_all()

    async def stop(self) -> None:
        """Accepts no more requests, and closes when responses finish or after `STOP_GRACE_SECONDS`."""
        self._stop_listening()
        if self._service is not None:
            await self._service.finish_responses()
        await self._close_all()

    def _listen(self) -> None:
        for listener in self._server.sockets:
            with listener.dup() as duplicate:
                duplicate.listen(LISTEN_BACKLOG)  # asyncio would take `MAX_ACCEPTS_PER_TURN` for this, too

    def _on_first_connection(self) -> None:
        self._ignore_connections()
        self._loading = asyncio.create_task(self._load_service())

    async def _load_service(self) -> None:
        """Loads the service, and accepts connections from then on."""
        module = await asyncio.to_thread(importlib.import_module, SERVICE_MODULE)
        self._service = module.HttpService(self._options, self._media_libraries, self._bridge, self._senders)
        self._service.set_language(self._language)
        await self._server.start_serving()
        self._listen()

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

    async def _close_all(self) -> None:
        self._stop_listening()
        if self._service is not None:
            await self._service.close()


class WebServers:
    """The web server and the addresses that serve senders only, as one."""

    def __init__(self, servers: Sequence[WebServer]) -> None:
        #: That of the page first.
        self._servers = servers

    @property
    def url(self) -> str:
        return self._servers[0].url

    def set_language(self, language: Language) -> None:
        for server in self._servers:
            server.set_language(language)

    async def stop(self) -> None:
        """Stops all of them as `WebServer.stop`, at the same time."""
        await asyncio.gather(*(server.stop() for server in self._servers))
