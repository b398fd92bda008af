"""Cards, unsupported messages, facts and file names (webwx 3.2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import app, entry, escaped
from wx2mqtt.i18n.wechat import game_outcome, webwx_placeholder
from wx2mqtt.limits import MAX_FILENAME_BYTES
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol import content, media_requests
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.media_requests import MAX_UPLOAD_NAME_CHARACTERS


def card(xml: str = "", **fields: Any) -> Content:
    return content.card_message(entry(Content=xml, **fields), xml, "en")


def test_a_card() -> None:
    info = {"NickName": "小王", "Alias": "wang", "Province": "湖北", "City": "", "UserName": "@secret"}
    found = card(RecommendInfo=info)
    assert (found.text, found.detail) == (
        "[contact card] 小王",
        {"name": "小王", "alias": "wang", "province": "湖北"},
    )


def test_a_card_in_xml() -> None:
    xml = escaped('<msg username="wxid_x" nickname="小王" alias="" province="湖北" city="武汉"/>')
    assert card(xml).detail == {"name": "小王", "province": "湖北", "city": "武汉"}


def test_a_card_that_cannot_be_read() -> None:
    assert card("<broken").kind is Kind.UNSUPPORTED


def test_unsupported_says_type_and_length_and_no_content() -> None:
    found = content.unsupported_message(entry(MsgType=77), "secret", "en", "title")
    assert (found.detail, found.text) == (
        {"type": 77, "length": 6},
        "[a message that web WeChat cannot show] title",
    )
    assert content.unsupported_message(entry(MsgType=49), "", "en", app_type=9).detail == {
        "type": 49,
        "app": 9,
        "length": 0,
    }


def test_placeholders_speak_both_languages() -> None:
    assert webwx_placeholder("zh", Kind.IMAGE) == "[图片]"
    assert webwx_placeholder("en", Kind.FILE, "a.pdf") == "[file] a.pdf"
    assert game_outcome("zh", "rock_paper_scissors", "rock") == "猜拳: 石头"
    assert game_outcome("en", "", "") == ""


def test_what_is_not_known_is_absent() -> None:
    assert content.content_facts(a=None, b="", c=[], d=0, e=False, f=0.0) == {"d": 0, "e": False, "f": 0.0}


ANY = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=400)


KINDS = st.sampled_from(
    [
        (Kind.FILE, "application/pdf"),
        (Kind.IMAGE, "image/jpeg"),
        (Kind.STICKER, "image/gif"),
        (Kind.VIDEO, "video/mp4"),
    ]
)


@given(name=ANY, sort=KINDS, ending=st.sampled_from(["", ".pdf", ".jpg", ".MP4", ".tar.gz"]))
def test_every_name_becomes_one_that_can_be_sent(name: str, sort: tuple[Kind, str], ending: str) -> None:
    for make, size, limit in (
        (media_requests.title_filename, lambda made: len(made.encode()), MAX_FILENAME_BYTES),
        (media_requests.upload_filename, lambda made: len(quote(made, safe="")), MAX_UPLOAD_NAME_CHARACTERS),
    ):
        made = make(name + ending, *sort)
        assert 0 < size(made) <= limit
        assert not set(made) & set("\\/\r\n\0\u202e\u200f")
        assert make(made, *sort) == made


def received(name: str) -> str:
    return str(app("<type>6</type>", FileName=name).detail.get("name", ""))


@given(name=ANY)
def test_every_name_that_comes_in_becomes_one_that_leads_nowhere(name: str) -> None:
    made = received(name)
    assert len(made.encode()) <= MAX_FILENAME_BYTES
    assert not set(made) & set("\\/\r\n\0\u202e\u200f")
    assert made not in {".", ".."}


@every_row("name", ["季度报告 (1) & <x>.pdf", ".hidden", "Makefile", "é?.txt", ""])
def test_a_name_that_does_no_harm_comes_in_as_it_is(name: str) -> None:
    assert received(name) == name


@every_row(
    ("name", "made"),
    [
        ("季度报告.pdf", "季度报告.pdf"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "file"),
        ("a\x00b\r\nc\u202egpj.exe", "abcgpj.exe"),
        ("\u200f\u200b", "file"),
        ("  two   words .txt ", "two   words .txt"),
        ('a"b<c>|?*: & \\.doc', 'a"b<c>|?*: & _.doc'),
        ("e\u0301.txt", "é.txt"),
        ("👨\u200d👩\u200d👧.png", "👨\u200d👩\u200d👧.png"),
        ("no extension", "no extension"),
    ],
)
def test_what_becomes_of_a_name(name: str, made: str) -> None:
    assert media_requests.title_filename(name, Kind.FILE, "application/octet-stream") == made


@every_row(
    ("name", "kind", "mime", "made"),
    [
        ("photo", Kind.IMAGE, "image/jpeg", "photo.jpg"),
        ("photo.JPEG", Kind.IMAGE, "image/jpeg", "photo.JPEG"),
        ("photo.heic", Kind.IMAGE, "image/png", "photo.heic.png"),
        ("v1.2", Kind.VIDEO, "video/mp4", "v1.2.mp4"),
        ("funny", Kind.STICKER, "image/gif", "funny.gif"),
        ("photo", Kind.FILE, "image/jpeg", "photo"),
        ("..", Kind.IMAGE, "image/bmp", "image.bmp"),
    ],
)
def test_pictures_and_videos_end_as_wechat_expects(name: str, kind: Kind, mime: str, made: str) -> None:
    assert media_requests.title_filename(name, kind, mime) == made


def test_a_long_name_is_cut_before_its_extension() -> None:
    """webwx 2.14.9: 16 Chinese characters are known to pass, 17 to fail; the receiver sees the long name."""
    name = "报" * 17 + ".xlsx"
    assert media_requests.upload_filename(name, Kind.FILE, "") == "报" * 15 + ".xlsx"
    assert media_requests.upload_filename("报" * 16 + ".doc", Kind.FILE, "") == "报" * 16 + ".doc"
    assert media_requests.title_filename(name, Kind.FILE, "") == name
    assert (
        media_requests.title_filename("x" * 300 + ".pdf", Kind.FILE, "")
        == "x" * (MAX_FILENAME_BYTES - 4) + ".pdf"
    )
    for gap in (" ", ".", "\u200d"):
        assert (
            media_requests.title_filename("x" * 235 + gap + "y" * 9 + ".pdf", Kind.FILE, "")
            == "x" * 235 + ".pdf"
        )
    assert media_requests.upload_filename("x" * 100_000, Kind.FILE, "") == "x" * MAX_UPLOAD_NAME_CHARACTERS


@pytest.mark.parametrize(
    ("kind", "mime", "expected"),
    [(Kind.FILE, "application/pdf", "file"), (Kind.IMAGE, "image/png", "image.png")],
)
def test_a_name_of_which_a_cut_leaves_only_dots_and_blanks_gets_that_of_its_kind(
    kind: Kind, mime: str, expected: str
) -> None:
    name = "." + " " * 300 + "D"
    assert media_requests.title_filename(name, kind, mime) == expected
    assert media_requests.upload_filename(name, kind, mime) == expected


def test_a_hidden_name_that_is_short_enough_stays() -> None:
    assert media_requests.title_filename(".hidden", Kind.FILE, "") == ".hidden"
