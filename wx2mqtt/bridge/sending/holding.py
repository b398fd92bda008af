"""What WeChat takes only after the person wrote waits for that: held, told of once, the most important first.

Decides and writes down; who settles and sends is the sender. Where a backend has no window nothing is ever
held, and nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.results import Results
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.lanes import RANKS, Lane, Lanes
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.model import Json, Window
from wx2mqtt.store.journal import CommandRow, Journal, NewPublication
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, say

RATE_LIMITED = "rate_limited"  # the only window that opens by itself
SHUT = {
    "never_wrote": "shut_never_wrote",
    "new_binding": "shut_new_binding",
    "too_long_ago": "shut_too_long_ago",
    "quota_used": "shut_quota_used",
    RATE_LIMITED: "shut_rate_limited",
}
"""Sentences that say what shuts a window."""

_HINTS = {
    "never_wrote": "hint_never_wrote",
    "new_binding": "hint_new_binding",
    "too_long_ago": "hint_too_long_ago",
    "quota_used": "hint_quota_used",
    RATE_LIMITED: "hint_rate_limited",
}
_CODES = {"quota_used": "quota_used", RATE_LIMITED: RATE_LIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRules:
    """At most `most` commands wait for one person, each `ttl` seconds where it has none of its own."""

    most: int = 100
    ttl: float = 86_400.0


def code_of(window: Window) -> str:
    """What the result of a command says that could not be sent in a shut window."""
    return _CODES.get(window.why, "window_closed")


class Holding:
    """Knows what is held for one account."""

    def __init__(
        self,
        *,
        journal: Journal,
        gateway: Gateway,
        errands: Errands,
        lanes: Lanes,
        results: Results,
        rules: Callable[[], HoldRules],
        language: Callable[[], Language],
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._errands = errands
        self._lanes = lanes
        self._results = results
        self._rules = rules
        self._language = language

    def shut(self, row: CommandRow) -> Window | None:
        """The window to whom a command is for, while it is shut."""
        if not self._gateway.capabilities.window:
            return None
        chat = self._errands.chat(row)
        window = None if chat is None else self._gateway.window(chat)
        return None if window is None or window.open else window

    @property
    def most(self) -> int:
        """Commands that may wait for one person."""
        return self._rules().most

    @property
    def count(self) -> int:
        """Commands that are held now."""
        return sum(bool(row.held) for lane in self._lanes.all() for row in lane.rows)

    async def keep(self, lane: Lane, window: Window) -> bool:
        """Write down that these wait, and tell it, where that is news. Whether there was any."""
        fresh = [row for row in lane.rows if not row.held and row.command.hold and row.id != lane.begun]
        if not fresh:
            return False
        held = [replace(row, held=window.why, expires=self._until(row)) for row in fresh]
        marks = [(row.id, row.held, row.expires or 0) for row in held]
        notices = [self._notice(row, window) for row in held]
        await insist(lambda: self._journal.hold(marks, notices))
        for row in held:
            self._lanes.extend(replace(row, replies=self._lanes.current(row).replies))
        return True

    def impatient(self, lane: Lane, window: Window) -> CommandRow | None:
        """One that does not want to wait for the person."""
        if window.why == RATE_LIMITED:
            return None
        return next((row for row in lane.rows if not row.command.hold and row.id != lane.begun), None)

    def one_too_many(self, lane: Lane) -> CommandRow | None:
        """Which one gives way where more wait than may: the oldest of the least important."""
        held = [row for row in lane.rows if row.held and row.id != lane.begun]
        if len(held) <= self.most:
            return None
        return min(held, key=_gives_way)

    def _until(self, row: CommandRow) -> int:
        """Milliseconds since 1970; a time of its own counts, else that of the owner for all that wait."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._rules().ttl * 1000)

    def _notice(self, row: CommandRow, window: Window) -> NewPublication:
        fields: dict[str, Json] = {
            "command_id": row.command_id,
            "until": rfc3339(row.expires or 0),
            "why": window.why,
            "hint": say(self._language(), _HINTS[window.why], user=row.command.user),
        }
        return self._results.event("held", row.command.user, f"held:{row.command_id}", now_ms(), fields)


def _gives_way(row: CommandRow) -> tuple[bool, int, int]:
    begun = bool(row.unknown or row.parts_sent)
    return begun, -RANKS.get(row.command.priority, 1), row.id
