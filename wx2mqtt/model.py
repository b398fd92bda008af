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

# The id of a chat or person at a backend. On web WeChat it changes at every login. It is never published.
Handle = NewType("Handle", str)

# The position up to which a backend has received: opaque text of the backend, stored by the journal.
Cursor = NewType("Cursor", str)

# Decimal digits that identify a command at WeChat, equal on each attempt (webwx 2.12.1, 2.12.2).
SendKey = NewType("SendKey", str)

# The id of a person or group in the store. It never changes.
PersonId = NewType("PersonId", int)

# The content type of most of what is published.
JSON_TYPE = "application/json"

# The handle and the topic name of the chat with oneself that every account of web WeChat has.
FILEHELPER = "filehelper"

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
    """A person, group or account as a backend reports it in the current login."""

    handle: Handle
    kind: ChatKind
    nickname: str = ""
    remark: str = ""
    alias: str = ""
    #: Never changes, and nobody can choose it: `filehelper` and the other special accounts of web WeChat, the
    #: id of a person on iLink. Empty without one.
    permanent_id: str = ""
    #: The number of the picture (webwx 4.1.1: equal at the next login, another one for another picture).
    avatar: str = ""
    #: Further facts that are not empty: `sex`, `province`, `city`, `attributes`.
    profile: Mapping[str, str] = field(default_factory=dict)
    #: Of a group; None while they are unknown.
    members: tuple[Member, ...] | None = None
    #: True for the owner's contacts, false for people only seen in a group or chat, None where unknown.
    listed: bool | None = None


@frozen
class Owner:
    """The account that is logged in."""

    handle: Handle
    nickname: str
    #: A number as text, empty if the backend has none.
    uin: str = ""


@frozen
class MediaRef:
    """The reference by which a backend downloads a file; size and type are announced, the file may differ."""

    #: Secret, and opaque to all but the backend.
    locator: Mapping[str, str] = field(repr=False)
    mime: str = ""
    #: In bytes.
    size: int | None = None
    name: str = ""


@frozen
class Blob:
    """A complete file in the store, addressed by its content."""

    #: In hex.
    sha256: str
    #: In bytes.
    size: int
    #: By its content.
    mime: str
    #: Relative to the folder of the store.
    path: str
    #: In pixels, for images only.
    width: int | None = None
    height: int | None = None


@frozen
class Message:
    """A received message."""

    #: Equal when WeChat delivers the same message again.
    key: str
    id: str
    chat: Handle
    chat_kind: ChatKind
    #: None for system texts.
    sender: Handle | None
    #: The name that the group shows, else empty.
    sender_name: str = ""
    from_self: bool = False
    kind: Kind
    text: str
    mentioned: bool = False
    #: In milliseconds since 1970.
    time: int
    #: Published as the object named after the kind (`image`, `location`, …).
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    #: A small image; links and locations have one, too.
    thumbnail: MediaRef | None = None


@frozen
class QuotedMessage:
    """The stored message that a reply quotes."""

    kind: Kind
    text: str
    #: The topic name of the chat that it is in.
    chat: str
    #: The topic name of its sender; empty where the sender has none.
    user: str = ""
    #: It is a message of the owner or of the bridge.
    from_self: bool = False
    #: Of the command that sent it, of a combined message the first one; empty for a message that the owner
    #: wrote on the phone, and for a text of the bridge's own.
    command_id: str = ""

    def author(self) -> dict[str, Json]:
        """Returns the fields of the payload that say who wrote it; empty where that is not known."""
        if self.from_self:
            return {"self": True, **({"command_id": self.command_id} if self.command_id else {})}
        return {"user": self.user} if self.user else {}


@frozen
class Button:
    """A button of a question: what is shown, and how an answer names it."""

    #: 1 to 10 characters.
    text: str
    #: 1 to 128 characters; differs from those of the other buttons.
    key: str


@frozen
class ButtonPress:
    """Somebody pressed a button of a card that the bridge sent."""

    #: Equal when WeChat delivers the same press again.
    key: str
    chat: Handle
    #: The person who pressed it.
    sender: Handle
    #: `Draft.card_id` of the card.
    card_id: str
    #: `Button.key` of the pressed button.
    button: str
    #: In milliseconds since 1970.
    time: int
    #: Never published: what the backend needs to update the card.
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class Event:
    """A received event, such as a recall, a friend request or a call (docs/en/reference/events.md)."""

    key: str
    name: str
    time: int
    #: None where it is not known, as `actor`.
    chat: Handle | None = None
    actor: Handle | None = None
    #: Published.
    fields: Mapping[str, Json] = field(default_factory=dict)
    #: Published as topic names; those without one by the name that WeChat shows (their handle may be empty).
    people: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    #: Stored and never published: what the backend needs to act on the event, as the ticket of a request.
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class Attachment:
    """A file to send."""

    #: Absolute; it exists until the attempt has ended.
    file: Path
    #: Is shown to the receiver; never empty and never a path.
    name: str
    blob: Blob


