"""Requests that send messages and upload files match the protocol (webwx 2.12, 2.13, 2.14)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.forms import read_form
from tests.unit.wechat.webwx.request_parts import (
    BASE_REQUEST,
    DESKTOP_SESSION,
    NOW,
    SESSION,
    B,
    base_url,
    body,
    query,
)
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind, SendKey
from wx2mqtt.wechat.webwx.protocol import media_requests
from wx2mqtt.wechat.webwx.protocol.markup import parse_plain_xml
from wx2mqtt.wechat.webwx.protocol.media_requests import UPLOAD_PART_BYTES, Upload, Uploaded
from wx2mqtt.wechat.webwx.protocol.requests import Request

KEY = SendKey("17000000000001234")
TO = Handle("@@f00d")
UPLOAD = Upload(
    number=3,
    started_ms=NOW,
    kind=Kind.FILE,
    name="季度报告.pdf",
    mime="application/pdf",
    size=UPLOAD_PART_BYTES * 2 + 1,
    md5="0123456789abcdef0123456789abcdef",
    to=TO,
)


def draft(kind: Kind, name: str, mime: str, size: int = 5) -> Draft:
    blob = Blob(sha256="5e", size=size, mime=mime, path="media/5e/5e")
    return Draft(chat=TO, kind=kind, attachment=Attachment(file=Path("/nowhere"), name=name, blob=blob))


def message(request: Request) -> dict[str, Any]:
    sent = body(request)
    assert sent["BaseRequest"] == BASE_REQUEST
    assert sent["Scene"] == 0
    assert set(sent) == {"BaseRequest", "Msg", "Scene"}
    found = sent["Msg"]
    assert isinstance(found, dict)
    framed = {key: found.pop(key) for key in ("FromUserName", "ToUserName", "LocalID", "ClientMsgId")}
    assert framed == {"FromUserName": "@me", "ToUserName": TO, "LocalID": KEY, "ClientMsgId": KEY}
    return found


def test_send_text_is_raw_utf8_with_one_key() -> None:
    text = Draft(chat=TO, kind=Kind.TEXT, text='开灯 ☀ </b> "x"\n😀')
    request = media_requests.send_text_request(SESSION, text, KEY)
    assert base_url(request) == f"{B}/webwxsendmsg"
    assert query(request) == {"lang": "zh_CN", "pass_ticket": "aB+c="}
    assert request.body is not None
    assert "开灯 ☀ </b>".encode() in request.body
    assert "😀".encode() in request.body
    assert b"\\u" not in request.body
    assert message(request) == {"Type": 1, "Content": '开灯 ☀ </b> "x"\n😀'}


def test_text_that_is_no_unicode_is_not_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        media_requests.send_text_request(SESSION, Draft(chat=TO, kind=Kind.TEXT, text="\ud800"), KEY)


def test_a_mention_is_a_name_in_the_text_and_a_handle_beside_it() -> None:
    text = "@老妈\u2005@Bob B\u2005吃饭了"
    both = Draft(chat=TO, kind=Kind.TEXT, text=text, mention=(Handle("@mom"), Handle("@bob")))
    assert message(media_requests.send_text_request(SESSION, both, KEY)) == {
        "Type": 1,
        "Content": text,
        "MsgSource": (
            "<msgsource><atusername>@mom,@bob</atusername><atchatroomname>@@f00d</atchatroomname></msgsource>"
        ),
    }


@pytest.mark.parametrize(
    ("kind", "call", "extra", "wanted"),
    [
        (Kind.IMAGE, "webwxsendmsgimg", {"fun": "async", "f": "json"}, {"Type": 3}),
        (Kind.VIDEO, "webwxsendvideomsg", {"fun": "async", "f": "json"}, {"Type": 43}),
        (Kind.STICKER, "webwxsendemoticon", {"fun": "sys"}, {"Type": 47, "EmojiFlag": 2}),
    ],
)
def test_media_goes_out_by_its_own_call(
    kind: Kind, call: str, extra: dict[str, str], wanted: dict[str, int]
) -> None:
    for session in (SESSION, DESKTOP_SESSION):
        request = media_requests.send_media_request(
            session, draft(kind, "x", "a/b"), KEY, Uploaded(media_id="@crypt_M")
        )
        assert base_url(request) == f"{B}/{call}"
        assert query(request) == {**extra, "lang": "zh_CN", "pass_ticket": "aB+c="}
        assert message(request) == {**wanted, "Content": "", "MediaId": "@crypt_M"}


def test_a_file_is_an_app_message_on_one_line() -> None:
    request = media_requests.send_media_request(
        SESSION,
        draft(Kind.FILE, "a <b> & 'c'\n.tar.gz", "application/gzip", size=77),
        KEY,
        Uploaded(media_id="@crypt_<&>"),
    )
    assert base_url(request) == f"{B}/webwxsendappmsg"
    assert query(request) == {"fun": "async", "f": "json", "lang": "zh_CN", "pass_ticket": "aB+c="}
    sent = message(request)
    assert sent.pop("Type") == 6
    assert set(sent) == {"Content"}
    assert "\n" not in sent["Content"]
    assert sent["Content"].startswith(
        "<appmsg appid='wxeb7ec651dd0aefa9' sdkver=''><title>a &lt;b&gt; &amp; 'c'.tar.gz<"
    )
    xml = parse_plain_xml(sent["Content"])
    assert (xml.text("title"), xml.text("type")) == ("a <b> & 'c'.tar.gz", "6")
    assert xml.text("appattach/totallen") == "77"
    assert xml.text("appattach/attachid") == "@crypt_<&>"
    assert xml.text("appattach/fileext") == "gz"


@every_row(("name", "ending"), [("a", ""), ("a.报告", "报告"), ("v1.2 & more", "2 & more"), ("a.PDF", "PDF")])
def test_the_extension_is_what_the_official_client_takes_for_it(name: str, ending: str) -> None:
    uploaded = Uploaded(media_id="@crypt_M")
    request = media_requests.send_media_request(SESSION, draft(Kind.FILE, name, "a/b"), KEY, uploaded)
    assert parse_plain_xml(message(request)["Content"]).text("appattach/fileext") == ending


def test_a_large_file_carries_the_signature_of_its_announcement() -> None:
    uploaded = Uploaded(media_id="@crypt_M", signature="SIG")
    request = media_requests.send_media_request(SESSION, draft(Kind.FILE, "a", "x/y"), KEY, uploaded)
    assert message(request)["Signature"] == "SIG"


def test_in_desktop_mode_a_file_has_no_app_id() -> None:
    uploaded = Uploaded(media_id="@crypt_M")
    request = media_requests.send_media_request(DESKTOP_SESSION, draft(Kind.FILE, "a", "x/y"), KEY, uploaded)
    assert query(request)["mod"] == "desktop"
    assert message(request)["Content"].startswith("<appmsg appid='' sdkver=''>")


def test_a_large_file_is_announced() -> None:
    request = media_requests.check_upload_request(SESSION, UPLOAD)
    assert base_url(request) == f"{B}/webwxcheckupload"
    assert query(request) == {"lang": "zh_CN", "pass_ticket": "aB+c="}
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "FileMd5": UPLOAD.md5,
        "FileName": "季度报告.pdf",
        "FileSize": UPLOAD_PART_BYTES * 2 + 1,
        "FileType": 7,
        "FromUserName": "@me",
        "ToUserName": TO,
    }


MEDIA_REQUEST = {
    "UploadType": 2,
    "BaseRequest": BASE_REQUEST,
    "ClientMediaId": NOW,
    "TotalLen": UPLOAD_PART_BYTES * 2 + 1,
    "StartPos": 0,
    "DataLen": UPLOAD_PART_BYTES * 2 + 1,
    "MediaType": 4,
    "FromUserName": "@me",
    "ToUserName": TO,
    "FileMd5": UPLOAD.md5,
}


def test_a_part_is_a_form_with_the_fields_of_the_official_client_in_its_order() -> None:
    request = media_requests.upload_part_request(SESSION, UPLOAD, 1, b"abc", "tick%et")
    assert request.url == "https://file.wx2.qq.com/cgi-bin/mmwebwx-bin/webwxuploadmedia?f=json"
    found = read_form(request.headers["Content-Type"], content_of(request))
    assert [(field.name, field.text) for field in found if field.name != "uploadmediarequest"] == [
        ("id", "WU_FILE_3"),
        ("name", "季度报告.pdf"),
        ("type", "application/pdf"),
        ("lastModifiedDate", "Wed Nov 15 2023 06:13:20 GMT+0800 (China Standard Time)"),
        ("size", str(UPLOAD_PART_BYTES * 2 + 1)),
        ("chunks", "3"),
        ("chunk", "1"),
        ("mediatype", "doc"),
        ("webwx_data_ticket", "tick%et"),
        ("pass_ticket", "aB+c="),
        ("filename", "abc"),
    ]
    assert found[8].name == "uploadmediarequest"
    assert json.loads(found[8].text) == MEDIA_REQUEST
    assert (found[-1].filename, found[-1].mime) == ("季度报告.pdf", "application/pdf")


def content_of(request: Request) -> bytes:
    assert request.body is not None
    return request.body


def form_of(upload: Upload) -> dict[str, str]:
    request = media_requests.upload_part_request(SESSION, upload, 0, b"", "t")
    return {
        field.name: field.text for field in read_form(request.headers["Content-Type"], content_of(request))
    }


def test_a_file_of_one_part_is_not_said_to_have_parts() -> None:
    form = form_of(replace(UPLOAD, size=UPLOAD_PART_BYTES))
    assert "chunk" not in form
    assert "chunks" not in form


@every_row(
    ("size", "parts"),
    [
        (1, 1),
        (UPLOAD_PART_BYTES - 1, 1),
        (UPLOAD_PART_BYTES, 1),
        (UPLOAD_PART_BYTES + 1, 2),
        (UPLOAD_PART_BYTES * 200, 200),
    ],
)
def test_parts_are_as_many_as_are_needed(size: int, parts: int) -> None:
    assert replace(UPLOAD, size=size).part_count == parts


@every_row(
    ("kind", "media_type"),
    [(Kind.IMAGE, "pic"), (Kind.VIDEO, "video"), (Kind.FILE, "doc"), (Kind.STICKER, "doc")],
)
def test_what_an_upload_is_for(kind: Kind, media_type: str) -> None:
    assert form_of(replace(UPLOAD, kind=kind))["mediatype"] == media_type


def test_what_the_announcement_answered_goes_along_with_each_part() -> None:
    asked = json.loads(form_of(replace(UPLOAD, aes_key="AES", signature="SIG"))["uploadmediarequest"])
    assert asked == {**MEDIA_REQUEST, "AESKey": "AES", "Signature": "SIG"}


def test_no_secret_shows_in_a_repr() -> None:
    shown = repr([replace(UPLOAD, aes_key="SECRET"), Uploaded(media_id="SECRET", signature="SECRET")])
    assert "SECRET" not in shown
    assert "季度" not in shown
