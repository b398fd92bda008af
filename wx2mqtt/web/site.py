"""The whole application: what there is to see, behind the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.routing import Route, Router

from wx2mqtt.web.access import Access
from wx2mqtt.web.gate import LOGIN, Gate
from wx2mqtt.web.hosts import Hosts
from wx2mqtt.web.login import Login
from wx2mqtt.web.media import Media, Shelf
from wx2mqtt.web.options import Options


def site(
    options: Options, shelves: Sequence[Shelf], closing: asyncio.Event, clock: Callable[[], float]
) -> Gate:
    """An ASGI application. Nobody waits any more once `closing` is set; `clock` in seconds."""
    access = Access(options, clock)
    login, media = Login(access), Media(shelves, closing)
    routes = [
        Route("/media/{id}", media.answer, methods=["GET"]),  # and HEAD
        Route(LOGIN, login.show, methods=["GET"]),
        Route(LOGIN, login.log_in, methods=["POST"]),
        Route("/logout", login.log_out, methods=["POST"]),
    ]
    return Gate(Router(routes, redirect_slashes=False), options, Hosts(options), access)
