"""What is subscribed on one connection: asked for at its beginning, and again where it was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from wx2mqtt.mqtt.reasons import FAILURE, words

log = structlog.get_logger(__name__)

AGAIN = 300.0
"""Seconds after which a refused filter is tried again: rights change while we run."""


class Subscribing:
    """`ask` sends SUBSCRIBE and gives its packet id."""

    def __init__(self, filters: tuple[str, ...], ask: Callable[[Sequence[str]], int]) -> None:
        self._filters = filters
        self._ask = ask
        self._asked: dict[int, tuple[str, ...]] = {}
        self._again = 0.0
        self.refused: tuple[str, ...] = ()

    def start(self) -> None:
        """At every connection: it is idempotent, and the session may be lost or another's."""
        self._send(self._filters)

    def answered(self, mid: int, codes: Sequence[int], now: float) -> bool:
        """SUBACK. True if it answers what was asked."""
        filters = self._asked.pop(mid, None)
        if filters is None:
            return False
        given = dict(zip(filters, codes, strict=False))
        refused = tuple(name for name in filters if given.get(name, FAILURE) >= FAILURE)
        for name in refused:
            if name not in self.refused:
                log.warning("subscription refused", filter=name, reason=words(given.get(name, FAILURE)))
        for name in set(self.refused) - set(refused):
            log.info("subscription granted after all", filter=name)
        self.refused = refused
        self._again = now + AGAIN
        return True

    def retry(self, now: float) -> None:
        """Ask again for what was refused, when it is time."""
        if self.refused and not self._asked and now >= self._again:
            self._send(self.refused)

    def _send(self, filters: tuple[str, ...]) -> None:
        if filters:
            self._asked[self._ask(filters)] = filters
