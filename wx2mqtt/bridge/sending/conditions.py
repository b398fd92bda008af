"""What lets one account send, or not: the login, the pace of the owner, a pause that WeChat asked for."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from wx2mqtt.bridge.sending.lanes import Lane
from wx2mqtt.bridge.sending.limits import Bucket


@dataclass(slots=True, kw_only=True)
class Conditions:
    """As they are now. `throttled_until` is a time of the loop's clock, in seconds."""

    bucket: Bucket
    online: bool = False
    stopping: bool = False
    throttled_until: float = 0.0

    @property
    def throttled(self) -> float:
        """Seconds until WeChat may be asked again; 0 when it may be now."""
        return max(0.0, self.throttled_until - clock())

    def slow_down(self, seconds: float) -> None:
        """WeChat wants to be left alone."""
        self.throttled_until = max(self.throttled_until, clock() + seconds)

    @property
    def own_limit(self) -> float:
        """Seconds until the pace of the owner allows the next message."""
        return self.bucket.wait(clock())

    def take(self) -> None:
        """A message goes out."""
        self.bucket = self.bucket.take(clock())


def clock() -> float:
    """The loop's, in seconds."""
    return asyncio.get_running_loop().time()


def rest(lane: Lane) -> None:
    """Something failed in this chat: it is left alone for a while, the longer the oftener."""
    lane.backoff = lane.backoff.failed()
    lane.pause = clock() + lane.backoff.wait(random.random())
