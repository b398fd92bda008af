"""Requests for media: hosts and parameters; a locator holds no key of a session (webwx 2.16)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import FAMILY, SESSION, WIFE, entry
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.webwx.protocol.locators import (
    MediaCall,
    avatar_locator,
    fetch_request,
    message_locator,
    parse_call,
)
from wx2mqtt.wechat.webwx.protocol.requests import Request

ID = "7615282929538795099"


def asked(ref: MediaRef | None, ticket: str = "DT+/") -> Request:
    assert ref is not None
    call = parse_call(ref.locator)
    assert call is not None
    return fetch_request(SESSION, call, ref.locator, ticket)


def query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))


@every_row(
    ("call", "path", "fields"),
    [
        (MediaCall.IMAGE, "webwxgetmsgimg", {"MsgID": ID, "skey": SESSION.skey}),
        (MediaCall.THUMBNAIL, "webwxgetmsgimg", {"MsgID": ID, "skey": SESSION.skey, "type": "slave"}),
        (MediaCall.STICKER, "webwxgetmsgimg", {"MsgID": ID, "skey": SESSION.skey, "type": "big"}),
        (MediaCall.VOICE, "webwxgetvoice", {"msgid": ID, "skey": SESSION.skey}),
        (MediaCall.VIDEO, "webwxgetvideo", {"msgid": ID, "skey": SESSION.skey}),
        (MediaCall.MAP, "webwxgetpubliclinkimg", {"url": "xxx", "msgid": ID, "pictype": "location"}),
    ],
)
def test_by_the_id_of_the_message(call: MediaCall, path: str, fields: dict[str, str]) -> None:
    request = asked(message_locator(entry(), call))
    assert request.url.partition("?")[0] == f"https://wx2.qq.com/cgi-bin/mmwebwx-bin/{path}"
    assert query(request) == fields
    assert request.body is None
    assert request.headers["Referer"] == "https://wx2.qq.com/"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers.get("Range") == ("bytes=0-" if call is MediaCall.VIDEO else None)


def test_a_file_is_on_the_file_host_and_has_six_names() -> None:
    file_entry = entry(FromUserName=FAMILY, MediaId="@crypt_m", EncryFileName="%E6%8A%A5%2Epdf")
    request = asked(message_locator(file_entry, MediaCall.FILE))
    assert urlsplit(request.url).netloc == "file.wx2.qq.com"
    assert query(request) == {
        "sender": FAMILY,
        "mediaid": "@crypt_m",
        "encryfilename": "报.pdf",
        "fromuser": "211722515",
        "pass_ticket": "a+b",
        "webwx_data_ticket": "DT+/",
    }
    # As it came, and the ticket in its own encoding: not encoded twice.
    assert "encryfilename=%E6%8A%A5%2Epdf&" in request.url
    assert "&pass_ticket=a%2Bb&" in request.url


@pytest.mark.parametrize(
    ("handle", "seq", "path", "number"),
    [(WIFE, "664", "webwxgeticon", "664"), (FAMILY, "", "webwxgetheadimg", "0")],
)
def test_avatars(handle: str, seq: str, path: str, number: str) -> None:
    request = asked(avatar_locator(handle, seq))
    assert urlsplit(request.url).path.endswith(path)
    assert query(request) == {"seq": number, "username": handle, "skey": SESSION.skey}


def test_what_is_stored_holds_no_key_of_the_session() -> None:
    refs = [message_locator(entry(), call) for call in MediaCall] + [avatar_locator(WIFE, "1")]
    stored = " ".join(str(ref.locator) for ref in refs if ref)
    for secret in (SESSION.skey, SESSION.sid, SESSION.pass_ticket, SESSION.uin):
        assert secret not in stored


def test_a_message_without_an_id_has_no_bytes_that_could_be_asked_for() -> None:
    assert message_locator(entry(MsgId="", NewMsgId=0), MediaCall.IMAGE) is None


@pytest.mark.parametrize("locator", [{}, {"call": ""}, {"call": "hologram"}])
def test_a_locator_of_another_version(locator: dict[str, str]) -> None:
    assert parse_call(locator) is None


def test_what_cannot_be_written_does_not_fail() -> None:
    asked(MediaRef(locator={"call": "file", "sender": "\ud800", "mediaid": "&x=", "encryfilename": "#"}))
    for call in MediaCall:
        assert fetch_request(SESSION, call, {}, "").url.startswith("https://")
