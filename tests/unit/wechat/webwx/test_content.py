"""Kinds other than text: a line for people, what is known, and where the bytes are (webwx 3.2, 3.7, 3.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx import content
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.words import placeholder

ID = "7615282929538795099"


def read(reader: content.Reader, said: str = "", **fields: Any) -> Content:
    return reader(entry(Content=said, **fields), said, "en")


def test_an_image_is_found_by_its_id() -> None:
    found = read(content.image, "@crypt_abc")
    assert (found.kind, found.text) == (Kind.IMAGE, "[image]")
    assert found.media is not None
    assert found.media.locator == {"call": "image", "msgid": ID}


@pytest.mark.parametrize(
    ("said", "length", "duration"),
    [
        ("@token", 1500, {"duration": 1.5}),
        (escaped('<msg><voicemsg voicelength="2000" length="9"/></msg>'), 0, {"duration": 2.0}),
        ("@token", 0, {}),
        (escaped('<msg><voicemsg voicelength="-2"/></msg>'), 0, {}),
        ("<broken", 0, {}),
    ],
)
def test_voice(said: str, length: int, duration: dict[str, float]) -> None:
    found = read(content.voice, said, VoiceLength=length)
    assert (found.text, found.detail) == ("[voice]", duration)
    assert found.media is not None
    assert (found.media.locator["call"], found.media.mime) == ("voice", "audio/mpeg")


def test_video() -> None:
    assert read(content.video, PlayLength=7).detail == {"duration": 7}
    found = read(content.video, escaped('<msg><videomsg playlength="9"/></msg>'))
    assert (found.kind, found.detail) == (Kind.VIDEO, {"duration": 9})
    assert found.media is not None
    assert found.media.mime == "video/mp4"


def test_stickers_have_bytes_unless_they_are_of_the_store() -> None:
    assert read(content.sticker, escaped('<msg><emoji md5 = "x"/></msg>')).media is not None
    assert read(content.sticker, "", HasProductId=1).media is None


def test_a_card() -> None:
    told = {"NickName": "小王", "Alias": "wang", "Province": "湖北", "City": "", "UserName": "@secret"}
    found = read(content.card, RecommendInfo=told)
    assert (found.text, found.detail) == (
        "[contact card] 小王",
        {"name": "小王", "alias": "wang", "province": "湖北"},
    )
    xml = escaped('<msg username="wxid_x" nickname="小王" alias="" province="湖北" city="武汉"/>')
    assert read(content.card, xml).detail == {"name": "小王", "province": "湖北", "city": "武汉"}
    assert read(content.card, "<broken").kind is Kind.UNSUPPORTED


PLACE = (
    '<msg><location x="30.5" y="-114.25" scale="16" label="Main &amp;amp; 5" maptype="0" poiname="%s"/></msg>'
)


@pytest.mark.parametrize(("poi", "label"), [("Café", "Café"), ("[位置]", "Home"), ("", "Home")])
def test_a_location_with_everything(poi: str, label: str) -> None:
    said = "Home:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&amp;msgid=1&amp;pictype=location"
    found = read(content.location, said, SubMsgType=48, OriContent=(PLACE % poi).replace("amp;amp;", "amp;"))
    assert found.detail == {"lat": 30.5, "lon": -114.25, "label": label, "address": "Main & 5"}
    assert found.text == f"[location] {label}"


def test_a_location_in_its_content() -> None:
    found = read(content.location, escaped('<msg><location x="1" y="2" label="Street"/></msg>'), MsgType=48)
    assert found.detail == {"lat": 1.0, "lon": 2.0, "label": "Street", "address": "Street"}


@pytest.mark.parametrize(
    "url", ["http://apis.map.qq.com/uri/v1/geocoder?coord=200,5", "http://apis.map.qq.com/?coord=x,y", ""]
)
def test_a_location_without_sensible_coordinates(url: str) -> None:
    assert read(content.location, "Home:<br/>/cgi-bin/x", Url=url).detail == {"label": "Home"} | (
        {"lon": 5.0} if "200" in url else {}
    )


def test_nothing_known_of_a_location() -> None:
    assert read(content.location, "").kind is Kind.UNSUPPORTED


def test_a_file_needs_three_more_names() -> None:
    ref = content.media(
        entry(MediaId="@m", EncryFileName="e%20f", FromUserName="@@g"), "file", size=5, file_name="a.pdf"
    )
    assert ref.locator == {
        "call": "file",
        "msgid": ID,
        "sender": "@@g",
        "mediaid": "@m",
        "encryfilename": "e%20f",
    }
    assert (ref.size, ref.name) == (5, "a.pdf")


def test_unsupported_says_type_and_length_and_no_content() -> None:
    found = content.unsupported(entry(MsgType=77), "secret", "en", "title")
    assert (found.detail, found.text) == (
        {"type": 77, "length": 6},
        "[a message that web WeChat cannot show] title",
    )


def test_placeholders_speak_both_languages() -> None:
    assert placeholder("zh", Kind.IMAGE) == "[图片]"
    assert placeholder("en", Kind.FILE, "a.pdf") == "[file] a.pdf"


def test_what_is_not_known_is_absent() -> None:
    assert content.facts(a=None, b="", c=[], d=0, e=False, f=0.0) == {"d": 0, "e": False, "f": 0.0}
