"""The client on a real mosquitto: it connects, reconnects, loses nothing and never publishes twice by itself."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import DEVNULL
from pathlib import Path

import psutil
import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import DURABLE, Mosquitto, free_port, password_file
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.mqtt_client import RecordingListener, message, running_client
from wx2mqtt.clock import Lease, boot_time
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import Disconnected, ProbeTopics

BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


class AcknowledgingListener(RecordingListener):
    """Acknowledges each delivery at once."""

    def on_delivery(self, delivery):
        super().on_delivery(delivery)
        self.client.acknowledge(delivery)


async def publish_numbers(
    listener: RecordingListener, number: int, window: int = 20
) -> list[Exception | None]:
    """Publishes `number` messages, of which at most `window` wait for an answer; returns the outcome of each."""
    answers: list[Exception | None] = []
    done = asyncio.Event()
    numbers = iter(range(number))

    def on_outcome(answer: Exception | None) -> None:
        answers.append(answer)
        send()
        if len(answers) == number:
            done.set()

    def send() -> None:
        n = next(numbers, None)
        if n is not None:
            listener.client.publish(message(payload=b"%d" % n), on_outcome)

    for _ in range(window):
        send()
    await asyncio.wait_for(done.wait(), MAX_WAIT_SECONDS)
    return answers


# --- connecting ---


async def test_a_connection_says_what_the_broker_allows(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("max_inflight_messages 40\nmax_packet_size 100000\n")
    async with running_client(broker.url) as listener:
        connection = await listener.connection()
    assert connection.url == broker.url
    assert connection.protocol == "5"
    assert connection.receive_maximum == 35, "some places are kept for what is never acknowledged"
    assert connection.packet_limit == 100000
    assert connection.retain_available
    assert not connection.session_present
    assert connection.session_expiry == 7 * 24 * 3600
    assert connection.refused_filters == ()


async def test_a_session_that_the_broker_shortens_is_reported(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("persistent_client_expiration 1h\n")
    async with running_client(broker.url, session_expiry=600) as listener:
        assert (await listener.connection()).session_expiry == 600


async def test_a_broker_without_retained_messages_gets_none(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("retain_available false\n")
    async with running_client(broker.url) as listener:
        connection = await listener.connection()
        assert not connection.retain_available
        assert await listener.published(message(retain=True)) is None
    assert listener.client.disconnect_count == 1


async def test_mqtt_3_is_used_where_it_is_configured(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, protocol="3.1.1") as listener:
        connection = await listener.connection()
        assert (connection.protocol, connection.session_expiry) == ("3.1.1", None)
        assert await listener.published(message(content_type="text/plain", expiry=5)) is None
    assert "p2" in mosquitto.wait_for_log("New client connected")


async def test_a_broker_is_found_when_it_comes_up_later(start_mosquitto: StartMosquitto):
    port = free_port()
    async with running_client(f"mqtt://127.0.0.1:{port}") as listener:
        disconnected = await listener.end()
        assert (disconnected.code, disconnected.reason) == (
            "unreachable",
            f"nobody listens on 127.0.0.1:{port}",
        )
        assert listener.client.connection is None
        start_mosquitto(port=port)
        await listener.connection()


async def test_the_next_of_the_list_is_taken_where_the_first_is_away(mosquitto: Mosquitto):
    async with running_client(f"mqtt://127.0.0.1:{free_port()}", mosquitto.url) as listener:
        assert (await listener.connection()).url == mosquitto.url


@BOTH
async def test_bad_credentials_are_reported_in_words_and_tried_again_slowly(
    start_mosquitto: StartMosquitto, tmp_path: Path, protocol
):
    (tmp_path / "passwords").write_text("")
    broker = start_mosquitto(
        f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path}/passwords\n",
        listener=False,
    )
    url = broker.url.replace("//", "//other:auchgeheim@")
    async with running_client(url, username="bob", password="geheim", protocol=protocol) as listener:
        disconnected = await listener.end()
    assert disconnected.code == "credentials"
    assert disconnected.retry_in >= 30
    assert "user" in disconnected.reason
    assert "geheim" not in disconnected.reason


async def test_a_corrected_password_is_tried_at_once_and_a_connection_that_stands_is_left_alone(
    start_mosquitto: StartMosquitto, tmp_path: Path
):
    passwords = password_file(tmp_path / "passwords", "bob", "geheim")
    broker = start_mosquitto(
        f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n", listener=False
    )
    async with running_client(broker.url, username="bob", password="falsch") as listener:
        client = listener.client
        assert (await listener.end()).retry_in >= 30
        client.set_password("geheim")
        await listener.connection()
        assert not client.uses_old_password
        client.set_password("the next one")
        assert client.uses_old_password
        assert await listener.published(message()) is None
        assert client.disconnect_count == 0
        broker.kill()
        await listener.end()
        assert not client.uses_old_password
        broker.start()
        assert (await listener.end()).code == "credentials"


async def test_an_unknown_host_name_is_not_tried_in_a_busy_loop():
    async with running_client("mqtt://no-such-host.invalid:1883") as listener:
        first, second = await listener.end(), await listener.end()
    assert first.reason == "the name no-such-host.invalid cannot be resolved"
    assert first.retry_in < second.retry_in


async def test_a_stop_during_a_connection_attempt_takes_no_time():
    """The host never answers: documentation addresses are routed nowhere."""
    async with running_client("mqtt://192.0.2.1:1883"):
        await asyncio.sleep(0)
        start = time.monotonic()
    assert time.monotonic() - start < allowed(1)


# --- publishing ---


@BOTH
async def test_ten_times_the_queue_of_the_broker_arrives_completely_and_in_order(
    mosquitto: Mosquitto, protocol
):
    """Without a window of paho mosquitto acknowledges everything and drops a part (mqtt 0.1)."""
    async with (
        running_client(
            mosquitto.url, client_id="reader", filters=("wx/in/#",), listener=AcknowledgingListener()
        ) as reader,
        running_client(mosquitto.url, client_id="writer", protocol=protocol) as writer,
    ):
        await reader.connection()
        window = min(20, (await writer.connection()).receive_maximum)
        assert await publish_numbers(writer, 10_000, window) == [None] * 10_000
        for expected in range(10_000):
            assert (await reader.delivery()).payload == b"%d" % expected


async def test_without_a_connection_nothing_is_kept_for_later(start_mosquitto: StartMosquitto):
    """paho says 'no connection' and sends the message all the same, later (mqtt 0.1, 0.3)."""
    port = free_port()
    async with running_client(f"mqtt://127.0.0.1:{port}") as listener:
        await listener.end()
        for _ in range(100):
            assert isinstance(await listener.published(message("wx/in/lost")), NotConnected)
        broker = start_mosquitto(port=port)
        await listener.connection()
        assert await listener.published(message("wx/in/kept")) is None
    assert not [line for line in broker.log if "wx/in/lost" in line]


async def test_when_the_broker_is_killed_each_publish_has_one_reported_outcome(
    start_mosquitto: StartMosquitto,
):
    """The outcome of each publish is reported once: its future fails at a second report (mqtt 0.3)."""
    broker = start_mosquitto(DURABLE)
    async with running_client(broker.url) as listener:
        await listener.connection()
        answers = [listener.publish(message(payload=b"%d" % n)) for n in range(10)]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        broker.pause()
        answers += [listener.publish(message(payload=b"%d" % n)) for n in range(10, 15)]
        broker.kill()
        disconnected = await listener.end()
        assert all(answer.done() for answer in answers), "before the listener hears of the end"
        assert isinstance(answers[-1].result(), NotConnected)
        assert {type(answer.result()) for answer in answers} <= {type(None), NotConnected, ConnectionDropped}
        assert disconnected.code == "lost"
        broker.start()
        await listener.connection()
        assert await listener.published(message()) is None
    assert (listener.client.connect_count, listener.client.disconnect_count) == (2, 2)


async def test_a_forbidden_publish_is_refused_with_its_reason_and_others_go_on(
    start_mosquitto: StartMosquitto, tmp_path: Path
):
    (tmp_path / "acl").write_text("topic readwrite wx/in/#\ntopic read wx/out/#\n")
    broker = start_mosquitto(f"acl_file {tmp_path}/acl\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        forbidden, allowed = listener.publish(message("secret/topic")), listener.publish(message())
        refusal = await forbidden
        assert isinstance(refusal, PublishRefused)
        assert (refusal.code, refusal.too_large) == (0x87, False)
        assert "right" in refusal.reason
        assert await allowed is None


async def test_older_mqtt_cannot_say_that_a_publish_is_forbidden(
    start_mosquitto: StartMosquitto, tmp_path: Path
):
    (tmp_path / "acl").write_text("topic readwrite wx/in/#\n")
    broker = start_mosquitto(f"acl_file {tmp_path}/acl\n")
    async with running_client(broker.url, protocol="3.1.1") as listener:
        await listener.connection()
        assert await listener.published(message("secret/topic")) is None


async def test_a_message_above_the_packet_limit_is_refused_before_it_is_sent(start_mosquitto: StartMosquitto):
    broker = start_mosquitto("max_packet_size 1000\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        head = len(b"\x32\xe8\x07" + b"\0\nwx/in/wife" + b"\0\1" + b"\0")
        refusal = await listener.published(message(payload=b"x" * (1001 - head)))
        assert isinstance(refusal, PublishRefused)
        assert (refusal.too_large, refusal.code) == (True, 0x95)
        assert await listener.published(message(payload=b"x" * (1000 - head))) is None
    assert listener.client.connect_count == 1


async def test_a_packet_limit_that_the_broker_did_not_announce_is_learned_from_its_refusal(
    start_mosquitto: StartMosquitto,
):
    """paho knows no PUBACK with this code: it would end the connection, and again with the next try."""
    broker = start_mosquitto("message_size_limit 1000\n")
    async with running_client(broker.url) as listener:
        await listener.connection()
        refusal = await listener.published(message(payload=b"x" * 2000))
        assert isinstance(refusal, PublishRefused)
        assert (refusal.too_large, refusal.code) == (True, 0x95)
        assert await listener.published(message()) is None
    assert listener.client.connect_count == 1


@BOTH
@pytest.mark.parametrize("topic", ["", "wx/+/a", "wx/#", "a\0b", "\ud800", "x" * 70_000])
async def test_an_impossible_topic_is_refused_and_the_connection_stays(mosquitto: Mosquitto, protocol, topic):
    async with running_client(mosquitto.url, protocol=protocol) as listener:
        await listener.connection()
        refusal = await listener.published(message(topic))
        assert isinstance(refusal, PublishRefused)
        assert refusal.code == 0x90
        assert await listener.published(message()) is None


async def test_properties_arrive_as_they_were_given(mosquitto: Mosquitto):
    """Expiry and all other properties reach the reader (mqtt 0.8)."""
    async with (
        running_client(mosquitto.url, client_id="reader", filters=("wx/in/#",)) as reader,
        running_client(mosquitto.url) as writer,
    ):
        await reader.connection()
        await writer.connection()
        await writer.published(
            message(
                "wx/in/妻",
                "开灯 ☀".encode(),
                content_type="application/json",
                expiry=60,
                correlation=b"\0\xff",
            )
        )
        delivery = await reader.delivery()
    assert (delivery.topic, delivery.payload.decode()) == ("wx/in/妻", "开灯 ☀")
    assert (delivery.content_type, delivery.correlation, delivery.expiry) == (
        "application/json",
        b"\0\xff",
        60,
    )
    assert not delivery.retain


# --- deliveries and the session ---


@BOTH
async def test_messages_published_during_an_absence_are_delivered_after_on_connected(
    start_mosquitto: StartMosquitto, protocol
):
    broker = start_mosquitto(DURABLE)
    async with running_client(broker.url, protocol=protocol) as listener:
        await listener.connection()
    async with running_client(broker.url, client_id="phone", filters=()) as phone:
        await phone.connection()
        for n in range(5):
            await phone.published(message("wx/out/wife", b"%d" % n, expiry=600))
    broker.kill()
    broker.start()
    async with running_client(broker.url, protocol=protocol) as listener:
        assert (await listener.connection()).session_present
        deliveries = [await listener.delivery() for _ in range(5)]
        assert [delivery.payload for delivery in deliveries] == [b"0", b"1", b"2", b"3", b"4"]
        assert listener.events[0] == listener.client.connection
        if protocol == "5":
            assert all(590 < (delivery.expiry or 0) <= 600 for delivery in deliveries)


@BOTH
async def test_a_delivery_comes_again_unless_it_was_acknowledged(mosquitto: Mosquitto, protocol):
    """The acknowledgement is sent by the bridge, not by paho (mqtt 0.5.1)."""
    async with (
        running_client(mosquitto.url, protocol=protocol) as listener,
        running_client(mosquitto.url, client_id="phone", filters=()) as phone,
    ):
        await listener.connection()
        await phone.connection()
        for n in range(3):
            await phone.published(message("wx/out/wife", b"%d" % n))
        first = await listener.delivery()
        listener.client.acknowledge(first)
        await listener.delivery()
        await listener.delivery()
        await mosquitto.logged("Received PUBACK from wx2mqtt-test")
    async with running_client(mosquitto.url, protocol=protocol) as listener:
        assert (await listener.connection()).session_present
        again = [await listener.delivery(), await listener.delivery()]
        assert [(delivery.payload, delivery.dup) for delivery in again] == [(b"1", True), (b"2", True)]
        listener.client.acknowledge(first)  # it belongs to the connection before, so it is dropped
        for delivery in again:
            listener.client.acknowledge(delivery)
    async with (
        running_client(mosquitto.url, client_id="phone", filters=()) as phone,
        running_client(mosquitto.url, protocol=protocol) as listener,
    ):
        await phone.connection()
        await listener.connection()
        await phone.published(message("wx/out/wife", b"new"))
        assert (await listener.delivery()).payload == b"new"


async def test_a_session_that_the_broker_lost_is_reported(mosquitto: Mosquitto):
    """Nothing else says that retained topics and commands are gone (mqtt 0.6.2)."""
    async with running_client(mosquitto.url) as listener:
        await listener.connection()
        mosquitto.kill()
        await listener.end()
        mosquitto.start()
        assert not (await listener.connection()).session_present
        async with running_client(mosquitto.url, client_id="phone", filters=()) as phone:
            await phone.connection()
            await phone.published(message("wx/out/wife", b"still subscribed"))
        assert (await listener.delivery()).payload == b"still subscribed"


async def test_a_retained_command_is_not_delivered_and_a_live_one_shows_its_flag(mosquitto: Mosquitto):
    """A retained command would be sent again at each restart (mqtt 0.7)."""
    async with running_client(mosquitto.url, client_id="phone", filters=()) as phone:
        await phone.connection()
        await phone.published(message("wx/out/wife", b"old", retain=True))
        async with running_client(mosquitto.url) as listener:
            await listener.connection()
            await phone.published(message("wx/out/wife", b"live", retain=True))
            delivery = await listener.delivery()
    assert (delivery.payload, delivery.retain) == (b"live", True)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_mosquitto_shows_that_it_redelivers_nothing_retained(mosquitto: Mosquitto, protocol: str):
    probe = ProbeTopics(probed="wx/bridge/state", control="wx/bridge/info")
    async with running_client(mosquitto.url, protocol=protocol) as listener:
        await listener.connection()
        for topic in (probe.control, probe.probed):
            await listener.published(message(topic, b"own", retain=True))
        assert await listener.client.honours_retain_handling(probe) is (protocol == "5")
        await listener.published(message(probe.probed, b"own again", retain=True))
        async with running_client(mosquitto.url, client_id="phone", filters=()) as phone:
            await phone.connection()
            await phone.published(message(probe.probed, b"of another"))
            await phone.published(message("wx/out/wife", b"live"))
        assert (await listener.delivery()).payload == b"live", "the probe leaves no subscription"


async def test_older_mqtt_delivers_a_retained_command_with_its_flag(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, client_id="phone", filters=()) as phone:
        await phone.connection()
        await phone.published(message("wx/out/wife", b"old", retain=True))
    async with running_client(mosquitto.url, protocol="3.1.1") as listener:
        await listener.connection()
        assert (await listener.delivery()).retain


async def test_own_publishes_do_not_come_back(mosquitto: Mosquitto):
    async with (
        running_client(mosquitto.url, filters=("wx/#",)) as listener,
        running_client(mosquitto.url, client_id="phone", filters=()) as phone,
    ):
        await listener.connection()
        await phone.connection()
        await listener.published(message("wx/in/wife", b"own"))
        await phone.published(message("wx/out/wife", b"other"))
        assert (await listener.delivery()).payload == b"other"


async def test_a_publish_at_qos_2_comes_at_qos_1(mosquitto: Mosquitto):
    async with running_client(mosquitto.url) as listener:
        await listener.connection()
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-p", str(mosquitto.port), "-q", "2", "-t", "wx/out/wife", "-m", "twice?"
        )
        delivery = await listener.delivery()
        listener.client.acknowledge(delivery)
        await mosquitto.logged("Received PUBACK from wx2mqtt-test")
        await process.wait()


async def test_a_listener_that_raises_does_not_end_the_connection(mosquitto: Mosquitto):
    """paho's own thread would end for good while paho says that it is connected (mqtt 0.4)."""

    class RaisingListener(RecordingListener):
        def on_delivery(self, delivery):
            super().on_delivery(delivery)
            if delivery.payload == b"poison":
                raise RuntimeError("on purpose")

    async with (
        running_client(mosquitto.url, listener=RaisingListener()) as listener,
        running_client(mosquitto.url, client_id="phone", filters=()) as phone,
    ):
        await listener.connection()
        await phone.connection()
        for payload in (b"poison", b"good"):
            await phone.published(message("wx/out/wife", payload))
        assert [(await listener.delivery()).payload for _ in range(2)] == [b"poison", b"good"]
    assert listener.client.connect_count == 1


