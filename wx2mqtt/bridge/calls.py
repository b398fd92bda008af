"""What was asked of WeChat and how long it took: counted as it happens, told when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; a long poll that brings nothing takes 25 (webwx 2.10)."""

_STATUSES = {str(int(status)) for status in HTTPStatus}


@dataclass(slots=True)
class Took:
    """How long the exchanges of one call took: how many up to each of `EDGES` and above, and all together."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))
    seconds: float = 0.0


class Calls:
    """Those of one account. `ended` counts by call and outcome, which is an HTTP status or a word."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        self.took: dict[str, Took] = {}

    def observe(self, call: str, outcome: str, seconds: float) -> None:
        """One exchange is over."""
        if outcome.isdecimal() and outcome not in _STATUSES:
            outcome = "other_status"  # there are a thousand, and it is not ours to say which come
        self.ended[call, outcome] += 1
        took = self.took.setdefault(call, Took())
        took.counts[bisect_left(EDGES, seconds)] += 1
        took.seconds += seconds
