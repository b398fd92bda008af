"""GET /livez and /healthz.

Everybody gets the verdict, as programs that watch the bridge often send no password. Only authenticated
clients get details.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wx2mqtt import __version__
from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.health import active_problems, operational_problems
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.request_context import context_of
from wx2mqtt.web.responses import NO_STORE

log = structlog.get_logger(__name__)

HEALTH_TIMEOUT_SECONDS = 5.0  # programs that watch usually give up after ten


class HealthEndpoint:
    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge

    async def livez(self, request: Request) -> Response:
        """GET /livez: 200 while every loop moves, also while the bridge waits for a person or a database."""
        overdue = self._bridge.overdue()
        return self._response(request, "alive", is_good=not overdue, details={"stuck": [*overdue]})

    async def healthz(self, request: Request) -> Response:
        """GET /healthz: 200 only while everything works; a command that was not sent is no matter of it."""
        bridge = self._bridge
        views = bridge.accounts()
        accounts: dict[str, Json] = {}
        reasons: list[Json] = []
        for view, problems in zip(views, await asyncio.gather(*map(_problems, views)), strict=True):
            state = str(view.login.state)
            accounts[view.name] = {"healthy": not problems, "problems": [*problems], "state": state}
            reasons += [f"{view.name}: {problem}" for problem in problems]
        cluster = bridge.cluster()
        if not bridge.is_running:
            reasons = ["configuration"]
        elif bridge.outage() is not None or (cluster is not None and not cluster.has_lease):
            reasons = ["database_away", *reasons]
        details: dict[str, Json] = {"reasons": reasons, "version": __version__, "accounts": accounts}
        return self._response(request, "healthy", is_good=not reasons, details=details)

    def _response(
        self, request: Request, verdict_key: str, *, is_good: bool, details: Mapping[str, Json]
    ) -> Response:
        body: dict[str, Json] = {verdict_key: is_good}
        if context_of(request.scope).is_allowed:
            body.update(details)
            if (outage := self._bridge.outage()) is not None:
                body["database"] = {"away_since": rfc3339(outage.since), "reason": outage.reason}
        status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(body, status, NO_STORE)


async def _problems(view: AccountView) -> Sequence[str]:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
            return operational_problems(active_problems(await view.snapshot()))
    except (StoreError, TimeoutError) as error:
        log.warning("health is not known", account=view.name, problem=str(error) or "no answer in time")
        return ["store_trouble"]
