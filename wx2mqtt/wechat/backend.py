"""The interface between the bridge and WeChat, which hides the differences between the backends.

It is pull-based: a backend does nothing unless the bridge calls it, so a slow bridge also receives slowly.

    async for step in backend.login(resume=True):  # the last step is LoggedIn, with the first cursor
        ...
    async for contacts in backend.list_contacts(on_progress):
        ...
    while True:
        batch = await backend.receive(cursor)      # waits for news
        cursor = batch.cursor                      # stored together with the items of the batch

    receipt = await backend.send(draft, key)       # meanwhile

All errors are subclasses of `BackendError`. No method logs a secret or puts one into an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Protocol

from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Action,
    ActionResult,
    Contact,
    Cursor,
    Draft,
    Event,
    Handle,
    Json,
    MediaRef,
    Member,
    Message,
    Owner,
    QuotedMessage,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.values import frozen


@frozen
class MediaLimits:
    """The files that can be sent as one kind: their size, and their MIME types (empty: any)."""

    max_bytes: int
    mime_types: frozenset[str] = frozenset()


@frozen
class Capabilities:
    """What a backend can do, as data.

    - `handles_change_at_login`: everybody gets a new handle at each login.
    - `text_limit`: in bytes of UTF-8.
    - `media`: the kinds that can be sent (image, video, file, sticker), and their limits.
    - `actions`: those that `perform` supports.
    - `recall_seconds`: how long a message can be recalled.
    - `has_reply_window`: WeChat accepts messages only for some time after a person wrote
      (`Backend.reply_window`), and at most `reply_quota` of them.
    - `part_limit`: the number of characters above which a text must be split, or None.
    - `login_seconds`: how long a login that can be renewed probably lasts (`Backend.renew`); else None.
    - `sends_after_login_end`: WeChat may accept messages after a poll says that the login has ended.
    - `product_name`: the model of the device in Home Assistant.
    - `has_filehelper`: the chat `filehelper` always exists.
    """

    backend: str
    has_contacts: bool
    has_groups: bool
    can_start_chat: bool
    handles_change_at_login: bool
    text_limit: int
    media: Mapping[str, MediaLimits] = field(default_factory=dict)
    actions: frozenset[type[Action]] = frozenset()
    recall_seconds: float = 0.0
    has_reply_window: bool = False
    reply_quota: int = 0
    part_limit: int | None = None
    login_seconds: float | None = None
    sends_after_login_end: bool = False
    product_name: str = "WeChat"
    has_filehelper: bool = False


@frozen
class ShowQr:
    """A person must scan this QR code, which is probably valid for `lifetime` seconds."""

    url: str
    lifetime: float


@frozen(kw_only=False)
class ConfirmOnPhone:
    """No QR code is needed: the phone of the last login asks for confirmation (push login)."""


@frozen
class Scanned:
    """The code was scanned; the person must confirm on the phone. `avatar` is a picture file, or empty."""

    avatar: bytes = b""


@frozen
class CodeRequired:
    """The phone shows a number for `enter_verification_code`; `wrong` is true after a wrong one."""

    wrong: bool = False


@frozen(kw_only=False)
class QrExpired:
    """The last QR code has expired; another one follows if the iteration continues."""


@frozen
class PollFailing:
    """WeChat does not answer; the last step is still valid. `reason` is a sentence without secrets."""

    reason: str


@frozen(kw_only=False)
class PollRecovered:
    """WeChat answers again; the last step is still valid."""


@frozen
class LoggedIn:
    """The login is complete.

    `login_id` names this login: handles and cursors are valid only within it. `resumed` is true for a saved
    login, whose handles stay valid. `cursor` is where a new login begins to receive.
    """

    owner: Owner
    login_id: str
    resumed: bool
    cursor: Cursor


LoginStep = (
    ShowQr | ConfirmOnPhone | Scanned | CodeRequired | QrExpired | PollFailing | PollRecovered | LoggedIn
)


@frozen
class LoginAge:
    """When a login was made, and when codes for its renewal were offered unasked; in milliseconds."""

    made: int
    offers: tuple[int, ...] = ()


@frozen
class Batch:
    """The result of one `receive`, in WeChat's order, and the cursor after it.

    `contacts` are new or changed and must be applied before the items; `removed` do not exist any more.
    `unreadable_count` is the number of entries that could not be read and were skipped.
    """

    cursor: Cursor
    items: tuple[Message | Event, ...] = ()
    contacts: tuple[Contact, ...] = ()
    removed: tuple[Handle, ...] = ()
    unreadable_count: int = 0


@frozen
class HostCheck:
    """The result of a request that tests whether one of WeChat's hosts can be reached.

    `outcome` is ok, no_name, no_connection, certificate, no_tls, no_answer or broken_answer; `detail` may
    contain more. `seconds` is the duration. `clock_ahead_seconds` is how far the local clock is ahead of the
    host's, None where the host sends no date.
    """

    host: str
    outcome: str
    seconds: float
    detail: str = ""
    clock_ahead_seconds: float | None = None


class CredentialStore(Protocol):
    """Stores the secrets of one account's login, in a file of mode 0600."""

    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved object, or None."""

    async def save(self, session: Mapping[str, object]) -> None:
        """Stores the object durably in place of the saved one."""

    async def clear(self) -> None:
        """Removes the saved object: the login has ended."""


class MessageMarks(Protocol):
    """Marks the message that is being processed, so that one that ends the process twice is found."""

    def is_fatal(self, key: str) -> bool:
        """Returns whether the process was killed twice in a row while it processed this message."""

    def processing(self, key: str) -> AbstractContextManager[None]:
        """Marks a message in a block without `await`."""


class NoMarks:
    """Marks nothing."""

    def is_fatal(self, _key: str) -> bool:
        return False

    def processing(self, _key: str) -> AbstractContextManager[None]:
        return nullcontext()


# The event about a message that is skipped, since it has ended the process twice.
FATAL_MESSAGE_EVENT = "unreadable"


def fatal_message_event(key: str, message_id: str, now: int) -> Event:
    """Returns the event about a skipped message. `now` is in milliseconds since 1970."""
    fields: dict[str, Json] = {"message_id": message_id} if message_id else {}
    return Event(key=f"{FATAL_MESSAGE_EVENT}:{key}", name=FATAL_MESSAGE_EVENT, time=now, fields=fields)


# Returns the message with this id in the chat with this handle, received or sent; None where it is not in the
# store (any more), or is in another chat.
QuoteLookup = Callable[[str, Handle], Awaitable[QuotedMessage | None]]

# Called after every exchange: name of the call, outcome in one word, duration in seconds.
CallObserver = Callable[[str, str, float], None]

# Called with the number of contacts so far.
OnProgress = Callable[[int], None]

# Returns whether a saved login of this account may be used.
LoginFilter = Callable[[Owner], bool]


def any_login(_owner: Owner) -> bool:
    """The filter that allows every saved login."""
    return True


class Backend(Protocol):
    """The connection of one WeChat account."""

    capabilities: Capabilities

    def set_language(self, language: Language) -> None:
        """Sets the language of texts for people. The current login keeps the one it has at WeChat."""

    async def saved_owner(self) -> Owner | None:
        """Returns the account of the newest saved login, or None without one. Raises `StoreError`."""

    def login(self, *, resume: bool, usable: LoginFilter = any_login) -> AsyncGenerator[LoginStep, None]:
        """Logs in; the last step is `LoggedIn`. The caller checks whether its account may stay.

        With `resume` it tries a saved login first, and when WeChat refuses that one, a push login on the
        phone. Then, and without `resume` at once, it shows QR codes, a new one whenever the last one expires.
        This has no end: the caller stops the iteration. A backend that keeps several saved logins uses those
        that are `usable`. Raises `LoginRefused`, or `Unreachable` when WeChat cannot be reached; then a saved
        login stays saved.
        """

    def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        """Offers one QR code for the next login while the current one goes on.

        The last step is `LoggedIn` or `QrExpired`. A confirmed login is saved before `LoggedIn`: the next
        `login` with `resume` uses it, unless it is not `usable`. What nobody `requested` is recorded in
        `login_age`. Raises `LoginRefused`, `Unreachable`; `Rejected` without `Capabilities.login_seconds`.
        """

    def login_age(self) -> LoginAge | None:
        """Returns the age of the current login; None without one, or where it is not known."""

    def enter_verification_code(self, code: str) -> None:
        """Passes on the number for `CodeRequired`. Ignored while no login waits for one."""

    def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Yields the whole address book of this login in pages, groups with their members."""

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`. The same cursor returns the same news again.

        Returns an empty batch when a poll ended without news. Must not be called twice at the same time.
        Raises `LoggedOut`, `Unreachable`, `Throttled`, `ProtocolViolation`.
        """

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft, so that `send` is faster. Delivers nothing.

        Does nothing without an attachment, or where it was uploaded recently. Raises the errors of `send`
        except `OutcomeUnknown`.
        """

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """Sends a draft once, without retries. Raises any subclass of `BackendError`.

        Uploads an attachment that was not prepared. An error before the end of the upload means that nothing
        was delivered.
        """

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Performs an action once, without retries. Raises any subclass of `BackendError`."""

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """Yields the file of a message in chunks.

        Raises `NoContentYet` where WeChat has no file (yet), `Rejected` with code `gone` where it has been
        removed, `LoggedOut`, `Unreachable`, `Throttled`.
        """

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """Returns the current members of a group, with the owner; empty where WeChat does not list them.

        Raises `LoggedOut`, `Unreachable`, `Throttled`.
        """

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        """Returns whether WeChat would accept a message to this person, or None where it always does.

        This changes with time and with each message. It is an estimate: `send` may still raise
        `WindowClosed`.
        """

    def avatar(self, handle: Handle) -> MediaRef | None:
        """Returns the locator of the picture of a person or group, or None where it is not known."""

    async def logout(self) -> None:
        """Ends the login at WeChat and removes it here. Ignores what WeChat answers."""

    async def close(self) -> None:
        """Closes all connections. The login stays valid."""
