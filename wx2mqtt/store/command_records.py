"""Commands as they are stored, and the columns of their rows. Times are in milliseconds since 1970.

NewCommand, from a delivery  ->  `command_values`, the columns of a new row
a row                        ->  `command_row`, a `CommandRow`
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from enum import StrEnum
from typing import Any

from wx2mqtt.model import Blob, Command, Json, PersonId, Remark, Result, SendKey, Status
from wx2mqtt.store.column_values import blob_from_text, blob_to_text, compact, storable_text
from wx2mqtt.store.database import NamedRow
from wx2mqtt.store.question_records import (
    asking_from_json,
    asking_to_json,
    buttons_from_json,
    buttons_to_json,
)
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch
from wx2mqtt.values import frozen


@frozen
class ReplyTarget:
    """A topic that gets the result of a command."""

    topic: str
    correlation: bytes | None
    #: `result`, or `response` to the request `name`.
    shape: str
    name: str
    transaction: Json


@frozen
class DeliveryMark:
    """The delivery of a command or request by the broker, to recognise the same delivery again."""

    broker_session: int
    #: The MQTT packet id.
    packet_id: int
    topic: str
    #: The SHA-256 of the content.
    digest: bytes
    #: The DUP flag.
    dup: bool


@frozen
class AcceptedCommand:
    """What a command has before and after it is stored."""

    command: Command
    #: Of the sender, or made by the bridge: `alarm-7`.
    command_id: str
    #: A digest of the content: another command with the same id and fingerprint repeats this one.
    fingerprint: str
    #: The recipient; None where nobody with this topic name was known.
    person: PersonId | None
    #: By which WeChat knows a repeat of the message.
    key: SendKey
    accepted: int
    #: When it may be sent no more; None: never.
    expires: int | None
    replies: tuple[ReplyTarget, ...]
    duplicate_possible: bool = False
    #: None while it waits.
    result: Result | None = None
    #: The file to send; None if there is none, or if it is still to be fetched from its `url`.
    blob: Blob | None = None
    #: The account for whose command this is the fallback; empty for all others.
    fallback_of: str = ""


@frozen
class NewCommand(AcceptedCommand):
    """A command to accept. With a `result` it is finished at once."""

    #: None for one that did not come by MQTT.
    delivery: DeliveryMark | None = None
    #: Enqueued in the same commit.
    publications: tuple[NewPublication, ...] = ()
    #: The commit stores the begin of the first attempt, too.
    starts: bool = False
    #: Otherwise the row has none of `replies`.
    keeps_replies: bool = True


class CommandState(StrEnum):
    WAITING = "waiting"
    FINISHED = "settled"


# Stands in place of the message id of a part that perhaps did not arrive.
LOST_PART = "?"

# For whom a command was accepted: a person, or the user on the topic where no person was known at that time.
Recipient = PersonId | str


# The unanswered attempts of a restored command, which another bridge may have sent since the backup. No other
# command gets so many.
RESTORED_UNANSWERED = 1000


@frozen
class CommandRow(AcceptedCommand):
    """A stored command."""

    #: The row id, in the order in which commands were accepted.
    id: int
    #: An attempt has begun, and its outcome is not known.
    attempt_open: bool
    #: Attempts without an answer; of a long text, or a file with a caption, those at the next part.
    unanswered: int
    #: All attempts.
    attempts: int
    state: CommandState
    #: Why WeChat accepted no message when the command was due; empty if it never waited for the window.
    window_reason: str = ""
    #: The parts of a long text, or of a caption, that were sent.
    parts_sent: int = 0
    #: How many of these perhaps did not arrive: of a caption, before its file.
    parts_lost: int = 0
    #: How far its fallback is (`bridge/commands/fallback_states.py`); empty if none was needed.
    fallback: str = ""
    #: The row id of the command that leads the combined message in which this one is; None outside of one.
    leader: int | None = None
    #: The place in the text of the combined message, 0 for the leader.
    combined_position: int = 0

    @property
    def is_restored(self) -> bool:
        """Whether it comes from a backup, after which another bridge may have sent it."""
        return self.unanswered >= RESTORED_UNANSWERED

    @property
    def recipient(self) -> Recipient:
        """The recipient as stored, which does not change when the user becomes a known person."""
        return self.command.user if self.person is None else self.person


class AcceptOutcome(StrEnum):
    """What became of a new command."""

    #: It is stored.
    NEW = "new"
    #: The broker redelivered a stored command.
    SAME_DELIVERY = "same_delivery"
    #: Same id, same content; a waiting command also answers to the new reply targets.
    REPEAT = "repeat"
    #: Same id, other content; nothing is stored, the caller rejects it.
    REUSED = "reused"


@frozen
class AcceptResult:
    outcome: AcceptOutcome
    #: The command's own row, or the earlier row that it repeats or collides with.
    row: CommandRow | None
    #: The publications of a new command that was finished at once.
    outbox: OutboxBatch = NO_PUBLICATIONS


# The columns

_ACCEPTED_FIELDS = tuple(item.name for item in fields(AcceptedCommand))
_COMMAND_FIELDS = tuple(item.name for item in fields(Command))
_BUTTON_FIELDS = ("buttons", "buttons_for", "buttons_from", "asked_by")
_REMARKS = frozenset(Remark)
_RESULT_FIELDS = tuple(item.name for item in fields(Result))


def command_values(new: NewCommand, now: int) -> tuple[object, ...]:
    """Returns the columns of a new row after id and account, in the order of the statement `add`."""
    result, mark = new.result, new.delivery
    finished = (now, str(result.status), result.message_id) if result else (None,) * 3
    delivery = (mark.broker_session, mark.packet_id, mark.topic, mark.digest) if mark else (None,) * 4
    return (
        storable_text(new.command_id),
        new.fingerprint,
        new.person,
        new.key,
        new.accepted,
        new.expires,
        new.starts,
        int(new.starts),
        new.duplicate_possible,
        *finished,
        *delivery,
        new.blob.sha256 if new.blob else None,
        blob_to_text(new.blob),
        replies_text(new.replies),
        result_text(result) if result else None,
        _text(_command_fields(new.command)),
        new.fallback_of,
    )


def _command_fields(command: Command) -> dict[str, Json]:
    """Returns the fields of a command as JSON; those of buttons only where it has some."""
    values = {name: getattr(command, name) for name in _COMMAND_FIELDS}
    buttons = {name: values.pop(name) for name in _BUTTON_FIELDS}
    if not command.buttons:
        return values
    asked_by = None if command.asked_by is None else asking_to_json(command.asked_by)
    return {**values, **buttons, "buttons": buttons_to_json(command.buttons), "asked_by": asked_by}


def replies_text(replies: Iterable[ReplyTarget]) -> str:
    """Returns reply targets as JSON, the correlation data in hex."""
    # Not `asdict`, which copies a transaction: a decimal number in it cannot be copied.
    targets = [{item.name: getattr(reply, item.name) for item in fields(reply)} for reply in replies]
    for target in targets:
        correlation = target["correlation"]
        target["correlation"] = None if correlation is None else correlation.hex()
    return _text(targets)


def result_text(result: Result) -> str:
    return _text({name: getattr(result, name) for name in _RESULT_FIELDS})


def command_row(row: NamedRow) -> CommandRow:
    return CommandRow(
        id=row["id"],
        command=_command(row["command"]),
        command_id=row["command_id"],
        fingerprint=row["fingerprint"],
        person=row["person"],
        key=row["key"],
        accepted=row["accepted"],
        expires=row["expires"],
        replies=_replies(row["replies"]),
        attempt_open=bool(row["open"]),
        unanswered=row["unknown"],
        attempts=row["attempts"],
        duplicate_possible=bool(row["duplicate_possible"]),
        state=CommandState.WAITING if row["status"] is None else CommandState.FINISHED,
        result=None if row["result"] is None else _result(row["result"]),
        blob=blob_from_text(row["blob"]),
        window_reason=row["held"],
        parts_sent=row["parts_sent"],
        parts_lost=row["part_ids"].split().count(LOST_PART),
        fallback=row["fallback"],
        leader=row["bundle"],
        combined_position=row["bundle_position"],
        fallback_of=row["fallback_of"],
    )


def new_row(row_id: int, new: NewCommand) -> CommandRow:
    """Returns the row of a command that was just added, without reading it again."""
    values = {name: getattr(new, name) for name in _ACCEPTED_FIELDS}
    values["command_id"] = storable_text(new.command_id)
    return CommandRow(
        **values,
        id=row_id,
        attempt_open=new.starts,
        unanswered=0,
        attempts=int(new.starts),
        state=CommandState.FINISHED if new.result else CommandState.WAITING,
    )


def _text(value: Json | Any) -> str:
    return storable_text(compact(value))


def _command(text: str) -> Command:
    """Returns the command without fields that a newer version added; missing fields get their defaults."""
    known = {name: value for name, value in json.loads(text).items() if name in _COMMAND_FIELDS}
    remarks = tuple(Remark(remark) for remark in known.get("remarks", ()) if remark in _REMARKS)
    return Command(
        **{
            **known,
            "mention": tuple(known.get("mention", ())),
            "buttons": buttons_from_json(known.get("buttons", [])),
            "asked_by": asking_from_json(known.get("asked_by")),
            "remarks": remarks,
        }
    )


def _result(text: str) -> Result:
    known = {name: value for name, value in json.loads(text).items() if name in _RESULT_FIELDS}
    return Result(**{**known, "status": Status(known["status"])})


def _replies(text: str) -> tuple[ReplyTarget, ...]:
    targets = json.loads(text)
    for target in targets:
        correlation = target["correlation"]
        target["correlation"] = None if correlation is None else bytes.fromhex(correlation)
    return tuple(ReplyTarget(**target) for target in targets)
