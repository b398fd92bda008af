"""Which commands are not sent any more, and what kept them (DESIGN 4.2)."""

from __future__ import annotations

from collections.abc import Callable

from wx2mqtt.bridge.results import ended, expired, uncertain
from wx2mqtt.bridge.sending.conditions import Conditions
from wx2mqtt.bridge.sending.fallback import Fallback
from wx2mqtt.bridge.sending.holding import SHUT, Holding, code_of
from wx2mqtt.bridge.sending.lanes import Lane, Lanes
from wx2mqtt.model import Result, Status, Window
from wx2mqtt.store.journal import CommandRow
from wx2mqtt.words import Language, explain, say

ATTEMPTS = 2  # that may stay unanswered (DESIGN 4.2)
SECOND_CHANCE = (60.0, 600.0)  # seconds after its ttl in which an unanswered attempt may be repeated: as long
# as the ttl was, since who wanted it at once does not want it much later; but WeChat gets time to come back


class Lateness:
    """Judges the commands of one account."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        conditions: Conditions,
        holding: Holding,
        fallback: Fallback,
        language: Callable[[], Language],
    ) -> None:
        self._lanes = lanes
        self._conditions = conditions
        self._holding = holding
        self._fallback = fallback
        self._language = language

    def over(self, row: CommandRow) -> Result | None:
        """The result of a command that is not sent any more."""
        if row.unknown >= ATTEMPTS:  # one of them, at least, in a life that crashed
            return uncertain(row, self._language())
        if self._fallback.is_over(row):
            return self._too_late(row, self._fallback.after)
        return self._too_late(row) if self.left(row) <= 0 else None

    def left(self, row: CommandRow) -> float:
        """Seconds within which an attempt may begin (DESIGN 4.2)."""
        return self._lanes.left(row) + (second_chance(row) if row.unknown else 0.0)

    def shut_out(self, lane: Lane, window: Window) -> tuple[CommandRow, Result] | None:
        """One that does not wait until WeChat takes something again, and its end."""
        if (row := self._holding.impatient(lane, window)) is not None:
            return row, ended(row, Status.FAILED, code_of(window), self._why_shut(row, window))
        if (row := self._holding.one_too_many(lane)) is not None:
            language, most = self._language(), self._holding.most
            return row, expired(row, language, "displaced", "displaced", most=most)
        return None

    def _why_shut(self, row: CommandRow, window: Window) -> str:
        return say(self._language(), SHUT[window.why], user=row.command.user)

    def _too_late(self, row: CommandRow, seconds: float | None = None) -> Result:
        """Expired, and what kept it; it had so many seconds where that is not all of its time."""
        if row.unknown:
            return uncertain(row, self._language())
        code, word, retry_after, why = self._cause(row)
        return expired(row, self._language(), code, word, seconds, retry_after, why=why)

    def _cause(self, row: CommandRow) -> tuple[str, str, float | None, str]:
        """Code and sentence, in how many seconds to try again, and why in words where that is wanted."""
        now = self._conditions
        if (trouble := self._lanes.fetch_trouble(row)) is not None:
            return trouble.code, "expired_fetch", None, explain(self._language(), trouble)
        if (wait := now.throttled) > 0:
            return "rate_limited", "expired_rate_limited", wait, ""
        if not now.online and not now.stopping:
            return "logged_out", "expired_logged_out", None, ""
        if (window := self._holding.shut(row)) is not None:
            return code_of(window), "expired_shut", None, self._why_shut(row, window)
        if (wait := now.own_limit) > 0:
            return "rate_limited", "expired_own_limit", wait, ""
        return "expired", "expired", None, ""


def second_chance(row: CommandRow) -> float:
    """Seconds after its ttl in which an unanswered attempt may be repeated."""
    shortest, longest = SECOND_CHANCE
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(longest, max(shortest, ttl))
