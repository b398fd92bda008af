"""A reading becomes what prometheus-client writes. The one door to it, loaded with the first scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from wx2mqtt.bridge.calls import EDGES
from wx2mqtt.web.metrics.reading import CallsOf, Reading, Samples

PREFIX = "wx2mqtt_"


class _Scrape(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def write(reading: Reading, accept: str) -> tuple[bytes, str]:
    """The whole answer and its content type, in the form that the client wants most."""
    encoder, content_type = choose_encoder(accept)
    encode: Callable[[Collector], bytes] = encoder
    return encode(_Scrape(list(families(reading)))), content_type


def families(reading: Reading) -> Iterator[Family]:
    """All of them, and those of the process."""
    yield from map(_family, reading.samples)
    yield _requests(reading.calls)
    yield _latencies(reading.calls)
    yield from ProcessCollector(registry=None).collect()


def _family(samples: Samples) -> Family:
    metric = samples.metric
    made = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = made(PREFIX + metric.name, metric.help, labels=samples.labels)
    for labels, number in samples.values:
        family.add_metric(labels, float(number))
    return family


def _requests(calls: Sequence[CallsOf]) -> Family:
    told = "Requests to WeChat by how they ended: an HTTP status, or a word"
    family = CounterMetricFamily(f"{PREFIX}wechat_requests", told, labels=("account", "endpoint", "outcome"))
    for one in calls:
        for ended, count in one.ended.items():
            family.add_metric((one.account, *ended), count)
    return family


def _latencies(calls: Sequence[CallsOf]) -> Family:
    told = "How long requests to WeChat took; synccheck and login wait for news"
    family = HistogramMetricFamily(f"{PREFIX}wechat_request_seconds", told, labels=("account", "endpoint"))
    for one in calls:
        for endpoint, (counts, seconds) in one.took.items():
            family.add_metric((one.account, endpoint), buckets=_buckets(counts), sum_value=seconds)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Up to each edge, all below it included."""
    total, buckets = 0, list[tuple[str, float]]()
    for edge, count in zip((*map(str, EDGES), "+Inf"), counts, strict=True):
        total += count
        buckets.append((edge, total))
    return buckets
