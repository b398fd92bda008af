"""Whether each loop has moved within its own deadline (DESIGN 4.3): what watchdog and health go by.

Pure; the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Callable


class Pulse:
    """The loops of one process, by name. `clock` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadlines: dict[str, float] = {}
        self._limits: dict[str, float] = {}

    def beat(self, name: str, limit: float) -> None:
        """The loop has moved, and will again within `limit` seconds."""
        self._deadlines[name] = self._clock() + limit
        self._limits[name] = limit

    def rest(self, name: str) -> None:
        """The loop has nothing to do until somebody asks; it owes no beat."""
        self._deadlines.pop(name, None)

    def stuck(self) -> tuple[str, ...]:
        """Loops that are past their deadline."""
        now = self._clock()
        return tuple(name for name, deadline in self._deadlines.items() if deadline < now)
