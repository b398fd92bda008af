"""The HTTP service behind the web server's sockets: the routes, on uvicorn's HTTP protocol.

A module of its own, because starlette and uvicorn take 5 MB and a tenth of the start: it is loaded when
somebody connects for the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from wx2mqtt.i18n import Language
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.http_limits import HEAD_TIMEOUT_SECONDS, ConnectionLimiter, HttpConnection, RequestWatch
from wx2mqtt.web.media import MediaSource
from wx2mqtt.web.options import WebOptions
from wx2mqtt.web.routes import web_application

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS = 2.0  # for responses in progress when the server stops


class HttpService:
    """All connections to the web server, without a task of its own."""

    def __init__(
        self, options: WebOptions, media_sources: Sequence[MediaSource], bridge: BridgeState | None
    ) -> None:
        self._closing = asyncio.Event()
        self._limiter = ConnectionLimiter(proxies=options.proxies)
        self._state = ServerState()
        clock = asyncio.get_running_loop().time
        self._application = web_application(options, media_sources, self._closing, clock, bridge)
        self._config = Config(
            RequestWatch(self._application),
            http="httptools",
            ws="none",
            lifespan="off",
            workers=1,
            log_config=None,
            access_log=False,  # paths hold ids, and queries more
            proxy_headers=False,  # request.py reads them, from trusted proxies only
            server_header=False,
            date_header=False,  # the middleware sets it; uvicorn would need a task for it
            timeout_keep_alive=int(HEAD_TIMEOUT_SECONDS),
        )
        self._config.load()

    def set_language(self, language: Language) -> None:
        self._application.default_language = language

    def connection(self) -> HttpConnection:
        """Returns the protocol of a new connection."""
        language = self._application.default_language
        return HttpConnection(self._config, self._state, self._limiter, language)

    async def finish_responses(self) -> None:
        """Closes connections when their responses finish, at most `STOP_GRACE_SECONDS` later."""
        self._closing.set()
        for connection in self._limiter.connections:
            connection.close_after_response()
        try:
            async with asyncio.timeout(STOP_GRACE_SECONDS):
                await self._limiter.empty.wait()
        except TimeoutError:
            log.info("answers cut off", count=len(self._limiter.connections))

    async def close(self) -> None:
        """Closes all connections at once."""
        self._closing.set()
        for connection in [*self._state.connections]:
            connection.transport.abort()
        tasks = [*self._state.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._limiter.empty.wait()
