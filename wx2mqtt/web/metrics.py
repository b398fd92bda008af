"""GET /metrics. However many ask, the bridge is read once a second, and the loop writes none of it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt.web.metrics_snapshot import MetricsSnapshot, read_metrics
from wx2mqtt.web.views import BridgeState

CACHE_SECONDS = 1.0  # seconds for which a reading is good


class MetricsEndpoint:
    """Answers for Prometheus."""

    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge
        self._scrape_lock = asyncio.Lock()
        self._cached: tuple[float, MetricsSnapshot] | None = None

    async def handle(self, request: Request) -> Response:
        """Whatever form of the exposition the client accepts."""
        async with self._scrape_lock:
            reading = await self._read_cached()
            body, content_type = await asyncio.to_thread(
                _write, reading, request.headers.get("accept", "")[:1000]
            )
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    async def _read_cached(self) -> MetricsSnapshot:
        now = asyncio.get_running_loop().time()
        if self._cached is None or now - self._cached[0] >= CACHE_SECONDS:
            self._cached = now, await read_metrics(self._bridge)
        return self._cached[1]


def _write(metrics_snapshot: MetricsSnapshot, accept: str) -> tuple[bytes, str]:
    from wx2mqtt.web.metrics_exposition import encode_metrics  # noqa: PLC0415 - who never scrapes never needs it

    return encode_metrics(metrics_snapshot, accept)
