"""The publisher of retained topics: in order, at every connect, with their remaining expiry."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.bridge.inflight import (
    REFUSAL_DISCONNECT_SECONDS,
    REFUSED_RETRY_SECONDS,
    InflightWindow,
    RetainedPublisher,
)
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import (
    BrokerListener,
    Connected,
    Delivery,
    ProbeTopics,
    ProtocolVersion,
    Publication,
    PublishCallback,
)

STATE = "wx/bridge/state"


class FakeBroker:
    """A broker client that keeps what is published; `answer` ends each open publication, None as a PUBACK."""

    progress_deadline = 0.0
    uses_old_password = False

    def __init__(self) -> None:
        self.connection: Connected | None = None
        self.published: list[Publication] = []
        self.open: deque[tuple[Publication, PublishCallback]] = deque()

    async def run(self, listener: BrokerListener) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Does nothing: each publication is written at once."""

    def acknowledge(self, delivery: Delivery) -> None:
        raise NotImplementedError

    async def honours_retain_handling(self, topics: ProbeTopics) -> bool:
        raise NotImplementedError

    def set_paused(self, *, paused: bool) -> None:
        raise NotImplementedError

    def set_password(self, password: str | None) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            on_acknowledged(NotConnected())
            return
        self.published.append(publication)
        self.open.append((publication, on_acknowledged))

    def answer(self, error: Exception | None = None) -> None:
        while self.open:
            self.open.popleft()[1](error)

    @property
    def topics(self) -> list[str]:
        return [publication.topic for publication in self.published]


class RetainedHarness:
    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.publisher = RetainedPublisher(InflightWindow(self.broker), STATE)

    def connect(self, *, retain: bool = True) -> None:
        connection = Connected(
            url="mqtt://x",
            protocol=ProtocolVersion.MQTT_5,
            session_present=False,
            receive_maximum=20,
            packet_limit=None,
            retain_available=retain,
            connection_number=1,
        )
        self.broker.connection = connection
        self.publisher.on_connected(connection)

    def disconnect(self) -> None:
        """Ends the connection, as a broker does that answers nothing more."""
        self.broker.connection = None
        if self.broker.open:
            self.broker.open.popleft()[1](ConnectionDropped())
        self.broker.answer(NotConnected())
        self.publisher.on_disconnected()

    def set_topic(self, topic: str, payload: str = "x", expires: int | None = None) -> None:
        self.publisher.set(topic, payload.encode(), "text/plain", expires)


def run_scenario(scenario) -> None:
    async def run_with_harness() -> None:
        await scenario(RetainedHarness())

    run_without_pauses(run_with_harness())


def test_all_is_published_at_every_connect_and_the_bridges_state_last():
    async def scenario(harness: RetainedHarness) -> None:
        harness.set_topic(STATE, "online")
        harness.set_topic("wx/login/qr")
        harness.set_topic("wx/login/state")
        assert harness.broker.topics == []
        harness.connect()
        assert harness.broker.topics == ["wx/login/qr", "wx/login/state", STATE]
        assert all(
            publication.retain and publication.content_type for publication in harness.broker.published
        )
        harness.broker.answer()
        harness.disconnect()
        harness.set_topic("wx/login/state", "other")
        harness.broker.published.clear()
        harness.connect()
        assert harness.broker.topics == ["wx/login/qr", "wx/login/state", STATE]
        assert harness.broker.published[1].payload == b"other"

    run_scenario(scenario)


def test_an_unchanged_payload_is_not_published_again():
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic("wx/login/state", "a")
        harness.set_topic("wx/login/state", "a")
        harness.set_topic("wx/login/state", "b")
        assert [publication.payload for publication in harness.broker.published] == [b"a", b"b"]

    run_scenario(scenario)


def test_a_code_is_published_with_its_remaining_expiry_even_when_it_comes_late():
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic("wx/login/qr", "code", now_ms() + 300_000)
        assert 298 <= (harness.broker.published[-1].expiry or 0) <= 300
        harness.set_topic("wx/login/qr", "nearly over", now_ms() + 400)
        harness.set_topic("wx/login/url", "over", now_ms() - 60_000)
        assert [publication.expiry for publication in harness.broker.published[-2:]] == [1, 1]
        harness.set_topic("wx/login/qr", "placeholder")
        assert harness.broker.published[-1].expiry is None

    run_scenario(scenario)


