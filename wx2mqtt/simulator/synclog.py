"""What has happened in one login, in order, and the keys that name a place in it (webwx 2.10, 2.11).

A key names a position; what followed that position is sent again whenever the key is used again. Entries
are rendered when they happen, so that an answer is a join of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from wx2mqtt.simulator import wire
from wx2mqtt.simulator.bell import Bell

KeyList = tuple[tuple[int, int], ...]


class Entry(IntEnum):
    """What an entry is, and the selector that synccheck answers for it."""

    MESSAGE = 2
    CHANGED = 4
    DELETED = 6
    PHONE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Entries between two positions."""

    start: int
    end: int
    messages: Sequence[bytes]
    changed: Sequence[bytes]
    deleted: Sequence[bytes]
    more: bool


def key_text(keys: KeyList) -> str:
    """Keys as the query of synccheck carries them."""
    return "|".join(f"{key}_{value}" for key, value in keys)


def key_json(keys: KeyList) -> bytes:
    """Keys as a JSON body carries them."""
    return wire.dump({"Count": len(keys), "List": [{"Key": key, "Val": value} for key, value in keys]})


class SyncLog:
    """All entries of a login. `born` is the time of the login in seconds."""

    def __init__(self, *, born: int) -> None:
        self.bell = Bell()
        self._born = born
        self._kinds = bytearray()
        self._entries: list[bytes] = []
        self._issued: dict[str, int] = {}

    @property
    def head(self) -> int:
        """The position after everything that has happened."""
        return len(self._entries)

    def append(self, kind: Entry, *entries: bytes) -> None:
        """Add entries of one kind and wake whoever waits."""
        self._entries += entries
        self._kinds += bytes([kind]) * len(entries)
        self.bell.ring()

    def sync_key(self, position: int) -> KeyList:
        """The SyncKey for a position; it counts as issued from now on."""
        base = self._born - 860_000_000
        keys = ((1, base), (2, base + position), (3, base - 44), (1000, self._born))
        return self._issue(keys, position)

    def check_key(self, position: int) -> KeyList:
        """The SyncCheckKey for a position: more keys than the SyncKey, and never equal to it."""
        base = self._born - 860_000_000
        keys = (
            (1, base),
            (2, base + position),
            (3, base - 44),
            (11, base - 91),
            (201, self._born + position),
            (1000, self._born),
            (1001, self._born - 8956),
        )
        return self._issue(keys, position)

    def _issue(self, keys: KeyList, position: int) -> KeyList:
        self._issued[key_text(keys)] = position
        return keys

    def position(self, key: str) -> int | None:
        """The position that a key names; None when it was never issued."""
        return self._issued.get(key)

    def selector(self, position: int) -> int:
        """What synccheck says about the entries after a position; 0 when there are none."""
        kinds = self._kinds[position:]
        if not kinds:
            return 0
        return min(kinds)

    def after(self, position: int, most: int) -> Slice:
        """At most `most` entries after a position."""
        end = min(position + most, self.head)
        kinds, entries = self._kinds[position:end], self._entries[position:end]
        if Entry.CHANGED not in kinds and Entry.DELETED not in kinds:
            messages, changed, deleted = entries, [], []
        else:
            pairs = [*zip(kinds, entries, strict=True)]
            messages = [e for kind, e in pairs if kind in (Entry.MESSAGE, Entry.PHONE)]
            changed = [e for kind, e in pairs if kind == Entry.CHANGED]
            deleted = [e for kind, e in pairs if kind == Entry.DELETED]
        return Slice(
            start=position, end=end, messages=messages, changed=changed, deleted=deleted, more=end < self.head
        )
