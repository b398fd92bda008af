"""The words that every part of the bridge shares: people, messages, commands, results.

Values only, frozen. Nothing here does I/O, reads a clock or knows a backend or a broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

Handle = NewType("Handle", str)
"""A backend's name for a chat or a person; on web WeChat it changes at every login. Never published."""

Cursor = NewType("Cursor", str)
"""How far a backend has received; opaque text made by the backend, kept by the journal."""

SendKey = NewType("SendKey", str)
"""Decimal digits that name one command towards WeChat; the same on each attempt (webwx 2.12.1, 2.12.2)."""

PersonId = NewType("PersonId", int)
"""The row of a person or group in the store; the same for ever."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class ChatKind(StrEnum):
    """Kind of a chat (README, "A message")."""

    FRIEND = "friend"
    GROUP = "group"
    OFFICIAL = "official"
    SELF = "self"
    SYSTEM = "system"


class Kind(StrEnum):
    """Kind of a message (README, "Kinds")."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One person in a group, as the group shows them."""

    handle: Handle
    nickname: str = ""
    display_name: str = ""

    @property
    def shown_name(self) -> str:
        """The name that the group shows (webwx 4.4.2)."""
        return self.display_name or self.nickname


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person, group or account as a backend sees it in this login.

    `permanent_id` is an id that never changes and nobody can choose: `filehelper` and the other special
    accounts of web WeChat, a person's id on iLink; empty where there is none. `avatar` is the number of
    the picture (webwx 4.1.1: the same at the next login, changes with the picture); empty when unknown.
    `profile` holds further facts, empty ones left out (`sex`, `province`, `city`, `attributes`).
    `members` is None while a group's list is unknown. `listed` says whether the owner has it among the
    contacts, and not only met it somewhere; None where nobody says.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The account that logged in. `uin` is text, empty when the backend has none."""

    handle: Handle
    nickname: str
    uin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRef:
    """Where a backend finds the bytes of a message again; `locator` is opaque to all others, and secret.

    `size` in bytes and `mime` are what was announced: nothing may be compared with them.
    """

    locator: Mapping[str, str] = field(repr=False)
    mime: str = ""
    size: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes that are on the disk, whole: counted, named by what is in them.

    `sha256` in hex, `size` in bytes, `mime` by content. `path` is relative to the folder of the store.
    `width` and `height` in pixels, of pictures only.
    """

    sha256: str
    size: int
    mime: str
    path: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as a backend hands it over.

    `key` is equal whenever WeChat hands the same message over again. `sender` is None for system texts.
    `sender_name` is the name shown in that group, else empty. `time` is in milliseconds since 1970.
    `detail` is published as the object named after the kind (`image`, `location`, …). `media` is the thing
    itself, `thumbnail` a small picture of it (also of a link or a place); None where there is none.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedMessage:
    """What a message said, as far as it is still known, for those who answer it.

    `user` is the topic level of who wrote it; of our own it is empty, and `command` is the id of the command
    that sent it.
    """

    kind: Kind
    text: str
    user: str = ""
    command_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened and is no message: a recall, a friend request, a call (README, "Events").

    `chat` and `actor` are None where nobody known is meant. `fields` are published, and so are `people`, each
    as a topic level where there is one, else as they are shown (their `handle` may be empty). `private` is
    what the backend needs to act on it later (a ticket) and is stored, never published.
    """

    key: str
    name: str
    time: int
    chat: Handle | None = None
    actor: Handle | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    people: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that is to be sent. It lies at `file`, absolute, and stays there until the attempt is over.

    `name` is what the receiver sees: never empty, never a path.
    """

    file: Path
    name: str
    blob: Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be sent to WeChat in one attempt: a text, or an attachment as what `kind` says.

    `mention` are members of the group `chat` whom a text speaks to; the backend writes their names.
    """

    chat: Handle
    kind: Kind
    text: str = ""
    mention: tuple[Handle, ...] = ()
    attachment: Attachment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Withdraw an own message."""

    chat: Handle
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRead:
    """The owner has read a chat."""

    chat: Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRemark:
    """Give a contact another remark; empty takes it away."""

    person: Handle
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptFriend:
    """Say yes to a friend request; `request` is the `private` of its event."""

    request: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup:
    """A new group of the owner and these, at least two others."""

    members: tuple[Handle, ...]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMembers:
    """Bring people into a group."""

    group: Handle
    members: tuple[Handle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMembers:
    """Take people out of a group; only its owner may."""

    group: Handle
    members: tuple[Handle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameGroup:
    """Give a group another name."""

    group: Handle
    name: str


Action = Recall | MarkRead | SetRemark | AcceptFriend | CreateGroup | AddMembers | RemoveMembers | RenameGroup
"""What can be done at WeChat besides sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """WeChat did it. `group` is the new one of a `CreateGroup`, `refused` those who could not be taken in."""

    group: Contact | None = None
    refused_members: tuple[Handle, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """WeChat took a message. `message_id` is text; empty when WeChat gave none (`unconfirmed`)."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyWindow:
    """Whether WeChat takes messages to a person now (ilink 10.1).

    `until` is when it closes, or where it is shut when it opens by itself, in milliseconds since 1970; None
    where nobody knows. `left` is how many messages it still takes, None where that is not known. `why` says
    what shuts it: never_wrote, too_long_ago, quota_used, rate_limited (the only one that opens by itself),
    new_binding; empty while it is open.
    """

    open: bool
    until: int | None = None
    remaining: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What somebody asked for on `out/<user>`, checked for form only.

    `user` is the topic level exactly as received. `kind` is text, image, video, file or recall. `ttl` in
    seconds. An `id` that nobody gave is made by the bridge.
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


class Status(StrEnum):
    """How a command ended (README, "Sending")."""

    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The one result of a command; `code` is of the list in `mqtt/payloads.py`. `time` in milliseconds.

    `parts` and `parts_sent` count the messages of a text that was split, None where it was not. `fallback` is
    what became of its other way: sent, failed or uncertain; empty where it took none.
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


class LoginState(StrEnum):
    """States of a login, on `login/state` (README, "The login")."""

    STARTING = "starting"
    WAITING_FOR_SCAN = "waiting_for_scan"
    WAITING_FOR_CONFIRM = "waiting_for_confirm"
    ONLINE = "online"
    INTERRUPTED = "interrupted"
    LOGGED_OUT = "logged_out"
    REFUSED = "refused"
    STOPPED = "stopped"


class Needs(StrEnum):
    """The next step for a person, on `login/state` (README, "The login")."""

    NOTHING = "nothing"
    SCAN = "scan"
    CONFIRM = "confirm"
    CODE = "code"
    RELOGIN = "relogin"
    OTHER_BACKEND = "other_backend"
