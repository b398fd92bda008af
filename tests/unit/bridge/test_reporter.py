"""When health is published: at the start, and after requests, of which several at a time lead to one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.contexts import context
from tests.unit.bridge.test_health import seen
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.reporter import StatusReporter
from wx2mqtt.model import Json


class HealthTimes:
    """Source of the health, and the topic to which it goes; `times` says when it was published."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def snapshot(self) -> HealthSnapshot:
        return seen()

    def show_health(self, _body: Mapping[str, Json]) -> None:
        self.times.append(asyncio.get_running_loop().time())


def test_requests_that_come_close_together_lead_to_one_publication_of_the_health() -> None:
    async def story() -> list[float]:
        health = HealthTimes()
        status: Any = health
        windows: Any = None
        reporter = StatusReporter(context(), status, windows, health)
        running = asyncio.create_task(reporter.run())
        await asyncio.sleep(1)
        for _ in range(3):
            reporter.request_health()
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        return health.times

    assert [round(time, 3) for time in run_without_pauses(story())] == [0.0, 1.2]
