"""Commands are written to rows and read back unchanged."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import command, reply, result
from wx2mqtt.model import Button, Command, Status
from wx2mqtt.store.command_acceptance import _ADD_COMMAND
from wx2mqtt.store.command_records import (
    CommandState,
    NewCommand,
    ReplyTarget,
    command_row,
    command_values,
    new_row,
    replies_text,
    result_text,
)
from wx2mqtt.store.database import NamedRow
from wx2mqtt.store.sqlite_database import SqliteConnection

COLUMNS = _ADD_COMMAND.partition("(")[2].partition(")")[0].replace("\n", "").split(",")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
replies = st.builds(
    ReplyTarget,
    topic=st.text(),
    correlation=st.none() | st.binary(),
    shape=st.sampled_from(["result", "response"]),
    name=st.text(),
    transaction=json_values,
)
commands = st.builds(
    Command,
    user=st.text(),
    kind=st.text(),
    text=st.text(),
    mention=st.lists(st.text(), max_size=3).map(tuple),
    ttl=st.none() | st.floats(0, 1e6),
    urgent=st.booleans(),
    buttons=st.lists(st.builds(Button, text=st.text(), key=st.text()), max_size=2).map(tuple),
)


def _row_of(new: NewCommand) -> NamedRow:
    """Returns the row of a command as SQLite reads it."""
    connection = sqlite3.connect(":memory:", factory=SqliteConnection)
    names = [name.strip() for name in COLUMNS]
    further_columns = [
        "open",
        "unknown",
        "attempts",
        "held",
        "parts_sent",
        "fallback",
        "bundle",
        "bundle_position",
        "part_ids",
    ]
    values = (1, "home", *command_values(new, 5000), 0, 0, 0, "", 0, "", None, 0, " ")
    columns = ", ".join(f"? AS {name}" for name in [*names, *further_columns])
    (row,) = connection.named_rows(f"SELECT {columns}", values)
    connection.close()
    return row


@given(commands, st.lists(replies, max_size=3).map(tuple))
def test_a_command_is_read_as_it_was_written(sent: Command, reply_targets: tuple[ReplyTarget, ...]) -> None:
    new = replace(command("a"), command=sent, replies=reply_targets)
    assert command_row(_row_of(new)) == new_row(1, new)


def test_a_command_that_is_stored_with_a_result_is_finished() -> None:
    new = command("a", result=result("a", Status.REJECTED))
    row = command_row(_row_of(new))
    assert row.state is CommandState.FINISHED
    assert row.result == result("a", Status.REJECTED)
    assert row == new_row(1, new)


def test_every_field_of_a_command_is_written() -> None:
    names = [name.strip() for name in COLUMNS[2:]]
    new = command("a")
    with_buttons = replace(new, command=replace(new.command, buttons=(Button(text="Yes", key="yes"),)))
    written, plain = (
        json.loads(str(dict(zip(names, command_values(item, 0), strict=True))["command"]))
        for item in (with_buttons, new)
    )
    assert set(written) == {item.name for item in fields(Command)}
    assert set(written) - set(plain) == {"buttons", "buttons_for", "buttons_from", "asked_by"}


def test_keys_of_a_newer_version_are_ignored_and_missing_keys_have_their_defaults() -> None:
    columns = dict(_row_of(command("a")))
    columns["command"] = json.dumps({"user": "wife", "text": "x", "colour": "red"})
    columns["result"] = json.dumps({**json.loads(result_text(result("a"))), "mood": "good"})
    row = command_row(columns)
    assert row.command == Command(user="wife", text="x")
    assert row.result == result("a")


def test_half_a_surrogate_pair_can_be_stored() -> None:
    assert command_values(command("a\ud83d", text="b\ud83d"), 0)[0] == "a?"
    assert replies_text([reply("t\ud83d")]).encode()
