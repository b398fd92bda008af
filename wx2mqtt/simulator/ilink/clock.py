"""The servers' clock: the machine's, and as far ahead as somebody asked."""

from __future__ import annotations

import time


class Clock:
    """Seconds and milliseconds since 1970."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """Seconds."""
        return time.time() + self.ahead

    def now_ms(self) -> int:
        """Milliseconds."""
        return int(self.now() * 1000)
