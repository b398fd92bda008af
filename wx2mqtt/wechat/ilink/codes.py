"""The numbers and words of iLink, by name (ilink 3.2, 5, 8.2, 10.3)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from wx2mqtt.model import Kind

LOGGED_OUT = -14
REFUSED = -2
BUSY = -1
OFTEN = -12

TYPING, NOT_TYPING = 1, 2
"""`status` of `sendtyping`."""


class Scan(StrEnum):
    """`status` of a login poll, spelled as the server does."""

    WAIT = "wait"
    SCANNED = "scaned"
    REDIRECT = "scaned_but_redirect"
    NEED_CODE = "need_verifycode"
    BLOCKED = "verify_code_blocked"
    EXPIRED = "expired"
    BOUND = "binded_redirect"
    CONFIRMED = "confirmed"


class Author(IntEnum):
    """`message_type`."""

    NONE = 0
    USER = 1
    BOT = 2


class Item(IntEnum):
    """`type` of an item."""

    TEXT = 1
    IMAGE = 2
    VOICE = 3
    FILE = 4
    VIDEO = 5


FINISHED = 2
"""`message_state` of all that we send."""

KINDS: dict[int, Kind] = {
    Item.TEXT: Kind.TEXT,
    Item.IMAGE: Kind.IMAGE,
    Item.VOICE: Kind.VOICE,
    Item.FILE: Kind.FILE,
    Item.VIDEO: Kind.VIDEO,
}

ITEMS: dict[Kind, Item] = {Kind.IMAGE: Item.IMAGE, Kind.VIDEO: Item.VIDEO, Kind.FILE: Item.FILE}

UPLOADS: dict[Kind, int] = {Kind.IMAGE: 1, Kind.VIDEO: 2, Kind.FILE: 3}
"""`media_type` of an upload: not the numbers of items, and who mixes them up shows nothing (ilink 5.2)."""
