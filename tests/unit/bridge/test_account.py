"""A whole account with a fake broker and a fake backend: its signals, a reload, a failure and a stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.fake_broker import FakeBroker
from tests.unit.bridge.contexts import FakeWatchdog, changed, context, settings, shared
from tests.unit.bridge.session_harness import FakeBackend
from wx2mqtt.bridge.account import Account, AccountFailed
from wx2mqtt.bridge.inbound_rows import PeopleBatch
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.i18n import Language
from wx2mqtt.model import Kind, LoginState
from wx2mqtt.mqtt.broker import Delivery, Disconnected
from wx2mqtt.settings.schema import Fallback, Receive, Send
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewMessage
from wx2mqtt.store.sqlite_database import SqliteDatabase


class RecordingBackend(FakeBackend):
    """A backend that keeps the languages that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.languages: list[Language] = []

    def set_language(self, language: Language) -> None:
        self.languages.append(language)


class AccountHarness:
    """An account that does not run; what it publishes is in `broker.sent`."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.broker = FakeBroker(acknowledges_at_once=True)
        self.backend = RecordingBackend()
        self.journal = Journal(database, "home")
        self.watchdog = FakeWatchdog()
        self.ctx = context(
            broker=self.broker,
            backend=self.backend,
            journal=self.journal,
            registry=PeopleRegistry([], {}, {}),
            shared=shared(blobs=Blobs(folder), watchdog=self.watchdog),
        )
        self.account = Account(self.ctx)

    def connect(self) -> None:
        self.account.on_connected(self.broker.connect())

    def last_payload(self, topic: str) -> Any:
        return json.loads(
            [publication for publication in self.broker.sent if publication.topic == topic][-1].payload
        )


def text_message(key: str) -> NewMessage:
    return NewMessage(
        key=key,
        id=key,
        topic="wx/in/wife",
        user="wife",
        kind=Kind.TEXT,
        time=0,
        text=key,
        body={"kind": "text", "text": key},
    )


@pytest.fixture
async def account_harness(tmp_path: Path) -> AsyncIterator[AccountHarness]:
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    account_harness = AccountHarness(tmp_path, database)
    await account_harness.journal.open()
    yield account_harness
    await database.close()


async def test_a_reload_counts_at_once_for_every_component(account_harness: AccountHarness):
    """There is one settings object, and no component keeps a copy of a value in it."""
    send = Send(allow=("mom",), ttl=1.0, per_minute=7, burst=3)
    reloaded = settings(
        send=send,
        receive=Receive(groups="none"),
        language="zh",
        fallback=Fallback(after=5.0, urls=("mailto://a@example.org",)),
    )
    account_harness.connect()
    await account_harness.account.apply_settings(reloaded)
    account = account_harness.account
    assert account.ctx.settings is reloaded
    assert account.components.sender.fallback.after_seconds == 5.0
    bucket = account.components.sender.limits.bucket
    assert (bucket.per_minute, bucket.burst) == (7.0, 3)
    account.components.session.stop()
    assert account_harness.last_payload("wx/login/state")["reason"] == "桥接程序已停止"


async def test_the_backend_has_the_language_of_the_settings_of_now(account_harness: AccountHarness):
    """The backend kept the language of the start, although the reload said that it was applied."""
    await account_harness.account.apply_settings(changed(account_harness.ctx.settings, language="zh"))
    assert account_harness.backend.languages == ["en", "zh"]


async def test_the_picture_of_the_code_is_published_before_the_state_that_asks_for_it(
    account_harness: AccountHarness,
):
    account_harness.connect()
    before = len(account_harness.broker.sent)
    url = "https://login.weixin.qq.com/l/abc"
    login = account_harness.account.login.transition(
        LoginState.WAITING_FOR_SCAN, "scan", 1, qr_expires=10**15, qr_url=url
    )
    account_harness.ctx.signals.login_changed.emit(login)
    topics = [publication.topic for publication in account_harness.broker.sent[before:]]
    assert topics == ["wx/login/qr", "wx/login/url", "wx/login/state"]


async def test_a_change_of_the_login_is_reported_to_the_process(account_harness: AccountHarness):
    reported: list[tuple[str, str, str]] = []
    account_harness.ctx.shared.login_reported.connect(
        lambda account, login, url: reported.append((account, str(login.state), url))
    )
    changes = account_harness.ctx.shared.changes.count
    account_harness.account.components.session.stop()
    assert reported == [("home", "stopped", "")]
    assert account_harness.ctx.shared.changes.count == changes + 1


async def test_a_delivery_goes_to_the_intake_and_a_birth_to_home_assistant_too(
    account_harness: AccountHarness,
):
    births: list[bytes] = []
    account_harness.account.components.home_assistant.birth_topic = "homeassistant/status"
    account_harness.account.components.home_assistant.on_birth = births.append  # type: ignore[method-assign, assignment]
    for topic in ("homeassistant/status", "wx/out/wife"):
        account_harness.account.on_delivery(
            Delivery(topic=topic, payload=b"online", mid=1, dup=False, retain=False, connection_number=1)
        )
    assert births == [b"online"]
    assert len(account_harness.account.components.intake._queue) == 2


async def test_what_is_committed_is_handed_to_the_publisher(account_harness: AccountHarness):
    account_harness.connect()
    running = asyncio.create_task(account_harness.account.components.publisher.run())
    account_harness.ctx.publish_event("dropped", {"topic": "wx/in/wife", "count": 3, "reason": "refused"})
    reporting = asyncio.create_task(account_harness.account.components.reporter._publish_events())
    await account_harness.broker.wait_until(lambda: "wx/event/dropped" in account_harness.broker.topics)
    assert account_harness.last_payload("wx/event/dropped")["count"] == 3
    for task in (running, reporting):
        task.cancel()
    await asyncio.wait({running, reporting})


async def test_a_message_and_the_last_one_behind_it_go_to_the_broker_with_one_write(
    account_harness: AccountHarness,
):
    """Two writes, and the two answers to them, were a tenth of the CPU of a single message."""
    account_harness.connect()
    for key in ("1", "2"):  # the journal is read for the first one, and what was sent before
        await account_harness.account.components.publisher._publish_waiting()
        sent, flushed = len(account_harness.broker.sent), len(account_harness.broker.counts_at_flush)
        recorded = await account_harness.journal.received.record([text_message(key)], NO_CHANGES, None, "")
        account_harness.account.components.inbound._announce(recorded, PeopleBatch())
    assert account_harness.broker.topics[sent:] == ["wx/in/wife", "wx/last"]
    assert account_harness.broker.counts_at_flush[flushed:] == [sent + 2]


async def test_only_the_end_of_a_connection_counts_as_a_disconnect_and_not_a_failed_attempt(
    account_harness: AccountHarness,
):
    for code in ("unreachable", "lost", "unreachable", "lost"):
        account_harness.account.on_disconnected(Disconnected(reason="because", retry_in=1.0, code=code))
    assert account_harness.account.counters.disconnects == 2


class BrokenComponent:
    """A component that fails when the test says so."""

    def __init__(self) -> None:
        self.may_fail = asyncio.Event()
        self.is_running = asyncio.Event()

    async def run(self) -> None:
        self.is_running.set()
        await self.may_fail.wait()
        raise ValueError("a bug")


async def test_an_account_that_fails_stops_itself_and_says_so(
    account_harness: AccountHarness, monkeypatch: pytest.MonkeyPatch
):
    broken = BrokenComponent()
    monkeypatch.setattr(account_harness.account.components.reporter, "run", broken.run)
    account_harness.connect()
    running = asyncio.create_task(account_harness.account.run())
    broken.may_fail.set()
    with pytest.raises(AccountFailed):
        await asyncio.wait_for(running, MAX_WAIT_SECONDS)
    assert account_harness.last_payload("wx/login/state")["state"] == "stopped"
    assert account_harness.account.counters.failed


async def test_a_failure_during_a_stop_leaves_the_stop_to_the_process(
    account_harness: AccountHarness, monkeypatch: pytest.MonkeyPatch
):
    """The end of `run` would cancel the tasks whose work the stop still waits for."""
    broken, may_end = BrokenComponent(), asyncio.Event()
    monkeypatch.setattr(account_harness.account.components.reporter, "run", broken.run)
    monkeypatch.setattr(account_harness.account.components.sender, "drain", lambda _: may_end.wait())
    account_harness.connect()
    running = asyncio.create_task(account_harness.account.run())
    await asyncio.wait_for(broken.is_running.wait(), MAX_WAIT_SECONDS)
    stopping = asyncio.create_task(account_harness.account.stop())
    await asyncio.sleep(0)
    account_harness.account.connect_attempted.clear()
    broken.may_fail.set()
    await asyncio.wait_for(account_harness.account.connect_attempted.wait(), MAX_WAIT_SECONDS)
    may_end.set()
    await asyncio.wait_for(stopping, MAX_WAIT_SECONDS)
    assert not running.done()
    assert account_harness.last_payload("wx/login/state")["state"] == "stopped"
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
