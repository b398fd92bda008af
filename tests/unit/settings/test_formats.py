"""Names of accounts, contacts and topics.

Sizes and durations.
"""

from __future__ import annotations

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.mqtt import topics
from wx2mqtt.settings import formats
from wx2mqtt.settings.formats import (
    MAX_DURATION_SECONDS,
    MAX_SIZE_BYTES,
    format_duration,
    format_size,
    parse_duration,
    parse_quiet_hours,
    parse_size,
)


@every_row("name", ["home", "a", "0", "_", "a_b_9", "x" * 32])
def test_an_account_may_have_this_name(name):
    assert formats.account_fault(name) == ""


@every_row(
    "name", ["", "Home", "a-b", "a b", "家", "x" * 33, "a/b", "home\n", "٣", *sorted(topics.RESERVED_LEVELS)]
)
def test_an_account_may_not_have_this_name(name):
    assert formats.account_fault(name) != ""


def test_the_reserved_names_are_the_levels_that_the_topics_use():
    assert formats.RESERVED_ACCOUNTS == topics.RESERVED_LEVELS


@every_row("name", ["wife", "老婆", "👨‍👩‍👧", "a-b", "é", "x" * 64, "Öl", "a:b", "a@b"])
def test_a_contact_may_have_this_name(name):
    assert formats.topic_name_fault(name) == ""


@every_row(
    ("name", "words"),
    [
        ("", "empty"),
        ("filehelper", "file helper"),
        ("a/b", "cannot hold /; write 'a_b'"),
        ("a+b#", "cannot hold + #; write 'a_b_'"),
        ("$SYS", "cannot hold $; write '_SYS'"),
        ("a.b*c>d", "write 'a_b_c_d'"),
        ("a b", "write 'a_b'"),
        ("a\u3000b", "write 'a_b'"),
        ("a\x00b", "write 'a_b'"),
        ("a\u2028b", "write 'a_b'"),
        ("e\u0301", "composed form"),
        ("老" * 22, "64 bytes"),
        ("\ud800", "control characters"),
    ],
)
def test_a_contact_may_not_have_this_name_and_the_error_says_why(name, words):
    assert words in formats.topic_name_fault(name)


@given(st.text(min_size=1))
def test_a_name_that_passes_is_one_clean_topic_level(name):
    if formats.topic_name_fault(name) == "":
        assert len(name.encode()) <= 64
        assert not set(name) & set("/+#.*>$\x00 ")


@every_row("topic", ["wx", "wx/home", "家/微信", "a b", "wx/in"])
def test_a_base_topic_may_be_this(topic):
    assert formats.validate_topic(topic) == topic


@every_row("topic", ["", "/wx", "wx/", "a//b", "wx/+", "#", "$SYS/x", "a\x00", "x" * 201])
def test_a_base_topic_may_not_be_this(topic):
    with pytest.raises(ValueError, match=r"\w"):
        formats.validate_topic(topic)


@every_row(
    ("topic", "base", "meets"),
    [
        ("wx", "wx", True),
        ("wx/in", "wx", True),
        ("wx/out/a/b", "wx", True),
        ("wx/home", "wx", False),
        ("wx2", "wx", False),
        ("wx/inn", "wx", False),
        ("wx", "wx/home", False),
    ],
)
def test_a_topic_meets_a_base_only_where_the_base_publishes(topic, base, meets):
    assert formats.bases_overlap(topic, base) is meets
    assert formats.bases_overlap(base, topic) is meets


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(text):
    assert formats.printable(text).isprintable()
    assert not text.isprintable() or formats.printable(text) == text


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


@every_row("name", ["#", "a", "a/#", "+", "+/a", "a/+/b/#", "/", "a//b", "老婆/#"])
def test_this_is_a_filter_for_responses(name):
    assert formats.validate_topic_filter(name) == name


@every_row("name", ["", "$SYS/#", "$share/a/b", "a#", "a/#/b", "#/a", "##", "a+", "+a/b", "a\0", "x" * 1001])
def test_this_is_no_filter_for_responses(name):
    with pytest.raises(ValueError, match=r"\w"):
        formats.validate_topic_filter(name)


@pytest.mark.parametrize(
    ("written", "span"),
    [
        ("22:00-07:00", (time(22, 0), time(7, 0))),
        ("00:00-23:59", (time(0, 0), time(23, 59))),
        ("13:30-15:05", (time(13, 30), time(15, 5))),
    ],
)
def test_quiet_hours_are_two_times_of_the_day(written, span):
    assert parse_quiet_hours(written) == span


@every_row(
    "written",
    ["", "22-7", "22:00", "24:00-07:00", "22:60-07:00", "22:00-22:00", "22:00 - 07:00", "٢2:00-07:00"],
)
def test_other_quiet_hours_are_refused(written):
    with pytest.raises(ValueError, match="22:00-07:00"):
        parse_quiet_hours(written)
