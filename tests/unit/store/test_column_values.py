"""Texts, JSON and blobs are written to columns and read back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import blob
from wx2mqtt.store.column_values import blob_from_text, blob_to_text, encode_payload, storable_text

any_text = st.text(st.characters())  # also single surrogates, which UTF-8 cannot encode


@given(any_text)
def test_every_text_can_be_stored(text: str) -> None:
    assert len(storable_text(text).encode()) >= len(text)


@given(st.text())
def test_text_that_utf8_can_hold_is_not_changed(text: str) -> None:
    assert storable_text(text) == text


@given(any_text)
def test_every_body_can_be_written_and_is_json(text: str) -> None:
    assert set(json.loads(encode_payload({"text": text}))) == {"text"}


def test_a_body_is_compact_utf8() -> None:
    assert encode_payload({"a": "开灯", "b": 1}) == '{"a":"开灯","b":1}'.encode()


def test_half_a_pair_becomes_a_question_mark() -> None:
    assert storable_text("a\ud83d") == "a?"
    assert encode_payload({"a": "\ud83d"}) == b'{"a":"?"}'


def test_a_blob_is_read_as_it_was_written() -> None:
    assert blob_from_text(blob_to_text(blob("x"))) == blob("x")
    assert blob_from_text(blob_to_text(None)) is None


def test_keys_of_a_blob_that_a_newer_version_wrote_are_ignored() -> None:
    text = json.dumps({**json.loads(blob_to_text(blob("x")) or ""), "colours": 3})
    assert blob_from_text(text) == blob("x")
