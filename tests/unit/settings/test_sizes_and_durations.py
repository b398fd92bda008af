"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.settings.sizes_and_durations import (
    MAX_DURATION_SECONDS,
    MAX_SIZE_BYTES,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@every_row(
    ("written", "amount"),
    [
        ("25MB", 25_000_000),
        ("256 kB", 256_000),
        ("1GB", 1_000_000_000),
        ("1gb", 1_000_000_000),
        ("2TB", 2_000_000_000_000),
        ("1KiB", 1024),
        ("1.5MiB", 1_572_864),
        ("7", 7),
        ("7B", 7),
        (4096, 4096),
        ("0", 0),
    ],
)
def test_a_size_is_read_as_people_write_it(written, amount):
    assert parse_size(written) == amount


@every_row(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("24h", 86400),
        ("7d", 604800),
        ("2w", 1209600),
        ("500ms", 0.5),
        ("90", 90),
        ("1.5h", 5400),
        ("30 s", 30),
        (1.5, 1.5),
        (0, 0),
    ],
)
def test_a_duration_is_read_as_people_write_it(written, seconds):
    assert parse_duration(written) == seconds


@every_row(
    "wrong",
    ["", "MB", "-1", "1 2", "25 XB", "1e3", "١MB", True, -1, float("nan"), float("inf"), None, [], "9" * 30],
)
def test_what_is_no_size_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match=r"^(is not a size|'.*' is no unit|is larger)"):
        parse_size(wrong)


@every_row("wrong", ["", "s", "-1s", "5 minutes", "10:00", "5M", True, None, float("nan"), "101000w"])
def test_what_is_no_duration_is_refused_in_words(wrong):
    with pytest.raises(
        ValueError, match=r"^(is not a duration|'.*' is no unit|is longer|can be read in two ways)"
    ):
        parse_duration(wrong)


@every_row("digits", [100, 310, 400, 5000])
@every_row("read", [parse_size, parse_duration])
def test_a_number_with_hundreds_of_digits_is_too_large(read, digits):
    for wrong in ("9" * digits, "9" * digits + ".5", 10**digits):
        with pytest.raises(ValueError, match=r"^is (larger than any disk|longer than a hundred years)$"):
            read(wrong)


@given(st.integers(0, MAX_SIZE_BYTES))
def test_a_size_that_was_written_reads_back(amount):
    assert parse_size(format_size(amount)) == amount


@given(st.integers(0, int(MAX_DURATION_SECONDS)))
def test_a_duration_that_was_written_reads_back_to_the_second(seconds):
    assert parse_duration(format_duration(float(seconds))) == seconds


def test_the_shortest_form_is_written():
    assert [format_size(n) for n in (0, 1, 25_000_000, 2_000_000_000, 1024)] == [
        "0",
        "1",
        "25MB",
        "2GB",
        "1024",
    ]
    assert [format_duration(s) for s in (0.0, 30.0, 60.0, 600.0, 86400.0, 604800.0)] == [
        "0",
        "30s",
        "60s",
        "10m",
        "24h",
        "7d",
    ]
