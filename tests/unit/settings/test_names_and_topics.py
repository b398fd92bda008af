"""Names of accounts and contacts, topics, and topic filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.mqtt import topics
from wx2mqtt.settings import names_and_topics


@every_row("name", ["home", "a", "0", "_", "a_b_9", "x" * 32])
def test_an_account_may_have_this_name(name):
    assert names_and_topics.account_fault(name) == ""


@every_row(
    "name", ["", "Home", "a-b", "a b", "家", "x" * 33, "a/b", "home\n", "٣", *sorted(topics.RESERVED_LEVELS)]
)
def test_an_account_may_not_have_this_name(name):
    assert names_and_topics.account_fault(name) != ""


def test_the_reserved_names_are_the_levels_that_the_topics_use():
    assert names_and_topics.RESERVED_ACCOUNTS == topics.RESERVED_LEVELS


@every_row("name", ["wife", "老婆", "👨‍👩‍👧", "a-b", "é", "x" * 64, "Öl", "a:b", "a@b"])
def test_a_contact_may_have_this_name(name):
    assert names_and_topics.topic_name_fault(name) == ""


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
    assert words in names_and_topics.topic_name_fault(name)


@given(st.text(min_size=1))
def test_a_name_that_passes_is_one_clean_topic_level(name):
    if names_and_topics.topic_name_fault(name) == "":
        assert len(name.encode()) <= 64
        assert not set(name) & set("/+#.*>$\x00 ")


@every_row("topic", ["wx", "wx/home", "家/微信", "a b", "wx/in"])
def test_a_base_topic_may_be_this(topic):
    assert names_and_topics.validate_topic(topic) == topic


@every_row("topic", ["", "/wx", "wx/", "a//b", "wx/+", "#", "$SYS/x", "a\x00", "x" * 201])
def test_a_base_topic_may_not_be_this(topic):
    with pytest.raises(ValueError, match=r"\w"):
        names_and_topics.validate_topic(topic)


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
    assert names_and_topics.bases_overlap(topic, base) is meets
    assert names_and_topics.bases_overlap(base, topic) is meets


@every_row("name", ["#", "a", "a/#", "+", "+/a", "a/+/b/#", "/", "a//b", "老婆/#"])
def test_this_is_a_filter_for_responses(name):
    assert names_and_topics.validate_topic_filter(name) == name


@every_row("name", ["", "$SYS/#", "$share/a/b", "a#", "a/#/b", "#/a", "##", "a+", "+a/b", "a\0", "x" * 1001])
def test_this_is_no_filter_for_responses(name):
    with pytest.raises(ValueError, match=r"\w"):
        names_and_topics.validate_topic_filter(name)
