"""How a command is written into its row and read from it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from wx2mqtt.model import Command, Json, Result, Status
from wx2mqtt.store.queries import blob_from_text, blob_to_text, compact, storable_text
from wx2mqtt.store.records import CommandRow, CommandState, NewCommand, ReplyTarget

_COMMAND = tuple(item.name for item in fields(Command))
_RESULT = tuple(item.name for item in fields(Result))


def command_values(new: NewCommand, now: int) -> tuple[object, ...]:
    """The columns of a new row, in the order of the statement `add` behind row and account."""
    result, mark = new.result, new.delivery
    settled = (now, str(result.status), result.message_id) if result else (None, None, None)
    delivery = (mark.broker_session, mark.mid, mark.topic, mark.digest) if mark else (None, None, None, None)
    return (
        storable_text(new.command_id),
        new.fingerprint,
        new.person,
        new.key,
        new.accepted,
        new.expires,
        new.duplicate_possible,
        *settled,
        *delivery,
        new.blob.sha256 if new.blob else None,
        blob_to_text(new.blob),
        replies_text(new.replies),
        result_text(result) if result else None,
        _text({name: getattr(new.command, name) for name in _COMMAND}),
    )


def replies_text(replies: Iterable[ReplyTarget]) -> str:
    """Replies as JSON, the correlation data in hex."""
    return _text(
        [
            {
                "topic": one.topic,
                "correlation": None if one.correlation is None else one.correlation.hex(),
                "shape": one.shape,
                "name": one.name,
                "transaction": one.transaction,
            }
            for one in replies
        ]
    )


def result_text(result: Result) -> str:
    """A result as JSON."""
    return _text({name: getattr(result, name) for name in _RESULT})


def command_row(row: sqlite3.Row) -> CommandRow:
    """The row as a value."""
    return CommandRow(
        id=row["id"],
        command=_command(row["command"]),
        command_id=row["command_id"],
        fingerprint=row["fingerprint"],
        person=row["person"],
        key=row["key"],
        accepted=row["accepted"],
        expires=row["expires"],
        replies=tuple(_reply(one) for one in json.loads(row["replies"])),
        open=bool(row["open"]),
        unknown=row["unknown"],
        attempts=row["attempts"],
        duplicate_possible=bool(row["duplicate_possible"]),
        state=CommandState.WAITING if row["status"] is None else CommandState.SETTLED,
        result=None if row["result"] is None else _result(row["result"]),
        blob=blob_from_text(row["blob"]),
        held=row["held"],
        parts_sent=row["parts_sent"],
        fallback=row["fallback"],
    )


def new_row(row_id: int, new: NewCommand) -> CommandRow:
    """The row that a new command has just got, without reading it again."""
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
        open=False,
        unknown=0,
        attempts=0,
        duplicate_possible=new.duplicate_possible,
        state=CommandState.SETTLED if new.result else CommandState.WAITING,
        result=new.result,
        blob=new.blob,
    )


def _text(value: Json | Any) -> str:
    return storable_text(compact(value))


def _command(text: str) -> Command:
    """Keys that a newer version wrote are left out; what it did not write has its default."""
    known = {name: value for name, value in json.loads(text).items() if name in _COMMAND}
    return Command(**{**known, "mention": tuple(known.get("mention", ()))})


def _result(text: str) -> Result:
    known = {name: value for name, value in json.loads(text).items() if name in _RESULT}
    return Result(**{**known, "status": Status(known["status"])})


def _reply(fields: dict[str, Any]) -> ReplyTarget:
    correlation = fields["correlation"]
    return ReplyTarget(
        **{**fields, "correlation": None if correlation is None else bytes.fromhex(correlation)}
    )
