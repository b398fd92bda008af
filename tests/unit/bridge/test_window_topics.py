"""`window/<user>`: published when it changes, and only by backends with reply windows."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.address_book import AddressBook
from tests.unit.bridge.commands_harness import CAPABILITIES
from tests.unit.bridge.contexts import context
from wx2mqtt.bridge.requests.account_requests import AccountRequests
from wx2mqtt.bridge.requests.dispatcher import ActionHandler, SizedHandler
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Handle, LoginState, PersonId, ReplyWindow

OPEN_WINDOW = ReplyWindow(open=True, until=now_ms() + 10**7, remaining=9)


class WindowTopicsHarness:
    """The window topics of an account whose backend has a reply window for everybody."""

    capabilities = replace(CAPABILITIES, has_reply_window=True)

    def __init__(self) -> None:
        self.address_book = AddressBook()
        self.address_book.add_friend("wife", "wife")
        self.address_book.log_in()
        self.window = OPEN_WINDOW
        self.published: list[tuple[str, bytes]] = []
        self.windows_changed = asyncio.Event()
        retained: Any = self
        self.ctx = ctx = context(backend=self, registry=self.address_book.registry)
        ctx.signals.reply_windows_changed.connect(self.windows_changed.set)
        login: Any = SimpleNamespace(status=SimpleNamespace(state=LoginState.ONLINE))
        self.login_state = login
        self.waiting_counts: dict[PersonId, int] = {}
        window_wait: Any = self
        self.windows = ReplyWindowTopics(ctx, retained, login, window_wait)

    def reply_window(self, _handle: Handle) -> ReplyWindow:
        return self.window

    def reserved(self, window: ReplyWindow) -> int:
        return min(1, window.remaining or 0)

    def count_of(self, person: PersonId) -> int:
        return self.waiting_counts.get(person, 0)

    def set(self, topic: str, payload: bytes, _content_type: str) -> None:
        self.published.append((topic, payload))

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload in self.published if topic == "wx/window/wife"]


@pytest.fixture
def harness() -> WindowTopicsHarness:
    return WindowTopicsHarness()


async def test_a_window_is_published_once_until_it_changes(harness: WindowTopicsHarness):
    harness.windows.publish_changes()
    harness.windows.publish_changes()
    harness.window = ReplyWindow(open=False, remaining=0, reason="quota_used")
    harness.windows.publish_changes()
    first, second = harness.bodies()
    assert (first["open"], first["left"], first["why"], first["user"]) == (True, 9, "", "wife")
    assert (second["open"], second["left"], second["why"]) == (False, 0, "quota_used")
    assert "until" not in second


async def test_a_window_says_how_many_messages_are_reserved_and_how_many_commands_wait(
    harness: WindowTopicsHarness,
):
    harness.windows.publish_changes()
    person = harness.address_book.registry.by_topic_name("wife")
    assert person is not None
    harness.waiting_counts[person.id] = 3
    harness.windows.publish_changes()
    first, second = harness.bodies()
    assert (first["left"], first["reserved"], first["waiting"]) == (9, 1, 0)
    assert (second["left"], second["reserved"], second["waiting"]) == (9, 1, 3)
    assert harness.windows.forecasts["wife"].waiting == 3


async def test_the_window_of_who_is_gone_is_taken_back(harness: WindowTopicsHarness):
    harness.windows.publish_changes()
    harness.address_book.remove_contact("wife")
    harness.windows.publish_changes()
    assert [payload for topic, payload in harness.published if topic == "wx/window/wife"][1:] == [b""]


async def test_while_nobody_is_logged_in_a_window_is_closed(harness: WindowTopicsHarness):
    harness.windows.publish_changes()
    harness.login_state.status.state = LoginState.WAITING_FOR_SCAN
    harness.windows.publish_changes()
    assert harness.bodies()[-1]["why"] == "logged_out"
    assert "left" not in harness.bodies()[-1]


async def test_at_the_start_nothing_is_published_before_anything_is_known(harness: WindowTopicsHarness):
    for state in (LoginState.STARTING, LoginState.INTERRUPTED, LoginState.STOPPED):
        harness.login_state.status.state = state
        harness.windows.publish_changes()
    assert not harness.published


async def test_an_interruption_publishes_no_window(harness: WindowTopicsHarness):
    harness.windows.publish_changes()
    harness.login_state.status.state = LoginState.INTERRUPTED
    harness.windows.publish_changes()
    assert len(harness.bodies()) == 1


async def test_a_window_is_published_as_closed_when_its_time_is_over(harness: WindowTopicsHarness):
    harness.window = ReplyWindow(open=True, until=now_ms() + 100, remaining=9)
    running = asyncio.create_task(harness.windows.run())
    harness.windows.refresh_requested.set()
    try:
        await asyncio.wait_for(harness.windows_changed.wait(), MAX_WAIT_SECONDS)
        harness.windows_changed.clear()
        harness.window = ReplyWindow(open=False, remaining=0, reason="too_long_ago")  # nobody says so
        await asyncio.wait_for(harness.windows_changed.wait(), MAX_WAIT_SECONDS)
    finally:
        running.cancel()
    assert harness.bodies()[-1]["why"] == "too_long_ago"


async def test_the_directory_has_the_reply_window_of_each_person(harness: WindowTopicsHarness):
    harness.windows.publish_changes()
    (entry,) = [entry for entry in harness.windows.directory_entries() if entry.user == "wife"]
    assert entry.window["open"] is True


async def test_an_answer_to_request_contacts_is_not_older_than_the_messages_that_were_published(
    harness: WindowTopicsHarness,
):
    """Changed windows are collected for a moment, in which answers once had the earlier window."""
    absent: Any = None
    requests = AccountRequests(harness.ctx, absent, absent, harness.windows, absent)
    contacts = requests.handlers()["contacts"]
    assert not isinstance(contacts, (SizedHandler, ActionHandler))
    harness.windows.publish_changes()
    harness.window = ReplyWindow(
        open=True, until=OPEN_WINDOW.until, remaining=8
    )  # a command was sent, and its result published
    harness.windows.refresh_requested.set()
    answer: Any = await contacts({"query": "wife"})
    assert answer["contacts"][0]["window"]["left"] == 8
    assert harness.bodies()[-1]["left"] == 8


async def test_a_backend_without_reply_windows_publishes_none(harness: WindowTopicsHarness):
    harness.windows.is_supported = CAPABILITIES.has_reply_window
    harness.windows.publish_changes()
    assert not harness.published
    assert harness.windows.directory_entries() == harness.address_book.registry.directory()
