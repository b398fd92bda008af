"""Validates commands: returns a `NewCommand` for each, however it came in.

    out/wife                       home at six                 `validate_command`
    bridge/request/send            {"user": "wife", "text": …} `validate_request`, `recall` as well
    no MQTT, as from the page      {"text": …}                 `validate_fields`

`mqtt/commands.py` refuses what the payload alone shows; what recipient, backend, store and delivery decide is
refused here. What must not be sent has its result already (`rejected`, `expired`). Nothing is stored here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored, run_by_size
from wx2mqtt.bridge.attachment_checks import (
    bytes_as_text_error,
    check_filename,
    check_stored_file,
    file_too_large_error,
    max_bytes,
    suggested_kind,
)
from wx2mqtt.bridge.attachments import FILE_KINDS
from wx2mqtt.bridge.commands.resolver import message_texts, split_ahead
from wx2mqtt.bridge.commands.results import ResultPublications, final_result, with_remarks
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.repeats import delivery_mark, fingerprint, is_large, payload_fingerprint
from wx2mqtt.bridge.text_split import MAX_TEXT_PARTS, split_question
from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.buttons import text_with_buttons
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.limits import COMMAND_JSON
from wx2mqtt.model import FILEHELPER, Blob, ChatKind, Command, Json, Recall, Remark, Status
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.commands import (
    COMMAND_KEYS,
    command_from_fields,
    pop_transaction,
    read_command,
    read_command_id,
    read_request,
    reject_unknown_fields,
    transaction_echo,
)
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import KEYS_OF_LEVELS, FileTopic, TextTopic, UnknownTopic, is_topic_name
from wx2mqtt.store.command_records import DeliveryMark, NewCommand, ReplyTarget
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# Random bytes of the id of a command that brings none.
COMMAND_ID_BYTES = 8


@frozen
class CommandSource:
    """How a command came in, and who gets its result."""

    replies: tuple[ReplyTarget, ...]
    remarks: tuple[Remark, ...] = ()
    #: The seconds that its publisher gives it; None without a limit.
    expiry: float | None = None
    #: None where the broker cannot repeat it, and of a large delivery: then `AttachmentIntake` makes it.
    delivery: DeliveryMark | None = None
    #: What came, for the fingerprint of a command that cannot be read.
    payload: bytes = b""


class CommandValidator:
    """Validates the commands of one account."""

    def __init__(
        self, ctx: AccountContext, session: LoginSession, recipients: Recipients, results: ResultPublications
    ) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._registry = ctx.registry
        self._capabilities = ctx.backend.capabilities
        self._session = session
        self._recipients = recipients
        self._results = results

    async def validate_command(
        self, delivery: Delivery, topic: TextTopic | FileTopic | UnknownTopic, session: int
    ) -> NewCommand:
        """Returns the command of a delivery on `out/…`; `session` is the id of the broker session."""
        source = self._source_of(delivery, session, self._results.result_topic_reply(topic.user))
        command = Command(user=topic.user)
        try:
            if delivery.retain:
                raise BadCommand("retained", "retained")
            match topic:
                case TextTopic():
                    command = await self._read_text_topic(topic, delivery)
                case FileTopic(user, kind, name):
                    command = Command(user=user, kind=kind, name=name)
                    if not delivery.payload:
                        raise BadCommand("empty", "no_bytes")
                case UnknownTopic(user):
                    known = ", ".join(self._topics.commands_to(user or "<user>"))
                    raise BadCommand("bad_command", "unsupported_topic", known=known)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            return self._rejected(command, source, error)
        return await self._validated(command, source)

    async def _read_text_topic(self, topic: TextTopic, delivery: Delivery) -> Command:
        user, payload, preset = topic.user, delivery.payload, KEYS_OF_LEVELS[topic.level]
        try:
            read = partial(
                read_command, user, payload, delivery.content_type, self._require_supported, preset
            )
            return await run_by_size(len(payload), read)
        except BadCommand as bad:
            if bad.message_key == "not_utf8":
                raise bytes_as_text_error(payload, self._topics.files_to(user)) from None
            raise

    async def validate_request(self, name: str, delivery: Delivery, session: int) -> NewCommand:
        """Returns the command of a `bridge/request/send` or `…/recall`; its result is also the answer."""
        command = Command(user="")
        transaction: Json = None
        result_replies: tuple[ReplyTarget, ...] = ()
        failure: Exception | None = None
        try:
            if delivery.retain:
                raise BadCommand("retained", "retained")
            payload = delivery.payload
            fields = await run_by_size(len(payload), lambda: read_request(payload, COMMAND_JSON))
            transaction = transaction_echo(fields)
            pop_transaction(fields)
            self._require_supported({**fields, "kind": name} if name == "recall" else fields)
            _reject_unknown_keys(fields)
            user = await self._pop_recalled_user(fields) if name == "recall" else fields.pop("user", "")
            if not isinstance(user, str) or not is_topic_name(user):
                raise BadCommand("bad_command", "bad_value", key="user", expected="a topic level")
            command = Command(user=user)
            result_replies = (self._results.result_topic_reply(user),)
            command = command_from_fields(user, fields)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            failure = error
        answer = ReplyTarget(
            topic=self._topics.response(name),
            correlation=None,
            shape="response",
            name=name,
            transaction=transaction,
        )
        source = self._source_of(delivery, session, answer)
        source = replace(source, replies=(*result_replies, *source.replies))
        if failure is not None:
            return self._rejected(command, source, failure)
        return await self._validated(command, source)

    async def validate_fields(
        self, user: str, fields: Mapping[str, Json], *, sender: str = "", upload: Blob | None = None
    ) -> NewCommand:
        """Returns the command that came with these fields in another way than MQTT, accepted or rejected.

        `sender` is the program that sent it over HTTP, `upload` the file that it brought.
        """
        source = CommandSource(replies=(self._results.result_topic_reply(user),))
        try:
            command = self._read_fields(user, fields, upload)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            return self._rejected(Command(user=user), replace(source, payload=encode(fields)), error)
        new = await self._validated(replace(command, sender=sender), source)
        if upload is None or new.result is not None:
            return new
        return replace(new, blob=upload, fingerprint=fingerprint(new.command, upload.sha256))

    def _read_fields(self, user: str, fields: Mapping[str, Json], upload: Blob | None) -> Command:
        if upload is None:
            return command_from_fields(user, fields, self._require_supported)
        limits = self._capabilities.media
        if "kind" not in fields:
            fields = {**fields, "kind": str(suggested_kind(upload.mime, limits))}
        command = command_from_fields(user, fields, self._require_supported, has_upload=True)
        check_stored_file(command.kind, upload, limits)
        return command

    async def validate_fallback(
        self, command: Command, account: str, fingerprint: str, blob: Blob | None
    ) -> NewCommand:
        """Returns the fallback of a command of another account, accepted or rejected. It has no result topic.

        `blob` is its file, which is stored already.
        """
        source = CommandSource(replies=())
        limits = self._capabilities.media
        if blob is not None and command.kind in limits and blob.size > max_bytes(command.kind, limits):
            new = self._rejected(command, source, file_too_large_error(command.kind, limits))
        else:
            new = await self._validated(command, source)
        return replace(new, fingerprint=fingerprint, blob=blob, fallback_of=account)

    def _source_of(self, delivery: Delivery, session: int, reply: ReplyTarget) -> CommandSource:
        """Returns what a delivery says besides its command; the response topic gets the same as `reply`."""
        replies, remarks = [reply], []
        if delivery.cleared:
            remarks.append(Remark.RETAINED)
        topic = delivery.response_topic
        if topic and self._ctx.settings.allows_response_topic(topic):
            replies.append(replace(reply, topic=topic, correlation=delivery.correlation))
        elif topic:
            remarks.append(Remark.BAD_RESPONSE_TOPIC)
        return CommandSource(
            replies=tuple(replies),
            remarks=tuple(remarks),
            expiry=delivery.expiry,
            delivery=None if is_large(delivery.payload) else delivery_mark(delivery, session),
            payload=delivery.payload,
        )

    async def _pop_recalled_user(self, fields: dict[str, Json]) -> Json:
        """Returns the `user` of a recall, else to whom the message was sent. Raises `BadCommand`."""
        kind = fields.setdefault("kind", "recall")
        message_id = fields.get("message_id")
        if "user" in fields:
            user = fields.pop("user")
        else:
            journal = self._ctx.journal
            target = await retry_until_stored(lambda: journal.commands.sent_message_target(str(message_id)))
            user = target[0] if target else ""
        if not isinstance(kind, str):
            raise BadCommand("bad_command", "bad_value", key="kind", expected="a text")
        if kind != "recall":
            raise BadCommand("bad_command", "unknown_kind", kind=kind, known="recall")
        if not user and isinstance(message_id, str):
            raise BadCommand("unknown_message", "unknown_message_anywhere", message_id=message_id)
        return user

    def _require_supported(self, fields: Mapping[str, Json]) -> None:
        """Raises `BadCommand` `unsupported` for a kind that this backend lacks, before any other check."""
        kind = fields.get("kind", "text")
        able = self._capabilities
        offered = {*able.media, *(["recall"] if Recall in able.actions else [])}
        if isinstance(kind, str) and kind in {*FILE_KINDS, "recall"} - offered:
            raise BadCommand("unsupported", "unsupported_kind", kind=kind)
        if fields.get("format") == "markdown" and not able.has_markdown:
            raise BadCommand("unsupported", "unsupported_format")
        if "mention" in fields and not (able.has_groups and able.has_mentions):
            raise BadCommand("unsupported", "unsupported_action", name="mention")

    # The command that was read

    async def _validated(self, command: Command, source: CommandSource) -> NewCommand:
        """Returns a command that was read, accepted or rejected."""
        await split_ahead(command, self._capabilities)
        try:
            person = self.check(command)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            return self._rejected(command, source, error)
        if source.expiry == 0:
            new = self._new_command(replace(command, data=""), source)
            sentence = bridge_text(self._ctx.language, "expired_delivery")
            return self._with_result(new, Status.EXPIRED, "expired", sentence)
        new = self._new_command(command, source)
        own_ttl = command.ttl
        if source.expiry is not None and (own_ttl is None or source.expiry < own_ttl):
            own_ttl = source.expiry
        ttl = self._ctx.settings.account.send.ttl if own_ttl is None else own_ttl
        return replace(
            new,
            command=replace(new.command, ttl=own_ttl),  # it waits for a window no longer than its own ttl
            person=None if person is None else person.id,
            expires=new.accepted + int(ttl * 1000),
        )

    def check(self, command: Command) -> Person | None:
        """Returns the recipient, None where only the first login brings it. Raises `BadCommand`."""
        user = command.user
        may_come_with_login = not self._session.contacts_known and (
            user == FILEHELPER or self._registry.is_pinned(user)
        )
        if may_come_with_login and self._registry.by_topic_name(user) is None:
            person = None
        else:
            person = self._recipients.find(user)
        self._recipients.require_allowed(user, person)
        able = self._capabilities
        if command.kind == "text":
            self._require_valid_text(command, person)
        elif command.kind in FILE_KINDS and command.kind in able.media:
            self._require_valid_file(command, person)
        elif command.kind == "recall" and Recall in able.actions:
            pass  # which message it means is looked up when it is carried out
        else:
            raise BadCommand("unsupported", "unsupported_kind", kind=command.kind)
        limit = self._ctx.shared.exceeded_limit(for_commands=True)
        if limit:
            raise BadCommand("storage_full", "storage_full", limit=limit)
        return person

    def _require_valid_file(self, command: Command, person: Person | None) -> None:
        """Checks what is known of a file before it is stored or fetched, and its caption."""
        if command.name:
            check_filename(command.name)
        if command.url:
            from wx2mqtt.external.url_fetch import parse_url  # noqa: PLC0415 - httpx takes 2 MB

            parse_url(command.url)
        if command.text.strip():
            self._require_valid_text(command, person)
            self._require_room_in_window(command)

    def _require_valid_text(self, command: Command, person: Person | None) -> None:
        able = self._capabilities
        if not command.text.strip():
            raise BadCommand("empty", "empty")
        is_person = person is not None and person.kind is not ChatKind.GROUP
        has_card = able.has_button_cards and is_person
        buttons = () if has_card else command.buttons  # those that are lines of the text
        text = text_with_buttons(command.text, buttons) if buttons else command.text
        size, limit = len(text.encode()), able.text_limit
        fits = size <= limit
        if able.part_limit is not None:  # the backend splits it
            limit = MAX_TEXT_PARTS * able.part_limit
            fits = len(text) <= limit
            if fits:
                parts = split_question(able, command.text, buttons, markdown=command.markdown)
                fits = len(parts) <= MAX_TEXT_PARTS
        if not fits:
            raise BadCommand("too_long", "too_long", size=size, limit=limit)
        if command.mention and is_person:
            raise BadCommand("bad_command", "mention_no_group", user=command.user)

    def _require_room_in_window(self, command: Command) -> None:
        """Raises `BadCommand` for caption and file that no window of this backend takes together."""
        able = self._capabilities
        if not able.has_reply_window or not able.reply_quota:
            return
        is_important = command.urgent or command.priority == "high"
        reserve = 0 if is_important else self._ctx.settings.account.ilink.reserve
        parts, limit = len(message_texts(command, able)), able.reply_quota - reserve
        if parts > limit:
            raise BadCommand("too_long", "caption_too_long", parts=parts, limit=limit)

    def _rejected(self, command: Command, source: CommandSource, error: Exception) -> NewCommand:
        """Returns a command with the result `rejected`."""
        bad = _rejection_of(error)
        new = self._new_command(replace(command, id=bad.command_id or command.id), source)
        if bad.command_id and not command.id:  # the payload could not be parsed: compare all its bytes
            payload = source.payload  # of a large one `AttachmentIntake` makes the fingerprint
            new = replace(new, fingerprint="" if is_large(payload) else payload_fingerprint(payload))
        return self._with_result(new, Status.REJECTED, bad.code, rejection_text(self._ctx.language, bad))

    def _new_command(self, command: Command, source: CommandSource) -> NewCommand:
        now = now_ms()
        return NewCommand(
            command=replace(command, remarks=source.remarks),
            command_id=command.id or secrets.token_hex(COMMAND_ID_BYTES),
            fingerprint=fingerprint(command),
            person=None,
            key=new_key(),
            accepted=now,
            expires=now + int(self._ctx.settings.account.send.ttl * 1000),
            replies=source.replies,
            delivery=source.delivery,
        )

    def _with_result(self, new: NewCommand, status: Status, code: str, message: str) -> NewCommand:
        """Returns the command finished with a result, without an attempt to send it.

        Of a rejected one only what the result needs is stored: whoever may publish could fill the store else.
        Where commands have no room left, its response topics are not stored either; a repeat names its own.
        """
        result = final_result(new, status, code, message)
        result = with_remarks(result, new.command, self._ctx.language)
        publications = self._results.publications(result, new.replies)
        finished = replace(new, result=result, publications=publications)
        if status is not Status.REJECTED:
            return finished
        command = Command(user=new.command.user, kind=new.command.kind, id=new.command.id)
        has_room = not self._ctx.shared.exceeded_limit(for_commands=True)
        return replace(finished, command=command, keeps_replies=has_room)

    # Rejections after the validation

    def reject(self, new: NewCommand, error: Exception, content: str) -> NewCommand:
        """Returns the command rejected: its file cannot be stored. `content` is the checksum of its bytes."""
        bad = _rejection_of(error)
        new = replace(new, fingerprint=fingerprint(new.command, content))
        return self._with_result(new, Status.REJECTED, bad.code, rejection_text(self._ctx.language, bad))

    def reject_reused_id(self, new: NewCommand) -> NewCommand:
        """Returns the command rejected for its id, which its result has; its row gets one of its own."""
        sentence = bridge_text(self._ctx.language, "id_reused")
        rejected = self._with_result(new, Status.REJECTED, "id_reused", sentence)
        row_id = f"{new.command_id}~reused-{secrets.token_hex(COMMAND_ID_BYTES)}"
        return replace(rejected, command_id=row_id, blob=None)


def _reject_unknown_keys(fields: Mapping[str, Json]) -> None:
    """Raises `BadCommand` with the id of the command, if it has one.

    As for every request the code is `bad_request`, which no result has: there is an answer and no result.
    """
    try:
        reject_unknown_fields(fields, "user", *COMMAND_KEYS)
    except BadCommand as bad:
        with suppress(BadCommand):
            bad.command_id = read_command_id(fields)
        raise


def _rejection_of(error: Exception) -> BadCommand:
    """Returns why; a bug rejects this command: without a PUBACK it would be redelivered for ever."""
    if isinstance(error, BadCommand):
        return error
    log.error("command cannot be judged", exc_info=error)
    return BadCommand("internal", "internal")
