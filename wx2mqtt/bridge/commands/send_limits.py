"""What limits the sending of one account: the rate limit of the settings, throttling by WeChat, the login
(`SendConditions`), and with them the reply window and the pause of a chat (`SendLimits`).

Times are seconds of the loop's clock. `back_off` pauses a single chat after a failure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.model import ReplyWindow
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

# The shortest wait for a reply window to open: its time may be over while it is still closed.
MIN_WINDOW_WAIT_SECONDS = 0.1

FOREVER = float("inf")


@frozen
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

    def with_returned(self, tokens: int) -> TokenBucket:
        """Returns the bucket with tokens put back that were taken for messages that are not sent."""
        return replace(self, tokens=min(float(self.burst), self.tokens + tokens))

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
    """The current conditions of one account: nothing is sent while offline, stopping or throttled.

    `login_refused` is true when WeChat has answered a send with the end of the login.
    """

    bucket: TokenBucket
    online: bool = False
    stopping: bool = False
    throttled_until: float = 0.0
    login_refused: bool = False

    def set_online(self, online: bool) -> None:
        """Records that there is a login, or none any more."""
        self.online = online
        self.login_refused = self.login_refused and not online

    def refuse_login(self) -> None:
        """Records that WeChat has answered a send with the end of the login."""
        self.online, self.login_refused = False, True

    def try_after_login_end(self) -> None:
        """Allows sends after polls were refused, until a send is refused as well."""
        self.online = not self.login_refused

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

    def return_tokens(self, tokens: int) -> None:
        """Takes back what `consume_token` counted for messages that are not sent."""
        self.bucket = self.bucket.with_returned(tokens)


@frozen
class SendLimits:
    """When a command may be sent."""

    conditions: SendConditions
    resolver: CommandResolver
    hold_queue: HoldQueue

    def seconds_until_sendable(self, queue: ChatQueue, row: CommandRow) -> float:
        """Returns the seconds until a command of a queue may be sent.

        0 means now, `FOREVER` that only a change of the conditions helps.
        """
        if queue.is_marked(row) and not self.conditions.stopping:
            return 0.0
        return max(self.seconds_until_allowed(row), queue.paused_until - loop_time())

    def seconds_until_allowed(self, row: CommandRow) -> float:
        """As `seconds_until_sendable`, without the pause of a chat: of a command that is in no queue yet.

        Each attempt asks this first, whether it starts from a queue or with the acceptance of its command.
        """
        conditions = self.conditions
        if not conditions.allow_sending or self.resolver.is_person_pending(row):
            return FOREVER
        if (window := self.hold_queue.closed_window(row)) is not None:
            return _seconds_until_open(window)
        rate_limit_seconds = 0.0 if self.resolver.is_recall(row) else conditions.rate_limit_seconds
        return max(conditions.throttled_seconds, rate_limit_seconds)


def _seconds_until_open(window: ReplyWindow) -> float:
    """Returns the seconds until a closed window may open; `FOREVER` if only the person can open it."""
    if window.until is None:
        return FOREVER
    return max(MIN_WINDOW_WAIT_SECONDS, (window.until - now_ms()) / 1000)


def back_off(queue: ChatQueue) -> None:
    """Pauses a chat after a failure, longer after each further one."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
