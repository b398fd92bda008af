"""What limits the sending of one account: the rate limit of the settings, throttling by WeChat, the login.

Times are seconds of the loop's clock. `back_off` pauses a single chat after a failure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from wx2mqtt.bridge.commands.queues import ChatQueue
from wx2mqtt.clock import loop_time


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket:
    """A token bucket as a value: gains `per_minute` tokens, keeps at most `burst`; each send takes one.

    0 per minute means no limit.
    """

    per_minute: float
    burst: int
    tokens: float
    updated_at: float

    @classmethod
    def full(cls, per_minute: float, burst: int, now: float) -> TokenBucket:
        """Returns a full bucket."""
        return cls(per_minute=per_minute, burst=max(1, burst), tokens=float(max(1, burst)), updated_at=now)

    def seconds_until_token(self, now: float) -> float:
        """Returns the seconds until there is a token; 0 when there is one."""
        if self.per_minute <= 0:
            return 0.0
        missing = 1.0 - self._refilled_tokens(now)
        return max(0.0, missing * 60.0 / self.per_minute)

    def consume(self, now: float) -> TokenBucket:
        """Returns the bucket with one token less, but never less than none."""
        return replace(self, tokens=max(0.0, self._refilled_tokens(now) - 1.0), updated_at=now)

    def resized(self, per_minute: float, burst: int, now: float) -> TokenBucket:
        """Returns the bucket with other limits; its tokens are kept up to the new `burst`."""
        burst = max(1, burst)
        tokens = min(float(burst), self._refilled_tokens(now))
        return TokenBucket(per_minute=per_minute, burst=burst, tokens=tokens, updated_at=now)

    def _refilled_tokens(self, now: float) -> float:
        # A clock that was set back neither adds nor removes tokens.
        return min(float(self.burst), self.tokens + max(0.0, now - self.updated_at) * self.per_minute / 60.0)


@dataclass(slots=True, kw_only=True)
class SendConditions:
    """The current conditions of one account: nothing is sent while offline, stopping or throttled."""

    bucket: TokenBucket
    online: bool = False
    stopping: bool = False
    throttled_until: float = 0.0

    @property
    def allow_sending(self) -> bool:
        """Whether anything may be sent, now or after a wait."""
        return self.online and not self.stopping

    @property
    def throttled_seconds(self) -> float:
        """Seconds until the throttling by WeChat ends; 0 without one."""
        return max(0.0, self.throttled_until - loop_time())

    def slow_down(self, seconds: float) -> None:
        """Applies a throttling by WeChat: nothing is sent for `seconds`."""
        self.throttled_until = max(self.throttled_until, loop_time() + seconds)

    @property
    def rate_limit_seconds(self) -> float:
        """Seconds until the rate limit of the settings allows the next message."""
        return self.bucket.seconds_until_token(loop_time())

    def consume_token(self) -> None:
        """Counts a message against the rate limit."""
        self.bucket = self.bucket.consume(loop_time())


def back_off(queue: ChatQueue) -> None:
    """Pauses a chat after a failure, longer after each further one."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
