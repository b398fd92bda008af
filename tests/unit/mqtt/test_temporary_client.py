"""A client for a moment: what it waits for, and how it clears the topics of a client that is no longer used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.fake_broker import connected
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt import temporary_client
from wx2mqtt.mqtt.broker import Disconnected, Publication, PublishCallback
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.reconnect import EndReason
from wx2mqtt.mqtt.temporary_client import ConnectionWaiter, clear_client

OPTIONS = MqttOptions(urls=("mqtt://broker",), client_id="bridge", session_expiry=100)


def ended(code: EndReason) -> Disconnected:
    return Disconnected(reason=f"it is {code}", retry_in=1.0, code=code)


async def test_a_connection_that_comes_after_some_attempts_is_waited_for() -> None:
    waiter = ConnectionWaiter()
    waiter.on_disconnected(ended(EndReason.UNREACHABLE))
    waiting = asyncio.create_task(waiter.wait_connected(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiter.on_connected(connected())
    await waiting
    assert waiter.reason == ""


@pytest.mark.parametrize("code", [EndReason.CREDENTIALS, EndReason.UNFIT, EndReason.VERSION])
async def test_a_refusal_that_only_a_person_can_mend_is_not_waited_out(code: EndReason) -> None:
    waiter = ConnectionWaiter()
    waiter.on_disconnected(ended(code))
    with pytest.raises(NotConnected, match=f"it is {code}"):
        await waiter.wait_connected(None)


async def test_without_a_connection_in_time_the_last_reason_is_raised() -> None:
    waiter = ConnectionWaiter()
    with pytest.raises(NotConnected, match="does not answer"):
        await waiter.wait_connected(0.0)
    waiter.on_disconnected(ended(EndReason.LOST))
    with pytest.raises(NotConnected, match="it is lost"):
        await waiter.wait_connected(0.0)


async def test_after_a_reset_only_the_next_connection_counts() -> None:
    waiter = ConnectionWaiter()
    waiter.on_connected(connected())
    await waiter.wait_connected(0.0)
    waiter.reset()
    with pytest.raises(NotConnected):
        await waiter.wait_connected(0.0)


class FakeClient:
    """Takes the place of `MqttClient`; `answers` are those to the publishes, in order, None for a PUBACK."""

    def __init__(self) -> None:
        self.answers: list[Exception | None] = []
        self.published: list[Publication] = []
        self.options: MqttOptions | None = None
        self._listener: Any = None

    def create(self, options: MqttOptions) -> FakeClient:
        self.options = options
        return self

    async def run(self, listener: Any) -> None:
        self._listener = listener
        listener.on_connected(connected())
        await asyncio.Event().wait()

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        self.published.append(publication)
        answer = self.answers.pop(0) if self.answers else None
        on_acknowledged(answer)
        if isinstance(answer, NotConnected):
            self._listener.on_disconnected(ended(EndReason.LOST))
            asyncio.get_running_loop().call_soon(self._listener.on_connected, connected())


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    monkeypatch.setattr(temporary_client, "MqttClient", client.create)
    monkeypatch.setattr(temporary_client, "WITHDRAWAL_SECONDS", 0.0)
    return client


async def test_announcements_are_cleared_before_the_topics_of_their_devices(client: FakeClient) -> None:
    assert await clear_client(OPTIONS, ["wx/state"], announcements=["ha/device/x/config"]) == []
    assert [(sent.topic, sent.payload, sent.retain) for sent in client.published] == [
        ("ha/device/x/config", b"", True),
        ("wx/state", b"", True),
    ]


async def test_the_session_of_the_client_is_ended_and_no_will_is_left(client: FakeClient) -> None:
    await clear_client(OPTIONS, [])
    assert client.options is not None
    options = client.options
    assert options.client_id == "bridge"
    assert (options.clean, options.session_expiry, options.will, options.subscriptions) == (True, 0, None, ())


async def test_topics_that_the_broker_refuses_to_clear_are_returned(client: FakeClient) -> None:
    client.answers = [PublishRefused("no"), None, PublishRefused("no")]
    assert await clear_client(OPTIONS, ["a", "b", "c"]) == ["a", "c"]


async def test_a_publish_that_ends_the_connection_is_tried_again_once(client: FakeClient) -> None:
    client.answers = [NotConnected("gone"), None]
    assert await clear_client(OPTIONS, ["a"]) == []
    client.answers = [NotConnected("gone"), NotConnected("gone")]
    assert await clear_client(OPTIONS, ["b"]) == ["b"]
    assert [sent.topic for sent in client.published] == ["a", "a", "b", "b"]
