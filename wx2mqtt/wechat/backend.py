"""The interface between the bridge and WeChat, which hides the differences between the backends.

It is pull-based: a backend does nothing unless the bridge calls it, so a slow bridge also receives slowly.
A new backend derives from `Backend`, and has one entry in `registry.py`.

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

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import field
from typing import Any, Protocol

from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Action,
    ActionResult,
    Button,
    ButtonPress,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Event,
    Handle,
    MediaRef,
    Member,
    Message,
    Owner,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend_options import LoginFilter, OnFileName, OnProgress, any_login, ignore_name


@frozen
class CallSpec:
    """What an exchange over HTTP must know of a call of a backend."""

    #: The name of the call in logs, errors and metrics.
    name: str
    #: The call delivers something: when its answer is lost, the outcome is unknown.
    is_delivery: bool = False
    #: The server holds its answer until there is news.
    is_long_poll: bool = False


@frozen
class MediaLimits:
    """The files that can be sent as one kind."""

    max_bytes: int
    #: The types that are accepted; empty where all are.
    mime_types: frozenset[str] = frozenset()
    min_bytes: int = 1
    #: What is no such file, or a larger one, is sent as `Kind.FILE` within the limits of that kind.
    else_as_file: bool = False


@frozen
class Capabilities:
    """What a backend can do, as data."""

    backend: str
    #: `Backend.list_contacts` knows people before they have written.
    has_contacts: bool
    has_groups: bool
    #: A message can be sent to somebody who has never written.
    can_start_chat: bool
    #: Everybody gets a new handle at each login.
    handles_change_at_login: bool
    #: The largest text, in bytes of UTF-8.
    text_limit: int
    #: The limits of each kind of file that can be sent (image, video, file, sticker).
    media: Mapping[str, MediaLimits] = field(default_factory=dict)
    #: The actions that `Backend.perform` supports.
    actions: frozenset[type[Action]] = frozenset()
    #: How long a message can be recalled.
    recall_seconds: float = 0.0
    #: WeChat accepts messages only for some time after a person wrote (`Backend.reply_window`).
    has_reply_window: bool = False
    #: With `has_reply_window`: how many messages WeChat accepts in that time.
    reply_quota: int = 0
    #: A text whose `part_size` is above this must be split; None where none must.
    part_limit: int | None = None
    #: Returns the size of a text as it is sent, by default in characters. Each character counts 1 at least.
    #: The result must never change, since a stored command is split again.
    part_size: Callable[[str], int] = len
    #: Returns the size of a text in markdown, under the same rules as `part_size`.
    markdown_size: Callable[[str], int] = len
    #: How long a login that can be renewed probably lasts; None without renewal (`Backend.renew`).
    login_seconds: float | None = None
    #: WeChat may accept messages after a poll says that the login has ended.
    sends_after_login_end: bool = False
    #: The model of the device in Home Assistant.
    product_name: str = "WeChat"
    #: The chat `filehelper` always exists.
    has_filehelper: bool = False
    #: `send` shows the buttons of a draft to a single person as a card.
    has_button_cards: bool = False
    #: `LoggedIn.owner` is a bot that says of nobody that they are its owner: the operator names the person.
    owner_is_named: bool = False
    #: `send` takes drafts whose text is markdown (`Draft.markdown`).
    has_markdown: bool = False
    #: A text in a group can mention its members.
    has_mentions: bool = True


# The steps of a login


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
    """The login is complete."""

    owner: Owner
    #: Names this login: handles and cursors are valid only within it.
    login_id: str
    #: True for a saved login, whose handles stay valid.
    resumed: bool
    #: Where a new login begins to receive.
    cursor: Cursor
    #: With `Capabilities.owner_is_named`: the configuration has the credentials of this bot. A scanned one
    #: may be anybody's, and needs the word of the operator.
    is_configured: bool = False


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
    """The result of one `receive`, in WeChat's order."""

    #: The position after this batch.
    cursor: Cursor
    items: tuple[Message | ButtonPress | Event, ...] = ()
    #: The contacts that are new or have changed. They must be applied before the items.
    contacts: tuple[Contact, ...] = ()
    #: The people and groups that do not exist any more.
    removed: tuple[Handle, ...] = ()
    #: How many entries could not be read and were skipped.
    unreadable_count: int = 0


@frozen
class HostCheck:
    """The result of a request that tests whether one of WeChat's hosts can be reached."""

    host: str
    #: ok, no_name, no_connection, certificate, no_tls, no_answer or broken_answer.
    outcome: str
    seconds: float
    detail: str = ""
    #: How far the local clock is ahead of the host's; None where the host sends no date.
    clock_ahead_seconds: float | None = None


