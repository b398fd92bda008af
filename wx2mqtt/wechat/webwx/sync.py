"""What polls and syncs mean: pure decisions about position, end and pace (webwx 2.10, 2.11)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from wx2mqtt.wechat.webwx.codes import SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.responses import Check, Synced

APART = 1.0  # seconds between the beginnings of polls that bring nothing (webwx 5.1)
STUCK = 5  # syncs in a row that bring nothing and move no key, until polls become rarer
LONGEST_PAUSE = 30.0  # seconds


class Verdict(Enum):
    """What a synccheck asks for."""

    QUIET = "poll again"
    NEWS = "sync"
    OVER = "a person must log in"
    LATER = "poll again after a pause"


def judge(check: Check) -> Verdict:
    """Any selector but 0 means sync: telling them apart ends in endless loops (webwx 2.10)."""
    if check.retcode in SESSION_ENDED:
        return Verdict.OVER
    if check.retcode != Ret.OK:
        return Verdict.LATER
    return Verdict.NEWS if check.selector else Verdict.QUIET


def moved(position: Position, answer: Synced) -> Position:
    """The position after a sync: empty keys leave the old ones (webwx 2.11).

    `more` counts only where something came or moved; else a server that always says it would be asked
    without end.
    """
    after = replace(
        position, sync=answer.sync or position.sync, check=answer.check or position.check, more=False
    )
    fruitful = not answer.empty or after != replace(position, more=False)
    return replace(after, more=answer.more and fruitful)


@dataclass(frozen=True, slots=True)
class Pace:
    """When the next poll may begin: at once while something flows, else calmly. Never drops the session.

    `began` is when the last poll began, `barren` counts syncs in a row that brought nothing and moved no key.
    """

    began: float = float("-inf")
    quiet: bool = False
    barren: int = 0

    def pause(self, now: float) -> float:
        """Seconds to wait before the next poll."""
        if not self.quiet:
            return 0.0
        apart = APART
        if self.barren >= STUCK:
            apart = min(LONGEST_PAUSE, APART * 2.0 ** min(self.barren - STUCK + 1, 10))
        return max(0.0, self.began + apart - now)

    def poll(self, now: float) -> Pace:
        """A poll begins."""
        return replace(self, began=now)

    def nothing(self) -> Pace:
        """The poll said that there is nothing."""
        return replace(self, quiet=True, barren=0)

    def synced(self, before: Position, after: Position, *, fruitless: bool) -> Pace:
        """The poll was followed by a sync; `fruitless` when it brought nothing that the last one had not."""
        barren = self.barren + 1 if fruitless and after == before else 0
        return replace(self, quiet=fruitless, barren=barren)
