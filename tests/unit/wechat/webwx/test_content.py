"""What all kinds have in common, cards, and what cannot be shown (webwx 3.2)."""

from __future__ import annotations

from typing import Any

from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx import content
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.words import outcome, placeholder


def card(said: str = "", **fields: Any) -> Content:
    return content.card(entry(Content=said, **fields), said, "en")


def test_a_card() -> None:
    told = {"NickName": "小王", "Alias": "wang", "Province": "湖北", "City": "", "UserName": "@secret"}
    found = card(RecommendInfo=told)
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
    found = content.unsupported(entry(MsgType=77), "secret", "en", "title")
    assert (found.detail, found.text) == (
        {"type": 77, "length": 6},
        "[a message that web WeChat cannot show] title",
    )
    assert content.unsupported(entry(MsgType=49), "", "en", app=9).detail == {
        "type": 49,
        "app": 9,
        "length": 0,
    }


def test_placeholders_speak_both_languages() -> None:
    assert placeholder("zh", Kind.IMAGE) == "[图片]"
    assert placeholder("en", Kind.FILE, "a.pdf") == "[file] a.pdf"
    assert outcome("zh", "rock_paper_scissors", "rock") == "猜拳: 石头"
    assert outcome("en", "", "") == ""


def test_what_is_not_known_is_absent() -> None:
    assert content.facts(a=None, b="", c=[], d=0, e=False, f=0.0) == {"d": 0, "e": False, "f": 0.0}
