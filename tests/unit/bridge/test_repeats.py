"""Fingerprints are equal for commands that ask for the same, and marks for deliveries that the broker repeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.aio import MAX_BYTES_ON_LOOP
from wx2mqtt.bridge import wechat_calls
from wx2mqtt.bridge.repeats import (
    checksum_of_content,
    delivery_mark,
    fingerprint,
    is_large,
    payload_fingerprint,
)
from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.model import Button, Command
from wx2mqtt.mqtt.broker import Delivery


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


def test_an_id_belongs_to_its_sender_and_markdown_and_buttons_are_content():
    assert not have_same_fingerprint({"text": "x"}, {"text": "x", "sender": "grafana"})
    assert not have_same_fingerprint({"text": "x", "sender": "nas"}, {"text": "x", "sender": "grafana"})
    assert not have_same_fingerprint({"text": "x"}, {"text": "x", "markdown": True})
    buttons = (Button(text="Yes", key="yes"),)
    assert not have_same_fingerprint({"text": "x"}, {"text": "x", "buttons": buttons})


def test_all_bytes_count_of_a_command_that_could_not_be_parsed():
    assert payload_fingerprint(b'{"text": 1}') == payload_fingerprint(b'{"text": 1}')
    assert payload_fingerprint(b'{"text": 1}') != payload_fingerprint(b'{"text":1}')


@every_row(
    ("fields", "payload", "has_checksum"),
    [
        ({"kind": "image"}, b"bytes", True),
        ({"kind": "image", "data": "Ynl0ZXM="}, b'{"data": "Ynl0ZXM="}', True),
        ({"kind": "image", "path": "/a.png"}, b'{"path": "/a.png"}', False),
        ({"kind": "image"}, b"", False),
    ],
)
def test_a_checksum_is_made_of_the_bytes_that_a_command_brings(
    fields: dict[str, Any], payload: bytes, has_checksum: bool
):
    """The file at a path may be gone when the command comes again."""
    checksum = checksum_of_content(Command(user="wife", **fields), payload)
    assert bool(checksum) is has_checksum
    if "data" in fields:
        assert checksum == checksum_of_content(Command(user="wife", **fields), b"another form of the JSON")


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"dup": True}, True),
        ({"mid": 2}, False),
        ({"topic": "wx/out/mom"}, False),
        ({"payload": b"other"}, False),
        ({"correlation": b"1"}, False),
    ],
)
def test_a_delivery_is_the_same_by_packet_id_topic_payload_and_correlation_data(
    change: dict[str, Any], is_same: bool
):
    delivery = Delivery(
        topic="wx/out/wife", payload=b"hi", mid=1, dup=False, retain=False, connection_number=1
    )
    mark = delivery_mark(delivery, 1)
    other = delivery_mark(replace(delivery, **change), 1)
    assert (replace(other, dup=False) == mark) is is_same
    assert other.dup is bool(change.get("dup"))
    assert delivery_mark(delivery, 2) != mark, "packet ids are those of a session"


def test_only_a_payload_that_would_hold_up_the_loop_is_large():
    assert not is_large(bytes(MAX_BYTES_ON_LOOP))
    assert is_large(bytes(MAX_BYTES_ON_LOOP + 1))


def test_a_key_is_digits_and_unlike_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wechat_calls, "now_ms", lambda: 1_795_600_800_000)  # many are accepted in one moment
    keys = {new_key() for _ in range(5000)}
    assert all(key.isdigit() and 10 <= len(key) <= 20 for key in keys)
    assert len(keys) == 5000
