"""Back-off as a value: how long to wait before the next try. No clock, no dice of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits with jitter, in seconds; `reset` after a success.

    The wait is drawn evenly from the upper half of the current step, so that many clients that lost
    the same server do not come back at the same moment and none comes back at once.
    """

    first: float = 1.0
    cap: float = 60.0
    failures: int = 0

    def after_failure(self) -> Backoff:
        """The value after one more failure."""
        return replace(self, failures=self.failures + 1)

    def reset(self) -> Backoff:
        """The value after a success."""
        return replace(self, failures=0)

    def wait(self, chance: float) -> float:
        """Seconds to wait now; `chance` is a number in [0, 1). Zero when nothing failed."""
        if not self.failures:
            return 0.0
        step = min(self.cap, self.first * 2.0 ** min(self.failures - 1, 32))
        return step * (0.5 + chance / 2)
