"""Every kind of message that WeChat brings (webwx 3.2, 3.6, 3.8 to 3.11), as the fields of its entry. Pure.

`build` looks a kind up in one table of functions; what differs by language stands in `phrases.py`.
"""

from __future__ import annotations

import functools

from wx2mqtt.simulator import messages, system_message_kinds
from wx2mqtt.simulator.app_message_kinds import APP_KINDS, app
from wx2mqtt.simulator.media import MessageMedia
from wx2mqtt.simulator.message_spec import Builder, Fields, MessageDetails, MessageRequest
from wx2mqtt.simulator.messages import recommend
from wx2mqtt.simulator.system_message_kinds import SYSMSG_KINDS
from wx2mqtt.simulator.system_texts import SYSTEM_TEXTS, phrase
from wx2mqtt.simulator.world import WorldContact


class UnknownKind(ValueError):
    """No such kind of message."""


def build(
    kind: str,
    text: str,
    msg_id: int,
    author: WorldContact,
    details: MessageDetails,
    *,
    media: MessageMedia | None = None,
) -> Fields:
    """The fields of a message of that kind; raises `UnknownKind`."""
    spec = MessageRequest(text=text, msg_id=msg_id, author=author, details=details, media=media)
    check(kind)
    if kind.startswith("system:"):
        return _system_text(spec, kind.removeprefix("system:"))
    if kind in APP_KINDS:
        values = {"size": spec.length, **details.values, "language": details.language}
        return app(kind, text, msg_id, values)
    return _BUILDERS[kind](spec)


def check(kind: str) -> None:
    """Raise `UnknownKind` when there is no such kind."""
    if kind not in all_kinds():
        raise UnknownKind(f"no kind is named {kind!r}; there are: {', '.join(all_kinds())}")


@functools.cache
def all_kinds() -> tuple[str, ...]:
    """The names of all kinds."""
    return tuple(sorted([*_BUILDERS, *APP_KINDS, *(f"system:{name}" for name in SYSTEM_TEXTS)]))


def file_name(kind: str, text: str) -> str:
    """The name of the file that a message brings; only files have one."""
    return (text or APP_KINDS[kind].title) if kind == "file" else ""


def is_system(kind: str) -> bool:
    """Whether WeChat itself says it: no member's prefix in a group (webwx 3.5.3)."""
    return kind.partition(":")[0] == "system" or kind in SYSMSG_KINDS


def _text(spec: MessageRequest) -> Fields:
    return {"MsgType": 1, "Content": messages.text(spec.text)}


def _image(spec: MessageRequest) -> Fields:
    content = (
        f'<?xml version="1.0"?>\n<msg>\n\t<img aeskey="a1" encryver="1" cdnmidimgurl="30" '
        f'length="{spec.length}" md5="0cc175b9c0f1b6a831c399e269772661" '
        f'hdlength="{spec.length * 6}" />\n</msg>\n'
    )
    return {"MsgType": 3, "Content": messages.xml(content), "ImgStatus": 2, "ImgWidth": 120, "ImgHeight": 90}


def _image_token(_: MessageRequest) -> Fields:
    return {"MsgType": 3, "Content": "@" + "5f" * 32, "ImgStatus": 2, "ImgWidth": 120, "ImgHeight": 90}


def _voice(spec: MessageRequest) -> Fields:
    length = spec.details.number("milliseconds", 3200)
    content = (
        f'<msg><voicemsg endflag="1" length="{spec.length}" voicelength="{length}" voiceformat="4" /></msg>'
    )
    return {"MsgType": 34, "Content": messages.xml(content), "VoiceLength": length}


def _video(msg_type: int) -> Builder:
    def fields(spec: MessageRequest) -> Fields:
        seconds = spec.details.number("seconds", 9)
        content = (
            f'<?xml version="1.0"?>\n<msg>\n\t<videomsg aeskey="a1" cdnthumbwidth="224" cdnthumbheight="398" '
            f'length="{spec.length}" playlength="{seconds}" />\n</msg>\n'
        )
        return {
            "MsgType": msg_type,
            "Content": messages.xml(content),
            "PlayLength": seconds,
            "ImgStatus": 2,
            "ImgWidth": 224,
            "ImgHeight": 398,
        }

    return fields


def _sticker(spec: MessageRequest) -> Fields:
    game = spec.details.number("game", 0)
    known = spec.media and spec.media.content
    content = (
        f'<msg><emoji fromusername = "a" tousername = "b" type="2" md5="{known.md5 if known else ""}" '
        f'len = "{spec.length}" cdnurl = "http://emoji.qpic.cn/x" width= "240" height= "240" '
        'productid="" />'
        f'<gameext type="{game}" content="{spec.details.number("result", 0)}" /></msg>'
    )
    return {
        "MsgType": 47,
        "Content": messages.xml(content),
        "ImgStatus": 2,
        "ImgWidth": 120,
        "ImgHeight": 120,
    }


def _store_sticker(_: MessageRequest) -> Fields:
    return {"MsgType": 47, "Content": "", "HasProductId": 1}


