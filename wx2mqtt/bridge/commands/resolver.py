"""What a command comes to in this login: for whom it is, and what WeChat is to be asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.attachments import FILE_KINDS, Attachments
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.text_split import split_text
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Draft, Handle, Kind, Member, PersonId, Recall, SendKey
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow, Person

log = structlog.get_logger(__name__)

BackendRequest = Draft | Recall

ChatKey = PersonId | str
"""Whose queue it is: a person, or the name on the topic of somebody who is not known yet."""


class CommandResolver:
    """Turns rows of one account into errands."""

    def __init__(self, ctx: AccountContext, attachments: Attachments) -> None:
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._attachments = attachments

    # for whom

    def queue_key(self, row: CommandRow) -> ChatKey:
        """One person has one lane, by whatever name and whenever they were written to."""
        person = self._find_person(row)
        return row.command.user if person is None else person.id

    def is_person_pending(self, row: CommandRow) -> bool:
        """Whether the contacts of this login, which are not all there yet, may still bring the person."""
        person = self._find_person(row)
        found = person is not None and (person.closed or person.handle is not None)
        return not found and not self._registry.is_complete

    def chat_of(self, row: CommandRow) -> Handle | None:
        """Where it goes; None when nobody certain is there."""
        person = self._find_person(row)
        return None if person is None or person.closed else person.handle

    def _find_person(self, row: CommandRow) -> Person | None:
        """Nobody, where somebody was named before the first login and is not known yet."""
        known = None if row.person is None else self._registry.get(row.person)
        return known or self._registry.by_level(row.command.user)

    # what

    @staticmethod
    def is_simple(row: CommandRow) -> bool:
        """Whether nothing has to be found out before it is sent."""
        return row.command.kind == "text" and not row.command.mention

    @staticmethod
    def is_recall(row: CommandRow) -> bool:
        return row.command.kind == "recall"

    @staticmethod
    def has_file(row: CommandRow) -> bool:
        return row.command.kind in FILE_KINDS

    @staticmethod
    def needs_fetch(row: CommandRow) -> bool:
        """Whether its file is not there yet."""
        return bool(row.command.url) and row.blob is None

    def is_complete(self, row: CommandRow) -> bool:
        """Whether what it sends is there, or can be fetched."""
        if not self.has_file(row) or row.command.url:
            return True
        return row.blob is not None and self._attachments.exists(row.blob)

    def expected_echo(self, row: CommandRow) -> tuple[Kind, str] | None:
        """The kind and text with which it would come back from WeChat; None for what never does."""
        if self.is_recall(row) or self.needs_fetch(row):
            return None
        if row.blob is None:
            return Kind.TEXT, row.command.text
        return self._attachments.kind_of(row.command, row.blob), ""

    def parts_of(self, row: CommandRow) -> tuple[str, ...]:
        """The messages in which its text goes out; one but for a long text where those must be split."""
        return split_text(row.command.text, self._backend.capabilities.part_limit)

    def send_key(self, row: CommandRow) -> SendKey:
        """What names the message that goes out next; each part of a text has its own."""
        if len(self.parts_of(row)) == 1:
            return row.key
        return SendKey(f"{row.key}{row.parts_sent + 1:02d}")

    async def resolve(self, row: CommandRow, chat: Handle) -> BackendRequest:
        """What is to be asked for. Raises `BadCommand`, and `BackendError` of the members of a group."""
        if self.is_recall(row):
            return await self._recall_action(row, chat)
        if self.has_file(row):
            return self._attachment_draft(row, chat)
        mention = await self._mentioned_members(row, chat) if row.command.mention else ()
        parts = self.parts_of(row)
        text = parts[min(row.parts_sent, len(parts) - 1)]
        return Draft(chat=chat, kind=Kind.TEXT, text=text, mention=mention)

    async def fetch(self, row: CommandRow, seconds: float) -> CommandRow:
        """The row with the file of its url. Raises `BadCommand`, `StoreError` and `AlreadySettled`."""
        try:
            blob = await self._attachments.fetch(row.command, seconds)
        except (BadCommand, StoreError):
            raise
        except Exception:  # a fault of ours must not stop the others
            log.exception("fetch failed", command=row.command_id)
            raise BadCommand("internal", "internal") from None
        try:
            await retry_until_stored(lambda: self._journal.attach_file(row.id, blob))
        except AlreadySettled:
            await self._attachments.release(blob, never_referenced=True)
            raise
        return replace(row, blob=blob)

    def file_of(self, row: CommandRow) -> Path | None:
        """The file that a command sends, where it is there."""
        if row.blob is None or not self.is_complete(row):
            return None
        return self._attachments.attachment_for(row.command, row.blob).file

    def _attachment_draft(self, row: CommandRow, chat: Handle) -> Draft:
        if row.blob is None or not self.is_complete(row):
            raise BadCommand("bad_file", "file_lost")
        attachment = self._attachments.attachment_for(row.command, row.blob)
        return Draft(chat=chat, kind=self._attachments.kind_of(row.command, row.blob), attachment=attachment)

    async def _recall_action(self, row: CommandRow, chat: Handle) -> Recall:
        """Only an own message, in that chat, in time (webwx 2.15.2)."""
        message_id, user = row.command.message_id, row.command.user
        known = await retry_until_stored(lambda: self._journal.sent_message_target(message_id))
        there = None if known is None else self._registry.by_level(known[0])
        if known is None or there is None or there != self._find_person(row):
            raise BadCommand("unknown_message", "unknown_message", user=user, message_id=message_id)
        age, within = (now_ms() - known[1]) / 1000, self._backend.capabilities.recall_seconds
        if age > within:
            raise BadCommand("too_late", "too_late", within=f"{within:g}", age=f"{age:.0f}")
        return Recall(chat=chat, message_id=message_id)

    async def _mentioned_members(self, row: CommandRow, chat: Handle) -> tuple[Handle, ...]:
        """The members whom it names, by topic level or as the group shows them."""
        members = await self._backend.list_members(chat)
        named = [self._resolve_member(name, members, row.command.user) for name in row.command.mention]
        return tuple(dict.fromkeys(named))

    def _resolve_member(self, name: str, members: Iterable[Member], group: str) -> Handle:
        person = self._registry.by_level(name)
        wanted = unicodedata.normalize("NFC", name)
        if person is None:
            found = [one.handle for one in members if wanted in _names(one)]
        else:
            found = [one.handle for one in members if one.handle == person.handle]
        if len(found) != 1:
            word = "mention_several" if found else "mention_nobody"
            raise BadCommand("bad_command", word, name=name, user=group)
        return found[0]


def _names(member: Member) -> set[str]:
    return {unicodedata.normalize("NFC", one) for one in (member.display_name, member.nickname) if one}
