"""Values that all parts of the bridge share: contacts, messages, events, commands, results, login states.

Frozen dataclasses and enums. Nothing here does I/O, reads a clock, or depends on a backend or a broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import NewType

from wx2mqtt.values import frozen

Handle = NewType("Handle", str)
"""The id of a chat or person at a backend. On web WeChat it changes at every login. It is never published."""

Cursor = NewType("Cursor", str)
"""The position up to which a backend has received: opaque text of the backend, stored by the journal."""

SendKey = NewType("SendKey", str)
"""Decimal digits that identify a command at WeChat, equal on each attempt (webwx 2.12.1, 2.12.2)."""

PersonId = NewType("PersonId", int)
"""The id of a person or group in the store. It never changes."""

JSON_TYPE = "application/json"
"""The content type of most of what is published."""

FILEHELPER = "filehelper"
"""The handle and the topic name of the chat with oneself that every account of web WeChat has."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class ChatKind(StrEnum):
    """Kind of a chat (docs/en/reference/messages.md). The values are published and stored.

    To rename one, add a script to `store/sql/` for the stored rows, and accept the old value in
    `store/people.py` (`person_from_json`), which also reads `people.json`.
    """

    FRIEND = "friend"
    GROUP = "group"
    OFFICIAL = "official"
    SELF = "self"
    SYSTEM = "system"


class Kind(StrEnum):
    """Kind of a message (docs/en/reference/kinds.md); more is in `message_kinds.py`. Published, stored."""

    TEXT = "text"
    IMAGE = "image"
    VOICE = "voice"
    VIDEO = "video"
    STICKER = "sticker"
    FILE = "file"
    LINK = "link"
    MINI_PROGRAM = "mini_program"
    LOCATION = "location"
    CARD = "card"
    QUOTE = "quote"
    CHAT_HISTORY = "chat_history"
    TRANSFER = "transfer"
    RED_PACKET = "red_packet"
    SYSTEM = "system"
    UNSUPPORTED = "unsupported"


@frozen
class Member:
    """A member of a group, with the names that the group shows."""

    handle: Handle
    nickname: str = ""
    display_name: str = ""

    @property
    def shown_name(self) -> str:
        """The name that the group shows for the member (webwx 4.4.2)."""
        return self.display_name or self.nickname


@frozen
class Contact:
    """A person, group or account as a backend reports it in the current login.

    `permanent_id` never changes and cannot be chosen by anybody: `filehelper` and the other special
    accounts of web WeChat, the id of a person on iLink; empty without one. `avatar` is the number of the
    picture (webwx 4.1.1: equal at the next login, another one for another picture); empty if unknown.
    `profile` has further facts (`sex`, `province`, `city`, `attributes`), without empty ones. `members` is
    None while those of a group are unknown. `listed` is true for the owner's contacts, false for people
    only seen in a group or chat, None if the backend does not report it.
    """

    handle: Handle
    kind: ChatKind
    nickname: str = ""
    remark: str = ""
    alias: str = ""
    permanent_id: str = ""
    avatar: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Member, ...] | None = None
    listed: bool | None = None


@frozen
class Owner:
    """The account that is logged in. `uin` is a number as text, empty if the backend has none."""

    handle: Handle
    nickname: str
    uin: str = ""


@frozen
class MediaRef:
    """The reference by which a backend downloads a file. `locator` is secret, and opaque to all other parts.

    `size` (bytes) and `mime` are only announced by the sender: the file may differ.
    """

    locator: Mapping[str, str] = field(repr=False)
    mime: str = ""
    size: int | None = None
    name: str = ""


@frozen
class Blob:
    """A complete file in the store, addressed by its content.

    `sha256` in hex, `size` in bytes, `mime` by content. `path` is relative to the folder of the store.
    `width` and `height` in pixels, for images only.
    """

    sha256: str
    size: int
    mime: str
    path: str
    width: int | None = None
    height: int | None = None


@frozen
class Message:
    """A received message.

    `key` is equal when WeChat delivers the same message again. `sender` is None for system texts.
    `sender_name` is the name that the group shows, else empty. `time` in milliseconds since 1970. `detail`
    is published as the object named after the kind (`image`, `location`, …). `media` is the file,
    `thumbnail` a small image of it, which links and locations have, too.
    """

    key: str
    id: str
    chat: Handle
    chat_kind: ChatKind
    sender: Handle | None
    sender_name: str = ""
    from_self: bool = False
    kind: Kind
    text: str
    mentioned: bool = False
    time: int
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


@frozen
class QuotedMessage:
    """The stored message that a reply quotes.

    `chat` is the topic level of the chat that it is in, `user` that of its sender; it is empty where the
    sender has none. `from_self` is true for a message of the owner or of the bridge; `command_id` is the id
    of the command that sent it (of a combined message the first one), empty for a message that the owner
    wrote on the phone and for a text of the bridge's own.
    """

    kind: Kind
    text: str
    chat: str
    user: str = ""
    from_self: bool = False
    command_id: str = ""

    def author(self) -> dict[str, Json]:
        """Returns the fields of the payload that say who wrote it; empty where that is not known."""
        if self.from_self:
            return {"self": True, **({"command_id": self.command_id} if self.command_id else {})}
        return {"user": self.user} if self.user else {}


@frozen
class Event:
    """A received event, such as a recall, a friend request or a call (docs/en/reference/events.md).

    `chat` and `actor` are None if they are unknown. `fields` are published. `people` are published as topic
    levels, those without one by the name that WeChat shows (their `handle` may be empty). `private` is
    stored and never published: the backend needs it to act on the event later, such as the ticket of a
    friend request.
    """

    key: str
    name: str
    time: int
    chat: Handle | None = None
    actor: Handle | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    people: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class Attachment:
    """A file to send. `file` is absolute and exists until the attempt has ended.

    `name` is shown to the receiver. It is never empty and never a path.
    """

    file: Path
    name: str
    blob: Blob


