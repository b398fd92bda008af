"""How fast an account may send: a token bucket as a value (DESIGN 3, `send`). Pure; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`per_minute` tokens flow in, at most `burst` are kept; 0 per minute means no limit."""

    per_minute: float
    burst: int
    tokens: float
    at: float

    @classmethod
    def full(cls, per_minute: float, burst: int, now: float) -> Bucket:
        """A bucket that nobody has taken from."""
        return cls(per_minute=per_minute, burst=max(1, burst), tokens=float(max(1, burst)), at=now)

    def wait(self, now: float) -> float:
        """Seconds until the next token; 0 when one is there."""
        if self.per_minute <= 0:
            return 0.0
        missing = 1.0 - self._filled(now)
        return max(0.0, missing * 60.0 / self.per_minute)

    def take(self, now: float) -> Bucket:
        """The bucket without one token; it never goes below empty, so nothing is owed."""
        return replace(self, tokens=max(0.0, self._filled(now) - 1.0), at=now)

    def resized(self, per_minute: float, burst: int, now: float) -> Bucket:
        """The same bucket after the owner changed the limits."""
        burst = max(1, burst)
        tokens = min(float(burst), self._filled(now))
        return Bucket(per_minute=per_minute, burst=burst, tokens=tokens, at=now)

    def _filled(self, now: float) -> float:
        # A clock that jumped back brings nothing and takes nothing away.
        return min(float(self.burst), self.tokens + max(0.0, now - self.at) * self.per_minute / 60.0)
