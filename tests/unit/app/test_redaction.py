"""Values that must not get into a log, and values that must stay readable."""

from __future__ import annotations

import re
import time
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import is_in_proportion, repeated
from tests.support.rows import every_row
from wx2mqtt.app.redaction import (
    MAX_TEXT_CHARACTERS,
    MAX_TRACEBACK_LINES,
    SECRET_KEYS,
    clean_traceback,
    redact,
    redact_value,
)
from wx2mqtt.names import printable

SECRET = "Geheim0815"


@every_row(
    "text",
    [
        "@crypt_Geheim0815_abc",
        "skey=%40crypt_Geheim0815",
        "https://wx.qq.com/x?uuid=Geheim0815==&tip=0",
        "https://login.weixin.qq.com/l/Geheim0815==",
        "https://login.weixin.qq.com/qrcode/Geheim0815==",
        "https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=Geheim0815@qrticket_0&uuid=a",
        "ticket Geheim0815@qrticket_0",
        "pass_ticket=Geheim0815%3D&lang=en",
        "sid=Geheim0815&uin=1",
        "webwx_data_ticket=Geheim0815; Path=/",
        "webwx_auth_ticket=Geheim0815",
        '{"BaseRequest": {"Sid": "Geheim0815", "Skey": "", "DeviceID": "e1"}}',
        "{'wxsid': 'Geheim0815'}",
        "<pass_ticket>Geheim0815</pass_ticket>",
        "<skey>Geheim0815</skey>",
        "mqtt://me:Geheim0815@broker:1883",
        "mqtt://Geheim0815@broker",
        "Authorization: Bearer Geheim0815",
        "authorization: anything Geheim0815",
        "Bearer Geheim0815.abc",
        "Cookie: wxuin=1; wxsid=Geheim0815; other=Geheim0815",
        "Set-Cookie: wxsid=Geheim0815; Path=/",
        "password='Geheim0815'",
        'password = "Geheim0815"',
        "bot_token=Geheim0815",
        "context_token:Geheim0815",
        "aes_key=Geheim0815",
        "extspam=Geheim0815",
        "token 0123456789ab@im.bot:Geheim0815",
        "https://novac2c.cdn.weixin.qq.com/c2c/download?encrypted_query_param=Geheim0815&taskid=Geheim0815",
        "http://127.0.0.1:8070/c2c/upload?filekey=Geheim0815",
        "https://work.weixin.qq.com/ai/qc/c?s=Geheim0815",
        "/ai/qc/query_result?scode=Geheim0815",
        '{"data": {"scode": "Geheim0815"}}',
        "https://liteapp.weixin.qq.com/q/7GiQu1?qrcode=Geheim0815&bot_type=3",
        "/ilink/bot/get_qrcode_status?qrcode=Geheim0815&verify_code=Geheim0815",
        '{"get_updates_buf": "Geheim0815", "msgs": []}',
        '{"media": {"full_url": "Geheim0815", "encrypt_query_param": "Geheim0815"}}',
        "upload_param=Geheim0815",
        '{"typing_ticket":"Geheim0815"}',
        "key Geheim0815QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlq",
        "Go8F/Geheim0815IkFEokFCggwMDAwMDAwMRAGGvAESySibk50w5Wb3uTl2c2h64jV==",
    ],
)
def test_a_secret_inside_a_text_is_hidden(text):
    assert "eheim" not in redact(text)
    assert "eheim" not in str(redact_value("reason", text, message_text=True))
    assert "eheim" not in clean_traceback(f"Traceback\n  x\nValueError: {text}")


@every_row(
    "text",
    [
        "WeChat does not answer (HTTP 502)",
        "wx2mqtt.yaml:3: mqtt.password: is given here and in password_file",
        "cannot open /usr/lib/python3/dist-packages/wx2mqtt/wechat/webwx/channel.py",
        "topic wx/out/老婆 refused: Not authorized",
        "inside: 3, aside=4",
        "sha256 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "mqtts://broker.example:8883",
        "waits for a ticket",
        "the token is wrong",
    ],
)
def test_what_is_no_secret_stays_readable(text):
    assert redact(text) == text


@every_row("key", [*sorted(SECRET_KEYS), "Skey", "PASS_TICKET", "Set-Cookie", "web_password", "botToken"])
def test_the_value_of_a_secret_s_key_is_never_shown(key):
    for value in (SECRET, 815, SECRET.encode(), [SECRET], {"a": SECRET}):
        assert redact_value(key, value, message_text=True) == "***"
    assert redact_value("request", [{key: SECRET}], message_text=True) == [{key: "***"}]


