"""What a scrape takes out of the bridge, on the loop: numbers that nobody changes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wx2mqtt import __version__
from wx2mqtt.bridge.health import CallStatistics, HealthSnapshot
from wx2mqtt.errors import StoreError
from wx2mqtt.web.metrics_table import (
    ACCOUNT_METRICS,
    INFO_METRIC,
    SHARED_METRICS,
    STORE_ANSWERS_METRIC,
    STUCK_METRIC,
    Labels,
    Metric,
)
from wx2mqtt.web.views import AccountReader, BridgeState

READ_TIMEOUT_SECONDS = 5.0  # seconds; Prometheus gives up after ten


@dataclass(frozen=True, slots=True)
class MetricSamples:
    """One metric as of now; `values` by the values of `labels`, in their order."""

    metric: Metric
    labels: Labels
    values: Sequence[tuple[Labels, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSamples:
    """What one account asked of WeChat: by call and outcome, and by call how long it took (see
    `CallStatistics`).
    """

    account: str
    outcome_counts: Mapping[tuple[str, str], int]
    latencies: Mapping[str, tuple[Sequence[int], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """All that a scrape tells."""

    samples: Sequence[MetricSamples]
    calls: Sequence[CallSamples]


async def read_metrics(bridge: BridgeState) -> MetricsSnapshot:
    """As of now."""
    seen = dict(await asyncio.gather(*map(_account, bridge.views)))
    known = {name: one for name, one in seen.items() if one is not None}
    stuck = float(len(bridge.overdue()))
    samples = [
        MetricSamples(INFO_METRIC, INFO_METRIC.labels, [((__version__,), 1.0)]),
        MetricSamples(STUCK_METRIC, STUCK_METRIC.labels, [((), stuck)]),
        MetricSamples(
            STORE_ANSWERS_METRIC,
            STORE_ANSWERS_METRIC.labels,
            [((name,), float(one is not None)) for name, one in seen.items()],
        ),
        *(_shared(metric, known) for metric in SHARED_METRICS),
        *(_of_accounts(metric, known) for metric in ACCOUNT_METRICS),
    ]
    return MetricsSnapshot(samples=samples, calls=[_calls(view.name, view.calls) for view in bridge.views])


async def _account(view: AccountReader) -> tuple[str, HealthSnapshot | None]:
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return view.name, await view.snapshot()
    except (StoreError, TimeoutError):
        return view.name, None


def _shared(metric: Metric, health_by_account: Mapping[str, HealthSnapshot]) -> MetricSamples:
    """Any account knows it."""
    one = next(iter(health_by_account.values()), None)
    return MetricSamples(metric, metric.labels, [] if one is None else list(metric.values(one)))


def _of_accounts(metric: Metric, health_by_account: Mapping[str, HealthSnapshot]) -> MetricSamples:
    values = [
        ((name, *labels), number)
        for name, one in health_by_account.items()
        for labels, number in metric.values(one)
    ]
    return MetricSamples(metric, ("account", *metric.labels), values)


def _calls(account: str, calls: CallStatistics) -> CallSamples:
    took = {call: (tuple(one.bucket_counts), one.total_seconds) for call, one in calls.latencies.items()}
    return CallSamples(account=account, outcome_counts=dict(calls.outcome_counts), latencies=took)
