"""A publisher that floods a broker with the shipped settings does not keep the commands of others waiting."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.broker import wait_until_saved
from tests.support.home import Home, at_home
from wx2mqtt.mqtt.embedded import CONFIG_TEMPLATE

SHIPPED_CONFIG = (Path(__file__).parents[2] / "deploy" / "mosquitto" / "wx2mqtt.conf").read_text()

OPTIONS_OF_THE_TEST = ("listener", "allow_anonymous", "password_file", "acl_file", "persistence_", "log_")
"""Options that the test's own broker has already, or that make no difference here."""

COMMANDS = 600
COMMAND_BYTES = 15_000

MAX_WRITTEN_PER_BYTE = 10
"""Bytes that mosquitto may write to files for each byte that is published. Measured: less than 1, and 110 with
`autosave_on_changes true`.
"""


def storage_settings(text: str) -> str:
    """Returns the settings that say what mosquitto stores and when it writes it."""
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", *OPTIONS_OF_THE_TEST))]
    return "\n".join([*lines, "persistence_location {folder}/", ""])


def written_by(pid: int) -> int:
    """Returns the number of bytes that a process has written so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


async def flood(home: Home) -> None:
    """Publishes refused commands as fast as it goes, and then one that is carried out; waits for its result."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(2 * COMMANDS)
    client.connect("127.0.0.1", home.broker.port)
    client.loop_start()
    try:
        refused = json.dumps({"text": "x" * COMMAND_BYTES, "no_such_key": 1})
        since = home.subscriber.count
        for _ in range(COMMANDS):
            client.publish("wx/out/wife", refused, 1)
        client.publish("wx/out/wife", json.dumps({"text": "alarm", "id": "alarm"}), 1)
        result = await home.body("wx/result/wife", since=since, id="alarm")
        assert result["status"] == "sent"
    finally:
        client.loop_stop()


@pytest.mark.parametrize("settings", [SHIPPED_CONFIG, CONFIG_TEMPLATE], ids=["deploy", "embedded"])
async def test_what_the_broker_writes_is_in_proportion_to_what_is_published(
    with_mosquitto: None, tmp_path: Path, settings: str
):
    async with at_home(tmp_path, storage_settings(settings)) as home:
        await home.log_in()
        before = written_by(home.broker.pid)
        await flood(home)
        written = written_by(home.broker.pid) - before
    assert written < MAX_WRITTEN_PER_BYTE * COMMANDS * COMMAND_BYTES


async def test_a_command_with_an_id_that_a_forgetful_broker_delivers_again_is_not_sent_again(
    with_mosquitto: None, tmp_path: Path
):
    """The broker is killed before it has saved that the bridge took the waiting command."""
    async with at_home(tmp_path, storage_settings(SHIPPED_CONFIG)) as home:
        await home.log_in()
        await home.in_thread(home.bridge.stop)
        await home.publish("wx/out/wife", {"text": "once", "id": "once"})
        database = home.broker.folder / "mosquitto.db"
        await asyncio.to_thread(wait_until_saved, database, b'"once"')
        saved_database = database.read_bytes()
        await home.restart()
        await home.control.sent(1)
        home.broker.kill()
        database.write_bytes(saved_database)
        lines, since = len(home.broker.log), home.subscriber.count
        home.broker.start()
        await home.body("wx/bridge/info", since=since)  # bridge and subscriber are connected again
        log_line = await home.broker.logged("'wx/out/wife'", since=lines)
        assert log_line.startswith("Sending PUBLISH to wx2mqtt-home")
        await home.send_command("wife", "later")
        assert [message["text"] for message in await home.control.sent(2)] == ["once", "later"]
