"""Files that were taken and to which no row refers yet: they are not to be swept away in between."""

from __future__ import annotations

import time
from collections.abc import Callable


class Claims:
    """How many takers of each file have still to write their row. For one thread at a time.

    Whoever never does is forgotten after `lasts` seconds.
    """

    def __init__(self, lasts: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts = lasts
        self._clock = clock
        self._held: dict[str, tuple[int, float]] = {}

    def begin(self, name: str) -> None:
        """Somebody took it."""
        count, _ = self._held.get(name, (0, 0.0))
        self._held[name] = count + 1, self._clock()

    def end(self, name: str) -> None:
        """One of them has written the row, or gave up."""
        count, since = self._held.get(name, (0, 0.0))
        if count > 1:
            self._held[name] = count - 1, since
        else:
            self._held.pop(name, None)

    def holds(self, name: str) -> bool:
        """Whether it is to stay."""
        if name not in self._held:
            return False
        if self._clock() - self._held[name][1] < self._lasts:
            return True
        del self._held[name]
        return False
