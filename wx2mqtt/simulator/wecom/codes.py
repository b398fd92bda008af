"""The numbers that the gateway answers with, and their words (wecom 6).

Where the notes name no number, the one of WeCom's other calls is used; a client must not depend on those.
"""

from __future__ import annotations

OK = 0
SYSTEM_ERROR = -1
BAD_REQ_ID = 846605
STREAM_EXPIRED = 846608
NOT_SUBSCRIBED = 846609
BAD_CHATID = 93006
PUSH_NOT_ALLOWED = 93001
NOT_IN_GROUP = 93008
EMPTY_CONTENT = 93017
PICTURE_TOO_LARGE = 93018
BAD_BOT_ID = 93019
SPAM = 40201
CARD_ACTION_MISSING = 42045
TOO_OFTEN = 45009

# Not in the notes.
BAD_MEDIA_TYPE = 40004
BAD_MEDIA_ID = 40007
BAD_MESSAGE_TYPE = 40008
BAD_PARAMETER = 40058
FILE_TOO_LARGE = 45001
TEXT_TOO_LONG = 45002

WORDS = {
    OK: "ok",
    SYSTEM_ERROR: "system error",
    BAD_REQ_ID: "invalid req_id",
    STREAM_EXPIRED: "stream message update expired",
    NOT_SUBSCRIBED: "aibot websocket not subscribed",
    BAD_CHATID: "invalid chatid",
    PUSH_NOT_ALLOWED: "push not allowed",
    NOT_IN_GROUP: "bot not in group",
    EMPTY_CONTENT: "empty content",
    PICTURE_TOO_LARGE: "image too large",
    BAD_BOT_ID: "invalid bot id or secret",
    SPAM: "content refused by anti-spam",
    CARD_ACTION_MISSING: "missing card_action",
    TOO_OFTEN: "api freq out of limit",
    BAD_MEDIA_TYPE: "invalid media type",
    BAD_MEDIA_ID: "invalid media_id",
    BAD_MESSAGE_TYPE: "invalid message type",
    BAD_PARAMETER: "invalid parameter",
    FILE_TOO_LARGE: "file too large",
    TEXT_TOO_LONG: "content too long",
}


class Refused(Exception):
    """Ends a command with this `errcode`. `problem`: what the client did against the protocol, else empty."""

    def __init__(self, errcode: int, problem: str = "") -> None:
        super().__init__(errcode, problem)
        self.errcode = errcode
        self.problem = problem


def words(errcode: int) -> str:
    return WORDS.get(errcode, "refused")
