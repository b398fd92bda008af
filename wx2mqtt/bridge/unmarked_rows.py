"""The rows between publishing and marking: what would be published again if the process were killed now.

published -> open -> PUBACK -> acknowledged -> commit in the journal -> marked, and no longer here
"""

from __future__ import annotations

from collections.abc import Iterable

from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES
from wx2mqtt.store.records import OutboxRow

# Messages that are published but not yet marked: so many may be published twice when the process is killed.
MAX_REPEATED_MESSAGES = 20

# Categories of rows with a message from WeChat, as JSON and as plain text. `MAX_REPEATED_MESSAGES` counts
# only these.
MESSAGE_CATEGORIES = frozenset({"message", "plain"})


class UnmarkedRows:
    """The rows that are published and not yet marked in the journal, by id.

    `message_count` counts the messages among them, which `MAX_REPEATED_MESSAGES` limits.
    """

    def __init__(self) -> None:
        self.open: dict[int, OutboxRow] = {}
        self.acknowledged: dict[int, OutboxRow] = {}
        self.message_count = 0
        self._acknowledged_message_count = 0
        self._acknowledged_at_connect: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.open) + len(self.acknowledged)

    def __contains__(self, row_id: int) -> bool:
        """Returns whether a row that was read from the journal is published already."""
        return (
            row_id in self.open  # the broker has not answered yet
            or row_id in self.acknowledged  # the journal does not say so yet
            or row_id in self._acknowledged_at_connect  # it may say so only since the row was read
        )

    def on_connected(self) -> None:
        """Follows the publisher, which begins to read again with the oldest row that is not marked."""
        self._acknowledged_at_connect = frozenset(self.acknowledged)

    def add(self, row: OutboxRow) -> None:
        """Adds a row that is published."""
        self.open[row.id] = row
        self.message_count += _is_message(row)

    def remove(self, row: OutboxRow) -> None:
        """Removes a row that the broker has not acknowledged."""
        del self.open[row.id]
        self.message_count -= _is_message(row)

    def acknowledge(self, row: OutboxRow) -> None:
        """Records the PUBACK of a row."""
        del self.open[row.id]
        self.acknowledged[row.id] = row
        self._acknowledged_message_count += _is_message(row)

    def on_marked(self, row_ids: Iterable[int]) -> None:
        """Removes acknowledged rows that are marked now."""
        for row_id in row_ids:
            if (row := self.acknowledged.pop(row_id, None)) is not None:
                self.message_count -= _is_message(row)
                self._acknowledged_message_count -= _is_message(row)

    def must_wait(self, row: OutboxRow) -> bool:
        """Returns whether a row may only be published when others are marked."""
        return _is_message(row) and self.message_count >= MAX_REPEATED_MESSAGES

    @property
    def is_marking_urgent(self) -> bool:
        """Whether publishing has to wait for the commit, now or soon."""
        if len(self.acknowledged) >= MAX_UNACKED_PUBLISHES // 2:
            return True
        # Open messages are awaited: one commit marks all of a window, however slow the disk is.
        all_answered = self.message_count == self._acknowledged_message_count
        return all_answered and self.message_count >= MAX_REPEATED_MESSAGES // 2


def _is_message(row: OutboxRow) -> bool:
    return row.category in MESSAGE_CATEGORIES
