"""Rows of commands for tests that need no journal."""

from __future__ import annotations

from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.model import Command, PersonId
from wx2mqtt.store.command_records import CommandRow, NewCommand, new_row


def row_of(
    row_id: int, user: str, text: str, *, person: PersonId | None = None, priority: str = "normal"
) -> CommandRow:
    """Returns the row of an accepted command, without `person` to a user who is no known person."""
    new = NewCommand(
        command=Command(user=user, text=text, priority=priority),
        command_id=f"c{row_id}",
        fingerprint="",
        person=person,
        key=new_key(),
        accepted=0,
        expires=1000,
        replies=(),
        delivery=None,
        duplicate_possible=False,
        result=None,
        publications=(),
    )
    return new_row(row_id, new)