async def test_a_callback_of_a_publish_that_raises_does_not_end_the_connection(mosquitto: Mosquitto):
    async with running_client(mosquitto.url) as listener:
        await listener.connection()

        def raises(_answer):
            raise RuntimeError("on purpose")

        listener.client.publish(message(), raises)
        assert await listener.published(message()) is None
    assert listener.client.connect_count == 1


@BOTH
async def test_a_large_delivery_and_a_large_publish_go_through(mosquitto: Mosquitto, protocol):
    picture = bytes(range(256)) * 4 * 5000
    async with (
        running_client(mosquitto.url, protocol=protocol) as listener,
        running_client(mosquitto.url, client_id="phone", filters=(), protocol=protocol) as phone,
    ):
        await listener.connection()
        await phone.connection()
        assert await phone.published(message("wx/out/wife/image", picture)) is None
        assert (await listener.delivery()).payload == picture


# --- the end of a connection ---


@BOTH
async def test_a_stop_sends_disconnect_keeps_the_session_and_the_will_is_not_published(
    mosquitto: Mosquitto, protocol
):
    async with running_client(mosquitto.url, client_id="reader", filters=("wx/bridge/#",)) as reader:
        await reader.connection()
        async with running_client(mosquitto.url, protocol=protocol) as listener:
            await listener.connection()
            answer = listener.publish(message())
        assert answer.done(), "told by then, either way"
        mosquitto.wait_for_log("Received DISCONNECT from wx2mqtt-test")
        assert [event for event in listener.events if isinstance(event, Disconnected)] == []
        async with running_client(mosquitto.url, protocol=protocol) as listener:
            assert (await listener.connection()).session_present
        assert not [event for event in reader.events if getattr(event, "topic", "") == "wx/bridge/state"]


