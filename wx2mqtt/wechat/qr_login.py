"""When it is news that WeChat does not answer while a person is asked to scan. Pure."""

from __future__ import annotations

OUTAGE_AFTER_SECONDS = 5.0  # seconds of failing polls before they are told


class OutageDetector:
    """How long WeChat has not answered a poll: one lost answer is no news, `patience` is. Seconds."""

    def __init__(self, now: float, threshold: float = OUTAGE_AFTER_SECONDS) -> None:
        self._threshold = threshold
        self._last_answer_at = now
        self._reported = False

    def record_failure(self, now: float) -> bool:
        """A poll failed. True once, when it has gone on long enough to be told."""
        news = not self._reported and now - self._last_answer_at >= self._threshold
        self._reported = self._reported or news
        return news

    def record_success(self, now: float) -> bool:
        """WeChat answered. True when a silence had been told."""
        told, self._reported, self._last_answer_at = self._reported, False, now
        return told
