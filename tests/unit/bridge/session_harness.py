"""A login session with a fake backend: each call does what the test has scripted, and time is virtual."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.contexts import FakeQuota, context, settings, shared
from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.bot_owner import BotOwner
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
    LoginStep,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.backend_options import (
    LoginFilter,
    OnFileName,
    OnProgress,
    any_login,
    ignore_name,
)

OWNER = Owner(handle=Handle("@me"), nickname="王小明", uin="211722515")
WIFE = Contact(handle=Handle("@wife"), kind=ChatKind.FRIEND, nickname="晓梅", remark="老婆")
QR_CODE = ShowQr(url="https://login.weixin.qq.com/l/abc", lifetime=300.0)


def qr_code(number: int) -> ShowQr:
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


class FakeBackend:
    """A backend whose calls do what the test has scripted.

    Each call of `login` takes the next of `logins`, each call of `receive` the next of `answers`. When there
    is none left, the call does not end.
    """

    capabilities = Capabilities(
        backend="fake",
        has_contacts=True,
        has_groups=True,
        can_start_chat=True,
        handles_change_at_login=True,
        text_limit=100,
    )

    def on_published(self, keys: Collection[str]) -> None:
        self.published += keys

    def login_age(self) -> LoginAge | None:
        """Returns None: its logins do not end."""
        return None

    def __init__(self) -> None:
        self.logins: deque[Sequence[LoginStep | Exception | Wait]] = deque()
        self.answers: deque[Batch | Exception | Wait] = deque()
        self.directory: deque[Sequence[Contact] | Exception] = deque()
        self.published: list[str] = []  # the keys of messages
        self.resume_flags: list[bool] = []  # `resume` of each login
        self.cursors: list[str] = []
        self.logouts = 0
        self.saved_login_owner: Owner | None = None
        self.usable: LoginFilter = any_login
        self.entered_codes: list[str] = []  # the numbers that `CodeRequired` asked for
        self.windows: dict[Handle, ReplyWindow] = {}

    async def login(
        self, *, resume: bool, usable: LoginFilter = any_login
    ) -> AsyncGenerator[LoginStep, None]:
        self.resume_flags.append(resume)
        self.usable = usable
        for step in self.logins.popleft() if self.logins else [Wait(10**9)]:
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step
        await asyncio.sleep(10**9)

    def use_section(self, _section: Mapping[str, object]) -> bool:
        return False

    def enter_verification_code(self, code: str) -> None:
        self.entered_codes.append(code)

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
        return self.saved_login_owner

    async def close(self) -> None:
        pass


class FakeJournal:
    """A journal that keeps what is stored, and raises the next of `errors` first. It is each of its own parts."""

    stream = "fake01"

    def __init__(self) -> None:
        self.items: list[NewMessage | NewEvent] = []
        self.cursors: list[tuple[str, str]] = []
        self.people = PeopleChanges()
        self.errors: deque[StoreError | None] = deque()
        self.owner_errors: deque[StoreError] = deque()
        self.owners: list[str] = []
        self.named_owners: list[NamedOwner] = []
        self.during_record: Callable[[], None] | None = None  # happens once, while messages are being stored
        self.seq = 0
        self.sent: dict[str, QuotedMessage] = {}
        self.received = self.commands = self.owner = self.history = self.rows = self
        self.may_have_questions = False  # a question that somebody may answer

    async def remember(self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID) -> None:
        if self.owner_errors:
            raise self.owner_errors.popleft()
        self.owners.append(owner_id)
        self.named_owners.append(named)

    async def set_cursor(self, login_id: str, cursor: Cursor) -> None:
        error = self.errors.popleft() if self.errors else None
        if error is not None:
            raise error
        self.cursors.append((login_id, cursor))

    async def record(
        self,
        items: Sequence[NewMessage | NewEvent],
        people: PeopleChanges,
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        if self.during_record is not None and items:
            asyncio.get_running_loop().call_later(0.005, self.during_record)
            self.during_record = None
        await asyncio.sleep(0.01)
        error = self.errors.popleft() if self.errors else None
        if error is not None:
            raise error
        self.items += items
        self.people = PeopleChanges.merged((self.people, people))
        if cursor is not None:
            self.cursors.append((login_id, cursor))
        messages = sum(isinstance(item, NewMessage) for item in items)
        self.seq += messages
        keys = tuple(item.key for item in items if isinstance(item, NewMessage))
        last = b"{}" if messages else None
        return RecordResult(
            messages=messages,
            events=len(items) - messages,
            repeated=0,
            last_payload=last,
            seq=self.seq,
            message_keys=keys,
        )

    async def is_sent_message(self, message_id: str) -> bool:
        return False

    async def message_author(self, key: str) -> str:
        found = next((message for message in self.messages() if message.key == key), None)
        sender = found.body["sender"] if found else {}
        return str(sender.get("user", "")) if isinstance(sender, dict) else ""

    async def quoted_message(self, message_id: str) -> QuotedMessage | None:
        if message_id in self.sent:
            return self.sent[message_id]
        found = next((message for message in self.messages() if message.id == message_id), None)
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
    """A sender of commands that keeps whether it may send, how logins have ended, and the changes of owner."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal
        self.is_online = False
        self.times_online = 0
        self.ended: list[str] = []
        self.owner_changes: list[str] = []
        self.forgotten = 0

    def set_online(self, add_login: bool) -> None:
        self.is_online = add_login
        self.times_online += add_login

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
class LoginReport:
    """One report of the login state, and when it was made."""

    at: float
    login: LoginStatus
    url: str


