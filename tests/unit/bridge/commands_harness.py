"""The components that carry commands from MQTT to WeChat, with a real store, a fake broker and a fake backend."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.contexts import NO_LIMITS, FakeQuota, context, settings, shared
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.acceptance import AttachmentIntake
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.requests.dispatcher import Handler, RequestDispatcher
from wx2mqtt.bridge.retained_commands import RetainedCommands
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls
from wx2mqtt.errors import LoggedOut, NotConnected
from wx2mqtt.external.url_fetch import UrlFetcher
from wx2mqtt.i18n import Language
from wx2mqtt.model import (
    Action,
    ActionResult,
    ChatKind,
    Draft,
    Handle,
    Member,
    Owner,
    PersonId,
    Recall,
    Receipt,
    ReplyWindow,
    SendKey,
)
from wx2mqtt.mqtt.broker import (
    Connected,
    Delivery,
    ProbeTopics,
    ProtocolVersion,
    Publication,
    PublishCallback,
)
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.schema import Media, Send
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.backend import Capabilities, MediaLimits

OWNER = Owner(handle=Handle("@me"), nickname="我", uin="1")
NAMES = ("wife", "mom", "filehelper")
CAPABILITIES = Capabilities(
    backend="webwx",
    has_contacts=True,
    has_groups=True,
    can_start_chat=True,
    handles_change_at_login=True,
    text_limit=100,
    media={
        "image": MediaLimits(max_bytes=2000, mime_types=frozenset({"image/jpeg", "image/png", "image/bmp"})),
        "video": MediaLimits(max_bytes=3000, mime_types=frozenset({"video/mp4"})),
        "file": MediaLimits(max_bytes=1_000_000),
        "sticker": MediaLimits(max_bytes=1000, mime_types=frozenset({"image/gif"})),
    },
    actions=frozenset({Recall}),
    recall_seconds=120.0,
)

Outcome = Receipt | Exception


def person(number: int, level: str, **more: Any) -> Person:
    values: dict[str, Any] = {
        "id": PersonId(number),
        "topic_name": level,
        "kind": ChatKind.SELF if level == "filehelper" else ChatKind.FRIEND,
        "handle": Handle(level if level == "filehelper" else f"@{level}"),
        "login_id": "login",
        "matched_by": "remark",
        "permanent_id": level if level == "filehelper" else "",
        "remark": level,
    }
    return Person(**{**values, **more})


PEOPLE = (
    *(person(number, level) for number, level in enumerate(NAMES, 1)),
    person(4, "lost", handle=None, closed=True),
    person(5, "gone", removed=True),
)


class ChangeSignal:
    """Lets a test wait until a condition is true, for `MAX_WAIT_SECONDS` at most. `notify` makes it look again."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (found := condition()):
                await self._changed.wait()
        return found


class FakeBackend:
    """A backend that accepts every message and recall, unless `answer` says something else.

    The answers are scripted by the text, by the name of a file or by the id of a recalled message, and are
    used in order. What `hold` names waits until `release`. `drafts` has all that was sent, and `files` the
    bytes of the files in it.
    """

    capabilities = CAPABILITIES
    has_connection = True

    def __init__(self, changes: ChangeSignal) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self.drafts: list[Draft | Recall] = []
        self.files: list[bytes] = []
        self.people: tuple[Member, ...] = ()
        self.answers: dict[str, deque[Outcome]] = {}
        self._held_texts: dict[str, asyncio.Event] = {}
        self.windows: dict[Handle, ReplyWindow] = {}
        self._changes = changes
        self.prepared: list[str] = []
        self.refusals: deque[Exception] = deque()  # of files, before anything is sent
        self.uploads = asyncio.Event()
        self.uploads.set()

    def answer(self, text: str, *outcomes: Outcome) -> None:
        self.answers.setdefault(text, deque()).extend(outcomes)

    def hold(self, text: str) -> None:
        self._held_texts[text] = asyncio.Event()

    def release(self, text: str) -> None:
        self._held_texts.pop(text).set()

    async def prepare(self, draft: Draft) -> None:
        assert draft.attachment is not None
        self.prepared.append(draft.attachment.name)
        self._changes.notify()
        await self.uploads.wait()
        outcome = self.refusals.popleft() if self.refusals else None
        if outcome is not None:
            raise outcome

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self.drafts.append(draft)
        if draft.attachment is not None:
            self.files.append(draft.attachment.file.read_bytes())
        return await self._take_outcome(
            draft.chat, draft.attachment.name if draft.attachment else draft.text, key
        )

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        assert isinstance(action, Recall)
        self.drafts.append(action)
        await self._take_outcome(action.chat, action.message_id, key)
        return ActionResult()

    def seconds_until_sendable(self, _chat: Handle) -> float:
        return 0.0

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        return self.windows.get(handle)

    def earliest_server_time(self) -> int | None:
        return None

    async def list_members(self, _group: Handle) -> tuple[Member, ...]:
        return self.people

    async def _take_outcome(self, chat: Handle, text: str, key: SendKey) -> Receipt:
        number = len(self.sent) + 1
        self.sent.append((chat, text, key))
        self._changes.notify()
        if text in self._held_texts:
            await self._held_texts[text].wait()
        script = self.answers.get(text)
        outcome = script.popleft() if script else Receipt(message_id=f"m{number}")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def texts(self, chat: str = "") -> list[str]:
        return [text for handle, text, _ in self.sent if not chat or handle == f"@{chat}"]


