"""The bridge of one account in this process: real store, people, commands and publisher; WeChat and broker in memory.

    bridge = await open_bridge(send={"per_minute": 0})
    await bridge.start()
    bridge.deliver("wx/out/老婆", "hi")
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert bridge.backend.texts == [("@wife", "hi")]

It runs on a `SingleThreadLoop`: waits take no time, and each test runs the same way every time.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.memory_backend import MemoryBackend
from tests.support.memory_broker import MemoryBroker, SentPublication
from tests.support.memory_web import MemoryWeb
from tests.support.single_thread import SingleThreadLoop
from wx2mqtt.aio import ChangeNotifier, cancel_and_wait
from wx2mqtt.app.operations import AccountOperations
from wx2mqtt.app.stores import Stores, open_stores
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, ReloadStatus, SharedServices, StorageQuota, Watchdog
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.database import ignore_commit_point
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import ProcessingMarks, PubackLog
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.records import NewPublication

ACCOUNT = "home"

# How long a test waits for a publication, on the loop's clock: no time of a person.
MAX_SECONDS = 3600.0

# Sections that a test gives beside those of the account.
FILE_SECTIONS = frozenset(Settings.model_fields)


def account_settings(base_topics: tuple[str, ...] = ("wx",), **sections: Any) -> AccountSettings:
    """Returns settings as a file has them: sections of the account or of the file, as in YAML.

    Without `send` there are no rate limits.
    """
    in_file = {key: value for key, value in sections.items() if key in FILE_SECTIONS}
    account = {key: value for key, value in sections.items() if key not in FILE_SECTIONS}
    account.setdefault("send", {"per_minute": 0})
    whole = Settings.model_validate({**in_file, "accounts": {ACCOUNT: account}})
    return AccountSettings(
        whole=whole, name=ACCOUNT, account=whole.accounts[ACCOUNT], base_topics=base_topics
    )


class BridgedAccount:
    """One account on an open store. `start` runs it; `stop` ends it in order, `kill` as a killed process does."""

    def __init__(
        self,
        folder: Path,
        stores: Stores,
        settings: AccountSettings,
        backend: MemoryBackend,
        broker: MemoryBroker,
    ) -> None:
        self.folder = folder
        self.stores = stores
        self.settings = settings
        self.backend = backend
        self.broker = broker
        #: Where the PUBACKs are recorded that the store does not have yet; `open` uses it.
        self.puback_path: Path | None = None
        #: What the URLs of commands answer.
        self.web = MemoryWeb()
        self.account: Account
        self._running: asyncio.Task[Any] | None = None
        #: How many publications of each topic were returned already.
        self._returned: dict[str, int] = {}

    async def open(self) -> None:
        """Builds the account from the store, as a start of the process does."""
        stores = self.stores
        journal = Journal(
            stores.database,
            ACCOUNT,
            on_referenced=stores.blobs.mark_referenced,
            search_index=stores.search_index,
        )
        saved_state = await journal.open()
        await journal.set_base_topic("wx")
        people = StoredPeople(stores.database, ACCOUNT)
        persons, topic_names = await people.load()
        registry = PeopleRegistry(persons, topic_names, self.settings.pins, next_id=people.next_id)
        context = AccountContext(
            name=ACCOUNT,
            topics=Topics("wx"),
            broker=self.broker,
            backend=self.backend,
            counters=AccountCounters(started=now_ms()),
            journal=journal,
            people_file=stores.people_file,
            registry=registry,
            saved_state=saved_state,
            settings=self.settings,
            shared=self._shared(),
            marks=ProcessingMarks(None),
            puback_log=PubackLog(self.puback_path, journal.stream),
        )
        self.account = Account(context)
        self.account.components.resolver._attachments._fetcher = self.web  # type: ignore[assignment]
        self.account.restore()

    def _shared(self) -> SharedServices:
        stores, limit = self.stores, self.settings.whole.storage.max_size
        return SharedServices(
            watchdog=Watchdog(loop_time),
            changes=ChangeNotifier(),
            blobs=stores.blobs,
            media_retention=MediaRetention(stores.database, stores.blobs),
            quota=StorageQuota(database=stores.database, blobs=stores.blobs, limit=limit),
            reload_status=ReloadStatus(),
        )

    async def start(self, *, online: bool = True) -> None:
        """Runs the account; returns once it is online at both ends, or at once where it is not to be."""
        self._running = asyncio.create_task(self.account.run())
        if online:
            await self.wait_until(lambda: self.account.login.state == "online")
        await self.pass_time(0.1)

    async def stop(self) -> None:
        await self.account.stop()
        await self.kill()

    async def kill(self) -> None:
        """Ends everything at once, with nothing stored that is not stored yet."""
        if self._running is not None:
            await cancel_and_wait([self._running])
            self._running = None

    async def restart(self, *, online: bool = True) -> None:
        """Starts again on the same store, after `stop` or `kill`."""
        self.broker = MemoryBroker(grants=self.broker.grants)
        self._returned.clear()
        await self.open()
        await self.start(online=online)

    async def reload(self, **sections: Any) -> None:
        """Gives the account other settings, as a reload of the file does."""
        self.settings = account_settings(**sections)
        await self.account.apply_settings(self.settings)

    # What the test does

    def deliver(self, topic: str, payload: bytes | str | Mapping[str, Any], **more: Any) -> Any:
        """Delivers a message from the broker; a mapping as JSON."""
        content = payload if isinstance(payload, bytes | str) else json.dumps(payload)
        return self.broker.deliver(topic, content, **more)

    async def request(self, name: str, /, **fields: Any) -> Any:
        """Returns the answer to a request."""
        self.deliver(f"wx/bridge/request/{name}", fields)
        return await self.next(f"wx/bridge/response/{name}")

    async def send(self, user: str, command: bytes | str | Mapping[str, Any], **more: Any) -> Any:
        """Gives a command on `out/<user>`, or on a level below it, and returns its result."""
        self.deliver(f"wx/out/{user}", command, **more)
        return await self.result(user.partition("/")[0])

    async def publish(self, *topics: str, **more: Any) -> None:
        """Publishes on each of these topics, as a component of the account does; `more` are other fields."""
        fields = {"payload": b"{}", "category": "event", "content_type": "application/json", **more}
        await self.account.ctx.publish([NewPublication(topic=topic, **fields) for topic in topics])

    async def operate(self, name: str, **fields: Json) -> Any:
        """Does what the command line asks for: `await bridge.operate("journal.drop", id="a")`."""
        return await AccountOperations(self.account).run(name, fields)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_until_failed(self) -> None:
        """Waits until an internal error has ended the account; raises `AccountFailed`."""
        assert self._running is not None, "the account does not run"
        async with asyncio.timeout(MAX_SECONDS):
            await self._running

    def skip_time(self, seconds: float) -> None:
        """Lets time pass at once: what was due meanwhile is late, as after a suspend of the machine."""
        _loop().skip(seconds)

    def set_clock(self, seconds: float) -> None:
        """Sets the time of day forward, or back."""
        _loop().wall_shift += seconds

    def fail_store(self, *jobs: str, error: type[StoreError] = StoreFull) -> None:
        """Lets the next job of each of these names fail: that of `write`, or `read`."""
        for job in jobs:
            _loop().store_steps[job].append(error())

    def hold_store(self, job: str) -> asyncio.Future[None]:
        """Holds the next job of this name back until the future has a result."""
        held = _loop().create_future()
        _loop().store_steps[job].append(held)
        return held

    # What the test sees

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Waits until a condition holds; it is looked at ten times a second of the loop's clock."""
        async with asyncio.timeout(MAX_SECONDS):
            while not condition():  # noqa: ASYNC110 - on this loop a sleep takes no time
                await asyncio.sleep(0.1)

    async def wait_for_sends(self, count: int) -> list[str]:
        """Returns what WeChat was asked to send, once it is at least so much."""
        await self.wait_until(lambda: len(self.backend.sent) >= count)
        return self.backend.contents

    async def next(self, topic: str) -> Any:
        """Returns the next publication of a topic that no call has returned yet, parsed where it is JSON."""
        number = self._returned.get(topic, 0)
        await self.wait_until(lambda: len(self.sent(topic)) > number)
        self._returned[topic] = number + 1
        return _parsed(self.sent(topic)[number])

    async def result(self, user: str) -> Any:
        return await self.next(f"wx/result/{user}")

    async def result_of(self, command_id: str, user: str = "老婆") -> Any:
        """Returns the result of a command, whichever other results come before it."""
        results = f"wx/result/{user}"
        await self.wait_until(lambda: any(body["id"] == command_id for body in self.published(results)))
        return next(body for body in self.published(results) if body["id"] == command_id)

    async def event(self, kind: str) -> Any:
        return await self.next(f"wx/event/{kind}")

    def published(self, topic: str) -> list[Any]:
        """Returns all publications of a topic so far, parsed where they are JSON."""
        return [_parsed(sent) for sent in self.sent(topic)]

    def sent(self, topic: str) -> list[SentPublication]:
        return [sent for sent in self.broker.sent if sent.topic == topic]

    def last(self, topic: str) -> Any:
        """Returns the newest publication of a topic, parsed where it is JSON."""
        return self.published(topic)[-1]

    @property
    def store_jobs(self) -> Counter[str]:
        """How many jobs of each name the store has got."""
        return _loop().store_jobs

    async def wait_until_published(self) -> None:
        """Waits until the broker has all that is to be published, and the store knows it."""
        async with asyncio.timeout(MAX_SECONDS):
            while (await self.account.ctx.journal.stats()).waiting_publications:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)

    @property
    def state(self) -> str:
        return str(self.account.login.state)

    @property
    def journal(self) -> Journal:
        return self.account.ctx.journal

    async def commands(self) -> list[CommandRow]:
        """Returns all stored commands, the oldest first."""
        return (await self.journal.commands.list_newest(limit=10_000))[::-1]

    @property
    def stored_files(self) -> list[bytes]:
        """The bytes of each file in the store, also of those that are not complete, in order."""
        return sorted(path.read_bytes() for path in (self.folder / "media").rglob("*") if path.is_file())

    async def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Returns rows of the store."""
        return [tuple(row) for row in await self.stores.database.fetch(statement, values)]


def _loop() -> SingleThreadLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SingleThreadLoop)
    return loop


def ended(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns how a command ended."""
    return result["status"], result["code"], result["duplicate_possible"]


