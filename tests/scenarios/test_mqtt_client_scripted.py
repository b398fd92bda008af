"""The client against a scripted broker that is strict, unusual, old or broken."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.mqtt_client import message, options, running_client
from tests.support.scripted_broker import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    Peer,
    length_prefixed,
    number,
    reason_string,
    receive_maximum,
    scripted_broker,
    server_reference,
)
from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt import connection, unacked
from wx2mqtt.mqtt.broker import Connected
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.packet_reader import PacketReader

SERVER_KEEPALIVE_1 = b"\x13\0\1"
MAXIMUM_QOS_0 = b"\x24\0"
SESSION_EXPIRY_60 = b"\x11\0\0\0\x3c"


async def serve_until_disconnect(peer: Peer) -> None:
    """Accepts the client and acknowledges what it publishes, until it disconnects."""
    await peer.welcome()
    while (packet := await peer.read()).kind != DISCONNECT:
        if packet.kind == PUBLISH:
            peer.acknowledge(packet)


# --- what the client says ---


async def test_connect_asks_for_a_session_and_names_the_limits_of_the_client():
    seen = asyncio.get_running_loop().create_future()

    async def script(peer):
        seen.set_result((await peer.accept()).body)
        await peer.grant(1)
        await peer.until_closed()

    async with (
        scripted_broker(script) as broker,
        running_client(broker.url, username="u", password="p", keepalive=45) as listener,
    ):
        await listener.connection()
    body = seen.result()
    assert body[:7] == b"\0\4MQTT\5"
    assert body[7] == 0b11101100, "user, password, retained will at QoS 1, no clean start"
    assert body[8:10] == b"\0\x2d"
    properties = body[11 : 11 + body[10]]
    assert b"\x11" + (7 * 24 * 3600).to_bytes(4, "big") in properties
    assert b"\x21\x00\xc8" in properties
    assert b"\x27" + (101 * 1024 * 1024).to_bytes(4, "big") in properties
    assert b"\x17\x01" in properties
    rest = body[11 + body[10] :]
    assert rest.startswith(length_prefixed("wx2mqtt-test"))
    will = rest[len(length_prefixed("wx2mqtt-test")) :]
    assert b"\x18\0\0\0\0" in will[1 : 1 + will[0]], "will delay 0"
    assert will[1 + will[0] :] == length_prefixed("wx/bridge/state") + length_prefixed(
        "offline"
    ) + length_prefixed("u") + length_prefixed("p")


async def test_subscriptions_have_qos_1_no_local_no_retained_messages_and_retain_as_published():
    seen = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.accept()
        seen.set_result((await peer.grant(1, 1)).body)
        await peer.until_closed()

    async with (
        scripted_broker(script) as broker,
        running_client(broker.url, filters=("wx/out/#", "wx/bridge/request/+")) as listener,
    ):
        await listener.connection()
    wish = bytes([0b00101101])
    assert (
        seen.result()[3:]
        == length_prefixed("wx/out/#") + wish + length_prefixed("wx/bridge/request/+") + wish
    )


async def test_a_stop_sends_a_disconnect_that_keeps_the_session_and_drops_the_will():
    last = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.welcome()
        last.set_result((await peer.until_closed())[-1])

    async with scripted_broker(script) as broker:
        async with running_client(broker.url) as listener:
            await listener.connection()
        packet = await last
    assert (packet.kind, packet.body) == (DISCONNECT, b"")


async def test_a_broker_that_does_not_read_the_disconnect_delays_a_stop_by_a_second_at_most():
    release = asyncio.Event()

    async def script(peer):
        await peer.welcome()
        await release.wait()

    async with scripted_broker(script) as broker:
        async with running_client(broker.url) as listener:
            await listener.connection()
            start = time.monotonic()
        assert time.monotonic() - start < allowed(1.5)
        release.set()


# --- limits ---


async def test_the_broker_s_receive_maximum_is_passed_on_and_is_enough_for_the_window():
    """paho sends a hundred where five are allowed (mqtt 0.2.1)."""
    waiting: list[int] = []

    async def script(peer):
        await peer.welcome(receive_maximum(5))
        for _ in range(200):
            waiting.append((await peer.read(PUBLISH)).publish_mid)
            if len(waiting) == 4:
                for mid in waiting:
                    peer.send(PUBACK, mid.to_bytes(2, "big"))
                waiting.clear()
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        window_size = (await listener.connection()).receive_maximum
        assert window_size == 4, "one of five is kept for what is never acknowledged"
        for _ in range(50):
            answers = [listener.publish(message()) for _ in range(window_size)]
            assert await asyncio.wait_for(asyncio.gather(*answers), MAX_WAIT_SECONDS) == [None] * 4


async def test_paho_neither_holds_a_publish_back_nor_sends_it_later():
    """Everything published is sent at once, whatever paho's own window of 20 says, and nothing at a reconnect."""
    counts: list[int] = []

    async def never_acknowledges(peer):
        await peer.welcome()
        for _ in range(100):
            await peer.read(PUBLISH)
        counts.append(100)

    async def second(peer):
        await peer.welcome(present=True)
        packet = await peer.read(PUBLISH)
        assert packet.body.endswith(b"new")
        peer.acknowledge(packet)
        await peer.until_closed()

    async with scripted_broker(never_acknowledges, second) as broker, running_client(broker.url) as listener:
        await listener.connection()
        answers = [listener.publish(message()) for _ in range(100)]
        await listener.end()
        assert counts == [100]
        assert all(isinstance(answer.result(), NotConnected) for answer in answers)
        await listener.connection()
        assert await listener.published(message(payload=b"new")) is None


