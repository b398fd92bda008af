"""No published field of a message or an event holds a handle, an id of WeChat or a ticket.

Samples hold such values in every field that may hold them, and then the published values are searched. Media
locators and the secrets of a friend request are stored, but not published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.repetitions import repetitions
from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE, entry, escaped, roster
from tests.unit.wechat.webwx.server import WebWxRig, answer
from wx2mqtt.model import Event, Message
from wx2mqtt.wechat.webwx.protocol import messages
from wx2mqtt.wechat.webwx.protocol.codes import AppType, MsgType

HANDLES = (ME, WIFE, BOB, FAMILY)
SECRET = "@5ec2e7"  # every other name holds this
TICKET = f"v2_{SECRET}@stranger"

# Names of elements and attributes that carry ids (webwx 3.2.5), and whole families of others.
IDS = (
    *("fromusername", "tousername", "username", "encryptusername", "ticket", "sourceusername"),
    *("fromusr", "chatusr", "session", "pattedusername", "aeskey", "cdnthumbaeskey", "attachid"),
    *("hashusername", "dataid", "transferid", "transcationid", "paymsgid", "receiver_username"),
    *("payer_username", "appid", "mediaid", "bigheadimgurl", "smallheadimgurl", "fullpy", "shortpy"),
    *("qqnum", "openid", "objectId", "avatar", "md5"),
)
PARTS = ("refermsg", "weappinfo", "appattach", "wcpayinfo", "finderFeed", "carditem", "patinfo", "mmreader")
SHOWN = ("title", "des", "nickname", "displayname", "feedesc", "pay_memo", "sourcename", "datadesc", "label")

# A choice of few, so that a busy machine makes examples fast enough.
ids = st.sampled_from([IDS, (), IDS[::2], IDS[1::2], IDS[::5]])
shown = st.sampled_from([(), SHOWN, SHOWN[::2], SHOWN[1::2]])


def attributes(names: Sequence[str]) -> str:
    return " ".join(f'{name}="{SECRET}"' for name in names)


def elements(hidden: Sequence[str], visible: Sequence[str]) -> str:
    return "".join(f"<{name}>{SECRET}</{name}>" for name in hidden) + "".join(
        f"<{name}>words</{name}>" for name in visible
    )


@st.composite
def app_xml(draw: st.DrawFn) -> str:
    """Returns an app message with ids in every part that any reader looks into."""
    number = draw(st.sampled_from([*AppType, 4711]))
    parts = "".join(
        f"<{part} {attributes(draw(ids))}>{elements(draw(ids), draw(shown))}</{part}>" for part in PARTS
    )
    item = f'<dataitem datatype="1" {attributes(draw(ids))}>{elements(draw(ids), draw(shown))}</dataitem>'
    record = f"<recorditem><![CDATA[<recordinfo><datalist>{item}</datalist></recordinfo>]]></recorditem>"
    inside = f"<type>{number}</type>{elements(draw(ids), draw(shown))}{parts}{record}"
    return f"<msg><appmsg {attributes(draw(ids))}>{inside}</appmsg>{elements(draw(ids), [])}</msg>"


@st.composite
def other_xml(draw: st.DrawFn) -> str:
    """Returns the XML of other kinds: attributes of one element."""
    tag = draw(st.sampled_from(["img", "voicemsg", "videomsg", "emoji", "gameext", "location", "op"]))
    return f"<msg {attributes(draw(ids))}><{tag} {attributes(draw(ids))}/>{elements(draw(ids), [])}</msg>"


@st.composite
def system_xml(draw: st.DrawFn) -> str:
    """Returns a recall, or a sentence as a template with ids for names."""
    number = draw(st.sampled_from(["revokemsg", "pat", "sysmsgtemplate", "delchatroommember", "other"]))
    template = f'<template>"${{{SECRET}}}" 拍了拍 "$username$"</template>'
    member = f"<memberlist><member>{elements(draw(ids), [])}</member></memberlist>"
    links = f'<link_list><link name="username">{member}</link></link_list>'
    text = draw(st.sampled_from([template, f"<content_template>{template}{links}</content_template>"]))
    revoked = '<msgid>5</msgid><replacemsg>"words" 撤回了一条消息</replacemsg>'
    return f'<sysmsg type="{number}"><{number}>{text}{elements(draw(ids), draw(shown))}{revoked}</{number}></sysmsg>'


def hostile_entry(number: int, xml: str, writer: str, *, plain: bool) -> dict[str, Any]:
    prefix = f"{BOB}:<br/>" if writer == FAMILY and number not in {10000, 10002} else ""
    person = {"UserName": SECRET, "Ticket": TICKET, "NickName": "words", "Content": "words", "QQNum": 5}
    return entry(
        MsgType=number,
        FromUserName=writer,
        Content=prefix + (xml if plain else escaped(xml)),
        MediaId=SECRET,
        EncryFileName=SECRET,
        Ticket=TICKET,
        StatusNotifyUserName=SECRET,
        RecommendInfo=person,
        AppInfo={"AppID": SECRET},
        ImgStatus=2,
    )


def published(item: Message | Event) -> str:
    if isinstance(item, Message):
        return str([item.id, item.key, item.text, item.detail, item.sender_name, item.kind])
    people = [member.shown_name for members in item.people.values() for member in members]
    return str([item.key, item.name, item.fields, people])


def assert_without_secrets(item: Message | Event | None) -> None:
    text = "" if item is None else published(item)
    for secret in (SECRET, TICKET, *HANDLES):
        assert secret not in text


# Not those in which a person or WeChat typed all that stands there.
MESSAGE_TYPES = sorted({*MsgType, 66, 77} - {1, 2, 11, 12, 10000})


@settings(max_examples=repetitions(100, 2000), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.tuples(st.just(49), app_xml())
    | st.tuples(st.just(10002), system_xml())
    | st.tuples(st.sampled_from(MESSAGE_TYPES), other_xml()),
    st.sampled_from([WIFE, FAMILY, ME]),
    st.booleans(),
)
def test_no_message_and_no_event_carries_one(sample: tuple[int, str], writer: str, plain: bool) -> None:
    number, xml = sample
    assert_without_secrets(
        messages.read_message(hostile_entry(number, xml, writer, plain=plain), roster(), "en", 0)
    )


@every_row("writer", [WIFE, FAMILY, ME])
@every_row("number", AppType)
def test_every_app_type_with_ids_everywhere(number: int, writer: str) -> None:
    everything = elements(IDS, ["title", "nickname"])
    parts = "".join(f"<{part}>{everything}</{part}>" for part in ("refermsg", "weappinfo", "wcpayinfo"))
    xml = f"<msg {attributes(IDS)}><appmsg><type>{number}</type>{everything}{parts}</appmsg></msg>"
    for plain in (True, False):
        found = messages.read_message(hostile_entry(49, xml, writer, plain=plain), roster(), "zh", 0)
        assert isinstance(found, Message)
        assert_without_secrets(found)


def test_a_friend_request_keeps_its_ticket_for_the_backend() -> None:
    found = messages.read_message(hostile_entry(37, "<msg/>", "fmessage", plain=True), roster(), "en", 0)
    assert isinstance(found, Event)
    assert_without_secrets(found)
    assert found.private == {"ticket": TICKET, "username": SECRET}


async def test_news_of_groups_name_nobody_by_an_id(online: WebWxRig) -> None:
    def group(*members: str) -> dict[str, Any]:
        listed = [{"UserName": handle, "NickName": f"name {n}"} for n, handle in enumerate(members)]
        return {"UserName": FAMILY, "NickName": "g", "MemberCount": len(members), "MemberList": listed}

    online.put("webwxbatchgetcontact", answer(ContactList=[group(ME, SECRET, WIFE)]))
    await online.know(group(ME, SECRET, WIFE))
    notice = entry(MsgId="9", MsgType=10000, FromUserName=FAMILY, Content='你将"name 1"移出了群聊')
    items = (await online.receive(notice, ModContactList=[group(ME, WIFE)])).items
    assert [type(item) for item in items] == [Event, Message]
    for item in items:
        assert isinstance(item, Message | Event)
        assert_without_secrets(item)
