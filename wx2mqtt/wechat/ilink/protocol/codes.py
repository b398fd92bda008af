"""Numbers and words in requests and answers, and their meaning (ilink 3, 5, 6, 7, 10.3)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from wx2mqtt.model import Kind

# Error codes (ilink 10.3).
ERR_LOGGED_OUT = -14
ERR_REFUSED = -2
ERR_BUSY = -1
ERR_TOO_OFTEN = -12

# `status` of `sendtyping`.
TYPING_STARTED = 1
TYPING_STOPPED = 2

# `message_state` of every message that is sent.
STATE_FINISHED = 2


class ScanStatus(StrEnum):
    """`status` of a login poll, spelled as the server spells it."""

    WAIT = "wait"
    SCANNED = "scaned"
    REDIRECT = "scaned_but_redirect"
    NEED_CODE = "need_verifycode"
    BLOCKED = "verify_code_blocked"
    EXPIRED = "expired"
    BOUND = "binded_redirect"
    CONFIRMED = "confirmed"


class SenderType(IntEnum):
    """`message_type` of a message: who wrote it."""

    NONE = 0
    USER = 1
    BOT = 2


class ItemType(IntEnum):
    """`type` of an item."""

    TEXT = 1
    IMAGE = 2
    VOICE = 3
    FILE = 4
    VIDEO = 5


ITEM_OF_KIND: dict[Kind, ItemType] = {
    Kind.IMAGE: ItemType.IMAGE,
    Kind.VIDEO: ItemType.VIDEO,
    Kind.FILE: ItemType.FILE,
}

# `media_type` of an upload. With the numbers of `ItemType` the phone shows nothing (ilink 5.2.3).
UPLOAD_TYPES: dict[Kind, int] = {Kind.IMAGE: 1, Kind.VIDEO: 2, Kind.FILE: 3}
