"""The events that keep an open page up to date."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.page import FakeAccountView, bridge, line, login, question
from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import Problem
from wx2mqtt.model import LoginState
from wx2mqtt.web.page import live as module
from wx2mqtt.web.page.live import MAX_VIEWERS, LiveUpdates
from wx2mqtt.web.page.sections import PageOptions

EN, ZH = PageOptions("en"), PageOptions("zh")


@pytest.fixture(autouse=True)
def _refresh_at_once(monkeypatch):
    monkeypatch.setattr(module, "MIN_REFRESH_SECONDS", 0.0)


class Viewer:
    """Reads the events of a stream as a browser does."""

    def __init__(self, events):
        self._events = events

    async def next(self):
        """Returns the parts of the next event, or its text where it has none."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            event = (await anext(self._events)).decode()
        assert event.endswith("\n\n")
        return json.loads(event[6:]) if event.startswith("data: ") else event.strip()

    async def is_ended(self):
        """Returns whether the stream has ended; drops an event that comes instead."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await anext(self._events, None) is None


@asynccontextmanager
async def viewing(live, options=EN, is_allowed=lambda: True):
    async with aclosing(live.stream(options, is_allowed)) as events:
        viewer = Viewer(events)
        assert await viewer.next() == "retry: 3000"
        yield viewer


def updates_of(*views, **more):
    changes = ChangeNotifier()
    return changes, LiveUpdates(bridge(*views, changes=changes, **more))


async def test_the_first_event_has_every_part_and_each_later_one_the_parts_that_changed():
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live) as viewer:
        assert {"file", "home.state", "home.messages"} <= {*(await viewer.next())}
        view.messages = [line()]
        changes.notify()
        assert list(await viewer.next()) == ["home.messages"]
        view.login = login(LoginState.LOGGED_OUT)
        changes.notify()
        changed = await viewer.next()
    assert list(changed) == ["home.problems", "home.state", "home.acts"]
    assert "Logged out" in changed["home.state"]


async def test_a_change_of_nothing_that_is_shown_is_not_sent():
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live) as viewer:
        await viewer.next()
        changes.notify()
        waiting = asyncio.create_task(viewer.next())
        while view.reads < 6:  # noqa: ASYNC110 - it passes on nothing that could be waited for
            await asyncio.sleep(0)
        view.messages = [line()]
        changes.notify()
        assert list(await waiting) == ["home.messages"]


async def test_a_question_goes_when_its_time_is_over_although_nothing_else_changes():
    view = FakeAccountView()
    view.questions = [question(until=now_ms() + 100)]
    _, live = updates_of(view)
    async with viewing(live) as viewer:
        assert "door-7" in (await viewer.next())["home.questions"]
        view.questions = []
        changed = await viewer.next()
    assert list(changed) == ["home.questions"]


async def test_each_sees_it_in_their_language_and_with_texts_only_who_wants_them():
    view = FakeAccountView()
    view.messages = [line(text="geheim")]
    _, live = updates_of(view)
    async with (
        viewing(live, EN) as first,
        viewing(live, ZH) as second,
        viewing(live, PageOptions("zh", show_texts=True)) as third,
    ):
        english, chinese, whole = await first.next(), await second.next(), await third.next()
    assert "Online" in english["home.state"]
    assert "在线" in chinese["home.state"]
    assert "geheim" not in english["home.messages"] + chinese["home.messages"]
    assert "geheim" in whole["home.messages"]


async def test_what_many_viewers_see_is_rendered_once():
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live) as first, viewing(live) as second, viewing(live) as third:
        viewers = (first, second, third)
        await asyncio.gather(*(viewer.next() for viewer in viewers))
        assert view.reads == 5
        view.messages = [line()]
        changes.notify()
        await asyncio.gather(*(viewer.next() for viewer in viewers))
        assert view.reads == 10


async def test_however_often_something_changes_the_page_is_rendered_at_most_once_a_second(monkeypatch):
    monkeypatch.setattr(module, "MIN_REFRESH_SECONDS", 0.2)
    view = FakeAccountView()
    changes, live = updates_of(view)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with viewing(live) as viewer:
        await viewer.next()
        for number in range(3):
            view.messages = [line(user=f"{number}", sender=f"{number}")]
            changes.notify()
            await viewer.next()
        assert loop.time() - began > 0.55
        assert view.reads == 20


async def test_silence_is_broken_by_a_sign_of_life(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live) as viewer:
        await viewer.next()
        assert await viewer.next() == ":"
        assert await viewer.next() == ":"
        view.messages = [line()]
        changes.notify()
        while (event := await viewer.next()) == ":":
            pass
    assert list(event) == ["home.messages"]
    assert view.reads == 10


async def test_a_viewer_whose_session_ended_gets_no_more_events(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    is_allowed = True
    _, live = updates_of(FakeAccountView())
    async with viewing(live, is_allowed=lambda: is_allowed) as viewer:
        await viewer.next()
        is_allowed = False
        while not await viewer.is_ended():
            pass


async def test_a_viewer_whose_session_ends_while_an_event_is_made_does_not_get_it():
    is_allowed = True
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live, is_allowed=lambda: is_allowed) as viewer:
        await viewer.next()
        view.messages = [line()]
        changes.notify()
        waiting = asyncio.create_task(viewer.is_ended())
        while view.reads < 6:  # noqa: ASYNC110 - nobody tells that it is being made
            await asyncio.sleep(0)
        is_allowed = False
        assert await waiting


async def test_a_stream_ends_after_a_while_so_that_the_browser_asks_again(monkeypatch):
    monkeypatch.setattr(module, "MAX_STREAM_SECONDS", 0.05)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    _, live = updates_of(FakeAccountView())
    async with viewing(live) as viewer:
        while not await viewer.is_ended():
            pass


async def test_the_number_of_open_pages_is_limited():
    _, live = updates_of(FakeAccountView())
    streams = [live.stream(EN, lambda: True) for _ in range(MAX_VIEWERS)]
    for stream in streams:
        assert not live.is_full
        await anext(stream)
    assert live.is_full
    for stream in streams:
        await stream.aclose()
    assert not live.is_full


async def test_what_nobody_sees_is_not_kept():
    _, live = updates_of(FakeAccountView())
    async with viewing(live) as viewer:
        await viewer.next()
        assert live._renderings
    assert not live._renderings
    assert not live._render_locks


async def test_problems_of_the_file_come_and_go():
    problems = [Problem("wx2mqtt.yaml", 1, "mqtt", "is wrong")]
    changes, live = updates_of(FakeAccountView(), problems=lambda: tuple(problems))
    async with viewing(live) as viewer:
        assert "is wrong" in (await viewer.next())["file"]
        problems.clear()
        changes.notify()
        assert await viewer.next() == {"file": ""}


async def test_a_store_that_fails_does_not_end_a_stream():
    view = FakeAccountView()
    changes, live = updates_of(view)
    async with viewing(live) as viewer:
        await viewer.next()
        view.break_store()
        changes.notify()
        assert "cannot be written" in (await viewer.next())["home.problems"]
        view.broken = None
        changes.notify()
        assert "Nothing is wrong" in (await viewer.next())["home.problems"]
