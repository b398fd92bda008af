"""Resolves a command in the current login: its recipient, and the request for the backend.

A person has another handle in each login, so a command is resolved right before each attempt. `validation.py`
checks commands before they are accepted.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.attachments import FILE_KINDS, Attachments
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.possible_answers import card_id
from wx2mqtt.bridge.recipients import GroupMemberIndex
from wx2mqtt.bridge.text_split import prepare_split, split_for, split_question
from wx2mqtt.buttons import text_with_buttons
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Attachment, ChatKind, Command, Draft, Handle, Kind, PersonId, Recall, SendKey
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.person_records import Person
from wx2mqtt.wechat.backend import Capabilities

log = structlog.get_logger(__name__)

BackendRequest = Draft | Recall

# The key of a chat: a person, or the user on the topic while the person is not known.
ChatKey = PersonId | str

# A command that is stored, or about to be.
AnyCommand = CommandRow | NewCommand


class CommandResolver:
    """Resolves the commands of one account."""

    def __init__(self, ctx: AccountContext, attachments: Attachments) -> None:
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._registry = ctx.registry
        self._attachments = attachments

    # The recipient of a command

    def chat_key(self, command: AnyCommand) -> ChatKey:
        """Returns the key of the chat of a command; all names of a person lead to the same one."""
        person = self.person_of(command)
        return command.command.user if person is None else person.id

    def is_person_pending(self, command: AnyCommand) -> bool:
        """Returns whether the recipient may be among the contacts that are not loaded yet."""
        person = self.person_of(command)
        if person is not None and (person.closed or person.handle is not None):
            return False
        return not self._registry.is_complete

    def chat_of(self, command: AnyCommand) -> Handle | None:
        """Returns the handle of the recipient, None if the recipient is not known for certain."""
        person = self.person_of(command)
        return None if person is None or person.closed else person.handle

    def person_of(self, command: AnyCommand) -> Person | None:
        """Returns the recipient; None for a pinned name that no login has brought yet."""
        person = None if command.person is None else self._registry.get(command.person)
        return person or self._registry.by_topic_name(command.command.user)

    # The content of a command

    async def is_complete(self, row: CommandRow) -> bool:
        """Returns whether its file, if it has one, is stored or can be fetched."""
        if not has_file(row):
            return True
        blob = row.blob  # another instance may have stored it: it is brought into the folder here
        is_stored = blob is not None and await retry_until_stored(lambda: self._attachments.has_file(blob))
        return is_stored or bool(row.command.url)

    def expected_echo(self, row: CommandRow) -> tuple[Kind, str] | None:
        """Returns kind and text of the echo of this command; None for a command without an echo."""
        if row.command.kind == "recall" or needs_fetch(row):
            return None
        if is_caption_next(row, self._backend.capabilities):
            return Kind.TEXT, self.parts_of(row)[row.parts_sent]
        if row.blob is None:
            return Kind.TEXT, self._shown_text(row)
        return self._attachments.kind_of(row.command, row.blob), ""

    def parts_of(self, command: AnyCommand) -> tuple[str, ...]:
        """Returns the texts of its messages: several for a long text on a backend that must split it.

        A file is the last message, with an empty text, behind those of its caption. A question without a card
        ends in its numbered buttons.
        """
        capabilities, fields = self._backend.capabilities, command.command
        if fields.buttons and not self._has_card(command):
            return split_question(capabilities, fields.text, fields.buttons, markdown=fields.markdown)
        if capabilities.part_limit is None and fields.kind not in FILE_KINDS:
            return (fields.text,)  # the backend takes a text whole
        return message_texts(fields, capabilities)

    def _shown_text(self, row: CommandRow) -> str:
        """Returns the text of its messages as a whole."""
        command = row.command
        return command.text if self._has_card(row) else text_with_buttons(command.text, command.buttons)

    def _has_card(self, command: AnyCommand) -> bool:
        """Returns whether its buttons are a card: in a chat with one person, where there are cards."""
        if not (command.command.buttons and self._backend.capabilities.has_button_cards):
            return False
        person = self.person_of(command)
        return person is not None and person.kind is not ChatKind.GROUP

    def messages_needed(self, command: AnyCommand) -> int:
        """Returns how many messages WeChat must take before the next is sent: those of a file all at once."""
        if not has_file(command):
            return 1
        parts_sent = command.parts_sent if isinstance(command, CommandRow) else 0
        return len(self.parts_of(command)) - parts_sent

    def send_key(self, row: CommandRow) -> SendKey:
        """Returns the key of the next message; each part of a text has its own key."""
        if len(self.parts_of(row)) == 1:
            return row.key
        return SendKey(f"{row.key}{row.parts_sent + 1:02d}")

    async def resolve(self, row: CommandRow) -> BackendRequest:
        """Returns the request for the backend. Raises `BadCommand`; `BackendError` for a mention."""
        chat = self._require_chat(row)
        if row.command.kind == "recall":
            return await self._recall_action(row, chat)
        if has_file(row) and not is_caption_next(row, self._backend.capabilities):
            return await self.resolve_file(row)
        mention = await self._mentioned_members(row, chat) if row.command.mention else ()
        parts = self.parts_of(row)
        number = min(row.parts_sent, len(parts) - 1)
        text = parts[number]
        draft = Draft(chat=chat, kind=Kind.TEXT, text=text, mention=mention, markdown=row.command.markdown)
        if row.command.buttons and number + 1 == len(parts) and self._has_card(row):
            return replace(draft, buttons=row.command.buttons, card_id=card_id(row.key, row.unanswered + 1))
        return draft

    def _require_chat(self, row: CommandRow) -> Handle:
        chat = self.chat_of(row)
        if chat is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=row.command.user)
        return chat

    async def resolve_file(self, row: CommandRow) -> Draft:
        """Returns the message that is the file of a command, without its caption. Raises `BadCommand`."""
        chat = self._require_chat(row)
        if row.blob is None or not await self.is_complete(row):
            raise BadCommand("bad_file", "file_lost")
        attachment = self._attachments.attachment_for(row.command, row.blob)
        kind = self._attachments.kind_of(row.command, row.blob)
        return Draft(chat=chat, kind=kind, attachment=attachment)

    async def fetch(self, row: CommandRow, seconds: float) -> CommandRow:
        """Returns the row with its fetched file. Raises `BadCommand`, `StoreError` and `AlreadyFinished`."""
        try:
            blob = await self._attachments.fetch(row.command, seconds)
        except (BadCommand, StoreError):
            raise
        except Exception:  # a bug in the bridge must not stop the other commands
            log.exception("fetch failed", command=row.command_id)
            raise BadCommand("internal", "internal") from None
        try:
            await retry_until_stored(lambda: self._journal.commands.attach_file(row.id, blob))
        except AlreadyFinished:
            await self._attachments.release(blob, never_referenced=True)
            raise
        return replace(row, blob=blob)

    async def attachment_of(self, row: CommandRow) -> Attachment | None:
        """Returns the stored file of a command; None without one."""
        if row.blob is None or not await self.is_complete(row):
            return None
        return self._attachments.attachment_for(row.command, row.blob)

    async def _recall_action(self, row: CommandRow, chat: Handle) -> Recall:
        """Returns the recall of an own, recent message in this chat (webwx 2.15.2). Raises `BadCommand`."""
        message_id = row.command.message_id
        user = row.command.user
        target = await retry_until_stored(lambda: self._journal.commands.sent_message_target(message_id))
        person = None if target is None else self._registry.by_topic_name(target[0])
        if target is None or person is None or person != self.person_of(row):
            raise BadCommand("unknown_message", "unknown_message", user=user, message_id=message_id)
        age_seconds = (now_ms() - target[1]) / 1000
        max_age_seconds = self._backend.capabilities.recall_seconds
        if age_seconds > max_age_seconds:
            raise BadCommand("too_late", "too_late", within=f"{max_age_seconds:g}", age=f"{age_seconds:.0f}")
        return Recall(chat=chat, message_id=message_id)

    async def _mentioned_members(self, row: CommandRow, chat: Handle) -> tuple[Handle, ...]:
        """Returns the members that a command mentions. Raises `BadCommand` for any other name."""
        members = GroupMemberIndex(self._registry, await self._backend.list_members(chat))
        handles: dict[Handle, None] = {}
        for name in row.command.mention:
            matches = members.find(name)
            if len(matches) != 1:
                message_key = "mention_several" if matches else "mention_nobody"
                raise BadCommand("bad_command", message_key, name=name, user=row.command.user)
            handles[matches[0]] = None
        return tuple(handles)


def is_simple(command: AnyCommand) -> bool:
    """Returns whether a command is a text that mentions nobody and asks nothing.

    `CommandResolver.resolve` needs neither WeChat nor the journal for it, and its attempt opens no question.
    """
    return command.command.kind == "text" and not command.command.mention and not command.command.buttons


def has_file(command: AnyCommand) -> bool:
    return command.command.kind in FILE_KINDS


def is_caption_next(row: CommandRow, able: Capabilities) -> bool:
    """Returns whether the next message of a file is its caption, or a part of it."""
    return has_file(row) and row.parts_sent + 1 < len(message_texts(row.command, able))


async def split_ahead(command: Command, able: Capabilities) -> None:
    """Splits the text of a command and lets others run meanwhile: then `message_texts` is quick."""
    if able.part_limit is None:
        return  # the backend takes a text whole
    for _ in prepare_split(able, command.text, markdown=command.markdown):
        await asyncio.sleep(0)


def message_texts(command: Command, able: Capabilities) -> tuple[str, ...]:
    """Returns the text of each message of a command, as `CommandResolver.parts_of`."""
    if command.kind not in FILE_KINDS:
        return split_for(able, command.text, markdown=command.markdown)
    caption = split_for(able, command.text, markdown=command.markdown) if command.text.strip() else ()
    return (*caption, "")


def needs_fetch(row: CommandRow) -> bool:
    """Returns whether the file of the `url` of a command is not fetched yet."""
    return bool(row.command.url) and row.blob is None
