"""/livez and /healthz: whether the bridge lives, and whether all that should work does.

Everybody may ask, as whoever watches over machines must; what is wrong is told to who may see the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wx2mqtt import __version__
from wx2mqtt.bridge.health import well
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.web.views import Bridge, View
from wx2mqtt.web.visit import visit_of

log = structlog.get_logger(__name__)

PATIENCE = 5.0  # seconds; whoever watches gives up after ten
HEADERS = {"cache-control": "no-store"}


class Health:
    """Answers for machines."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def live(self, request: Request) -> Response:
        """GET /livez: 200 as long as every loop moves, also while the bridge waits for a person."""
        stuck = self._bridge.stuck()
        details: dict[str, Json] = {"stuck": list(stuck)}
        return _answer(request, "alive", good=not stuck, details=details)

    async def well(self, request: Request) -> Response:
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
        return _answer(request, "healthy", good=not reasons, details=details)


async def _account(view: View) -> tuple[str, dict[str, Json]]:
    try:
        async with asyncio.timeout(PATIENCE):
            problems: list[Json] = list(well(await view.seen()))
    except (StoreError, TimeoutError) as trouble:
        log.warning("health is not known", account=view.name, problem=str(trouble) or "no answer in time")
        problems = ["store_trouble"]
    return view.name, {"healthy": not problems, "problems": problems, "state": str(view.login.state)}


def _answer(request: Request, word: str, *, good: bool, details: Mapping[str, Json]) -> Response:
    body = {word: good, **(details if visit_of(request.scope).welcome else {})}
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(body, status, HEADERS)
