"""JSON of servers: lenient where nothing is lost, and an `Unreadable` for all that is no object."""

from __future__ import annotations

import pytest

from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b'"x"',
        b"null",
        b'{"a":',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        answers.parsed(body)


def test_json_is_utf8_whatever_comes_in_it() -> None:
    assert answers.parsed(b'\xef\xbb\xbf{"a": "x\xffy\nz\x01", "n": NaN}') == {
        "a": "x\ufffdy\nz\x01",
        "n": None,
    }


def test_halves_of_surrogate_pairs_do_not_get_through() -> None:
    body = rb'{"a\ud800": ["\ud83d", {"b": "\ud83d\ude00"}, 5]}'
    assert answers.parsed(body) == {"a\ufffd": ["\ufffd", {"b": "😀"}, 5]}


def test_big_numbers_stay_exact() -> None:
    assert answers.parsed(b'{"NewMsgId": 7615282929538795099}') == {"NewMsgId": 7615282929538795099}


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    assert answers.well_formed("a\ud83d☀") == "a\ufffd☀"
    assert answers.well_formed("plain") == "plain"