async def test_a_broker_that_takes_only_qos_0_is_not_used():
    async def script(peer):
        await peer.accept(MAXIMUM_QOS_0)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        disconnected = await listener.end()
    assert (disconnected.code, disconnected.retry_in >= 30) == ("unfit", True)
    assert "QoS 0" in disconnected.reason


async def test_a_broker_that_refuses_a_retained_will_gets_one_that_is_not_retained():
    async def refuses(peer):
        connect = await peer.refuse(0x9A)
        assert connect.body[7] & 0x20

    async def accepts(peer):
        assert not (await peer.welcome(b"\x25\0")).body[7] & 0x20
        assert not (await peer.read(PUBLISH)).flags & 1, "a retained message would end the connection"
        await peer.until_closed()

    async with scripted_broker(refuses, accepts) as broker, running_client(broker.url) as listener:
        connection = await listener.connection()
        listener.publish(message(retain=True))
        await broker.wait_until_done()
    assert not connection.retain_available


async def test_the_broker_s_session_expiry_counts():
    async def script(peer):
        await peer.welcome(SESSION_EXPIRY_60)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        assert (await listener.connection()).session_expiry == 60


async def test_the_broker_s_keepalive_counts_where_it_is_shorter():
    async def script(peer):
        await peer.welcome(SERVER_KEEPALIVE_1)
        for _ in range(3):
            async with asyncio.timeout(allowed(1)):
                await peer.read(PINGREQ)
            peer.send(PINGRESP)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url, keepalive=600) as listener:
        await listener.connection()
        await broker.wait_until_done()


# --- versions ---


@pytest.mark.parametrize(
    "answer", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01", b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"]
)
async def test_mqtt_3_follows_a_refusal_of_the_version_in_whatever_form(answer):
    """The forms are MQTT 5's 0x84, amqtt's return code 1, and an answer as of MQTT 3.1.1 to MQTT 5."""
    levels: list[int] = []

    async def refuses(peer):
        levels.append((await peer.read(CONNECT)).level)
        peer.raw(answer)

    async def accepts(peer):
        levels.append((await peer.welcome()).level)
        await peer.until_closed()

    async with scripted_broker(refuses, accepts) as broker, running_client(broker.url) as listener:
        connection = await listener.connection()
        assert connection.protocol == "3.1.1"
        assert listener.events == [connection], "a version that is not spoken is no failure"
    assert levels == [5, 4]


async def test_a_broker_that_waits_for_more_of_connect_is_probed_for_its_version(monkeypatch):
    """amqtt waits so with a CONNECT of MQTT 5 that has properties and a will."""
    monkeypatch.setattr(connection, "VERSION_PROBE_DELAY_SECONDS", 0.1)
    levels: list[tuple[int, int]] = []

    async def script(peer):
        connect = await peer.read(CONNECT)
        levels.append((connect.level, connect.body[10]))
        if connect.level == 5 and connect.body[10]:
            await peer.until_closed()
        elif connect.level == 5:
            peer.raw(b"\x20\x02\x00\x01")
        else:
            peer.raw(b"\x20\x02\x00\x00")
            await peer.grant(1, v5=False)
            await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url, keepalive=1) as listener:
        assert (await listener.connection()).protocol == "3.1.1"
    assert [level for level, _ in levels] == [5, 5, 4]


