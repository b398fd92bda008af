"""Locations, pictures, voices, videos and stickers: their details and locators (webwx 3.2, 3.7, 3.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol import media_messages
from wx2mqtt.wechat.webwx.protocol.content import Content, ContentReader
from wx2mqtt.wechat.webwx.protocol.media_messages import location_message


def read(content: str = "", **fields: Any) -> Content:
    return location_message(entry(Content=content, **fields), content, "en")


PLACE = '<msg><location x="30.5" y="-114.25" scale="16" label="Main &amp; 5" maptype="0" poiname="%s"/></msg>'


@pytest.mark.parametrize(("poi", "label"), [("Café", "Café"), ("[位置]", "Home"), ("", "Home")])
def test_a_location_with_everything(poi: str, label: str) -> None:
    content = "Home:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&amp;msgid=1&amp;pictype=location"
    found = read(content, SubMsgType=48, OriContent=PLACE % poi)
    assert found.detail == {"lat": 30.5, "lon": -114.25, "label": label, "address": "Main & 5"}
    assert found.text == f"[location] {label}"


def test_the_map_is_its_thumbnail() -> None:
    found = read("Home:<br/>/cgi-bin/x")
    assert found.media is None
    assert found.thumbnail is not None
    assert found.thumbnail.locator == {"call": "map", "msgid": "7615282929538795099"}


def test_a_location_in_its_content() -> None:
    found = read(escaped('<msg><location x="1" y="2" label="Street"/></msg>'), MsgType=48)
    assert found.detail == {"lat": 1.0, "lon": 2.0, "label": "Street", "address": "Street"}


@pytest.mark.parametrize(
    "url", ["http://apis.map.qq.com/uri/v1/geocoder?coord=200,5", "http://apis.map.qq.com/?coord=x,y", ""]
)
def test_a_location_without_sensible_coordinates(url: str) -> None:
    assert read("Home:<br/>/cgi-bin/x", Url=url).detail == {"label": "Home"} | (
        {"lon": 5.0} if "200" in url else {}
    )


def test_coordinates_of_the_map() -> None:
    url = "http://apis.map.qq.com/uri/v1/geocoder?coord=-39.9087,116.3975"
    assert read("Home:<br/>/x", Url=url).detail == {"lat": -39.9087, "lon": 116.3975, "label": "Home"}


def test_nothing_known_of_a_location() -> None:
    assert read("").kind is Kind.UNSUPPORTED


def test_xml_without_a_location_is_no_place() -> None:
    content = escaped("<msg><fromusername>wxid_x</fromusername></msg>")
    assert read(content, MsgType=48).kind is Kind.UNSUPPORTED
    assert read(content, OriContent=PLACE % "").detail["label"] == "Main & 5"


ID = "7615282929538795099"


IMAGE = '<msg><img aeskey="a" length="68210" md5="x" hdlength="402013" cdnthumbwidth="5"/></msg>'


def read_recordings(reader: ContentReader, content: str = "", **fields: Any) -> Content:
    return reader(entry(Content=content, **fields), content, "en")


@every_row(
    ("content", "size"),
    [("@crypt_abc", None), (escaped(IMAGE), 68210), (IMAGE, 68210), ("<img length", None)],
)
def test_an_image_and_its_thumbnail_are_found_by_its_id(content: str, size: int | None) -> None:
    found = read_recordings(media_messages.image_message, content, ImgWidth=120, ImgHeight=90)
    assert (found.kind, found.text) == (Kind.IMAGE, "[image]")
    assert found.detail == {}  # the width and height in the entry are the thumbnail's
    assert found.media is not None
    assert found.thumbnail is not None
    assert found.media.locator == {"call": "image", "msgid": ID}
    assert found.media.size == size
    assert found.thumbnail.locator == {"call": "thumbnail", "msgid": ID}


@every_row(
    ("content", "length", "duration"),
    [
        ("@token", 1500, {"duration": 1.5}),
        (escaped('<msg><voicemsg voicelength="2000" length="9"/></msg>'), 0, {"duration": 2.0}),
        ('<msg><voicemsg length="9" voicelength = "2000"/></msg>', 0, {"duration": 2.0}),
        ("@token", 0, {}),
        (escaped('<msg><voicemsg voicelength="-2"/></msg>'), 0, {}),
        ("@token", -1500, {}),
        ("<broken", 0, {}),
    ],
)
def test_voice(content: str, length: int, duration: dict[str, float]) -> None:
    found = read_recordings(media_messages.voice_message, content, VoiceLength=length)
    assert (found.text, found.detail, found.thumbnail) == ("[voice]", duration, None)
    assert found.media is not None
    assert (found.media.locator["call"], found.media.mime, found.media.size) == ("voice", "audio/mpeg", None)


def test_video() -> None:
    assert read_recordings(media_messages.video_message, PlayLength=7).detail == {"duration": 7}
    assert read_recordings(media_messages.video_message, PlayLength=-5).detail == {}
    found = read_recordings(
        media_messages.video_message,
        escaped('<msg><videomsg cdnthumbwidth="224" length="1204932" playlength="9"/></msg>'),
        ImgWidth=224,
    )
    assert (found.kind, found.detail) == (Kind.VIDEO, {"duration": 9})
    assert found.media is not None
    assert found.thumbnail is not None
    assert (found.media.mime, found.media.size) == ("video/mp4", 1204932)
    assert found.thumbnail.locator["call"] == "thumbnail"


def sticker(attributes: str, game: str = "", **fields: Any) -> Content:
    return read_recordings(
        media_messages.sticker_message, escaped(f"<msg><emoji {attributes}></emoji>{game}</msg>"), **fields
    )


def test_a_sticker_and_its_size() -> None:
    found = sticker('md5 = "x" len = "20480" width= "240" height ="180"', '<gameext type="0" content="0" />')
    assert (found.text, found.detail) == ("[sticker]", {"width": 240, "height": 180})
    assert found.media is not None
    assert (found.media.locator["call"], found.media.size) == ("sticker", 20480)


def test_a_sticker_that_says_nothing() -> None:
    found = sticker('width="-1" height="x"')
    assert found.detail == {}
    assert found.media is not None


def test_of_a_sticker_from_the_store_there_are_no_bytes() -> None:
    found = read_recordings(media_messages.sticker_message, "", HasProductId=1)
    assert (found.kind, found.media) == (Kind.STICKER, None)
    assert sticker('md5="x"', HasProductId=1).media is not None


@every_row(
    ("game", "detail", "text"),
    [
        ('type="2" content="4"', {"game": "dice", "result": "1"}, "[sticker] dice: 1"),
        ('type = "2" content = "9"', {"game": "dice", "result": "6"}, "[sticker] dice: 6"),
        (
            'type="1" content="1"',
            {"game": "rock_paper_scissors", "result": "scissors"},
            "[sticker] rock paper scissors: scissors",
        ),
        (
            'type="1" content="2"',
            {"game": "rock_paper_scissors", "result": "rock"},
            "[sticker] rock paper scissors: rock",
        ),
        (
            'type="1" content="3"',
            {"game": "rock_paper_scissors", "result": "paper"},
            "[sticker] rock paper scissors: paper",
        ),
        ('type="2" content="0"', {"game": "dice"}, "[sticker] dice"),
        ('type="2" content="10"', {"game": "dice"}, "[sticker] dice"),
        ('type="3" content="1"', {}, "[sticker]"),
        ('type="-1" content="x"', {}, "[sticker]"),
    ],
)
def test_dice_and_rock_paper_scissors(game: str, detail: dict[str, str], text: str) -> None:
    found = sticker('md5="x"', f"<gameext {game}></gameext>")
    assert (found.kind, found.detail, found.text) == (Kind.STICKER, detail, text)
    assert found.media is not None


def test_a_game_in_chinese() -> None:
    content = escaped('<msg><emoji md5="x"/><gameext type="2" content="8"/></msg>')
    assert media_messages.sticker_message(entry(), content, "zh").text == "[表情] 骰子: 5"


@every_row(
    "reader",
    [
        media_messages.image_message,
        media_messages.voice_message,
        media_messages.video_message,
        media_messages.sticker_message,
    ],
)
def test_without_an_id_there_are_no_bytes(reader: ContentReader) -> None:
    found = read_recordings(reader, "@x", MsgId="", NewMsgId=0)
    assert (found.media, found.thumbnail) == (None, None)
