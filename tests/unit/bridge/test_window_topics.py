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
from tests.unit.bridge.contexts import context
from tests.unit.bridge.outgoing import CAPABILITIES
from wx2mqtt.bridge.requests.account_requests import AccountRequests
from wx2mqtt.bridge.requests.dispatcher import ActionHandler, SizedHandler
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Handle, LoginState, PersonId, ReplyWindow

OPEN = ReplyWindow(open=True, until=now_ms() + 10**7, remaining=9)


class Desk:
    """What stands around: a gateway with a window for everybody, and what was said."""

    capabilities = replace(CAPABILITIES, has_reply_window=True)

    def __init__(self) -> None:
        self.address_book = AddressBook()
        self.address_book.friend("wife", "wife")
        self.address_book.log_in()
        self.now = OPEN
        self.said: list[tuple[str, bytes]] = []
        self.told = asyncio.Event()
        retained: Any = self
        self.ctx = ctx = context(backend=self, registry=self.address_book.identity)
        ctx.signals.reply_windows_changed.connect(self.told.set)
        login: Any = SimpleNamespace(status=SimpleNamespace(state=LoginState.ONLINE))
        self.login = login
        self.held: dict[PersonId, int] = {}
        window_wait: Any = self
        self.windows = ReplyWindowTopics(ctx, retained, login, window_wait)

    def reply_window(self, _handle: Handle) -> ReplyWindow:
        return self.now

    def reserved(self, window: ReplyWindow) -> int:
        return min(1, window.remaining or 0)

    def count_of(self, person: PersonId) -> int:
        return self.held.get(person, 0)

    def set(self, topic: str, payload: bytes, _content_type: str) -> None:
        self.said.append((topic, payload))

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload in self.said if topic == "wx/window/wife"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_it_is_published_once_until_it_changes(desk: Desk):
    desk.windows.publish_changes()
    desk.windows.publish_changes()
    desk.now = ReplyWindow(open=False, remaining=0, reason="quota_used")
    desk.windows.publish_changes()
    first, second = desk.bodies()
    assert (first["open"], first["left"], first["why"], first["user"]) == (True, 9, "", "wife")
    assert (second["open"], second["left"], second["why"]) == (False, 0, "quota_used")
    assert "until" not in second


async def test_it_says_what_is_kept_and_how_many_wait(desk: Desk):
    desk.windows.publish_changes()
    person = desk.address_book.identity.by_topic_name("wife")
    assert person is not None
    desk.held[person.id] = 3
    desk.windows.publish_changes()
    first, second = desk.bodies()
    assert (first["left"], first["reserved"], first["waiting"]) == (9, 1, 0)
    assert (second["left"], second["reserved"], second["waiting"]) == (9, 1, 3)
    assert desk.windows.forecasts["wife"].waiting == 3


async def test_the_window_of_who_is_gone_is_taken_back(desk: Desk):
    desk.windows.publish_changes()
    desk.address_book.drop("wife")
    desk.windows.publish_changes()
    assert [payload for topic, payload in desk.said if topic == "wx/window/wife"][1:] == [b""]


async def test_while_nobody_is_logged_in_nothing_is_taken(desk: Desk):
    desk.windows.publish_changes()
    desk.login.status.state = LoginState.WAITING_FOR_SCAN
    desk.windows.publish_changes()
    assert desk.bodies()[-1]["why"] == "logged_out"
    assert "left" not in desk.bodies()[-1]


async def test_at_the_start_nothing_is_published_before_anything_is_known(desk: Desk):
    for state in (LoginState.STARTING, LoginState.INTERRUPTED, LoginState.STOPPED):
        desk.login.status.state = state
        desk.windows.publish_changes()
    assert not desk.said


async def test_an_interruption_changes_nothing(desk: Desk):
    desk.windows.publish_changes()
    desk.login.status.state = LoginState.INTERRUPTED
    desk.windows.publish_changes()
    assert len(desk.bodies()) == 1


async def test_it_closes_by_itself_at_its_time(desk: Desk):
    desk.now = ReplyWindow(open=True, until=now_ms() + 100, remaining=9)
    running = asyncio.create_task(desk.windows.run())
    desk.windows.refresh_requested.set()
    try:
        await asyncio.wait_for(desk.told.wait(), MAX_WAIT_SECONDS)
        desk.told.clear()
        desk.now = ReplyWindow(open=False, remaining=0, reason="too_long_ago")  # nobody says so
        await asyncio.wait_for(desk.told.wait(), MAX_WAIT_SECONDS)
    finally:
        running.cancel()
    assert desk.bodies()[-1]["why"] == "too_long_ago"


async def test_the_directory_has_it_too(desk: Desk):
    desk.windows.publish_changes()
    (entry,) = [one for one in desk.windows.directory_entries() if one.user == "wife"]
    assert entry.window["open"] is True


async def test_an_answer_to_request_contacts_is_not_older_than_the_messages_that_were_published(desk: Desk):
    """The windows of several messages are gathered for a moment, in which the answer had the window of before."""
    absent: Any = None
    requests = AccountRequests(desk.ctx, absent, absent, desk.windows, absent)
    contacts = requests.handlers()["contacts"]
    assert not isinstance(contacts, (SizedHandler, ActionHandler))
    desk.windows.publish_changes()
    desk.now = ReplyWindow(
        open=True, until=OPEN.until, remaining=8
    )  # a command was sent, and its result published
    desk.windows.refresh_requested.set()
    answer: Any = await contacts({"query": "wife"})
    assert answer["contacts"][0]["window"]["left"] == 8
    assert desk.bodies()[-1]["left"] == 8


async def test_where_a_backend_has_none_there_is_none(desk: Desk):
    desk.windows.is_supported = CAPABILITIES.has_reply_window
    desk.windows.publish_changes()
    assert not desk.said
    assert desk.windows.directory_entries() == desk.address_book.identity.directory()
