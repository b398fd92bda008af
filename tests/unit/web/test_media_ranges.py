"""Range requests and conditional requests."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.web.media_ranges import (
    RangeNotSatisfiable,
    is_not_modified,
    requested_range,
)

ETAG, CHANGED = '"abc"', 1_795_600_800


def part(header, size=100, **more):
    return requested_range({"range": header, **more}, size, ETAG, CHANGED)


@every_row(
    ("header", "span"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=90-", range(90, 100)),
        ("bytes=90-1000", range(90, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-1000", range(100)),
        ("Bytes = 0 - 4", range(5)),
    ],
)
def test_one_part_is_given(header, span):
    assert part(header) == span


@every_row(
    "header",
    [
        *("", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1", "items=0-1", "bytes=0-1,5-6"),
        *("bytes=--1", "bytes=1--2", "bytes=0x1-2", "bytes=１-２", f"bytes={'9' * 30}-"),
    ],
)
def test_what_is_no_single_part_means_the_whole(header):
    assert part(header) is None


@every_row(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_a_part_that_does_not_exist_is_refused(header, size):
    with pytest.raises(RangeNotSatisfiable):
        part(header, size)


def test_a_part_of_another_version_is_not_given():
    date = formatdate(CHANGED, usegmt=True)
    assert part("bytes=0-4", **{"if-range": ETAG}) == range(5)
    assert part("bytes=0-4", **{"if-range": date}) == range(5)
    assert part("bytes=0-4", **{"if-range": '"other"'}) is None
    assert part("bytes=0-4", **{"if-range": f"W/{ETAG}"}) is None
    assert part("bytes=0-4", **{"if-range": formatdate(CHANGED - 1, usegmt=True)}) is None


@given(
    st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True),
    st.integers(0, 2000),
)
def test_a_part_lies_within_the_file_whatever_is_asked(header, size):
    try:
        span = part(header, size)
    except RangeNotSatisfiable:
        return
    if span is not None:
        assert 0 <= span.start < span.stop <= size
        assert len(span) == span.stop - span.start


@every_row(
    ("headers", "has"),
    [
        ({}, False),
        ({"if-none-match": ETAG}, True),
        ({"if-none-match": f'"x", W/{ETAG}'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": '"x"', "if-modified-since": formatdate(CHANGED, usegmt=True)}, False),
        ({"if-modified-since": formatdate(CHANGED, usegmt=True)}, True),
        ({"if-modified-since": formatdate(CHANGED - 1, usegmt=True)}, False),
        ({"if-modified-since": "yesterday"}, False),
    ],
)
def test_what_a_client_has_already_is_not_sent_again(headers, has):
    assert is_not_modified(headers, ETAG, CHANGED) is has


@given(st.text(max_size=60))
def test_no_date_of_any_form_breaks_it(date):
    assert is_not_modified({"if-modified-since": date}, ETAG, CHANGED) in {True, False}
