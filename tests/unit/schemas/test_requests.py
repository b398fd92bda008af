"""A command that the schema allows is one that the program takes, and the other way round."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.support.schema_conformance import payload_faults
from wx2mqtt.errors import BadCommand
from wx2mqtt.mqtt.commands import COMMAND_KEYS, COMMAND_KINDS, FILE_KINDS, read_command

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *COMMAND_KINDS,
        "text",
        "",
        " ",
        "x",
        "high",
        "low",
        1,
        0,
        -1,
        1.5,
        True,
        False,
        None,
        [],
        ["a"],
        [1],
        {},
        "x" * 129,
    ]
)
USUAL = st.dictionaries(st.sampled_from([*COMMAND_KEYS, "surprise"]), VALUES, max_size=5)
LIKELY = st.fixed_dictionaries(
    {"kind": st.sampled_from([*COMMAND_KINDS, "voice"])},
    optional={
        "text": st.sampled_from(["", "hi", " "]),
        "path": st.sampled_from(["/x", "", " "]),
        "url": st.sampled_from(["http://x"]),
        "data": st.sampled_from(["aGk=", ""]),
        "message_id": st.sampled_from(["1", ""]),
        "mention": st.sampled_from([[], ["wife"], "wife"]),
        "name": st.sampled_from(["a.pdf", 1]),
        "id": st.sampled_from(["a", 7, 1.5, "", True]),
        "ttl": st.sampled_from([1, 0, 0.5, "1"]),
    },
)


def taken(fields) -> bool:
    try:
        read_command("wife", json.dumps(fields).encode(), "application/json")
    except BadCommand:
        return False
    return True


@given(st.one_of(USUAL, LIKELY))
def test_the_schema_and_the_program_agree(fields):
    assert (payload_faults("command", fields) == []) is taken(fields), fields
    asked = {**fields, "user": "wife", "transaction": 1}
    assert (payload_faults("request_send", asked) == []) is taken(fields), (
        "request/send takes what out/<user> takes"
    )


@every_row(
    "fields",
    [
        {"text": "hi"},
        {
            "text": "hi",
            "kind": "text",
            "id": "a",
            "ttl": 60,
            "mention": ["wife"],
            "urgent": True,
            "hold": False,
        },
        *({"kind": kind, "path": "/x", "name": "a"} for kind in FILE_KINDS),
        {"kind": "recall", "message_id": "1"},
    ],
)
def test_what_people_write_is_allowed(fields):
    assert taken(fields)
    assert payload_faults("command", fields) == []
