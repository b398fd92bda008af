"""A backend in memory: the test says what WeChat delivers and how it answers, and sees what the bridge sent.

backend.write(WIFE, "开灯")                # WeChat delivers a message
backend.outcomes.append(Unreachable("…"))  # how WeChat answers the next draft; without one it accepts
backend.sent                               # the drafts, with their keys
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, NoContentYet, WindowClosed
from wx2mqtt.model import (
    Action,
    ActionResult,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Handle,
    Kind,
    MediaRef,
    Member,
    Message,
    Owner,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.wechat.backend import (
    Backend,
    Batch,
    Capabilities,
    LoggedIn,
    LoginAge,
    LoginStep,
    MediaLimits,
    QrExpired,
)
from wx2mqtt.wechat.backend_options import (
    LoginFilter,
    OnFileName,
    OnProgress,
    any_login,
    ignore_name,
)
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_REPLIES_PER_MESSAGE
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow

OWNER = Owner(handle=Handle("@me"), nickname="王小明", uin="211722515")
WIFE = Contact(handle=Handle("@wife"), kind=ChatKind.FRIEND, nickname="晓梅", remark="老婆")
MOM = Contact(handle=Handle("@mom"), kind=ChatKind.FRIEND, nickname="妈妈", remark="妈妈")
FAMILY = Contact(
    handle=Handle("@@family"),
    kind=ChatKind.GROUP,
    nickname="相亲相爱一家人",
    members=(
        Member(handle=OWNER.handle, nickname=OWNER.nickname),
        Member(handle=WIFE.handle, nickname="晓梅"),
    ),
)

FILE_LIMITS: Mapping[str, MediaLimits] = {
    Kind.IMAGE: MediaLimits(max_bytes=10_000_000, else_as_file=True),
    Kind.VIDEO: MediaLimits(max_bytes=25_000_000, else_as_file=True),
    Kind.FILE: MediaLimits(max_bytes=25_000_000),
}

CAPABILITIES = Capabilities(
    backend="memory",
    has_contacts=True,
    has_groups=True,
    can_start_chat=True,
    handles_change_at_login=True,
    text_limit=2_000,
    media=FILE_LIMITS,
    actions=frozenset(Action.__args__),
    recall_seconds=120.0,
    has_filehelper=True,
)


# After so long a poll is answered without news.
POLL_SECONDS = 30.0


@dataclass(frozen=True)
class Pause:
    """WeChat takes that many seconds before what follows."""

    seconds: float


Piece = bytes | Exception | asyncio.Event | Pause
Download = Piece | tuple[Piece, ...]


@dataclass(frozen=True)
class SentDraft:
    draft: Draft
    key: SendKey
    #: Seconds of the event loop's clock.
    time: float


@dataclass
class MemoryBackend(Backend):
    """Each scripted list is taken from its beginning; where it is empty, WeChat does the usual."""

    capabilities: Capabilities = CAPABILITIES
    owner: Owner = OWNER
    contacts: list[Contact] = field(default_factory=lambda: [WIFE, MOM, FAMILY])
    #: How many seconds the list of contacts takes.
    contacts_seconds: float = 0.0
    #: The steps of each login; without one it succeeds at once.
    logins: deque[list[LoginStep | Exception | Pause]] = field(default_factory=deque)
    #: The steps of each renewal; without one its code expires.
    renewal_steps: deque[list[LoginStep | Exception | Pause]] = field(default_factory=deque)
    #: Each login goes on with the first one, whose handles stay valid.
    keeps_login: bool = False
    age: LoginAge | None = None
    #: What each `receive` returns or raises; without one it returns no news after a while.
    batches: deque[Batch | Exception | Pause] = field(default_factory=deque)
    #: How each `send` and `perform` ends; without one, or with None, WeChat accepts.
    outcomes: deque[Receipt | ActionResult | BackendError | Pause | None] = field(default_factory=deque)
    #: The bytes of each file, by the id in its locator; an error is raised. A list has a step for each download,
    #: the last one for all further ones; a tuple has the pieces of one.
    files: dict[str, Download | list[Download]] = field(default_factory=dict)
    #: The names that come with the bytes of a file.
    file_names: dict[str, str] = field(default_factory=dict)
    avatars: dict[Handle, MediaRef] = field(default_factory=dict)
    #: How each `prepare` ends, in order; without one WeChat takes the file.
    preparations: deque[BackendError | Pause] = field(default_factory=deque)
    #: How many seconds each of these chats takes no message.
    full_chats: dict[Handle, float] = field(default_factory=dict)
    #: How many seconds each send to these chats takes, before its outcome.
    slow_chats: dict[Handle, float] = field(default_factory=dict)
    windows: dict[Handle, ReplyWindow] = field(default_factory=dict)
    saved: Owner | None = None
    has_connection: bool = True

    def __post_init__(self) -> None:
        self.sent: list[SentDraft] = []
        self.prepared: list[Draft] = []
        #: The ids of the files that were asked for.
        self.downloads: list[str] = []
        self.performed: list[Action] = []
        #: The key of each action.
        self.action_keys: list[SendKey] = []
        #: `resume` of each login.
        self.resume_flags: list[bool] = []
        self.cursors: list[Cursor] = []
        #: `requested` of each renewal.
        self.renewals: list[bool] = []
        self.logouts = 0
        self.entered_codes: list[str] = []
        self.languages: list[str] = []
        self._numbers = itertools.count(1)
        self._login_number = 0
        self._news = asyncio.Event()

    @property
    def contents(self) -> list[str]:
        """The texts of all drafts, and of those with a file its name, in order."""
        drafts = [sent.draft for sent in self.sent]
        return [draft.attachment.name if draft.attachment else draft.text for draft in drafts]

    @property
    def texts(self) -> list[tuple[Handle, str]]:
        """The chats and texts of all drafts, in order."""
        return [(sent.draft.chat, sent.draft.text) for sent in self.sent]

    # What the test does as WeChat

    def logged_in(self, **more: Any) -> LoggedIn:
        """Returns the end of the current or next login as it usually is, for a script with other steps before."""
        is_kept = self.keeps_login and self._login_number > 1
        usual: dict[str, Any] = {
            "owner": self.owner,
            "login_id": "login-1" if is_kept else f"login-{self._login_number}",
            "resumed": is_kept,
            "cursor": Cursor("cursor-0"),
        }
        return LoggedIn(**{**usual, **more})

    def write(self, contact: Contact, text: str = "开灯", **more: Any) -> Message:
        """Delivers a message; returns it."""
        message = self.message(contact, text, **more)
        self.deliver(message)
        return message

    def message(self, contact: Contact, text: str = "开灯", **more: Any) -> Message:
        """Returns a message of a person, or of the group's first member but the owner."""
        number = next(self._numbers)
        sender = contact.handle
        if contact.kind is ChatKind.GROUP:
            sender = next(
                member.handle for member in contact.members or () if member.handle != self.owner.handle
            )
        usual: dict[str, Any] = {
            "key": f"key-{number}",
            "id": f"{number}",
            "chat": contact.handle,
            "chat_kind": contact.kind,
            "sender": sender,
            "kind": Kind.TEXT,
            "text": text,
            "time": now_ms(),
        }
        return Message(**{**usual, **more})

    def deliver(self, *items: Any, **more: Any) -> None:
        """Delivers these items as one batch."""
        self.batches.append(Batch(cursor=Cursor(f"cursor-{next(self._numbers)}"), items=items, **more))
        self._news.set()

    def write_as_owner(self, contact: Contact, text: str, message_id: str, **more: Any) -> Message:
        """Delivers a message of the owner: typed on the phone, or the echo of what the bridge has sent."""
        own: dict[str, Any] = {"id": message_id, "key": message_id, "sender": None, "from_self": True}
        return self.write(contact, text, **{**own, **more})

    def log_in_after(self, *seconds: float) -> None:
        """Lets each of the next logins succeed only after so many seconds."""
        for pause in seconds:
            number = next(self._numbers)
            cursor = Cursor(f"cursor-{number}")
            logged_in = LoggedIn(
                owner=self.owner, login_id=f"late-login-{number}", resumed=False, cursor=cursor
            )
            self.logins.append([Pause(pause), logged_in])

    def fail(self, *errors: Exception) -> None:
        """Lets the next calls of `receive` fail."""
        self.batches.extend(errors)
        self._news.set()

    # What the bridge calls

    async def saved_owner(self) -> Owner | None:
        return self.saved

    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        self.resume_flags.append(resume)
        self._login_number += 1
        for step in self.logins.popleft() if self.logins else [self.logged_in()]:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step
        await asyncio.Event().wait()

    async def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        self.renewals.append(requested)
        for step in self.renewal_steps.popleft() if self.renewal_steps else [QrExpired()]:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step

    def login_age(self) -> LoginAge | None:
        return self.age

    def enter_verification_code(self, code: str) -> None:
        self.entered_codes.append(code)

    async def logout(self) -> None:
        self.logouts += 1

    async def close(self) -> None:
        """Nothing is open."""

    def set_language(self, language: str) -> None:
        self.languages.append(language)

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        await asyncio.sleep(self.contacts_seconds)
        on_progress(len(self.contacts))
        yield tuple(self.contacts)

    async def receive(self, cursor: Cursor) -> Batch:
        self.cursors.append(cursor)
        while True:
            while not self.batches:
                self._news.clear()
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    return Batch(cursor=cursor)
            batch = self.batches.popleft()
            if isinstance(batch, Pause):
                await asyncio.sleep(batch.seconds)
            elif isinstance(batch, Exception):
                raise batch
            else:
                return batch

    async def download(
        self, media: MediaRef, on_name: OnFileName = ignore_name
    ) -> AsyncGenerator[bytes, None]:
        name = media.locator["id"]
        self.downloads.append(name)
        if name in self.file_names:
            on_name(self.file_names[name])
        content = self.files.get(name, NoContentYet("no bytes yet"))
        if isinstance(content, list):
            content = content.pop(0) if len(content) > 1 else content[0]
        for piece in content if isinstance(content, tuple) else (content,):
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, Pause):
                await asyncio.sleep(piece.seconds)
            else:
                yield piece

    def avatar(self, handle: Handle) -> MediaRef | None:
        return self.avatars.get(handle)

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        return next((contact.members or () for contact in self.contacts if contact.handle == group), ())

    async def prepare(self, draft: Draft) -> None:
        self.prepared.append(draft)
        while self.preparations:
            outcome = self.preparations.popleft()
            if not isinstance(outcome, Pause):
                raise outcome
            await asyncio.sleep(outcome.seconds)
            return

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self.sent.append(SentDraft(draft, key, asyncio.get_running_loop().time()))
        if seconds := self.slow_chats.get(draft.chat):
            await asyncio.sleep(seconds)
        outcome = await self._outcome()
        return outcome if isinstance(outcome, Receipt) else Receipt(message_id=f"sent-{len(self.sent)}")

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        self.performed.append(action)
        self.action_keys.append(key)
        outcome = await self._outcome()
        return outcome if isinstance(outcome, ActionResult) else ActionResult()

    async def _outcome(self) -> Receipt | ActionResult | None:
        while self.outcomes:
            outcome = self.outcomes.popleft()
            if isinstance(outcome, Pause):
                await asyncio.sleep(outcome.seconds)
                continue
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        return None

    def seconds_until_sendable(self, chat: Handle) -> float:
        return self.full_chats.get(chat, 0.0)

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        return self.windows.get(handle)


