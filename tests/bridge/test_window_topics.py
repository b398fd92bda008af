"""`window/<user>` says whether a message reaches a person now, and a reminder comes before that ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import MOM, WIFE, WindowBackend
from wx2mqtt.bridge.reminder import NEEDED_WITHIN_MS
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import LoggedOut, Unreachable
from wx2mqtt.model import ReplyWindow

TOPIC = "wx/window/老婆"
HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    bridge = await open_bridge(WindowBackend(), ilink={"bundle": False, "reserve": 1}, hold={"ttl": 1800})
    await bridge.pass_time(5)
    return bridge


async def shown(bridge: BridgedAccount) -> Any:
    await bridge.pass_time(1)
    return bridge.last(TOPIC)


async def test_a_window_is_published_when_it_changes_and_only_then(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    window = await shown(bridge)
    assert (window["open"], window["left"], window["reserved"], window["waiting"]) == (True, 10, 1, 0)
    assert (window["why"], window["user"], window["until"][-1]) == ("", "老婆", "Z")
    assert bridge.sent(TOPIC)[-1].publication.retain
    count = len(bridge.sent(TOPIC))
    await bridge.pass_time(600)
    assert len(bridge.sent(TOPIC)) == count
    await bridge.send("老婆", "hi")
    entries: Any = (await bridge.request("contacts", query="老婆"))["data"]["contacts"]
    assert entries[0]["window"]["left"] == 9, "the answer is not older than what is published"
    assert (await shown(bridge))["left"] == 9
    bridge.backend.windows[WIFE.handle] = ReplyWindow(open=False, remaining=0, reason="quota_used")
    for text in ("a", "b"):
        bridge.deliver("wx/out/老婆", text)
    window = await shown(bridge)
    assert (window["open"], window["left"], window["waiting"], window["why"]) == (False, 0, 2, "quota_used")
    assert "until" not in window
    assert bridge.account.components.windows.forecasts["老婆"].waiting == 2


async def test_a_window_is_published_as_closed_when_its_time_is_over(bridge: BridgedAccount):
    bridge.backend.windows[WIFE.handle] = ReplyWindow(open=True, until=now_ms() + 90_000, remaining=9)
    bridge.backend.write(WIFE)
    assert (await shown(bridge))["open"]
    bridge.backend.windows[WIFE.handle] = ReplyWindow(open=False, remaining=0, reason="too_long_ago")
    await bridge.pass_time(60)
    assert not (await shown(bridge))["open"], "nobody says so: it is computed again each minute"


async def test_windows_follow_the_login_and_the_contacts(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    await shown(bridge)
    count = len(bridge.sent(TOPIC))
    bridge.backend.fail(*[Unreachable("away")] * 10)
    await bridge.wait_until(lambda: bridge.state == "interrupted")
    await bridge.pass_time(1)
    assert len(bridge.sent(TOPIC)) == count, "an interruption publishes no window"
    await bridge.wait_until(lambda: bridge.state == "online")
    bridge.backend.logins.append([])
    bridge.backend.fail(LoggedOut("on the phone"))
    await bridge.wait_until(lambda: bridge.state != "online")
    window = await shown(bridge)
    assert (window["open"], window["why"], "left" in window) == (False, "logged_out", False)
    sent = len(bridge.sent(TOPIC))
    await bridge.kill()
    await bridge.open()
    bridge.backend.logins.append([])
    await bridge.start(online=False)
    await bridge.pass_time(1)
    assert len(bridge.sent(TOPIC)) == sent, "at the start nothing is published before anything is known"


async def test_the_window_of_who_is_gone_is_taken_back(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    await shown(bridge)
    bridge.backend.deliver(removed=(WIFE.handle,))
    await bridge.pass_time(2)
    assert bridge.sent(TOPIC)[-1].payload == b""


async def test_a_backend_without_reply_windows_publishes_none(open_bridge: OpenBridge):
    bridge = await open_bridge()
    bridge.backend.write(WIFE)
    await bridge.pass_time(120)
    assert not [topic for topic in bridge.broker.topics if topic.startswith("wx/window/")]
    entries: Any = (await bridge.request("contacts", query="老婆"))["data"]["contacts"]
    assert "window" not in entries[0]


# Reminders


@pytest.fixture
async def reminding(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge that has sent a command to a person, so that they are reminded at all."""
    remind = {"before": "2h", "quiet": None}
    bridge = await open_bridge(WindowBackend(), ilink={"bundle": False, "remind": remind})
    bridge.backend.write(WIFE)
    await bridge.send("老婆", "first")
    return bridge


def own_texts(bridge: BridgedAccount) -> list[str]:
    return [sent.draft.text for sent in bridge.backend.sent if sent.draft.text != "first"]


async def test_one_reminder_comes_in_a_window_and_says_until_when(reminding: BridgedAccount):
    reminding.skip_time(22 * HOUR - 60)
    await reminding.pass_time(30)
    assert own_texts(reminding) == []
    await reminding.pass_time(60)
    (text,) = own_texts(reminding)
    assert "for example 1" in text
    event = await reminding.event("reminded")
    assert (event["user"], event["until"][-1]) == ("老婆", "Z")
    assert len(reminding.published("wx/result/老婆")) == 1, "a text of the bridge has no result"
    await reminding.kill()
    await reminding.restart()
    await reminding.pass_time(600)
    assert len(own_texts(reminding)) == 1, "also after a restart"
    reminding.backend.write(WIFE)
    reminding.skip_time(23 * HOUR)
    await reminding.pass_time(120)
    assert len(own_texts(reminding)) == 2, "each window has a reminder of its own"
    assert reminding.account.counters.reminders == 1


@pytest.mark.parametrize(("unused", "count"), [(-HOUR, 1), (HOUR, 0)])
async def test_nobody_is_reminded_to_whom_nothing_was_sent_in_seven_days(
    reminding: BridgedAccount, unused: float, count: int
):
    reminding.skip_time(NEEDED_WITHIN_MS / 1000 + unused - 23 * HOUR)
    reminding.backend.write(WIFE)
    await reminding.pass_time(1)
    reminding.skip_time(23 * HOUR)
    await reminding.pass_time(120)
    assert (len(own_texts(reminding)), reminding.account.counters.reminders) == (count, count)


async def test_the_texts_of_the_bridge_are_nothing_that_was_sent_to_them(reminding: BridgedAccount):
    for _ in range(9):
        reminding.backend.write(WIFE)
        await reminding.pass_time(1)
        reminding.skip_time(23 * HOUR)
        await reminding.pass_time(120)
    assert len(own_texts(reminding)) == NEEDED_WITHIN_MS // 1000 // DAY


@pytest.mark.parametrize(
    "window",
    [
        ReplyWindow(open=False, remaining=0, reason="quota_used"),
        ReplyWindow(open=False, remaining=3, reason="rate_limited", until=1_795_593_600_000 + 10**7),
    ],
    ids=["used", "limited"],
)
async def test_a_closed_window_has_no_reminder(reminding: BridgedAccount, window: ReplyWindow):
    reminding.backend.windows[WIFE.handle] = window
    reminding.backend.write(MOM)
    reminding.skip_time(1.5 * HOUR)
    await reminding.pass_time(300)
    assert own_texts(reminding) == []
