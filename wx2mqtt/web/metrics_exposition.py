"""Encodes the samples of metrics in the Prometheus exposition formats.

The only module that imports prometheus_client. It is loaded with the first scrape, to save memory before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from wx2mqtt.bridge.counters import BUCKET_BOUNDS_SECONDS, LatencyHistogram
from wx2mqtt.web.metrics_table import MetricSamples

METRIC_PREFIX = "wx2mqtt_"


class _FamiliesCollector(Collector):
    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[MetricFamily]:
        return self._families


def encode_metrics(samples: Sequence[MetricSamples], accept: str) -> tuple[bytes, str]:
    """Returns the body and its content type, in the format that the Accept header prefers.

    The families of the process, such as its memory, are appended.
    """
    encoder, content_type = choose_encoder(accept)
    encode: Callable[[Collector], bytes] = encoder
    families = [*map(_family, samples), *ProcessCollector(registry=None).collect()]
    return encode(_FamiliesCollector(families)), content_type


def _family(samples: MetricSamples) -> MetricFamily:
    metric = samples.metric
    name = METRIC_PREFIX + metric.name
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=samples.labels)
        for labels, value in samples.values:
            assert isinstance(value, LatencyHistogram)
            histogram.add_metric(labels, [*_cumulative_buckets(value)], value.total_seconds)
        return histogram
    family_class = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = family_class(name, metric.help, labels=samples.labels)
    for labels, value in samples.values:
        assert not isinstance(value, LatencyHistogram)
        family.add_metric(labels, float(value))
    return family


def _cumulative_buckets(histogram: LatencyHistogram) -> Iterator[tuple[str, float]]:
    """Yields the upper bound and the count of each bucket, those of all lower buckets included."""
    total = 0
    for bound, count in zip((*map(str, BUCKET_BOUNDS_SECONDS), "+Inf"), histogram.bucket_counts, strict=True):
        total += count
        yield bound, total
