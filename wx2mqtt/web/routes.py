"""The ASGI application: all routes, behind the security middleware."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.health import HealthEndpoint
from wx2mqtt.web.hosts import AllowedHosts
from wx2mqtt.web.html import Assets
from wx2mqtt.web.login_page import LoginPage
from wx2mqtt.web.media import MediaEndpoint, MediaSource
from wx2mqtt.web.metrics import MetricsEndpoint
from wx2mqtt.web.middleware import (
    HEALTH_PATH,
    LIVENESS_PATH,
    LOGIN_PATH,
    METRICS_PATH,
    STATIC_PATH,
    SecurityMiddleware,
)
from wx2mqtt.web.options import WebOptions
from wx2mqtt.web.page.handlers import PageHandlers
from wx2mqtt.web.page.sections import QR_IMAGE_NAME
from wx2mqtt.web.request import context_of
from wx2mqtt.web.responses import text_response


def web_application(
    options: WebOptions,
    media_sources: Sequence[MediaSource],
    closing: asyncio.Event,
    clock: Callable[[], float],
    bridge: BridgeState | None = None,
) -> SecurityMiddleware:
    """Returns the application. When `closing` is set, requests that wait end. `clock` in seconds."""
    bridge = bridge or BridgeState()
    authenticator = Authenticator(options, clock)
    assets = Assets()
    login_page = LoginPage(authenticator, assets)
    media = MediaEndpoint(media_sources, closing)
    health = HealthEndpoint(bridge)
    metrics = MetricsEndpoint(bridge)
    routes = [
        Route("/media/{id}", media.handle, methods=["GET"]),  # starlette adds HEAD to GET
        Route(LOGIN_PATH, login_page.show, methods=["GET"]),
        Route(LOGIN_PATH, login_page.log_in, methods=["POST"]),
        Route("/logout", login_page.log_out, methods=["POST"]),
        Route(LIVENESS_PATH, health.livez, methods=["GET"]),
        Route(HEALTH_PATH, health.healthz, methods=["GET"]),
        Route(METRICS_PATH, metrics.handle, methods=["GET"]),
        *_page_routes(PageHandlers(bridge, authenticator, assets, closing)),
    ]
    router = Router(routes, redirect_slashes=False, default=_not_found)
    return SecurityMiddleware(router, options, AllowedHosts(options), authenticator)


def _page_routes(page: PageHandlers) -> list[Route]:
    account = "/accounts/{account}"
    return [
        Route("/", page.show, methods=["GET"]),
        Route("/events", page.events, methods=["GET"]),
        Route(f"{STATIC_PATH}{{name}}", page.static, methods=["GET"]),
        Route("/language", page.set_language, methods=["POST"]),
        Route(f"{account}/{QR_IMAGE_NAME}", page.qr_image, methods=["GET"]),
        Route(f"{account}/contacts", page.contacts, methods=["GET"]),
        Route(f"{account}/login", page.request_login, methods=["POST"]),
        Route(f"{account}/number", page.enter_verification_code, methods=["POST"]),
        Route(f"{account}/logout", page.confirm_logout, methods=["GET"]),
        Route(f"{account}/logout", page.log_out, methods=["POST"]),
        Route(f"{account}/test", page.send_test, methods=["POST"]),
    ]


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    response = text_response(context_of(scope), HTTPStatus.NOT_FOUND, "nothing_here")
    await response(scope, receive, send)
