"""Whether bytes come fast enough, as a value: a drip must not hold a chat for hours. Pure; seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """At least `least` bytes within every `window`; by `next_look` they must have come."""

    window: float = 10.0
    least: int = 10_000
    got: int = 0
    next_look: float = 0.0

    def begin(self, now: float) -> Pace:
        """The first window begins."""
        return replace(self, got=0, next_look=now + self.window)

    def rested(self, seconds: float) -> Pace:
        """Nobody wanted anything for so long."""
        return replace(self, next_look=self.next_look + seconds)

    def after(self, count: int, now: float) -> Pace:
        """So many bytes came; enough of them begin another window."""
        got = self.got + count
        return self.begin(now) if got >= self.least else replace(self, got=got)
