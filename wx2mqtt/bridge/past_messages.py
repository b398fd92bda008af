"""What the journal shows of the messages of an account's chats, for limits that count over a kill.

    await past.lookup(since)  ->  [PastMessage(chat=…, time=…, is_received=False), …]

Never more was sent than this says: what is not certain counts, as often and as late as it may have been sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Handle, Kind
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import Person
from wx2mqtt.wechat.backend import PastMessage

# An attempt makes two messages of a long question (text and card) and of a picture or video that is refused
# as such (it goes as a file).
_KINDS_SENT_TWICE = frozenset({Kind.IMAGE, Kind.VIDEO})


class PastMessages:
    """Looks up the messages of one account."""

    def __init__(self, journal: Journal, registry: PeopleRegistry) -> None:
        self._journal = journal
        self._registry = registry

    async def lookup(self, since: int) -> list[PastMessage]:
        """Returns the messages since a time, in milliseconds since 1970. Raises `StoreError`."""
        past: list[PastMessage] = []
        for user, stored_at in await self._journal.traffic.list_received(since):
            chat = _handle_of(self._registry.by_topic_name(user))
            if chat is not None:
                past.append(PastMessage(chat=chat, time=stored_at, is_received=True))
        for row in await self._journal.commands.list_attempted(since):
            past += self._messages_of(row)
        return past

    def _messages_of(self, row: CommandRow) -> Iterator[PastMessage]:
        """Yields the messages of a command.

        When an attempt ended is not stored: that of a finished command counts from its result on, that of
        another one from now on.
        """
        person = None if row.person is None else self._registry.get(row.person)
        chat = _handle_of(person or self._registry.by_topic_name(row.command.user))
        if chat is None:
            return
        now = now_ms()
        time = now if row.result is None else min(now, row.result.time)
        is_sent_twice = bool(row.command.buttons) or row.command.kind in _KINDS_SENT_TWICE
        for _ in range(row.attempts * (2 if is_sent_twice else 1)):
            yield PastMessage(chat=chat, time=time, is_received=False)


def _handle_of(person: Person | None) -> Handle | None:
    return None if person is None else person.handle