class Backend(Protocol):
    """The connection of one WeChat account.

    A backend derives from this class. It need not have the methods with a body here, which say "not known" or
    "not needed".
    """

    capabilities: Capabilities

    # The login

    async def saved_owner(self) -> Owner | None:
        """Returns the account of the newest saved login, or None without one. Raises `StoreError`."""

    def login(self, *, resume: bool, usable: LoginFilter = any_login) -> AsyncGenerator[LoginStep, None]:
        """Logs in; the last step is `LoggedIn`. The caller checks whether its account may stay.

        1. With `resume` it tries a saved login. A backend that keeps several uses those that are `usable`.
        2. When WeChat refuses the saved login, it tries a push login on the phone.
        3. Then, and without `resume` at once, it shows QR codes, a new one whenever the last one expires.
           This has no end: the caller stops the iteration.

        Raises `LoginRefused`, or `Unreachable` when WeChat cannot be reached; then a saved login stays saved.
        """

    def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        """Offers one QR code for the next login while the current one goes on.

        The last step is `LoggedIn` or `QrExpired`. A confirmed login is saved before `LoggedIn`: the next
        `login` with `resume` uses it, unless it is not `usable`. What nobody `requested` is recorded in
        `login_age`. Raises `LoginRefused`, `Unreachable`; `Rejected` without `Capabilities.login_seconds`.
        """

    def login_age(self) -> LoginAge | None:
        """Returns the age of the current login; None without one, or where it is not known."""
        return None

    def enter_verification_code(self, code: str) -> None:  # noqa: ARG002 - the signature is for backends
        """Passes on the number for `CodeRequired`. Ignored while no login waits for one."""
        return

    async def logout(self) -> None:
        """Ends the login at WeChat and removes it here. Ignores what WeChat answers."""

    async def close(self) -> None:
        """Closes all connections. The login stays valid."""

    def set_language(self, language: Language) -> None:
        """Sets the language of texts for people. The current login keeps the one it has at WeChat."""

    def use_section(self, section: Mapping[str, Any]) -> bool:  # noqa: ARG002 - as above
        """Takes over what a reload may change in its options; `section` is as in `BackendOptions`.

        Returns whether the account must log in anew, since its credentials are others now.
        """
        return False

    # Receiving

    def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        """Yields the whole address book of this login in pages, groups with their members."""

    def contact_of_id(
        self,
        permanent_id: str,  # noqa: ARG002 - as above
        kind: ChatKind | None = None,  # noqa: ARG002
    ) -> Contact | None:
        """Returns the person or group whose id the configuration names, also before they have written.

        With `Capabilities.owner_is_named` the id alone says how to write to them. Without `kind` the form of
        the id decides whether it is a group's. None on the other backends: a login brings the contacts.
        """
        return None

    async def receive(self, cursor: Cursor) -> Batch:
        """Waits for news after `cursor`. The same cursor returns the same news again.

        Returns an empty batch when a poll ended without news. Must not be called twice at the same time.
        Raises `LoggedOut`, `Unreachable`, `Throttled`, `ProtocolViolation`.
        """

    def on_published(self, keys: Collection[str]) -> None:  # noqa: ARG002 - the signature is for backends
        """Learns the keys of messages whose commit has just succeeded, and that are published now.

        What the bridge filters out is never among them, nor is a message that was stored before.
        """
        return

    def download(self, media: MediaRef, on_name: OnFileName = ignore_name) -> AsyncGenerator[bytes, None]:
        """Yields the file of a message in chunks. Calls `on_name` where its name comes with it.

        Raises `NoContentYet` where WeChat has no file (yet), `Rejected` with code `gone` where it has been
        removed, `LoggedOut`, `Unreachable`, `Throttled`.
        """

    def avatar(self, handle: Handle) -> MediaRef | None:  # noqa: ARG002 - the signature is for backends
        """Returns the locator of the picture of a person or group, or None where it is not known."""
        return None

    async def list_members(self, group: Handle) -> tuple[Member, ...]:  # noqa: ARG002 - as above
        """Returns the current members of a group, with the owner; empty where WeChat does not list them.

        Raises `LoggedOut`, `Unreachable`, `Throttled`.
        """
        return ()

    @property
    def has_connection(self) -> bool:
        """Whether what is sent now may reach WeChat; false only where the backend certainly knows otherwise.

        A backend over HTTP connects for each call, and does not know. A new connection begins in `receive`,
        which returns or raises at the end of the old one.
        """
        return True

    # Sending: all raise any subclass of `BackendError`

    def seconds_until_sendable(self, chat: Handle) -> float:  # noqa: ARG002 - the signature is for backends
        """Returns how long WeChat takes no further message in this chat, whatever the settings say."""
        return 0.0

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft, so that `send` is faster. Delivers nothing.

        Does nothing without an attachment, or where it was uploaded recently. Never raises `OutcomeUnknown`.
        """

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        """Sends a draft once, without retries.

        Uploads an attachment that was not prepared. Until that has ended, an error means: nothing delivered.
        """

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        """Performs an action once, without retries."""

    def earliest_server_time(self) -> int | None:
        """Returns the earliest that WeChat's clock can show now (ms), None where that is not known."""
        return None

    async def update_card(
        self,
        press: ButtonPress,  # noqa: ARG002 - the signature is for backends
        text: str,  # noqa: ARG002
        buttons: tuple[Button, ...],  # noqa: ARG002
        chosen: str,  # noqa: ARG002
    ) -> None:
        """Shows the answer on the card of a press: `text` and `buttons` are those of the question.

        `chosen` is the text of the button that counts; empty where the press came too late. The caller gives
        it up after 5 seconds, and ignores every `BackendError`: the answer is stored whatever the card shows.
        """
        return

    def reply_window(self, handle: Handle) -> ReplyWindow | None:  # noqa: ARG002 - as above
        """Returns whether WeChat would accept a message to this person, or None where it always does.

        This changes with time and with each message. It is an estimate: `send` may still raise
        `WindowClosed`.
        """
        return None
