"""Values that all parts of the bridge share: contacts, messages, events, commands, results, login states.

    in     a backend reports `Contact`, and `Message`, `Event` and `ButtonPress`, which are published
    out    a `Command` becomes a `Draft` for the backend, which returns a `Receipt`; a `Result` is published

All are frozen dataclasses and enums. Nothing here does I/O, reads a clock, or depends on a backend or a
broker. Times are in milliseconds since 1970.
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

# Decimal digits that identify a command at WeChat. They are the same on each attempt (webwx 2.12.1, 2.12.2).
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

    To rename a value, add a script to `store/sql/` for the stored rows, and accept the old value in
    `store/people.py` (`person_from_json`), which also reads `people.json`.
    """

    FRIEND = "friend"
    GROUP = "group"
    OFFICIAL = "official"
    SELF = "self"
    SYSTEM = "system"


class Kind(StrEnum):
    """Kind of a message (docs/en/reference/kinds.md). The values are published and stored.

    `message_kinds.py` has the facts of each kind.
    """

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
    #: An id that never changes and that nobody can choose: `filehelper` and the other special accounts of web
    #: WeChat, or the id of a person on iLink. Empty where there is none.
    permanent_id: str = ""
    #: The number of the picture. It is the same at the next login, until the picture changes (webwx 4.1.1).
    avatar: str = ""
    #: Those of `sex`, `province`, `city` and `attributes` that are not empty.
    profile: Mapping[str, str] = field(default_factory=dict)
    #: The members of a group; None while they are unknown.
    members: tuple[Member, ...] | None = None
    #: True for a contact of the owner, False for a person who was only seen in a group or chat, None where
    #: this is not known.
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
    """The reference by which a backend downloads a file. The file may have another size and type."""

    #: It is secret, and only the backend understands it.
    locator: Mapping[str, str] = field(repr=False)
    mime: str = ""
    #: In bytes; None if unknown.
    size: int | None = None
    name: str = ""
    #: When the locator leads to nothing any more, in milliseconds since 1970; None if that is not known.
    expires: int | None = None


@frozen
class Blob:
    """A complete file in the store, addressed by its content."""

    #: The hash of the content, in hex.
    sha256: str
    #: In bytes.
    size: int
    #: The type that the content has.
    mime: str
    #: Relative to the folder of the store.
    path: str
    #: Of an image in pixels; None for anything else.
    width: int | None = None
    #: As `width`.
    height: int | None = None


@frozen
class Message:
    """A received message."""

    #: The same when WeChat delivers the message again.
    key: str
    id: str
    chat: Handle
    chat_kind: ChatKind
    #: None for system texts.
    sender: Handle | None
    #: The name that the group shows for the sender; empty outside of groups.
    sender_name: str = ""
    #: The owner or the bridge sent it.
    from_self: bool = False
    kind: Kind
    text: str
    #: The owner is mentioned in it.
    mentioned: bool = False
    time: int
    #: The facts of its kind, published as the object with the name of the kind (`image`, `location`, …).
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    #: A small image of the file; links and locations have one, too.
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
    #: The id of the command that sent it, or of the first command in a combined message. Empty for a message
    #: that the owner wrote on the phone, and for a text of the bridge's own.
    command_id: str = ""

    def author(self) -> dict[str, Json]:
        """Returns the fields of the payload that say who wrote it; empty where that is not known."""
        if not self.from_self:
            return {"user": self.user} if self.user else {}
        fields: dict[str, Json] = {"self": True}
        if self.command_id:
            fields["command_id"] = self.command_id
        return fields


@frozen
class Button:
    """A button of a question: what is shown, and how an answer names it."""

    #: 1 to 10 characters.
    text: str
    #: 1 to 128 characters; no other button of the question has the same.
    key: str


@frozen
class ButtonPress:
    """Somebody pressed a button of a card that the bridge sent."""

    #: The same when WeChat delivers the press again.
    key: str
    chat: Handle
    #: The person who pressed it.
    sender: Handle
    #: `Draft.card_id` of the card.
    card_id: str
    #: `Button.key` of the pressed button.
    button: str
    time: int
    #: What the backend needs to update the card. It is never published.
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class Event:
    """A received event, such as a recall, a friend request or a call (docs/en/reference/events.md)."""

    #: The same when WeChat delivers the event again.
    key: str
    #: Such as `recall`.
    name: str
    time: int
    #: None where it is not known.
    chat: Handle | None = None
    #: Who did it; None where it is not known.
    actor: Handle | None = None
    #: The fields of the payload besides.
    fields: Mapping[str, Json] = field(default_factory=dict)
    #: Further fields, which list people. They are published as topic names. A person without one, whose
    #: handle may be empty, is published as the name that WeChat shows.
    people: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    #: What the backend needs to act on the event, such as the ticket of a request. It is stored and never
    #: published.
    private: Mapping[str, str] = field(default_factory=dict)


