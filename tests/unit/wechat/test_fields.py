"""A field has the type that was asked for, or is empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat import fields

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        ("abc", "abc", 0),
        ("12", "12", 12),
        (" -3 ", " -3 ", -3),
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
    assert fields.text({"k": value}, "k") == text
    assert fields.number({"k": value}, "k") == number


def test_what_is_missing_is_empty() -> None:
    assert (fields.text({}, "k"), fields.number({}, "k"), fields.inner({}, "k")) == ("", 0, {})
    assert fields.objects({}, "k") == ([], 0)


def test_lists_give_their_objects_and_count_the_rest() -> None:
    assert fields.objects({"k": [{"a": 1}, 5, None, {}]}, "k") == ([{"a": 1}, {}], 2)
    assert fields.inner({"k": {"a": 1}}, "k") == {"a": 1}


@given(ANYTHING)
def test_nothing_fails(value: object) -> None:
    entry = {"k": value}
    fields.text(entry, "k")
    fields.number(entry, "k")
    fields.inner(entry, "k")
    fields.objects(entry, "k")
