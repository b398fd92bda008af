"""The embedded broker: it starts, is restarted, keeps what it acknowledged, and ends with the bridge."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.mqtt_client import message, running_client
from wx2mqtt.mqtt import embedded
from wx2mqtt.mqtt.embedded import EmbeddedBroker, PortInUse, find_mosquitto

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


def mosquitto_process() -> psutil.Process:
    """Returns the one mosquitto that this process has started."""
    (found,) = [
        process for process in psutil.Process().children(recursive=True) if process.name() == "mosquitto"
    ]
    return found


def contains(file: Path, data: bytes) -> bool:
    return file.exists() and data in file.read_bytes()


def damaged_copies(folder: Path) -> list[Path]:
    return list(folder.glob("broker.db.damaged-*"))


async def wait_until_written(file: Path, data: bytes) -> None:
    """Waits until the file contains the data; the caller sets the bound."""
    while not contains(file, data):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)


async def exchange(url: str, protocol: str) -> None:
    """Publishes a message and receives it, by this version of MQTT."""
    async with (
        running_client(url, client_id="reader", filters=("wx/in/#",)) as reader,
        running_client(url, client_id="writer") as writer,
    ):
        assert (await reader.connection()).protocol == protocol
        await writer.connection()
        assert await writer.published(message("wx/in/妻", "开灯".encode())) is None
        delivery = await reader.delivery()
        reader.client.acknowledge(delivery)
        assert delivery.payload.decode() == "开灯"


@needs_mosquitto
async def test_the_broker_is_mosquitto_where_it_is_installed(tmp_path: Path):
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        assert broker.implementation == "mosquitto"
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        await exchange(broker.url, "5")
    assert [
        process for process in psutil.Process().children(recursive=True) if process.name() == "mosquitto"
    ] == []


async def test_the_broker_is_amqtt_where_mosquitto_is_missing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(embedded, "find_mosquitto", lambda: None)
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        assert broker.implementation == "amqtt"
        await exchange(broker.url, "3.1.1")


async def test_the_broker_is_amqtt_where_mosquitto_does_not_start(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(embedded, "find_mosquitto", lambda: "/bin/false")
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        assert broker.implementation == "amqtt"


@needs_mosquitto
@pytest.mark.parametrize("name", ["with space", "微信"])
async def test_the_folder_may_have_any_name(tmp_path: Path, name):
    async with EmbeddedBroker(tmp_path / name, port=0) as broker, running_client(broker.url) as listener:
        await listener.connection()
        await listener.published(message("wx/login/state", retain=True))
    assert (tmp_path / name / "broker.db").stat().st_size > 0
    assert (tmp_path / name).stat().st_mode & 0o77 == 0


async def test_a_port_in_use_is_one_line_with_the_port_and_the_cure(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            await EmbeddedBroker(tmp_path, port=port).__aenter__()
    assert str(port) in str(caught.value)
    assert f"mqtt.url: mqtt://localhost:{port}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_broker_listens_on_loopback_only(tmp_path: Path):
    with pytest.raises(ValueError, match="loopback"):
        EmbeddedBroker(tmp_path, host="0.0.0.0")


@needs_mosquitto
async def test_a_killed_broker_comes_back_with_its_sessions_and_their_waiting_messages(tmp_path: Path):
    """mosquitto acknowledges some milliseconds before it writes; the test waits for the writing."""
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        async with running_client(broker.url) as listener:
            await listener.connection()
        async with running_client(broker.url, client_id="phone", filters=()) as phone:
            await phone.connection()
            for n in range(10):
                assert await phone.published(message("wx/out/wife", b"number %d" % n)) is None
            await asyncio.wait_for(wait_until_written(tmp_path / "broker.db", b"number 9"), MAX_WAIT_SECONDS)
            mosquitto_process().kill()
            await phone.end()
            await phone.connection()
        async with running_client(broker.url) as listener:
            assert (await listener.connection()).session_present
            assert [(await listener.delivery()).payload for _ in range(10)] == [
                b"number %d" % n for n in range(10)
            ]


@needs_mosquitto
async def test_more_messages_than_the_default_limit_of_mosquitto_wait_for_a_client_that_is_away(
    tmp_path: Path,
):
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        async with running_client(broker.url, client_id="reader", filters=("wx/in/#",)) as reader:
            await reader.connection()
        async with running_client(broker.url, client_id="writer", filters=()) as writer:
            window = (await writer.connection()).receive_maximum
            for first in range(0, 1500, window):
                answers = [writer.publish(message(payload=b"%d" % n)) for n in range(first, first + window)]
                assert not any(await asyncio.gather(*answers))
        async with running_client(broker.url, client_id="reader", filters=("wx/in/#",)) as reader:
            await reader.connection()
            for n in range(1500):
                delivery = await reader.delivery()
                assert delivery.payload == b"%d" % n
                reader.client.acknowledge(delivery)


@needs_mosquitto
async def test_a_damaged_database_is_set_aside_and_kept(tmp_path: Path):
    (tmp_path / "broker.db").write_bytes(b"damaged" * 100)
    async with EmbeddedBroker(tmp_path, port=0) as broker:
        assert broker.implementation == "mosquitto"
        await exchange(broker.url, "5")
    assert [contains(file, b"damaged" * 100) for file in damaged_copies(tmp_path)] == [True]


HOLDER_PROGRAM = """
import asyncio, sys
from pathlib import Path
import psutil
from wx2mqtt.mqtt.embedded import EmbeddedBroker

async def main():
    async with EmbeddedBroker(Path(sys.argv[1]), port=0):
        print([p.pid for p in psutil.Process().children() if p.name() == "mosquitto"][0], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_mosquitto
@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGTERM])
async def test_the_broker_ends_when_the_bridge_is_killed(tmp_path: Path, stop_signal):
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER_PROGRAM, str(tmp_path), stdout=PIPE
    )
    assert holder.stdout is not None
    line = b" "
    while line and not line.strip().isdigit():  # the log comes on the same pipe
        line = await asyncio.wait_for(holder.stdout.readline(), MAX_WAIT_SECONDS)
    assert line, "it ended before it had started a broker"
    broker = psutil.Process(int(line))
    holder.send_signal(stop_signal)
    await holder.wait()
    await asyncio.to_thread(psutil.wait_procs, [broker], 5)
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE


@needs_mosquitto
async def test_a_key_press_that_interrupts_the_bridge_does_not_reach_the_broker(tmp_path: Path):
    """The bridge has to publish 'offline' on it first."""
    async with EmbeddedBroker(tmp_path, port=0):
        assert os.getpgid(mosquitto_process().pid) != os.getpgid(0)


@needs_mosquitto
async def test_a_broker_that_hangs_does_not_delay_the_end_of_the_bridge(tmp_path: Path):
    async with EmbeddedBroker(tmp_path, port=0):
        hung = mosquitto_process()
        hung.suspend()
        start = time.monotonic()
    assert time.monotonic() - start < allowed(4)
    assert not hung.is_running()


@needs_mosquitto
async def test_a_broker_that_is_killed_repeatedly_comes_back_each_time(tmp_path: Path):
    async with EmbeddedBroker(tmp_path, port=0) as broker, running_client(broker.url) as listener:
        for _ in range(3):
            await listener.connection()
            mosquitto_process().kill()
            await listener.end()
        await listener.connection()
