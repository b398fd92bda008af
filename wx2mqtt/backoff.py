"""Exponential back-off with jitter, as a value. Pure: the caller brings the clock and the random number."""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.values import frozen

MAX_DOUBLINGS = 32
"""Beyond any `cap`; it keeps the power a finite number after years of failures."""


@frozen(kw_only=False)
class Backoff:
    """Delays in seconds that double from `first` to `cap`.

    With the defaults a single failure costs at most half a second, and two in a row less than two seconds.
    A delay lies in the upper half of its step, so that clients that have lost the same server do not all
    come back at the same moment, and none at once.
    """

    first: float = 0.5
    cap: float = 60.0
    failures: int = 0

    def after_failure(self) -> Backoff:
        return replace(self, failures=self.failures + 1)

    def reset(self) -> Backoff:
        return replace(self, failures=0)

    def wait(self, chance: float) -> float:
        """Returns the seconds until the next attempt; 0 without a failure. `chance` lies in [0, 1)."""
        if not self.failures:
            return 0.0
        step = min(self.cap, self.first * 2.0 ** min(self.failures - 1, MAX_DOUBLINGS))
        return step * (0.5 + chance / 2)
