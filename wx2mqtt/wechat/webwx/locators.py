"""Where bytes are: the locator that is stored with a message (webwx 2.16).

It holds no key of a session. Those of now are added when it is used, also to one of an earlier login.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.fields import Entry, text
from wx2mqtt.wechat.webwx.contacts import is_group
from wx2mqtt.wechat.webwx.fields import message_id


class Call(StrEnum):
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


_CALLS = {str(call): call for call in Call}


def of_message(entry: Entry, call: Call, *, mime: str = "", size: int = 0, name: str = "") -> MediaRef | None:
    """Where bytes of a message are; None for one without an id, whose bytes nobody could ask for.

    Of a file the server wants three further names. `size` 0 means that none was announced.
    """
    msgid = message_id(entry)
    if not msgid:
        return None
    locator = {"call": call.value, "msgid": msgid}
    if call is Call.FILE:
        locator |= {
            "sender": text(entry, "FromUserName"),
            "mediaid": text(entry, "MediaId"),
            "encryfilename": text(entry, "EncryFileName"),
        }
    return MediaRef(locator=locator, mime=mime, size=size or None, name=name)


def of_person(handle: str, seq: str) -> MediaRef:
    """Where the picture of somebody or of a group is; `seq` is its number, empty when it is not known."""
    call = Call.GROUP_AVATAR if is_group(handle) else Call.AVATAR
    return MediaRef(locator={"call": str(call), "username": handle, "seq": seq or "0"})


def call_of(locator: Mapping[str, str]) -> Call | None:
    """What a locator asks for; None for one that another version wrote."""
    return _CALLS.get(locator.get("call", ""))