def _card(spec: MessageRequest) -> Fields:
    nickname = spec.details.text("nickname", "李四")
    alias = spec.details.text("alias", "lisi")
    content = (
        f'<?xml version="1.0"?>\n<msg bigheadimgurl="http://wx.qlogo.cn/x" username="wxid_card" '
        f'nickname="{messages.escape(nickname)}" alias="{alias}" province="北京" city="海淀" sign="" sex="1" '
        'certflag="0" />\n'
    )
    person = recommend(
        {
            "UserName": spec.details.text("user_name", "@" + "c4" * 32),
            "NickName": messages.name(nickname),
            "Alias": alias,
            "Province": "北京",
            "City": "海淀",
            "Scene": 17,
            "Sex": 1,
        }
    )
    return {"MsgType": 42, "Content": messages.xml(content), "RecommendInfo": person}


def _location(spec: MessageRequest) -> Fields:
    lat, lon = spec.details.text("lat", "39.9087"), spec.details.text("lon", "116.3975")
    place = spec.text or spec.details.text("label", "北京市东城区东长安街")
    path = f"/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&msgid={spec.msg_id}&pictype=location"
    poi = spec.details.text("poi", "[位置]")
    origin = (
        f'<?xml version="1.0"?>\n<msg>\n\t<location x="{lat}" y="{lon}" scale="16" '
        f'label="{messages.escape(place)}" maptype="0" poiname="{messages.escape(poi)}" />\n</msg>\n'
    )
    return {
        "MsgType": 1,
        "SubMsgType": 48,
        "OriContent": origin,
        "Url": f"http://apis.map.qq.com/uri/v1/geocoder?coord={lat},{lon}",
        "Content": f"{messages.text(place)}:<br/>{path}",
    }


def _location_48(spec: MessageRequest) -> Fields:
    return {**_location(spec), "MsgType": 48, "SubMsgType": 0}


def _friend_request(spec: MessageRequest) -> Fields:
    person = spec.author
    nickname, greeting = person.nickname, spec.text or phrase(spec.details.language, "greeting")
    ticket = f"v2_{spec.msg_id:x}@stranger"
    content = (
        f'<msg fromusername="wxid_new" encryptusername="v1_{spec.msg_id:x}@stranger" '
        f'fromnickname="{messages.escape(nickname)}" content="{messages.escape(greeting)}" '
        'sex="0" scene="30" '
        f'ticket="{ticket}" />'
    )
    info = recommend(
        {
            "UserName": spec.details.user_name_of(person.id),
            "NickName": messages.name(nickname),
            "Content": messages.text(greeting),
            "Scene": 30,
            "Ticket": ticket,
            "OpCode": 2,
        }
    )
    return {
        "MsgType": 37,
        "FromUserName": "fmessage",
        "Content": messages.xml(content),
        "RecommendInfo": info,
        "Ticket": ticket,
    }


def _plain(msg_type: int) -> Builder:
    return lambda spec: {"MsgType": msg_type, "Content": messages.text(spec.text)}


def _call(msg_type: int) -> Builder:
    content = "<voipinvitemsg><roomid>1</roomid><key>2</key><status>1</status></voipinvitemsg>"
    return lambda _: {"MsgType": msg_type, "Content": messages.xml(content)}


def _status(spec: MessageRequest) -> Fields:
    code = spec.details.number("code", 2)
    who = spec.details.text("names") or spec.details.user_name_of(spec.author.id)
    return {"MsgType": 51, "StatusNotifyCode": code, "StatusNotifyUserName": who}


def _system(spec: MessageRequest) -> Fields:
    return {"MsgType": 10000, "Content": messages.text(spec.text)}


def on_the_phone(kind: str, text: str, author: WorldContact, details: MessageDetails) -> str:
    """What the phone shows of a message: WeChat's own words where nobody wrote any."""
    variant = kind.removeprefix("system:")
    if kind in SYSMSG_KINDS:
        return text or system_message_kinds.words(kind, author, details)
    if text or variant not in SYSTEM_TEXTS:
        return text
    return _words(variant, author, details)


def _words(variant: str, author: WorldContact, details: MessageDetails) -> str:
    chinese, english = SYSTEM_TEXTS[variant]
    words = chinese if details.language == "zh_CN" else english
    named = {
        "a": details.text("a", author.nickname),
        "b": details.text("b", "李四"),
        "t": details.text("t", "新群名"),
    }
    return words.format_map(named)


def _system_text(spec: MessageRequest, variant: str) -> Fields:
    text = spec.text or _words(variant, spec.author, spec.details)
    return {"MsgType": 10000, "Content": messages.text(text)}


_BUILDERS: dict[str, Builder] = {
    "text": _text,
    "image": _image,
    "image_token": _image_token,
    "voice": _voice,
    "video": _video(43),
    "iphone_video": _video(44),
    "micro_video": _video(62),
    "sticker": _sticker,
    "store_sticker": _store_sticker,
    "card": _card,
    "location": _location,
    "location_48": _location_48,
    "friend_request": _friend_request,
    "html": _plain(2),
    "private_text": _plain(11),
    "private_html": _plain(12),
    "private_image": _plain(13),
    "mail": _plain(35),
    "qq": _plain(36),
    "push_system": _plain(38),
    "qq_image": _plain(39),
    "possible_friend": _plain(40),
    "call": _call(50),
    "call_end": _call(52),
    "call_invite": _call(53),
    "status": _status,
    "notice": _plain(9999),
    "system": _system,
    **SYSMSG_KINDS,
}
