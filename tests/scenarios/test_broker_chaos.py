"""Brokers that restart, forget, freeze, refuse and disconnect while both ends go on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.crash_home import KEEPALIVE, SESSION_SECONDS, CrashHome, at_crash_home
from tests.support.broker import DURABLE, PROGRAM
from tests.support.cutting_proxy import cutting_proxy
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.repetitions import repetitions
from tests.support.seed import seeded
from tests.support.subscriber import Subscriber
from tests.support.traffic import WRITERS, wait_until_delivered
from tests.support.traffic_record import repeats
from wx2mqtt.app.control_socket import ask_bridge
from wx2mqtt.bridge.inflight import REFUSAL_DISCONNECT_SECONDS

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)

WITHOUT_PERSISTENCE = "max_queued_messages 0\n"
MAX_IN_FLIGHT = 100  # messages that the bridge publishes at once, and that may come again
RETAINED = {
    "wx/bridge/state", "wx/bridge/info", "wx/bridge/health", "wx/login/state", "wx/login/qr", "wx/contacts",
    "wx/last",
}  # fmt: skip


async def wait_for_broker_health(home: CrashHome, since: int = 0, **wanted: Any) -> dict[str, Any]:
    """Waits for the first health message whose `broker` has these values."""
    return await wait_for_health(home, lambda body: wanted.items() <= body["broker"].items(), since)


async def wait_for_health(
    home: CrashHome, is_wanted: Callable[[dict[str, Any]], bool], since: int = 0
) -> dict[str, Any]:
    """Waits for the first health message that fits, at or after message number `since`."""
    received = await home.in_thread(
        home.subscriber.wait, "wx/bridge/health", lambda message: is_wanted(message.body), since=since
    )
    return received.body


# a broker that keeps what it acknowledged


async def test_a_broker_with_persistence_may_restart_at_any_moment(tmp_path: Path):
    async with at_crash_home(tmp_path, 1) as home:
        await home.start_bridge()
        async with home.traffic.running():
            for _ in range(4):
                since = home.subscriber.count
                await home.in_thread(home.broker.restart)
                await home.in_thread(
                    home.subscriber.wait,
                    "wx/bridge/state",
                    lambda message: message.payload == b"online",
                    since=since,
                )
        await home.stop_and_check()
        assert repeats(home.subscriber.received) <= 4 * MAX_IN_FLIGHT
        assert not home.subscriber.on("wx/event/session_lost")


async def test_a_broker_with_persistence_may_be_killed(tmp_path: Path):
    async with at_crash_home(tmp_path, 2) as home:
        await home.start_bridge()
        for _ in range(3):
            for chat in WRITERS:
                await home.traffic.say(chat, 3)
            for publisher in range(3):
                await home.traffic.command(publisher, "wife")
            assert not await wait_until_delivered(home.traffic.record, home.subscriber, home.control)
            await home.in_thread(home.broker.kill)
            for chat in WRITERS:
                await home.traffic.say(chat, 3)
            await home.in_thread(home.broker.start)
        await home.stop_and_check()
        assert not home.subscriber.on("wx/event/session_lost")


@seeded
async def test_no_message_is_lost_when_the_connection_to_the_broker_breaks_at_any_byte(
    tmp_path: Path, seed: int
):
    """Messages that were in flight come again, and the bridge recognizes them."""
    generator = random.Random(seed)
    async with (
        at_crash_home(tmp_path, seed) as home,
        cutting_proxy(home.broker.port, lambda: generator.randint(1500, 30_000)) as connection,
    ):
        home.connect_to(connection.url)
        await home.start_bridge()
        async with home.traffic.running(), asyncio.timeout(MAX_WAIT_SECONDS):
            while connection.cuts < repetitions(4, 8):
                await home.in_thread(
                    home.subscriber.wait_until,
                    lambda received, seen=home.subscriber.count: len(received) > seen + 20,
                    1.0,
                )
        home.process.kill()
        home.connect_to(home.broker.url)
        await home.run_to_end()
        assert repeats(home.subscriber.received) <= (connection.cuts + 1) * MAX_IN_FLIGHT
        assert not home.subscriber.on("wx/event/session_lost")


# a broker that forgets


@pytest.mark.in_folder
async def test_a_broker_that_forgets_everything_gets_the_retained_messages_again_and_nothing_else_is_lost(
    tmp_path: Path,
):
    """Only the messages that it acknowledged and forgot are lost; the others come in order."""
    async with at_crash_home(tmp_path, 3, WITHOUT_PERSISTENCE) as home:
        await home.start_bridge()
        async with home.traffic.running():
            for number in range(1, 4):
                await home.in_thread(
                    home.subscriber.wait_count, "wx/in/wife", len(home.subscriber.on("wx/in/wife")) + 5
                )
                since = home.subscriber.count
                await home.in_thread(home.broker.forget)
                body = await wait_for_broker_health(home, since, connected=True, sessions_lost=number)
                assert body["queues"]["dropped"] == 0
                with Subscriber(home.broker.port, "wx/#") as newcomer:
                    await home.in_thread(
                        newcomer.wait_until,
                        lambda received: {message.topic for message in received} >= RETAINED,
                    )
                    retained = {message.topic for message in newcomer.received if message.retain}
                    assert retained >= RETAINED
        await wait_until_nothing_waits(home)
        assert query_journal(
            home, "SELECT count(*) FROM publication WHERE topic = 'wx/event/session_lost'"
        ) == [(3,)]
        lost = not_received(home)
        assert not [text for text in lost if text not in acknowledged(home)], (
            "never acknowledged, and not published"
        )
        assert not faults_besides_losses(home)
        assert (await home.control.get("violations")) == []
        await home.traffic.command(0, "wife")
        newest = list(home.traffic.record.commands)[-1]
        await home.body("wx/result/wife", id=newest, status="sent")
        await home.process.stop()


async def wait_until_nothing_waits(home: CrashHome) -> None:
    """Waits until every text was received or acknowledged, and nothing waits for the broker any more.

    The answer to `health` is published last: with it the subscriber has all that was acknowledged before.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                acknowledged_texts = acknowledged(home)
                answer = await home.send_request("health")
                if (
                    answer["data"]["queues"]["to_mqtt"]["depth"] == 0
                    and not_received(home) <= acknowledged_texts
                ):
                    return


