"""Tables of the numbers in the protocol and their meaning (webwx 1.3, 2.3, 2.10, 3.2)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from wx2mqtt.model import FILEHELPER


class Ret(IntEnum):
    """`BaseResponse.Ret`, and the retcode of synccheck (webwx 1.3.1)."""

    OK = 0
    SYSTEM_ERROR = -1
    TICKET_ERROR = -14
    NOT_NOW = 3
    NO_SESSION = 1100
    SESSION_INVALID = 1101
    COOKIE_INVALID = 1102
    SESSION_OVER = 1103
    LOGIN_REFUSED = 1203
    NOT_A_FRIEND = 1204
    TOO_OFTEN = 1205


# The login has ended. Servers use these codes inconsistently, so all are treated alike (webwx 8.6).
SESSION_ENDED = frozenset({Ret.NO_SESSION, Ret.SESSION_INVALID, Ret.COOKIE_INVALID, Ret.SESSION_OVER})

# A later attempt may succeed: -1 may be temporary, and 3 may precede the end of a login (webwx 1.3).
RETRY_LATER_CODES = frozenset({Ret.SYSTEM_ERROR, Ret.NOT_NOW})


class ScanStatus(StrEnum):
    """The state of a QR code or push login in the answer of a login poll (webwx 2.3.3)."""

    WAITING = "waiting"
    SCANNED = "scanned"
    CONFIRMED = "confirmed"
    OVER = "over"


# The state by `window.code` of the answer.
SCAN_CODES = {
    408: ScanStatus.WAITING,
    201: ScanStatus.SCANNED,
    200: ScanStatus.CONFIRMED,
    202: ScanStatus.OVER,  # Cancelled on the phone.
    400: ScanStatus.OVER,  # The code has expired, or is unknown.
    402: ScanStatus.OVER,
    500: ScanStatus.OVER,
    0: ScanStatus.OVER,
}


class MsgType(IntEnum):
    """`MsgType` of an AddMsgList entry (webwx 3.2.1)."""

    TEXT = 1
    HTML = 2
    IMAGE = 3
    PRIVATE_TEXT = 11
    PRIVATE_HTML = 12
    PRIVATE_IMAGE = 13
    VOICE = 34
    PUSH_MAIL = 35
    QQ_MESSAGE = 36
    FRIEND_REQUEST = 37
    PUSH_SYSTEM = 38
    QQ_IMAGE = 39
    POSSIBLE_FRIEND = 40
    CARD = 42
    VIDEO = 43
    VIDEO_EXPORT = 44
    STICKER = 47
    LOCATION = 48
    APP = 49
    VOIP = 50
    STATUS_NOTIFY = 51
    VOIP_END = 52
    VOIP_INVITE = 53
    MICRO_VIDEO = 62
    NOTICE = 9999
    SYSTEM_TEXT = 10000
    SYSTEM_XML = 10002


class AppType(IntEnum):
    """`type` inside the XML of a message 49 (webwx 3.6.3)."""

    NOT_ON_WEB = 0
    TEXT = 1
    IMAGE = 2
    MUSIC = 3
    VIDEO_LINK = 4
    LINK = 5
    FILE = 6
    OPEN_APP = 7
    STICKER = 8
    VOICE_REMINDER = 9
    SCANNED_PRODUCT = 10
    PRODUCT = 13
    STICKER_SET = 15
    COUPON = 16
    LIVE_LOCATION = 17
    CHAT_HISTORY = 19
    NOTE = 24
    MINI_PROGRAM = 33
    MINI_PROGRAM_PAGE = 36
    CHANNELS = 51
    GROUP_NOTE = 53
    QUOTE = 57
    PAT = 62
    CHANNELS_LIVE = 63
    ANNOUNCEMENT = 87
    GIFT = 115
    TRANSFER = 2000
    RED_PACKET = 2001
    READER = 100001


# Messages of these types are for programs, or say nothing that the web client could show.
NEVER_SHOWN = frozenset(
    {
        MsgType.PUSH_MAIL,
        MsgType.QQ_MESSAGE,
        MsgType.PUSH_SYSTEM,
        MsgType.QQ_IMAGE,
        MsgType.POSSIBLE_FRIEND,
        MsgType.STATUS_NOTIFY,
        MsgType.NOTICE,
    }
)

# The `state` of the event about a call.
CALL_STATES = {MsgType.VOIP: "call", MsgType.VOIP_END: "ended", MsgType.VOIP_INVITE: "invited"}

# SubMsgType of a location in an entry of MsgType TEXT (webwx 3.8.1).
LOCATION_SUBTYPE = 48


class NotifyCode(IntEnum):
    """`Code` of webwxstatusnotify and `StatusNotifyCode` of a message 51 (webwx 2.7.1, 3.9.1)."""

    READ = 1
    INITED = 3
    SYNC_CONV = 4


# Bit of the `ContactFlag` of a contact that the address book lists (webwx 4.1.2).
LISTED_FLAG = 1

# Bit of the `VerifyFlag` of an official account (webwx 4.1.3).
OFFICIAL_FLAG = 8

# `MemberStatus` of somebody who deleted the owner, in the answer to a group change (webwx 2.19.4).
DELETED_OWNER_STATUS = 4

# Accounts whose handle is the same in every login (webwx 4.3.2). Nobody can choose one of these names.
SPECIAL_ACCOUNTS = frozenset(
    {
        "weibo",
        "qqmail",
        "fmessage",
        "tmessage",
        "qmessage",
        "qqsync",
        "floatbottle",
        "lbsapp",
        "shakeapp",
        "medianote",
        "qqfriend",
        "readerapp",
        "newsapp",
        "blogapp",
        "facebookapp",
        "masssendapp",
        "meishiapp",
        "feedsapp",
        "voip",
        "blogappweixin",
        "weixin",
        "brandsessionholder",
        "weixinreminder",
        "wxid_novlwrv3lqwv11",
        "gh_22b87fa7cb3c",
        "officialaccounts",
        "notification_messages",
        "wxitil",
        "userexperience_alarm",
        "notifymessage",
        FILEHELPER,
    }
)

# People are invited to a group of this size, and must agree (webwx 2.19.3).
INVITE_REQUIRED_MEMBERS = 40

# Endings of handles that are no chats.
HIDDEN_SUFFIXES = ("@lbsroom", "@talkroom")
