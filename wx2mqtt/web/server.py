"""Starts and stops the web server in the bridge's own loop; it needs no task of its own."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from wx2mqtt.web.http_limits import HEAD_TIMEOUT_SECONDS, ConnectionLimiter, HttpConnection
from wx2mqtt.web.media import MediaSource
from wx2mqtt.web.options import CannotListen, WebOptions
from wx2mqtt.web.request import MAX_HEAD_BYTES
from wx2mqtt.web.routes import web_application
from wx2mqtt.web.views import BridgeState

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS = 2.0  # seconds that answers under way get at the stop
MAX_ACCEPTS_PER_TURN = (
    64  # connections that are taken in one turn of the loop, before anything else gets its turn
)
LISTEN_BACKLOG = 512  # those that the kernel holds until then; they cost no file descriptor


class WebServer:
    """`async with Server(options, shelves) as server` serves at `server.url`; the end is at once.

    `stop` before it lets answers under way come to their end. Port 0 takes a free one. Raises `CannotListen`.
    """

    def __init__(
        self, options: WebOptions, media_sources: Sequence[MediaSource], bridge: BridgeState | None = None
    ) -> None:
        self._options = options
        self._closing = asyncio.Event()
        self._limiter = ConnectionLimiter()
        self._state = ServerState()
        clock = asyncio.get_running_loop().time
        self._config = Config(
            web_application(options, media_sources, self._closing, clock, bridge),
            http="h11",
            ws="none",
            lifespan="off",
            workers=1,
            log_config=None,
            access_log=False,  # paths hold ids, and queries more
            proxy_headers=False,  # see visitors.py
            server_header=False,
            date_header=False,  # the gate sets it; here it would need a task
            timeout_keep_alive=int(HEAD_TIMEOUT_SECONDS),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._server: asyncio.Server | None = None
        self.port = options.port

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
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
            raise CannotListen(_sentence(self._options, error)) from error
        for listening in self._server.sockets:
            with listening.dup() as same:
                same.listen(LISTEN_BACKLOG)  # asyncio has one number for both
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("web server runs", url=self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_all()

    async def stop(self) -> None:
        """Take no more requests, let what is under way come to its end for `STOP_GRACE_SECONDS`
        seconds, then end it.
        """
        assert self._server is not None
        self._server.close()
        self._closing.set()
        for guest in self._limiter.connections:
            assert isinstance(guest, HttpConnection)
            guest.close_after_response()
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


def _sentence(options: WebOptions, error: OSError) -> str:
    """Why the address cannot be had, and how to mend it."""
    where = f"port {options.port} on {options.host}"
    if isinstance(error, PermissionError):
        return f"web.listen: {where} may be opened by root only: choose one from 1024 on"
    reason = "is in use" if _in_use(error) else f"cannot be had ({error.strerror or error})"
    return f"web.listen: {where} {reason}: choose another, or set web.enabled to false"


def _in_use(error: OSError) -> bool:

    return error.errno == errno.EADDRINUSE
