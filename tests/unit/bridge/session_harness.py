"""A session with a scripted WeChat: each call does what the script says, and time is virtual."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.contexts import FakeQuota, context, settings, shared
from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.wechat_calls import EchoFilter
from wx2mqtt.errors import StoreError
from wx2mqtt.model import (
    Action,
    ActionResult,
    ChatKind,
    Contact,
    Cursor,
    Draft,
    Handle,
    Kind,
    LoginState,
    MediaRef,
    Member,
    Message,
    Owner,
    QuotedMessage,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.settings.schema import Expect, Media, Plain, Receive
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.records import NewEvent, NewMessage, OutboxBatch, RecordResult
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner
from wx2mqtt.wechat.backend import (
    Batch,
    Capabilities,
    LoggedIn,
    LoginAge,
    LoginFilter,
    LoginStep,
    OnFileName,
    OnProgress,
    Scanned,
    ShowQr,
    any_login,
    ignore_name,
)

OWNER = Owner(handle=Handle("@me"), nickname="王小明", uin="211722515")
WIFE = Contact(handle=Handle("@wife"), kind=ChatKind.FRIEND, nickname="晓梅", remark="老婆")
CODE = ShowQr(url="https://login.weixin.qq.com/l/abc", lifetime=300.0)


def code(number: int) -> ShowQr:
    return ShowQr(url=f"https://login.weixin.qq.com/l/{number}", lifetime=300.0)


@dataclass(frozen=True)
class Wait:
    """WeChat takes that many seconds before what follows."""

    seconds: float


def logged_in(login_id: str = "login-1", *, resumed: bool = False, owner: Owner = OWNER) -> LoggedIn:
    return LoggedIn(owner=owner, login_id=login_id, resumed=resumed, cursor=Cursor(f"{login_id}:0"))


def message(key: str, text: str = "开灯 ☀", **more: object) -> Message:
    values: dict[str, object] = {
        "key": key,
        "id": key,
        "chat": WIFE.handle,
        "chat_kind": ChatKind.FRIEND,
        "sender": WIFE.handle,
        "kind": Kind.TEXT,
        "text": text,
        "time": 1_795_600_000_000,
    }
    return Message(**{**values, **more})  # type: ignore[arg-type]


class FakeGateway:
    """`logins` and `answers` are what each call of `login` and `receive` does, in turn; then it waits."""

    capabilities = Capabilities(
        backend="paper",
        has_contacts=True,
        has_groups=True,
        can_start_chat=True,
        handles_change_at_login=True,
        text_limit=100,
    )

    def login_age(self) -> LoginAge | None:
        """Says that its logins do not end."""
        return None

    def __init__(self) -> None:
        self.logins: deque[Sequence[LoginStep | Exception | Wait]] = deque()
        self.answers: deque[Batch | Exception | Wait] = deque()
        self.directory: deque[Sequence[Contact] | Exception] = deque()
        self.asked: list[bool] = []  # `resume` of each login
        self.cursors: list[str] = []
        self.logouts = 0
        self.saved: Owner | None = None
        self.usable: LoginFilter = any_login
        self.given: list[str] = []  # the numbers that `CodeRequired` asked for
        self.windows: dict[Handle, ReplyWindow] = {}

    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        self.asked.append(resume)
        self.usable = usable
        for step in self.logins.popleft() if self.logins else [Wait(10**9)]:
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step
        await asyncio.sleep(10**9)

    def enter_verification_code(self, code: str) -> None:
        self.given.append(code)

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        page = self.directory.popleft() if self.directory else (WIFE,)
        if isinstance(page, Exception):
            raise page
        yield tuple(page)

    async def receive(self, cursor: Cursor) -> Batch:
        self.cursors.append(cursor)
        while True:
            answer = self.answers.popleft() if self.answers else Wait(10**9)
            if isinstance(answer, Wait):
                await asyncio.sleep(answer.seconds)
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer

    async def prepare(self, draft: Draft) -> None:
        pass

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        raise NotImplementedError

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        raise NotImplementedError

    async def list_members(self, group: Handle) -> tuple[Member, ...]:
        raise NotImplementedError

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        return self.windows.get(handle)

    def avatar(self, handle: Handle) -> MediaRef | None:
        raise NotImplementedError

    def download(self, media: MediaRef, on_name: OnFileName = ignore_name) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def logout(self) -> None:
        self.logouts += 1

    async def saved_owner(self) -> Owner | None:
        return self.saved

    async def close(self) -> None:
        pass


class FakeJournal:
    """Keeps what it is told, and fails as often as `troubles` says. It is each of its parts."""

    stream = "paper1"

    def __init__(self) -> None:
        self.items: list[NewMessage | NewEvent] = []
        self.cursors: list[tuple[str, str]] = []
        self.people = PeopleChanges()
        self.troubles: deque[StoreError | None] = deque()
        self.owner_troubles: deque[StoreError] = deque()
        self.owners: list[str] = []
        self.said: list[NamedOwner] = []
        self.meanwhile: Callable[[], None] | None = None  # happens once, while messages are being stored
        self.seq = 0
        self.sent: dict[str, QuotedMessage] = {}
        self.received = self.commands = self.owner = self.history = self.rows = self
        self.may_have_questions = False  # a question that somebody may answer

    async def remember(self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID) -> None:
        if self.owner_troubles:
            raise self.owner_troubles.popleft()
        self.owners.append(owner_id)
        self.said.append(named)

    async def set_cursor(self, login_id: str, cursor: Cursor) -> None:
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble is not None:
            raise trouble
        self.cursors.append((login_id, cursor))

    async def record(
        self,
        items: Sequence[NewMessage | NewEvent],
        people: PeopleChanges,
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        if self.meanwhile is not None and items:
            asyncio.get_running_loop().call_later(0.005, self.meanwhile)
            self.meanwhile = None
        await asyncio.sleep(0.01)
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble is not None:
            raise trouble
        self.items += items
        self.people = PeopleChanges.merged((self.people, people))
        if cursor is not None:
            self.cursors.append((login_id, cursor))
        messages = sum(isinstance(item, NewMessage) for item in items)
        self.seq += messages
        last = b"{}" if messages else None
        return RecordResult(
            messages=messages, events=len(items) - messages, repeated=0, last_payload=last, seq=self.seq
        )

    async def is_sent_message(self, message_id: str) -> bool:
        return False

    async def message_author(self, key: str) -> str:
        found = next((one for one in self.messages() if one.key == key), None)
        sender = found.body["sender"] if found else {}
        return str(sender.get("user", "")) if isinstance(sender, dict) else ""

    async def quoted_message(self, message_id: str) -> QuotedMessage | None:
        if message_id in self.sent:
            return self.sent[message_id]
        found = next((one for one in self.messages() if one.id == message_id), None)
        if found is None:
            return None
        sender = found.body.get("sender", {})
        assert isinstance(sender, dict)
        return QuotedMessage(
            kind=Kind(found.kind),
            text=found.text,
            chat=found.user,
            user=str(sender.get("user", "")),
            from_self=bool(sender.get("self")),
        )

    def events(self, name: str) -> list[NewEvent]:
        return [item for item in self.items if isinstance(item, NewEvent) and item.name == name]

    def messages(self) -> list[NewMessage]:
        return [item for item in self.items if isinstance(item, NewMessage)]


class FakeSender:
    """The sender of commands: it knows whether sending is possible, and how logins have ended."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal
        self.is_online = False
        self.ended: list[str] = []
        self.owner_changes: list[str] = []
        self.forgotten = 0

    def set_online(self, online: bool) -> None:
        self.is_online = online

    def recheck(self) -> None:
        pass

    def on_login_ended(self, reason: str) -> None:
        self.ended.append(reason)

    async def change_owner(
        self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID, *, forgets_people: bool = False
    ) -> None:
        await self._journal.owner.remember(backend, owner_id, named)
        self.owner_changes.append(owner_id)
        self.forgotten += forgets_people