DYING_CLIENT = """
import asyncio, os, sys
from tests.support.mqtt_client import running_client

async def main():
    async with running_client(sys.argv[1]) as listener:
        await listener.connection()
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_when_the_bridge_dies_the_will_is_published(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, client_id="reader", filters=("wx/bridge/#",)) as reader:
        await reader.connection()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING_CLIENT, mosquitto.url, stdout=DEVNULL
        )
        assert await process.wait() == -9
        delivery = await reader.delivery()
    assert (delivery.topic, delivery.payload) == ("wx/bridge/state", b"offline")
    assert delivery.content_type == "text/plain"
    assert "(r1, q1)" in mosquitto.wait_for_log("Will message specified (7 bytes)")


async def test_an_aborted_client_sends_nothing_more_and_does_not_reconnect(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, client_id="reader", filters=("wx/#",)) as reader:
        await reader.connection()
        async with running_client(mosquitto.url) as listener:
            await listener.connection()
            listener.client.publish(message(), lambda _: None)
            listener.client.abort()
            assert isinstance(await listener.published(message()), NotConnected)
            delivery = await reader.delivery()
            connects, events = listener.client.connect_count, len(listener.events)
            async with running_client(mosquitto.url, client_id="other") as other:
                await other.connection()
                assert await other.published(message("wx/probe")) is None
            probe = await reader.delivery()
        assert (listener.client.connect_count, len(listener.events)) == (connects, events)
    assert (delivery.topic, delivery.payload) == ("wx/bridge/state", b"offline")
    assert probe.topic == "wx/probe"


async def test_without_a_lease_the_client_is_silent_and_the_will_says_that_the_bridge_is_away(
    mosquitto: Mosquitto,
):
    lease = Lease(600)
    async with running_client(mosquitto.url, client_id="reader", filters=("wx/#",)) as reader:
        await reader.connection()
        async with running_client(mosquitto.url, lease=lease) as listener:
            assert (await listener.end()).code == "unreachable"
            lease.renew(boot_time())
            await listener.connection()
            lease.revoke()
            assert isinstance(await listener.published(message()), NotConnected)
            lost = await listener.end()
            assert (lost.code, "another instance" in lost.reason) == ("lost", True)
        delivery = await reader.delivery()
        assert (delivery.topic, delivery.payload) == ("wx/bridge/state", b"offline")
    assert not [event for event in reader.events if getattr(event, "topic", "") == message().topic]


async def test_two_bridges_with_one_client_id_do_not_take_over_from_each_other_for_ever(mosquitto: Mosquitto):
    async with running_client(mosquitto.url) as first:
        await first.connection()
        async with running_client(mosquitto.url) as second:
            for listener in (second, first, second):
                await listener.connection()
            ends = [await listener.end() for listener in (first, second, first)]
            assert second.client.connection is not None
    assert [disconnected.code for disconnected in ends] == ["taken_over"] * 3
    assert [disconnected.standby for disconnected in ends] == [False, False, True]
    assert ends[-1].retry_in == 300
    assert "running twice" in ends[-1].reason
    assert "standing by" in ends[-1].reason


async def test_a_broker_that_falls_silent_is_seen_within_one_and_a_half_keepalives(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, keepalive=2) as listener:
        await listener.connection()
        start = time.monotonic()
        mosquitto.pause()
        answer = listener.publish(message())
        disconnected = await listener.end()
        took = time.monotonic() - start
        mosquitto.resume()
        assert isinstance(await answer, NotConnected)
        assert 2 <= took <= allowed(3.2)
        assert disconnected.reason == f"127.0.0.1:{mosquitto.port} does not answer any more"
        await listener.connection()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the option")
async def test_the_kernel_gives_up_on_a_broker_that_reads_nothing(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, keepalive=20) as listener:
        await listener.connection()
        assert listener.client._connection is not None
        raw = listener.client._connection._transport.socket._raw
        assert isinstance(raw, socket.socket)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_quiet_connection_is_kept_alive(mosquitto: Mosquitto):
    async with running_client(mosquitto.url, keepalive=1) as listener:
        await listener.connection()
        due = listener.client.progress_deadline
        seen = len(mosquitto.log)
        for _ in range(3):
            await mosquitto.logged("Sending PINGRESP to wx2mqtt-test", since=seen)
            seen = len(mosquitto.log)
            await asyncio.wait_for(
                wait_until(lambda before=due: listener.client.progress_deadline > before), MAX_WAIT_SECONDS
            )
            due = listener.client.progress_deadline
            assert due > time.monotonic()
    assert listener.client.connect_count == 1


async def wait_until(condition) -> None:
    """Waits until the condition holds; the caller sets the time limit."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)


