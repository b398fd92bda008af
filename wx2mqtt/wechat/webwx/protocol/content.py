"""What a message says: its kind, a line that a person can read, and what is known besides.

The readers take an entry of AddMsgList and its content, with the sender's prefix already split off.

File names that WeChat takes and that do no harm where they arrive. Pure.

Where bytes are: the locator that is stored with a message (webwx 2.16).

It holds no key of a session. Those of now are added when it is used, also to one of an earlier login.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from wx2mqtt.i18n.bridge import Language
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
    said = webwx_placeholder(language, Kind.CARD, clean_line(str(detail.get("name", ""))))
    return Content(kind=Kind.CARD, text=said, detail=detail)


def unsupported_message(
    entry: JsonObject, content: str, language: Language, what: str = "", app: int = 0
) -> Content:
    """What the web cannot show or we cannot read: its type, that of an app message, and how long it was."""
    said = f"{webwx_placeholder(language, Kind.UNSUPPORTED)} {clean_line(what)}".strip()
    detail = content_facts(type=read_number(entry, "MsgType"), app=app or None, length=len(content))
    return Content(kind=Kind.UNSUPPORTED, text=said, detail=detail)


MAX_TITLE_BYTES = 240  # bytes of UTF-8; file systems have names of up to 255


# A name of 16 Chinese characters and `.doc` was taken and one of 17 was not, by a client that sends names
# percent-encoded: somewhere between 148 and 157 bytes lies the limit (webwx 2.14.9, IC#814).
MAX_UPLOAD_NAME_CHARACTERS = 148


MAX_EXTENSION_CHARACTERS = 12  # characters; what is longer after the last dot is no extension


_MIMES = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "video/mp4": ("mp4",),
}


_FOR_PATHS = re.compile(r'[\\/:*?"<>|]')


_SEPARATORS = re.compile(r"[\\/]")


_EXTENSION = re.compile(rf"\.([0-9A-Za-z]{{1,{MAX_EXTENSION_CHARACTERS}}})$")


_JOINER = "\u200d"  # holds composed emoji together; every other mark without a shape goes


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def title_filename(name: str, kind: Kind, mime: str) -> str:
    """The name that the receiver sees: one plain line, never empty, with the extension that fits."""
    return _cut(_named(name, kind, mime), MAX_TITLE_BYTES, _utf8)


def upload_filename(name: str, kind: Kind, mime: str) -> str:
    """The name that goes along with an upload, which has to be shorter."""
    return _cut(_named(name, kind, mime), MAX_UPLOAD_NAME_CHARACTERS, _percent_encoded)


def received_filename(name: str) -> str:
    """What a sender calls a file: a plain name that leads into no other folder; may be empty."""
    plain = _SEPARATORS.sub("_", "".join(filter(_shows, name))).strip()
    return "" if plain in {".", ".."} else _cut(plain, MAX_TITLE_BYTES, _utf8)


def extension_of(name: str) -> str:
    """What stands behind the last dot, without it; empty where that is no extension."""
    found = _EXTENSION.search(name)
    return found[1] if found else ""


def _named(name: str, kind: Kind, mime: str) -> str:
    """A clean name; a picture's or video's must end as WeChat expects, since it goes by the ending."""
    clean = _clean(name) or str(kind)
    fitting = () if kind is Kind.FILE else _MIMES.get(mime, ())
    if not fitting or extension_of(clean).lower() in fitting:
        return clean
    return f"{clean}.{fitting[0]}"


def _clean(name: str) -> str:
    composed = unicodedata.normalize("NFC", " ".join(name.split()))
    shown = "".join(character for character in composed if _shows(character))
    return " ".join(_FOR_PATHS.sub("_", shown).split()).rstrip(". ")


def _shows(character: str) -> bool:
    return character == _JOINER or unicodedata.category(character) not in _INVISIBLE


def _cut(name: str, limit: int, size: Callable[[str], int]) -> str:
    """Cut before the extension, between characters."""
    ending = name[len(name) - len(extension_of(name)) - 1 :] if extension_of(name) else ""
    stem = name.removesuffix(ending)[:limit]
    while stem and size(stem + ending) > limit:
        stem = stem[:-1].rstrip(f". {_JOINER}")
    return stem + ending


def _utf8(name: str) -> int:
    return len(name.encode())


def _percent_encoded(name: str) -> int:
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
    """Where bytes of a message are; None for one without an id, whose bytes nobody could ask for.

    Of a file the server wants three further names. `size` 0 means that none was announced.
    """
    msgid = read_message_id(entry)
    if not msgid:
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