@frozen
class Attachment:
    """A file to send."""

    #: An absolute path. The file exists until the attempt to send it has ended.
    file: Path
    #: The name that the receiver sees. It is never empty and never a path.
    name: str
    blob: Blob


@frozen
class Draft:
    """One message to send: a text, or an attachment of the given kind."""

    chat: Handle
    kind: Kind
    text: str = ""
    #: Members of the group who are mentioned in a text; the backend inserts their names.
    mention: tuple[Handle, ...] = ()
    attachment: Attachment | None = None
    #: The buttons of a card. There are cards only in a single chat where `Capabilities.has_button_cards`.
    #: Elsewhere this is empty, and `text` lists the buttons.
    buttons: tuple[Button, ...] = ()
    #: The name of the card in a `ButtonPress`: at most 128 characters of `[0-9A-Za-z_@-]`, never used before.
    #: Empty without buttons.
    card_id: str = ""
    #: Whether `text` is markdown, which it may be only where `Capabilities.has_markdown`.
    markdown: bool = False


@frozen
class Recall:
    """Withdraws a message of the owner or of the bridge."""

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
    """A successful action."""

    #: The group that `CreateGroup` has created; None after other actions.
    group: Contact | None = None
    #: People whom `CreateGroup` or `AddMembers` could not add.
    refused_members: tuple[Handle, ...] = ()


@frozen
class Receipt:
    """WeChat accepted a message."""

    #: Empty where WeChat should have returned an id and did not (code `unconfirmed`); None where it never
    #: returns one.
    message_id: str | None


@frozen
class ReplyWindow:
    """Whether WeChat accepts messages to a person now (ilink 10.1)."""

    open: bool
    #: When an open window closes, or a closed one opens by itself; None if unknown.
    until: int | None = None
    #: How many messages are still accepted; None if unknown.
    remaining: int | None = None
    #: How many messages one window takes; None if unknown.
    limit: int | None = field(default=None, compare=False)
    #: Why it is closed: never_wrote, too_long_ago, quota_used, new_binding or rate_limited. Only after
    #: rate_limited it opens by itself. Empty while it is open.
    reason: str = ""
    #: When the person wrote the message that opened it, by WeChat's clock. Another window has another time.
    opened: int | None = field(default=None, compare=False)


class Remark(StrEnum):
    """How a command was published in a way that its author should change; its result says it.

    The sentences are in `i18n/bridge.py`.
    """

    RETAINED = "retained"
    BAD_RESPONSE_TOPIC = "bad_response_topic"


# How long an answer to a question counts: a day.
DEFAULT_BUTTONS_SECONDS = 86_400.0


@frozen
class AskingCommand:
    """The command of another account that asks a question, and whose fallback carries the question on."""

    account: str
    #: The id of the row of that command.
    row_id: int
    command_id: str
    #: The topic name in that command.
    user: str


@frozen
class Command:
    """A command from `out/<user>` whose form was checked, and nothing else.

    The keys of its payload (docs/en/reference/sending.md) come first, then what the bridge knows of it.
    """

    #: The topic name exactly as received.
    user: str
    #: text, image, video, file or recall.
    kind: str = "text"
    #: Where it is empty, the bridge makes an id.
    id: str = ""
    #: Of a picture, a video or a file it is the caption, which is a message of its own before the file.
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
    #: The key `format` says that the text is markdown.
    markdown: bool = False
    #: The buttons of a question; empty for any other command.
    buttons: tuple[Button, ...] = ()
    #: How long an answer to the question counts, in seconds.
    buttons_for: float = DEFAULT_BUTTONS_SECONDS
    #: Whose answer to the question counts: trusted or anyone.
    buttons_from: str = "trusted"
    #: The program that sent it over HTTP, by its name in `web.senders`; empty for one from MQTT or the page.
    sender: str = ""
    #: A hash of what a webhook reported, else empty. `CommandCalls` does not send the same content again for
    #: some minutes.
    content: str = ""
    #: The command whose question this fallback carries on; None for any other command.
    asked_by: AskingCommand | None = None
    #: What was unusual about how it was published.
    remarks: tuple[Remark, ...] = ()


# Stands between the texts of a combined message: each is a paragraph.
COMBINED_TEXT_SEPARATOR = "\n\n"

# The ids of the bridge's own texts, such as reminders, begin so. They get no result on a topic.
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
    time: int
    #: In seconds.
    retry_after: float | None = None
    duplicate_possible: bool = False
    #: The messages of a long text, or of a file with a caption; None for a single message.
    parts: int | None = None
    #: How many of these messages certainly went out.
    parts_sent: int | None = None
    #: How the fallback ended: sent, failed or uncertain. Empty without a fallback.
    fallback: str = ""
    #: The fallback account that sent it, as `account/user`, or that was in doubt last. Empty without one.
    fallback_account: str = ""
    #: How many commands the combined message carried; None where it carried only this one.
    bundled: int | None = None
    #: How many commands stand in the summary that went to the fallback; None without a summary.
    summarized: int | None = None
    #: `Command.sender`.
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
