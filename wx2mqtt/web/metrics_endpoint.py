"""GET /metrics: reads the values of all accounts, at most once a second, and encodes them in a thread.

`metrics_table.py` says which metrics there are. prometheus_client is loaded at the first scrape, since many
bridges have none and it takes memory.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.counters import BUCKET_BOUNDS_SECONDS, LatencyHistogram
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.errors import StoreError
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.metrics_table import (
    ACCOUNT_METRICS,
    CALL_METRICS,
    CLUSTER_METRICS,
    INFO_METRICS,
    PROCESS_METRICS,
    SHARED_METRICS,
    STORE_ANSWERS_METRIC,
    Metric,
    MetricSamples,
    Source,
)
from wx2mqtt.web.responses import NO_STORE

if TYPE_CHECKING:
    from prometheus_client.core import Metric as MetricFamily

METRIC_PREFIX = "wx2mqtt_"
CACHE_SECONDS = 1.0  # for which the values of a scrape are served to further scrapes
READ_TIMEOUT_SECONDS = 5.0  # for reading an account; Prometheus gives up after ten seconds
MAX_ACCEPT_CHARACTERS = 1000  # of the Accept header that are read


class MetricsEndpoint:
    """The endpoint /metrics. Scrapes wait for each other, and share values of the last second."""

    def __init__(self, bridge: BridgeState) -> None:
        self._bridge = bridge
        self._scrape_lock = asyncio.Lock()
        #: The values that were read last.
        self._samples: list[MetricSamples] = []
        #: When they were read, by the clock of the event loop.
        self._read_at = -math.inf

    async def handle(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")[:MAX_ACCEPT_CHARACTERS]
        async with self._scrape_lock:
            now = asyncio.get_running_loop().time()
            if now - self._read_at >= CACHE_SECONDS:
                self._samples = await read_metrics(self._bridge)
                self._read_at = now
            body, content_type = await asyncio.to_thread(encode_metrics, self._samples, accept)
        return Response(body, headers={"content-type": content_type, **NO_STORE})


async def read_metrics(bridge: BridgeState) -> list[MetricSamples]:
    """Returns the current values. An account whose store does not answer in time has only its calls."""
    snapshots = dict(await asyncio.gather(*map(_read_account, bridge.accounts())))
    readable = {name: health for name, health in snapshots.items() if health is not None}
    calls = {view.name: view.calls for view in bridge.accounts()}
    cluster = bridge.cluster()
    return [
        *_samples(INFO_METRICS, bridge),
        *_samples([STORE_ANSWERS_METRIC], snapshots),
        *(_samples(SHARED_METRICS, next(iter(readable.values()))) if readable else ()),
        *_account_samples(ACCOUNT_METRICS, readable),
        *_samples(PROCESS_METRICS, bridge),
        *(_samples(CLUSTER_METRICS, cluster) if cluster is not None else ()),
        *_account_samples(CALL_METRICS, calls),
    ]


async def _read_account(view: AccountView) -> tuple[str, HealthSnapshot | None]:
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return view.name, await view.snapshot()
    except (StoreError, TimeoutError):
        return view.name, None


def _samples(metrics: Iterable[Metric[Source]], source: Source) -> Iterator[MetricSamples]:
    for metric in metrics:
        yield MetricSamples(metric, metric.labels, list(metric.values(source)))


def _account_samples(
    metrics: Iterable[Metric[Source]], sources: Mapping[str, Source]
) -> Iterator[MetricSamples]:
    """Yields metrics with the label `account` besides; `sources` by the names of the accounts."""
    for metric in metrics:
        values = [
            ((name, *labels), value)
            for name, source in sources.items()
            for labels, value in metric.values(source)
        ]
        yield MetricSamples(metric, ("account", *metric.labels), values)


def encode_metrics(samples: Iterable[MetricSamples], accept: str) -> tuple[bytes, str]:
    """Returns the body and its content type, in the exposition format that the Accept header prefers.

    The metrics of the process, such as its memory, are appended.
    """
    from prometheus_client import ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    encode, content_type = choose_encoder(accept)
    families = [*map(_family, samples), *ProcessCollector(registry=None).collect()]
    registry: Any = SimpleNamespace(collect=lambda: families)
    return encode(registry), content_type


def _family(samples: MetricSamples) -> MetricFamily:
    """Returns the values as prometheus_client wants them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily  # noqa: PLC0415

    metric = samples.metric
    name = METRIC_PREFIX + metric.name
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=samples.labels)
        bounds = (*map(str, BUCKET_BOUNDS_SECONDS), "+Inf")
        for labels, value in samples.values:
            assert isinstance(value, LatencyHistogram)
            cumulative = accumulate(value.bucket_counts)  # a bucket counts those of all lower ones, too
            histogram.add_metric(labels, [*zip(bounds, cumulative, strict=True)], value.total_seconds)
        return histogram
    family_class = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = family_class(name, metric.help, labels=samples.labels)
    for labels, value in samples.values:
        assert not isinstance(value, LatencyHistogram)
        family.add_metric(labels, float(value))
    return family
