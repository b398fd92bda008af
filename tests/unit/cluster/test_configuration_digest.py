"""Digests show in which settings two instances differ, and show no value."""

from __future__ import annotations

import json

from wx2mqtt.cluster.configuration_digest import digest_of, named_keys

KEY = b"k" * 32
HOME = {"accounts": {"home": {"backend": "ilink", "send": {"allow": ["*"]}, "endpoint": None}}}


def test_each_value_has_a_digest_by_its_key_and_defaults_have_none():
    assert set(json.loads(digest_of(HOME, KEY).text)) == {"accounts.home.backend", "accounts.home.send.allow"}


def test_equal_settings_are_equal_as_a_whole_and_others_are_not():
    other = json.loads(json.dumps(HOME))
    assert digest_of(other, KEY).whole == digest_of(HOME, KEY).whole
    other["accounts"]["home"]["send"]["allow"] = ["wife"]
    changed = digest_of(other, KEY)
    assert changed.whole != digest_of(HOME, KEY).whole
    before, after = json.loads(digest_of(HOME, KEY).text), json.loads(changed.text)
    assert {key for key in before if after[key] != before[key]} == {"accounts.home.send.allow"}


def test_without_the_key_nobody_can_try_passwords_against_a_digest():
    settings = {"accounts": {"home": {"fallback": "secret"}}}
    assert digest_of(settings, KEY).text != digest_of(settings, b"x" * 32).text
    assert "secret" not in digest_of(settings, KEY).text


def test_a_warning_names_some_keys_and_counts_the_others():
    assert named_keys(["a", "b"]) == "a, b"
    assert named_keys(list("abcdefg")) == "a, b, c, d, e and 2 more"
