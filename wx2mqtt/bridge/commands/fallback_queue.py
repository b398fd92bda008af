"""Which urgent commands the next alert of the fallback is for, and when it may go out.

     5 are due at once  ->  5 alerts
    20 are due at once  ->  1 alert that sums all of them up, since a minute allows only 10

Nothing is sent here (`fallback.py`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from wx2mqtt.store.command_records import CommandRow, Recipient

# The limit of alerts: a text message may cost money, and a phone that does not stop ringing is put away.
MAX_ALERTS_PER_MINUTE = 10
PERIOD_SECONDS = 60.0


class AlertQueue:
    """The urgent commands of one account that are due. `now` is in seconds.

    Alerts are for each chat in turn, and in a chat for the oldest command first.
    """

    def __init__(self) -> None:
        #: The commands by chat, the next chat first. A discarded command stays here until its turn.
        self._by_chat: OrderedDict[Recipient, deque[CommandRow]] = OrderedDict()
        #: The row ids of the commands that wait, without the discarded ones.
        self._ids: set[int] = set()
        #: When the alerts of the last minute were taken, summaries among them; oldest first.
        self._alerted_at: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row: CommandRow) -> None:
        self._ids.add(row.id)
        self._by_chat.setdefault(row.recipient, deque()).append(row)

    def discard(self, row_id: int) -> None:
        self._ids.discard(row_id)

    def seconds_until_allowed(self, now: float) -> float:
        """Returns the seconds until the limit allows another alert; 0 if it does now."""
        while self._alerted_at and self._alerted_at[0] <= now - PERIOD_SECONDS:
            self._alerted_at.popleft()
        if len(self._alerted_at) < MAX_ALERTS_PER_MINUTE:
            return 0.0
        return self._alerted_at[0] + PERIOD_SECONDS - now

    def take(self, now: float) -> Sequence[CommandRow]:
        """Removes and returns the commands of the next alert: one, or all for a summary.

        To be called only when `seconds_until_allowed` returns 0 and there are commands.
        """
        allowed_count = MAX_ALERTS_PER_MINUTE - len(self._alerted_at)
        self._alerted_at.append(now)
        if len(self) > allowed_count:
            return [*self._take_all()]
        return [next(self._take_all())]

    def _take_all(self) -> Iterator[CommandRow]:
        """Removes commands one by one, from each chat in turn."""
        while self._by_chat:
            chat, rows = self._by_chat.popitem(last=False)
            row = rows.popleft()
            if rows:
                self._by_chat[chat] = rows
            if row.id in self._ids:
                self._ids.remove(row.id)
                yield row
