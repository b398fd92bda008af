"""The interface between the bridge and WeChat. Everything above it works the same with each backend.

Pull-based: nothing happens unless the bridge asks, so a slow bridge slows WeChat's messages down, and one
task owns each conversation. All errors are leaves of `BackendError`. No method logs a secret or puts one
into an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
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
    MediaRef,
    Member,
    Message,
    Owner,
    QuotedMessage,
    Receipt,
    ReplyWindow,
    SendKey,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """The files that can be sent as one kind: their size, and their MIME types (empty: any)."""

    max_bytes: int
    mime_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, as data.

    `text_limit` is in bytes of UTF-8. `media` has the kinds that can be sent (image, video, file, sticker)
    and their limits. `actions` are the actions that `perform` knows. `recall_seconds` is how long a message
    can be withdrawn. `handles_change_at_login` is true where every login gives everybody a new handle.
    `has_reply_window` is true where WeChat takes messages only for a while after a person wrote
    (`Backend.reply_window`). `part_limit` is how many characters of a text are one message where longer
    ones must be split, None where they are not. `product_name` is what Home Assistant shows as the model of
    the device. `has_filehelper` is true where the chat `filehelper` always exists.
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
    part_limit: int | None = None
    product_name: str = "WeChat"
    has_filehelper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowQr:
    """A person must scan this QR code, which is probably good for `lifetime` seconds."""

    url: str
    lifetime: float


@dataclass(frozen=True, slots=True)
class ConfirmOnPhone:
    """No QR code is needed: the phone of the last login shows a question (push login)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """The code was scanned; the person must confirm on the phone. `avatar` holds a picture or is empty."""

    avatar: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequired:
    """The phone shows a number, which `enter_verification_code` needs; `wrong`: the last one was wrong."""

    wrong: bool = False


@dataclass(frozen=True, slots=True)
class QrExpired:
    """The QR code shown last is over; another one follows if the iteration goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFailing:
    """The last step still holds, but WeChat does not answer; `reason` is a sentence without secrets."""

    reason: str


@dataclass(frozen=True, slots=True)
class PollRecovered:
    """WeChat answers again, and the last step still holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """The login stands.

    `login_id` names this login: handles and cursors are good within it only. `resumed` is true when a saved
    login goes on, so that known handles stay good. `cursor` is where a new login begins to receive.
    """

    owner: Owner
    login_id: str
    resumed: bool
    cursor: Cursor


LoginStep = (
    ShowQr | ConfirmOnPhone | Scanned | CodeRequired | QrExpired | PollFailing | PollRecovered | LoggedIn
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one `receive` brought, in WeChat's order, and the cursor that stands after it.

    `contacts` are new or changed (applied before the items), `removed` are gone. `unreadable_count` counts
    entries that could not be read and were skipped.
    """

    cursor: Cursor
    items: tuple[Message | Event, ...] = ()
    contacts: tuple[Contact, ...] = ()
    removed: tuple[Handle, ...] = ()
    unreadable_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck:
    """Whether one of WeChat's hosts can be reached, by one request that asks for nothing.

    `outcome` is ok, no_name, no_connection, certificate, no_tls, no_answer or broken_answer; `detail` may say
    more. `seconds` is how long it took. `clock_ahead_seconds` is how far our clock is ahead of the host's,
    None where the host sends no date.
    """

    host: str
    outcome: str
    seconds: float
    detail: str = ""
    clock_ahead_seconds: float | None = None


class CredentialStore(Protocol):
    """Where a backend keeps the secrets of one account's login; a file of mode 0600."""

    async def load(self) -> Mapping[str, object] | None:
        """Returns what was saved last, or None."""

    async def save(self, session: Mapping[str, object]) -> None:
        """Stores this durably in place of what was there."""

    async def clear(self) -> None:
        """Removes what was saved: the login is over."""


QuoteLookup = Callable[[str], Awaitable[QuotedMessage | None]]
"""Returns the message with this id, received or sent; None where it is not known (any more)."""

CallObserver = Callable[[str, str, float], None]
"""Called after every exchange: name of the call, outcome in one word, duration in seconds."""

OnProgress = Callable[[int], None]
"""Called with how many contacts have come so far."""


class Backend(Protocol):
    """One WeChat account through one backend."""

    capabilities: Capabilities

    def set_language(self, language: Language) -> None:
        """Write texts for people in `language` from now on; a standing login keeps its own at WeChat."""

    def login(self, *, resume: bool) -> AsyncGenerator[LoginStep, None]:
        """Logs in; the last step is `LoggedIn`.

        With `resume` a saved login is tried first, and when WeChat refuses it the phone is asked once;
        then, and without `resume` at once, a QR code is shown, and a new one whenever it expires,
        without end: whoever iterates stops when it is enough. Raises `LoginRefused`, or `Unreachable`
        when WeChat cannot be reached. A saved login that could not be checked (`Unreachable`) stays
        saved.
        """

    def enter_verification_code(self, code: str) -> None:
        """Passes on the number that `CodeRequired` asks for. Ignored while no login waits for one."""

    def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """The whole address book of this login, page by page; groups come with their members."""

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for what is new after `cursor`. The same cursor brings the same again.

        Returns an empty batch when a poll ended with nothing. Never called twice at the same time.
        Raises `LoggedOut`, `Unreachable`, `Throttled`, `ProtocolViolation`.
        """

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft, so that `send` has less to do. Nothing is delivered.

        Does nothing without an attachment, or where it was uploaded a moment ago. Raises what `send` would,
        but never `OutcomeUnknown`.
        """

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """Sends once; no retry inside. Raises any leaf of `BackendError`.

        An attachment that was not prepared is uploaded first; what goes wrong until then is certainly not
        delivered.
        """

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Does something else at WeChat, once. Raises any leaf of `BackendError`."""

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of a message in pieces, as they come.

        Raises `NoContentYet` where WeChat has no bytes (yet), `Rejected` with code `gone` where it says that
        there are none any more, `LoggedOut`, `Unreachable`, `Throttled`.
        """

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """Returns who is in a group now, with the owner; nobody where WeChat does not say.

        Raises `LoggedOut`, `Unreachable`, `Throttled`.
        """

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        """Returns whether WeChat would take a message to this person now, as far as is known; None: always.

        It changes with what is received and sent, and with time. It is no promise: `send` may still raise
        `WindowClosed`.
        """

    def avatar(self, handle: Handle) -> MediaRef | None:
        """Returns where the picture of a person or group is; None where that is not known."""

    async def logout(self) -> None:
        """Ends the login at WeChat and removes it here. Never raises for what WeChat answers."""

    async def close(self) -> None:
        """Closes all connections. The login goes on."""
