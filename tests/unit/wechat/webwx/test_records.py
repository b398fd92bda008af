"""Forwarded conversations and notes, message by message (webwx 3.6)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.entries import app, app_of_type
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.records import ITEMS


def history(*items: str, des: str = "A: hi") -> list[Json]:
    record = f"<recordinfo><datalist>{''.join(items)}</datalist></recordinfo>"
    found = app(
        f"<title>T</title><des>{des}</des><type>19</type><recorditem><![CDATA[{record}]]></recorditem>"
    )
    assert (found.kind, found.text, found.detail["title"]) == (Kind.CHAT_HISTORY, "[chat history] T", "T")
    assert isinstance(found.detail["items"], list)
    return found.detail["items"]


def test_who_said_what_when() -> None:
    said = (
        '<dataitem datatype="1"><sourcename>A</sourcename><sourcetime>2026-1-1 8:00</sourcetime>'
        "<srcMsgCreateTime>1700000000</srcMsgCreateTime><datadesc>hi &amp; ho</datadesc></dataitem>"
    )
    file = '<dataitem datatype="8"><sourcename>B</sourcename><datatitle>a.pdf</datatitle></dataitem>'
    assert history(said, file) == [
        {"sender": "A", "text": "hi & ho", "kind": "text", "time": "2023-11-14T22:13:20.000Z"},
        {"sender": "B", "text": "[file] a.pdf", "kind": "file"},
    ]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("2", "image"),
        ("3", "voice"),
        ("4", "video"),
        ("5", "link"),
        ("6", "location"),
        ("15", "video"),
        ("16", "card"),
        ("17", "chat_history"),
        ("19", "mini_program"),
        ("22", "link"),
        ("29", "link"),
        ("37", "sticker"),
        ("4711", "unsupported"),
        ("x", "unsupported"),
    ],
)
def test_what_is_no_text_has_its_kind_and_a_line(number: str, kind: str) -> None:
    (item,) = history(f'<dataitem datatype="{number}"><weburlitem><title>W</title></weburlitem></dataitem>')
    assert isinstance(item, dict)
    assert item["kind"] == kind
    assert str(item["text"]).endswith(" W")


def test_a_long_history_is_cut() -> None:
    assert len(history(*['<dataitem datatype="1"><datadesc>x</datadesc></dataitem>'] * (ITEMS + 20))) == ITEMS


def test_without_a_record_its_summary_is_told() -> None:
    assert history(des="A: hi: there\n[Image]\n") == [
        {"sender": "A", "text": "hi: there", "kind": "text"},
        {"text": "[Image]", "kind": "text"},
    ]


def test_a_note_is_a_record_as_well() -> None:
    found = app_of_type(24)
    assert (found.kind, found.detail) == (Kind.CHAT_HISTORY, {"title": "T"})