def test_a_refused_topic_waits_and_is_tried_again_with_what_stands_by_then():
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic("wx/contacts", "old")
        harness.broker.answer(PublishRefused("not authorized", code=0x87))
        assert tuple(harness.publisher.refused.paused) == ("wx/contacts",)
        harness.set_topic("wx/contacts", "new")
        assert harness.broker.topics == ["wx/contacts"]
        await asyncio.sleep(REFUSED_RETRY_SECONDS + 1)
        assert [publication.payload for publication in harness.broker.published] == [b"old", b"new"]
        harness.broker.answer()
        assert not harness.publisher.refused.paused
        assert all(topic.acknowledged for topic in harness.publisher._topics.values())

    run_scenario(scenario)


def test_a_broker_that_hangs_up_after_a_refusal_is_not_asked_again_at_once():
    """mosquitto disconnects so with `max_queued_messages 0`; once no connection lasted because of it."""

    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic("wx/last")
        harness.broker.answer(PublishRefused("not authorized", code=0x87))
        harness.disconnect()
        harness.connect()
        assert harness.broker.topics == ["wx/last"]
        await asyncio.sleep(REFUSED_RETRY_SECONDS + 1)
        assert harness.broker.topics == ["wx/last", "wx/last"]

    run_scenario(scenario)


def test_a_new_connection_is_asked_at_once_for_what_the_last_one_refused_long_before():
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic("wx/last")
        harness.broker.answer(PublishRefused("not authorized", code=0x87))
        await asyncio.sleep(REFUSAL_DISCONNECT_SECONDS + 1)
        harness.disconnect()
        harness.connect()
        assert harness.broker.topics == ["wx/last", "wx/last"]

    run_scenario(scenario)


def test_a_broker_that_keeps_nothing_gets_all_the_same():
    async def scenario(harness: RetainedHarness) -> None:
        harness.set_topic(STATE, "online")
        harness.connect(retain=False)
        assert [publication.retain for publication in harness.broker.published] == [False]

    run_scenario(scenario)


@pytest.mark.parametrize("answered", [True, False])
def test_the_last_state_is_waited_for_only_so_long(answered: bool):
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.set_topic(STATE, "offline")
        loop = asyncio.get_running_loop()
        if answered:
            loop.call_later(0.1, harness.broker.answer)
        await harness.publisher.wait_until_acknowledged(1.0)
        assert loop.time() == pytest.approx(0.1 if answered else 1.0)

    run_scenario(scenario)


def test_without_a_connection_the_last_state_is_not_waited_for():
    async def scenario(harness: RetainedHarness) -> None:
        harness.connect()
        harness.disconnect()
        harness.set_topic(STATE, "offline")
        await harness.publisher.wait_until_acknowledged(1.0)
        assert asyncio.get_running_loop().time() == 0.0

    run_scenario(scenario)


def test_a_topic_on_which_the_broker_hangs_up_three_times_waits_and_the_others_are_published():
    async def scenario(harness: RetainedHarness) -> None:
        harness.set_topic("wx/contacts")
        harness.set_topic("wx/login/state")
        harness.set_topic(STATE, "online")

        def connect() -> bool:
            """Connects and acknowledges; disconnects at the directory, and returns False then."""
            harness.connect()
            while harness.broker.open:
                publication, acknowledged = harness.broker.open.popleft()
                if publication.topic == "wx/contacts":
                    harness.broker.open.appendleft((publication, acknowledged))
                    harness.disconnect()
                    return False
                acknowledged(None)
            return True

        assert [connect() for _ in range(4)] == [False, False, False, True]
        assert tuple(harness.publisher.refused.paused) == ("wx/contacts",)
        harness.set_topic("wx/contacts", "another")
        assert not harness.broker.open
        harness.disconnect()
        await asyncio.sleep(REFUSED_RETRY_SECONDS)
        assert not connect(), "it is tried again after a while, and once is enough then"
        assert connect()

    run_scenario(scenario)
