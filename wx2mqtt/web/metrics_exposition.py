"""A reading becomes what prometheus-client writes. The one door to it, loaded with the first scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from wx2mqtt.bridge.health import BUCKET_BOUNDS_SECONDS
from wx2mqtt.web.metrics_snapshot import CallSamples, MetricSamples, MetricsSnapshot

METRIC_PREFIX = "wx2mqtt_"


class _Scrape(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def encode_metrics(metrics_snapshot: MetricsSnapshot, accept: str) -> tuple[bytes, str]:
    """The whole answer and its content type, in the form that the client wants most."""
    encoder, content_type = choose_encoder(accept)
    encode: Callable[[Collector], bytes] = encoder
    return encode(_Scrape(list(metric_families(metrics_snapshot)))), content_type


def metric_families(metrics_snapshot: MetricsSnapshot) -> Iterator[Family]:
    """All of them, and those of the process."""
    yield from map(_family, metrics_snapshot.samples)
    yield _requests(metrics_snapshot.calls)
    yield _latencies(metrics_snapshot.calls)
    yield from ProcessCollector(registry=None).collect()


def _family(samples: MetricSamples) -> Family:
    metric = samples.metric
    made = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = made(METRIC_PREFIX + metric.name, metric.help, labels=samples.labels)
    for labels, number in samples.values:
        family.add_metric(labels, float(number))
    return family


def _requests(calls: Sequence[CallSamples]) -> Family:
    told = "Requests to WeChat by how they ended: an HTTP status, or a word"
    family = CounterMetricFamily(
        f"{METRIC_PREFIX}wechat_requests", told, labels=("account", "endpoint", "outcome")
    )
    for one in calls:
        for ended, count in one.outcome_counts.items():
            family.add_metric((one.account, *ended), count)
    return family


def _latencies(calls: Sequence[CallSamples]) -> Family:
    told = "How long requests to WeChat took; synccheck and login wait for news"
    family = HistogramMetricFamily(
        f"{METRIC_PREFIX}wechat_request_seconds", told, labels=("account", "endpoint")
    )
    for one in calls:
        for endpoint, (counts, seconds) in one.latencies.items():
            family.add_metric((one.account, endpoint), buckets=_buckets(counts), sum_value=seconds)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Up to each edge, all below it included."""
    total, buckets = 0, list[tuple[str, float]]()
    for edge, count in zip((*map(str, BUCKET_BOUNDS_SECONDS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((edge, total))
    return buckets
