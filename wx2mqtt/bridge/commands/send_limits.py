"""When a command may be sent: the login and a throttling by WeChat (`wechat_calls.py`), the rate limit of the
settings, the reply window (`window_wait.py`), and the pause of a chat after a failure.

Times are seconds of the loop's clock.
"""

from __future__ import annotations

import random
from dataclasses import replace

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.resolver import AnyCommand, CommandResolver, is_recall
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

# The shortest wait for a reply window to open: its time may be over while it is still closed.
MIN_WINDOW_WAIT_SECONDS = 0.1

FOREVER = float("inf")


@frozen
class TokenBucket:
    """Gains `per_minute` tokens (0: no limit), keeps at most `burst`; each message takes one. A value."""

    per_minute: float
    burst: int
    tokens: float
    updated_at: float

    @classmethod
    def full(cls, per_minute: float, burst: int, now: float) -> TokenBucket:
        return cls(per_minute=per_minute, burst=max(1, burst), tokens=float(max(1, burst)), updated_at=now)

    def seconds_until_token(self, now: float) -> float:
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


class SendLimits:
    def __init__(
        self, ctx: AccountContext, calls: WeChatCalls, resolver: CommandResolver, window_wait: WindowWait
    ) -> None:
        self._ctx = ctx
        self._calls = calls
        self._resolver = resolver
        self._window_wait = window_wait
        send = ctx.settings.account.send
        self._bucket = TokenBucket.full(send.per_minute, send.burst, loop_time())

    @property
    def rate_limit_seconds(self) -> float:
        """Seconds until the rate limit of the settings allows the next message."""
        return self._bucket.seconds_until_token(loop_time())

    def consume_token(self) -> None:
        """Counts a message against the rate limit."""
        self._bucket = self._bucket.consume(loop_time())

    def return_tokens(self, tokens: int) -> None:
        """Takes back what `consume_token` counted for messages that are not sent."""
        kept = min(float(self._bucket.burst), self._bucket.tokens + tokens)
        self._bucket = replace(self._bucket, tokens=kept)

    def resize(self) -> None:
        """Applies the rate limit of the settings; unused tokens are kept."""
        send = self._ctx.settings.account.send
        self._bucket = self._bucket.resized(send.per_minute, send.burst, loop_time())

    def seconds_until_sendable(self, queue: ChatQueue, row: CommandRow) -> float:
        """Returns the seconds until a command of a queue may be sent: 0 now, `FOREVER` after some change."""
        if row.id == queue.begun_id and not self._calls.stopping:
            return 0.0
        return max(self.seconds_until_allowed(row), queue.paused_until - loop_time())

    def seconds_until_allowed(self, command: AnyCommand) -> float:
        """Returns the same without the pause of a chat, for a command that is in no queue yet."""
        if not self._calls.may_send or self._resolver.is_person_pending(command):
            return FOREVER
        window = self._window_wait.closed_window(command)
        if window is not None:
            if window.until is None:
                return FOREVER  # only the person can open it
            return max(MIN_WINDOW_WAIT_SECONDS, (window.until - now_ms()) / 1000)
        if is_recall(command):
            return self._calls.throttled_seconds
        return max(self._calls.throttled_seconds, self.rate_limit_seconds)


def back_off(queue: ChatQueue) -> None:
    """Pauses a chat after a failure, longer after each further one."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