def not_received(home: CrashHome) -> set[str]:
    """Returns the texts that people wrote and the subscriber has not received."""
    written = {text for texts in home.traffic.record.written.values() for text in texts}
    return written - {message.body["text"] for message in home.subscriber.on("wx/in/#")}


def acknowledged(home: CrashHome) -> set[str]:
    """Returns the texts that the broker has acknowledged, as the journal knows."""
    return {
        text
        for (text,) in query_journal(home, "SELECT text FROM publication WHERE seq NOT NULL AND state = 1")
    }


def query_journal(home: CrashHome, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as database:
        return database.execute(query).fetchall()


def faults_besides_losses(home: CrashHome) -> list[str]:
    """Returns what is wrong with the received messages, apart from the lost ones."""
    lost = not_received(home)
    for texts in home.traffic.record.written.values():
        texts[:] = [text for text in texts if text not in lost]
    return [
        fault for fault in home.traffic.record.wrong_messages(home.subscriber.received) if "gaps" not in fault
    ]


# a broker that is away, or frozen


async def test_messages_that_come_while_the_broker_is_away_wait_and_health_counts_them(tmp_path: Path):
    async with at_crash_home(tmp_path, 4) as home:
        await home.start_bridge()
        await home.in_thread(home.broker.stop)
        for _ in range(10):
            for chat in WRITERS:
                await home.traffic.say(chat, 10)
        await home.control.wait("polling")
        since = home.subscriber.count
        await home.in_thread(home.broker.start)
        body = await wait_for_health(home, lambda body: body["queues"]["to_mqtt"]["depth"] > 0, since)
        assert body["queues"]["to_mqtt"]["oldest_age"] > 0
        assert body["broker"]["connected"]
        await home.stop_and_check()


async def test_a_broker_that_hangs_is_noticed_in_time(tmp_path: Path):
    async with at_crash_home(tmp_path, 5) as home:
        await home.start_bridge()
        assert not await wait_until_delivered(home.traffic.record, home.subscriber, home.control)
        home.broker.pause()
        began = time.monotonic()
        await home.traffic.say("wife", 3)
        await home.in_thread(
            home.process.wait_for_log, "does not answer any more", timeout=allowed(1.5 * KEEPALIVE + 1)
        )
        assert time.monotonic() - began < allowed(1.5 * KEEPALIVE + 1)
        await home.traffic.say("mom", 3)
        home.broker.resume()
        await home.stop_and_check()


# a broker that refuses


# With that option mosquitto disconnects after each refusal.
PERSISTENT = DURABLE.replace("max_queued_messages 0\n", "")
ACL = "acl_file {folder}/acl\n"


def deny(home: CrashHome, *denied: str) -> None:
    """Denies these topics to the bridge's publications; everybody may read everything."""
    rights = ["topic readwrite #", *(f"topic deny {topic}" for topic in denied)]
    (home.broker.folder / "acl").write_text("\n".join(rights) + "\n")


async def take_over_connection(home: CrashHome) -> None:
    """Disconnects the bridge: another client connects with its client id for a moment."""
    since = home.subscriber.count
    with Subscriber(home.broker.port, "none", client_id="wx2mqtt-home", session_seconds=SESSION_SECONDS):
        pass
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"online", since=since
    )


