"""Media of an account: the store is real, WeChat and the broker are fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.fake_broker import FakeBroker
from tests.unit.bridge.commands_harness import PEOPLE
from tests.unit.bridge.contexts import FakeQuota, changed, context, settings, shared
from tests.unit.bridge.session_harness import message
from tests.unit.store.conftest import Clock
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.downloader import MediaDownloader
from wx2mqtt.bridge.media.media_payloads import media_in_message, media_jobs, waits_for_file
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import LoggedOut, StoreFull, Wx2MqttError
from wx2mqtt.model import Blob, Cursor, Handle, Kind, LoginState, MediaRef, Message
from wx2mqtt.mqtt.payloads import message_body
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import MediaRow, MediaState, NewMessage
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.backend import OnFileName, ignore_name

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000020000000308020000006ef8d1b1")
Step = bytes | Exception | asyncio.Event


class FakeFiles:
    """The downloads of a backend: each id has answers, which are used in order; the last one is repeated.

    An answer is a sequence of steps: bytes that arrive, an event that is awaited, or an error that is raised.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[Step]]] = {}
        self.asked: list[str] = []
        self.names: dict[str, str] = {}  # of files whose name comes with their bytes
        self.avatars: dict[str, MediaRef] = {}
        self.open = self.most_open = 0
        self.stuck = False  # some download has come to a place where it waits
        self.changed: Callable[[], None] = lambda: None

    def answer(self, name: str, *answers: Sequence[Step]) -> None:
        self.answers[name] = list(answers)

    async def download(
        self, media: MediaRef, on_name: OnFileName = ignore_name
    ) -> AsyncGenerator[bytes, None]:
        name = media.locator["msgid"]
        if name in self.names:
            on_name(self.names[name])
        self.asked.append(name)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.changed()
        try:
            answers = self.answers.get(name, [[PNG + name.encode()]])
            for step in answers.pop(0) if len(answers) > 1 else answers[0]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    self.stuck = True
                    self.changed()
                    await step.wait()
                    continue
                yield step
        finally:
            self.open -= 1

    def avatar(self, handle: Handle) -> MediaRef | None:
        return self.avatars.get(handle)


HOOKED_OPERATIONS = ("next_download", "mark_ready", "mark_unavailable", "postpone", "release_message")