@frozen
class Draft:
    """One message to send: a text, or an attachment of the given kind.

    `mention` are members of the group `chat` to mention in a text; the backend inserts their names.
    """

    chat: Handle
    kind: Kind
    text: str = ""
    mention: tuple[Handle, ...] = ()
    attachment: Attachment | None = None


@frozen
class Recall:
    """Withdraws a message of our own."""

    chat: Handle
    message_id: str


@frozen
class MarkRead:
    chat: Handle


@frozen
class SetRemark:
    """Sets the remark of a contact; an empty one removes it."""

    person: Handle
    remark: str


@frozen
class AcceptFriend:
    """Accepts a friend request; `request` is `private` of its event."""

    request: Mapping[str, str]


@frozen
class CreateGroup:
    """Creates a group of the owner and at least two `members`."""

    members: tuple[Handle, ...]
    name: str = ""


@frozen
class AddMembers:
    group: Handle
    members: tuple[Handle, ...]


@frozen
class RemoveMembers:
    """Removes people from a group; WeChat allows it to the group's owner only."""

    group: Handle
    members: tuple[Handle, ...]


@frozen
class RenameGroup:
    group: Handle
    name: str


Action = Recall | MarkRead | SetRemark | AcceptFriend | CreateGroup | AddMembers | RemoveMembers | RenameGroup
"""Everything that a backend can do besides sending."""


@frozen
class ActionResult:
    """A successful action. `group` is set by `CreateGroup`; `refused_members` could not be added."""

    group: Contact | None = None
    refused_members: tuple[Handle, ...] = ()


@frozen
class Receipt:
    """WeChat accepted a message. `message_id` is empty if WeChat returned none (code `unconfirmed`)."""

    message_id: str


@frozen
class ReplyWindow:
    """Whether WeChat accepts messages to a person now (ilink 10.1).

    `until`, in milliseconds since 1970, is when an open window closes or a closed one opens by itself; None
    if unknown. `remaining` is the number of messages that are still accepted, None if unknown. `reason` is
    why it is closed: never_wrote, too_long_ago, quota_used, rate_limited (only this one opens by itself) or
    new_binding; empty while it is open. `opened` is when the person wrote what opened it, by WeChat's clock:
    it names the window.
    """

    open: bool
    until: int | None = None
    remaining: int | None = None
    reason: str = ""
    opened: int | None = field(default=None, compare=False)


class Remark(StrEnum):
    """What the result of a command says besides how it ended; the sentences are in `i18n/bridge.py`."""

    RETAINED = "retained"
    BAD_RESPONSE_TOPIC = "bad_response_topic"


@frozen
class Command:
    """A command from `out/<user>` that has passed the checks of its form only.

    `user` is the topic level exactly as received. `kind` is text, image, video, file or recall. `ttl` in
    seconds. The bridge makes an `id` if the command has none. `remarks` are of how it was published.
    """

    user: str
    kind: str = "text"
    id: str = ""
    text: str = ""
    path: str = ""
    url: str = ""
    data: str = ""
    name: str = ""
    message_id: str = ""
    mention: tuple[str, ...] = ()
    ttl: float | None = None
    hold: bool = True
    priority: str = "normal"
    urgent: bool = False
    also_wechat: bool = False
    remarks: tuple[Remark, ...] = ()


# Between the texts of a combined message: a paragraph each.
COMBINED_TEXT_SEPARATOR = "\n\n"

# How the ids of the bridge's own texts begin. They have no result topic.
OWN_TEXT_ID_PREFIX = "wx2mqtt-"


def combined_text(texts: Iterable[str]) -> str:
    """Returns the text of one message that carries these texts."""
    return COMBINED_TEXT_SEPARATOR.join(texts)


def is_own_text(command_id: str) -> bool:
    """Returns whether a command is a text of the bridge's own."""
    return command_id.startswith(OWN_TEXT_ID_PREFIX)


class Status(StrEnum):
    """The final status of a command (docs/en/reference/results.md)."""

    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@frozen
class Result:
    """The single result of a command. `code` is one of `RESULT_CODES` in `mqtt/payloads.py`.

    `time` in milliseconds since 1970. `parts` and `parts_sent` count the messages of a text that was split,
    None if it was not. `fallback` is the outcome of the fallback delivery: sent, failed or uncertain; empty
    without; `summarized` is the number of commands of its summary, None without one. `bundled` is the number
    of commands that one message carried, None if it carried only this one.
    """

    id: str
    user: str
    status: Status
    code: str
    message: str = ""
    message_id: str | None = None
    time: int
    retry_after: float | None = None
    duplicate_possible: bool = False
    parts: int | None = None
    parts_sent: int | None = None
    fallback: str = ""
    bundled: int | None = None
    summarized: int | None = None


class LoginState(StrEnum):
    """State of the login, published on `login/state` (docs/en/reference/login.md)."""

    STARTING = "starting"
    WAITING_FOR_SCAN = "waiting_for_scan"
    WAITING_FOR_CONFIRM = "waiting_for_confirm"
    ONLINE = "online"
    INTERRUPTED = "interrupted"
    LOGGED_OUT = "logged_out"
    REFUSED = "refused"
    STOPPED = "stopped"


class Needs(StrEnum):
    """The next step of a person, published on `login/state` (docs/en/reference/login.md)."""

    NOTHING = "nothing"
    SCAN = "scan"
    CONFIRM = "confirm"
    CODE = "code"
    RELOGIN = "relogin"
    RENEW = "renew"
    OTHER_BACKEND = "other_backend"
