"""What is counted for an account since the start of the process: its calls to WeChat, and `AccountCounters`.

A new figure is a field of `AccountCounters` and a row of `web/metrics_table.py`; the component that knows it
changes the field through `ctx.counters`. Where automations need it, too, `health_body` shows it on
`bridge/health` and `schemas/status.py` describes it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus

from wx2mqtt.store.records import MediaState

# The upper bounds of the histogram; a long poll without messages takes 25 s (webwx 2.10.3).
BUCKET_BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_HTTP_STATUSES = frozenset(str(int(status)) for status in HTTPStatus)


@dataclass(slots=True)
class LatencyHistogram:
    """How long the exchanges of one call took."""

    #: The number of exchanges in each bucket of `BUCKET_BOUNDS_SECONDS`, and last of those above all bounds.
    bucket_counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_BOUNDS_SECONDS) + 1))
    total_seconds: float = 0.0

    def copy(self) -> LatencyHistogram:
        return LatencyHistogram([*self.bucket_counts], self.total_seconds)


class CallStatistics:
    """The calls of one account to WeChat."""

    def __init__(self) -> None:
        #: The number of exchanges by call and outcome, which is an HTTP status or the name of an error.
        self.outcome_counts: Counter[tuple[str, str]] = Counter()
        #: By call.
        self.latencies: defaultdict[str, LatencyHistogram] = defaultdict(LatencyHistogram)

    def observe(self, call: str, outcome: str, seconds: float) -> None:
        """Counts an exchange that has ended."""
        if outcome.isdecimal() and outcome not in _HTTP_STATUSES:
            outcome = "other_status"  # bounds the number of time series, whatever the server sends
        self.outcome_counts[call, outcome] += 1
        histogram = self.latencies[call]
        histogram.bucket_counts[bisect_left(BUCKET_BOUNDS_SECONDS, seconds)] += 1
        histogram.total_seconds += seconds


@dataclass(slots=True, kw_only=True)
class AccountCounters:
    """The counters of one account, and how it stands with the broker."""

    #: When the account was built, in milliseconds.
    started: int

    #: Connections to the broker.
    connects: int = 0
    #: Connections that were lost; those that could not be opened do not count.
    disconnects: int = 0
    #: Sessions that the broker has forgotten.
    sessions_lost: int = 0
    #: Why there is no connection; empty while there is one.
    broker_reason: str = ""
    #: Whether another client uses the client id.
    standby: bool = False

    #: Internal errors; each has ended the account, which was started again.
    faults: int = 0
    #: Whether such an error has ended the account, until it is started again.
    failed: bool = False

    #: Stored messages, by kind.
    received: Counter[str] = field(default_factory=Counter)
    #: Messages and events that were received and not published, by reason.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Publications that the broker has acknowledged.
    published: int = 0

    #: Accepted commands.
    commands: int = 0
    #: Results of commands, by status and code.
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Sent commands, by kind.
    sent: Counter[str] = field(default_factory=Counter)
    #: What was asked of the ways of the fallback: `account` or `services`, and what became of it.
    fallbacks: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Reminders of windows that close.
    reminders: int = 0

    #: Finished downloads, by their final state.
    media: Counter[MediaState] = field(default_factory=Counter)
    #: Bytes of the successful ones.
    media_bytes: int = 0

    #: The calls to WeChat.
    calls: CallStatistics = field(default_factory=CallStatistics)
