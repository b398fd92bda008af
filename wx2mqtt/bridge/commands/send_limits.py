"""When a command may be sent: the login and a throttling by WeChat (`wechat_calls.py`), the rate limit of the
settings, WeChat's for a chat, the reply window (`window_wait.py`), and the pause of a chat after a failure.

Times are seconds of the loop's clock.
"""

from __future__ import annotations

import random

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.resolver import AnyCommand, CommandResolver
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.store.command_records import CommandRow

# The shortest wait for a reply window to open: its time may be over while it is still closed.
MIN_WINDOW_WAIT_SECONDS = 0.1

FOREVER = float("inf")


class TokenBucket:
    """The rate limit: gains `per_minute` tokens (0: no limit), keeps at most `burst`; a message takes one."""

    def __init__(self, per_minute: float, burst: int) -> None:
        self.per_minute = per_minute
        self.burst = max(1, burst)
        #: Those that there were at the last change.
        self.tokens = float(self.burst)
        self._changed_at = loop_time()

    def seconds_until_token(self) -> float:
        if self.per_minute <= 0:
            return 0.0
        missing = 1.0 - self._tokens_at(loop_time())
        return max(0.0, missing * 60.0 / self.per_minute)

    def take(self) -> None:
        """Takes a token, or what there is of one."""
        now = loop_time()
        self.tokens = max(0.0, self._tokens_at(now) - 1.0)
        self._changed_at = now

    def put_back(self, count: int) -> None:
        """Puts the tokens of messages back that are not sent."""
        self.tokens = min(float(self.burst), self.tokens + count)

    def resize(self, per_minute: float, burst: int) -> None:
        """Applies other limits; the tokens are kept, up to the new `burst`."""
        now = loop_time()
        tokens = self._tokens_at(now)
        self.per_minute, self.burst = per_minute, max(1, burst)
        self.tokens = min(float(self.burst), tokens)
        self._changed_at = now

    def _tokens_at(self, now: float) -> float:
        # A clock that was set back neither adds nor removes tokens.
        gained = max(0.0, now - self._changed_at) * self.per_minute / 60.0
        return min(float(self.burst), self.tokens + gained)


class SendLimits:
    def __init__(
        self, ctx: AccountContext, calls: WeChatCalls, resolver: CommandResolver, window_wait: WindowWait
    ) -> None:
        self._ctx = ctx
        self._calls = calls
        self._resolver = resolver
        self._window_wait = window_wait
        send = ctx.settings.account.send
        #: The rate limit of the settings.
        self.bucket = TokenBucket(send.per_minute, send.burst)

    def chat_limit_seconds(self, command: AnyCommand) -> float:
        """Returns the seconds until WeChat takes another message in the chat of a command."""
        chat = self._resolver.chat_of(command)
        return 0.0 if chat is None else self._ctx.backend.seconds_until_sendable(chat)

    def resize(self) -> None:
        """Applies the rate limit of the settings; unused tokens are kept."""
        send = self._ctx.settings.account.send
        self.bucket.resize(send.per_minute, send.burst)

    def seconds_until_sendable(self, queue: ChatQueue, row: CommandRow) -> float:
        """Returns the seconds until a command of a queue may be sent: 0 now, `FOREVER` after some change."""
        if row.id == queue.begun_id and not self._calls.stopping:
            return 0.0
        return max(self.seconds_until_allowed(row), queue.paused_until - loop_time())

    def seconds_until_allowed(self, command: AnyCommand) -> float:
        """Returns the same without the pause of a chat, for a command that is in no queue yet."""
        if not self._calls.may_send_now or self._resolver.is_person_pending(command):
            return FOREVER
        window = self._window_wait.window_closed_to(command)
        if window is not None:
            if window.until is None:
                return FOREVER  # only the person can open it
            return max(MIN_WINDOW_WAIT_SECONDS, (window.until - now_ms()) / 1000)
        if command.command.kind == "recall":
            return self._calls.throttled_seconds
        account_seconds = max(self._calls.throttled_seconds, self.bucket.seconds_until_token())
        return max(account_seconds, self.chat_limit_seconds(command))


def back_off(queue: ChatQueue) -> None:
    """Pauses a chat after a failure, longer after each further one."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
