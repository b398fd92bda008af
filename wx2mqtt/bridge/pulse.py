"""Whether each loop has moved within its own deadline (DESIGN 4.3): what watchdog and health go by.

A loop is named `<loop>:<account>`. Pure; the clock is an argument.
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

    def forget(self, account: str) -> None:
        """None of its loops runs any more."""
        for loops in (self._deadlines, self._watched):
            for name in [name for name in loops if _is_of(name, account)]:
                del loops[name]

    def stuck(self, account: str = "") -> tuple[str, ...]:
        """Loops that are past their deadline: those of one account, or all."""
        now = self._clock()
        watched = {name: moves_by() for name, moves_by in self._watched.items()}
        late = (name for name, deadline in {**self._deadlines, **watched}.items() if deadline < now)
        return tuple(name for name in late if not account or _is_of(name, account))


def _is_of(name: str, account: str) -> bool:
    return name.rpartition(":")[2] == account
