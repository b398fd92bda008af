"""Sample entries in WeChat's format (webwx 9, 3) with invented values."""

from __future__ import annotations

from typing import Any

from wx2mqtt.model import ChatKind, Contact, Handle, Member, Owner
from wx2mqtt.wechat.webwx.protocol.app_messages import app_message
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.hosts import ClientProfile, hosts_of
from wx2mqtt.wechat.webwx.protocol.session import Session

ME = Handle("@" + "e" * 32)

SESSION = Session(
    login_id="1",
    base="wx2.qq.com",
    profile=ClientProfile(hosts=hosts_of("wx2.qq.com")),
    handle=ME,
    nickname="",
    uin="211722515",
    sid="SID",
    skey="@crypt_KEY+/=",
    pass_ticket="a%2Bb",
    device_id="e1",
)

WIFE = Handle("@" + "a" * 64)
BOB = Handle("@" + "b" * 64)
FAMILY = Handle("@@" + "f" * 64)
NEWS = Handle("@" + "9" * 32)
OWNER = Owner(handle=ME, nickname="王小明", uin="211722515")


def entry(**fields: Any) -> dict[str, Any]:
    """Returns an entry of AddMsgList, a text from the wife, in which the given fields are replaced."""
    return {
        "MsgId": "7615282929538795099",
        "NewMsgId": 7615282929538795099,
        "FromUserName": WIFE,
        "ToUserName": ME,
        "MsgType": 1,
        "Content": "hello",
        "CreateTime": 1700000000,
        "AppMsgType": 0,
        "SubMsgType": 0,
        "StatusNotifyCode": 0,
        "StatusNotifyUserName": "",
        "FileName": "",
        "FileSize": "",
        "MediaId": "",
        "Url": "",
        "OriContent": "",
        "EncryFileName": "",
        "HasProductId": 0,
        "VoiceLength": 0,
        "PlayLength": 0,
        **fields,
    }


def escaped(xml: str) -> str:
    """Returns XML as `Content` holds it: escaped once, with `<br/>` between lines."""
    plain = xml.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return plain.replace("\n", "<br/>")


def appmsg(inside: str, after: str = "") -> str:
    """Returns the `Content` of a message 49."""
    return escaped(f'<msg>\n<appmsg appid="" sdkver="0">\n{inside}\n</appmsg>\n{after}</msg>')


def app(inside: str, after: str = "", **fields: Any) -> Content:
    """Returns a message 49 as it is read, from the content of its `appmsg` and what follows it."""
    content = appmsg(inside, after)
    return app_message(entry(MsgType=49, Content=content, **fields), content, "en")


def app_of_type(number: int, more: str = "", **fields: Any) -> Content:
    """Returns a message 49 of a type, with the title T."""
    return app(f"<title>T</title><type>{number}</type>{more}", **fields)


def bare_app(content: str = "", **fields: Any) -> Content:
    """Returns a message 49 with this content, or with none."""
    return app_message(entry(MsgType=49, Content=content, **fields), content, "en")


def roster() -> GroupMembers:
    """Returns the members of a group with the wife and Bob; an official account is known besides."""
    known = GroupMembers(OWNER)
    known.update(
        [
            Contact(handle=WIFE, kind=ChatKind.FRIEND, nickname="晓梅"),
            Contact(handle=NEWS, kind=ChatKind.OFFICIAL, nickname="News"),
            Contact(
                handle=FAMILY,
                kind=ChatKind.GROUP,
                members=(
                    Member(handle=ME, nickname="王小明", display_name="Papa W"),
                    Member(handle=WIFE, nickname="晓梅"),
                    Member(handle=BOB, nickname="Bob", display_name="Uncle"),
                ),
            ),
        ]
    )
    return known
