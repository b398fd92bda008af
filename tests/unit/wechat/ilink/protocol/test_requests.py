"""Requests: exact headers and bodies (ilink 2, 3, 6, 8)."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import KEY, KEY44, ME
from wx2mqtt.model import Kind, SendKey
from wx2mqtt.wechat.ilink.protocol import endpoints, requests
from wx2mqtt.wechat.ilink.protocol.requests import Upload

BASE = "https://ilinkai.weixin.qq.com"
NAME_AND_VERSION = re.compile(r"[\w.-]{1,32}/[\w.+-]{1,32}", re.ASCII)


def upload(kind: Kind = Kind.FILE, size: int = 5) -> Upload:
    md5 = "5d41402abc4b2a76b9719d911017c592"
    return Upload(kind=kind, to=ME, name="a.pdf", size=size, md5=md5, key=KEY, filekey="f" * 32)


def body(request: requests.Request) -> dict[str, Any]:
    assert request.body is not None
    found = json.loads(request.body)
    assert isinstance(found, dict)
    return found


def test_a_call_brings_all_headers_and_says_who_we_are() -> None:
    request = requests.call_request(BASE, endpoints.GET_UPDATES, {"get_updates_buf": ""}, "a:b", 305419896)
    assert request.url == f"{BASE}/ilink/bot/getupdates"
    assert request.headers == {
        "iLink-App-Id": "bot",
        "iLink-App-ClientVersion": "132105",
        "Content-Type": "application/json",
        "AuthorizationType": "ilink_bot_token",
        "X-WECHAT-UIN": "MzA1NDE5ODk2",
        "Authorization": "Bearer a:b",
    }
    info = body(request).pop("base_info")
    assert info["channel_version"] == "2.4.9"
    assert NAME_AND_VERSION.fullmatch(info["bot_agent"])


def test_the_largest_uin() -> None:
    request = requests.call_request(BASE, endpoints.SEND, {}, "t", 2**32 - 1)
    assert request.headers["X-WECHAT-UIN"] == "NDI5NDk2NzI5NQ=="


def test_a_code_is_requested_without_authorization_and_with_the_saved_tokens() -> None:
    request = requests.qr_code_request(BASE, ("b:2", "a:1"), 5)
    assert request.url == f"{BASE}/ilink/bot/get_bot_qrcode?bot_type=3"
    assert "Authorization" not in request.headers
    assert body(request) == {"local_token_list": ["b:2", "a:1"]}


def test_a_status_is_asked_for_with_nothing_but_the_app_s_headers() -> None:
    request = requests.status_request(BASE, "5f/1c&x", "")
    assert request.url == f"{BASE}/ilink/bot/get_qrcode_status?qrcode=5f%2F1c%26x"
    assert request.headers == {"iLink-App-Id": "bot", "iLink-App-ClientVersion": "132105"}
    assert request.body is None
    assert requests.status_request(BASE, "a", "123456").url.endswith("?qrcode=a&verify_code=123456")


def test_a_message_has_one_item_and_no_times() -> None:
    found = requests.message_body(ME, requests.text_item("ok ☀"), SendKey("17900"), "AARz")["msg"]
    assert found == {
        "from_user_id": "",
        "to_user_id": ME,
        "client_id": "wx2mqtt:17900",
        "message_type": 2,
        "message_state": 2,
        "item_list": [{"type": 1, "text_item": {"text": "ok ☀"}}],
        "context_token": "AARz",
    }
    assert "context_token" not in requests.message_body(ME, {}, SendKey("1"), "")["msg"]  # type: ignore[operator]


def test_a_text_goes_out_as_utf8() -> None:
    request = requests.call_request(BASE, endpoints.SEND, {"text": "开灯 ☀"}, "t", 1)
    assert request.body is not None
    assert "开灯 ☀".encode() in request.body


def test_halves_of_characters_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        requests.call_request(BASE, endpoints.SEND, {"text": "\ud83d"}, "t", 1)


@pytest.mark.parametrize(("kind", "number"), [(Kind.IMAGE, 1), (Kind.VIDEO, 2), (Kind.FILE, 3)])
def test_a_place_is_asked_for_with_both_sizes(kind: Kind, number: int) -> None:
    assert requests.upload_url_body(upload(kind)) == {
        "filekey": "f" * 32,
        "media_type": number,
        "to_user_id": ME,
        "rawsize": 5,
        "rawfilemd5": "5d41402abc4b2a76b9719d911017c592",
        "filesize": 16,
        "no_need_thumb": True,
        "aeskey": KEY.hex(),
    }


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (Kind.IMAGE, {"type": 2, "image_item": {"mid_size": 16}}),
        (Kind.VIDEO, {"type": 5, "video_item": {"video_size": 16}}),
        (Kind.FILE, {"type": 4, "file_item": {"file_name": "a.pdf", "len": "5"}}),
    ],
)
def test_a_file_is_named_exactly_as_it_must(kind: Kind, item: dict[str, Any]) -> None:
    found: Any = requests.media_item(upload(kind), "P=")
    ((name, sub),) = ((key, value) for key, value in found.items() if key != "type")
    assert sub.pop("media") == {"encrypt_query_param": "P=", "aes_key": KEY44, "encrypt_type": 1}
    assert {"type": found["type"], name: sub} == item


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_address_says_whatever_it_must(param: str, filekey: str) -> None:
    param, filekey = param.encode("utf-8", "replace").decode(), filekey.encode("utf-8", "replace").decode()
    query = parse_qs(
        urlsplit(requests.upload_url("https://c/c2c", param, filekey)).query, keep_blank_values=True
    )
    assert query == {"encrypted_query_param": [param], "filekey": [filekey]}
    query = parse_qs(urlsplit(requests.download_url("https://c/c2c", param)).query, keep_blank_values=True)
    assert query == {"encrypted_query_param": [param]}


def test_nothing_secret_is_shown() -> None:
    shown = [
        requests.call_request(BASE, endpoints.SEND, {"a": "SECRET"}, "SECRET", 5),
        requests.status_request(BASE, "SECRET", "SECRET"),
        requests.qr_code_request(BASE, ("SECRET",), 5),
        upload(),
    ]
    assert "SECRET" not in repr(shown)
    assert KEY.hex() not in repr(shown)
    assert base64.b64encode(KEY).decode() not in repr(shown)


def test_another_version_is_in_headers_and_body() -> None:
    version = requests.ClientVersion("3.10.255")
    number = str(3 << 16 | 10 << 8 | 255)
    call = requests.call_request(BASE, endpoints.SEND, {}, "t", 1, version)
    code = requests.qr_code_request(BASE, (), 1, version)
    poll = requests.status_request(BASE, "a", "", version)
    assert {request.headers["iLink-App-ClientVersion"] for request in (call, code, poll)} == {number}
    assert call.body is not None
    assert json.loads(call.body)["base_info"]["channel_version"] == "3.10.255"
