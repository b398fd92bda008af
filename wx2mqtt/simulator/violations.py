"""Violations of the protocol by a client. They contain no secret: a violation never repeats a value."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

MAX_KEPT_VIOLATIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A wrong call. `time` is in seconds since 1970."""

    time: float
    endpoint: str
    what: str


class Violations:
    """The newest violations, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: deque[Violation] = deque(maxlen=MAX_KEPT_VIOLATIONS)

    def record(self, endpoint: str, what: str) -> None:
        self.count += 1
        self._kept.append(Violation(time=time.time(), endpoint=endpoint, what=what))

    def list(self) -> list[Violation]:
        """Returns the kept violations, oldest first."""
        return [*self._kept]

    def clear(self) -> None:
        self.count = 0
        self._kept.clear()
