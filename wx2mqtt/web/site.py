"""The whole application: what there is to see, behind the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.access import Access
from wx2mqtt.web.assets import Assets
from wx2mqtt.web.gate import HEALTH, LIVE, LOGIN, METRICS, STATIC, Gate
from wx2mqtt.web.health import Health
from wx2mqtt.web.hosts import Hosts
from wx2mqtt.web.login import Login
from wx2mqtt.web.media import Media, Shelf
from wx2mqtt.web.metrics.answer import Metrics
from wx2mqtt.web.options import Options
from wx2mqtt.web.page.answers import Page
from wx2mqtt.web.views import Bridge
from wx2mqtt.web.visit import visit_of
from wx2mqtt.web.words import say


def site(
    options: Options,
    shelves: Sequence[Shelf],
    closing: asyncio.Event,
    clock: Callable[[], float],
    bridge: Bridge | None = None,
) -> Gate:
    """An ASGI application. Nobody waits any more once `closing` is set; `clock` in seconds."""
    bridge = bridge or Bridge()
    access, assets = Access(options, clock), Assets()
    login, media = Login(access, assets), Media(shelves, closing)
    routes = [
        Route("/media/{id}", media.answer, methods=["GET"]),  # and HEAD
        Route(LOGIN, login.show, methods=["GET"]),
        Route(LOGIN, login.log_in, methods=["POST"]),
        Route("/logout", login.log_out, methods=["POST"]),
        *_page(Page(bridge, access, assets, closing)),
        *_machines(Health(bridge), Metrics(bridge)),
    ]
    router = Router(routes, redirect_slashes=False, default=_nothing_here)
    return Gate(router, options, Hosts(options), access)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    text = say(visit_of(scope).language, "nothing_here")
    answer = PlainTextResponse(f"{text}\n", HTTPStatus.NOT_FOUND, {"cache-control": "no-store"})
    await answer(scope, receive, send)


def _page(page: Page) -> list[Route]:
    account = "/accounts/{account}"
    return [
        Route("/", page.show, methods=["GET"]),
        Route("/events", page.events, methods=["GET"]),
        Route(f"{STATIC}{{name}}", page.static, methods=["GET"]),
        Route("/language", page.language, methods=["POST"]),
        Route(f"{account}/qr.png", page.code, methods=["GET"]),
        Route(f"{account}/contacts", page.contacts, methods=["GET"]),
        Route(f"{account}/login", page.log_in, methods=["POST"]),
        Route(f"{account}/number", page.number, methods=["POST"]),
        Route(f"{account}/logout", page.ask, methods=["GET"]),
        Route(f"{account}/logout", page.log_out, methods=["POST"]),
        Route(f"{account}/test", page.test, methods=["POST"]),
    ]


def _machines(health: Health, metrics: Metrics) -> list[Route]:
    return [
        Route(LIVE, health.live, methods=["GET"]),
        Route(HEALTH, health.well, methods=["GET"]),
        Route(METRICS, metrics.answer, methods=["GET"]),
    ]
