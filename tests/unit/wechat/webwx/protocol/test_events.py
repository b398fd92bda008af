"""Recalls and friend requests (webwx 3.10, 3.11)."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import OWNER, WIFE, entry, escaped
from wx2mqtt.model import Event, Handle
from wx2mqtt.wechat.webwx.protocol import events
from wx2mqtt.wechat.webwx.protocol.system_texts import parse_system_xml


def recall(inside: str) -> Event:
    xml = escaped(f'<sysmsg type="revokemsg"><revokemsg>{inside}</revokemsg></sysmsg>')
    event = events.recall_event(parse_system_xml(xml), Handle(WIFE), Handle(WIFE), OWNER, "1", 1)
    assert event is not None
    return event


@every_row(
    ("ids", "message_id"),
    [
        ("<msgid>5</msgid><newmsgid>6</newmsgid>", "5"),
        ("<msgid>0</msgid><newmsgid>6</newmsgid>", "6"),
        ("<msgid/><oldmsgid>4</oldmsgid>", ""),
        ("<msgid>@@x</msgid>", ""),
        ("", ""),
    ],
)
def test_which_message_was_withdrawn(ids: str, message_id: str) -> None:
    assert recall(ids).fields.get("message_id", "") == message_id


@every_row(
    ("text", "by", "own"),
    [
        ('"小梅" 撤回了一条消息', "小梅", False),
        ("「小梅」已收回一則訊息", "小梅", False),
        ('"A B" recalled a message', "A B", False),
        ('"A"撤回了成员"B"的一条消息', "A", False),
        ("你撤回了一条消息", "", True),
        ("您已撤回一条消息", "", True),
        ("You've recalled a message", "", True),
        # Names with the words of the sentence, or with those that stand for the owner.
        ('"a" 撤回了一条消息" 撤回了一条消息', 'a" 撤回了一条消息', False),
        ('"x" 撤回了成员"y" 撤回了一条消息', 'x" 撤回了成员"y', False),
        ("你好 撤回了一条消息", "", False),
        ("Youssef recalled a message", "", False),
        ("You Li recalled a message", "", False),
    ],
)
def test_who_withdrew_a_message(text: str, by: str, own: bool) -> None:
    event = recall(f"<msgid>5</msgid><replacemsg><![CDATA[{text}]]></replacemsg>")
    assert event.actor == (OWNER.handle if own else WIFE)
    assert event.fields.get("by", "") == (OWNER.nickname if own else by)


def test_a_recall_without_anything_known() -> None:
    event = recall("")
    assert (event.fields, event.actor) == ({}, WIFE)


def test_a_friend_request_from_xml_alone() -> None:
    xml = escaped(
        '<msg fromusername="wxid_x" encryptusername="v1_x@stranger" fromnickname="小王" content="hello" '
        'ticket="v2_t@stranger" scene="14"/>'
    )
    event = events.friend_request_event(entry(), xml, "1", 1)
    assert event.fields == {"id": "1", "name": "小王", "text": "hello", "source": "group"}
    assert event.private == {"ticket": "v2_t@stranger", "username": "v1_x@stranger"}


@pytest.mark.parametrize(("scene", "source"), [(3, "search"), (99, "99"), (0, "")])
def test_where_a_request_came_from(scene: int, source: str) -> None:
    event = events.friend_request_event(entry(RecommendInfo={"Scene": scene}), "", "1", 1)
    assert event.fields.get("source", "") == source


def test_a_request_that_cannot_be_read_is_empty() -> None:
    assert events.friend_request_event(entry(), "<broken", "1", 1).fields == {"id": "1"}
