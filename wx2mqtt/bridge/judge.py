"""What becomes of a delivery on `out/…` or `request/send`: a command to carry out, or a refusal.

Decides and writes nothing; what it makes is committed before the broker gets its PUBACK (DESIGN 4.2).
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.bridge.filters import FILEHELPER, fits
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.results import Results, result_of
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Command, Json, SendKey, Status
from wx2mqtt.mqtt.commands import command_from, read_command, read_request
from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.mqtt.topics import OutBytes, OutText, OutUnknown, Topics, is_level, response_topic_allowed
from wx2mqtt.store.journal import DeliveryMark, NewCommand, Reply
from wx2mqtt.store.people import Person
from wx2mqtt.wechat.gateway import Capabilities
from wx2mqtt.words import Language, explain, say

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the owner allows (DESIGN 3, `send`); `ttl` in seconds. `bases` are those of every account."""

    allow: tuple[str, ...]
    ttl: float
    bases: tuple[str, ...]
    discovery_prefix: str
    language: Language
    size_limit: str = ""


def new_key() -> SendKey:
    """Milliseconds and four random digits, as the official client makes LocalID (webwx 2.12)."""
    return SendKey(f"{now_ms()}{random.randrange(10_000):04d}")


class Judge:
    """Reads deliveries of one account."""

    def __init__(
        self,
        *,
        topics: Topics,
        identity: Identity,
        results: Results,
        capabilities: Capabilities,
        rules: Rules,
        store_full: Callable[[], bool],
        people_known: Callable[[], bool],
    ) -> None:
        self._topics = topics
        self._identity = identity
        self._results = results
        self._capabilities = capabilities
        self._store_full = store_full
        self._people_known = people_known
        self.rules = rules

    def command(
        self, delivery: Delivery, incoming: OutText | OutBytes | OutUnknown, session: int
    ) -> NewCommand:
        """The row for a delivery on `out/…`."""
        replies = [self._results.own_reply(incoming.user), *self._response_topic(delivery, "result", None)]
        command = Command(user=incoming.user)
        try:
            self._must_not_be_retained(delivery)
            match incoming:
                case OutText(user):
                    command = read_command(user, delivery.payload, delivery.content_type)
                case OutBytes(user, kind, name):
                    command = Command(user=user, kind=kind, name=name)
                case OutUnknown(user):
                    raise BadCommand("bad_command", "unsupported_topic", user=user)
            return self._row(command, delivery, replies, session)
        except Exception as trouble:  # noqa: BLE001 - see `_refused_for`
            return self._refusal(command, _refused_for(trouble), delivery, replies, session)

    def send_request(self, delivery: Delivery, session: int) -> NewCommand:
        """The row for a delivery on `bridge/request/send`: a command whose result is also an answer."""
        command, transaction = Command(user=""), None
        reply: list[Reply] = []
        try:
            self._must_not_be_retained(delivery)
            fields = read_request(delivery.payload)
            transaction = fields.pop("transaction", None)
            user = fields.pop("user", "")
            if not isinstance(user, str) or not is_level(user):
                raise BadCommand("bad_command", "bad_value", key="user", expected="a topic level")
            command = Command(user=user)
            reply = [self._results.own_reply(user)]
            command = command_from(user, fields)
            replies = [*reply, *self._answers(delivery, transaction)]
            return self._row(command, delivery, replies, session)
        except Exception as trouble:  # noqa: BLE001 - see `_refused_for`
            replies = [*reply, *self._answers(delivery, transaction)]
            return self._refusal(command, _refused_for(trouble), delivery, replies, session)

    def reused(self, new: NewCommand) -> NewCommand:
        """The refusal of a command whose id belongs to another one."""
        return self._settled(new, Status.REJECTED, "id_reused", say(self.rules.language, "id_reused"))

    def _answers(self, delivery: Delivery, transaction: Json) -> list[Reply]:
        answer = Reply(
            topic=self._topics.response("send"),
            correlation=None,
            shape="response",
            name="send",
            transaction=transaction,
        )
        return [answer, *self._response_topic(delivery, "response", transaction)]

    def _response_topic(self, delivery: Delivery, shape: str, transaction: Json) -> list[Reply]:
        topic = delivery.response_topic
        if not topic or not self._may_answer_on(topic):
            return []
        return [
            Reply(
                topic=topic,
                correlation=delivery.correlation,
                shape=shape,
                name="send" if shape == "response" else "",
                transaction=transaction,
            )
        ]

    def _may_answer_on(self, topic: str) -> bool:
        return response_topic_allowed(topic, self.rules.bases, self.rules.discovery_prefix)

    def _must_not_be_retained(self, delivery: Delivery) -> None:
        if delivery.retain:
            raise BadCommand("retained", "retained")

    def _row(self, command: Command, delivery: Delivery, replies: list[Reply], session: int) -> NewCommand:
        if delivery.response_topic and not self._may_answer_on(delivery.response_topic):
            raise BadCommand("bad_response_topic", "bad_response_topic", command_id=command.id)
        try:
            person = self.check(command)
        except BadCommand as bad:
            bad.command_id = command.id
            raise
        new = self._new(command, delivery, replies, session)
        if delivery.expiry == 0:
            return self._settled(new, Status.EXPIRED, "expired", say(self.rules.language, "expired_delivery"))
        ttl = min((one for one in (command.ttl, delivery.expiry) if one is not None), default=self.rules.ttl)
        return replace(
            new, person=None if person is None else person.id, expires=new.accepted + int(ttl * 1000)
        )

    def _person(self, user: str) -> Person | None:
        person = self._identity.by_level(user)
        if person is None:
            # Before the first login nobody is known yet; whom the owner named will be.
            if not self._people_known() and (user == FILEHELPER or self._identity.is_pinned(user)):
                return None
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._topics.contacts)
        if person.closed:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        if person.removed:
            raise BadCommand("unknown_user", "removed_user", user=user)
        return person

    def check(self, command: Command) -> Person | None:
        """For whom a command is, None where that is known only later.

        Raises `BadCommand` for what must not be sent.
        """
        person = self._person(command.user)
        if not self._is_allowed(command.user, person):
            raise BadCommand("not_allowed", "not_allowed", user=command.user)
        if command.kind != "text":
            raise BadCommand("unsupported", "unsupported_kind", kind=command.kind)
        if not command.text.strip():
            raise BadCommand("empty", "empty")
        size, limit = len(command.text.encode()), self._capabilities.text_limit
        if size > limit:
            raise BadCommand("too_long", "too_long", size=size, limit=limit)
        if self._store_full():
            raise BadCommand("storage_full", "storage_full", limit=self.rules.size_limit)
        return person

    def _is_allowed(self, user: str, person: Person | None) -> bool:
        """Whoever may be written to may be by each of their names."""
        names = {unicodedata.normalize("NFC", user), *((person.level,) if person else ())}
        return any(fits(name, self.rules.allow) for name in names)

    def _refusal(
        self, command: Command, bad: BadCommand, delivery: Delivery, replies: list[Reply], session: int
    ) -> NewCommand:
        new = self._new(replace(command, id=bad.command_id or command.id), delivery, replies, session)
        if (
            bad.command_id and not command.id
        ):  # it could not be read: only the very same bytes ask for the same
            new = replace(new, fingerprint=hashlib.sha256(delivery.payload).hexdigest())
        return self._settled(new, Status.REJECTED, bad.code, explain(self.rules.language, bad))

    def _settled(self, new: NewCommand, status: Status, code: str, message: str) -> NewCommand:
        """A command that gets its result without an attempt."""
        result = result_of(new.command, new.command_id, status, code, message)
        return replace(new, result=result, publications=self._results.publications(result, new.replies))

    def _new(self, command: Command, delivery: Delivery, replies: list[Reply], session: int) -> NewCommand:
        now = now_ms()
        return NewCommand(
            command=command,
            command_id=command.id or secrets.token_hex(8),
            fingerprint=fingerprint(command),
            person=None,
            key=new_key(),
            accepted=now,
            expires=now + int(self.rules.ttl * 1000),
            replies=tuple(replies),
            delivery=DeliveryMark(
                session=session,
                mid=delivery.mid,
                topic=delivery.topic,
                digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
                dup=delivery.dup,
            ),
            duplicate_possible=False,
            result=None,
            publications=(),
        )


def _refused_for(trouble: Exception) -> BadCommand:
    """Why a command is refused.

    A fault of ours refuses this one and stops no other (P5); else the broker would deliver it again for ever.
    """
    if isinstance(trouble, BadCommand):
        return trouble
    log.error("command cannot be judged", exc_info=trouble)
    return BadCommand("internal", "internal")


def fingerprint(command: Command) -> str:
    """Equal for commands that ask for the same, whatever their ttl and priority (DESIGN 4.2)."""
    user = unicodedata.normalize("NFC", command.user)
    asked = (command.kind, command.text, command.path, command.url, command.data, command.name)
    text = json.dumps([user, *asked, command.message_id, *command.mention])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