@dataclass
class SessionHarness:
    """A login session with everything that it needs. It is created in the loop that runs it."""

    backend: FakeBackend = field(default_factory=FakeBackend)
    journal: FakeJournal = field(default_factory=FakeJournal)
    expected: Expect = field(default_factory=Expect)
    registry: PeopleRegistry = field(default_factory=lambda: PeopleRegistry([], {}, {}))
    filters: Receive = field(default_factory=Receive)
    media: Media = field(default_factory=Media)
    plain_max_age: float | None = None

    def __post_init__(self) -> None:
        self.reports: list[LoginReport] = []
        self.heartbeats: list[tuple[float, float | None]] = []
        self.stored: list[RecordResult] = []
        self.published: list[OutboxBatch] = []
        self.enqueued_media: list[NewMessage] = []
        self.people_changes = 0
        self.sender = FakeSender(self.journal)
        self.quota = FakeQuota(limit=5_000_000)
        self.ctx = context(
            broker=SimpleNamespace(flush=lambda: None),
            backend=self.backend,
            journal=self.journal,
            registry=self.registry,
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
        signals.login_changed.connect(self._add_report)
        self.echoes = EchoFilter()
        self.echoes.recovered.set()
        publisher: Any = SimpleNamespace(add=self.published.append)
        status: Any = SimpleNamespace(show_last=lambda _payload: None)
        media: Any = SimpleNamespace(
            waiting=SimpleNamespace(commit_lock=asyncio.Lock()), enqueue=self.enqueued_media.extend
        )
        self.inbound = InboundMessages(self.ctx, self.echoes, publisher, status, media)
        self.bot_owner = BotOwner(self.ctx, self.inbound.apply_people)
        self.owner = AccountOwner(self.ctx, self.bot_owner, self.sender)
        self.session = LoginSession(self.ctx, self.inbound, self.owner, self.bot_owner, self.sender)
        self._running: asyncio.Task[None] | None = None

    def _add_report(self, login: LoginStatus) -> None:
        self.reports.append(LoginReport(self.now, login, login.qr_url))

    def heartbeat(self, _name: str, limit: float) -> None:
        """Stands in for the watchdog."""
        self.heartbeats.append((self.now, limit))

    def idle(self, _name: str) -> None:
        """Stands in for the watchdog."""
        self.heartbeats.append((self.now, None))

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
        """The states in order, each once for as long as it lasted."""
        states = [str(report.login.state) for report in self.reports]
        return [state for at, state in enumerate(states) if not at or states[at - 1] != state]

    def first_report(self, state: LoginState) -> LoginReport:
        return next(report for report in self.reports if report.login.state is state)

    def start(self) -> None:
        self._running = asyncio.create_task(self.session.run())

    async def run_for(self, seconds: float) -> None:
        """Runs the session for so long; raises the error that has ended it."""
        if self._running is None:
            self.start()
        assert self._running is not None
        await asyncio.wait({self._running}, timeout=seconds)
        if self._running.done():
            self._running.result()

    async def stop(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})

    def overdue_spans(self, until: float) -> list[tuple[float, float]]:
        """Returns the spans (from, to) in which the receive loop was past its own deadline."""
        spans: list[tuple[float, float]] = []
        due: float | None = None
        for at, limit in [*self.heartbeats, (until, None)]:
            if due is not None and at > due:
                spans.append((due, at))
            due = None if limit is None else at + limit
        return spans


def batch(number: int, *items: Message, contacts: Iterable[Contact] = (), login_id: str = "login-1") -> Batch:
    return Batch(cursor=Cursor(f"{login_id}:{number}"), items=items, contacts=tuple(contacts))


Scenario = Callable[[SessionHarness], Awaitable[None]]


def run_scenario(scenario: Scenario, **options: object) -> None:
    """Runs a scenario in virtual time with a harness that is created in its loop."""

    async def run_with_harness() -> None:
        session_harness = SessionHarness(**options)  # type: ignore[arg-type]
        await scenario(session_harness)
        await session_harness.stop()

    run_without_pauses(run_with_harness())


def add_login(session_harness: SessionHarness) -> None:
    """Adds a login that needs a scan and then succeeds at once."""
    session_harness.backend.logins.append([QR_CODE, Scanned(), logged_in()])
