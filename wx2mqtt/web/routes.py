"""The HTTP service behind the web server's sockets: all routes, and uvicorn, which speaks HTTP for them.

A new address is a route here and, where it needs no session, a row of `middleware.PATH_RULES`. The module is
loaded when somebody connects for the first time: starlette and uvicorn take 5 MB and a tenth of the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

import structlog
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.i18n import Language
from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.health_endpoint import HealthEndpoint
from wx2mqtt.web.html import Assets
from wx2mqtt.web.http_limits import HEAD_TIMEOUT_SECONDS, ConnectionLimiter, HttpConnection, RequestWatch
from wx2mqtt.web.login_page import LoginPage
from wx2mqtt.web.media_endpoint import MediaEndpoint
from wx2mqtt.web.metrics_endpoint import MetricsEndpoint
from wx2mqtt.web.middleware import (
    HEALTH_PATH,
    LIVENESS_PATH,
    LOGIN_PATH,
    MEDIA_PATH,
    METRICS_PATH,
    STATIC_PATH,
    SecurityMiddleware,
)
from wx2mqtt.web.options import Serves, WebOptions
from wx2mqtt.web.page.handlers import PageHandlers
from wx2mqtt.web.page.page import LOGOUT_QUESTION, NEW_OWNER_QUESTION
from wx2mqtt.web.request_context import context_of
from wx2mqtt.web.responses import text_response
from wx2mqtt.web.senders.endpoint import SenderEndpoint
from wx2mqtt.web.senders.sender_rights import SenderRegistry

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS = 2.0  # for responses in progress when the server stops


def web_application(
    options: WebOptions,
    media_libraries: Sequence[MediaLibrary],
    closing: asyncio.Event,
    clock: Callable[[], float],
    bridge: BridgeState | None = None,
    senders: SenderRegistry | None = None,
) -> WebApplication:
    """Returns the application. When `closing` is set, requests that wait end. `clock` in seconds."""
    bridge = bridge or BridgeState()
    authenticator = Authenticator(options, clock)
    endpoint = SenderEndpoint(bridge, senders or SenderRegistry(clock), closing)
    page_routes: list[Route] = []
    if options.serves in {Serves.EVERYTHING, Serves.PAGE}:
        page_routes = _page_routes(bridge, authenticator, media_libraries, closing)
    return WebApplication(options, authenticator, bridge, endpoint, page_routes)


class WebApplication(SecurityMiddleware):
    """The application of one address: the routes of the page, if it has them, and those of senders."""

    def __init__(
        self,
        options: WebOptions,
        authenticator: Authenticator,
        bridge: BridgeState,
        endpoint: SenderEndpoint,
        page_routes: list[Route],
    ) -> None:
        self._router = Router([], redirect_slashes=False, default=_not_found)
        super().__init__(self._router, options, authenticator, bridge)
        self._endpoint = endpoint
        self._page_routes = page_routes
        self.set_served(options.serves)

    def set_served(self, serves: Serves) -> None:
        """Changes which interfaces of senders are served; an address gets or loses no page."""
        self._options = replace(self._options, serves=serves)
        self._router.routes[:] = [*self._endpoint.routes(serves), *self._page_routes]


def _page_routes(
    bridge: BridgeState,
    authenticator: Authenticator,
    media_libraries: Sequence[MediaLibrary],
    closing: asyncio.Event,
) -> list[Route]:
    assets = Assets()
    health = HealthEndpoint(bridge)
    metrics = MetricsEndpoint(bridge)
    media = MediaEndpoint(media_libraries, closing)
    login = LoginPage(authenticator, assets)
    page = PageHandlers(bridge, authenticator, assets, closing)
    of_account, account = page.of_account, "/accounts/{account}"
    return [  # starlette adds HEAD to GET
        Route(LIVENESS_PATH, health.livez, methods=["GET"]),
        Route(HEALTH_PATH, health.healthz, methods=["GET"]),
        Route(METRICS_PATH, metrics.handle, methods=["GET"]),
        Route(f"{MEDIA_PATH}{{id}}", media.handle, methods=["GET"]),
        Route(LOGIN_PATH, login.show, methods=["GET"]),
        Route(LOGIN_PATH, login.log_in, methods=["POST"]),
        Route("/logout", login.log_out, methods=["POST"]),
        Route("/", page.show, methods=["GET"]),
        Route("/events", page.events, methods=["GET"]),
        Route(f"{STATIC_PATH}{{name}}", page.static, methods=["GET"]),
        Route("/language", page.set_language, methods=["POST"]),
        Route(f"{account}/qr.png", page.qr_image, methods=["GET"]),
        Route(f"{account}/contacts", of_account(page.contacts), methods=["GET"]),
        Route(f"{account}/login", of_account(page.request_login), methods=["POST"]),
        Route(f"{account}/new-owner", of_account(page.ask(NEW_OWNER_QUESTION)), methods=["GET"]),
        Route(f"{account}/new-owner", of_account(page.request_new_owner), methods=["POST"]),
        Route(f"{account}/confirm-bot", of_account(page.confirm_bot), methods=["POST"]),
        Route(f"{account}/owner", of_account(page.name_owner), methods=["POST"]),
        Route(f"{account}/close-question", of_account(page.close_question), methods=["POST"]),
        Route(f"{account}/number", of_account(page.enter_verification_code), methods=["POST"]),
        Route(f"{account}/logout", of_account(page.ask(LOGOUT_QUESTION)), methods=["GET"]),
        Route(f"{account}/logout", of_account(page.log_out), methods=["POST"]),
        Route(f"{account}/test", of_account(page.send_test), methods=["POST"]),
        Route(f"{account}/send", of_account(page.send), methods=["POST"]),
    ]


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    response = text_response(context_of(scope), HTTPStatus.NOT_FOUND, "nothing_here")
    await response(scope, receive, send)


class HttpService:
    """All connections to the web server, without a task of its own."""

    def __init__(
        self,
        options: WebOptions,
        media_libraries: Sequence[MediaLibrary],
        bridge: BridgeState | None,
        senders: SenderRegistry | None = None,
    ) -> None:
        self._closing = asyncio.Event()
        self._limiter = ConnectionLimiter(proxies=options.proxies)
        self._state = ServerState()
        clock = asyncio.get_running_loop().time
        self._application = web_application(options, media_libraries, self._closing, clock, bridge, senders)
        self._config = Config(
            RequestWatch(self._application),
            http="httptools",
            ws="none",
            lifespan="off",
            workers=1,
            log_config=None,
            access_log=False,  # paths hold ids, and queries more
            proxy_headers=False,  # request_context.py reads them, from trusted proxies only
            server_header=False,
            date_header=False,  # the middleware sets it; uvicorn would need a task for it
            timeout_keep_alive=int(HEAD_TIMEOUT_SECONDS),
        )
        self._config.load()

    def set_language(self, language: Language) -> None:
        self._application.default_language = language

    def set_served(self, serves: Serves) -> None:
        self._application.set_served(serves)

    def connection(self) -> HttpConnection:
        language = self._application.default_language
        return HttpConnection(self._config, self._state, self._limiter, language)

    async def finish_responses(self) -> None:
        """Closes connections when their responses finish, at most `STOP_GRACE_SECONDS` later."""
        self._closing.set()
        for connection in [*self._limiter.connections]:
            connection.close_after_response()
        try:
            async with asyncio.timeout(STOP_GRACE_SECONDS):
                await self._limiter.empty.wait()
        except TimeoutError:
            log.info("answers cut off", count=len(self._limiter.connections))

    async def close(self) -> None:
        self._closing.set()
        for connection in [*self._state.connections]:
            connection.transport.abort()
        tasks = [*self._state.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._limiter.empty.wait()
