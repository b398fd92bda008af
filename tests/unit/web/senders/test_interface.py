"""What all interfaces for senders share: forms, of which a body may be full of escapes."""

from __future__ import annotations

import tracemalloc
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.errors import BadCommand
from wx2mqtt.web.senders.interface import ESCAPES_AT_A_TIME, MAX_FORM_FIELDS, form_fields

PIECES = st.sampled_from(["%", "%4", "%41", "%E6%B0%B4", "水", "+", "a", "=", "%zz", "%F0%9F"])


@given(st.lists(PIECES, max_size=30).map("".join), st.integers(min_value=0, max_value=9))
def test_a_field_reads_as_the_standard_library_reads_it_wherever_it_is_cut(text: str, before: int) -> None:
    long = f"message={'x' * (ESCAPES_AT_A_TIME - before)}{text}"
    assert form_fields(long) == dict(parse_qsl(long, keep_blank_values=True))


def test_of_each_name_the_first_counts_and_a_blank_one_is_a_field() -> None:
    assert form_fields("a=1&a=2&b=&&c") == {"a": "1", "b": "", "c": ""}


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(BadCommand):
        form_fields("&" * MAX_FORM_FIELDS)


@pytest.mark.parametrize("escape", ["%", "%41"])
def test_a_form_of_escapes_takes_little_more_memory_than_its_size(escape: str) -> None:
    text = "message=" + escape * (256 * 1024 // len(escape))
    tracemalloc.start()
    try:
        form_fields(text)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text)
    finally:
        tracemalloc.stop()
