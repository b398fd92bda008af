"""What a backend looks up in the journal of its account: quoted messages, and what was sent before a kill.

await quotes.lookup(message_id, chat)  ->  QuotedMessage(text="六点见", …), or None
await past.lookup(since)               ->  [PastMessage(chat=…, time=…, is_received=False), …]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Handle, Kind, Message, QuotedMessage
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.history import MessageHistory
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import Person
from wx2mqtt.wechat.backend_options import PastMessage

# The longest text of the quoted message that a quote repeats.
MAX_QUOTE_CHARACTERS = 1000

# An attempt makes two messages of a long question (text and card) and of a picture or video that is refused
# as such (it goes as a file).
_KINDS_SENT_TWICE = frozenset({Kind.IMAGE, Kind.VIDEO})


class StoredQuotes:
    """Looks up quoted messages in the journal, within the chat in which they are quoted.

    A reply names a message by its id and repeats its text, and its sender could change that text. So the text
    is taken from the journal. The id of a message of another chat proves nothing here.
    """

    def __init__(self, history: MessageHistory, registry: PeopleRegistry) -> None:
        self._history = history
        self._registry = registry

    async def lookup(self, message_id: str, chat: Handle) -> QuotedMessage | None:
        """Returns the message with this id in a chat, or None. Raises `StoreError`."""
        person = self._registry.by_handle(chat)
        quoted = None if person is None else await self._history.quoted_message(message_id)
        if person is None or quoted is None:
            return None
        quoted_chat = self._registry.by_topic_name(quoted.chat)
        if quoted_chat is None or quoted_chat.id != person.id:
            return None
        author = self._registry.by_topic_name(quoted.user)
        return replace(quoted, user="" if author is None else author.topic_name)

    async def with_stored_quote(self, message: Message) -> Message:
        """Returns a quote with the text and the author of the quoted message, if that is known.

        A backend that has looked it up has named the author already. Raises `StoreError`.
        """
        detail = message.detail
        message_id = str(detail.get("id", ""))
        if not message_id or "user" in detail or "self" in detail:
            return message
        quoted = await self.lookup(message_id, message.chat)
        if quoted is None:
            return message
        text = " ".join(quoted.text.split())[:MAX_QUOTE_CHARACTERS]
        # Everything that the sender of the reply claims is replaced, the text even by none.
        completed = {key: value for key, value in detail.items() if key != "text"}
        completed["kind"] = str(quoted.kind)
        if text:
            completed["text"] = text
        return replace(message, detail={**completed, **quoted.author()})


class PastMessages:
    """Looks up the messages of one account, for limits that count over a kill.

    Never more was sent than this says: what is not certain counts, as often and as late as it may have been
    sent.
    """

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