def with_capabilities(**fields: Any) -> MemoryBackend:
    """Returns a backend that can do the usual but for these fields of `Capabilities`."""
    return MemoryBackend(capabilities=replace(CAPABILITIES, **fields))


ILINK_LIKE: Mapping[str, Any] = {
    "has_contacts": False,
    "has_groups": False,
    "can_start_chat": False,
    "handles_change_at_login": False,
    "has_reply_window": True,
    "reply_quota": 10,
    "part_limit": 2_000,
    "actions": frozenset(),
    "has_filehelper": False,
}


class WindowBackend(MemoryBackend):
    """A backend whose chats have iLink's reply window: what a person writes opens it, each draft counts in it."""

    def __init__(self, **capabilities: Any) -> None:
        usual = {"has_reply_window": True, "reply_quota": MAX_REPLIES_PER_MESSAGE, "part_limit": 2_000}
        super().__init__(capabilities=replace(CAPABILITIES, **{**usual, **capabilities}))
        self.chats: dict[Handle, ChatWindow] = {}

    def message(
        self, contact: Contact, text: str = "开灯", *, left: int = MAX_REPLIES_PER_MESSAGE, **more: Any
    ) -> Message:
        """Returns a message of a person, whose window takes so many messages then."""
        message = super().message(contact, text, **more)
        if not message.from_self:
            sent = (message.time,) * (MAX_REPLIES_PER_MESSAGE - left)
            self.chats[contact.handle] = ChatWindow(last_wrote=message.time, sent=sent)
        return message

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        try:
            receipt = await super().send(draft, key)
        except WindowClosed as error:
            self.chats[draft.chat] = self._chat(draft.chat).with_refusal(error.code)
            raise
        self.chats[draft.chat] = self._chat(draft.chat).with_sent(now_ms() + 1)
        return receipt

    def reply_window(self, handle: Handle) -> ReplyWindow:
        return self.windows.get(handle) or self._chat(handle).reply_window(now_ms())

    def _chat(self, handle: Handle) -> ChatWindow:
        return self.chats.get(handle, ChatWindow())
