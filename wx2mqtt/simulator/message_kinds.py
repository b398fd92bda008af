"""Every kind of message that a web client can receive, as entry fields (webwx 3.2, 3.6, 3.8 to 3.11).

`build` looks the kind up in tables; texts that depend on the language are in `system_texts.py`.
"""

from __future__ import annotations

import functools

from wx2mqtt.simulator import messages, system_message_kinds
from wx2mqtt.simulator.app_message_kinds import APP_MESSAGE_KINDS, app_message_fields
from wx2mqtt.simulator.media import MessageMedia
from wx2mqtt.simulator.message_spec import Builder, Fields, MessageDetails, MessageSpec
from wx2mqtt.simulator.messages import recommend_info
from wx2mqtt.simulator.system_message_kinds import SYSTEM_MESSAGE_KINDS
from wx2mqtt.simulator.system_texts import SYSTEM_TEXTS, phrase
from wx2mqtt.simulator.world import WorldContact


class UnknownKind(ValueError):
    """There is no such kind of message."""


def build(
    kind: str,
    text: str,
    msg_id: int,
    author: WorldContact,
    details: MessageDetails,
    *,
    media: MessageMedia | None = None,
) -> Fields:
    """Returns the entry fields of a message of that kind; raises `UnknownKind`."""
    spec = MessageSpec(text=text, msg_id=msg_id, author=author, details=details, media=media)
    require_known_kind(kind)
    if kind.startswith("system:"):
        return _system_text(spec, kind.removeprefix("system:"))
    if kind in APP_MESSAGE_KINDS:
        values = {"size": spec.media_size, **details.values, "language": details.language}
        return app_message_fields(kind, text, msg_id, values)
    return _BUILDERS[kind](spec)


def require_known_kind(kind: str) -> None:
    """Raises `UnknownKind` when there is no such kind."""
    if kind not in all_kinds():
        raise UnknownKind(f"no kind is named {kind!r}; there are: {', '.join(all_kinds())}")


@functools.cache
def all_kinds() -> tuple[str, ...]:
    return tuple(sorted([*_BUILDERS, *APP_MESSAGE_KINDS, *(f"system:{name}" for name in SYSTEM_TEXTS)]))


def file_name(kind: str, text: str) -> str:
    """Returns the name of the file in the message; empty for kinds other than `file`."""
    return (text or APP_MESSAGE_KINDS[kind].title) if kind == "file" else ""


def is_system(kind: str) -> bool:
    """Returns whether WeChat itself is the author: no member prefix in a group (webwx 3.5.3)."""
    return kind.partition(":")[0] == "system" or kind in SYSTEM_MESSAGE_KINDS


def _text(spec: MessageSpec) -> Fields:
    return {"MsgType": 1, "Content": messages.encode_text(spec.text)}


def _image(spec: MessageSpec) -> Fields:
    content = (
        f'<?xml version="1.0"?>\n<msg>\n\t<img aeskey="a1" encryver="1" cdnmidimgurl="30" '
        f'length="{spec.media_size}" md5="0cc175b9c0f1b6a831c399e269772661" '
        f'hdlength="{spec.media_size * 6}" />\n</msg>\n'
    )
    return {
        "MsgType": 3,
        "Content": messages.encode_xml(content),
        "ImgStatus": 2,
        "ImgWidth": 120,
        "ImgHeight": 90,
    }


def _image_token(_: MessageSpec) -> Fields:
    return {"MsgType": 3, "Content": "@" + "5f" * 32, "ImgStatus": 2, "ImgWidth": 120, "ImgHeight": 90}


def _voice(spec: MessageSpec) -> Fields:
    length = spec.details.number("milliseconds", 3200)
    content = (
        f'<msg><voicemsg endflag="1" length="{spec.media_size}" '
        f'voicelength="{length}" voiceformat="4" /></msg>'
    )
    return {"MsgType": 34, "Content": messages.encode_xml(content), "VoiceLength": length}


def _video(msg_type: int) -> Builder:
    def fields(spec: MessageSpec) -> Fields:
        seconds = spec.details.number("seconds", 9)
        content = (
            f'<?xml version="1.0"?>\n<msg>\n\t<videomsg aeskey="a1" cdnthumbwidth="224" cdnthumbheight="398" '
            f'length="{spec.media_size}" playlength="{seconds}" />\n</msg>\n'
        )
        return {
            "MsgType": msg_type,
            "Content": messages.encode_xml(content),
            "PlayLength": seconds,
            "ImgStatus": 2,
            "ImgWidth": 224,
            "ImgHeight": 398,
        }

    return fields


def _sticker(spec: MessageSpec) -> Fields:
    game = spec.details.number("game", 0)
    sticker = spec.media and spec.media.content
    content = (
        f'<msg><emoji fromusername = "a" tousername = "b" type="2" md5="{sticker.md5 if sticker else ""}" '
        f'len = "{spec.media_size}" cdnurl = "http://emoji.qpic.cn/x" width= "240" height= "240" '
        'productid="" />'
        f'<gameext type="{game}" content="{spec.details.number("result", 0)}" /></msg>'
    )
    return {
        "MsgType": 47,
        "Content": messages.encode_xml(content),
        "ImgStatus": 2,
        "ImgWidth": 120,
        "ImgHeight": 120,
    }


def _store_sticker(_: MessageSpec) -> Fields:
    return {"MsgType": 47, "Content": "", "HasProductId": 1}