class AcknowledgingBroker:
    """A broker client that acknowledges each publication at once and keeps it in `published`."""

    def __init__(self, changes: ChangeSignal, protocol: ProtocolVersion = ProtocolVersion.MQTT_5) -> None:
        self.connection: Connected | None = None
        self.protocol = protocol
        self.published: list[Publication] = []
        self.acknowledged: list[int] = []
        self.connections = 0
        self.paused = False
        self.progress_deadline = 0.0
        self.uses_old_password = False
        self.redelivers: bool | None = None  # what is retained; None: it has not shown
        self._changes = changes

    async def honours_retain_handling(self, _topics: ProbeTopics) -> bool:
        return self.redelivers is False

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            on_acknowledged(NotConnected())
            return
        self.published.append(publication)
        self._changes.notify()
        on_acknowledged(None)

    def flush(self) -> None:
        """Does nothing: each publication is written at once."""

    def acknowledge(self, delivery: Delivery) -> None:
        if delivery.connection_number == self.connections and self.connection is not None:
            self.acknowledged.append(delivery.mid)
            self._changes.notify()

    def set_paused(self, *, paused: bool) -> None:
        self.paused = paused

    def set_password(self, password: str | None) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    async def run(self, listener: object) -> None:
        """Does nothing: the test connects by itself."""


