"""`ServerClock`: WeChat's time, as its answers tell it.

The reply window depends on WeChat's clock, and the local one may be wrong or jump.
"""

from __future__ import annotations

from wx2mqtt.clock import Clock, parse_http_date

# A difference below this is no change of a clock: answers take time, and their seconds are rounded down.
CLOCK_TOLERANCE_MS = 2_000


class ServerClock:
    """WeChat's clock, in milliseconds since 1970. Before the first answer it is the local clock.

    An answer with the second D left WeChat between D and D + 1, after its request and before its receipt. So
    it bounds how far WeChat's clock is ahead of the local one that never jumps, and each further answer
    narrows these bounds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: tuple[float, float] | None = None  # at least and at most, of `boot_time`, in ms
        self._local_offset = 0

    def update(self, date: str, requested_at: float) -> None:
        """Narrows the bounds by the `Date` header of an answer; ignores an empty or unreadable one.

        `requested_at` is the `boot_time` of its request. What contradicts the bounds replaces them: a clock
        was set, or runs a little faster.
        """
        seconds = parse_http_date(date)
        if seconds is None:
            return
        least = (seconds - self._clock.boot_time()) * 1000
        most = (seconds + 1 - requested_at) * 1000
        if self._ahead is not None:
            known_least, known_most = self._ahead
            if max(least, known_least) <= min(most, known_most):
                least, most = max(least, known_least), min(most, known_most)
        self._ahead = least, most

    def now(self) -> int:
        """Returns WeChat's current time, as far as it is known."""
        if self._ahead is None:
            return self._clock.now
        return int(self._clock.boot_time() * 1000 + sum(self._ahead) / 2)

    def earliest_now(self) -> int:
        """Returns the earliest that WeChat's current time can be."""
        if self._ahead is None:
            return self._clock.now
        return int(self._clock.boot_time() * 1000 + self._ahead[0])

    def to_local(self, time: int) -> int:
        """Converts a time of WeChat's clock to the local one.

        The result for a time is constant as long as neither clock is set.
        """
        offset = self._clock.now - self.now()
        if abs(offset - self._local_offset) > CLOCK_TOLERANCE_MS:
            self._local_offset = offset
        return time + self._local_offset
