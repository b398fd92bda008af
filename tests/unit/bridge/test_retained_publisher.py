"""The retained topics: published in order, at every connect, with their remaining expiry."""

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
    """Keeps what is published; `answer` settles it: None is a PUBACK."""

    progress_deadline = 0.0

    def __init__(self) -> None:
        self.connection: Connected | None = None
        self.published: list[Publication] = []
        self.open: deque[tuple[Publication, PublishCallback]] = deque()

    async def run(self, listener: BrokerListener) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Nothing is held back."""

    def acknowledge(self, delivery: Delivery) -> None:
        raise NotImplementedError

    async def honours_retain_handling(self, topics: ProbeTopics) -> bool:
        raise NotImplementedError

    def set_paused(self, *, paused: bool) -> None:
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
        return [one.topic for one in self.published]


class Stage:
    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.announcer = RetainedPublisher(InflightWindow(self.broker), STATE)

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
        self.announcer.on_connected(connection)

    def hang_up(self) -> None:
        """The broker breaks off the connection, whatever it has got."""
        self.broker.connection = None
        if self.broker.open:
            self.broker.open.popleft()[1](ConnectionDropped())
        self.broker.answer(NotConnected())
        self.announcer.on_disconnected()

    def say(self, topic: str, payload: str = "x", expires: int | None = None) -> None:
        self.announcer.set(topic, payload.encode(), "text/plain", expires)


def played(story) -> None:
    async def whole() -> None:
        await story(Stage())

    run_without_pauses(whole())


def test_all_is_published_at_every_connect_and_the_bridges_state_last():
    async def story(stage: Stage) -> None:
        stage.say(STATE, "online")
        stage.say("wx/login/qr")
        stage.say("wx/login/state")
        assert stage.broker.topics == []
        stage.connect()
        assert stage.broker.topics == ["wx/login/qr", "wx/login/state", STATE]
        assert all(one.retain and one.content_type for one in stage.broker.published)
        stage.broker.answer()
        stage.hang_up()
        stage.say("wx/login/state", "other")
        stage.broker.published.clear()
        stage.connect()
        assert stage.broker.topics == ["wx/login/qr", "wx/login/state", STATE]
        assert stage.broker.published[1].payload == b"other"

    played(story)


def test_an_unchanged_payload_is_not_published_again():
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say("wx/login/state", "a")
        stage.say("wx/login/state", "a")
        stage.say("wx/login/state", "b")
        assert [one.payload for one in stage.broker.published] == [b"a", b"b"]

    played(story)


def test_a_code_is_published_with_its_remaining_expiry_even_when_it_comes_late():
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say("wx/login/qr", "code", now_ms() + 300_000)
        assert 298 <= (stage.broker.published[-1].expiry or 0) <= 300
        stage.say("wx/login/qr", "nearly over", now_ms() + 400)
        stage.say("wx/login/url", "over", now_ms() - 60_000)
        assert [one.expiry for one in stage.broker.published[-2:]] == [1, 1]
        stage.say("wx/login/qr", "placeholder")
        assert stage.broker.published[-1].expiry is None

    played(story)


def test_a_refused_topic_waits_and_is_tried_again_with_what_stands_by_then():
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say("wx/contacts", "old")
        stage.broker.answer(PublishRefused("not authorized", code=0x87))
        assert tuple(stage.announcer.refused.paused) == ("wx/contacts",)
        stage.say("wx/contacts", "new")
        assert stage.broker.topics == ["wx/contacts"]
        await asyncio.sleep(REFUSED_RETRY_SECONDS + 1)
        assert [one.payload for one in stage.broker.published] == [b"old", b"new"]
        stage.broker.answer()
        assert not stage.announcer.refused.paused
        assert all(one.acknowledged for one in stage.announcer._topics.values())

    played(story)


def test_a_broker_that_hangs_up_after_a_refusal_is_not_asked_again_at_once():
    """As mosquitto does with `max_queued_messages 0`; once no connection lasted because of it."""

    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say("wx/last")
        stage.broker.answer(PublishRefused("not authorized", code=0x87))
        stage.hang_up()
        stage.connect()
        assert stage.broker.topics == ["wx/last"]
        await asyncio.sleep(REFUSED_RETRY_SECONDS + 1)
        assert stage.broker.topics == ["wx/last", "wx/last"]

    played(story)


def test_a_new_connection_is_asked_at_once_for_what_the_last_one_refused_long_before():
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say("wx/last")
        stage.broker.answer(PublishRefused("not authorized", code=0x87))
        await asyncio.sleep(REFUSAL_DISCONNECT_SECONDS + 1)
        stage.hang_up()
        stage.connect()
        assert stage.broker.topics == ["wx/last", "wx/last"]

    played(story)


def test_a_broker_that_keeps_nothing_gets_all_the_same():
    async def story(stage: Stage) -> None:
        stage.say(STATE, "online")
        stage.connect(retain=False)
        assert [one.retain for one in stage.broker.published] == [False]

    played(story)


@pytest.mark.parametrize("answered", [True, False])
def test_the_last_words_are_waited_for_but_not_for_ever(answered: bool):
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.say(STATE, "offline")
        loop = asyncio.get_running_loop()
        if answered:
            loop.call_later(0.1, stage.broker.answer)
        await stage.announcer.wait_until_acknowledged(1.0)
        assert loop.time() == pytest.approx(0.1 if answered else 1.0)

    played(story)


def test_without_a_connection_nobody_waits_for_the_last_words():
    async def story(stage: Stage) -> None:
        stage.connect()
        stage.hang_up()
        stage.say(STATE, "offline")
        await stage.announcer.wait_until_acknowledged(1.0)
        assert asyncio.get_running_loop().time() == 0.0

    played(story)


def test_a_topic_on_which_the_broker_hangs_up_three_times_waits_and_the_others_are_published():
    async def story(stage: Stage) -> None:
        stage.say("wx/contacts")
        stage.say("wx/login/state")
        stage.say(STATE, "online")

        def connect() -> bool:
            """The broker dies of the directory; true when all is well."""
            stage.connect()
            while stage.broker.open:
                publication, acknowledged = stage.broker.open.popleft()
                if publication.topic == "wx/contacts":
                    stage.broker.open.appendleft((publication, acknowledged))
                    stage.hang_up()
                    return False
                acknowledged(None)
            return True

        assert [connect() for _ in range(4)] == [False, False, False, True]
        assert tuple(stage.announcer.refused.paused) == ("wx/contacts",)
        stage.say("wx/contacts", "another")
        assert not stage.broker.open
        stage.hang_up()
        await asyncio.sleep(REFUSED_RETRY_SECONDS)
        assert not connect(), "it is tried again after a while, and once is enough then"
        assert connect()

    played(story)
