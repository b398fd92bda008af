"""What a scrape takes out of the bridge, on the loop: numbers that nobody changes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wx2mqtt import __version__
from wx2mqtt.bridge.calls import Calls
from wx2mqtt.bridge.health import Seen
from wx2mqtt.errors import StoreError
from wx2mqtt.web.metrics.table import ANSWERS, INFO, METRICS, SHARED, STUCK, Labels, Metric
from wx2mqtt.web.views import Bridge, View

PATIENCE = 5.0  # seconds; Prometheus gives up after ten


@dataclass(frozen=True, slots=True)
class Samples:
    """One metric as of now; `values` by the values of `labels`, in their order."""

    metric: Metric
    labels: Labels
    values: Sequence[tuple[Labels, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsOf:
    """What one account asked of WeChat: by call and outcome, and by call how long it took (see `Calls`)."""

    account: str
    ended: Mapping[tuple[str, str], int]
    took: Mapping[str, tuple[Sequence[int], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that a scrape tells."""

    samples: Sequence[Samples]
    calls: Sequence[CallsOf]


async def read(bridge: Bridge) -> Reading:
    """As of now."""
    seen = dict(await asyncio.gather(*map(_account, bridge.views)))
    known = {name: one for name, one in seen.items() if one is not None}
    stuck = float(len(bridge.stuck()))
    samples = [
        Samples(INFO, INFO.labels, [((__version__,), 1.0)]),
        Samples(STUCK, STUCK.labels, [((), stuck)]),
        Samples(ANSWERS, ANSWERS.labels, [((name,), float(one is not None)) for name, one in seen.items()]),
        *(_shared(metric, known) for metric in SHARED),
        *(_of_accounts(metric, known) for metric in METRICS),
    ]
    return Reading(samples=samples, calls=[_calls(view.name, view.calls) for view in bridge.views])


async def _account(view: View) -> tuple[str, Seen | None]:
    try:
        async with asyncio.timeout(PATIENCE):
            return view.name, await view.seen()
    except (StoreError, TimeoutError):
        return view.name, None


def _shared(metric: Metric, known: Mapping[str, Seen]) -> Samples:
    """Any account knows it."""
    one = next(iter(known.values()), None)
    return Samples(metric, metric.labels, [] if one is None else list(metric.values(one)))


def _of_accounts(metric: Metric, known: Mapping[str, Seen]) -> Samples:
    values = [
        ((name, *labels), number) for name, one in known.items() for labels, number in metric.values(one)
    ]
    return Samples(metric, ("account", *metric.labels), values)


def _calls(account: str, calls: Calls) -> CallsOf:
    took = {call: (tuple(one.counts), one.seconds) for call, one in calls.took.items()}
    return CallsOf(account=account, ended=dict(calls.ended), took=took)
