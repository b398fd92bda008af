"""JSON of servers: lenient where nothing is lost, and `UnreadableJson` for all that is no object.

A field has the requested type, or is empty.
"""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.json_reader import UnreadableJson


@every_row(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b'"x"',
        b"null",
        b'{"a":',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableJson):
        json_reader.parse_json(body)


def test_json_is_utf8_whatever_comes_in_it() -> None:
    assert json_reader.parse_json(b'\xef\xbb\xbf{"a": "x\xffy\nz\x01", "n": NaN}') == {
        "a": "x\ufffdy\nz\x01",
        "n": None,
    }


def test_halves_of_surrogate_pairs_do_not_get_through() -> None:
    body = rb'{"a\ud800": ["\ud83d", {"b": "\ud83d\ude00"}, 5]}'
    assert json_reader.parse_json(body) == {"a\ufffd": ["\ufffd", {"b": "😀"}, 5]}


def test_big_numbers_stay_exact() -> None:
    assert json_reader.parse_json(b'{"NewMsgId": 7615282929538795099}') == {"NewMsgId": 7615282929538795099}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@every_row(
    ("value", "text", "number"),
    [
        ("abc", "abc", 0),
        ("12", "12", 12),
        (" -3 ", " -3 ", -3),
        ("\x1d0", "\x1d0", 0),
        ("\x1f12", "\x1f12", 12),
        (7, "7", 7),
        (True, "", 1),
        (None, "", 0),
        (1.5, "", 0),
        ([1], "", 0),
        ({}, "", 0),
        ("٣", "٣", 0),
        ("9" * 30, "9" * 30, 0),
        (7615282929538795099, "7615282929538795099", 7615282929538795099),
    ],
)
def test_text_and_number(value: object, text: str, number: int) -> None:
    assert json_reader.read_text({"k": value}, "k") == text
    assert json_reader.read_number({"k": value}, "k") == number


def test_what_is_missing_is_empty() -> None:
    assert (
        json_reader.read_text({}, "k"),
        json_reader.read_number({}, "k"),
        json_reader.read_object({}, "k"),
    ) == ("", 0, {})
    assert json_reader.read_objects({}, "k") == ([], 0)


def test_lists_give_their_objects_and_count_the_rest() -> None:
    assert json_reader.read_objects({"k": [{"a": 1}, 5, None, {}]}, "k") == ([{"a": 1}, {}], 2)
    assert json_reader.read_object({"k": {"a": 1}}, "k") == {"a": 1}


@given(ANYTHING)
def test_nothing_fails(value: object) -> None:
    entry = {"k": value}
    json_reader.read_text(entry, "k")
    json_reader.read_number(entry, "k")
    json_reader.read_object(entry, "k")
    json_reader.read_objects(entry, "k")


def test_only_the_members_that_are_kept_are_in_memory_at_any_level() -> None:
    body = b'{"kept": [{"a": 1, "kept": {"b": 2}}, 3], "other": {"kept": 4}, "kept2": 5}'
    assert json_reader.parse_json(body, frozenset({"kept"})) == {"kept": [{"kept": {}}, 3]}


def test_of_equal_keys_the_last_counts_also_where_members_are_left_out() -> None:
    body = b'{"kept": 1, "other": 2, "kept": 3}'
    assert json_reader.parse_json(body, frozenset({"kept"})) == {"kept": 3}


def test_what_is_left_out_takes_no_memory() -> None:
    """5,000 contacts of which a third of the fields is read left 10 MB in the process."""
    entry = {"kept": "x", **{f"other{number}": f"{number}" * 40 for number in range(30)}}
    body = json.dumps({"kept": [entry] * 2_000}).encode()
    peaks = []
    for keys in (None, frozenset({"kept"})):
        tracemalloc.start()
        json_reader.parse_json(body, keys)
        peaks.append(tracemalloc.get_traced_memory()[1] - len(body))  # of which the decoded text is a part
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 4
