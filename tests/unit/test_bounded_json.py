"""JSON from outside is counted before it is parsed, at a cost that a hostile text cannot raise."""

from __future__ import annotations

import json
import sys
import threading
import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.cost import COMPARISONS
from tests.support.rows import every_row
from wx2mqtt.bounded_json import (
    MAX_NUMBER_CHARACTERS,
    MAX_SIGNS_FOR_LEVELS,
    JsonBounds,
    JsonOutOfBounds,
    load_json,
)

SMALL = JsonBounds(max_bytes=10_000, max_depth=5, max_values=20)
LARGE = JsonBounds(max_bytes=64 << 20, max_depth=64, max_values=10_000)
MEGABYTE = 1 << 20


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@every_row(
    "text",
    [
        nested(5),
        b"[" + b"1," * 18 + b"1]",
        b'["' + b"," * 1000 + b'"]',
        b'["' + b"[" * 1000 + b'"]',
        b'["' + b'\\"[,' * 1000 + b'"]',
        b'["\\\\", "[[[[[[", ",,,,,,,,,,,,,,,,,,,,,,,,,,,,"]',
        b'{"a": "\xe7\x95\x8c", "b": [1.5, -2e3, true, null]}',
        b"[" + b"1" * MAX_NUMBER_CHARACTERS + b"]",
        b"[" + b"1" * (MAX_NUMBER_CHARACTERS - 2) + b".5]",
    ],
)
def test_what_is_within_the_bounds_is_read_as_json_reads_it(text):
    if b".5" in text and len(text) > 100:
        with pytest.raises(JsonOutOfBounds):  # more than a float can hold
            load_json(text, SMALL)
    else:
        assert load_json(text, SMALL) == json.loads(text)


@every_row(
    ("text", "problem"),
    [
        (nested(6), "it has more than 5 levels"),
        (b"[" * 6, "it has more than 5 levels"),
        (b"[" + b"1," * 20 + b"1]", "it has more than 20 values"),
        (b"[" + b"[]," * 20 + b"[]]", "it has more than 20 values"),
        (b'{"a":{},' * 20, "it has more than 5 levels"),
        (b" " * 10_001, "it has more than 10000 bytes"),
        (b"[1e999]", "a number in it is too large"),
        (b"[-1e999999]", "a number in it is too large"),
        (b"[0." + b"1" * MAX_NUMBER_CHARACTERS + b"]", "a number in it is too large"),
        (b"[" + b"1" * 5000 + b"]", "a number in it is too large"),
        (b"[NaN]", "NaN is no number in JSON"),
        (b"[-Infinity]", "-Infinity is no number in JSON"),
    ],
)
def test_what_exceeds_a_bound_is_refused_with_the_bound(text, problem):
    with pytest.raises(JsonOutOfBounds) as caught:
        load_json(text, SMALL)
    assert str(caught.value) == problem


def test_the_levels_of_a_text_with_many_values_are_left_to_the_parser_unless_exact():
    bounds = JsonBounds(max_bytes=MEGABYTE, max_depth=5, max_values=100_000)
    text = b"[" + nested(6) + b",1" * MAX_SIGNS_FOR_LEVELS + b"]"
    bounds.check(text)
    with pytest.raises(JsonOutOfBounds):
        bounds.check(text, exact=True)
    with pytest.raises(JsonOutOfBounds):
        load_json(b"[" + nested(100_000) + b",1" * MAX_SIGNS_FOR_LEVELS + b"]", bounds)


def test_of_equal_keys_the_last_one_counts():
    assert load_json(b'{"a": 1, "a": 2}', SMALL) == {"a": 2}


