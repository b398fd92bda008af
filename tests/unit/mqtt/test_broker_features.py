"""Whether a broker honours Retain Handling 2, as its deliveries show; and brokers that refuse MQTT 5 in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wx2mqtt.mqtt import broker_features
from wx2mqtt.mqtt.broker import Delivery, ProbeTopics
from wx2mqtt.mqtt.broker_features import RetainProbe, refuses_mqtt_5
from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.mqtt.packets import SUBSCRIBE, UNSUBSCRIBE

TOPICS = ProbeTopics(probed="wx/state", control="wx/window")


class ProbeHarness:
    """A probe whose packets are recorded."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._packet_id = 0
        self.probe = RetainProbe(TOPICS, self.sent.append, self._next_packet_id)

    def _next_packet_id(self) -> int:
        self._packet_id += 1
        return self._packet_id

    def deliver(self, topic: str, *, retain: bool = True) -> bool:
        delivery = Delivery(topic=topic, payload=b"{}", mid=0, qos=0, dup=False, retain=retain)
        return self.probe.takes(delivery)

    @property
    def packet_types(self) -> list[int]:
        return [packet[0] for packet in self.sent]


async def test_a_broker_that_keeps_the_copy_back_until_it_is_asked_for_is_honest() -> None:
    harness = ProbeHarness()
    assert harness.deliver(TOPICS.control)
    assert not harness.probe.verdict.done()
    assert harness.deliver(TOPICS.probed)
    assert harness.probe.verdict.result() is True
    assert harness.packet_types == [SUBSCRIBE, SUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE]


async def test_a_broker_that_delivers_the_copy_before_the_control_topic_is_not() -> None:
    harness = ProbeHarness()
    assert harness.deliver(TOPICS.probed)
    assert harness.probe.verdict.result() is False
    assert harness.packet_types == [SUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE]


async def test_without_any_copy_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_features, "PROBE_TIMEOUT_SECONDS", 0.0)
    assert await ProbeHarness().probe.verdict is False


async def test_a_probe_whose_connection_ends_shows_nothing_and_sends_nothing_more() -> None:
    harness = ProbeHarness()
    harness.deliver(TOPICS.control)
    sent = len(harness.sent)
    harness.probe.close()
    harness.probe.close()
    assert harness.probe.verdict.result() is False
    assert len(harness.sent) == sent


async def test_only_retained_copies_of_the_two_topics_belong_to_the_probe() -> None:
    harness = ProbeHarness()
    assert not harness.deliver("wx/out/wife")
    assert not harness.deliver(TOPICS.probed, retain=False)
    assert not harness.probe.verdict.done()
    harness.deliver(TOPICS.probed)
    assert not harness.deliver(TOPICS.control)  # the probe has ended: the bridge gets what comes now
    harness.probe.close()


class FakeStream:
    """A connection on which a CONNECT is answered with these bytes, or with an error."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.is_closed = False

    def send(self, _packet: bytes) -> None:
        """Sends nothing."""

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        (b"\x20\x02\x00\x01", True),
        (b"\x20\x03\x00\x84\x00", True),
        (b"\x20\x03\x00\x00\x00", False),
        (b"\x20\x03\x00\x87\x00", False),
        (b"", False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
    ],
)
async def test_mqtt_5_is_given_up_only_where_the_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception, refuses: bool
) -> None:
    stream = FakeStream(answer)

    async def open_stream(*_: object) -> Any:
        return stream

    async def shake_hands(_stream: object) -> bytes:
        return b""

    async def receive_some(_stream: object) -> bytes:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(broker_features, "open_stream", open_stream)
    monkeypatch.setattr(broker_features, "shake_hands", shake_hands)
    monkeypatch.setattr(broker_features, "receive_some", receive_some)
    assert await refuses_mqtt_5(parse_broker_url("mqtt://broker"), None) is refuses
    assert stream.is_closed