def test_that_a_secret_is_missing_is_shown():
    assert [redact_value("token", value, message_text=False) for value in (None, "", False)] == [
        None,
        "",
        False,
    ]


@every_row("key", ["text", "content", "payload", "Text"])
def test_what_people_write_is_shown_only_when_allowed(key):
    assert redact_value(key, "开灯", message_text=False) == "<2 long>"
    assert redact_value(key, {"a": "开灯"}, message_text=False) == "<hidden>"
    assert redact_value(key, "开灯", message_text=True) == "开灯"
    assert redact_value("message", {"kind": "text", key: "开灯"}, message_text=False) == {
        "kind": "text",
        key: "<2 long>",
    }


class Colour(Enum):
    RED = "red"


def test_values_are_logged_as_plain_json():
    class WithSecretText:
        def __str__(self):
            return f"password={SECRET}"

    assert redact_value("a", 1.5, message_text=False) == 1.5
    assert redact_value("a", b"abc", message_text=False) == "<3 bytes>"
    assert redact_value("a", {1: (2, {3})}, message_text=False) == {"1": [2, [3]]}
    assert redact_value("a", Colour.RED, message_text=False) == "red"
    assert redact_value("a", WithSecretText(), message_text=False) == "password=***"
    assert redact_value("a", ValueError(f"skey={SECRET}"), message_text=False) == "ValueError: skey=***"


def test_depth_and_length_are_bounded():
    deep: list[object] = []
    deep.append(deep)
    assert "…" in str(redact_value("a", deep, message_text=False))
    assert len(str(redact_value("a", "x" * 10**6, message_text=False))) < MAX_TEXT_CHARACTERS + 100


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["a/", "A1b", "skey=", "@crypt_", "://a", "<skey>", "=" * 3, "Bearer ", "a@"]
)
def test_no_text_makes_redaction_slow(unit):
    started = time.process_time()
    redact(unit * (MAX_TEXT_CHARACTERS // len(unit)))
    assert time.process_time() - started < 1


def test_of_a_traceback_with_very_many_lines_the_last_are_kept():
    assert (
        clean_traceback("\n" * 30_000 + "ValueError: last")
        == "\n" * (MAX_TRACEBACK_LINES - 1) + "ValueError: last"
    )


def test_of_a_long_traceback_the_end_is_kept():
    text = clean_traceback("first\n" + "  row\n" * 10_000 + "ValueError: last")
    assert text.endswith("ValueError: last")
    assert len(text) < 21_000


@given(st.text())
def test_a_printable_text_is_one_line_and_moves_no_cursor(text):
    assert printable(text).isprintable()
    assert len(printable(text).splitlines()) <= 1


@given(st.text(st.sampled_from("aZ0=:&;/@<>\"' _"), max_size=60))
def test_redacting_twice_is_redacting_once_as_far_as_secrets_go(text):
    assert not re.search(r"://[^\s/@]+@(?<!\*\*\*@)", redact(redact(text)))


@pytest.mark.parametrize("key", ["id", "command"])
def test_the_id_of_a_command_stays_whole_so_that_its_result_is_found(key: str) -> None:
    command_id = "bell-01KC3Q8YV5M6XW2T9ZB4R7HNDE-picture-me"
    assert redact_value(key, command_id, message_text=False) == command_id
    assert redact_value(key, f"a skey={SECRET}", message_text=False) == "a skey=***"
    assert redact_value("answer", {key: f"{SECRET}{command_id}"}, message_text=False) == {key: "***"}


@every_row(
    ("text", "redacted"),
    [
        ("a ticket Ge.h%40-1=@qrticket_0 b", "a ticket *** b"),
        ("A@qrticket_0B@qrticket_1", "******"),
        ("A%40qrticket_0 @qrticket_1", "*** @qrticket_1"),
        ("票据@qrticket_22;", "***;"),
    ],
)
def test_tickets_of_qr_codes_are_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "%",
        " ",
        "a@",
        "@qrticket_0",
        "ab@qrticket_",
        "skey=",
        'skey="',
        "<skey>",
        "://a",
        "cookie: ",
        "aB3",
    ],
)
def test_a_long_text_takes_no_more_than_in_proportion(part: str) -> None:
    """100 kB of letters took 30 s: a ticket was searched from each of them."""
    assert is_in_proportion(lambda size: redact(repeated(part, size)), 100_000)
