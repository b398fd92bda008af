"""How many messages a chat of a bot still takes: 30 a minute, 1,000 an hour, receipts included (wecom 6.1).

    rates.seconds_until_sendable(chat)        how long the next message waits
    with rates.sending(chat): …               a message goes out
    with rates.answering(chat): …             a receipt goes out

Receipts take at most ten a minute and 300 an hour, and messages may have all that these leave. Where messages
have left no place for a receipt, one place stays free for the next receipt for two minutes (`keep_place`).

A message counts from its end on, since WeCom may have taken it as late as that, and while it is on its way.
What went out before the process started is restored once (`restore`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import nlargest

from wx2mqtt.clock import Clock
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import Handle
from wx2mqtt.values import frozen
from wx2mqtt.wechat.wecom.protocol.endpoints import (
    MAX_PER_HOUR,
    MAX_PER_MINUTE,
    MAX_RECEIPTS_PER_HOUR,
    MAX_RECEIPTS_PER_MINUTE,
)
from wx2mqtt.wechat.wecom.protocol.session import SentTimes

# Where messages left no place for a receipt, one is kept for the rest of this minute and the next one.
KEPT_PLACE_SECONDS = 120.0

# With so many chats those that got nothing for long are forgotten.
MIN_CHATS_TO_FORGET = 100

# With more messages of the last hour the login is saved without them. The next start counts the journal.
MAX_SAVED_TIMES = 20_000


@frozen
class _Limit:
    """So many messages in so many seconds, receipts among them, of which so many are receipts."""

    messages: int
    receipts: int
    seconds: float


_LIMITS = (
    _Limit(messages=MAX_PER_MINUTE, receipts=MAX_RECEIPTS_PER_MINUTE, seconds=60.0),
    _Limit(messages=MAX_PER_HOUR, receipts=MAX_RECEIPTS_PER_HOUR, seconds=3600.0),
)
# A message that ended longer ago counts for no limit.
COUNTED_SECONDS = max(limit.seconds for limit in _LIMITS)


@dataclass(slots=True, kw_only=True)
class _Sent:
    """When messages of one kind went to a chat, by `Clock.boot_time`."""

    #: The oldest first.
    ended_at: deque[float] = field(default_factory=deque)
    #: How many are on their way.
    open: int = 0

    def leave_at(self, seconds: float, now: float) -> Iterator[float]:
        """Yields when each message leaves a window of so many seconds."""
        yield from (ended_at + seconds for ended_at in self.ended_at)
        yield from [now + seconds] * self.open

    def forget_before(self, time: float) -> None:
        while self.ended_at and self.ended_at[0] <= time:
            self.ended_at.popleft()


@dataclass(slots=True, kw_only=True)
class _Chat:
    messages: _Sent = field(default_factory=_Sent)
    receipts: _Sent = field(default_factory=_Sent)
    #: Until when each place is kept free for a receipt, the oldest first.
    kept_until: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_RECEIPTS_PER_MINUTE))


class ChatRates:
    """Counts what goes to each chat. `text` returns a sentence for people in its language."""

    def __init__(self, clock: Clock, text: Callable[..., str]) -> None:
        self._clock = clock
        self._text = text
        self._chats: dict[Handle, _Chat] = {}
        #: With so many chats old ones are forgotten: with twice those that were left the last time.
        self._forget_at = MIN_CHATS_TO_FORGET
        #: Whether what went out before this process is counted.
        self.is_restored = False

    # Messages

    def seconds_until_sendable(self, chat: Handle) -> float:
        """Returns the seconds until a chat takes another message; what is kept for receipts stays free."""
        counted = self._counted(chat)
        return 0.0 if counted is None else self._seconds_until_place(counted, counted.kept_until)

    @contextmanager
    def sending(self, chat: Handle) -> Iterator[None]:
        """Counts a message that goes out in the block. Raises `Unreachable` where the chat takes none now.

        That happens where a receipt has taken the last place meanwhile, or the first of two messages.
        """
        counted = self._counted(chat)
        if counted is not None and self._seconds_until_place(counted) > 0:
            raise Unreachable(self._text("chat_is_full"))
        with self._on_its_way(self._of(chat).messages):
            yield

    # Receipts

    def seconds_until_receipt(self, chat: Handle) -> float:
        """Returns the seconds until a receipt may go out."""
        counted = self._counted(chat)
        if counted is None:
            return 0.0
        return max(self._seconds_until_own_place(counted), self._seconds_until_place(counted))

    def keep_place(self, chat: Handle) -> None:
        """Keeps a place free for the next receipt, unless receipts have had all of their own."""
        counted = self._of(chat)
        if self._seconds_until_own_place(counted) == 0:
            counted.kept_until.append(self._clock.boot_time() + KEPT_PLACE_SECONDS)

    @contextmanager
    def answering(self, chat: Handle) -> Iterator[None]:
        """Counts a receipt that goes out in the block; it takes a place that is kept, if there is one."""
        counted = self._of(chat)
        if counted.kept_until:
            counted.kept_until.popleft()
        with self._on_its_way(counted.receipts):
            yield

    # Over a restart

    def restore(self, sent: Mapping[Handle, SentTimes]) -> None:
        """Counts what went out before this process, so that its messages are counted behind it."""
        now, now_ms = self._clock.boot_time(), self._clock.now
        for chat, times in sent.items():
            counted = self._of(chat)
            # Where the system clock was set back, some of the saved times are still to come.
            for kind, saved in ((counted.messages, times.messages), (counted.receipts, times.receipts)):
                kind.ended_at.extend(sorted(now - max(0, now_ms - time) / 1000 for time in saved))
        self._forget_old()
        self.is_restored = True

    def to_saved(self) -> Mapping[Handle, SentTimes] | None:
        """Returns what WeCom still counts; None where it is not known, or is too much to be saved."""
        self._forget_old()
        sizes = (
            len(counted.messages.ended_at) + len(counted.receipts.ended_at)
            for counted in self._chats.values()
        )
        if not self.is_restored or sum(sizes) > MAX_SAVED_TIMES:
            return None
        return {
            chat: SentTimes(
                messages=self._saved_times(counted.messages), receipts=self._saved_times(counted.receipts)
            )
            for chat, counted in self._chats.items()
        }

    def _saved_times(self, sent: _Sent) -> tuple[int, ...]:
        now, now_ms = self._clock.boot_time(), self._clock.now
        return tuple(now_ms - int((now - ended_at) * 1000) for ended_at in sent.ended_at)

    # Counting

    @contextmanager
    def _on_its_way(self, sent: _Sent) -> Iterator[None]:
        """Counts a message, unless `Unreachable` says that nothing of it was written."""
        sent.open += 1
        is_written = True
        try:
            yield
        except Unreachable:
            is_written = False
            raise
        finally:
            sent.open -= 1
            if is_written:
                sent.ended_at.append(self._clock.boot_time())

    def _of(self, chat: Handle) -> _Chat:
        if chat not in self._chats and len(self._chats) >= self._forget_at:
            self._forget_old()
        return self._chats.setdefault(chat, _Chat())

    def _counted(self, chat: Handle) -> _Chat | None:
        """Returns what counts of a chat now; None where nothing does."""
        counted = self._chats.get(chat)
        if counted is None:
            return None
        now = self._clock.boot_time()
        counted.messages.forget_before(now - COUNTED_SECONDS)
        counted.receipts.forget_before(now - COUNTED_SECONDS)
        while counted.kept_until and counted.kept_until[0] <= now:
            counted.kept_until.popleft()
        return counted

    def _seconds_until_place(self, counted: _Chat, kept_until: Iterable[float] = ()) -> float:
        """Returns the seconds until a chat takes a message or a receipt, with these places kept free."""
        now = self._clock.boot_time()
        waits = []
        for limit in _LIMITS:
            # More of the journal's messages got no receipt, and more places are not kept.
            receipts = nlargest(limit.receipts, [*counted.receipts.leave_at(limit.seconds, now), *kept_until])
            taken = [*counted.messages.leave_at(limit.seconds, now), *receipts]
            waits.append(_seconds_until_fewer(taken, limit.messages, now))
        return max(waits)

    def _seconds_until_own_place(self, counted: _Chat) -> float:
        """Returns the seconds until receipts have not had all that is theirs."""
        now = self._clock.boot_time()
        return max(
            _seconds_until_fewer([*counted.receipts.leave_at(limit.seconds, now)], limit.receipts, now)
            for limit in _LIMITS
        )

    def _forget_old(self) -> None:
        """Forgets the chats that got nothing for long."""
        for chat in [*self._chats]:
            counted = self._counted(chat)
            if counted == _Chat():
                del self._chats[chat]
        self._forget_at = max(MIN_CHATS_TO_FORGET, 2 * len(self._chats))


def _seconds_until_fewer(leave_at: list[float], count: int, now: float) -> float:
    """Returns the seconds until fewer than `count` of these times lie ahead."""
    if len(leave_at) < count:
        return 0.0
    return max(0.0, nlargest(count, leave_at)[-1] - now)
