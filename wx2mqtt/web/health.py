"""GET /livez and /healthz.

Everybody gets the verdict, as programs that watch the bridge often send no password. Only authenticated
clients get details.
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
from wx2mqtt.bridge.health import active_problems, operational_problems
from wx2mqtt.bridge.view import AccountView
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.request import context_of
from wx2mqtt.web.responses import NO_STORE

log = structlog.get_logger(__name__)

HEALTH_TIMEOUT_SECONDS = 5.0  # programs that watch usually give up after ten


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


async def _account_health(view: AccountView) -> tuple[str, dict[str, Json]]:
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