@frozen
class Draft:
    """One message to send: a text, or an attachment of the given kind."""

    chat: Handle
    kind: Kind
    text: str = ""
    #: Members of the group to mention in a text; the backend inserts their names.
    mention: tuple[Handle, ...] = ()
    attachment: Attachment | None = None
    #: Of a card: only where `Capabilities.has_button_cards`, in a single chat. Elsewhere `text` lists them.
    buttons: tuple[Button, ...] = ()
    #: Names the card in the presses of its buttons: at most 128 characters of `[0-9A-Za-z_@-]`, never used
    #: before. Empty without buttons.
    card_id: str = ""
    #: `text` is markdown: only where `Capabilities.has_markdown`.
    markdown: bool = False


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


# Everything that a backend can do besides sending.
Action = Recall | MarkRead | SetRemark | AcceptFriend | CreateGroup | AddMembers | RemoveMembers | RenameGroup


@frozen
class ActionResult:
    """A successful action. `group` is set by `CreateGroup`; `refused_members` could not be added."""

    group: Contact | None = None
    refused_members: tuple[Handle, ...] = ()


@frozen
class Receipt:
    """WeChat accepted a message."""

    #: Empty if WeChat should have returned one and did not (code `unconfirmed`); None where it never does.
    message_id: str | None


@frozen
class ReplyWindow:
    """Whether WeChat accepts messages to a person now (ilink 10.1)."""

    open: bool
    #: When an open window closes, or a closed one opens by itself: milliseconds since 1970, None if unknown.
    until: int | None = None
    #: How many messages are still accepted; None if unknown.
    remaining: int | None = None
    #: How many messages one window takes; None if unknown.
    limit: int | None = field(default=None, compare=False)
    #: Why it is closed: never_wrote, too_long_ago, quota_used, new_binding, or rate_limited, which opens by
    #: itself. Empty while it is open.
    reason: str = ""
    #: When the person wrote what opened it, by WeChat's clock: it names the window.
    opened: int | None = field(default=None, compare=False)


class Remark(StrEnum):
    """What the result of a command says besides how it ended; the sentences are in `i18n/bridge.py`."""

    RETAINED = "retained"
    BAD_RESPONSE_TOPIC = "bad_response_topic"


# A day: how long an answer to a question counts.
DEFAULT_BUTTONS_SECONDS = 86_400.0


@frozen
class AskingCommand:
    """A command with buttons of another account, whose question goes along with its fallback."""

    account: str
    #: The id of its row.
    row_id: int
    command_id: str
    #: The topic name in that command.
    user: str


@frozen
class Command:
    """A command from `out/<user>` that has passed the checks of its form only."""

    #: The topic name exactly as received.
    user: str
    #: text, image, video, file or recall.
    kind: str = "text"
    #: The bridge makes one where it is empty.
    id: str = ""
    #: Of a picture, a video or a file it is the caption, a message of its own before the file.
    text: str = ""
    path: str = ""
    url: str = ""
    data: str = ""
    name: str = ""
    message_id: str = ""
    mention: tuple[str, ...] = ()
    #: In seconds.
    ttl: float | None = None
    hold: bool = True
    priority: str = "normal"
    urgent: bool = False
    also_wechat: bool = False
    #: The text is markdown (`format`).
    markdown: bool = False
    #: The program that sent it over HTTP, by its name in `web.senders`; empty for one from MQTT or the page.
    sender: str = ""
    #: Of a webhook: a hash of what it reported. `CommandCalls` does not send the same again for some minutes.
    content: str = ""
    #: Of a text that asks.
    buttons: tuple[Button, ...] = ()
    #: How long an answer counts, in seconds.
    buttons_for: float = DEFAULT_BUTTONS_SECONDS
    #: Whose answer counts: trusted or anyone.
    buttons_from: str = "trusted"
    #: Of a fallback with buttons: the command whose question this is.
    asked_by: AskingCommand | None = None
    #: On how it was published.
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
    """The single result of a command."""

    id: str
    user: str
    status: Status
    #: One of `RESULT_CODES` in `mqtt/payloads.py`.
    code: str
    message: str = ""
    message_id: str | None = None
    #: In milliseconds since 1970.
    time: int
    retry_after: float | None = None
    duplicate_possible: bool = False
    #: Of a long text, or a file with a caption: its messages, and how many certainly went out; else None.
    parts: int | None = None
    parts_sent: int | None = None
    #: How the fallback ended: sent, failed or uncertain; empty without one.
    fallback: str = ""
    #: The account that took it, or was in doubt last, as `account/user`; empty where none was.
    fallback_account: str = ""
    #: How many commands one message carried; None if it carried only this one.
    bundled: int | None = None
    #: How many commands the summary of the fallback has; None without one.
    summarized: int | None = None
    #: That of the command.
    sender: str = ""


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
    OWNER = "owner"
    OTHER_BACKEND = "other_backend"