async def test_a_chat_that_is_refused_waits_while_the_others_go_on(tmp_path: Path):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "acl").write_text("topic readwrite #\n")
    async with at_crash_home(tmp_path, 6, PERSISTENT + ACL) as home:
        deny(home, "wx/in/wife", "wx/contacts")
        home.broker.reload()
        await home.start_bridge()
        async with home.traffic.running():
            body = await wait_for_health(
                home, lambda body: {"wx/in/wife", "wx/contacts"} <= {*body["broker"]["refused_topics"]}
            )
            assert "broker_refuses_topics" in body["problems"]
            await home.in_thread(home.subscriber.wait_count, "wx/in/mom", 5)
            # A topic that was refused just now is not tried at the next connection.
            await asyncio.sleep(REFUSAL_DISCONNECT_SECONDS)
        assert not home.subscriber.on("wx/in/wife")
        deny(home)
        since = home.subscriber.count
        home.broker.reload()
        await take_over_connection(home)  # a new connection tries at once
        await wait_for_health(home, lambda body: not body["broker"]["refused_topics"], since)
        await home.in_thread(home.subscriber.wait, "wx/contacts", since=since)
        await home.stop_and_check()


async def test_the_bridge_stands_by_and_reports_it_while_a_second_program_uses_its_client_id(tmp_path: Path):
    async with at_crash_home(tmp_path, 8) as home:
        await home.start_bridge()
        with Subscriber(
            home.broker.port, "none", client_id="wx2mqtt-home", session_seconds=SESSION_SECONDS
        ):  # comes back after a second
            await home.in_thread(home.process.wait_for_log, "standing by")
            body: Any = await ask_bridge(home.bridge.store, "health")
        assert body["broker"]["standby"] is True
        assert "is the bridge running twice?" in body["broker"]["reason"]
        assert {"standby", "broker_away"} <= {*body["problems"]}
        await home.process.stop()


async def test_a_message_that_is_too_large_is_truncated(tmp_path: Path):
    async with at_crash_home(tmp_path, 7, DURABLE + "max_packet_size 3000\n") as home:
        await home.start_bridge()
        text = "长" * 2000
        await home.control.post("say", **{"from": "wife", "text": text})
        await home.traffic.say("mom", 2)
        body = await home.body("wx/in/wife", truncated=True)
        assert text.startswith(body["text"].rstrip("…"))
        assert len(home.subscriber.on("wx/in/wife")[-1].payload) > 1000
        home.traffic.record.written["wife"] = [body["text"]]
        await home.stop_and_check()
