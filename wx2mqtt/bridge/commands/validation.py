"""Validates commands: turns a delivery on `out/…`, `request/send` or `request/recall` into a `NewCommand`.

A command that must not be sent becomes a `NewCommand` that has its result already (`rejected`, `expired`).
Stores nothing; `intake.py` does. A large payload is parsed in a thread. `mqtt/commands.py` reads the fields
of a payload, `send_limits.py` decides when a command may be sent.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import MAX_BYTES_ON_LOOP, run_by_size
from wx2mqtt.bridge.attachment_checks import bytes_as_text_error, check_filename
from wx2mqtt.bridge.attachments import FILE_KINDS
from wx2mqtt.bridge.commands.results import ResultPublications, make_result, with_remarks
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.journaled import delivery_mark, new_key
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.bridge.text_split import split_text
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.url_fetch import check_url
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
from wx2mqtt.mqtt.topics import FileTopic, TextTopic, UnknownTopic, is_topic_name
from wx2mqtt.names import composed
from wx2mqtt.store.command_records import NewCommand, ReplyTarget
from wx2mqtt.store.person_records import Person

log = structlog.get_logger(__name__)

MAX_TEXT_PARTS = 99
"""The largest number of messages for one long text: `CommandResolver.send_key` appends two digits."""

COMMAND_ID_BYTES = 8
"""Random bytes of the id of a command that brings none."""


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
        """Returns the command of a delivery on `out/…`, accepted or rejected.

        `session` is the bridge's id of the broker session.
        """
        replies = [self._results.result_topic_reply(topic.user), *self._response_targets(delivery)]
        command = Command(user=topic.user)
        try:
            self._require_not_retained(delivery)
            match topic:
                case TextTopic(user):
                    read = partial(
                        read_command, user, delivery.payload, delivery.content_type, self._require_supported
                    )
                    command = await self._read_text_topic(read, user, delivery.payload)
                case FileTopic(user, kind, name):
                    command = Command(user=user, kind=kind, name=name)
                    if not delivery.payload:
                        raise BadCommand("empty", "no_bytes")
                case UnknownTopic(user):
                    known = ", ".join(self._topics.commands_to(user or "<user>"))
                    raise BadCommand("bad_command", "unsupported_topic", known=known)
            return self._validated_command(command, delivery, replies, session)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            return self._rejected_command(command, _rejection_of(error), delivery, replies, session)

    async def _read_text_topic(self, read: Callable[[], Command], user: str, payload: bytes) -> Command:
        try:
            return await run_by_size(len(payload), read)
        except BadCommand as bad:
            if bad.message_key == "not_utf8":
                raise bytes_as_text_error(payload, self._topics.commands_to(user)) from None
            raise

    async def validate_request(
        self, name: str, delivery: Delivery, session: int, chat: str = ""
    ) -> NewCommand:
        """Returns the command of a `bridge/request/send` or `…/recall`; its result is also the answer.

        `chat` is the user to whom the message to recall was sent, for a request without `user`.
        """
        command = Command(user="")
        transaction: Json = None
        result_replies: list[ReplyTarget] = []
        try:
            self._require_not_retained(delivery)
            fields = await read_command_request(delivery)
            transaction = transaction_echo(fields)
            pop_transaction(fields)
            self._require_supported({**fields, "kind": name} if name == "recall" else fields)
            _reject_unknown_keys(fields)
            user = self._pop_user(fields, name, chat)
            command = Command(user=user)
            result_replies = [self._results.result_topic_reply(user)]
            command = command_from_fields(user, fields)
            replies = [*result_replies, *self._answer_targets(delivery, name, transaction)]
            return self._validated_command(command, delivery, replies, session)
        except Exception as error:  # noqa: BLE001 - see `_rejection_of`
            replies = [*result_replies, *self._answer_targets(delivery, name, transaction)]
            return self._rejected_command(command, _rejection_of(error), delivery, replies, session)

    def _require_supported(self, fields: Mapping[str, Json]) -> None:
        """Raises `BadCommand` `unsupported` for a kind that this backend lacks, before any other check."""
        kind = fields.get("kind", "text")
        able = self._capabilities
        offered = {*able.media, *(["recall"] if Recall in able.actions else [])}
        if isinstance(kind, str) and kind in {*FILE_KINDS, "recall"} - offered:
            raise BadCommand("unsupported", "unsupported_kind", kind=kind)
        if "mention" in fields and not able.has_groups:
            raise BadCommand("unsupported", "unsupported_action", name="mention")

    def _pop_user(self, fields: dict[str, Json], name: str, chat: str) -> str:
        """Removes `user` from the fields and returns it; sets the kind of a recall. Raises `BadCommand`."""
        user = fields.pop("user", chat)
        if name == "recall":
            kind = fields.setdefault("kind", name)
            if not isinstance(kind, str):
                raise BadCommand("bad_command", "bad_value", key="kind", expected="a text")
            if kind != name:
                raise BadCommand("bad_command", "unknown_kind", kind=kind, known=name)
            if not user and isinstance(fields.get("message_id"), str):
                raise BadCommand(
                    "unknown_message", "unknown_message_anywhere", message_id=fields["message_id"]
                )
        if not isinstance(user, str) or not is_topic_name(user):
            raise BadCommand("bad_command", "bad_value", key="user", expected="a topic level")
        return user

    def with_file(self, new: NewCommand, blob: Blob) -> NewCommand:
        """Returns the command with its stored file, whose content is part of the fingerprint."""
        return replace(new, blob=blob, fingerprint=fingerprint(new.command, blob.sha256))

    def reject(self, new: NewCommand, error: Exception, content: str) -> NewCommand:
        """Returns the command rejected because its file cannot be stored.

        `content` is the checksum of the bytes that it brought.
        """
        bad = _rejection_of(error)
        new = replace(new, fingerprint=fingerprint(new.command, content))
        return self._with_result(new, Status.REJECTED, bad.code, rejection_text(self._ctx.language, bad))

    def reject_reused_id(self, new: NewCommand) -> NewCommand:
        """Returns the command rejected because an earlier command has its id and another content.

        Its result has that id; its row gets one of its own.
        """
        sentence = bridge_text(self._ctx.language, "id_reused")
        rejected = self._with_result(new, Status.REJECTED, "id_reused", sentence)
        row_id = f"{new.command_id}~reused-{secrets.token_hex(COMMAND_ID_BYTES)}"
        return replace(rejected, command_id=row_id, blob=None)

    def _answer_targets(self, delivery: Delivery, name: str, transaction: Json) -> list[ReplyTarget]:
        answer = ReplyTarget(
            topic=self._topics.response(name),
            correlation=None,
            shape="response",
            name=name,
            transaction=transaction,
        )
        return [
            answer,
            *(
                replace(answer, topic=target.topic, correlation=target.correlation)
                for target in self._response_targets(delivery)
            ),
        ]

    def _response_targets(self, delivery: Delivery) -> list[ReplyTarget]:
        topic = delivery.response_topic
        if not topic or not self._ctx.settings.allows_response_topic(topic):
            return []
        correlation = delivery.correlation
        return [ReplyTarget(topic=topic, correlation=correlation, shape="result", name="", transaction=None)]

    def _remarks_on(self, delivery: Delivery) -> tuple[Remark, ...]:
        topic = delivery.response_topic
        remarks = []
        if delivery.cleared:
            remarks.append(Remark.RETAINED)
        if topic and not self._ctx.settings.allows_response_topic(topic):
            remarks.append(Remark.BAD_RESPONSE_TOPIC)
        return tuple(remarks)

    def _require_not_retained(self, delivery: Delivery) -> None:
        if delivery.retain:
            raise BadCommand("retained", "retained")

    def _validated_command(
        self, command: Command, delivery: Delivery, replies: list[ReplyTarget], session: int
    ) -> NewCommand:
        try:
            person = self.check(command)
        except BadCommand as bad:
            bad.command_id = command.id
            raise
        new = self._new_command(command, delivery, replies, session)
        if delivery.expiry == 0:
            return self._with_result(
                new, Status.EXPIRED, "expired", bridge_text(self._ctx.language, "expired_delivery")
            )
        limits = [seconds for seconds in (command.ttl, delivery.expiry) if seconds is not None]
        own_ttl = min(limits, default=None)
        ttl = self._ctx.settings.account.send.ttl if own_ttl is None else own_ttl
        return replace(
            new,
            command=replace(new.command, ttl=own_ttl),  # `HoldQueue` holds it no longer than its own ttl
            person=None if person is None else person.id,
            expires=new.accepted + int(ttl * 1000),
        )

    def _find_person(self, user: str) -> Person | None:
        """Returns the recipient, None for a pinned name before the first login. Raises `BadCommand`."""
        is_expected = user == FILEHELPER or self._registry.is_pinned(user)
        if is_expected and not self._session.contacts_known and self._registry.by_level(user) is None:
            return None
        return self._recipients.find(user)

    def check(self, command: Command) -> Person | None:
        """Returns the recipient of a command, None where that is known only after the first login.

        Raises `BadCommand` for a command that must not be sent.
        """
        person = self._find_person(command.user)
        self._recipients.require_allowed(command.user, person)
        self._require_valid_content(command, person)
        if self._ctx.shared.exceeded_limit(for_commands=True):
            limit = f"{self._ctx.settings.whole.storage.max_size / 1_000_000:g} MB"
            raise BadCommand("storage_full", "storage_full", limit=limit)
        return person

    def _require_valid_content(self, command: Command, person: Person | None) -> None:
        able = self._capabilities
        if command.kind == "text":
            self._require_valid_text(command, person)
        elif command.kind in FILE_KINDS and command.kind in able.media:
            if command.name:
                check_filename(command.name)
            if command.url:
                check_url(command.url)
        elif command.kind != "recall" or Recall not in able.actions:
            raise BadCommand("unsupported", "unsupported_kind", kind=command.kind)

    def _require_valid_text(self, command: Command, person: Person | None) -> None:
        if not command.text.strip():
            raise BadCommand("empty", "empty")
        size, limit = len(command.text.encode()), self._max_text_bytes(command.text)
        if size > limit:
            raise BadCommand("too_long", "too_long", size=size, limit=limit)
        if command.mention and person is not None and person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_command", "mention_no_group", user=command.user)

    def _max_text_bytes(self, text: str) -> int:
        """Returns how many bytes this text may have, where the backend splits long texts: in all parts."""
        able = self._capabilities
        if able.part_limit is None:
            return able.text_limit
        most = MAX_TEXT_PARTS * able.part_limit
        fits = len(text) <= most and len(split_text(text, able.part_limit)) <= MAX_TEXT_PARTS
        return len(text.encode()) if fits else most

    def _rejected_command(
        self, command: Command, bad: BadCommand, delivery: Delivery, replies: list[ReplyTarget], session: int
    ) -> NewCommand:
        new = self._new_command(replace(command, id=bad.command_id or command.id), delivery, replies, session)
        if bad.command_id and not command.id:  # the payload could not be parsed: compare all its bytes
            is_small = len(delivery.payload) <= MAX_BYTES_ON_LOOP
            new = replace(new, fingerprint=payload_fingerprint(delivery.payload) if is_small else "")
        return self._with_result(new, Status.REJECTED, bad.code, rejection_text(self._ctx.language, bad))

    def _with_result(self, new: NewCommand, status: Status, code: str, message: str) -> NewCommand:
        """Returns the command settled with a result, without an attempt to send it.

        Of a rejected one only what the result needs is stored: whoever may publish could fill the store else.
        Where commands have no room left, its response topics are not stored either; a repeat names its own.
        """
        result = make_result(new.command, new.command_id, status, code, message)
        result = with_remarks(result, new.command, self._ctx.language)
        publications = self._results.publications(result, new.replies)
        settled = replace(new, result=result, publications=publications)
        if status is not Status.REJECTED:
            return settled
        command = Command(user=new.command.user, kind=new.command.kind, id=new.command.id)
        has_room = not self._ctx.shared.exceeded_limit(for_commands=True)
        return replace(settled, command=command, keeps_replies=has_room)

    def _new_command(
        self, command: Command, delivery: Delivery, replies: list[ReplyTarget], session: int
    ) -> NewCommand:
        now = now_ms()
        return NewCommand(
            command=replace(command, remarks=self._remarks_on(delivery)),
            command_id=command.id or secrets.token_hex(COMMAND_ID_BYTES),
            fingerprint=fingerprint(command),
            person=None,
            key=new_key(),
            accepted=now,
            expires=now + int(self._ctx.settings.account.send.ttl * 1000),
            replies=tuple(replies),
            delivery=delivery_mark(delivery, session)
            if len(delivery.payload) <= MAX_BYTES_ON_LOOP  # `AttachmentIntake` makes that of a larger one
            else None,
            duplicate_possible=False,
            result=None,
            publications=(),
        )


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
    """Returns the reason of a rejection.

    A bug in the bridge rejects only this command: without a PUBACK the broker would redeliver it for ever.
    """
    if isinstance(error, BadCommand):
        return error
    log.error("command cannot be judged", exc_info=error)
    return BadCommand("internal", "internal")


async def read_command_request(delivery: Delivery) -> dict[str, Json]:
    """Returns the fields of a `request/send` or `request/recall`. Raises `BadCommand`."""
    return await run_by_size(len(delivery.payload), lambda: read_request(delivery.payload, COMMAND_JSON))


def brings_file(command: Command) -> bool:
    """Returns whether its file is stored before it is accepted; the file of a `url` is fetched later."""
    return command.kind in FILE_KINDS and not command.url


def payload_fingerprint(payload: bytes) -> str:
    """Returns the fingerprint of a command that could not be parsed."""
    return hashlib.sha256(payload).hexdigest()


def fingerprint(command: Command, content: str = "") -> str:
    """Returns a hash that is equal for commands that ask for the same: it tells a repeat from a reused id.

    `content` is a checksum of the bytes of the file. Options such as ttl and priority do not count.
    """
    user = composed(command.user)
    fields = (command.kind, command.text, command.path, command.url, content, command.name)
    text = json.dumps([user, *fields, command.message_id, *command.mention])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
