"""Decides about polls and syncs: how the position moves, when a login has ended, how long to pause.

Nothing here performs I/O (webwx 2.10, 2.11).
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from wx2mqtt.values import frozen
from wx2mqtt.wechat.webwx.protocol.codes import SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.responses import SyncAnswer, SyncCheckAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor

# Between the starts of polls without news (webwx 5.1.2).
MIN_POLL_INTERVAL_SECONDS = 1.0

# After so many useless syncs in a row the interval doubles with each further one, up to the maximum.
MAX_EMPTY_SYNCS = 5
MAX_POLL_PAUSE_SECONDS = 30.0

# Behind an answer with so many messages more of them wait, most likely: WeChat is asked for these at once.
LARGE_ANSWER_MESSAGES = 20


class SyncAction(Enum):
    """The reaction to an answer of synccheck."""

    QUIET = "poll again"
    NEWS = "sync"
    OVER = "a person must log in"
    LATER = "poll again after a pause"


def action_after_check(check: SyncCheckAnswer) -> SyncAction:
    """Returns the reaction to an answer.

    Any selector but 0 requires a sync: clients that distinguish selectors poll in an endless loop (webwx
    2.10.5).
    """
    if check.ret in SESSION_ENDED:
        return SyncAction.OVER
    if check.ret != Ret.OK:
        return SyncAction.LATER
    return SyncAction.NEWS if check.selector else SyncAction.QUIET


def advanced_cursor(position: SyncCursor, answer: SyncAnswer) -> SyncCursor:
    """Returns the position after a sync; empty keys leave the previous ones (webwx 2.11.4, 2.11.8).

    `more` says that the next call is a sync, without a poll that would answer at once. WeChat's own flag is
    obeyed only after an answer with news or new keys, since a faulty server may always set it.
    """
    after = replace(
        position, sync=answer.sync or position.sync, check=answer.check or position.check, more=False
    )
    has_moved = after != replace(position, more=False)
    is_large = len(answer.messages) >= LARGE_ANSWER_MESSAGES
    return replace(
        after, more=(answer.more and (has_moved or not answer.is_empty)) or (is_large and has_moved)
    )


@frozen(kw_only=False)
class PollPacing:
    """Decides when the next poll may start: at once while there is news, else after a pause."""

    #: The monotonic time of the last poll in seconds.
    started_at: float = float("-inf")
    quiet: bool = False
    #: Syncs in a row without news and without new keys.
    useless_syncs: int = 0

    def pause(self, now: float) -> float:
        """Seconds to wait before the next poll."""
        if not self.quiet:
            return 0.0
        interval = MIN_POLL_INTERVAL_SECONDS
        if self.useless_syncs >= MAX_EMPTY_SYNCS:
            interval = min(
                MAX_POLL_PAUSE_SECONDS,
                MIN_POLL_INTERVAL_SECONDS * 2.0 ** min(self.useless_syncs - MAX_EMPTY_SYNCS + 1, 10),
            )
        return max(0.0, self.started_at + interval - now)

    def after_poll(self, now: float) -> PollPacing:
        """Returns the pacing after the start of a poll."""
        return replace(self, started_at=now)

    def after_empty_poll(self) -> PollPacing:
        """Returns the pacing after a poll without news."""
        return replace(self, quiet=True, useless_syncs=0)

    def after_sync(
        self, old_position: SyncCursor, new_position: SyncCursor, *, fruitless: bool
    ) -> PollPacing:
        """Returns the pacing after a sync; `fruitless` if it brought nothing new."""
        useless_syncs = self.useless_syncs + 1 if fruitless and new_position == old_position else 0
        return replace(self, quiet=fruitless, useless_syncs=useless_syncs)
