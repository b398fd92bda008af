"""Decisions about polls and syncs: how the cursor moves, when the login is over, how long to pause.

(webwx 2.10, 2.11)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from wx2mqtt.wechat.webwx.protocol.codes import SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.responses import SyncAnswer, SyncCheckAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor

MIN_POLL_INTERVAL_SECONDS = 1.0  # seconds between the beginnings of polls that bring nothing (webwx 5.1.2)
MAX_EMPTY_SYNCS = 5  # syncs in a row that bring nothing and move no key, until polls become rarer
MAX_POLL_PAUSE_SECONDS = 30.0  # seconds


class SyncAction(Enum):
    """What a synccheck asks for."""

    QUIET = "poll again"
    NEWS = "sync"
    OVER = "a person must log in"
    LATER = "poll again after a pause"


def action_after_check(check: SyncCheckAnswer) -> SyncAction:
    """Any selector but 0 means sync: telling them apart ends in endless loops (webwx 2.10.5)."""
    if check.ret in SESSION_ENDED:
        return SyncAction.OVER
    if check.ret != Ret.OK:
        return SyncAction.LATER
    return SyncAction.NEWS if check.selector else SyncAction.QUIET


def advanced_cursor(position: SyncCursor, answer: SyncAnswer) -> SyncCursor:
    """The position after a sync: empty keys leave the old ones (webwx 2.11.4, 2.11.8).

    `more` counts only where something came or moved; else a server that always says it would be asked
    without end.
    """
    after = replace(
        position, sync=answer.sync or position.sync, check=answer.check or position.check, more=False
    )
    fruitful = not answer.is_empty or after != replace(position, more=False)
    return replace(after, more=answer.more and fruitful)


@dataclass(frozen=True, slots=True)
class PollPacing:
    """When the next poll may begin: at once while something flows, else calmly. Never drops the session.

    `began` is when the last poll began, `barren` counts syncs in a row that brought nothing and moved no key.
    """

    started_at: float = float("-inf")
    quiet: bool = False
    barren: int = 0

    def pause(self, now: float) -> float:
        """Seconds to wait before the next poll."""
        if not self.quiet:
            return 0.0
        apart = MIN_POLL_INTERVAL_SECONDS
        if self.barren >= MAX_EMPTY_SYNCS:
            apart = min(
                MAX_POLL_PAUSE_SECONDS,
                MIN_POLL_INTERVAL_SECONDS * 2.0 ** min(self.barren - MAX_EMPTY_SYNCS + 1, 10),
            )
        return max(0.0, self.started_at + apart - now)

    def after_poll(self, now: float) -> PollPacing:
        """A poll begins."""
        return replace(self, started_at=now)

    def after_empty_poll(self) -> PollPacing:
        """The poll said that there is nothing."""
        return replace(self, quiet=True, barren=0)

    def after_sync(
        self, old_position: SyncCursor, new_position: SyncCursor, *, fruitless: bool
    ) -> PollPacing:
        """The poll was followed by a sync; `fruitless` when it brought nothing that the last one had not."""
        barren = self.barren + 1 if fruitless and new_position == old_position else 0
        return replace(self, quiet=fruitless, barren=barren)
