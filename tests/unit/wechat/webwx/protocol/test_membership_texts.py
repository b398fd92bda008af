"""System texts about groups in three scripts (webwx 3.10)."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.cost import NOTICEABLE_SECONDS, cpu_seconds, is_in_proportion, repeated
from tests.support.rows import every_row
from wx2mqtt.wechat.webwx.protocol.membership_texts import (
    MAX_NOTICE_CHARACTERS,
    OWNER_MARK,
    GroupNotice,
    group_notice,
)


def added(*names: str, by: str = "") -> GroupNotice:
    return GroupNotice(added=names, by=by)


def removed(*names: str, by: str = "") -> GroupNotice:
    return GroupNotice(removed=names, by=by)


@every_row(
    ("text", "news"),
    [
        ('"A"邀请"B"加入了群聊', added("B", by="A")),
        ('"A"邀请"B、C"加入了群聊', added("B", "C", by="A")),
        ('"A"邀請"B"加入了群組', added("B", by="A")),
        ('你邀请"B"加入了群聊  $revoke$', added("B", by=OWNER_MARK)),
        ('"A"邀请你加入了群聊，群聊参与人还有：C、D', added(OWNER_MARK, by="A")),
        ('"A"邀请你和"B、C"加入了群聊', added(OWNER_MARK, "B", "C", by="A")),
        (' "B"通过扫描"A"分享的二维码加入群聊', added("B", by="A")),
        (' "B"通过扫描你分享的二维码加入群聊', added("B", by=OWNER_MARK)),
        ('你通过扫描"A"分享的二维码加入群聊', added(OWNER_MARK, by="A")),
        ('"B"通过"A"的邀请二维码加入群聊', added("B", by="A")),
        (' "B"通過掃描"A"分享的QR Code加入群組', added("B", by="A")),
        ('"A B" invited "C" to the group chat', added("C", by="A B")),
        ("Ann Li invited Bob to the group chat", added("Bob", by="Ann Li")),
        ('You invited "B, C" to the group chat', added("B", "C", by=OWNER_MARK)),
        ('"A" invited you to a group chat with B', added(OWNER_MARK, by="A")),
        ("Ann invited you and Bob to the group chat", added(OWNER_MARK, "Bob", by="Ann")),
        (' "B" joined the group chat via the QR Code shared by "A"', added("B", by="A")),
        (' "B" joined the group chat via your shared QR Code', added("B", by=OWNER_MARK)),
        ('"B" joined group chat via the QR code you shared', added("B", by=OWNER_MARK)),
        ('"B"加入了群聊', added("B")),
        ('"B" joined the group chat', added("B")),
        ('你将"B"移出了群聊', removed("B", by=OWNER_MARK)),
        ('"A"将"B"移出了群聊', removed("B", by="A")),
        ('你將"B"移出了群組', removed("B", by=OWNER_MARK)),
        ('你被"A"移出群聊', removed(OWNER_MARK, by="A")),
        ('"B"被移出群聊', removed("B")),
        ('You removed "B" from the group chat', removed("B", by=OWNER_MARK)),
        ('You were removed from the group chat by "A"', removed(OWNER_MARK, by="A")),
        ('"B" was removed from the group chat', removed("B")),
        ('"B"退出了群聊', removed("B")),
        ('"B" left the group chat', removed("B")),
        ('"A"修改群名为“T”', GroupNotice(renamed=True)),
        ("你修改群名为“T”", GroupNotice(renamed=True)),
        ("你修改群組名稱為「T」", GroupNotice(renamed=True)),
        ('"A" changed the group name to "T"', GroupNotice(renamed=True)),
    ],
)
def test_what_is_said(text: str, news: GroupNotice) -> None:
    assert group_notice(text) == news


@every_row(
    "text",
    [
        '"A" 拍了拍 "B"',
        "收到红包，请在手机上查看",
        '"A"已成为新群主',
        "位置共享已经结束",
        "你已添加了A，现在可以开始聊天了。",
        "",
        '"A"邀请"B"加入了群聊' + "x" * MAX_NOTICE_CHARACTERS,
    ],
)
def test_what_is_about_something_else(text: str) -> None:
    assert group_notice(text) is None


def test_a_person_who_is_called_you_is_not_the_owner() -> None:
    assert group_notice('你邀请"你"加入了群聊') == added("你", by=OWNER_MARK)
    assert group_notice('"you" left the group chat') == removed("you")
    assert group_notice(f'"{OWNER_MARK}"退出了群聊') == removed("\ufffd")


def test_quotes_in_names() -> None:
    assert group_notice('"A"B"邀请"C"D"加入了群聊') == added('C"D', by='A"B')


@every_row(
    ("text", "news"),
    [
        ('"x"将你移出群聊"加入了群聊', added('x"将你移出群聊')),
        ('"x"将你移出群聊"退出了群聊', removed('x"将你移出群聊')),
        ('"A"邀请"x"将你移出了群聊"加入了群聊', added('x"将你移出了群聊', by="A")),
        (' "x"将你移出群聊"通过扫描你分享的二维码加入群聊', added('x"将你移出群聊', by=OWNER_MARK)),
        (
            '"x" removed you from the group chat" joined the group chat',
            added('x" removed you from the group chat'),
        ),
        ('"修改群名为"加入了群聊', added("修改群名为")),
        ('"x"修改群名为“y"加入了群聊', added('x"修改群名为“y')),
        (
            '"changed the group name to"通过扫描"A"分享的二维码加入群聊',
            added("changed the group name to", by="A"),
        ),
        ('"x"邀请你加入了群聊，群聊参与人还有：y"加入了群聊', added('x"邀请你加入了群聊，群聊参与人还有：y')),
        ('"A"修改群名为“x"将你移出群聊”', GroupNotice(renamed=True)),
        ('"A"修改群名为“你被"x"移出群聊”', GroupNotice(renamed=True)),
        ('"x"将你移出群聊"已成为新群主', None),
        ('"x"将你移出群聊" 拍了拍 "B"', None),
        ("群待办：你被移出群聊了吗", None),
    ],
)
def test_a_name_with_the_words_of_another_sentence_makes_no_news(text: str, news: GroupNotice | None) -> None:
    assert group_notice(text) == news


def test_two_sentences_in_one_text_are_no_news_about_the_owner() -> None:
    assert group_notice("You were removed from the group chat by x joined the group chat") == GroupNotice()


GENUINE = (
    '"{name}"加入了群聊',
    '"{name}"退出了群聊',
    '"{name}"被移出群聊',
    '"A"将"{name}"移出了群聊',
    '"A"邀请"{name}"加入了群聊',
    '"{name}"邀请"A"加入了群聊',
    ' "{name}"通过扫描"A"分享的二维码加入群聊',
    ' "A"通过扫描"{name}"分享的二维码加入群聊',
    '"{name}" joined the group chat',
    '"{name}" left the group chat',
    '"A" invited "{name}" to the group chat',
    '"{name}" removed "A" from the group chat',
    '"{name}" was removed from the group chat by "A"',
    '"A" was removed from the group chat by "{name}"',
)
PIECES = (
    *(
        '"',
        "“",
        "”",
        "你",
        "您",
        "将",
        "被",
        "邀请",
        "移出",
        "移出群聊",
        "移出了群聊",
        "加入了群聊",
        "退出了群聊",
        "通过扫描",
    ),
    *(
        "分享的二维码",
        "修改群名为",
        "群聊参与人还有：",
        "，",
        "、",
        "x",
        " ",
        "you",
        "You",
        "$revoke$",
        " removed ",
    ),
    *(" invited ", " from the group chat", " joined the group chat"),
    *(" was removed from the group chat", " were removed from the group chat by "),
    *(" to the group chat", " changed the group name to ", " left the group chat"),
)


@given(st.sampled_from(GENUINE), st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join))
def test_no_name_removes_the_owner_renames_the_group_or_hides_a_change(sentence: str, name: str) -> None:
    assume(name.strip())
    news = group_notice(sentence.format(name=name))
    assert news is not None
    assert OWNER_MARK not in news.removed
    assert not news.renamed


PARTS = st.sampled_from(
    [
        *("你", '"', "“", "邀请", "加入了群聊", "被", "移出", "将", "、", " invited ", "joined", "a", " "),
        *("通过", "分享的二维码"),
    ]
)


@given(st.lists(PARTS, max_size=120).map("".join))
def test_no_text_makes_it_fail(text: str) -> None:
    news = group_notice(text)
    assert news is None or "" not in (*news.added, *news.removed)


# Each of these took between seconds and hours before names were searched by the words behind them.
@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 250 + "被" + " " * 240 + "x",
        "a" + "\n" * 250 + "被" + "\u3000" * 240 + "x",
        ("a " * 120 + "被") * 2,
        "被 " * 249,
        " 被" * 249,
        "a通过" + " " * 200 + "分享的" + " " * 200 + "x",
        "a邀请" + "和 " * 240,
        '"a' + " " * 200 + '"被' + " " * 200 + '"x',
        '"' * 500,
        "“" * 250 + "被" * 250,
        "a、" * 250,
        '"a" invited ' * 41,
        "a joined group chat via " * 20,
        "a was removed from the group chat by " * 13,
        "a was removed from the group chat" + " " * 400 + "x",
    ],
)
def test_a_text_without_sense_costs_about_as_much_as_any_other(text: str) -> None:
    assert len(text) <= MAX_NOTICE_CHARACTERS

    assert reading_seconds(text) < 20 * usual_seconds() + NOTICEABLE_SECONDS


def reading_seconds(text: str) -> float:
    return cpu_seconds(lambda: [group_notice(text) for _ in range(10)], rounds=3)


@cache
def usual_seconds() -> float:
    """Returns what a long notice and a text that is none cost together."""
    notice = '"A"邀请"B"' + "和" * (MAX_NOTICE_CHARACTERS - 14) + "加入了群聊"
    return reading_seconds(notice) + reading_seconds("x" * MAX_NOTICE_CHARACTERS)


def test_a_long_text_costs_no_more_than_in_proportion() -> None:
    assert is_in_proportion(lambda size: group_notice(repeated("你邀请", size)), 1_000_000)
