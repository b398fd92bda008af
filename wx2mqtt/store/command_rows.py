"""Converts commands to the columns of their rows, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from wx2mqtt.model import Command, Json, Remark, Result, Status
from wx2mqtt.store.command_records import CommandRow, CommandState, NewCommand, ReplyTarget
from wx2mqtt.store.database import NamedRow
from wx2mqtt.store.queries import blob_from_text, blob_to_text, compact, storable_text

_COMMAND_FIELDS = tuple(item.name for item in fields(Command))
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
        _text({name: getattr(new.command, name) for name in _COMMAND_FIELDS}),
    )


def replies_text(replies: Iterable[ReplyTarget]) -> str:
    """Returns reply targets as JSON, the correlation data in hex."""
    return _text(
        [
            {
                "topic": reply.topic,
                "correlation": None if reply.correlation is None else reply.correlation.hex(),
                "shape": reply.shape,
                "name": reply.name,
                "transaction": reply.transaction,
            }
            for reply in replies
        ]
    )


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
        replies=tuple(_reply(fields) for fields in json.loads(row["replies"])),
        attempt_open=bool(row["open"]),
        unanswered=row["unknown"],
        attempts=row["attempts"],
        duplicate_possible=bool(row["duplicate_possible"]),
        state=CommandState.WAITING if row["status"] is None else CommandState.FINISHED,
        result=None if row["result"] is None else _result(row["result"]),
        blob=blob_from_text(row["blob"]),
        window_reason=row["held"],
        parts_sent=row["parts_sent"],
        fallback=row["fallback"],
        leader=row["bundle"],
        combined_position=row["bundle_position"],
    )


def new_row(row_id: int, new: NewCommand) -> CommandRow:
    """Returns the row of a command that was just added, without reading it again."""
    return CommandRow(
        id=row_id,
        command=new.command,
        command_id=storable_text(new.command_id),
        fingerprint=new.fingerprint,
        person=new.person,
        key=new.key,
        accepted=new.accepted,
        expires=new.expires,
        replies=new.replies,
        attempt_open=new.starts,
        unanswered=0,
        attempts=int(new.starts),
        duplicate_possible=new.duplicate_possible,
        state=CommandState.FINISHED if new.result else CommandState.WAITING,
        result=new.result,
        blob=new.blob,
    )


def _text(value: Json | Any) -> str:
    return storable_text(compact(value))


def _command(text: str) -> Command:
    """Returns the command without fields that a newer version added; missing fields get their defaults."""
    known = {name: value for name, value in json.loads(text).items() if name in _COMMAND_FIELDS}
    remarks = tuple(Remark(remark) for remark in known.get("remarks", ()) if remark in _REMARKS)
    return Command(**{**known, "mention": tuple(known.get("mention", ())), "remarks": remarks})


def _result(text: str) -> Result:
    known = {name: value for name, value in json.loads(text).items() if name in _RESULT_FIELDS}
    return Result(**{**known, "status": Status(known["status"])})


def _reply(fields: dict[str, Any]) -> ReplyTarget:
    correlation = fields["correlation"]
    return ReplyTarget(
        **{**fields, "correlation": None if correlation is None else bytes.fromhex(correlation)}
    )
