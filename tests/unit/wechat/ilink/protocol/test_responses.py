"""Answers: the error code, the QR code, and values of wrong types."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.wechat.test_json_reader import ANYTHING
from wx2mqtt.wechat.ilink.protocol import responses
from wx2mqtt.wechat.ilink.protocol.codes import ScanStatus
from wx2mqtt.wechat.ilink.protocol.message_ids import read_id


@every_row(
    ("answer", "code"),
    [
        ({}, 0),
        ({"ret": 0}, 0),
        ({"ret": None, "errcode": 0}, 0),
        ({"ret": -2}, -2),
        ({"errcode": -2}, -2),
        ({"ret": 0, "errcode": -2}, -2),
        ({"ret": "-14"}, -14),
        ({"errcode": -14, "errmsg": "session timeout"}, -14),
        ({"ret": -1, "errcode": -14}, -14),
        ({"ret": -14, "errcode": 0}, -14),
        ({"ret": -2, "errcode": -1}, -2),
    ],
)
def test_the_number_counts_wherever_it_stands(answer: dict[str, Any], code: int) -> None:
    assert responses.error_code(answer) == code


def test_what_the_server_says_is_one_short_line() -> None:
    assert responses.error_text({"errmsg": " prepare\n failed\x1b[31m "}) == "prepare  failed [31m"
    assert len(responses.error_text({"errmsg": "too much " * 500})) == 100
    assert responses.error_text({"errmsg": {"a": 1}}) == ""


GOOD = {"ret": 0, "qrcode": "5f1c", "qrcode_img_content": "https://liteapp.weixin.qq.com/q/7?qrcode=5f1c"}


@every_row(
    "secret",
    [
        "0123456789ab@im.bot:06aa5e07f11d4ab0",
        "AARzJW" + "k9" * 65,
        "00112233445566778899aabbccddeeff",
        "ABEiM0RVZneImaq7zN3u/w==",
        "https://novac2c.cdn.weixin.qq.com/c2c/upload?encrypted_query_param=a1",
        "x1" * 3000,
    ],
)
def test_what_the_server_says_of_a_secret_is_not_repeated(secret: str) -> None:
    words = f"bad token {secret} for 0123456789ab@im.bot"
    assert responses.error_text({"errmsg": words}) == "bad token … for 0123456789ab@im.bot"
    assert responses.read_scan_answer({"status": secret}).status == "…"


def test_a_code() -> None:
    result = responses.read_qr_code(GOOD)
    assert (result.code_id, result.content) == ("5f1c", "https://liteapp.weixin.qq.com/q/7?qrcode=5f1c")
    assert "5f1c" not in repr(result)


@every_row(
    "changes",
    [
        {"ret": 2},
        {"qrcode": ""},
        {"qrcode_img_content": None},
        {"qrcode_img_content": "x" * 3000},
        {"qrcode": "a" * 9999},
        {"qrcode_img_content": "a\nb"},
    ],
)
def test_what_is_no_code_is_none(changes: dict[str, Any]) -> None:
    result = responses.read_qr_code({**GOOD, **changes})
    assert (result.code_id, result.content) == ("", "")


@every_row("scan", ScanStatus)
def test_every_status_is_known(scan: ScanStatus) -> None:
    assert responses.read_scan_answer({"status": str(scan)}).scan is scan


def test_a_status_that_is_not_known_is_none() -> None:
    result = responses.read_scan_answer({"status": "dancing\x1b"})
    assert (result.scan, result.status) == (None, "dancing")


def test_a_confirmed_login_shows_no_secret() -> None:
    result = responses.read_scan_answer(
        {"status": "confirmed", "bot_token": "a:SECRET", "ilink_bot_id": "SECRET"}
    )
    assert result.token == "a:SECRET"
    assert "SECRET" not in repr(result)


@every_row(
    ("value", "hold"),
    [(35_000, 35.0), (1, 0.001), (0, None), (-5, None), (10**9, 60.0), ("x", None), (None, None)],
)
def test_how_long_the_server_holds_a_poll_is_believed_within_reason(
    value: object, hold: float | None
) -> None:
    assert responses.read_updates({"longpolling_timeout_ms": value}).hold_seconds == hold


def test_no_news_is_no_error() -> None:
    result = responses.read_updates({})
    assert (result.messages, result.buf, result.unreadable_count) == ([], "", 0)
    assert responses.read_updates({"msgs": [5, {}, None]}).unreadable_count == 2


def test_a_ticket_counts_only_where_all_is_well() -> None:
    assert responses.read_typing_ticket({"ret": 0, "typing_ticket": "T"}) == "T"
    assert responses.read_typing_ticket({"ret": -4, "typing_ticket": "T"}) == ""


@given(
    st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["ret", "errcode", "msgs", "status", "errmsg"]), ANYTHING
    )
)
def test_no_answer_makes_a_reader_fail(answer: dict[str, Any]) -> None:
    result = json.loads(json.dumps(answer))
    for reader in (
        responses.error_code,
        responses.error_text,
        responses.read_qr_code,
        responses.read_scan_answer,
        responses.read_updates,
        lambda answer: read_id(answer, "message_id"),
        responses.read_upload_url,
        responses.read_typing_ticket,
    ):
        reader(result)
