"""The cursor holds both keys, exactly (webwx 2.11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.model import Cursor
from wx2mqtt.wechat.webwx.position import Position, keys_in

KEYS = st.lists(st.tuples(st.integers(), st.integers())).map(tuple)


@given(KEYS, KEYS, st.booleans())
def test_a_cursor_brings_its_position_back(sync: object, check: object, more: bool) -> None:
    position = Position(sync=sync, check=check, more=more)  # type: ignore[arg-type]
    assert Position.of(position.cursor()) == position


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "[]",
        "null",
        "{}",
        '{"sync":1,"check":[],"more":true}',
        '{"sync":[["a"]],"check":[],"more":0}',
    ],
)
def test_a_strange_cursor_is_the_position_before_everything(cursor: str) -> None:
    assert Position.of(Cursor(cursor)) == Position()


def test_the_query_joins_pairs() -> None:
    assert Position(check=((1, 661706050), (1000, 1700000000))).query == "1_661706050|1000_1700000000"


def test_keys_are_read_from_an_answer() -> None:
    answer = {"SyncKey": {"Count": 2, "List": [{"Key": 1, "Val": 5}, {"Key": "2", "Val": "6"}]}}
    assert keys_in(answer, "SyncKey") == ((1, 5), (2, 6))


@pytest.mark.parametrize("key", [None, 5, {}, {"Count": 0, "List": []}, {"List": "x"}])
def test_no_keys_are_empty(key: object) -> None:
    assert keys_in({"SyncKey": key}, "SyncKey") == ()