@dataclass
class Shown:
    """One `login/state`, and when it was said."""

    at: float
    login: LoginStatus
    url: str


@dataclass
class SessionHarness:
    """A session with everything around it. Made inside of the loop that runs it."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    journal: FakeJournal = field(default_factory=FakeJournal)
    expected: Expect = field(default_factory=Expect)
    identity: PeopleRegistry = field(default_factory=lambda: PeopleRegistry([], {}, {}))
    filters: Receive = field(default_factory=Receive)
    media: Media = field(default_factory=Media)
    plain_max_age: float | None = None

    def __post_init__(self) -> None:
        self.shown: list[Shown] = []
        self.beats: list[tuple[float, float | None]] = []
        self.stored: list[RecordResult] = []
        self.published: list[OutboxBatch] = []
        self.to_fetch: list[NewMessage] = []
        self.people_changes = 0
        self.sender = FakeSender(self.journal)
        self.quota = FakeQuota(limit=5_000_000)
        self.ctx = context(
            broker=SimpleNamespace(flush=lambda: None),
            backend=self.gateway,
            journal=self.journal,
            registry=self.identity,
            settings=settings(
                receive=self.filters,
                media=self.media,
                plain=Plain(max_age=self.plain_max_age),
                expect=self.expected,
            ),
            shared=shared(watchdog=self, quota=self.quota),
        )
        signals = self.ctx.signals
        signals.received.connect(self.stored.append)
        signals.people_changed.connect(self._people_changed)
        signals.login_changed.connect(self._show)
        self.echoes = EchoFilter()
        self.echoes.recovered.set()
        publisher: Any = SimpleNamespace(add=self.published.append)
        status: Any = SimpleNamespace(show_last=lambda _payload: None)
        media: Any = SimpleNamespace(
            waiting=SimpleNamespace(commit_lock=asyncio.Lock()), enqueue=self.to_fetch.extend
        )
        self.inbound = InboundMessages(self.ctx, self.echoes, publisher, status, media)
        self.owner = AccountOwner(self.ctx, self.sender)
        self.session = LoginSession(self.ctx, self.inbound, self.owner, self.sender)
        self._running: asyncio.Task[None] | None = None

    def _show(self, login: LoginStatus) -> None:
        self.shown.append(Shown(self.now, login, login.qr_url))

    def heartbeat(self, _name: str, limit: float) -> None:
        """As a watchdog."""
        self.beats.append((self.now, limit))

    def idle(self, _name: str) -> None:
        """As a watchdog."""
        self.beats.append((self.now, None))

    def _people_changed(self) -> None:
        self.people_changes += 1

    def own_events(self, name: str) -> list[dict[str, Any]]:
        """Returns the events of this name that the bridge itself is about to publish; takes all of them."""
        queue = self.ctx.own_events
        bodies = [json.loads(queue.get_nowait().payload) for _ in range(queue.qsize())]
        return [body for body in bodies if body["event"] == name]

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def state(self) -> str:
        return str(self.session.login.state)

    @property
    def states(self) -> list[str]:
        """The states in order, each once as long as it stood."""
        states = [str(one.login.state) for one in self.shown]
        return [state for at, state in enumerate(states) if not at or states[at - 1] != state]

    def first(self, state: LoginState) -> Shown:
        return next(one for one in self.shown if one.login.state is state)

    def start(self) -> None:
        self._running = asyncio.create_task(self.session.run())

    async def after(self, seconds: float) -> None:
        """Let so much time pass; what went wrong in the session is raised here."""
        if self._running is None:
            self.start()
        assert self._running is not None
        await asyncio.wait({self._running}, timeout=seconds)
        if self._running.done():
            self._running.result()

    async def end(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})

    def silence(self, until: float) -> list[tuple[float, float]]:
        """Spans (from, to) in which the receiving loop was past its own deadline."""
        silent: list[tuple[float, float]] = []
        due: float | None = None
        for at, limit in [*self.beats, (until, None)]:
            if due is not None and at > due:
                silent.append((due, at))
            due = None if limit is None else at + limit
        return silent


def batch(number: int, *items: Message, contacts: Iterable[Contact] = (), login_id: str = "login-1") -> Batch:
    return Batch(cursor=Cursor(f"{login_id}:{number}"), items=items, contacts=tuple(contacts))


Story = Callable[[SessionHarness], Awaitable[None]]


def run_story(story: Story, **made: object) -> None:
    """Run a story with a talk made in its loop."""

    async def whole() -> None:
        session_harness = SessionHarness(**made)  # type: ignore[arg-type]
        await story(session_harness)
        await session_harness.end()

    run_without_pauses(whole())


def online(session_harness: SessionHarness) -> None:
    """The first login needs a scan and stands at once."""
    session_harness.gateway.logins.append([CODE, Scanned(), logged_in()])
