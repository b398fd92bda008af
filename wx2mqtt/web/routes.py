"""The ASGI application: all routes, behind the security middleware; and the health endpoints.

Everybody gets the verdict on the health, as programs that watch the bridge often send no password; only
authenticated clients get details.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import cast

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from wx2mqtt import __version__
from wx2mqtt.bridge.health import active_problems, operational_problems
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.bridge_state import AccountReader, BridgeState
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
from wx2mqtt.web.page.sections import NEW_OWNER_PATH, QR_IMAGE_NAME
from wx2mqtt.web.request import context_of
from wx2mqtt.web.responses import NO_STORE, OUTAGE_HEADERS, text_response

log = structlog.get_logger(__name__)

# What is served while the database is away: the page says so itself.
WITHOUT_ACCOUNTS = frozenset(
    {"/", "/events", "/language", "/logout", LOGIN_PATH, LIVENESS_PATH, HEALTH_PATH, METRICS_PATH}
)

HEALTH_TIMEOUT_SECONDS = 5.0  # programs that watch usually give up after ten


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
    return SecurityMiddleware(OutageGate(router, bridge), options, AllowedHosts(options), authenticator)


class OutageGate:
    """Answers 503 with a sentence while the database is away, but for the page and what needs no account."""

    def __init__(self, app: ASGIApp, bridge: BridgeState) -> None:
        self._app = app
        self._bridge = bridge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        is_served = path in WITHOUT_ACCOUNTS or path.startswith(STATIC_PATH)
        if is_served or self._bridge.outage() is None:
            await self._app(scope, receive, send)
            return
        response = text_response(
            context_of(scope), HTTPStatus.SERVICE_UNAVAILABLE, "database_away", OUTAGE_HEADERS
        )
        await response(scope, receive, send)


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
        Route(f"{account}/{NEW_OWNER_PATH}", page.confirm_new_owner, methods=["GET"]),
        Route(f"{account}/{NEW_OWNER_PATH}", page.request_new_owner, methods=["POST"]),
        Route(f"{account}/number", page.enter_verification_code, methods=["POST"]),
        Route(f"{account}/logout", page.confirm_logout, methods=["GET"]),
        Route(f"{account}/logout", page.log_out, methods=["POST"]),
        Route(f"{account}/test", page.send_test, methods=["POST"]),
        Route(f"{account}/send", page.send, methods=["POST"]),
    ]


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    response = text_response(context_of(scope), HTTPStatus.NOT_FOUND, "nothing_here")
    await response(scope, receive, send)


class HealthEndpoint:
    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge

    async def livez(self, request: Request) -> Response:
        """GET /livez: 200 while every loop moves, also while the bridge waits for a person or a database."""
        overdue = self._bridge.overdue()
        details: dict[str, Json] = {"stuck": list(overdue), **_outage_fields(self._bridge)}
        return _health_response(request, "alive", is_good=not overdue, details=details)

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 only while everything works; a command that was not sent is no matter of it."""
        accounts = dict(await asyncio.gather(*map(_account_health, self._bridge.views)))
        reasons: list[Json] = [
            f"{name}: {problem}"
            for name, account in accounts.items()
            for problem in cast("list[str]", account["problems"])
        ]
        cluster = self._bridge.cluster()
        if not self._bridge.is_running:
            reasons = ["configuration"]
        elif self._bridge.outage() is not None or (cluster is not None and not cluster.has_lease):
            reasons = ["database_away", *reasons]
        details: dict[str, Json] = {
            "reasons": reasons,
            "version": __version__,
            "accounts": {**accounts},
            **_outage_fields(self._bridge),
        }
        return _health_response(request, "healthy", is_good=not reasons, details=details)


def _outage_fields(bridge: BridgeState) -> dict[str, Json]:
    outage = bridge.outage()
    if outage is None:
        return {}
    return {"database": {"away_since": rfc3339(outage.since), "reason": outage.reason}}


async def _account_health(view: AccountReader) -> tuple[str, dict[str, Json]]:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
            problems: list[Json] = [*operational_problems(active_problems(await view.snapshot()))]
    except (StoreError, TimeoutError) as error:
        log.warning("health is not known", account=view.name, problem=str(error) or "no answer in time")
        problems = ["store_trouble"]
    return view.name, {"healthy": not problems, "problems": problems, "state": str(view.login.state)}


def _health_response(
    request: Request, verdict_key: str, *, is_good: bool, details: Mapping[str, Json]
) -> Response:
    is_allowed = context_of(request.scope).is_allowed
    body = {verdict_key: is_good, **(details if is_allowed else {})}
    status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(body, status, NO_STORE)
