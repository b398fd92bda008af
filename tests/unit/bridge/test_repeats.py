"""Fingerprints are equal for commands that ask for the same, and marks for deliveries that the broker repeats."""

from __future__ import annotations

from wx2mqtt.bridge.repeats import fingerprint
from wx2mqtt.model import Command


def have_same_fingerprint(first, second):
    return fingerprint(Command(**{"user": "wife", **first})) == fingerprint(
        Command(**{"user": "wife", **second})
    )


def test_the_fingerprint_depends_on_content_and_recipient():
    assert have_same_fingerprint(
        {"text": "x"}, {"text": "x", "ttl": 5.0, "priority": "high", "id": "b", "urgent": True}
    )
    assert have_same_fingerprint({"text": "x", "user": "e\u0301"}, {"text": "x", "user": "\u00e9"})
    assert not have_same_fingerprint({"text": "x"}, {"text": "y"})
    assert not have_same_fingerprint({"text": "x"}, {"text": "x", "user": "mom"})
    assert not have_same_fingerprint({"text": "x"}, {"text": "x", "mention": ("mom",)})
    assert not have_same_fingerprint({"kind": "file", "path": "a"}, {"kind": "file", "url": "a"})
    assert fingerprint(Command(user="wife", kind="file"), "aa") != fingerprint(
        Command(user="wife", kind="file"), "bb"
    )
    assert not have_same_fingerprint(
        {"kind": "recall", "message_id": "1"}, {"kind": "recall", "message_id": "2"}
    )
