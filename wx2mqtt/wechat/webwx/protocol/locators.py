"""Locators: where the media of a message is, as it is stored, and the request for it (webwx 2.16).

    {"call": "image", "msgid": "76…"}      …/webwxgetmsgimg?MsgID=76…&skey=…

It holds no session key: those of the current login are added when it is used, whichever login made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import quote, urlencode

from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.content import read_message_id
from wx2mqtt.wechat.webwx.protocol.endpoints import Endpoint
from wx2mqtt.wechat.webwx.protocol.requests import Request, build_request
from wx2mqtt.wechat.webwx.protocol.session import Session

# Accept-Encoding of a download: a compressed answer could grow without bound while it is unpacked.
NO_COMPRESSION = "identity"

# The locator of a `MediaRef`; `message_locator` and `avatar_locator` make it.
Locator = Mapping[str, str]


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


def message_locator(
    entry: JsonObject, call: MediaCall, *, mime: str = "", size: int = 0, name: str = ""
) -> MediaRef | None:
    """Returns the locator of media in a message, or None when the entry has no id to request them by.

    `size` 0 stands for an unknown size. A file has three further values that the server requires.
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


def parse_call(locator: Locator) -> MediaCall | None:
    """Returns the `call` of a locator, or None when another version of this program wrote an unknown one."""
    return _CALLS.get(locator.get("call", ""))


def fetch_request(session: Session, call: MediaCall, locator: Locator, data_ticket: str) -> Request:
    """Downloads the media of a locator.

    `data_ticket` is the cookie `webwx_data_ticket`, which webwxgetmedia requires in its query too.
    """
    endpoint = _DOWNLOADS[call]
    headers = {"Accept-Encoding": NO_COMPRESSION}
    if call is MediaCall.VIDEO:
        headers["Range"] = "bytes=0-"  # Without it the answer is empty.
    query = _download_query(session, call, locator, data_ticket)
    return build_request(session.profile, endpoint, query, headers=headers)


_DOWNLOADS: dict[MediaCall, Endpoint] = {
    MediaCall.IMAGE: endpoints.GET_IMAGE,
    MediaCall.THUMBNAIL: endpoints.GET_IMAGE,
    MediaCall.STICKER: endpoints.GET_IMAGE,
    MediaCall.VOICE: endpoints.GET_VOICE,
    MediaCall.VIDEO: endpoints.GET_VIDEO,
    MediaCall.FILE: endpoints.GET_FILE,
    MediaCall.MAP: endpoints.GET_MAP,
    MediaCall.AVATAR: endpoints.GET_AVATAR,
    MediaCall.GROUP_AVATAR: endpoints.GET_GROUP_AVATAR,
}

# `type` of webwxgetmsgimg; a picture has none.
_IMAGE_SIZES = {MediaCall.THUMBNAIL: "slave", MediaCall.STICKER: "big"}


def _download_query(session: Session, call: MediaCall, locator: Locator, data_ticket: str) -> str:
    message_id = locator.get("msgid", "")
    match call:
        case MediaCall.IMAGE | MediaCall.THUMBNAIL | MediaCall.STICKER:
            size = {"type": _IMAGE_SIZES[call]} if call in _IMAGE_SIZES else {}
            return urlencode({"MsgID": message_id, "skey": session.skey} | size)
        case MediaCall.VOICE | MediaCall.VIDEO:
            return urlencode({"msgid": message_id, "skey": session.skey})
        case MediaCall.MAP:
            return urlencode({"url": "xxx", "msgid": message_id, "pictype": "location"})
        case MediaCall.AVATAR | MediaCall.GROUP_AVATAR:
            picture = {"seq": locator.get("seq", ""), "username": locator.get("username", "")}
            return urlencode(picture | {"skey": session.skey})
        case MediaCall.FILE:
            fields = {
                **{key: locator.get(key, "") for key in ("sender", "mediaid", "encryfilename")},
                "fromuser": session.uin,
                "pass_ticket": session.pass_ticket,
                "webwx_data_ticket": data_ticket,
            }
            # Values that the server percent-encoded are sent back unchanged (webwx 1.2.6, 2.16.5).
            return "&".join(f"{key}={quote(value, '%', errors='replace')}" for key, value in fields.items())
