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
        self._watched: dict[str, Callable[[], float]] = {}

    def beat(self, name: str, limit: float) -> None:
        """The loop has moved, and will again within `limit` seconds."""
        self._deadlines[name] = self._clock() + limit

    def watch(self, name: str, moves_by: Callable[[], float]) -> None:
        """A loop that knows itself by when, on the same clock, it will have moved."""
        self._watched[name] = moves_by

    def rest(self, name: str) -> None:
        """The loop has nothing to do until somebody asks; it owes no beat."""
        self._deadlines.pop(name, None)

    def stuck(self) -> tuple[str, ...]:
        """Loops that are past their deadline."""
        now = self._clock()
        watched = {name: moves_by() for name, moves_by in self._watched.items()}
        return tuple(name for name, deadline in {**self._deadlines, **watched}.items() if deadline < now)
