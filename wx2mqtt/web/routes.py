"""/livez and /healthz: whether the bridge lives, and whether all that should work does.

Everybody may ask, as whoever watches over machines must; what is wrong is told to who may see the page.

The whole application: what there is to see, behind the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import cast

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from wx2mqtt import __version__
from wx2mqtt.bridge.health import is_healthy
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n.web import server_text
from wx2mqtt.model import Json
from wx2mqtt.web.auth import Authenticator
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
from wx2mqtt.web.request import AllowedHosts, context_of
from wx2mqtt.web.views import AccountReader, BridgeState

log = structlog.get_logger(__name__)


HEALTH_TIMEOUT_SECONDS = 5.0  # seconds; whoever watches gives up after ten


HEALTH_HEADERS = {"cache-control": "no-store"}


class HealthEndpoint:
    """Answers for machines."""

    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge

    async def livez(self, request: Request) -> Response:
        """GET /livez: 200 as long as every loop moves, also while the bridge waits for a person."""
        stuck = self._bridge.overdue()
        details: dict[str, Json] = {"stuck": list(stuck)}
        return _answer(request, "alive", is_healthy=not stuck, details=details)

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 only when everything works."""
        bridge = self._bridge
        accounts = dict(await asyncio.gather(*map(_account, bridge.views)))
        reasons: list[Json] = [
            f"{name}: {problem}"
            for name, account in accounts.items()
            for problem in cast("list[str]", account["problems"])
        ]
        if not accounts:
            reasons = ["configuration"]
        details: dict[str, Json] = {"reasons": reasons, "version": __version__, "accounts": {**accounts}}
        return _answer(request, "healthy", is_healthy=not reasons, details=details)


async def _account(view: AccountReader) -> tuple[str, dict[str, Json]]:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
            problems: list[Json] = list(is_healthy(await view.snapshot()))
    except (StoreError, TimeoutError) as trouble:
        log.warning("health is not known", account=view.name, problem=str(trouble) or "no answer in time")
        problems = ["store_trouble"]
    return view.name, {"healthy": not problems, "problems": problems, "state": str(view.login.state)}


def _answer(request: Request, message_key: str, *, is_healthy: bool, details: Mapping[str, Json]) -> Response:
    body = {message_key: is_healthy, **(details if context_of(request.scope).is_allowed else {})}
    status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(body, status, HEALTH_HEADERS)


def web_application(
    options: WebOptions,
    media_sources: Sequence[MediaSource],
    closing: asyncio.Event,
    clock: Callable[[], float],
    bridge: BridgeState | None = None,
) -> SecurityMiddleware:
    """An ASGI application. Nobody waits any more once `closing` is set; `clock` in seconds."""
    bridge = bridge or BridgeState()
    access, assets = Authenticator(options, clock), Assets()
    login, media = LoginPage(access, assets), MediaEndpoint(media_sources, closing)
    routes = [
        Route("/media/{id}", media.handle, methods=["GET"]),  # and HEAD
        Route(LOGIN_PATH, login.show, methods=["GET"]),
        Route(LOGIN_PATH, login.log_in, methods=["POST"]),
        Route("/logout", login.log_out, methods=["POST"]),
        *_page(PageHandlers(bridge, access, assets, closing)),
        *_machines(HealthEndpoint(bridge), MetricsEndpoint(bridge)),
    ]
    router = Router(routes, redirect_slashes=False, default=_nothing_here)
    return SecurityMiddleware(router, options, AllowedHosts(options), access)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    text = server_text(context_of(scope).language, "nothing_here")
    answer = PlainTextResponse(f"{text}\n", HTTPStatus.NOT_FOUND, {"cache-control": "no-store"})
    await answer(scope, receive, send)


def _page(page: PageHandlers) -> list[Route]:
    account = "/accounts/{account}"
    return [
        Route("/", page.show, methods=["GET"]),
        Route("/events", page.events, methods=["GET"]),
        Route(f"{STATIC_PATH}{{name}}", page.static, methods=["GET"]),
        Route("/language", page.set_language, methods=["POST"]),
        Route(f"{account}/qr.png", page.qr_png, methods=["GET"]),
        Route(f"{account}/contacts", page.contacts, methods=["GET"]),
        Route(f"{account}/login", page.request_login, methods=["POST"]),
        Route(f"{account}/number", page.enter_verification_code, methods=["POST"]),
        Route(f"{account}/logout", page.confirm_logout, methods=["GET"]),
        Route(f"{account}/logout", page.log_out, methods=["POST"]),
        Route(f"{account}/test", page.send_test, methods=["POST"]),
    ]


def _machines(health: HealthEndpoint, metrics: MetricsEndpoint) -> list[Route]:
    return [
        Route(LIVENESS_PATH, health.livez, methods=["GET"]),
        Route(HEALTH_PATH, health.healthz, methods=["GET"]),
        Route(METRICS_PATH, metrics.handle, methods=["GET"]),
    ]
