"""The table of message kinds: what each kind is, how it is described, labelled and sent.

A new kind is a member of `model.Kind`, a row here, and a reader in the `protocol` package of each backend
that receives it: in `MESSAGE_READERS` (webwx `messages.py`), in `APP_READERS` where it is an app message
(webwx `app_messages.py`), in `ITEM_READERS` (ilink `messages.py`). The schemas, the placeholders, the
names on the status page, the kinds that a command can send and the table of
docs/en/reference/kinds.md are made from these rows.
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
_AMOUNT_PATTERN = r"^\d+(\.\d+)?$"


@frozen
class MessageKind:
    """One kind of message. Pairs of texts are English and Chinese.

    `label` is the placeholder of a message that has no text of its own; None where there always is a text, or
    where each backend has a placeholder of its own. `page_name` is shown on the status page. `keys` are the
    JSON Schemas of the object named after the kind, without those that all files have (`has_media`).
    `is_attachment` is true where a command can send a file as this kind; the formats that WeChat takes are in
    `Capabilities.media`.

    The rest is its row in the documentation: `about` says what the kind is, `documented_keys` are the keys
    of its object, `bytes_note` says which bytes there are, `send_note` in which form it can be sent (empty:
    not at all).
    """

    about: str
    page_name: tuple[str, str]
    label: tuple[str, str] | None = None
    keys: Mapping[str, Schema] = field(default_factory=dict)
    has_media: bool = False
    is_attachment: bool = False
    documented_keys: tuple[str, ...] = ()
    bytes_note: str = ""
    send_note: str = ""


MESSAGE_KINDS: dict[Kind, MessageKind] = {
    Kind.TEXT: MessageKind(
        about="what somebody typed; also texts of apps, group lists (接龙) and announcements",
        page_name=("text", "文字"),
        send_note="yes",
    ),
    Kind.IMAGE: MessageKind(
        about="a picture",
        page_name=("picture", "图片"),
        label=("[image]", "[图片]"),
        has_media=True,
        keys=_THUMBNAIL,
        is_attachment=True,
        bytes_note="whole and `thumbnail`",
        send_note="JPEG, PNG, BMP; iLink: WebP, GIF, too",
    ),
    Kind.VOICE: MessageKind(
        about="a voice message",
        page_name=("voice", "语音"),
        label=("[voice]", "[语音]"),
        has_media=True,
        keys={
            "duration": number("seconds", minimum=0),
            "transcript": boolean("the text is what WeChat heard, in writing"),
        },
        documented_keys=("duration", "transcript"),
        bytes_note="MP3, on iLink SILK",
        send_note="as a file",
    ),
    Kind.VIDEO: MessageKind(
        about="a video",
        page_name=("video", "视频"),
        label=("[video]", "[视频]"),
        has_media=True,
        keys={**_THUMBNAIL, "duration": number("seconds", minimum=0)},
        is_attachment=True,
        documented_keys=("duration",),
        bytes_note="whole and `thumbnail`",
        send_note="MP4",
    ),
    Kind.STICKER: MessageKind(
        about="a sticker, also dice (`result` 1 to 6) and `rock_paper_scissors`",
        page_name=("sticker", "表情"),
        label=("[sticker]", "[表情]"),
        has_media=True,
        keys={
            "game": enumeration(("dice", "rock_paper_scissors"), "a sticker that rolls a result"),
            "result": enumeration(("1", "2", "3", "4", "5", "6", "rock", "paper", "scissors")),
        },
        documented_keys=("width", "height", "game", "result"),
        bytes_note="whole",
        send_note="GIF",
    ),
    Kind.FILE: MessageKind(
        about="a file",
        page_name=("file", "文件"),
        label=("[file]", "[文件]"),
        has_media=True,
        is_attachment=True,
        documented_keys=("name", "size"),
        bytes_note="whole",
        send_note="any",
    ),
    Kind.LINK: MessageKind(
        about="an article, a song (`audio`), a video, something from a shop, a coupon, a gift, a post of "
        "Channels (视频号)",
        page_name=("link", "链接"),
        label=("[link]", "[链接]"),
        keys={
            **_ARTICLE,
            **_THUMBNAIL,
            "source": string("who published it"),
            "audio": string("the song itself"),
            "items": array(object_of("", {}, _ARTICLE), "further articles of the same message"),
        },
        documented_keys=("title", "description", "url", "source", "audio", "items"),
        bytes_note="`thumbnail`",
    ),
    Kind.MINI_PROGRAM: MessageKind(
        about="a mini program",
        page_name=("mini program", "小程序"),
        label=("[mini program]", "[小程序]"),
        keys={
            **_THUMBNAIL,
            "title": string(),
            "url": string("what is shown where there are no mini programs"),
            "app": string("its name"),
            "page": string("the page within it"),
        },
        documented_keys=("title", "url", "app", "page"),
        bytes_note="`thumbnail`",
    ),
    Kind.LOCATION: MessageKind(
        about="a place; or that somebody shares where they are (`live`)",
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
        documented_keys=("lat", "lon", "label", "address", "live"),
        bytes_note="a map as `thumbnail`",
    ),
    Kind.CARD: MessageKind(
        about="somebody's contact card",
        page_name=("contact card", "名片"),
        label=("[contact card]", "[名片]"),
        keys={"name": string(), "alias": string("WeChat ID"), "province": string(), "city": string()},
        documented_keys=("name", "alias", "province", "city"),
    ),
    Kind.QUOTE: MessageKind(
        about="a reply: `text` is what was written now, the object what it answers",
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
        documented_keys=("id", "kind", "text", "sender", "user", "self", "command_id"),
    ),
    Kind.CHAT_HISTORY: MessageKind(
        about="a forwarded conversation, or a note",
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
        documented_keys=("title", "items"),
        bytes_note="`thumbnail`",
    ),
    Kind.TRANSFER: MessageKind(
        about="money for one person",
        page_name=("transfer", "转账"),
        label=("[transfer]", "[转账]"),
        keys={
            **_THUMBNAIL,
            "amount": string("a decimal number", pattern=_AMOUNT_PATTERN),
            "currency": string("such as CNY"),
            "note": string(),
            "state": enumeration(("pending", "accepted", "returned")),
        },
        documented_keys=("amount", "currency", "note", "state"),
    ),
    Kind.RED_PACKET: MessageKind(
        about="a red packet; what is in it nobody is told",
        page_name=("red packet", "红包"),
        label=("[red packet]", "[红包]"),
        keys={
            **_THUMBNAIL,
            "note": string(),
            "amount": string(pattern=_AMOUNT_PATTERN),
            "currency": string(),
        },
        documented_keys=("note",),
    ),
    Kind.SYSTEM: MessageKind(
        about="WeChat's own words: who joined, an end of sharing; and a pat, with its sender",
        page_name=("system", "系统消息"),
        label=("[system message]", "[系统消息]"),
    ),
    Kind.UNSUPPORTED: MessageKind(
        about="what WeChat does not show here, or newer than this program",
        page_name=("unsupported", "不支持的类型"),
        keys={
            "type": {"description": "WeChat's number for it", "type": "integer"},
            "app": {"description": "its number among app messages", "type": "integer"},
            "length": integer("characters of what could not be read"),
        },
        documented_keys=("type", "app", "length"),
    ),
}
"""In the order in which they are documented. A key that is not known is absent from a message."""


def attachment_kinds() -> tuple[Kind, ...]:
    """The kinds as which a command can send a file."""
    return tuple(kind for kind, row in MESSAGE_KINDS.items() if row.is_attachment)
