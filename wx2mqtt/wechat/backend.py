"""The interface between the bridge and WeChat. Everything above it works the same with each backend.

Pull-based: nothing happens unless the bridge asks, so a slow bridge slows WeChat's messages down, and one
task owns each conversation. All errors are leaves of `BackendError`. No method logs a secret or puts one
into an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wx2mqtt.i18n.bridge import Language
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
    """What a backend takes as one kind: at most `largest` bytes, of these MIME types (none named: any)."""

    max_bytes: int
    mime_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, as data.

    `text_limit` is in bytes of UTF-8. `media` names the kinds that can be sent (image, video, file,
    sticker) and what each takes. `actions` are what `act` can do. `recall_within` is how long a message can
    be withdrawn, in seconds. `new_handles` is true where every login gives everybody a new handle. `window`
    is true where WeChat takes messages only for a while after a person wrote (`Backend.reply_window`).
    `part_limit` is how many characters of a text are one message where longer ones must be split; None
    where they are not. `product_name` is what Home Assistant shows as the model of the device.
    `has_filehelper` is true where the chat `filehelper` always exists.
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
    """A person must scan this. `lifetime` in seconds is how long the code will probably be good."""

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
    """The phone shows a number, which must be given with `give_code`; `wrong`: the last one was not it."""

    wrong: bool = False


@dataclass(frozen=True, slots=True)
class QrExpired:
    """The QR code shown last is of no use any more; another one is fetched if one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFailing:
    """What was asked last still stands, but WeChat does not answer; `why` is a sentence without secrets."""

    reason: str


@dataclass(frozen=True, slots=True)
class PollRecovered:
    """WeChat answers again, and what was asked last still stands."""


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

    `contacts` are new or changed (applied before the items), `removed` are gone. `unread` counts
    entries that could not be read and were skipped.
    """

    cursor: Cursor
    items: tuple[Message | Event, ...] = ()
    contacts: tuple[Contact, ...] = ()
    removed: tuple[Handle, ...] = ()
    unreadable_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck:
    """What became of one request to one of WeChat's hosts that asked for nothing: can it be reached at all?

    `outcome` is ok no_name no_connection certificate no_tls no_answer or broken_answer; `why` says more where
    there is more. `ahead` is by how many seconds our clock is ahead of the host's, None where it tells none.
    """

    host: str
    outcome: str
    seconds: float
    detail: str = ""
    clock_ahead_seconds: float | None = None


class CredentialStore(Protocol):
    """Where a backend keeps the secrets of one account's login; a file of mode 0600."""

    async def load(self) -> Mapping[str, object] | None:
        """What was saved last, or None."""

    async def save(self, session: Mapping[str, object]) -> None:
        """Keep this durably instead of what was there."""

    async def clear(self) -> None:
        """Forget it: the login is over."""


QuoteLookup = Callable[[str], Awaitable[QuotedMessage | None]]
"""What was said in the message with this id, be it theirs or ours; None where it is not known (any more)."""

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
        """Log in; the last step is `LoggedIn`.

        With `resume` a saved login is tried first, and when WeChat refuses it the phone is asked once;
        then, and without `resume` at once, a QR code is shown, and a new one whenever it expires,
        without end: whoever iterates stops when it is enough. Raises `LoginRefused`, or `Unreachable`
        when WeChat cannot be reached. A saved login that could not be checked (`Unreachable`) stays
        saved.
        """

    def enter_verification_code(self, code: str) -> None:
        """The number that `CodeRequired` asked for. Ignored while no login waits for one."""

    def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """The whole address book of this login, page by page; groups come with their members."""

    async def receive(self, cursor: Cursor) -> Batch:
        """Wait for what is new after `cursor`. The same cursor brings the same again.

        Returns an empty batch when a poll ended with nothing. Never called twice at the same time.
        Raises `LoggedOut`, `Unreachable`, `Throttled`, `ProtocolViolation`.
        """

    async def prepare(self, draft: Draft) -> None:
        """Bring the attachment of a draft to WeChat, so that `send` has less to do. Nothing is delivered.

        Without one nothing is done; what was brought a moment ago is not brought again. Raises what `send`
        would, but never `OutcomeUnknown`.
        """

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """Send once; no retry inside. Raises any leaf of `BackendError`.

        An attachment that was not prepared is uploaded first; what goes wrong until then is certainly not
        delivered.
        """

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Do something else at WeChat, once. Raises any leaf of `BackendError`."""

    def download(self, media: MediaRef) -> AsyncGenerator[bytes, None]:
        """The bytes of a message, in pieces, as they come.

        Raises `NoContentYet` where WeChat has no bytes (yet), `Rejected` with code `gone` where it says that
        there are none any more, `LoggedOut`, `Unreachable`, `Throttled`.
        """

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        """Who is in a group now, the owner too; nobody where WeChat does not say.

        Raises `LoggedOut`, `Unreachable`, `Throttled`.
        """

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        """Whether WeChat would take a message to this person now, as far as is known; None: it always would.

        It changes with what is received and sent, and with time. What it says is no promise: `send` may still
        raise `WindowClosed`.
        """

    def avatar(self, handle: Handle) -> MediaRef | None:
        """The picture of somebody or of a group; None where nothing is known."""

    async def logout(self) -> None:
        """End the login at WeChat and forget it here. Never raises for what WeChat answers."""

    async def close(self) -> None:
        """Let go of connections. The login goes on."""