class FailingJournal(Journal):
    """A journal whose operations fail once for each entry in `failing_operations`; it reports each success.

    A coroutine in `after_commit` runs when the operation is done, before its caller continues.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        notify: Callable[[], None],
        on_referenced: Callable[[Blob], None],
    ) -> None:
        super().__init__(database, "home", clock, on_referenced)
        self.failing_operations: list[str] = []
        self.after_commit: dict[str, Callable[[], Awaitable[Any]]] = {}
        self._notify = notify
        watched = [(self.received, "record"), *((self.media, name) for name in HOOKED_OPERATIONS)]
        for part, name in watched:
            setattr(part, name, partial(self._do, name, getattr(part, name)))

    async def _do(self, name: str, work: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        if name in self.failing_operations:
            self.failing_operations.remove(name)
            raise StoreFull
        done = await work(*args, **more)
        self._notify()
        if name in self.after_commit:
            await self.after_commit.pop(name)()
        return done


class MediaHarness:
    """The downloader of an account with a real store; the test plays WeChat, the broker and the login."""

    def __init__(self, folder: Path, database: Database, media_settings: Media) -> None:
        self.folder = folder
        self.broker = FakeBroker(acknowledges_at_once=True)
        self.files = FakeFiles()
        self.files.changed = self.broker.notify
        self.clock = Clock(now_ms())
        self.blobs = Blobs(folder)
        self.journal = FailingJournal(database, self.clock, self.broker.notify, self.blobs.mark_referenced)
        self.quota = FakeQuota()
        self.logged_out: list[LoggedOut] = []
        self._number = 0
        self.ctx = context(
            broker=self.broker,
            backend=self.files,
            journal=self.journal,
            registry=PeopleRegistry(PEOPLE, {received.topic_name: received.id for received in PEOPLE}, {}),
            settings=settings(media=media_settings),
            shared=shared(blobs=self.blobs, quota=self.quota, watchdog=self),
        )
        self.heartbeats: list[float | None] = []
        self.publisher = Publisher(self.ctx, InflightWindow(self.broker))
        self.downloader = MediaDownloader(self.ctx, self.publisher)
        self.ctx.login_requests.on_logged_out = self._log_out  # type: ignore[method-assign, assignment]
        self.ctx.signals.outbox_changed.connect(self.publisher.add)
        self.set_conditions(online=True)

    @property
    def settings(self) -> AccountSettings:
        return self.ctx.settings

    def _log_out(self, gone: LoggedOut) -> None:
        self.set_conditions(online=False)
        self.logged_out.append(gone)
        self.broker.notify()

    def heartbeat(self, _name: str, limit: float) -> None:
        """Stands in for the watchdog."""
        self.heartbeats.append(limit)
        self.broker.notify()

    def idle(self, _name: str) -> None:
        """Stands in for the watchdog."""
        self.heartbeats.append(None)
        self.broker.notify()

    def set_conditions(self, *, online: bool | None = None, full: bool | None = None) -> None:
        """Changes whether the account is logged in, and whether the store is full."""
        if online is not None:
            state = LoginState.ONLINE if online else LoginState.INTERRUPTED
            self.downloader.on_login_changed(LoginStatus(state=state, since=0))
        if full is not None:
            self.quota.size = self.quota.limit if full else 0
        self.downloader.wake()

    def apply(self, media_settings: Media) -> None:
        self.ctx.settings = changed(self.ctx.settings, media=media_settings)
        self.downloader.wake()

    async def receive(self, *keys: str, user: str = "wife", kind: Kind = Kind.IMAGE, **more: Any) -> None:
        """Stores messages as `InboundMessages` does; each has a file whose bytes contain its key."""
        rows = [self._row(self._message(key, kind, **more), user) for key in keys]
        async with self.downloader.waiting.commit_lock:
            await self.journal.received.record(rows, NO_CHANGES, Cursor(keys[-1]), "login")
            self.downloader.enqueue([row for row in rows if row.media])
        self.publisher.outbox.expect_rows()

    def _message(self, key: str, kind: Kind, **more: Any) -> Message:
        ref = None if kind is Kind.TEXT else MediaRef(locator={"msgid": key})
        return message(key, f"[{key}]", **{"kind": kind, "media": ref, **more})

    def _row(self, received: Message, user: str) -> NewMessage:
        jobs = media_jobs(received, self.settings, self.clock.now)
        body = message_body(
            received,
            account="home",
            user=user,
            chat_name=user,
            sender=None,
            trusted=False,
            media=media_in_message(received, jobs, self.settings),
        )
        return NewMessage(
            key=received.key,
            id=received.id,
            topic=f"wx/in/{user}",
            user=user,
            kind=str(received.kind),
            time=received.time,
            text=received.text,
            body=body,
            media=jobs,
            waits_for_file=waits_for_file(jobs, self.settings),
        )

    # waiting for outcomes

    async def row(self, key: str) -> MediaRow:
        return (await self.journal.media.of_messages([key]))[0]

    async def wait_for_state(self, key: str, *states: MediaState) -> MediaRow:
        """Returns the row of a message's file, once it is in one of these states."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while (row := await self.row(key)).state not in states:
                await self._wait_for_change()
        return row

    async def wait_for_row(self, holds: Callable[[MediaRow], bool], key: str) -> MediaRow:
        """Returns the row of a message's file, once the condition is true for it."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not holds(row := await self.row(key)):
                await self._wait_for_change()
        return row

    async def _wait_for_change(self) -> None:
        changed = self.broker._changed
        try:
            async with asyncio.timeout(0.05):
                await changed.wait()
        except TimeoutError:
            return

    async def wait_for_requests(self, count: int) -> list[str]:
        """Returns the ids that WeChat was asked for, in order, once there are at least `count`."""
        await self.broker.wait_until(lambda: len(self.files.asked) >= count)
        return self.files.asked

    async def wait_for_published(self, count: int) -> list[tuple[str, Any]]:
        """Returns topic (without its base) and body of all publications, once there are at least `count`."""
        sent = await self.broker.wait_for_publications(count)
        return [(received.topic.removeprefix("wx/"), json.loads(received.payload)) for received in sent]

    def on_disk(self) -> list[Path]:
        """Returns all files in the media folder."""
        return [file for file in (self.folder / "media").rglob("*") if file.is_file()]

    async def find(self, key: str, wait: float = MAX_WAIT_SECONDS) -> MediaRow:
        found = await self.downloader.library.find((await self.row(key)).id, wait)
        assert found is not None
        return found

    async def ask(self, max_bytes: int | None = None, **fields: Any) -> Any:
        return await self.downloader.request.answer(fields, max_bytes)


@asynccontextmanager
async def open_media_harness(
    folder: Path, media_settings: Media | None = None, *, runs: bool = True
) -> AsyncIterator[MediaHarness]:
    """Runs a downloader and a publisher on the store in a folder; without `runs` the publisher only."""
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    harness = MediaHarness(folder, database, media_settings or Media())
    await harness.journal.open()
    await harness.blobs.open()
    harness.broker.connect()
    harness.publisher.on_connected()
    jobs = [harness.publisher.run(), *([harness.downloader.run()] if runs else [])]
    running = [asyncio.create_task(job) for job in jobs]
    try:
        yield harness
        for task in running:
            assert not task.done(), task.exception()
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await database.close()


def failing_answer(error: type[Wx2MqttError], *arguments: Any, **more: Any) -> list[Step]:
    """Returns an answer that only raises this error."""
    return [error(*arguments, **more)]
