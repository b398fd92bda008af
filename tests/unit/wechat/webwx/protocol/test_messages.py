"""Messages and events from entries: frame, sender, mentions, keys, and hidden entries (webwx 3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.wechat.test_json_reader import ANYTHING
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, NEWS, WIFE, appmsg, entry, escaped, roster
from wx2mqtt.model import ChatKind, Event, Kind, Message
from wx2mqtt.wechat.webwx.protocol import messages
from wx2mqtt.wechat.webwx.protocol.codes import SPECIAL_ACCOUNTS

NOW = 1_800_000_000_000
VIEW = roster()


def read(**fields: Any) -> Message | Event | None:
    return messages.read_message(entry(**fields), VIEW, "en", NOW)


def message(**fields: Any) -> Message:
    found = read(**fields)
    assert isinstance(found, Message)
    return found


def event(**fields: Any) -> Event:
    found = read(**fields)
    assert isinstance(found, Event)
    return found


def in_group(content: str, sender: str = WIFE, **fields: Any) -> Message:
    return message(FromUserName=FAMILY, Content=f"{sender}:<br/>{content}", **fields)


def test_a_text_of_a_friend() -> None:
    assert message(Content="开灯 &lt;3<br/>☀") == Message(
        key="7615282929538795099",
        id="7615282929538795099",
        chat=WIFE,
        chat_kind=ChatKind.FRIEND,
        sender=WIFE,
        kind=Kind.TEXT,
        text="开灯 <3\n☀",
        time=1700000000000,
    )


def test_a_text_in_a_group_names_its_sender() -> None:
    found = in_group("hi<br/>there", BOB)
    assert (found.chat, found.chat_kind) == (FAMILY, ChatKind.GROUP)
    assert (found.sender, found.sender_name, found.text) == (BOB, "Uncle", "hi\nthere")


@pytest.mark.parametrize("sender", ["wxid_abc-1", "@0123abc"])
def test_clear_and_unknown_senders_have_no_name_yet(sender: str) -> None:
    found = in_group("hi", sender)
    assert (found.sender, found.sender_name, found.text) == (sender, "", "hi")


def test_other_forms_of_the_break_after_the_sender() -> None:
    for broken in ("<br>", "<br />", "\n"):
        assert message(FromUserName=FAMILY, Content=f"{BOB}:{broken}hi").sender == BOB


def test_a_group_message_without_a_sender_is_nobodys() -> None:
    found = message(FromUserName=FAMILY, Content="你好: <br/>x")
    assert (found.sender, found.from_self, found.text) == (None, False, "你好: \nx")


@every_row("name", sorted(SPECIAL_ACCOUNTS))
@every_row("sort", [1, 3, 49])
def test_nobody_in_a_group_is_a_special_account_such_as_the_trusted_file_helper(name: str, sort: int) -> None:
    found = messages.read_message(
        entry(FromUserName=FAMILY, MsgType=sort, Content=f"{name}:<br/>open the door"), VIEW, "en", NOW
    )
    assert isinstance(found, Message)
    assert found.sender is None


def test_a_prefix_in_a_private_chat_is_text() -> None:
    assert message(Content="note:<br/>x").text == "note:\nx"


@pytest.mark.parametrize("writer", [ME, ""])
def test_own_messages_belong_to_the_chat_that_they_went_to(writer: str) -> None:
    found = message(FromUserName=writer, ToUserName=WIFE)
    assert (found.chat, found.chat_kind, found.sender, found.from_self) == (WIFE, ChatKind.FRIEND, ME, True)


def test_own_messages_to_groups_and_to_oneself() -> None:
    found = message(FromUserName=ME, ToUserName=FAMILY, Content="@Papa W x:<br/>y")
    assert (found.chat, found.sender_name, found.mentioned) == (FAMILY, "Papa W", False)
    assert found.text == "@Papa W x:\ny"
    assert message(FromUserName=ME, ToUserName=FAMILY, Content=f"{ME}:<br/>y").text == "y"
    assert message(FromUserName=ME, ToUserName="filehelper").chat_kind is ChatKind.SELF
    assert message(FromUserName=ME, ToUserName=ME).chat_kind is ChatKind.SELF


def test_official_accounts_and_the_system() -> None:
    assert message(FromUserName=NEWS).chat_kind is ChatKind.OFFICIAL
    assert message(FromUserName="weixin").chat_kind is ChatKind.SYSTEM


@every_row("missing", [0, -5, None, "x", 10**12])
def test_an_absurd_time_is_replaced(missing: object) -> None:
    assert message(CreateTime=missing).time == NOW


@every_row(
    ("ids", "key"),
    [
        ({"MsgId": 7615282929538795099}, "7615282929538795099"),
        ({"MsgId": ""}, "7615282929538795099"),
        ({"MsgId": "0"}, "7615282929538795099"),
        ({"MsgId": None, "NewMsgId": 2**63 + 1}, str(2**63 + 1)),
    ],
)
def test_ids_are_exact(ids: dict[str, object], key: str) -> None:
    assert message(**ids).id == key


def test_without_an_id_the_same_entry_has_the_same_key() -> None:
    nameless = {"MsgId": "", "NewMsgId": 0}
    key = message(**nameless).key
    assert key.startswith("x")
    assert message(**nameless).key == key
    assert message(**nameless, Content="other").key != key


@every_row(
    ("text", "mentioned"),
    [
        ("@Papa W\u2005hi", True),
        ("hi @Papa W", True),
        ("@王小明 hi", True),
        ("@王小明\u00a0hi", True),
        ("@王小明<br/>hi", True),
        ("@王小明明 hi", False),
        ("a@b @Papa W\u2005", True),
        ("@所有人 hi", True),
        ("@All\u2005hi", True),
        ("@Alliance hi", False),
        ("@Bob hi", False),
        ("Papa W hi", False),
        ("@@", False),
        ("@", False),
    ],
)
def test_mentions(text: str, mentioned: bool) -> None:
    assert in_group(text, BOB).mentioned is mentioned


def test_nobody_is_mentioned_in_a_private_chat() -> None:
    assert not message(Content="@王小明 hi").mentioned


def test_a_place_in_a_group_is_not_taken_for_its_sender() -> None:
    map_path = "/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&amp;msgid=1&amp;pictype=location"
    url = "http://apis.map.qq.com/uri/v1/geocoder?coord=30.5,114.25"
    location = in_group(f"Home:<br/>{map_path}", BOB, SubMsgType=48, Url=url)
    assert (location.sender, location.kind) == (BOB, Kind.LOCATION)
    assert location.detail == {"lat": 30.5, "lon": 114.25, "label": "Home"}
    bare = message(FromUserName=FAMILY, Content=f"Home:<br/>{map_path}", SubMsgType=48, Url=url)
    assert (bare.sender, bare.detail["label"]) == (None, "Home")
    clear = in_group(f"Home:<br/>{map_path}", "wxid_bob", SubMsgType=48, Url=url)
    assert (clear.sender, clear.detail["label"]) == ("wxid_bob", "Home")


@every_row("sort", [35, 36, 38, 39, 40, 51, 9999])
def test_what_is_not_for_people(sort: int) -> None:
    assert read(MsgType=sort) is None


@every_row("sort", [0, 4, 65, 9998, "x", None])
def test_an_unknown_type_is_said_with_its_length(sort: object) -> None:
    found = message(MsgType=sort, Content="12345")
    assert found.kind is Kind.UNSUPPORTED
    assert found.detail["length"] == 5


@pytest.mark.parametrize("sort", [2, 11, 12])
def test_old_variants_of_text_are_text(sort: int) -> None:
    assert message(MsgType=sort).kind is Kind.TEXT


def test_an_entry_without_a_chat_is_refused() -> None:
    with pytest.raises(ValueError):
        read(FromUserName="", ToUserName="")


def test_system_texts_have_no_sender() -> None:
    found = message(FromUserName=FAMILY, MsgType=10000, Content='"A"邀请"B"加入了群聊')
    assert (found.kind, found.sender, found.from_self) == (Kind.SYSTEM, None, False)
    assert found.text == '"A"邀请"B"加入了群聊'
    own = message(FromUserName=ME, ToUserName=WIFE, MsgType=10000, Content="tip:<br/>x")
    assert (own.chat, own.sender, own.from_self, own.text) == (WIFE, None, False, "tip:\nx")


def test_a_red_packet_in_a_system_text() -> None:
    found = message(MsgType=10000, Content="收到红包，请在手机上查看")
    assert (found.kind, found.sender, found.chat) == (Kind.RED_PACKET, None, WIFE)


REVOKED = escaped(
    '<sysmsg type="revokemsg"><revokemsg><session>x</session><oldmsgid>1</oldmsgid>'
    "<msgid>7615282929538795001</msgid><replacemsg><![CDATA[%s]]></replacemsg></revokemsg></sysmsg>"
)


def test_a_recall_of_a_friend() -> None:
    found = event(MsgType=10002, Content=REVOKED.replace("%s", "&quot;晓梅&quot; 撤回了一条消息"))
    assert (found.name, found.chat, found.actor) == ("recall", WIFE, WIFE)
    assert found.fields == {
        "id": "7615282929538795001",
        "message_id": "7615282929538795001",
        "by": "晓梅",
        "text": '"晓梅" 撤回了一条消息',
    }
    assert found.key == "7615282929538795099"
    assert found.time == 1700000000000


def test_a_recall_in_a_group_knows_who_when_the_prefix_says_so() -> None:
    content = REVOKED.replace("%s", "&quot;Uncle&quot; recalled a message")
    assert event(FromUserName=FAMILY, MsgType=10002, Content=f"{BOB}:<br/>{content}").actor == BOB
    found = event(FromUserName=FAMILY, MsgType=10002, Content=content)
    assert (found.actor, found.fields["by"]) == (None, "Uncle")


@pytest.mark.parametrize("words", ["你撤回了一条消息", "You recalled a message"])
def test_an_own_recall_may_come_as_if_from_the_peer(words: str) -> None:
    found = event(MsgType=10002, Content=REVOKED.replace("%s", words))
    assert (found.chat, found.actor, found.fields["by"]) == (WIFE, ME, "王小明")


def test_other_system_xml_is_a_system_text_or_nothing() -> None:
    notice = message(MsgType=10002, Content=escaped('<sysmsg type="x"><x><plain>hi</plain></x></sysmsg>'))
    assert (notice.kind, notice.text, notice.sender) == (Kind.SYSTEM, "hi", None)
    assert read(MsgType=10002, Content=escaped('<sysmsg type="x"><x/></sysmsg>')) is None
    assert read(MsgType=10002, Content="no xml") is None


@pytest.mark.parametrize(("sort", "state"), [(50, "call"), (52, "ended"), (53, "invited")])
def test_calls_are_events(sort: int, state: str) -> None:
    found = event(MsgType=sort)
    assert (found.name, found.chat, found.actor, found.fields) == ("call", WIFE, WIFE, {"state": state})


def test_a_friend_request_keeps_its_ticket_private() -> None:
    offer = {
        "UserName": "@secret",
        "NickName": "小&amp;王",
        "Content": "我是小王",
        "Ticket": "v2_secret@stranger",
        "Scene": 30,
    }
    found = event(FromUserName="fmessage", MsgType=37, RecommendInfo=offer, Content="")
    assert (found.name, found.chat, found.actor) == ("friend_request", None, None)
    assert found.fields == {
        "id": "7615282929538795099",
        "name": "小&王",
        "text": "我是小王",
        "source": "qr_code",
    }
    assert found.private == {"ticket": "v2_secret@stranger", "username": "@secret"}


def test_recent_chats_of_the_phone() -> None:
    recent = entry(MsgType=51, StatusNotifyCode=4, StatusNotifyUserName="@@a,filehelper,@b,")
    assert messages.recent_chats(recent) == ("@@a", "filehelper", "@b")
    assert messages.recent_chats(entry(MsgType=51, StatusNotifyCode=2, StatusNotifyUserName="@@a")) == ()
    assert messages.recent_chats(entry(StatusNotifyCode=4, StatusNotifyUserName="@@a")) == ()


def test_every_text_kind_may_be_an_article_or_a_place() -> None:
    reader = "<mmreader><category><item><title>T1</title><url>http://a</url><digest>d</digest></item></category></mmreader>"
    article = message(FromUserName="newsapp", Content=escaped(reader))
    assert (article.kind, article.text) == (Kind.LINK, "[link] T1")
    assert message(Content="what is mmreader?").kind is Kind.TEXT
    old = "Some Street 5:<br/>http://weixin.qq.com/cgi-bin/redirectforward?args=abc"
    assert message(Content=old).detail == {"label": "Some Street 5"}
    assert message(Content="see redirectforward?args= x").kind is Kind.TEXT


def test_quotes_may_mention_as_well() -> None:
    inside = (
        "<title>@Papa W look</title><type>57</type><refermsg><type>1</type><content>x</content></refermsg>"
    )
    assert in_group(appmsg(inside), BOB, MsgType=49).mentioned


FIELDS = [*entry(), "RecommendInfo", "AppInfo", "StatusNotifyUserName"]
CONTENTS = st.text(alphabet='@<>&;:/br"= a\ud800', max_size=40) | st.sampled_from(
    [
        escaped("<msg><appmsg><type>6</type></appmsg></msg>"),
        escaped('<msg><location x="1" y="2"/></msg>'),
        REVOKED,
        f"{BOB}:<br/>x",
    ]
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
    st.sampled_from([1, 3, 34, 37, 42, 43, 47, 48, 49, 50, 51, 52, 62, 10000, 10002, 77]),
    CONTENTS,
    st.sampled_from([WIFE, FAMILY, ME, "", "x@chatroom"]),
    st.sampled_from([0, 48]),
)
def test_no_entry_makes_it_fail(
    fields: dict[str, object], sort: int, content: str, writer: str, sub: int
) -> None:
    hostile = {
        **entry(),
        **fields,
        "MsgType": sort,
        "Content": content,
        "FromUserName": writer,
        "SubMsgType": sub,
    }
    if not messages.read_frame(hostile, ME).chat:
        return
    found = messages.read_message(hostile, VIEW, "zh", NOW)
    assert found is None or found.key
