"""What WeChat itself says (webwx 3.10, 3.11)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.entries import OWNER, entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx import notices
from wx2mqtt.wechat.webwx.content import Content


def test_system_texts_are_told_without_their_markup() -> None:
    words = '"A"领取了你的&lt;a href="weixin://x"&gt;红包&lt;/a&gt;'
    assert notices.told(entry(), words, "en") == Content(kind=Kind.SYSTEM, text='"A"领取了你的红包')


def test_money_that_is_told() -> None:
    assert (
        notices.told(entry(), '<img src="hongbao.png"/>收到红包，请在手机上查看', "en").kind
        is Kind.RED_PACKET
    )
    assert notices.told(entry(), "收到转账0.10元，请在手机上查看", "en").detail["amount"] == "0.10"


def test_a_system_text_that_is_only_markup() -> None:
    assert notices.told(entry(), '<img src="x"/>', "zh").text == "[系统消息]"


def sysmsg(sort: str, inside: str) -> notices.Recall | Content | None:
    return notices.system_xml(escaped(f'<sysmsg type="{sort}">{inside}</sysmsg>'))


def recall(inside: str) -> notices.Recall:
    found = sysmsg("revokemsg", f"<revokemsg>{inside}</revokemsg>")
    assert isinstance(found, notices.Recall)
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
    assert notices.recall_fields(recall(""), OWNER) == {}


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


def test_an_announcement_of_the_group_is_told() -> None:
    sort = "mmchatroombarannouncememt"  # as WeChat spells it
    found = sysmsg(sort, f"<{sort}><content><![CDATA[群公告: 明天停水]]></content></{sort}>")
    assert found == Content(kind=Kind.SYSTEM, text="群公告: 明天停水")
    assert sysmsg("x", "<x><content>for phones</content></x>") is None


@pytest.mark.parametrize("inside", ["", "<x/>", "<x><y><plain>p</plain></y></x>", "plain"])
def test_system_xml_that_tells_nothing(inside: str) -> None:
    assert sysmsg("x", inside) is None


@pytest.mark.parametrize(
    "before", ["34757816141@chatroom:<br/>", "x:\n", "&lt;?xml version=&quot;1.0&quot;?&gt;"]
)
def test_system_xml_behind_something_else(before: str) -> None:
    inner = escaped('<sysmsg type="x"><x><text>hi</text></x></sysmsg>')
    assert notices.system_xml(before + inner) == Content(kind=Kind.SYSTEM, text="hi")


def test_a_friend_request_from_xml_alone() -> None:
    xml = escaped(
        '<msg fromusername="wxid_x" encryptusername="v1_x@stranger" fromnickname="小王" content="hello" '
        'ticket="v2_t@stranger" scene="14"/>'
    )
    request = notices.friend_request(entry(), xml)
    assert request == notices.FriendRequest(
        name="小王", text="hello", source="group", ticket="v2_t@stranger", username="v1_x@stranger"
    )


@pytest.mark.parametrize(("scene", "source"), [(3, "search"), (99, "99"), (0, "")])
def test_where_a_request_came_from(scene: int, source: str) -> None:
    assert notices.friend_request(entry(RecommendInfo={"Scene": scene}), "").source == source


def test_a_request_that_cannot_be_read_is_empty() -> None:
    assert notices.friend_request(entry(), "<broken").name == ""