# A test builds its input itself: each worker collects all tests, and holds their parameters to the end.
@pytest.mark.parametrize(
    "make",
    [
        lambda: b"[" + b"1e1," * (2 * MEGABYTE) + b"1]",
        lambda: b"[" + b"[]," * (2 * MEGABYTE) + b"1]",
        lambda: b"[" * (8 * MEGABYTE),
        lambda: b'[""' + b',""' * (2 * MEGABYTE) + b"]",
        lambda: b'"' * (8 * MEGABYTE),
        lambda: b'["' + b'\\"' * (4 * MEGABYTE),
        lambda: b'["' + b"\\" * (8 * MEGABYTE - 1),
        lambda: b'{"a":' * MEGABYTE,
    ],
    ids=["numbers", "lists", "levels", "strings", "quotes", "escapes", "backslashes", "objects"],
)
def test_a_hostile_text_costs_little_time_and_hardly_any_memory(make):
    text = make()
    # The machine may be slower during one of the measurements.
    assert any(costs_little(text) for _ in range(COMPARISONS))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            load_json(text, LARGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(text) + MEGABYTE  # the text itself, decoded


def costs_little(text: bytes) -> bool:
    """Returns whether a text is refused in a time that is in proportion to that of decoding it."""
    started = time.thread_time()
    text.decode("utf-8").encode()
    usual = time.thread_time() - started
    started = time.thread_time()
    with pytest.raises(ValueError):
        load_json(text, LARGE)
    return time.thread_time() - started < 0.1 + 20 * usual


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def count_of(value: object) -> int:
    """Returns the number of values: each list or object counts as one, and each of its elements but the first."""
    if not isinstance(value, (dict, list)):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(inner) - 1) + sum(map(count_of, inner))


@given(value=values, levels=st.integers(0, 6), most=st.integers(0, 20), escape=st.booleans())
@example(value=['[[[,,,"', {"]": "\\"}], levels=2, most=3, escape=True)
def test_the_bounds_count_what_the_parser_would_make(value, levels, most, escape):
    text = json.dumps(value, ensure_ascii=escape).encode("utf-8", "surrogatepass")
    bounds = JsonBounds(max_bytes=MEGABYTE, max_depth=levels, max_values=most)
    within = depth_of(value) <= levels and count_of(value) <= most
    try:
        bounds.check(text)
    except JsonOutOfBounds:
        assert not within
    else:
        assert within


@given(text=st.binary(max_size=60) | st.text(alphabet='[]{},:"\\ 1e.u', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_value_error(text):
    try:
        load_json(text, SMALL)
    except ValueError:
        return
    json.loads(text)


@given(text=st.text(alphabet='[]{},"\\ a', max_size=40).map(str.encode), levels=st.integers(0, 6))
@example(text=b'\\" "[[[', levels=2)
@example(text=b'["\\\\"[[["\\"]"', levels=2)
def test_what_is_seen_at_once_is_what_the_count_finds(text, levels):
    bounds = JsonBounds(max_bytes=MEGABYTE, max_depth=levels, max_values=1000)
    if bounds._is_flat(text):
        bounds._count_values(text)


def test_the_levels_of_an_answer_of_wechat_are_compared_in_about_the_time_that_it_takes_to_parse_it():
    entry = {"MsgId": "1", "Content": '&lt;msg&gt;\n"', "AppInfo": {"AppID": "", "Type": 0}}
    entry |= {f"Field{number}": "" for number in range(30)}
    text = json.dumps({"AddMsgList": [entry] * 50}).encode()
    bounds = JsonBounds(max_bytes=MEGABYTE, max_depth=64, max_values=100_000)

    def least_seconds(work):
        spent = []
        for _ in range(20):
            started = time.thread_time()
            work()
            spent.append(time.thread_time() - started)
        return min(spent)

    assert least_seconds(lambda: bounds.check(text)) < 1.5 * least_seconds(lambda: json.loads(text))


def test_a_thread_that_counts_a_long_string_lets_others_run():
    """One search of a text of 32 MB would keep every other thread waiting, the event loop among them."""
    text = b'{"text": "' + b",[" * (16 * MEGABYTE) + b'"}'
    turns = [0]
    is_over = threading.Event()

    def count() -> None:
        while not is_over.is_set():
            turns[0] += 1
            time.sleep(0)

    other = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    other.start()
    try:
        before = turns[0]
        LARGE.check(text)
        assert turns[0] - before > 100
    finally:
        sys.setswitchinterval(interval)
        is_over.set()
        other.join()


@every_row("escape", [b"", b'\\"', b"\\\\"])
@every_row("length", [254, 255, 256, 257, 65_534, 65_535, 65_536, 65_537])
def test_a_string_ends_where_the_parser_sees_its_end(length, escape):
    bounds = JsonBounds(max_bytes=MEGABYTE, max_depth=1, max_values=3)
    text = b'["' + b"a" * length + escape + b",[,[,[,[" * 2 + b'", ""'
    load_json(text + b"]", bounds)
    with pytest.raises(JsonOutOfBounds):
        load_json(text + b", 1, 1]", bounds)