def _card(spec: MessageSpec) -> Fields:
    nickname = spec.details.text("nickname", "李四")
    alias = spec.details.text("alias", "lisi")
    content = (
        f'<?xml version="1.0"?>\n<msg bigheadimgurl="http://wx.qlogo.cn/x" username="wxid_card" '
        f'nickname="{messages.escape(nickname)}" alias="{alias}" province="北京" city="海淀" sign="" sex="1" '
        'certflag="0" />\n'
    )
    person = recommend_info(
        {
            "UserName": spec.details.text("user_name", "@" + "c4" * 32),
            "NickName": messages.encode_name(nickname),
            "Alias": alias,
            "Province": "北京",
            "City": "海淀",
            "Scene": 17,
            "Sex": 1,
        }
    )
    return {"MsgType": 42, "Content": messages.encode_xml(content), "RecommendInfo": person}


def _location(spec: MessageSpec) -> Fields:
    lat = spec.details.text("lat", "39.9087")
    lon = spec.details.text("lon", "116.3975")
    label = spec.text or spec.details.text("label", "北京市东城区东长安街")
    path = f"/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&msgid={spec.msg_id}&pictype=location"
    poi = spec.details.text("poi", "[位置]")
    origin = (
        f'<?xml version="1.0"?>\n<msg>\n\t<location x="{lat}" y="{lon}" scale="16" '
        f'label="{messages.escape(label)}" maptype="0" poiname="{messages.escape(poi)}" />\n</msg>\n'
    )
    return {
        "MsgType": 1,
        "SubMsgType": 48,
        "OriContent": origin,
        "Url": f"http://apis.map.qq.com/uri/v1/geocoder?coord={lat},{lon}",
        "Content": f"{messages.encode_text(label)}:<br/>{path}",
    }


def _location_48(spec: MessageSpec) -> Fields:
    return {**_location(spec), "MsgType": 48, "SubMsgType": 0}


def _friend_request(spec: MessageSpec) -> Fields:
    person = spec.author
    nickname = person.nickname
    greeting = spec.text or phrase(spec.details.language, "greeting")
    ticket = f"v2_{spec.msg_id:x}@stranger"
    content = (
        f'<msg fromusername="wxid_new" encryptusername="v1_{spec.msg_id:x}@stranger" '
        f'fromnickname="{messages.escape(nickname)}" content="{messages.escape(greeting)}" '
        'sex="0" scene="30" '
        f'ticket="{ticket}" />'
    )
    info = recommend_info(
        {
            "UserName": spec.details.user_name_of(person.id),
            "NickName": messages.encode_name(nickname),
            "Content": messages.encode_text(greeting),
            "Scene": 30,
            "Ticket": ticket,
            "OpCode": 2,
        }
    )
    return {
        "MsgType": 37,
        "FromUserName": "fmessage",
        "Content": messages.encode_xml(content),
        "RecommendInfo": info,
        "Ticket": ticket,
    }


def _plain_text(msg_type: int) -> Builder:
    return lambda spec: {"MsgType": msg_type, "Content": messages.encode_text(spec.text)}


def _call(msg_type: int) -> Builder:
    content = "<voipinvitemsg><roomid>1</roomid><key>2</key><status>1</status></voipinvitemsg>"
    return lambda _: {"MsgType": msg_type, "Content": messages.encode_xml(content)}


def _status(spec: MessageSpec) -> Fields:
    code = spec.details.number("code", 2)
    user_names = spec.details.text("names") or spec.details.user_name_of(spec.author.id)
    return {"MsgType": 51, "StatusNotifyCode": code, "StatusNotifyUserName": user_names}


def _system(spec: MessageSpec) -> Fields:
    return {"MsgType": 10000, "Content": messages.encode_text(spec.text)}


def phone_text(kind: str, text: str, author: WorldContact, details: MessageDetails) -> str:
    """Returns the text that the phone shows; WeChat's own text where the order has none."""
    variant = kind.removeprefix("system:")
    if kind in SYSTEM_MESSAGE_KINDS:
        return text or system_message_kinds.default_text(kind, author, details)
    if text or variant not in SYSTEM_TEXTS:
        return text
    return _system_phrase(variant, author, details)


def _system_phrase(variant: str, author: WorldContact, details: MessageDetails) -> str:
    chinese, english = SYSTEM_TEXTS[variant]
    template = chinese if details.language == "zh_CN" else english
    names = {
        "a": details.text("a", author.nickname),
        "b": details.text("b", "李四"),
        "t": details.text("t", "新群名"),
    }
    return template.format_map(names)


def _system_text(spec: MessageSpec, variant: str) -> Fields:
    text = spec.text or _system_phrase(variant, spec.author, spec.details)
    return {"MsgType": 10000, "Content": messages.encode_text(text)}


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
    "html": _plain_text(2),
    "private_text": _plain_text(11),
    "private_html": _plain_text(12),
    "private_image": _plain_text(13),
    "mail": _plain_text(35),
    "qq": _plain_text(36),
    "push_system": _plain_text(38),
    "qq_image": _plain_text(39),
    "possible_friend": _plain_text(40),
    "call": _call(50),
    "call_end": _call(52),
    "call_invite": _call(53),
    "status": _status,
    "notice": _plain_text(9999),
    "system": _system,
    **SYSTEM_MESSAGE_KINDS,
}
