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


def _read(new: NewCommand) -> NamedRow:
    """The row as SQLite would give it back."""
    connection = sqlite3.connect(":memory:", factory=SqliteConnection)
    names = [name.strip() for name in COLUMNS]
    more = [
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
    row = (1, "home", *command_values(new, 5000), 0, 0, 0, "", 0, "", None, 0, " ")
    marks = ", ".join(f"? AS {name}" for name in [*names, *more])
    (found,) = connection.named_rows(f"SELECT {marks}", row)
    connection.close()
    return found


@given(commands, st.lists(replies, max_size=3).map(tuple))
def test_what_is_read_is_what_was_written(asked: Command, wait: tuple[ReplyTarget, ...]) -> None:
    new = replace(command("a"), command=asked, replies=wait)
    assert command_row(_read(new)) == new_row(1, new)


def test_a_command_that_is_settled_at_once_is_settled() -> None:
    new = command("a", settled=result("a", Status.REJECTED))
    row = command_row(_read(new))
    assert row.state is CommandState.FINISHED
    assert row.result == result("a", Status.REJECTED)
    assert row == new_row(1, new)


def test_every_field_of_a_command_is_written() -> None:
    names = [name.strip() for name in COLUMNS[2:]]
    new = command("a")
    asking = replace(new, command=replace(new.command, buttons=(Button(text="Yes", key="yes"),)))
    written, plain = (
        json.loads(str(dict(zip(names, command_values(one, 0), strict=True))["command"]))
        for one in (asking, new)
    )
    assert set(written) == {item.name for item in fields(Command)}
    assert set(written) - set(plain) == {"buttons", "buttons_for", "buttons_from", "asked_by"}


def test_what_a_newer_version_wrote_is_left_out_and_what_is_missing_has_its_default() -> None:
    found = dict(_read(command("a")))
    found["command"] = json.dumps({"user": "wife", "text": "x", "colour": "red"})
    found["result"] = json.dumps({**json.loads(result_text(result("a"))), "mood": "good"})
    row = command_row(found)
    assert row.command == Command(user="wife", text="x")
    assert row.result == result("a")


def test_half_a_surrogate_pair_can_be_stored() -> None:
    assert command_values(command("a\ud83d", text="b\ud83d"), 0)[0] == "a?"
    assert replies_text([reply("t\ud83d")]).encode()
