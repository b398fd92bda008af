"""GET /metrics. However many ask, the bridge is read once a second, and the loop writes none of it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt.web.metrics.reading import Reading, read
from wx2mqtt.web.views import Bridge

FRESH = 1.0  # seconds for which a reading is good


class Metrics:
    """Answers for Prometheus."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._one_by_one = asyncio.Lock()
        self._read: tuple[float, Reading] | None = None

    async def answer(self, request: Request) -> Response:
        """Whatever form of the exposition the client accepts."""
        async with self._one_by_one:
            reading = await self._reading()
            body, content_type = await asyncio.to_thread(
                _write, reading, request.headers.get("accept", "")[:1000]
            )
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    async def _reading(self) -> Reading:
        now = asyncio.get_running_loop().time()
        if self._read is None or now - self._read[0] >= FRESH:
            self._read = now, await read(self._bridge)
        return self._read[1]


def _write(reading: Reading, accept: str) -> tuple[bytes, str]:
    from wx2mqtt.web.metrics.families import write  # noqa: PLC0415 - who never scrapes never needs it

    return write(reading, accept)
