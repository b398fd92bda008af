"""When it is news that WeChat does not answer while a person is asked to scan. Pure."""

from __future__ import annotations

PATIENCE = 5.0  # seconds of failing polls before they are told


class Silence:
    """How long WeChat has not answered a poll: one lost answer is no news, `patience` is. Seconds."""

    def __init__(self, now: float, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._heard = now
        self._told = False

    def goes_on(self, now: float) -> bool:
        """A poll failed. True once, when it has gone on long enough to be told."""
        news = not self._told and now - self._heard >= self._patience
        self._told = self._told or news
        return news

    def ends(self, now: float) -> bool:
        """WeChat answered. True when a silence had been told."""
        told, self._told, self._heard = self._told, False, now
        return told
