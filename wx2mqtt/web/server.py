"""The web server: runs uvicorn's HTTP protocol on the running event loop, without a task of its own."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from wx2mqtt.i18n import Language
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.http_limits import HEAD_TIMEOUT_SECONDS, ConnectionLimiter, HttpConnection
from wx2mqtt.web.media import MediaSource
from wx2mqtt.web.options import CannotListen, WebOptions
from wx2mqtt.web.request import MAX_HEAD_BYTES
from wx2mqtt.web.routes import web_application

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS = 2.0  # for responses in progress when the server stops
MAX_ACCEPTS_PER_TURN = 64  # connections accepted in one iteration of the event loop
LISTEN_BACKLOG = 512  # connections that the kernel queues; they cost no file descriptor


class WebServer:
    """An async context manager that serves at `url` while it is open. Entering raises `CannotListen`.

    Leaving closes all connections at once; `stop` before it lets responses in progress finish. Port 0 takes a
    free port, which `port` holds then.
    """

    def __init__(
        self, options: WebOptions, media_sources: Sequence[MediaSource], bridge: BridgeState | None = None
    ) -> None:
        self._options = options
        self._closing = asyncio.Event()
        self._limiter = ConnectionLimiter(proxies=options.proxies)
        self._state = ServerState()
        clock = asyncio.get_running_loop().time
        self._application = web_application(options, media_sources, self._closing, clock, bridge)
        self._config = Config(
            self._application,
            http="h11",
            ws="none",
            lifespan="off",
            workers=1,
            log_config=None,
            access_log=False,  # paths hold ids, and queries more
            proxy_headers=False,  # request.py reads them, from trusted proxies only
            server_header=False,
            date_header=False,  # the middleware sets it; uvicorn would need a task for it
            timeout_keep_alive=int(HEAD_TIMEOUT_SECONDS),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._server: asyncio.Server | None = None
        self.port = options.port

    def set_language(self, language: Language) -> None:
        self._application.default_language = language

    @property
    def url(self) -> str:
        """The address that it listens on, without a slash at the end."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._config.load()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: HttpConnection(self._config, self._state, self._limiter),
                self._options.host,
                self._options.port,
                backlog=MAX_ACCEPTS_PER_TURN,
            )
        except OSError as error:
            raise CannotListen(_listen_problem(self._options, error)) from error
        for listener in self._server.sockets:
            with listener.dup() as duplicate:
                duplicate.listen(LISTEN_BACKLOG)  # asyncio has one number for this and for the accepts
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("web server runs", url=self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_all()

    async def stop(self) -> None:
        """Accepts no more requests, and closes when responses finish or after `STOP_GRACE_SECONDS`."""
        assert self._server is not None
        self._server.close()
        self._closing.set()
        for connection in self._limiter.connections:
            assert isinstance(connection, HttpConnection)
            connection.close_after_response()
        try:
            async with asyncio.timeout(STOP_GRACE_SECONDS):
                await self._limiter.empty.wait()
        except TimeoutError:
            log.info("answers cut off", count=len(self._limiter.connections))
        await self._close_all()

    async def _close_all(self) -> None:
        assert self._server is not None
        self._server.close()
        self._closing.set()
        for connection in [*self._state.connections]:
            connection.transport.abort()
        tasks = [*self._state.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._limiter.empty.wait()


def _listen_problem(options: WebOptions, error: OSError) -> str:
    """Returns why the address cannot be used, and what to change."""
    address = f"port {options.port} on {options.host}"
    if isinstance(error, PermissionError):
        return f"web.listen: {address} may be opened by root only: choose one from 1024 on"
    is_in_use = error.errno == errno.EADDRINUSE
    reason = "is in use" if is_in_use else f"cannot be had ({error.strerror or error})"
    return f"web.listen: {address} {reason}: choose another, or set web.enabled to false"
