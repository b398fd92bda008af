"""Which urgent commands an alert of the fallback is for, and what it says (`fallback.py` sends it)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from wx2mqtt.i18n import Language, translation
from wx2mqtt.message_kinds import MESSAGE_KINDS
from wx2mqtt.store.command_records import CommandRow, Recipient

# The limit of alerts: a text message may cost money, and a phone that does not stop ringing is put away.
MAX_ALERTS_PER_MINUTE = 10
PERIOD_SECONDS = 60.0

# The longest summary: some services cut longer texts.
MAX_SUMMARY_CHARACTERS = 1000

# The longest line of a summary, which names one command by the begin of its text.
SUMMARY_LINE_CHARACTERS = 100

# The placeholders of files without a text, by kind.
_LABELS = {str(kind): row.label for kind, row in MESSAGE_KINDS.items() if row.label is not None}


class AlertQueue:
    """The urgent commands of one account that wait for an alert. `now` is in seconds.

         5 are due at once  ->  5 alerts
        20 are due at once  ->  1 alert that sums all of them up, since a minute allows only 10

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

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._ids

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


def summary_lines(rows: Sequence[CommandRow], language: Language) -> list[str]:
    """Returns lines that name as many of these commands as a summary has room for.

    They are taken in turn from the beginning and from the end: an alarm must not be hidden by a flood of
    others before it, or after it.
    """
    lines: list[str] = []
    room = MAX_SUMMARY_CHARACTERS
    for number in range(len(rows)):
        row = rows[number // 2] if number % 2 == 0 else rows[-1 - number // 2]
        text = f"{row.command.user}: {alert_text(row, language)}"
        line = " ".join(text[: 2 * SUMMARY_LINE_CHARACTERS].split())  # cut first, since a text may be large
        if len(line) > SUMMARY_LINE_CHARACTERS:
            line = f"{line[: SUMMARY_LINE_CHARACTERS - 1]}…"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def alert_text(row: CommandRow, language: Language) -> str:
    """Returns the text of a command; for a file without one, its kind and name: [image] door.jpg."""
    command = row.command
    if command.text:
        return command.text
    usual = (f"[{command.kind}]", f"[{command.kind}]")  # a recall is no kind of a message
    label = _LABELS.get(command.kind, usual)
    return f"{translation(label, language)} {command.name}".rstrip()
