"""What a command comes to in this login: for whom it is, and what WeChat is to be asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from wx2mqtt.bridge.files.taking import SENT_AS_FILES, Files
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.sending.lanes import Key
from wx2mqtt.bridge.splitting import parts_of
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Draft, Handle, Kind, Member, Recall, SendKey
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.store.people import Person
from wx2mqtt.wechat.gateway import Gateway

log = structlog.get_logger(__name__)

Errand = Draft | Recall


class Errands:
    """Turns rows of one account into errands."""

    def __init__(self, *, journal: Journal, gateway: Gateway, identity: Identity, files: Files) -> None:
        self._journal = journal
        self._gateway = gateway
        self._identity = identity
        self._files = files

    # for whom

    def lane_of(self, row: CommandRow) -> Key:
        """One person has one lane, by whatever name and whenever they were written to."""
        person = self._person(row)
        return row.command.user if person is None else person.id

    def is_looked_for(self, row: CommandRow) -> bool:
        """Whether the contacts of this login, which are not all there yet, may still bring the person."""
        person = self._person(row)
        found = person is not None and (person.closed or person.handle is not None)
        return not found and not self._identity.complete

    def chat(self, row: CommandRow) -> Handle | None:
        """Where it goes; None when nobody certain is there."""
        person = self._person(row)
        return None if person is None or person.closed else person.handle

    def _person(self, row: CommandRow) -> Person | None:
        """Nobody, where somebody was named before the first login and is not known yet."""
        known = None if row.person is None else self._identity.get(row.person)
        return known or self._identity.by_level(row.command.user)

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
        return row.command.kind in SENT_AS_FILES

    @staticmethod
    def must_fetch(row: CommandRow) -> bool:
        """Whether its file is not there yet."""
        return bool(row.command.url) and row.blob is None

    def is_whole(self, row: CommandRow) -> bool:
        """Whether what it sends is there, or can be fetched."""
        if not self.has_file(row) or row.command.url:
            return True
        return row.blob is not None and self._files.has(row.blob)

    def seen(self, row: CommandRow) -> tuple[Kind, str] | None:
        """The kind and text with which it would come back from WeChat; None for what never does."""
        if self.is_recall(row) or self.must_fetch(row):
            return None
        if row.blob is None:
            return Kind.TEXT, row.command.text
        return self._files.kind(row.command, row.blob), ""

    def parts(self, row: CommandRow) -> tuple[str, ...]:
        """The messages in which its text goes out; one but for a long text where those must be split."""
        return parts_of(row.command.text, self._gateway.capabilities.part_limit)

    def key(self, row: CommandRow) -> SendKey:
        """What names the message that goes out next; each part of a text has its own."""
        if len(self.parts(row)) == 1:
            return row.key
        return SendKey(f"{row.key}{row.parts_sent + 1:02d}")

    async def of(self, row: CommandRow, chat: Handle) -> Errand:
        """What is to be asked for. Raises `BadCommand`, and `GatewayError` of the members of a group."""
        if self.is_recall(row):
            return await self._recall(row, chat)
        if self.has_file(row):
            return self._file(row, chat)
        mention = await self._mentioned(row, chat) if row.command.mention else ()
        parts = self.parts(row)
        text = parts[min(row.parts_sent, len(parts) - 1)]
        return Draft(chat=chat, kind=Kind.TEXT, text=text, mention=mention)

    async def fetch(self, row: CommandRow, seconds: float) -> CommandRow:
        """The row with the file of its url. Raises `BadCommand`, `StoreError` and `AlreadySettled`."""
        try:
            blob = await self._files.fetch(row.command, seconds)
        except (BadCommand, StoreError):
            raise
        except Exception:  # a fault of ours must not stop the others (P5)
            log.exception("fetch failed", command=row.command_id)
            raise BadCommand("internal", "internal") from None
        try:
            await insist(lambda: self._journal.attach(row.id, blob))
        except AlreadySettled:
            await self._files.let_go(blob, taken=True)
            raise
        return replace(row, blob=blob)

    def file(self, row: CommandRow) -> Path | None:
        """The file that a command sends, where it is there."""
        if row.blob is None or not self.is_whole(row):
            return None
        return self._files.attachment(row.command, row.blob).file

    def _file(self, row: CommandRow, chat: Handle) -> Draft:
        if row.blob is None or not self.is_whole(row):
            raise BadCommand("bad_file", "file_lost")
        attachment = self._files.attachment(row.command, row.blob)
        return Draft(chat=chat, kind=self._files.kind(row.command, row.blob), attachment=attachment)

    async def _recall(self, row: CommandRow, chat: Handle) -> Recall:
        """Only an own message, in that chat, in time (webwx 2.15)."""
        message_id, user = row.command.message_id, row.command.user
        known = await insist(lambda: self._journal.whose(message_id))
        there = None if known is None else self._identity.by_level(known[0])
        if known is None or there is None or there != self._person(row):
            raise BadCommand("unknown_message", "unknown_message", user=user, message_id=message_id)
        age, within = (now_ms() - known[1]) / 1000, self._gateway.capabilities.recall_within
        if age > within:
            raise BadCommand("too_late", "too_late", within=f"{within:g}", age=f"{age:.0f}")
        return Recall(chat=chat, message_id=message_id)

    async def _mentioned(self, row: CommandRow, chat: Handle) -> tuple[Handle, ...]:
        """The members whom it names, by topic level or as the group shows them."""
        members = await self._gateway.members(chat)
        named = [self._member(name, members, row.command.user) for name in row.command.mention]
        return tuple(dict.fromkeys(named))

    def _member(self, name: str, members: Iterable[Member], group: str) -> Handle:
        person = self._identity.by_level(name)
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
