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
from tests.unit.bridge.contexts import FakeQuota, changed, context, settings, shared
from tests.unit.bridge.outgoing import PEOPLE
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
    """The gateway's downloads: what each id is answered with, in turn; after that always the last answer.

    An answer is what happens piece by piece: bytes, an event that is waited for, an error.
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


WATCHED = ("next_download", "mark_ready", "mark_unavailable", "postpone", "release_message")


class SlowToStore(Journal):
    """A journal that fails as often as `troubles` says, and tells when something was done.

    What stands in `before_known` happens when it is done, and before its caller knows.
    """

    def __init__(
        self, database: Database, clock: Clock, told: Callable[[], None], referred: Callable[[Blob], None]
    ) -> None:
        super().__init__(database, "home", clock, referred)
        self.troubles: list[str] = []
        self.before_known: dict[str, Callable[[], Awaitable[Any]]] = {}
        self._told = told
        watched = [(self.received, "record"), *((self.media, name) for name in WATCHED)]
        for part, name in watched:
            setattr(part, name, partial(self._do, name, getattr(part, name)))

    async def _do(self, name: str, work: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        if name in self.troubles:
            self.troubles.remove(name)
            raise StoreFull
        done = await work(*args, **more)
        self._told()
        if name in self.before_known:
            await self.before_known.pop(name)()
        return done


class MediaHarness:
    """The downloader, and the test as WeChat, the broker, the login and the disk around it."""

    def __init__(self, folder: Path, database: Database, rules: Media) -> None:
        self.folder = folder
        self.broker = FakeBroker(acknowledges_at_once=True)
        self.files = FakeFiles()
        self.files.changed = self.broker.notify
        self.clock = Clock(now_ms())
        self.blobs = Blobs(folder)
        self.journal = SlowToStore(database, self.clock, self.broker.notify, self.blobs.mark_referenced)
        self.quota = FakeQuota()
        self.logged_out: list[LoggedOut] = []
        self._number = 0
        self.ctx = context(
            broker=self.broker,
            backend=self.files,
            journal=self.journal,
            registry=PeopleRegistry(PEOPLE, {one.topic_name: one.id for one in PEOPLE}, {}),
            settings=settings(media=rules),
            shared=shared(blobs=self.blobs, quota=self.quota, watchdog=self),
        )
        self.beats: list[float | None] = []
        self.pump = Publisher(self.ctx, InflightWindow(self.broker))
        self.downloader = MediaDownloader(self.ctx, self.pump)
        self.ctx.login_requests.on_logged_out = self._log_out  # type: ignore[method-assign, assignment]
        self.ctx.signals.outbox_changed.connect(self.pump.add)
        self.put(online=True)

    @property
    def settings(self) -> AccountSettings:
        return self.ctx.settings

    def _log_out(self, gone: LoggedOut) -> None:
        self.put(online=False)
        self.logged_out.append(gone)
        self.broker.notify()

    def heartbeat(self, _name: str, limit: float) -> None:
        """As a watchdog."""
        self.beats.append(limit)
        self.broker.notify()

    def idle(self, _name: str) -> None:
        """As a watchdog."""
        self.beats.append(None)
        self.broker.notify()

    def put(self, *, online: bool | None = None, full: bool | None = None) -> None:
        """The login or the room in the store changes."""
        if online is not None:
            state = LoginState.ONLINE if online else LoginState.INTERRUPTED
            self.downloader.on_login_changed(LoginStatus(state=state, since=0))
        if full is not None:
            self.quota.size = self.quota.limit if full else 0
        self.downloader.wake()

    def apply(self, rules: Media) -> None:
        self.ctx.settings = changed(self.ctx.settings, media=rules)
        self.downloader.wake()

    async def comes(self, *keys: str, user: str = "wife", kind: Kind = Kind.IMAGE, **more: Any) -> None:
        """Messages come in, as `Inbound` stores them; each has bytes that are called like its key."""
        rows = [self._row(self._message(key, kind, **more), user) for key in keys]
        async with self.downloader.waiting.commit_lock:
            await self.journal.received.record(rows, NO_CHANGES, Cursor(keys[-1]), "login")
            self.downloader.enqueue([row for row in rows if row.media])
        self.pump.outbox.expect_rows()

    def _message(self, key: str, kind: Kind, **more: Any) -> Message:
        ref = None if kind is Kind.TEXT else MediaRef(locator={"msgid": key})
        return message(key, f"[{key}]", **{"kind": kind, "media": ref, **more})

    def _row(self, one: Message, user: str) -> NewMessage:
        jobs = media_jobs(one, self.settings, self.clock.now)
        body = message_body(
            one,
            account="home",
            user=user,
            chat_name=user,
            sender=None,
            trusted=False,
            media=media_in_message(one, jobs, self.settings),
        )
        return NewMessage(
            key=one.key,
            id=one.id,
            topic=f"wx/in/{user}",
            user=user,
            kind=str(one.kind),
            time=one.time,
            text=one.text,
            body=body,
            media=jobs,
            waits_for_file=waits_for_file(jobs, self.settings),
        )

    # what became of it

    async def row(self, key: str) -> MediaRow:
        return (await self.journal.media.of_messages([key]))[0]

    async def is_in(self, key: str, *states: MediaState) -> MediaRow:
        """The row of a message's bytes, once it is in one of these states."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while (row := await self.row(key)).state not in states:
                await self._something()
        return row

    async def when(self, holds: Callable[[MediaRow], bool], key: str) -> MediaRow:
        """The row of a message's bytes, once that is so."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not holds(row := await self.row(key)):
                await self._something()
        return row

    async def _something(self) -> None:
        changed = self.broker._changed
        try:
            async with asyncio.timeout(0.05):
                await changed.wait()
        except TimeoutError:
            return

    async def asked(self, count: int) -> list[str]:
        """What WeChat was asked for, in order, once it was so often."""
        await self.broker.wait_until(lambda: len(self.files.asked) >= count)
        return self.files.asked

    async def published(self, count: int) -> list[tuple[str, Any]]:
        """All that ever was published, once it is so much: the topic without its base, the body."""
        sent = await self.broker.wait_for_publications(count)
        return [(one.topic.removeprefix("wx/"), json.loads(one.payload)) for one in sent]

    def on_disk(self) -> list[Path]:
        """Every file in the media folder."""
        return [file for file in (self.folder / "media").rglob("*") if file.is_file()]

    async def find(self, key: str, wait: float = MAX_WAIT_SECONDS) -> MediaRow:
        found = await self.downloader.library.find((await self.row(key)).id, wait)
        assert found is not None
        return found

    async def ask(self, room: int | None = None, **fields: Any) -> Any:
        return await self.downloader.request.answer(fields, room)


@asynccontextmanager
async def working(
    folder: Path, rules: Media | None = None, *, runs: bool = True
) -> AsyncIterator[MediaHarness]:
    """A downloader over the store in a folder; with `runs` false only the pump is at work."""
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    harness = MediaHarness(folder, database, rules or Media())
    await harness.journal.open()
    await harness.blobs.open()
    harness.broker.connect()
    harness.pump.on_connected()
    jobs = [harness.pump.run(), *([harness.downloader.run()] if runs else [])]
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


def trouble(error: type[Wx2MqttError], *arguments: Any, **more: Any) -> list[Step]:
    """An answer that is nothing but this error."""
    return [error(*arguments, **more)]
