"""The content of a message: its kind, a readable line, and what else is known; file names and locators.

Readers take an entry of AddMsgList and its content, without the sender's prefix. A locator holds no key of
a session: the current keys are added when it is used, also to one of an earlier login. (webwx 2.14, 2.16)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from wx2mqtt.file_names import clean_filename, cut_filename, extension_of
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.markup import (
    NO_NODE,
    clean_line,
    clean_name,
    parse_xml,
    plain_text,
    read_message_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message without its frame; the fields are those of `Message`."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


ContentReader = Callable[[JsonObject, str, Language], Content]
"""From an entry, its content without the group prefix, and the language of placeholders."""


def content_facts(**known: Json) -> dict[str, Json]:
    """What is known; a key that is not known is absent."""
    return {key: value for key, value in known.items() if value not in (None, "", [])}


def text_message(_entry: JsonObject, content: str, _language: Language) -> Content:
    """What a person typed."""
    return Content(kind=Kind.TEXT, text=plain_text(content))


def card_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Somebody's contact card. Its id is good for nothing outside of WeChat, and stays there."""
    told = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    detail = content_facts(
        name=clean_name(read_text(told, "NickName")) or xml.attribute("nickname"),
        alias=clean_name(read_text(told, "Alias")) or xml.attribute("alias"),
        province=clean_name(read_text(told, "Province")) or xml.attribute("province"),
        city=clean_name(read_text(told, "City")) or xml.attribute("city"),
    )
    if not detail:
        return unsupported_message(entry, content, language)
    text = webwx_placeholder(language, Kind.CARD, clean_line(str(detail.get("name", ""))))
    return Content(kind=Kind.CARD, text=text, detail=detail)


def unsupported_message(
    entry: JsonObject, content: str, language: Language, what: str = "", app: int = 0
) -> Content:
    """What the web cannot show or we cannot read: its type, that of an app message, and how long it was."""
    text = f"{webwx_placeholder(language, Kind.UNSUPPORTED)} {clean_line(what)}".strip()
    detail = content_facts(type=read_number(entry, "MsgType"), app=app or None, length=len(content))
    return Content(kind=Kind.UNSUPPORTED, text=text, detail=detail)


# A name of 16 Chinese characters and `.doc` was taken and one of 17 was not, by a client that sends names
# percent-encoded: somewhere between 148 and 157 bytes lies the limit (webwx 2.14.9, IC#814).
MAX_UPLOAD_NAME_CHARACTERS = 148

_EXTENSIONS = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "video/mp4": ("mp4",),
}


def title_filename(name: str, kind: Kind, mime: str) -> str:
    """The name that the receiver sees: never empty, with the extension that fits."""
    return cut_filename(_with_extension(name, kind, mime))


def upload_filename(name: str, kind: Kind, mime: str) -> str:
    """The name that goes along with an upload, which has to be shorter."""
    return cut_filename(_with_extension(name, kind, mime), MAX_UPLOAD_NAME_CHARACTERS, _percent_encoded_size)


def received_filename(name: str) -> str:
    """The name that a sender gave a file; may be empty."""
    return cut_filename(clean_filename(name))


def _with_extension(name: str, kind: Kind, mime: str) -> str:
    """A clean name; a picture's or video's must end as WeChat expects, since it goes by the ending."""
    clean = clean_filename(name) or str(kind)
    fitting = () if kind is Kind.FILE else _EXTENSIONS.get(mime, ())
    if not fitting or extension_of(clean).lower() in fitting:
        return clean
    return f"{clean}.{fitting[0]}"


def _percent_encoded_size(name: str) -> int:
    return len(quote(name, safe=""))


class MediaCall(StrEnum):
    """What a locator's `call` may be."""

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


def message_locator(
    entry: JsonObject, call: MediaCall, *, mime: str = "", size: int = 0, name: str = ""
) -> MediaRef | None:
    """Where bytes of a message are; None where WeChat gave no id with which they could be asked for.

    Of a file the server wants three further values. `size` 0 means that none was announced.
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
    """Where the picture of somebody or of a group is; `seq` is its number, empty when it is not known."""
    call = MediaCall.GROUP_AVATAR if is_group(handle) else MediaCall.AVATAR
    return MediaRef(locator={"call": str(call), "username": handle, "seq": seq or "0"})


def parse_call(locator: Mapping[str, str]) -> MediaCall | None:
    """What a locator asks for; None for one that another version wrote."""
    return _CALLS.get(locator.get("call", ""))
