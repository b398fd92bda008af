"""Finds out who wrote a message or caused an event, and whether the owner trusts that person."""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.model import ChatKind, Event, Json, Kind, Message, Owner
from wx2mqtt.store.records import Person


class SenderNames:
    """Names the senders of one account. `owner` is the owner of the current login, None before the first."""

    def __init__(self, ctx: AccountContext) -> None:
        self._journal = ctx.journal
        self._registry = ctx.registry
        self.owner: Owner | None = None

    def sender(self, message: Message, chat: Person) -> tuple[dict[str, Json] | None, bool]:
        """Returns the `sender` object of a message, None for system texts, and whether it is trusted.

        `chat` is the person or group whose chat the message is in.
        """
        if message.from_self:
            return {"name": self.owner.nickname if self.owner else "", "self": True}, True
        if message.sender is None:
            return None, False
        in_group = message.chat_kind is ChatKind.GROUP
        person = self._registry.by_handle(message.sender) if in_group else chat
        if person is None:
            known: dict[str, Json] = {"name": message.sender_name} if message.sender_name else {}
            return {**known, "self": False}, False
        name = person.remark or message.sender_name or person.nickname or person.level  # (webwx 4.4.1)
        return {"user": person.level, "name": name, "self": False}, person.trusted

    async def with_quoted_author(self, message: Message) -> Message:
        """Returns the message; a quote with the topic level of the quoted author, if that one is known."""
        quoted_id = str(message.detail.get("id", "")) if message.kind is Kind.QUOTE else ""
        author = await self._author_of(quoted_id) if quoted_id else None
        if author is None:
            return message
        return replace(message, detail={**message.detail, "user": author.level})

    async def actor(self, event: Event) -> str:
        """Returns the topic level of the person who caused an event, else their name, else an empty string.

        For a message withdrawn in a group WeChat gives only a name; the author of the message is looked up
        instead, since nobody else can withdraw it.
        """
        withdrawn_id = str(event.fields.get("message_id", "")) if event.name == "recall" else ""
        if event.actor is None and withdrawn_id:
            author = await self._author_of(withdrawn_id)
            if author is not None:
                return author.level
        return self._registry.level_or_name(event.actor, str(event.fields.get("by", "")))

    async def _author_of(self, message_id: str) -> Person | None:
        return self._registry.by_level(await self._journal.message_author(message_id))