async def test_a_broker_that_never_answers_is_not_tried_with_mqtt_3(monkeypatch):
    monkeypatch.setattr(connection, "VERSION_PROBE_DELAY_SECONDS", 0.1)
    monkeypatch.setattr(connection, "HANDSHAKE_IDLE_SECONDS", 0.3)
    levels: list[int] = []

    async def silent(peer):
        levels.append((await peer.read(CONNECT)).level)
        await peer.until_closed()

    async with scripted_broker(silent) as broker, running_client(broker.url, keepalive=1) as listener:
        for _ in range(2):
            assert (await listener.end()).reason.endswith("MQTT 3.1.1 (mqtt.protocol: '3.1.1')")
    assert set(levels) == {5}


async def test_mqtt_3_is_remembered_for_this_broker():
    levels: list[int] = []

    async def refuses(peer):
        levels.append((await peer.refuse(0x84)).level)

    async def short(peer):
        levels.append((await peer.welcome()).level)

    async def stays(peer):
        levels.append((await peer.welcome()).level)
        await peer.until_closed()

    async with scripted_broker(refuses, short, stays) as broker, running_client(broker.url) as listener:
        for _ in range(2):
            assert (await listener.connection()).protocol == "3.1.1"
    assert levels == [5, 4, 4]


async def test_a_network_error_never_leads_to_mqtt_3():
    levels: list[int] = []

    async def closes(peer):
        levels.append((await peer.read(CONNECT)).level)

    async def accepts(peer):
        levels.append((await peer.welcome()).level)
        await peer.until_closed()

    async with (
        scripted_broker(closes, closes, closes, accepts) as broker,
        running_client(broker.url) as listener,
    ):
        reasons = {(await listener.end()).reason for _ in range(3)}
        assert (await listener.connection()).protocol == "5"
    assert levels == [5, 5, 5, 5]
    assert len(reasons) == 1
    assert reasons.pop().endswith("it may want TLS (mqtts or wss) or MQTT 3.1.1 (mqtt.protocol: '3.1.1')")


async def test_a_version_that_was_set_stays_and_the_reason_says_where_to_change_it():
    async def refuses(peer):
        assert (await peer.refuse(0x84)).level == 5

    async with scripted_broker(refuses) as broker, running_client(broker.url, protocol="5") as listener:
        disconnected = await listener.end()
    assert (disconnected.code, disconnected.retry_in >= 30) == ("version", True)
    assert "mqtt.protocol" in disconnected.reason


async def test_a_refused_mqtt_3_causes_no_loop_inside_paho():
    """paho would go on with MQTT 3.1 by itself, in the middle of reading, blocking the loop."""
    connects = 0

    async def refuses(peer):
        nonlocal connects
        connects += 1
        await peer.refuse(1)

    async with scripted_broker(refuses) as broker, running_client(broker.url, protocol="3.1.1") as listener:
        assert (await listener.end()).code == "version"
    assert connects == 1


# --- refusals and farewells ---


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (0x86, "credentials", "password"),
        (0x85, "credentials", "client_id"),
        (0x88, "unreachable", "available"),
    ],
)
async def test_a_refusal_is_reported_in_words_with_the_reason_of_the_broker(code, kind, word):
    async def refuses(peer):
        await peer.refuse(code, reason_string("ask Anna; your password geheim is old"))

    async with (
        scripted_broker(refuses) as broker,
        running_client(broker.url, username="u", password="geheim") as listener,
    ):
        disconnected = await listener.end()
    assert disconnected.code == kind
    assert word in disconnected.reason
    assert "ask Anna" in disconnected.reason
    assert "geheim" not in disconnected.reason


@pytest.mark.parametrize(
    ("code", "kind"), [(0x04, "credentials"), (0x05, "credentials"), (0x03, "unreachable")]
)
async def test_the_return_codes_of_mqtt_3_mean_the_same(code, kind):
    async def refuses(peer):
        await peer.refuse(code)

    async with scripted_broker(refuses) as broker, running_client(broker.url, protocol="3.1.1") as listener:
        assert (await listener.end()).code == kind


