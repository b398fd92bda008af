"""System texts about groups in three scripts, system XML, recalls and friend requests (webwx 3.10, 3.11)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.webwx.entries import OWNER, entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol import system_messages
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.system_messages import (
    MAX_NOTICE_CHARACTERS,
    OWNER_MARK,
    GroupNotice,
    group_notice,
)


def added(*names: str, by: str = "") -> GroupNotice:
    return GroupNotice(added=names, by=by)


def removed(*names: str, by: str = "") -> GroupNotice:
    return GroupNotice(removed=names, by=by)


@pytest.mark.parametrize(
    ("said", "news"),
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
def test_what_is_said(said: str, news: GroupNotice) -> None:
    assert group_notice(said) == news


@pytest.mark.parametrize(
    "said",
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
def test_what_is_about_something_else(said: str) -> None:
    assert group_notice(said) is None


def test_a_person_who_is_called_you_is_not_the_owner() -> None:
    assert group_notice('你邀请"你"加入了群聊') == added("你", by=OWNER_MARK)
    assert group_notice('"you" left the group chat') == removed("you")


def test_quotes_in_names() -> None:
    assert group_notice('"A"B"邀请"C"D"加入了群聊') == added('C"D', by='A"B')


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
    news = group_notice(said)
    assert news is None or "" not in (*news.added, *news.removed)


@pytest.mark.parametrize(
    "part", ['"', "“", "a、", "你邀请", " 被", '"a" invited ', "a joined group chat via "]
)
def test_text_without_sense_costs_little_time(part: str) -> None:
    said = (part * MAX_NOTICE_CHARACTERS)[:MAX_NOTICE_CHARACTERS]
    started_at = time.process_time()
    group_notice(said)
    group_notice(part * 100_000)
    assert time.process_time() - started_at < 0.5


def test_system_texts_have_no_markup() -> None:
    words = '"A"领取了你的&lt;a href="weixin://x"&gt;红包&lt;/a&gt;'
    assert system_messages.system_notice(entry(), words, "en") == Content(
        kind=Kind.SYSTEM, text='"A"领取了你的红包'
    )


def test_system_texts_about_money() -> None:
    assert (
        system_messages.system_notice(entry(), '<img src="hongbao.png"/>收到红包，请在手机上查看', "en").kind
        is Kind.RED_PACKET
    )
    assert (
        system_messages.system_notice(entry(), "收到转账0.10元，请在手机上查看", "en").detail["amount"]
        == "0.10"
    )


def test_a_system_text_that_is_only_markup() -> None:
    assert system_messages.system_notice(entry(), '<img src="x"/>', "zh").text == "[系统消息]"


def sysmsg(sort: str, inside: str) -> system_messages.RecallNotice | Content | None:
    return system_messages.system_xml(escaped(f'<sysmsg type="{sort}">{inside}</sysmsg>'))


def recall(inside: str) -> system_messages.RecallNotice:
    found = sysmsg("revokemsg", f"<revokemsg>{inside}</revokemsg>")
    assert isinstance(found, system_messages.RecallNotice)
    return found


@pytest.mark.parametrize(
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
    assert recall(ids).message_id == message_id


def test_a_recall_without_anything_known() -> None:
    assert system_messages.recall_fields(recall(""), OWNER) == {}


def test_sentences_of_system_xml() -> None:
    pat = '<pat><fromusername>wxid_a</fromusername><template><![CDATA["${wxid_a}" 拍了拍 "${wxid_b}"]]></template></pat>'
    assert sysmsg("pat", pat) == Content(kind=Kind.SYSTEM, text='"?" 拍了拍 "?"')
    joined = (
        '<sysmsgtemplate><content_template type="t"><plain/><template>"$username$"邀请"$names$"加入了群聊 $5</template>'
        '<link_list><link name="username"><memberlist><member><username>wxid_a</username><nickname>A</nickname>'
        '</member></memberlist></link><link name="names"><memberlist><member><nickname>B</nickname></member>'
        "<member><nickname>C</nickname></member></memberlist></link></link_list></content_template></sysmsgtemplate>"
    )
    assert sysmsg("sysmsgtemplate", joined) == Content(kind=Kind.SYSTEM, text='"A"邀请"B、C"加入了群聊 $5')
    assert sysmsg(
        "delchatroommember", "<delchatroommember><plain>$5 gone</plain></delchatroommember>"
    ) == Content(kind=Kind.SYSTEM, text="$5 gone")
    assert sysmsg("roomtoolstips", "<todo><op>0</op><title>todo</title></todo>") == Content(
        kind=Kind.SYSTEM, text="todo"
    )


def test_an_announcement_of_the_group_is_read() -> None:
    sort = "mmchatroombarannouncememt"  # as WeChat spells it
    found = sysmsg(sort, f"<{sort}><content><![CDATA[群公告: 明天停水]]></content></{sort}>")
    assert found == Content(kind=Kind.SYSTEM, text="群公告: 明天停水")
    assert sysmsg("x", "<x><content>for phones</content></x>") is None


@pytest.mark.parametrize("inside", ["", "<x/>", "<x><y><plain>p</plain></y></x>", "plain"])
def test_system_xml_without_a_text_gives_nothing(inside: str) -> None:
    assert sysmsg("x", inside) is None


@pytest.mark.parametrize(
    "before", ["34757816141@chatroom:<br/>", "x:\n", "&lt;?xml version=&quot;1.0&quot;?&gt;"]
)
def test_system_xml_behind_something_else(before: str) -> None:
    inner = escaped('<sysmsg type="x"><x><text>hi</text></x></sysmsg>')
    assert system_messages.system_xml(before + inner) == Content(kind=Kind.SYSTEM, text="hi")


def test_a_friend_request_from_xml_alone() -> None:
    xml = escaped(
        '<msg fromusername="wxid_x" encryptusername="v1_x@stranger" fromnickname="小王" content="hello" '
        'ticket="v2_t@stranger" scene="14"/>'
    )
    request = system_messages.friend_request(entry(), xml)
    assert request == system_messages.FriendRequest(
        name="小王", text="hello", source="group", ticket="v2_t@stranger", username="v1_x@stranger"
    )


@pytest.mark.parametrize(("scene", "source"), [(3, "search"), (99, "99"), (0, "")])
def test_where_a_request_came_from(scene: int, source: str) -> None:
    assert system_messages.friend_request(entry(RecommendInfo={"Scene": scene}), "").source == source


def test_a_request_that_cannot_be_read_is_empty() -> None:
    assert system_messages.friend_request(entry(), "<broken").name == ""
