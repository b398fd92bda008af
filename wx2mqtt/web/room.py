"""How many may be connected: when it is full, who has been idle longest makes room for the newcomer."""

from __future__ import annotations

import asyncio
from typing import Protocol

MOST = 100  # connections; each takes a file descriptor, of which a process has 1,024 unless told otherwise


class Guest(Protocol):
    """A connection."""

    def drop(self) -> None:
        """End it at once."""
        ...


class Room:
    """The connections that stand. One that enters is idle until it says otherwise."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._all: dict[Guest, None] = {}
        self._idle: dict[Guest, None] = {}  # the longest idle first
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def guests(self) -> list[Guest]:
        """All that are here."""
        return [*self._all]

    def enter(self, newcomer: Guest) -> bool:
        """Let somebody in; false when it is full and everybody is busy."""
        if len(self._all) >= self._most:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.drop()
        self._all[newcomer] = self._idle[newcomer] = None
        self.empty.clear()
        return True

    def busy(self, guest: Guest) -> None:
        """It has a request that is being answered."""
        self._idle.pop(guest, None)

    def idle(self, guest: Guest) -> None:
        """It has none."""
        if guest in self._all:
            self._idle.setdefault(guest)

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        self._idle.pop(guest, None)
        self._all.pop(guest, None)
        if not self._all:
            self.empty.set()