async def test_the_reason_of_a_disconnect_is_reported_even_when_the_connection_breaks_after_it():
    async def says_goodbye(peer):
        await peer.welcome()
        peer.send(DISCONNECT, b"\x97" + number(len(reason_string("too much"))) + reason_string("too much"))

    async with (
        scripted_broker(says_goodbye, serve_until_disconnect) as broker,
        running_client(broker.url) as listener,
    ):
        await listener.connection()
        disconnected = await listener.end()
        assert disconnected.reason == "the broker has reached a quota (too much)"
        await listener.connection()


@pytest.mark.parametrize(
    ("where", "code"), [("connack", 0x9C), ("connack", 0x9D), ("disconnect", 0x9C), ("disconnect", 0x9D)]
)
async def test_a_reference_to_another_server_is_followed(where, code):
    async with scripted_broker(serve_until_disconnect) as other:
        reference = server_reference(f"127.0.0.1:{other.port}")

        async def refers(peer):
            if where == "connack":
                await peer.refuse(code, reference)
            else:
                await peer.welcome()
                peer.send(DISCONNECT, bytes((code,)) + number(len(reference)) + reference)

        async with scripted_broker(refers) as first, running_client(first.url) as listener:
            connection = await listener.connection()
            if where == "disconnect":
                connection = await listener.connection()
            assert connection.url == other.url
            assert (await listener.end()).retry_in == 0


async def test_a_client_that_is_taken_over_twice_stands_by():
    async def taken_over(peer):
        await peer.welcome()
        peer.send(DISCONNECT, b"\x8e\0")

    async with scripted_broker(taken_over) as broker, running_client(broker.url) as listener:
        first, second = await listener.end(), await listener.end()
        assert (first.standby, second.standby, second.retry_in) == (False, True, 300)
        assert isinstance(await listener.published(message()), NotConnected)
        assert listener.client.progress_deadline > time.monotonic() + 250
    assert broker.connections == 2


# --- acknowledgements ---


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99, 0xEE])
async def test_a_puback_with_any_error_code_is_reported_and_the_connection_stays(code):
    async def script(peer):
        await peer.welcome()
        peer.acknowledge(await peer.read(PUBLISH), code)
        peer.acknowledge(await peer.read(PUBLISH), 0x10)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        refusal, accepted = listener.publish(message()), listener.publish(message())
        error = await refusal
        assert isinstance(error, PublishRefused)
        assert (error.code, error.too_large) == (code, code == 0x95)
        assert error.reason.startswith("the broker ")
        assert await accepted is None
    assert listener.client.connect_count == 1


async def test_a_puback_for_nothing_and_a_second_one_are_ignored():
    async def script(peer):
        await peer.welcome()
        peer.send(PUBACK, b"\x77\x77")
        packet = await peer.read(PUBLISH)
        peer.acknowledge(packet)
        peer.acknowledge(packet)
        peer.acknowledge(await peer.read(PUBLISH))
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert await listener.published(message()) is None
        assert await listener.published(message()) is None
    assert listener.client.connect_count == 1


async def test_a_packet_id_in_use_is_skipped_when_the_numbers_begin_again():
    mids: list[int] = []

    async def script(peer):
        await peer.welcome()
        mids.extend([(await peer.read(PUBLISH)).publish_mid for _ in range(4)])
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        listener.publish(message())
        assert listener.client._connection is not None
        listener.client._connection._last_packet_id = 65_534
        for _ in range(3):
            listener.publish(message())
        await broker.wait_until_done()
    assert mids == [2, 65_535, 1, 3], "1 was the subscription's"


async def test_a_publish_that_is_never_acknowledged_fails_and_others_go_on(monkeypatch):
    """RabbitMQ does not acknowledge for a topic whose reader's node is gone (mqtt 5.2.2)."""

    async def script(peer):
        await peer.welcome(receive_maximum(20))
        while (packet := await peer.read()).kind != DISCONNECT:
            if packet.kind == PUBLISH and packet.topic != "wx/in/stuck":
                peer.acknowledge(packet)

    async with scripted_broker(script) as broker, running_client(broker.url, keepalive=4) as listener:
        await listener.connection()
        stuck = listener.publish(message("wx/in/stuck"))
        assert await listener.published(message()) is None
        with monkeypatch.context() as impatient:
            impatient.setattr(unacked, "PUBACK_TIMEOUT_SECONDS", 0.2)
            refusal = await asyncio.wait_for(stuck, MAX_WAIT_SECONDS)
        assert isinstance(refusal, PublishRefused)
        assert "not acknowledged" in refusal.reason
        assert await listener.published(message()) is None
    assert listener.client.connect_count == 1


