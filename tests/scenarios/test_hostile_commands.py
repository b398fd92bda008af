"""Attacks by a client that may publish only `wx/out/#` and requests: the bridge goes on, in time and in memory.

The watcher of `_no_frozen_loop` fails each of these when the event loop of the bridge is blocked.
"""

from __future__ import annotations

import json

import psutil
import pytest

MEGABYTE = 1_000_000
MAX_GROWTH_BYTES = 150 * MEGABYTE
"""A payload of 36 MB is in memory three times: in the client, in the queue, and decoded."""


def resident_bytes(home) -> int:
    return int(psutil.Process(home.bridge.pid).memory_info().rss)


# Each worker keeps the parameters of all tests in memory, so a test builds its large input itself.
@pytest.mark.parametrize(
    "make_payload",
    [
        lambda: b'{"text": "x", "mention": [' + b"1e1," * (2 * MEGABYTE) + b'1], "id": "a"}',
        lambda: b'{"text": "x", "mention": [' + b'"",' * (2 * MEGABYTE) + b'""], "id": "a"}',
        lambda: b'{"text": ' + b"[" * (8 * MEGABYTE),
        lambda: b'{"text": "' + b",[" * (17 * MEGABYTE) + b'", "id": "a"}',
        lambda: b'{"text": "' + b"\\u4e00" * (5 * MEGABYTE) + b'", "id": "a"}',
        lambda: b'{"text": "x", "' + b"k" * (8 * MEGABYTE) + b'": 1, "id": "a"}',
        lambda: b"x" * (30 * MEGABYTE),
        lambda: b'{"text": "x", "ttl": 1' + b"0" * (8 * MEGABYTE) + b".5}",
    ],
    ids=["numbers", "strings", "levels", "commas", "escapes", "key", "bytes", "digits"],
)
async def test_a_large_hostile_command_is_refused_and_the_bridge_goes_on(home, make_payload):
    payload = make_payload()
    await home.log_in()
    before = resident_bytes(home)
    result = await home.send_command("wife", payload)
    assert (result["status"], result["code"] in ("bad_command", "too_long")) == ("rejected", True)
    assert len(json.dumps(result)) < 3000
    assert resident_bytes(home) - before < MAX_GROWTH_BYTES
    assert (await home.send_command("wife", {"text": "on", "id": "next"}))["status"] == "sent"


async def test_a_file_of_twelve_megabytes_for_nobody_is_refused(home):
    await home.log_in()
    payload = {"kind": "file", "data": "QUJD" * (4 * MEGABYTE), "id": "a"}
    assert (await home.send_command("nobody", payload))["code"] == "unknown_user"


async def test_a_file_of_twelve_megabytes_is_sent(home):
    await home.log_in()
    payload = {"kind": "file", "data": "QUJD" * (4 * MEGABYTE), "name": "a.bin", "id": "a"}
    assert (await home.send_command("wife", payload))["status"] == "sent"


async def test_refused_commands_do_not_fill_the_store(home):
    home.bridge.configure(home.settings(storage={"path": str(home.bridge.store), "max_size": "40MB"}))
    await home.log_in()
    for number in range(3):
        result = await home.send_command("wife", {"text": "x" * (15 * MEGABYTE), "id": str(number)})
        assert (result["status"], result["code"]) == ("rejected", "too_long")
    since = home.subscriber.count
    await home.control.say("wife", "still there")
    await home.body("wx/in/wife", text="still there", since=since)
    assert sum(file.stat().st_size for file in home.bridge.store.rglob("*") if file.is_file()) < 5 * MEGABYTE


async def test_a_large_transaction_and_key_are_not_echoed(home):
    await home.log_in()
    for name in ("contacts", "send", "recall"):
        answer = await home.send_request(name, {"transaction": "t" * 200_000})
        assert (answer["status"], answer["code"], len(json.dumps(answer)) < 2000) == (
            "error",
            "bad_request",
            True,
        )
        answer = await home.send_request(name, {"k" * 200_000: 1})
        assert (answer["status"], len(json.dumps(answer)) < 2000) == ("error", True)


@pytest.mark.parametrize("qos", [0, 1])
async def test_properties_without_end_neither_end_the_connection_nor_lose_the_command(home, qos):
    await home.log_in()
    since = home.subscriber.count
    result = await home.send_command(
        "wife", {"text": "x", "id": "a"}, qos=qos, UserProperty=[("a", "b")] * 1_001
    )
    assert result["status"] == "sent"
    assert (await home.send_command("wife", {"text": "on", "id": "next"}))["status"] == "sent"
    assert not [
        received for received in home.subscriber.received[since:] if received.topic == "wx/bridge/state"
    ]


async def test_refused_commands_with_large_properties_do_not_fill_the_store(home):
    home.bridge.configure(home.settings(storage={"path": str(home.bridge.store), "max_size": "40MB"}))
    await home.log_in()
    topics = [f"r/{'x' * 60_000}/{number}" for number in range(400)]
    for topic in topics:
        await home.publish("wx/out/nobody", b"x", ResponseTopic=topic, CorrelationData=bytes(60_000))
    await home.in_thread(home.subscriber.wait, topics[-1])
    # Without a bound these are 120 MB. Commands in flight and the log of the database come on top of the limit.
    assert sum(file.stat().st_size for file in home.bridge.store.rglob("*") if file.is_file()) < 50 * MEGABYTE
    since = home.subscriber.count
    await home.control.say("wife", "still there")
    await home.body("wx/in/wife", text="still there", since=since)
