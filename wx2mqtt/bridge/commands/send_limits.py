"""When a command may be sent: the login and a throttling by WeChat (`wechat_calls.py`), the rate limit of the
settings, that of a chat, the reply window (`window_wait.py`), and the pause of a chat after a failure.

Times are seconds of the loop's clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.resolver import AnyCommand, BackendRequest, ChatKey, CommandResolver
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.model import Draft
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


class ChatLimits:
    """How many messages the backend lets a chat have (`Capabilities.chat_limits`): counts those of each chat.

    Every attempt counts from its end on, whatever came of it: WeChat may count it, too.
    """

    def __init__(self, limits: Sequence[tuple[int, float]]) -> None:
        self._limits = limits
        self.longest_seconds = max((seconds for _, seconds in limits), default=0.0)
        #: When messages went to each chat, the oldest first: as many as the largest limit needs.
        self._times: dict[ChatKey, deque[float]] = {}
        self._most = max((count for count, _ in limits), default=0)

    def seconds_until_allowed(self, chat: ChatKey, now: float) -> float:
        """Returns the seconds until the chat may get another message."""
        times = self._times.get(chat, ())
        waits = [times[-count] + seconds - now for count, seconds in self._limits if len(times) >= count]
        return max(0.0, max(waits, default=0.0))

    def record(self, chat: ChatKey, messages: int, now: float) -> None:
        """Counts messages of an attempt that ends now, or ended then; call it in the order of time."""
        if not self._limits:
            return
        if chat not in self._times:
            self._forget_idle(now)
        times = self._times.setdefault(chat, deque(maxlen=self._most))
        times.extend([now] * messages)

    def _forget_idle(self, now: float) -> None:
        oldest = now - self.longest_seconds
        self._times = {chat: times for chat, times in self._times.items() if times[-1] > oldest}


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
        chat_limits = ctx.backend.capabilities.chat_limits
        self._chat_limits = ChatLimits(chat_limits) if chat_limits else None
        self._is_recovered = False

    async def recover(self) -> None:
        """At start: counts the messages of the last process that the limits of a chat still count.

        When an attempt ended is not stored: that of a finished command counts from its result on, that of
        another one from now on. Nothing is sent before. Raises `StoreError`.
        """
        if self._chat_limits is None:
            return
        now, loop_now = now_ms(), loop_time()
        since = now - int(self._chat_limits.longest_seconds * 1000)
        rows = await self._ctx.journal.commands.list_attempted(since)
        ended = {row.id: now if row.result is None else min(now, row.result.time) for row in rows}
        for row in sorted(rows, key=lambda row: ended[row.id]):
            age_seconds = (now - ended[row.id]) / 1000
            self._chat_limits.record(self._resolver.chat_key(row), row.attempts, loop_now - age_seconds)
        self._is_recovered = True

    def record_attempt(self, row: CommandRow, request: BackendRequest) -> None:
        """Counts an attempt that has ended for its chat; a long question is a text and a card."""
        if self._chat_limits is None:
            return
        is_question = isinstance(request, Draft) and bool(request.buttons)
        self._chat_limits.record(self._resolver.chat_key(row), 2 if is_question else 1, loop_time())

    def chat_limit_seconds(self, command: AnyCommand) -> float:
        """Returns the seconds until the backend lets the chat of a command have another message."""
        if self._chat_limits is None:
            return 0.0
        if not self._is_recovered:
            return FOREVER
        return self._chat_limits.seconds_until_allowed(self._resolver.chat_key(command), loop_time())

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
        is_connected = self._calls.is_connected and not self._calls.stopping
        if not is_connected or self._resolver.is_person_pending(command):
            return FOREVER
        window = self._window_wait.window_closed_to(command)
        if window is not None:
            if window.until is None:
                return FOREVER  # only the person can open it
            return max(MIN_WINDOW_WAIT_SECONDS, (window.until - now_ms()) / 1000)
        if command.command.kind == "recall":
            return self._calls.throttled_seconds
        seconds = max(self._calls.throttled_seconds, self.bucket.seconds_until_token())
        return seconds if self._chat_limits is None else max(seconds, self.chat_limit_seconds(command))


def back_off(queue: ChatQueue) -> None:
    """Pauses a chat after a failure, longer after each further one."""
    queue.backoff = queue.backoff.after_failure()
    queue.paused_until = loop_time() + queue.backoff.wait(random.random())
