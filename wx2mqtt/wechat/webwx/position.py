"""How far a login has received, as the opaque cursor that the journal keeps (webwx 2.10, 2.11)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from wx2mqtt.model import Cursor
from wx2mqtt.wechat.fields import Entry, number, objects

Keys = tuple[tuple[int, int], ...]
"""The pairs of a SyncKey: what is counted, and how far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """`sync` is for webwxsync, `check` for synccheck; `more`: the last answer left something waiting."""

    sync: Keys = ()
    check: Keys = ()
    more: bool = False

    def cursor(self) -> Cursor:
        """As the journal keeps it."""
        return Cursor(
            json.dumps({"sync": self.sync, "check": self.check, "more": self.more}, separators=(",", ":"))
        )

    @classmethod
    def of(cls, cursor: Cursor) -> Position:
        """What `cursor` made. A cursor that is not ours is the position before everything."""
        try:
            kept = json.loads(cursor)
            return cls(sync=_pairs(kept["sync"]), check=_pairs(kept["check"]), more=kept["more"] is True)
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()

    @property
    def query(self) -> str:
        """The key as synccheck wants it, before percent-encoding."""
        return "|".join(f"{key}_{value}" for key, value in self.check)


def keys_in(answer: Entry, field: str) -> Keys:
    """The keys in an answer; empty when it has none, which means that the old ones stay."""
    given = answer.get(field)
    if not isinstance(given, dict):
        return ()
    return tuple((number(pair, "Key"), number(pair, "Val")) for pair in objects(given, "List")[0])


def _pairs(rows: list[list[int]]) -> Keys:
    return tuple((int(key), int(value)) for key, value in rows)
