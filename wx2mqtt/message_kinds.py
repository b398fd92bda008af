"""The table of message kinds: how each kind is described, labelled and sent.

    Kind.VOICE    [voice] 语音, a file with it, and the keys `duration` and `transcript`

A new kind is a member of `model.Kind`, a row here, and a reader in the `protocol` package of each backend
that receives it: in `MESSAGE_READERS` (webwx `messages.py`), in `APP_READERS` where it is an app message
(webwx `app_messages.py`), in `ITEM_READERS` (ilink `messages.py`). The schemas, the placeholders, the names
on the status page and the kinds that a command can send are made from these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from wx2mqtt.json_schema import (
    Schema,
    array,
    boolean,
    enumeration,
    integer,
    number,
    object_of,
    ref,
    string,
    timestamp,
)
from wx2mqtt.model import Kind
from wx2mqtt.values import frozen

_THUMBNAIL: Mapping[str, Schema] = {"thumbnail": ref("bytes")}
_ARTICLE: Mapping[str, Schema] = {"title": string(), "description": string(), "url": string()}
_AMOUNT_PATTERN = r"^\d+(\.\d+)?$"  # 12.50


@frozen
class MessageKind:
    """One kind of message. Pairs of texts are English and Chinese."""

    #: Its name on the status page.
    page_name: tuple[str, str]
    #: The placeholder of a message that has no text of its own. None where there always is a text, or where
    #: each backend has its own placeholder.
    label: tuple[str, str] | None = None
    #: The keys of the object with the name of the kind, without those that all files have.
    keys: Mapping[str, Schema] = field(default_factory=dict)
    #: Whether a file belongs to a message of this kind.
    has_media: bool = False
    #: Whether a command can send a file as this kind. `Capabilities.media` has the formats that WeChat takes.
    is_attachment: bool = False


# A message has only those keys whose values are known.
MESSAGE_KINDS: dict[Kind, MessageKind] = {
    Kind.TEXT: MessageKind(page_name=("text", "文字")),
    Kind.IMAGE: MessageKind(
        page_name=("picture", "图片"),
        label=("[image]", "[图片]"),
        has_media=True,
        keys=_THUMBNAIL,
        is_attachment=True,
    ),
    Kind.VOICE: MessageKind(
        page_name=("voice", "语音"),
        label=("[voice]", "[语音]"),
        has_media=True,
        keys={
            "duration": number("seconds", minimum=0),
            "transcript": boolean("the text is what WeChat heard, in writing"),
        },
    ),
    Kind.VIDEO: MessageKind(
        page_name=("video", "视频"),
        label=("[video]", "[视频]"),
        has_media=True,
        keys={**_THUMBNAIL, "duration": number("seconds", minimum=0)},
        is_attachment=True,
    ),
    Kind.STICKER: MessageKind(
        page_name=("sticker", "表情"),
        label=("[sticker]", "[表情]"),
        has_media=True,
        keys={
            "game": enumeration(("dice", "rock_paper_scissors"), "a sticker that rolls a result"),
            "result": enumeration(("1", "2", "3", "4", "5", "6", "rock", "paper", "scissors")),
        },
    ),
    Kind.FILE: MessageKind(
        page_name=("file", "文件"),
        label=("[file]", "[文件]"),
        has_media=True,
        is_attachment=True,
    ),
    Kind.LINK: MessageKind(
        page_name=("link", "链接"),
        label=("[link]", "[链接]"),
        keys={
            **_ARTICLE,
            **_THUMBNAIL,
            "source": string("who published it"),
            "audio": string("the song itself"),
            "items": array(object_of("", {}, _ARTICLE), "further articles of the same message"),
        },
    ),
    Kind.MINI_PROGRAM: MessageKind(
        page_name=("mini program", "小程序"),
        label=("[mini program]", "[小程序]"),
        keys={
            **_THUMBNAIL,
            "title": string(),
            "url": string("what is shown where there are no mini programs"),
            "app": string("its name"),
            "page": string("the page within it"),
        },
    ),
    Kind.LOCATION: MessageKind(
        page_name=("place", "位置"),
        label=("[location]", "[位置]"),
        keys={
            **_THUMBNAIL,
            "lat": number("degrees", minimum=-90, maximum=90),
            "lon": number("degrees", minimum=-180, maximum=180),
            "label": string("what the place is called"),
            "address": string(),
            "live": boolean("it moves; the phone shows where"),
        },
    ),
    Kind.CARD: MessageKind(
        page_name=("contact card", "名片"),
        label=("[contact card]", "[名片]"),
        keys={"name": string(), "alias": string("WeChat ID"), "province": string(), "city": string()},
    ),
    Kind.QUOTE: MessageKind(
        page_name=("reply", "引用回复"),
        keys={
            "id": string("of the message that is answered"),
            "kind": enumeration(Kind),
            "text": string("a line of it"),
            "sender": string("a name"),
            "user": string("the topic name of who wrote it, where that is known"),
            "self": boolean("it was one of ours"),
            "command_id": string("the id of the command that sent it"),
        },
    ),
    Kind.CHAT_HISTORY: MessageKind(
        page_name=("chat history", "聊天记录"),
        label=("[chat history]", "[聊天记录]"),
        keys={
            **_THUMBNAIL,
            "title": string(),
            "items": array(
                object_of(
                    "",
                    {"kind": enumeration(Kind)},
                    {"sender": string("a name"), "text": string(), "time": timestamp("when")},
                ),
                "what was forwarded",
            ),
        },
    ),
    Kind.TRANSFER: MessageKind(
        page_name=("transfer", "转账"),
        label=("[transfer]", "[转账]"),
        keys={
            **_THUMBNAIL,
            "amount": string("a decimal number", pattern=_AMOUNT_PATTERN),
            "currency": string("such as CNY"),
            "note": string(),
            "state": enumeration(("pending", "accepted", "returned")),
        },
    ),
    Kind.RED_PACKET: MessageKind(
        page_name=("red packet", "红包"),
        label=("[red packet]", "[红包]"),
        keys={
            **_THUMBNAIL,
            "note": string(),
            "amount": string(pattern=_AMOUNT_PATTERN),
            "currency": string(),
        },
    ),
    Kind.SYSTEM: MessageKind(
        page_name=("system", "系统消息"),
        label=("[system message]", "[系统消息]"),
    ),
    Kind.UNSUPPORTED: MessageKind(
        page_name=("unsupported", "不支持的类型"),
        keys={
            "type": {"description": "WeChat's number for it", "type": "integer"},
            "app": {"description": "its number among app messages", "type": "integer"},
            "length": integer("characters of what could not be read"),
        },
    ),
}


def attachment_kinds() -> tuple[Kind, ...]:
    """The kinds as which a command can send a file."""
    return tuple(kind for kind, row in MESSAGE_KINDS.items() if row.is_attachment)