class HookedJournal(Journal):
    """A journal that runs a coroutine of the test just before or after an operation."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        super().__init__(database, "home", on_referenced=blobs.mark_referenced)
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}
        for name in ("accept", "list_due", "begin_attempt", "finish"):
            setattr(self.commands, name, partial(self._around, name, getattr(self.commands, name)))

    async def _around(
        self, name: str, work: Callable[..., Awaitable[Any]], *args: Any, **options: Any
    ) -> Any:
        if name in self.before:
            await self.before.pop(name)()
        done = await work(*args, **options)
        if name in self.after:
            await self.after.pop(name)()
        return done


@dataclass
class CommandsHarness:
    """The components of the way to WeChat; `running` starts them."""

    ctx: AccountContext
    quota: FakeQuota
    session: Any
    requests: RequestDispatcher
    journal: HookedJournal
    wechat: FakeBackend
    broker: AcknowledgingBroker
    registry: PeopleRegistry
    echoes: EchoFilter
    validator: CommandValidator
    resolver: CommandResolver
    intake: CommandIntake
    calls: WeChatCalls
    sender: CommandSender
    publisher: Publisher
    changes: ChangeSignal
    blobs: Blobs
    folder: Path
    session_number: int = 0
    logged_out: list[LoggedOut] = field(default_factory=list)
    _mid: int = 0

    def connect(self, *, session_present: bool = False) -> None:
        """Connects to the broker, for the first time or again."""
        self.broker.connections += 1
        self.broker.connection = Connected(
            url="mqtt://broker",
            protocol=self.broker.protocol,
            session_present=session_present,
            receive_maximum=100,
            packet_limit=None,
            retain_available=True,
            connection_number=self.broker.connections,
        )
        if not session_present:
            self.intake.start_session()
        self.intake.on_connected(self.broker.connection, self.session_number)
        self.publisher.on_connected()

    def disconnect(self) -> None:
        """Ends the connection to the broker."""
        self.broker.connection = None
        self.publisher.on_disconnected()

    def deliver(self, payload: str | bytes, user: str = "wife", **more: Any) -> Delivery:
        """Delivers a payload on `out/<user>`, or on the `topic` in `more`."""
        self._mid += 1
        values: dict[str, Any] = {
            "topic": f"wx/out/{user}",
            "payload": payload.encode() if isinstance(payload, str) else payload,
            "mid": self._mid,
            "dup": False,
            "retain": False,
            "connection_number": self.broker.connections,
        }
        delivery = Delivery(**{**values, **more})
        self.intake.on_delivery(delivery)
        return delivery

    def redeliver(self, delivery: Delivery, **more: Any) -> None:
        """Delivers the same once more with DUP, as a broker does after a new connection."""
        changed = replace(delivery, dup=True, connection_number=self.broker.connections)
        self.intake.on_delivery(replace(changed, **more))

    def deliver_command(self, user: str = "wife", **body: Any) -> Delivery:
        """Delivers a command as JSON."""
        return self.deliver(json.dumps(body), user)

    def bodies_on(self, topic: str) -> list[dict[str, Any]]:
        """Returns the bodies that were published on a topic so far."""
        return [
            json.loads(publication.payload)
            for publication in self.broker.published
            if publication.topic == topic
        ]

    async def wait_for_bodies(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        """Returns the bodies on a topic, once there are at least `count`."""
        await self.changes.wait_until(lambda: len(self.bodies_on(topic)) >= count)
        return self.bodies_on(topic)

    async def result(self, command_id: str, user: str = "wife") -> dict[str, Any]:
        """Returns the first result of a command, once it is published."""
        topic = f"wx/result/{user}"
        await self.changes.wait_until(
            lambda: [body for body in self.bodies_on(topic) if body["id"] == command_id]
        )
        return next(body for body in self.bodies_on(topic) if body["id"] == command_id)

    async def wait_for_puback(self, delivery: Delivery) -> None:
        """Waits until the broker has the PUBACK of a delivery."""
        await self.changes.wait_until(lambda: delivery.mid in self.broker.acknowledged)

    async def wait_for_sent_texts(self, count: int) -> list[str]:
        """Returns the texts that WeChat was asked to send, once there are at least `count`."""
        await self.changes.wait_until(lambda: len(self.wechat.sent) >= count)
        return self.wechat.texts()

    @property
    def media_files(self) -> list[Path]:
        """The files in the store with bytes of a command, also those that are not complete."""
        return [file for file in (self.folder / "media").rglob("*") if file.is_file()]

    async def rows(self) -> list[CommandRow]:
        """Returns all commands, the oldest first."""
        return (await self.journal.commands.list_newest(limit=100_000))[::-1]


def make_harness(
    database: Database,
    folder: Path,
    *,
    people: Iterable[Person] = PEOPLE,
    pins: dict[str, ContactPin] | None = None,
    rules: Send = NO_LIMITS,
    media: Media | None = None,
    per_minute: float = 0,
    burst: int = 5,
    protocol: ProtocolVersion = ProtocolVersion.MQTT_5,
    language: Language = "en",
    handlers: Mapping[str, Handler] | None = None,
    fetcher: UrlFetcher | None = None,
) -> CommandsHarness:
    """Returns the components, connected as `bridge/account_components.py` connects them."""
    blobs = Blobs(folder)
    changes, journal, topics = ChangeSignal(), HookedJournal(database, blobs), Topics("wx")
    broker, wechat = AcknowledgingBroker(changes, protocol), FakeBackend(changes)
    persons = tuple(people)
    registry = PeopleRegistry(persons, {person.topic_name: person.id for person in persons}, pins or {})
    quota = FakeQuota()
    ctx = context(
        topics=topics,
        broker=broker,
        backend=wechat,
        journal=journal,
        registry=registry,
        settings=settings(
            send=rules.model_copy(update={"per_minute": per_minute, "burst": burst}),
            media=media or Media(),
            language=language,
        ),
        shared=shared(blobs=blobs, media_retention=MediaRetention(database, blobs), quota=quota),
    )
    inflight, results, echoes = InflightWindow(broker), ResultPublications("home", topics), EchoFilter()
    publisher = Publisher(ctx, inflight)
    files = Attachments(ctx, fetcher or UrlFetcher())
    resolver = CommandResolver(ctx, files)
    calls = WeChatCalls(ctx)
    sender = CommandSender(ctx, calls, resolver, echoes, results)
    session: Any = SimpleNamespace(contacts_known=True)
    validator = CommandValidator(ctx, session, Recipients(ctx), results)
    clearing = RetainedCommands(ctx, inflight, RetainedPublisher(inflight, topics.state))
    requests = RequestDispatcher(ctx, inflight)
    requests.register(handlers or {})
    intake = CommandIntake(
        ctx,
        validator=validator,
        attachment_intake=AttachmentIntake(validator, files, journal),
        retained_commands=clearing,
        sender=sender,
        requests=requests,
        results=results,
    )
    ctx.signals.outbox_changed.connect(publisher.add)
    harness = CommandsHarness(
        ctx=ctx,
        quota=quota,
        session=session,
        requests=requests,
        journal=journal,
        wechat=wechat,
        broker=broker,
        registry=registry,
        echoes=echoes,
        validator=validator,
        resolver=resolver,
        intake=intake,
        calls=calls,
        sender=sender,
        publisher=publisher,
        changes=changes,
        blobs=blobs,
        folder=folder,
    )
    ctx.login_requests.on_logged_out = harness.logged_out.append  # type: ignore[method-assign, assignment]
    return harness


@asynccontextmanager
async def running(folder: Path, *, online: bool = True, **how: Any) -> AsyncIterator[CommandsHarness]:
    """Runs all components on the store in `folder`, connected, and logged in if `online`."""
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    harness = make_harness(database, folder, **how)
    opened = await harness.journal.open()
    harness.session_number = opened.broker_session
    harness.connect(session_present=bool(opened.broker_session))
    harness.sender.set_online(online=online)
    components = (harness.publisher, harness.intake, harness.sender)
    tasks = [asyncio.create_task(component.run()) for component in components]
    try:
        yield harness
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()
