"""The retained topics tell the truth: at every connect, `bridge/state` last, and whatever the broker refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE, MemoryBackend, Pause
from tests.support.scanner import codes_in
from wx2mqtt.bridge.inflight import REFUSED_RETRY_SECONDS
from wx2mqtt.bridge.status_topics import placeholder_picture
from wx2mqtt.wechat.backend import ShowQr

STATE = "wx/bridge/state"
URL = "https://login.weixin.qq.com/l/gZbA1kXyTQ=="


async def test_all_is_published_at_every_connect_and_the_state_last(bridge: BridgedAccount):
    bridge.backend.write(WIFE)
    await bridge.next("wx/last")
    bridge.broker.disconnect()
    bridge.backend.write(WIFE, "later")
    await bridge.pass_time(1)
    sent = len(bridge.broker.sent)
    await bridge.broker.connect()
    retained = [sent for sent in bridge.broker.sent[sent:] if sent.publication.retain]
    topics = [sent.topic for sent in retained]
    assert {"wx/login/qr", "wx/login/url", "wx/login/state", "wx/last", "wx/contacts"} <= set(topics[:-1])
    assert (topics[-1], len(topics)) == (STATE, len(set(topics)))
    assert all(sent.publication.content_type for sent in retained)
    assert bridge.last("wx/last")["text"] == "later"
    await bridge.pass_time(120)
    assert len(bridge.sent("wx/last")) == 2, "what has not changed is not published again"


async def test_a_broker_that_keeps_nothing_gets_all_the_same(open_bridge: OpenBridge):
    bridge = await open_bridge(start=False)
    bridge.broker.grants = replace(bridge.broker.grants, retain_available=False)
    await bridge.start()
    assert STATE in bridge.broker.topics
    assert not [sent for sent in bridge.broker.sent if sent.publication.retain]


async def test_a_code_is_published_with_its_remaining_expiry_before_the_state_that_asks_for_it(
    open_bridge: OpenBridge,
):
    """A client that reads that a scan is needed must find the picture that belongs to it."""
    backend = MemoryBackend()
    bridge = await open_bridge(backend, start=False)
    backend.logins.append([ShowQr(url=URL, lifetime=300.0), Pause(1000)])
    await bridge.start(online=False)
    await bridge.wait_until(lambda: bridge.state == "waiting_for_scan")
    picture, url, state = (bridge.sent(f"wx/login/{name}")[-1] for name in ("qr", "url", "state"))
    order = [bridge.broker.sent.index(sent) for sent in (picture, url, state)]
    assert order == sorted(order)
    assert (codes_in(picture.payload), url.payload.decode()) == ([URL], URL)
    assert bridge.account.components.status.qr_image == picture.payload
    assert picture.publication.expiry in (299, 300)
    await bridge.pass_time(100)
    bridge.broker.disconnect()
    await bridge.broker.connect()
    assert bridge.sent("wx/login/qr")[-1].publication.expiry in (199, 200)
    bridge.broker.disconnect()
    bridge.set_clock(600)
    await bridge.broker.connect()
    assert bridge.sent("wx/login/qr")[-1].publication.expiry == 1, "0 would mean none"


async def test_the_placeholder_without_a_code_has_the_language_of_now(bridge: BridgedAccount):
    assert bridge.sent("wx/login/qr")[-1].payload == placeholder_picture("en", needed=False)
    await bridge.reload(language="zh")
    bridge.deliver("wx/bridge/request/logout", {})
    await bridge.wait_until(lambda: bridge.state == "logged_out")
    sent = bridge.sent("wx/login/qr")[-1]
    assert (sent.payload, sent.publication.expiry) == (placeholder_picture("zh", needed=True), None)


async def test_a_refused_topic_waits_and_is_tried_again_with_what_stands_by_then(bridge: BridgedAccount):
    bridge.broker.refusals = {"wx/last"}
    for text in ("old", "new"):
        bridge.backend.write(WIFE, text)
        await bridge.pass_time(1)
    assert [body["text"] for body in bridge.published("wx/last")] == ["old"]
    assert bridge.account.components.retained.refused.paused.keys() == {"wx/last"}
    bridge.broker.refusals = set()
    await bridge.pass_time(REFUSED_RETRY_SECONDS)
    assert [body["text"] for body in bridge.published("wx/last")] == ["old", "new"]
    assert "broker_refuses_topics" not in str((await bridge.account.health())["problems"])


async def test_a_topic_on_which_the_broker_hangs_up_three_times_waits_and_the_others_are_published(
    bridge: BridgedAccount,
):
    bridge.backend.write(WIFE)
    await bridge.next("wx/last")
    bridge.broker.disconnect()
    bridge.broker.holds_pubacks = True

    async def connect() -> bool:
        """Connects and acknowledges; disconnects at the last message, and returns False then."""
        await bridge.broker.connect()
        while bridge.broker.unacknowledged:
            oldest = bridge.broker.unacknowledged[0]
            if oldest.topic == "wx/last":
                bridge.broker.disconnect()
                return False
            bridge.broker.send_puback(oldest)
        return True

    assert [await connect() for _ in range(4)] == [False, False, False, True]
    bridge.backend.write(WIFE, "another")
    await bridge.pass_time(1)
    assert not [sent for sent in bridge.broker.unacknowledged if sent.topic == "wx/last"]
    bridge.broker.disconnect()
    await bridge.pass_time(REFUSED_RETRY_SECONDS)
    assert not await connect(), "it is tried again after a while, and once is enough then"
    assert await connect()
    assert not bridge.account.components.publisher.rejected_count


async def test_retained_topics_go_before_all_that_waits(bridge: BridgedAccount):
    bridge.broker.holds_pubacks = True
    bridge.broker.disconnect()
    await bridge.publish("wx/event/a")
    sent = len(bridge.broker.sent)
    await bridge.broker.connect(receive_maximum=2)
    while bridge.broker.unacknowledged:
        assert len(bridge.broker.unacknowledged) <= 2
        bridge.broker.send_puback(bridge.broker.unacknowledged[0])
        await bridge.pass_time(0.1)
    topics = bridge.broker.topics[sent:]
    assert topics.index(STATE) < topics.index("wx/event/a")


async def test_after_a_broker_hung_up_twice_all_that_was_open_goes_one_by_one(bridge: BridgedAccount):
    """Only so the publication at which it disconnects is known: PUBACKs of others may be lost with it."""
    await bridge.pass_time(120)
    broker = bridge.broker
    broker.holds_pubacks = True
    broker.disconnect()

    async def connect() -> int:
        await broker.connect()
        return len(broker.unacknowledged)

    count = await connect()
    assert count > 5
    broker.disconnect()
    assert await connect() == 1
    broker.send_puback()
    assert len(broker.unacknowledged) == count - 1, "it was no fault of the first one"
    broker.disconnect()
    assert await connect() == 1
    for _ in range(count - 2):
        broker.send_puback()
        assert len(broker.unacknowledged) == 1
    broker.holds_pubacks = False
    broker.send_puback()
    broker.holds_pubacks = True
    await bridge.publish(*["wx/event/a"] * 5)
    await bridge.pass_time(0.1)
    assert len(bridge.sent("wx/event/a")) == 5, "the whole window again"


@pytest.mark.parametrize(("instance", "count"), [("east", 2), ("", 1)], ids=["of several instances", "alone"])
async def test_among_several_instances_the_state_is_repeated_after_a_connect(
    bridge: BridgedAccount, instance: str, count: int
):
    """The will of the previous owner may arrive late, on another node of the broker."""
    bridge.account.ctx.shared = replace(bridge.account.ctx.shared, instance=instance)
    before = len(bridge.sent(STATE))
    bridge.broker.disconnect()
    await bridge.broker.connect()
    await bridge.pass_time(10)
    assert len(bridge.sent(STATE)) == before + count


async def test_changes_that_come_close_together_lead_to_one_health(bridge: BridgedAccount):
    await bridge.pass_time(5)
    count = len(bridge.sent("wx/bridge/health"))
    for _ in range(3):
        bridge.account.ctx.signals.health_changed.emit()
        await bridge.pass_time(0.05)
    await bridge.pass_time(1)
    assert len(bridge.sent("wx/bridge/health")) == count + 1
    await bridge.pass_time(61)
    assert len(bridge.sent("wx/bridge/health")) > count + 1


@pytest.mark.parametrize(("hold", "seconds"), [(False, 0.1), (True, 2.5)], ids=["answers", "does not answer"])
async def test_a_stop_waits_only_so_long_for_the_last_state(
    bridge: BridgedAccount, hold: bool, seconds: float
):
    bridge.broker.holds_pubacks = hold
    loop = asyncio.get_running_loop()
    started = loop.time()
    await bridge.account.stop()
    assert bridge.sent(STATE)[-1].payload == b"offline"
    assert loop.time() - started <= seconds
