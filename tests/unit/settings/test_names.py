"""Names of accounts, contacts and topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.mqtt import topics
from wx2mqtt.settings import names


@pytest.mark.parametrize("name", ["home", "a", "0", "_", "a_b_9", "x" * 32])
def test_an_account_may_have_this_name(name):
    assert names.account_fault(name) == ""


@pytest.mark.parametrize(
    "name", ["", "Home", "a-b", "a b", "家", "x" * 33, "a/b", "home\n", "٣", *sorted(topics.RESERVED)]
)
def test_an_account_may_not_have_this_name(name):
    assert names.account_fault(name) != ""


def test_the_reserved_names_are_the_levels_that_the_topics_use():
    assert names.RESERVED_ACCOUNTS == topics.RESERVED


@pytest.mark.parametrize("name", ["wife", "老婆", "👨‍👩‍👧", "a-b", "é", "x" * 64, "Öl", "a:b", "a@b"])
def test_a_contact_may_have_this_name(name):
    assert names.level_fault(name) == ""


@pytest.mark.parametrize(
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
def test_a_contact_may_not_have_this_name_and_is_told_why(name, words):
    assert words in names.level_fault(name)


@given(st.text(min_size=1))
def test_a_name_that_passes_is_one_clean_topic_level(name):
    if names.level_fault(name) == "":
        assert len(name.encode()) <= 64
        assert not set(name) & set("/+#.*>$\x00 ")


@pytest.mark.parametrize("topic", ["wx", "wx/home", "家/微信", "a b", "wx/in"])
def test_a_base_topic_may_be_this(topic):
    assert names.topic_fault(topic) == ""


@pytest.mark.parametrize("topic", ["", "/wx", "wx/", "a//b", "wx/+", "#", "$SYS/x", "a\x00", "x" * 201])
def test_a_base_topic_may_not_be_this(topic):
    assert names.topic_fault(topic) != ""


@pytest.mark.parametrize(
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
    assert names.within(topic, base) is meets


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(text):
    assert names.printable(text).isprintable()
    assert not text.isprintable() or names.printable(text) == text
