"""GET /metrics: reads the values of all accounts, at most once a second, and encodes them in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt import __version__
from wx2mqtt.bridge.health import CallStatistics, HealthSnapshot
from wx2mqtt.errors import StoreError
from wx2mqtt.web.bridge_state import AccountReader, BridgeState
from wx2mqtt.web.metrics_table import (
    ACCOUNT_METRICS,
    INFO_METRIC,
    SHARED_METRICS,
    STORE_ANSWERS_METRIC,
    STUCK_METRIC,
    CallSamples,
    HealthMetric,
    MetricSamples,
    MetricsSnapshot,
    cluster_samples,
    process_samples,
)
from wx2mqtt.web.responses import NO_STORE

CACHE_SECONDS = 1.0  # for which a snapshot is served to further scrapes
READ_TIMEOUT_SECONDS = 5.0  # Prometheus gives up after ten
MAX_ACCEPT_CHARACTERS = 1000


class MetricsEndpoint:
    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge
        self._scrape_lock = asyncio.Lock()
        self._snapshot: MetricsSnapshot | None = None
        self._snapshot_time = 0.0  # of the loop's clock, in seconds

    async def handle(self, request: Request) -> Response:
        """Answers in the exposition format that the client prefers."""
        accept = request.headers.get("accept", "")[:MAX_ACCEPT_CHARACTERS]
        async with self._scrape_lock:
            snapshot = await self._recent_snapshot()
            body, content_type = await asyncio.to_thread(_encode, snapshot, accept)
        return Response(body, headers={"content-type": content_type, **NO_STORE})

    async def _recent_snapshot(self) -> MetricsSnapshot:
        now = asyncio.get_running_loop().time()
        if self._snapshot is None or now - self._snapshot_time >= CACHE_SECONDS:
            self._snapshot = await read_metrics(self._bridge)
            self._snapshot_time = now
        return self._snapshot


def _encode(snapshot: MetricsSnapshot, accept: str) -> tuple[bytes, str]:
    from wx2mqtt.web.metrics_exposition import encode_metrics  # noqa: PLC0415 - loads prometheus_client at the first scrape

    return encode_metrics(snapshot, accept)


async def read_metrics(bridge: BridgeState) -> MetricsSnapshot:
    """Returns the current values. An account whose store does not answer in time has only `store_answers`."""
    snapshots = dict(await asyncio.gather(*map(_read_account, bridge.views)))
    readable = {name: health for name, health in snapshots.items() if health is not None}
    store_answers = [((name,), float(health is not None)) for name, health in snapshots.items()]
    samples = [
        MetricSamples(INFO_METRIC, INFO_METRIC.labels, [((__version__,), 1.0)]),
        MetricSamples(STUCK_METRIC, STUCK_METRIC.labels, [((), float(len(bridge.overdue())))]),
        MetricSamples(STORE_ANSWERS_METRIC, STORE_ANSWERS_METRIC.labels, store_answers),
        *(_shared_samples(metric, readable) for metric in SHARED_METRICS),
        *(_account_samples(metric, readable) for metric in ACCOUNT_METRICS),
        *process_samples(bridge),
        *cluster_samples(bridge.cluster()),
    ]
    return MetricsSnapshot(
        samples=samples, calls=[_call_samples(view.name, view.calls) for view in bridge.views]
    )


async def _read_account(view: AccountReader) -> tuple[str, HealthSnapshot | None]:
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return view.name, await view.snapshot()
    except (StoreError, TimeoutError):
        return view.name, None


def _shared_samples(metric: HealthMetric, snapshots: Mapping[str, HealthSnapshot]) -> MetricSamples:
    """Takes the value from the first account: all have the same."""
    health = next(iter(snapshots.values()), None)
    return MetricSamples(metric, metric.labels, [] if health is None else list(metric.values(health)))


def _account_samples(metric: HealthMetric, snapshots: Mapping[str, HealthSnapshot]) -> MetricSamples:
    values = [
        ((name, *labels), value)
        for name, health in snapshots.items()
        for labels, value in metric.values(health)
    ]
    return MetricSamples(metric, ("account", *metric.labels), values)


def _call_samples(account: str, calls: CallStatistics) -> CallSamples:
    latencies = {
        endpoint: (tuple(histogram.bucket_counts), histogram.total_seconds)
        for endpoint, histogram in calls.latencies.items()
    }
    return CallSamples(account=account, outcome_counts=dict(calls.outcome_counts), latencies=latencies)