def _parsed(sent: SentPublication) -> Any:
    if sent.publication.content_type != "application/json":
        return sent.payload
    return json.loads(sent.payload)


def hold_calls(owner: Any, name: str, *, after: bool = False) -> asyncio.Event:
    """Lets each call of a coroutine function of an object wait until the returned event is set.

    With `after` the work is done at once, and its end is held.
    """
    call, gate = getattr(owner, name), asyncio.Event()

    async def wait(*args: Any, **options: Any) -> Any:
        if not after:
            await gate.wait()
        returned = await call(*args, **options)
        await gate.wait()
        return returned

    setattr(owner, name, wait)
    return gate


def fail_next_call(owner: Any, name: str, error: Exception) -> None:
    """Lets the next call of a coroutine function of an object raise an error."""
    call = getattr(owner, name)

    async def fail(*_args: Any, **_options: Any) -> Any:
        setattr(owner, name, call)
        raise error

    setattr(owner, name, fail)


@asynccontextmanager
async def opened_bridge(
    folder: Path, backend: MemoryBackend | None = None, **sections: Any
) -> AsyncGenerator[BridgedAccount, None]:
    """Opens a store in a folder and builds the account on it; ends both."""
    settings = account_settings(**sections)
    whole = settings.whole.model_copy(
        update={"storage": settings.whole.storage.model_copy(update={"path": folder})}
    )
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(
            open_stores(LoadedSettings(settings=whole, path=None), {}, ignore_commit_point)
        )
        bridge = BridgedAccount(folder, stores, settings, backend or MemoryBackend(), MemoryBroker())
        await bridge.open()
        stack.push_async_callback(bridge.kill)
        yield bridge
