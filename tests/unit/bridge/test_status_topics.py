"""The QR code as phones read it, the picture without one, and when the health is published."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.support.scanner import codes_in
from tests.unit.bridge.contexts import context, settings
from tests.unit.bridge.test_health import health_snapshot
from wx2mqtt.bridge import status_topics
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.status_topics import StatusReporter, StatusTopics, placeholder_picture, qr_picture
from wx2mqtt.model import LoginState


@pytest.mark.parametrize(
    "url", ["https://login.weixin.qq.com/l/gZbA1kXyTQ==", "https://x.example/" + "a" * 500]
)
def test_a_scanner_reads_the_address_in_the_picture(url: str):
    assert codes_in(qr_picture(url)) == [url]


def test_the_placeholder_is_a_picture_in_the_language_without_a_code():
    pictures = [
        placeholder_picture(language, needed=needed) for language in ("en", "zh") for needed in (True, False)
    ]
    assert [codes_in(picture) for picture in pictures] == [[]] * 4
    assert len(set(pictures)) == 4


class FakeRetainedPublisher:
    """Keeps the retained topics in the order in which they were set."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.values: dict[str, bytes] = {}

    def set(self, topic: str, payload: bytes, _content_type: str, _expires: int | None = None) -> None:
        self.topics.append(topic)
        self.values[topic] = payload


@pytest.mark.parametrize("url", ["https://login.weixin.qq.com/l/abc", ""])
def test_the_picture_of_the_code_is_there_before_the_state_that_asks_for_it(url: str):
    """A client that reads that a scan is needed must find the picture that belongs to it."""
    retained_publisher: Any = FakeRetainedPublisher()
    status = StatusTopics(context(), retained_publisher, retained_publisher)
    status.show_login(LoginStatus(state=LoginState.WAITING_FOR_SCAN, since=0, qr_url=url))
    assert status.qr_image == (qr_picture(url) if url else b"")
    assert retained_publisher.topics == ["wx/login/qr", "wx/login/url", "wx/login/state"]


def test_the_placeholder_follows_the_language_of_the_settings_of_now():
    retained_publisher: Any = FakeRetainedPublisher()
    ctx = context()
    status = StatusTopics(ctx, retained_publisher, retained_publisher)
    status.show_login(LoginStatus(since=0))
    english = retained_publisher.values["wx/login/qr"]
    ctx.settings = settings(language="zh")
    status.show_login(LoginStatus(since=0))
    assert retained_publisher.values["wx/login/qr"] == placeholder_picture("zh", needed=False) != english


@pytest.mark.parametrize(("instance", "repeated"), [("east", ["wx/bridge/state"]), ("", [])])
async def test_among_several_instances_the_state_is_repeated_after_a_connect(
    monkeypatch: pytest.MonkeyPatch, instance: str, repeated: list[str]
):
    """The will of the previous owner may arrive late, on another node of the broker."""
    monkeypatch.setattr(status_topics, "STATE_REPEAT_SECONDS", 0)
    published: list[str] = []
    retained_publisher: Any = SimpleNamespace(
        discard_state=lambda _: None, on_connected=lambda _: None, republish=published.append
    )
    ctx = context()
    ctx.shared = replace(ctx.shared, instance=instance)
    connection: Any = None
    StatusTopics(ctx, retained_publisher, retained_publisher).on_connected(connection)
    turn = asyncio.Event()
    asyncio.get_running_loop().call_later(0, turn.set)
    await turn.wait()
    assert published == repeated


class FakeHealth:
    """The source of the health and its retained topic; `times` says when it was published."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def snapshot(self) -> HealthSnapshot:
        return health_snapshot()

    def set(self, _topic: str, _payload: bytes, _content_type: str) -> None:
        self.times.append(asyncio.get_running_loop().time())


def test_requests_that_come_close_together_lead_to_one_publication_of_the_health() -> None:
    async def scenario() -> list[float]:
        health = FakeHealth()
        retained: Any = health
        unused: Any = None
        reporter = StatusReporter(context(), retained, unused, unused, health.snapshot)
        running = asyncio.create_task(reporter.run())
        await asyncio.sleep(1)
        for _ in range(3):
            reporter.health_changed.set()
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        return health.times

    assert [round(time, 3) for time in run_without_pauses(scenario())] == [0.0, 1.2]
