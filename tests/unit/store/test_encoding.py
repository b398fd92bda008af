"""Text from strangers, as rows can hold it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import blob
from wx2mqtt.store.encoding import blob_of, blob_text, listed, storable, written

anything = st.text(st.characters())  # with single surrogates


@given(anything)
def test_every_text_can_be_stored(text: str) -> None:
    assert len(storable(text).encode()) >= len(text)


@given(st.text())
def test_text_that_utf8_can_hold_is_not_changed(text: str) -> None:
    assert storable(text) == text


@given(anything)
def test_every_body_can_be_written_and_is_json(text: str) -> None:
    assert set(json.loads(written({"text": text}))) == {"text"}


def test_a_body_is_compact_utf8() -> None:
    assert written({"a": "开灯", "b": 1}) == '{"a":"开灯","b":1}'.encode()


def test_half_a_pair_becomes_a_question_mark() -> None:
    assert storable("a\ud83d") == "a?"
    assert written({"a": "\ud83d"}) == b'{"a":"?"}'


def test_a_list_is_json() -> None:
    assert json.loads(listed(number for number in (1, 2))) == [1, 2]


def test_a_blob_is_read_as_it_was_written() -> None:
    assert blob_of(blob_text(blob("x"))) == blob("x")
    assert blob_of(blob_text(None)) is None


def test_what_a_newer_version_knows_of_a_blob_is_left_out() -> None:
    text = json.dumps({**json.loads(blob_text(blob("x")) or ""), "colours": 3})
    assert blob_of(text) == blob("x")
