"""Brokers that restart, forget, freeze, refuse and hang up while both ends go on."""

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

FORGETFUL = "max_queued_messages 0\n"
WINDOW = 100  # of the pump: so many may come again
RETAINED = {
    "wx/bridge/state", "wx/bridge/info", "wx/bridge/health", "wx/login/state", "wx/login/qr", "wx/contacts",
    "wx/last",
}  # fmt: skip


async def waits(home: CrashHome, since: int = 0, **wanted: Any) -> dict[str, Any]:
    """The first health with such a `broker`."""
    return await health(home, lambda body: wanted.items() <= body["broker"].items(), since)


async def health(home: CrashHome, fits: Callable[[dict[str, Any]], bool], since: int = 0) -> dict[str, Any]:
    """The first health that fits, at or after message number `since`."""
    received = await home.in_thread(
        home.subscriber.wait, "wx/bridge/health", lambda one: fits(one.body), since=since
    )
    return received.body


# a broker that keeps what it acknowledged


async def test_a_broker_that_keeps_everything_may_restart_at_any_moment(tmp_path: Path):
    async with at_crash_home(tmp_path, 1) as home:
        await home.start_bridge()
        async with home.traffic.running():
            for _ in range(4):
                seen = home.subscriber.count
                await home.in_thread(home.broker.restart)
                await home.in_thread(
                    home.subscriber.wait, "wx/bridge/state", lambda one: one.payload == b"online", since=seen
                )
        await home.stop_and_check()
        assert repeats(home.subscriber.received) <= 4 * WINDOW
        assert not home.subscriber.on("wx/event/session_lost")


async def test_a_broker_that_keeps_everything_may_be_killed(tmp_path: Path):
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
async def test_the_line_to_the_broker_breaks_at_any_byte(tmp_path: Path, seed: int):
    """What was under way both ways comes again, and is known again."""
    dice = random.Random(seed)
    async with (
        at_crash_home(tmp_path, seed) as home,
        cutting_proxy(home.broker.port, lambda: dice.randint(1500, 30_000)) as line,
    ):
        home.connect_to(line.url)
        await home.start_bridge()
        async with home.traffic.running(), asyncio.timeout(MAX_WAIT_SECONDS):
            while line.cuts < repetitions(4, 8):
                await home.in_thread(
                    home.subscriber.wait_until,
                    lambda received, seen=home.subscriber.count: len(received) > seen + 20,
                    1.0,
                )
        home.process.kill()
        home.connect_to(home.broker.url)
        await home.run_to_end()
        assert repeats(home.subscriber.received) <= (line.cuts + 1) * WINDOW
        assert not home.subscriber.on("wx/event/session_lost")


# a broker that forgets


@pytest.mark.in_folder
async def test_a_broker_that_forgets_everything_is_told_again_and_nothing_else_is_lost(tmp_path: Path):
    """What it acknowledged and forgot is lost to its readers, and nothing more; the rest comes in order."""
    async with at_crash_home(tmp_path, 3, FORGETFUL) as home:
        await home.start_bridge()
        async with home.traffic.running():
            for number in range(1, 4):
                await home.in_thread(
                    home.subscriber.wait_count, "wx/in/wife", len(home.subscriber.on("wx/in/wife")) + 5
                )
                seen = home.subscriber.count
                await home.in_thread(home.broker.forget)
                back = await waits(home, seen, connected=True, sessions_lost=number)
                assert back["queues"]["dropped"] == 0
                with Subscriber(home.broker.port, "wx/#") as newcomer:
                    await home.in_thread(
                        newcomer.wait_until, lambda received: {one.topic for one in received} >= RETAINED
                    )
                    there = {one.topic for one in newcomer.received if one.retain}
                    assert there >= RETAINED
        await settled(home)
        assert journal(home, "SELECT count(*) FROM publication WHERE topic = 'wx/event/session_lost'") == [
            (3,)
        ]
        lost = unheard(home)
        assert not [one for one in lost if one not in acknowledged(home)], (
            "never acknowledged, and not published"
        )
        assert not disorder(home)
        assert (await home.control.get("violations")) == []
        await home.traffic.command(0, "wife")
        newest = list(home.traffic.record.commands)[-1]
        await home.body("wx/result/wife", id=newest, status="sent")
        await home.process.stop()