async def test_the_client_disconnects_from_a_broker_that_acknowledges_nothing(monkeypatch):
    monkeypatch.setattr(unacked, "PUBACK_TIMEOUT_SECONDS", 0.2)

    async def script(peer):
        await peer.welcome(receive_maximum(4))
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url, keepalive=4) as listener:
        await listener.connection()
        for _ in range(3):
            listener.publish(message())
        assert (await listener.end()).reason.endswith("acknowledges nothing")


# --- subscriptions ---


async def test_on_connected_comes_after_the_subscriptions_and_before_deliveries():
    release = asyncio.Event()

    async def script(peer):
        await peer.accept(present=True)
        subscribe = await peer.read(SUBSCRIBE)
        peer.deliver("wx/out/wife", b"kept", 7)
        broker.reached()
        await release.wait()
        peer.send(SUBACK, subscribe.body[:2] + b"\0\1")
        assert (await peer.read(PUBACK)).mid == 7
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await broker.wait_until_done()
        assert listener.client.connection is None
        assert isinstance(await listener.published(message()), NotConnected)
        release.set()
        delivery = await listener.delivery()
        assert listener.events == [listener.client.connection, delivery]
        listener.client.acknowledge(delivery)
        await broker.wait_until_done()


async def test_deliveries_before_the_suback_are_kept_in_memory_up_to_a_limit_only(monkeypatch):
    """A broker sends what a stored session holds before it reads SUBSCRIBE: for example twenty files of 100 MB."""
    monkeypatch.setattr(connection, "MAX_PENDING_BYTES", 100_000)
    release = asyncio.Event()

    async def script(peer):
        await peer.accept(present=True)
        subscribe = await peer.read(SUBSCRIBE)
        for mid in (1, 2, 3):
            peer.deliver("wx/out/wife", bytes(40_000), mid)
        await release.wait()
        peer.send(SUBACK, subscribe.body[:2] + b"\0\x87")
        peer.deliver("wx/out/wife", b"later", 4)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        assert [len((await listener.delivery()).payload) for _ in range(3)] == [40_000] * 3
        assert (await listener.connection()).refused_filters == ()
        release.set()
        assert (await listener.delivery()).payload == b"later"
        assert listener.client.connection is not None
        assert listener.client.connection.refused_filters == ("wx/out/#",)


async def test_deliveries_of_a_session_without_subscriptions_are_bounded_too(monkeypatch):
    monkeypatch.setattr(connection, "MAX_PENDING_BYTES", 100_000)

    async def script(peer):
        await peer.accept()
        for mid in (1, 2, 3):
            peer.deliver("wx/out/wife", bytes(40_000), mid)
        await peer.grant(1)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        assert [len((await listener.delivery()).payload) for _ in range(3)] == [40_000] * 3
        await broker.wait_until_done()
    assert len([event for event in listener.events if isinstance(event, Connected)]) == 1


async def test_a_refused_subscription_is_reported_and_tried_again_while_others_work(monkeypatch):
    monkeypatch.setattr(unacked, "REFUSED_FILTER_RETRY_SECONDS", 0.1)
    asked = []

    async def script(peer):
        await peer.accept()
        await peer.grant(1, 0x87)
        asked.append((await peer.grant(0x87)).body)
        asked.append((await peer.grant(1)).body)
        peer.deliver("b", b"", 1)
        await peer.until_closed()

    async with (
        scripted_broker(script) as broker,
        running_client(broker.url, filters=("a", "b"), keepalive=1) as listener,
    ):
        assert (await listener.connection()).refused_filters == ("b",)
        await listener.delivery()
        assert listener.client.connection is not None
        assert listener.client.connection.refused_filters == ()
    assert [length_prefixed("b") in body and length_prefixed("a") not in body for body in asked] == [
        True,
        True,
    ]


