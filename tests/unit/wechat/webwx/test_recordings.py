"""Pictures, voices, videos and stickers: what is known of them, and where their bytes are (webwx 3.2, 3.7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx import recordings
from wx2mqtt.wechat.webwx.content import Content, Reader

ID = "7615282929538795099"
IMAGE = '<msg><img aeskey="a" length="68210" md5="x" hdlength="402013" cdnthumbwidth="5"/></msg>'


def read(reader: Reader, said: str = "", **fields: Any) -> Content:
    return reader(entry(Content=said, **fields), said, "en")


@pytest.mark.parametrize(
    ("said", "size"), [("@crypt_abc", None), (escaped(IMAGE), 68210), (IMAGE, 68210), ("<img length", None)]
)
def test_an_image_and_its_thumbnail_are_found_by_its_id(said: str, size: int | None) -> None:
    found = read(recordings.image, said, ImgWidth=120, ImgHeight=90)
    assert (found.kind, found.text) == (Kind.IMAGE, "[image]")
    assert found.detail == {}  # the width and height in the entry are the thumbnail's
    assert found.media is not None
    assert found.thumbnail is not None
    assert found.media.locator == {"call": "image", "msgid": ID}
    assert found.media.size == size
    assert found.thumbnail.locator == {"call": "thumbnail", "msgid": ID}


@pytest.mark.parametrize(
    ("said", "length", "duration"),
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
def test_voice(said: str, length: int, duration: dict[str, float]) -> None:
    found = read(recordings.voice, said, VoiceLength=length)
    assert (found.text, found.detail, found.thumbnail) == ("[voice]", duration, None)
    assert found.media is not None
    assert (found.media.locator["call"], found.media.mime, found.media.size) == ("voice", "audio/mpeg", None)


def test_video() -> None:
    assert read(recordings.video, PlayLength=7).detail == {"duration": 7}
    assert read(recordings.video, PlayLength=-5).detail == {}
    found = read(
        recordings.video,
        escaped('<msg><videomsg cdnthumbwidth="224" length="1204932" playlength="9"/></msg>'),
        ImgWidth=224,
    )
    assert (found.kind, found.detail) == (Kind.VIDEO, {"duration": 9})
    assert found.media is not None
    assert found.thumbnail is not None
    assert (found.media.mime, found.media.size) == ("video/mp4", 1204932)
    assert found.thumbnail.locator["call"] == "thumbnail"


def sticker(attributes: str, game: str = "", **fields: Any) -> Content:
    return read(recordings.sticker, escaped(f"<msg><emoji {attributes}></emoji>{game}</msg>"), **fields)


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
    found = read(recordings.sticker, "", HasProductId=1)
    assert (found.kind, found.media) == (Kind.STICKER, None)
    assert sticker('md5="x"', HasProductId=1).media is not None


@pytest.mark.parametrize(
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
    said = escaped('<msg><emoji md5="x"/><gameext type="2" content="8"/></msg>')
    assert recordings.sticker(entry(), said, "zh").text == "[表情] 骰子: 5"


@pytest.mark.parametrize("reader", [recordings.image, recordings.voice, recordings.video, recordings.sticker])
def test_without_an_id_there_are_no_bytes(reader: Reader) -> None:
    found = read(reader, "@x", MsgId="", NewMsgId=0)
    assert (found.media, found.thumbnail) == (None, None)
