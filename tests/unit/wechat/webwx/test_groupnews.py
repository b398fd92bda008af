"""What system texts say of groups, in three scripts (webwx 3.10)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.webwx.groupnews import LONGEST, YOU, GroupNews, group_news


def added(*names: str, by: str = "") -> GroupNews:
    return GroupNews(added=names, by=by)


def removed(*names: str, by: str = "") -> GroupNews:
    return GroupNews(removed=names, by=by)


@pytest.mark.parametrize(
    ("said", "news"),
    [
        ('"A"邀请"B"加入了群聊', added("B", by="A")),
        ('"A"邀请"B、C"加入了群聊', added("B", "C", by="A")),
        ('"A"邀請"B"加入了群組', added("B", by="A")),
        ('你邀请"B"加入了群聊  $revoke$', added("B", by=YOU)),
        ('"A"邀请你加入了群聊，群聊参与人还有：C、D', added(YOU, by="A")),
        ('"A"邀请你和"B、C"加入了群聊', added(YOU, "B", "C", by="A")),
        (' "B"通过扫描"A"分享的二维码加入群聊', added("B", by="A")),
        (' "B"通过扫描你分享的二维码加入群聊', added("B", by=YOU)),
        ('你通过扫描"A"分享的二维码加入群聊', added(YOU, by="A")),
        ('"B"通过"A"的邀请二维码加入群聊', added("B", by="A")),
        (' "B"通過掃描"A"分享的QR Code加入群組', added("B", by="A")),
        ('"A B" invited "C" to the group chat', added("C", by="A B")),
        ("Ann Li invited Bob to the group chat", added("Bob", by="Ann Li")),
        ('You invited "B, C" to the group chat', added("B", "C", by=YOU)),
        ('"A" invited you to a group chat with B', added(YOU, by="A")),
        ("Ann invited you and Bob to the group chat", added(YOU, "Bob", by="Ann")),
        (' "B" joined the group chat via the QR Code shared by "A"', added("B", by="A")),
        (' "B" joined the group chat via your shared QR Code', added("B", by=YOU)),
        ('"B" joined group chat via the QR code you shared', added("B", by=YOU)),
        ('"B"加入了群聊', added("B")),
        ('"B" joined the group chat', added("B")),
        ('你将"B"移出了群聊', removed("B", by=YOU)),
        ('"A"将"B"移出了群聊', removed("B", by="A")),
        ('你將"B"移出了群組', removed("B", by=YOU)),
        ('你被"A"移出群聊', removed(YOU, by="A")),
        ('"B"被移出群聊', removed("B")),
        ('You removed "B" from the group chat', removed("B", by=YOU)),
        ('You were removed from the group chat by "A"', removed(YOU, by="A")),
        ('"B" was removed from the group chat', removed("B")),
        ('"B"退出了群聊', removed("B")),
        ('"B" left the group chat', removed("B")),
        ('"A"修改群名为“T”', GroupNews(renamed=True)),
        ("你修改群名为“T”", GroupNews(renamed=True)),
        ("你修改群組名稱為「T」", GroupNews(renamed=True)),
        ('"A" changed the group name to "T"', GroupNews(renamed=True)),
    ],
)
def test_what_is_said(said: str, news: GroupNews) -> None:
    assert group_news(said) == news


@pytest.mark.parametrize(
    "said",
    [
        '"A" 拍了拍 "B"',
        "收到红包，请在手机上查看",
        '"A"已成为新群主',
        "位置共享已经结束",
        "你已添加了A，现在可以开始聊天了。",
        "",
        '"A"邀请"B"加入了群聊' + "x" * LONGEST,
    ],
)
def test_what_is_about_something_else(said: str) -> None:
    assert group_news(said) is None


def test_a_person_who_is_called_you_is_not_the_owner() -> None:
    assert group_news('你邀请"你"加入了群聊') == added("你", by=YOU)
    assert group_news('"you" left the group chat') == removed("you")


def test_quotes_in_names() -> None:
    assert group_news('"A"B"邀请"C"D"加入了群聊') == added('C"D', by='A"B')


PARTS = st.sampled_from(
    [
        "你",
        '"',
        "“",
        "邀请",
        "加入了群聊",
        "被",
        "移出",
        "将",
        "、",
        " invited ",
        "joined",
        "a",
        " ",
        "通过",
        "分享的二维码",
    ]
)


@given(st.lists(PARTS, max_size=120).map("".join))
def test_no_text_makes_it_fail(said: str) -> None:
    news = group_news(said)
    assert news is None or "" not in (*news.added, *news.removed)


@pytest.mark.parametrize(
    "part", ['"', "“", "a、", "你邀请", " 被", '"a" invited ', "a joined group chat via "]
)
def test_text_without_sense_costs_little_time(part: str) -> None:
    said = (part * LONGEST)[:LONGEST]
    began = time.process_time()
    group_news(said)
    group_news(part * 100_000)
    assert time.process_time() - began < 0.5