@pytest.mark.parametrize("say", ["connack", "suback"])
async def test_a_broker_that_does_not_answer_connect_is_given_up(monkeypatch, say):
    """RabbitMQ does not answer so when the node of a session is gone: no CONNACK within 30 s."""
    monkeypatch.setattr(connection, "HANDSHAKE_IDLE_SECONDS", 0.3)

    async def silent(peer):
        if say == "suback":
            await peer.accept()
        await peer.until_closed()

    async with (
        scripted_broker(silent) as broker,
        scripted_broker(serve_until_disconnect) as other,
        running_client(broker.url, other.url, keepalive=1) as listener,
    ):
        disconnected = await listener.end()
        assert (disconnected.code, disconnected.retry_in) == ("unreachable", 0)
        assert "said nothing" in disconnected.reason
        assert (await listener.connection()).url == other.url


# --- deliveries ---


async def test_messages_that_paho_cannot_read_are_dropped_and_acknowledged_and_the_rest_arrives():
    """Each of these ends paho's connection, and the broker would deliver it again at the next one, for ever."""
    bom = b"\x26" + length_prefixed("\ufeffkey") + length_prefixed("value")

    async def script(peer):
        await peer.welcome()
        peer.deliver(b"wx/out/\xff\xfe", b"topic", 1)
        peer.deliver("wx/out/wife", b"bom", 2, bom)
        peer.deliver("wx/out/wife", b"unknown property", 3, b"\x7f\x01")
        peer.deliver("wx/out/wife", b"content type", 4, b"\x03" + length_prefixed(b"\xff"))
        peer.deliver(b"wx/out/\0", b"null", 5)
        peer.deliver("wx/out/wife", b"good", 6)
        acknowledged = [(await peer.read(PUBACK)).mid for _ in range(6)]
        assert sorted(acknowledged) == [1, 2, 3, 4, 5, 6]
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        payloads = []
        for _ in range(3):
            delivery = await listener.delivery()
            payloads.append(delivery.payload)
            listener.client.acknowledge(delivery)
        await broker.wait_until_done()
    assert payloads == [b"bom", b"content type", b"good"]
    assert (listener.client.connect_count, listener.client.dropped_count) == (1, 3)


async def test_an_acknowledgement_of_an_earlier_connection_is_not_sent():
    """On the new connection its packet id means another message (mqtt 0.5.2)."""

    async def first(peer):
        await peer.welcome()
        peer.deliver("wx/out/wife", b"old", 1)
        peer.send(DISCONNECT, b"\x89\0")

    async def second(peer):
        await peer.welcome(present=True)
        peer.deliver("wx/out/wife", b"other", 1)
        packet = await peer.read()
        assert (packet.kind, packet.body[-4:]) == (PUBLISH, b"next"), "no PUBACK before it"
        peer.acknowledge(packet)
        assert (await peer.read(PUBACK)).mid == 1
        await peer.until_closed()

    async with scripted_broker(first, second) as broker, running_client(broker.url) as listener:
        await listener.connection()
        old = await listener.delivery()
        await listener.connection()
        other = await listener.delivery()
        listener.client.acknowledge(old)
        assert await listener.published(message(payload=b"next")) is None
        listener.client.acknowledge(other)
        await broker.wait_until_done()


async def test_a_pubrel_for_nothing_is_answered():
    """With manual_ack paho never answers, and the broker's place stays taken (mqtt 0.5.4)."""

    async def script(peer):
        await peer.welcome()
        peer.send(PUBREL, b"\0\x09", flags=2)
        assert (await peer.read(PUBCOMP)).mid == 9
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        await broker.wait_until_done()


async def test_a_message_at_qos_2_of_an_older_session_is_answered_after_it_was_stored():
    async def script(peer):
        await peer.welcome(present=True)
        peer.deliver("wx/out/wife", b"two", 3, qos=2)
        peer.deliver("wx/out/wife", b"one", 4)
        assert (await peer.read(PUBREC)).mid == 3
        assert (await peer.read(PUBACK)).mid == 4
        peer.send(PUBREL, b"\0\3", flags=2)
        assert (await peer.read(PUBCOMP)).mid == 3
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        for _ in range(2):
            listener.client.acknowledge(await listener.delivery())
        await broker.wait_until_done()


async def test_a_message_at_qos_0_needs_no_acknowledgement():
    async def script(peer):
        await peer.welcome()
        peer.deliver("wx/out/wife", b"zero", 0, qos=0)
        peer.deliver("wx/out/wife", b"one", 4)
        assert (await peer.read(PUBACK)).mid == 4
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        for _ in range(2):
            listener.client.acknowledge(await listener.delivery())
        await broker.wait_until_done()


