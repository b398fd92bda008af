"""The content of a message: its kind, its text and details; also file names and media locators.

A locator holds no session key: the keys of the current login are added when it is used, even when it was made
in an earlier login. (webwx 2.14, 2.16)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from functools import partial
from urllib.parse import quote

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.names import clean_filename, cut_filename, extension_of
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.markup import NO_NODE, clean_line, clean_name, parse_xml, plain_text


@frozen
class Content:
    """The part of a `Message` that does not depend on chat and sender; fields as there."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


ContentReader = Callable[[JsonObject, str, Language], Content]
"""Reads content from an entry, its text without sender prefix, and the language of placeholders."""


def content_facts(**facts: Json) -> dict[str, Json]:
    """Returns the facts that are known; those that are None, an empty text or an empty list are left out."""
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


def text_message(_entry: JsonObject, content: str, _language: Language) -> Content:
    """Returns a text that a person typed."""
    return Content(kind=Kind.TEXT, text=plain_text(content))


def card_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a contact card, without its handle, which has no use outside of WeChat."""
    info = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    detail = content_facts(
        name=clean_name(read_text(info, "NickName")) or xml.attribute("nickname"),
        alias=clean_name(read_text(info, "Alias")) or xml.attribute("alias"),
        province=clean_name(read_text(info, "Province")) or xml.attribute("province"),
        city=clean_name(read_text(info, "City")) or xml.attribute("city"),
    )
    if not detail:
        return unsupported_message(entry, content, language)
    text = webwx_placeholder(language, Kind.CARD, clean_line(str(detail.get("name", ""))))
    return Content(kind=Kind.CARD, text=text, detail=detail)


def unsupported_message(
    entry: JsonObject, content: str, language: Language, title: str = "", app_type: int = 0
) -> Content:
    """Returns the placeholder for a message that cannot be read, with its types and its length."""
    text = f"{webwx_placeholder(language, Kind.UNSUPPORTED)} {clean_line(title)}".strip()
    detail = content_facts(type=read_number(entry, "MsgType"), app=app_type or None, length=len(content))
    return Content(kind=Kind.UNSUPPORTED, text=text, detail=detail)


# How many characters a name may have after percent-encoding. A name of 16 Chinese characters and `.doc` was
# accepted and one of 17 was not, so the limit lies between 148 and 157 (webwx 2.14.9, IC#814).
MAX_UPLOAD_NAME_CHARACTERS = 148

# The extensions by which WeChat recognizes a type; a name without one of them gets the first.
_EXTENSIONS = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "video/mp4": ("mp4",),
}


def title_filename(name: str, kind: Kind, mime: str) -> str:
    """Returns the file name that the receiver sees; never empty, with an extension that fits `mime`."""
    return _sendable_name(name, kind, mime, cut_filename)


def upload_filename(name: str, kind: Kind, mime: str) -> str:
    """Returns the file name that is sent with an upload, which has to be shorter."""
    cut = partial(cut_filename, limit=MAX_UPLOAD_NAME_CHARACTERS, size=_percent_encoded_size)
    return _sendable_name(name, kind, mime, cut)


def _sendable_name(name: str, kind: Kind, mime: str, cut: Callable[[str], str]) -> str:
    """Returns a clean name that is short enough.

    Pictures and videos get an extension by which WeChat recognizes them. The kind stands in front where only
    an ending is left.
    """
    whole = clean_filename(name) or str(kind)
    extensions = () if kind is Kind.FILE else _EXTENSIONS.get(mime, ())
    if extensions and extension_of(whole).lower() not in extensions:
        whole = f"{whole}.{extensions[0]}"
    short = cut(whole)
    has_stem = short == whole or bool(short.removesuffix(f".{extension_of(short)}"))
    return short if has_stem else f"{kind}{short}"


def _percent_encoded_size(name: str) -> int:
    return len(quote(name, safe=""))


class MediaCall(StrEnum):
    """The values of `call` in a locator: the kind of bytes that it leads to."""

    IMAGE = "image"
    THUMBNAIL = "thumbnail"
    STICKER = "sticker"
    VOICE = "voice"
    VIDEO = "video"
    FILE = "file"
    MAP = "map"
    AVATAR = "avatar"
    GROUP_AVATAR = "group_avatar"


_CALLS = {str(call): call for call in MediaCall}


def read_message_id(entry: JsonObject) -> str:
    """Returns MsgId, or else NewMsgId, which is the same number; empty when there is none (webwx 3.1.1)."""
    for key in ("MsgId", "NewMsgId"):
        message_id = read_text(entry, key)
        if message_id.strip("0"):
            return message_id
    return ""


def message_locator(
    entry: JsonObject, call: MediaCall, *, mime: str = "", size: int = 0, name: str = ""
) -> MediaRef | None:
    """Returns the locator of media in a message, or None when the entry has no id to request them by.

    `size` 0 stands for an unknown size. The locator of a file has three further values that the server
    requires.
    """
    msgid = read_message_id(entry)
    if not msgid or (call is MediaCall.FILE and not read_text(entry, "MediaId")):
        return None
    locator = {"call": call.value, "msgid": msgid}
    if call is MediaCall.FILE:
        locator |= {
            "sender": read_text(entry, "FromUserName"),
            "mediaid": read_text(entry, "MediaId"),
            "encryfilename": read_text(entry, "EncryFileName"),
        }
    return MediaRef(locator=locator, mime=mime, size=size or None, name=name)


def avatar_locator(handle: str, seq: str) -> MediaRef:
    """Returns the locator of the avatar of a person or group; `seq` is its version, or empty if unknown."""
    call = MediaCall.GROUP_AVATAR if is_group(handle) else MediaCall.AVATAR
    return MediaRef(locator={"call": str(call), "username": handle, "seq": seq or "0"})


def parse_call(locator: Mapping[str, str]) -> MediaCall | None:
    """Returns the `call` of a locator, or None when another version of this program wrote an unknown one."""
    return _CALLS.get(locator.get("call", ""))
