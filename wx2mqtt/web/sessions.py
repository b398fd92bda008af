"""Who has logged in: random keys, kept in memory only. A restart, or a logout, ends them."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable

LASTS = 30 * 86_400.0  # seconds
MOST = 100  # browsers at once; the oldest must log in again


class Sessions:
    """The sessions of browsers; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: OrderedDict[bytes, float] = (
            OrderedDict()
        )  # by the hash of the key: finding it takes no time

    def begin(self) -> str:
        """A new one; its key goes into the browser's cookie and nowhere else."""
        key = secrets.token_urlsafe(32)
        self._ends[_hash(key)] = self._clock() + LASTS
        while len(self._ends) > MOST:
            self._ends.popitem(last=False)
        return key

    def known(self, key: str) -> bool:
        """Whether such a session stands."""
        ends = self._ends.get(_hash(key))
        return ends is not None and self._clock() < ends

    def end(self, key: str) -> None:
        """No longer."""
        self._ends.pop(_hash(key), None)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