# --- broken brokers ---


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xf0\x00",
        b"\x00\x00",
        b"\x30\xff\xff\xff\xff\xff",
        b"\x40\x01\x00",
        b"\x90\x00",
        b"\x62\x01\x00",
        b"\x32\x02\xff\xff",
        b"\xe0\x01\xee",
        b"\x20\x00",
    ],
)
async def test_bytes_that_are_no_mqtt_end_only_the_connection(garbage):
    async def broken(peer):
        await peer.welcome()
        peer.raw(garbage)
        await peer.until_closed()

    async with (
        scripted_broker(broken, serve_until_disconnect) as broker,
        running_client(broker.url) as listener,
    ):
        await listener.connection()
        open_publish = listener.publish(message())
        disconnected = await listener.end()
        assert (disconnected.code, "not MQTT" in disconnected.reason) == ("lost", True)
        assert isinstance(open_publish.result(), NotConnected)
        await listener.connection()
        assert await listener.published(message()) is None


@pytest.mark.parametrize(
    "garbage", [b"\x20\x00", b"\x20\x03\x00\x00\x7f", b"\x20\x03\x00\xee\x00", b"SSH-2.0-OpenSSH\r\n", b""]
)
async def test_an_answer_to_connect_that_is_no_mqtt_is_a_failed_attempt(garbage):
    async def broken(peer):
        await peer.read(CONNECT)
        peer.raw(garbage)

    async with (
        scripted_broker(broken, serve_until_disconnect) as broker,
        running_client(broker.url) as listener,
    ):
        assert (await listener.end()).code == "unreachable"
        await listener.connection()


async def test_packets_that_come_byte_by_byte_are_read():
    async def send_byte_by_byte(peer):
        await peer.read(CONNECT)
        for byte in b"\x20\x03\0\0\0":
            peer.raw(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        await peer.grant(1)
        body = length_prefixed("wx/out/wife") + b"\0\1\0" + b"slow"
        for byte in bytes((0x32, len(body))) + body:
            peer.raw(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        await peer.until_closed()

    async with scripted_broker(send_byte_by_byte) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert (await listener.delivery()).payload == b"slow"


async def test_a_broker_that_stops_reading_gets_the_rest_when_it_reads_again():
    release = asyncio.Event()
    picture = b"x" * 3_000_000

    async def script(peer):
        await peer.welcome()
        await release.wait()
        assert (await peer.read(PUBLISH)).body.endswith(picture)
        await peer.until_closed()

    async with scripted_broker(script) as broker, running_client(broker.url) as listener:
        await listener.connection()
        listener.publish(message(payload=picture))
        await asyncio.sleep(0)
        release.set()
        await broker.wait_until_done()


async def test_an_exception_inside_a_connection_attempt_does_not_end_the_client(monkeypatch):
    """Whatever a library raises, the client makes the next attempt."""
    attempts = 0
    original = connection.MqttConnection.run

    async def run(self):
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ZeroDivisionError("geheim")
        return await original(self)

    monkeypatch.setattr(connection.MqttConnection, "run", run)
    async with scripted_broker(serve_until_disconnect) as broker, running_client(broker.url) as listener:
        assert (await listener.end()).reason == "internal error: ZeroDivisionError"
        await listener.connection()


async def test_an_exception_while_the_loop_reads_ends_only_the_connection(monkeypatch):
    failed = False
    original = PacketReader.handle

    def handle(self, *packet):
        nonlocal failed
        if not failed and listener.client.connection is not None:
            failed = True
            raise IndexError("geheim")
        original(self, *packet)

    monkeypatch.setattr(PacketReader, "handle", handle)
    async with scripted_broker(serve_until_disconnect) as broker, running_client(broker.url) as listener:
        await listener.connection()
        assert isinstance(await listener.published(message()), NotConnected)
        assert (await listener.end()).code == "lost"
        await listener.connection()
        assert await listener.published(message()) is None


def test_an_invalid_url_is_refused_at_once():
    with pytest.raises(ValueError, match="begins with one of"):
        MqttClient(options("http://broker"))


def test_the_options_show_no_secret():
    representation = repr(options("mqtt://u:geheim@h", password="auchgeheim"))
    assert "geheim" not in representation