async def test_the_client_is_connected_within_two_seconds_of_the_brokers_return(mosquitto: Mosquitto):
    async with running_client(mosquitto.url) as listener:
        await listener.connection()
        mosquitto.stop()
        for _ in range(5):
            assert (await listener.end()).retry_in <= 1.5
        mosquitto.start()
        start = time.monotonic()
        await listener.connection()
        assert time.monotonic() - start <= allowed(2)


async def test_while_the_broker_is_away_the_client_still_reports_progress_to_the_watchdog(
    mosquitto: Mosquitto,
):
    async with running_client(mosquitto.url) as listener:
        await listener.connection()
        mosquitto.stop()
        for _ in range(3):
            await listener.end()
            assert listener.client.progress_deadline > time.monotonic()


async def test_a_hundred_connections_leave_nothing_open(mosquitto: Mosquitto):
    process = psutil.Process()
    before = process.num_fds()
    for _ in range(100):
        async with running_client(mosquitto.url) as listener:
            await listener.connection()
    assert process.num_fds() <= before + 2


async def test_the_listener_can_store_a_new_session_before_its_first_delivery(mosquitto: Mosquitto):
    """A message must not be delivered before the listener knows that its session is a new one."""

    class SlowListener(RecordingListener):
        sessions_stored = asyncio.Event()

        async def on_session_start(self):
            await super().on_session_start()
            await self.sessions_stored.wait()

    listener = SlowListener()
    async with (
        running_client(mosquitto.url, client_id="phone", filters=()) as phone,
        running_client(mosquitto.url, listener=listener),
    ):
        await phone.connection()
        await mosquitto.logged("Sending CONNACK to wx2mqtt-test")
        await phone.published(message("wx/out/wife", b"too early"))
        listener.sessions_stored.set()
        await listener.connection()
        await phone.published(message("wx/out/wife", b"heard"))
        assert (await listener.delivery()).payload == b"heard"
        mosquitto.restart()
        assert (await listener.connection()).session_present is False
    assert listener.sessions == 2


async def test_a_listener_that_fails_to_store_a_new_session_does_not_prevent_the_connection(
    mosquitto: Mosquitto,
):
    class FailingListener(RecordingListener):
        async def on_session_start(self):
            raise OSError("no room on the disk")

    async with running_client(mosquitto.url, listener=FailingListener()) as listener:
        assert not (await listener.connection()).session_present
