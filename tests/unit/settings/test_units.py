"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.settings.units import LARGEST_SIZE, LONGEST, duration, size, write_duration, write_size


@pytest.mark.parametrize(
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
    assert size(written) == amount


@pytest.mark.parametrize(
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
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "wrong",
    ["", "MB", "-1", "1 2", "25 XB", "1e3", "١MB", True, -1, float("nan"), float("inf"), None, [], "9" * 30],
)
def test_what_is_no_size_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match=r"^(is not a size|'.*' is no unit|is larger)"):
        size(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "s", "-1s", "5 minutes", "10:00", "5M", True, None, float("nan"), "101000w"]
)
def test_what_is_no_duration_is_refused_in_words(wrong):
    with pytest.raises(
        ValueError, match=r"^(is not a duration|'.*' is no unit|is longer|can be read in two ways)"
    ):
        duration(wrong)


@given(st.integers(0, LARGEST_SIZE))
def test_a_size_that_was_written_reads_back(amount):
    assert size(write_size(amount)) == amount


@given(st.integers(0, int(LONGEST)))
def test_a_duration_that_was_written_reads_back_to_the_second(seconds):
    assert duration(write_duration(float(seconds))) == seconds


def test_the_shortest_form_is_written():
    assert [write_size(n) for n in (0, 1, 25_000_000, 2_000_000_000, 1024)] == [
        "0",
        "1",
        "25MB",
        "2GB",
        "1024",
    ]
    assert [write_duration(s) for s in (0.0, 30.0, 60.0, 600.0, 86400.0, 604800.0)] == [
        "0",
        "30s",
        "60s",
        "10m",
        "24h",
        "7d",
    ]
