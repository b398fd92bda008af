"""How fast an account may send (`send`): a token bucket as a value. Pure; times in seconds.

What lets one account send, or not: the login, the pace of the owner, a pause that WeChat asked for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from wx2mqtt.bridge.commands.queues import ChatQueue
from wx2mqtt.clock import loop_time


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket:
    """`per_minute` tokens flow in, at most `burst` are kept; 0 per minute means no limit."""

    per_minute: float
    burst: int
    tokens: float
    updated_at: float

    @classmethod
    def full(cls, per_minute: float, burst: int, now: float) -> TokenBucket:
        """A bucket that nobody has taken from."""
        return cls(per_minute=per_minute, burst=max(1, burst), tokens=float(max(1, burst)), updated_at=now)

    def seconds_until_token(self, now: float) -> float:
        """Seconds until the next token; 0 when one is there."""
        if self.per_minute <= 0:
            return 0.0
        missing = 1.0 - self._refilled_tokens(now)
        return max(0.0, missing * 60.0 / self.per_minute)

    def consume(self, now: float) -> TokenBucket:
        """The bucket without one token; it never goes below empty, so nothing is owed."""
        return replace(self, tokens=max(0.0, self._refilled_tokens(now) - 1.0), updated_at=now)

    def resized(self, per_minute: float, burst: int, now: float) -> TokenBucket:
        """The same bucket after the owner changed the limits."""
        burst = max(1, burst)
        tokens = min(float(burst), self._refilled_tokens(now))
        return TokenBucket(per_minute=per_minute, burst=burst, tokens=tokens, updated_at=now)

    def _refilled_tokens(self, now: float) -> float:
        # A clock that jumped back brings nothing and takes nothing away.
        return min(float(self.burst), self.tokens + max(0.0, now - self.updated_at) * self.per_minute / 60.0)


@dataclass(slots=True, kw_only=True)
class SendConditions:
    """As they are now. `throttled_until` is a time of the loop's clock, in seconds."""

    bucket: TokenBucket
    online: bool = False
    stopping: bool = False
    throttled_until: float = 0.0

    @property
    def throttled_seconds(self) -> float:
        """Seconds until WeChat may be asked again; 0 when it may be now."""
        return max(0.0, self.throttled_until - loop_time())

    def slow_down(self, seconds: float) -> None:
        """WeChat wants to be left alone."""
        self.throttled_until = max(self.throttled_until, loop_time() + seconds)

    @property
    def rate_limit_seconds(self) -> float:
        """Seconds until the pace of the owner allows the next message."""
        return self.bucket.seconds_until_token(loop_time())

    def consume_token(self) -> None:
        """A message goes out."""
        self.bucket = self.bucket.consume(loop_time())


def back_off(queue: ChatQueue) -> None:
    """Something failed in this chat: it is left alone for a while, the longer the oftener."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