async def settled(home: CrashHome) -> None:
    """Wait until all that was said was heard or acknowledged, and nothing waits for the broker any more.

    The answer to `health` is published last: with it the subscriber has all that was acknowledged before.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                known = acknowledged(home)
                answer = await home.send_request("health")
                if answer["data"]["queues"]["to_mqtt"]["depth"] == 0 and unheard(home) <= known:
                    return


def unheard(home: CrashHome) -> set[str]:
    said = {text for texts in home.traffic.record.written.values() for text in texts}
    return said - {one.body["text"] for one in home.subscriber.on("wx/in/#")}


def acknowledged(home: CrashHome) -> set[str]:
    """Texts of which the journal knows that the broker acknowledged them."""
    return {
        text for (text,) in journal(home, "SELECT text FROM publication WHERE seq NOT NULL AND state = 1")
    }


def journal(home: CrashHome, question: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as db:
        return db.execute(question).fetchall()


def disorder(home: CrashHome) -> list[str]:
    """What is wrong, but for what is lost."""
    lost = unheard(home)
    for texts in home.traffic.record.written.values():
        texts[:] = [text for text in texts if text not in lost]
    return [one for one in home.traffic.record.wrong_messages(home.subscriber.received) if "gaps" not in one]


# a broker that is away, or frozen


async def test_what_comes_while_the_broker_is_away_waits_and_is_seen_to_wait(tmp_path: Path):
    async with at_crash_home(tmp_path, 4) as home:
        await home.start_bridge()
        await home.in_thread(home.broker.stop)
        for _ in range(10):
            for chat in WRITERS:
                await home.traffic.say(chat, 10)
        await home.control.wait("polling")
        seen = home.subscriber.count
        await home.in_thread(home.broker.start)
        body = await health(home, lambda body: body["queues"]["to_mqtt"]["depth"] > 0, seen)
        assert body["queues"]["to_mqtt"]["oldest_age"] > 0
        assert body["broker"]["connected"]
        await home.stop_and_check()


async def test_a_broker_that_hangs_is_found_out_in_time(tmp_path: Path):
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


KEEPS = DURABLE.replace("max_queued_messages 0\n", "")  # with it, mosquitto hangs up after each refusal
ACL = "acl_file {folder}/acl\n"


def allow(home: CrashHome, *denied: str) -> None:
    """What the bridge may not publish to; everybody may read everything."""
    rights = ["topic readwrite #", *(f"topic deny {topic}" for topic in denied)]
    (home.broker.folder / "acl").write_text("\n".join(rights) + "\n")


async def interrupt(home: CrashHome) -> None:
    """Throw the bridge out: somebody else connects with its client id for a moment."""
    seen = home.subscriber.count
    with Subscriber(home.broker.port, "none", client_id="wx2mqtt-home", session_seconds=SESSION_SECONDS):
        pass
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda one: one.payload == b"online", since=seen
    )


async def test_a_chat_that_is_refused_waits_while_the_others_go_on(tmp_path: Path):
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "acl").write_text("topic readwrite #\n")
    async with at_crash_home(tmp_path, 6, KEEPS + ACL) as home:
        allow(home, "wx/in/wife", "wx/contacts")
        home.broker.reload()
        await home.start_bridge()
        async with home.traffic.running():
            body = await health(
                home, lambda body: {"wx/in/wife", "wx/contacts"} <= {*body["broker"]["refused_topics"]}
            )
            assert "broker_refuses_topics" in body["problems"]
            await home.in_thread(home.subscriber.wait_count, "wx/in/mom", 5)
            await asyncio.sleep(
                REFUSAL_DISCONNECT_SECONDS
            )  # what was refused just now is not asked for at the next connection
        assert not home.subscriber.on("wx/in/wife")
        allow(home)
        seen = home.subscriber.count
        home.broker.reload()
        await interrupt(home)  # a new connection tries at once
        await health(home, lambda body: not body["broker"]["refused_topics"], seen)
        await home.in_thread(home.subscriber.wait, "wx/contacts", since=seen)
        await home.stop_and_check()


async def test_a_second_program_with_our_client_id_makes_us_stand_by_and_say_so(tmp_path: Path):
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


async def test_a_message_that_is_too_large_comes_cut(tmp_path: Path):
    async with at_crash_home(tmp_path, 7, DURABLE + "max_packet_size 3000\n") as home:
        await home.start_bridge()
        long = "长" * 2000
        await home.control.post("say", **{"from": "wife", "text": long})
        await home.traffic.say("mom", 2)
        body = await home.body("wx/in/wife", truncated=True)
        assert long.startswith(body["text"].rstrip("…"))
        assert len(home.subscriber.on("wx/in/wife")[-1].payload) > 1000
        home.traffic.record.written["wife"] = [body["text"]]
        await home.stop_and_check()
