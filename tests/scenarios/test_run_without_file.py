"""`wx2mqtt run` without a configuration file: which backend it begins with, and which it goes on with."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.broker import Mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.screen import Screen
from tests.support.subscriber import Subscriber
from tests.support.terminal import REAL, Terminal
from wx2mqtt.simulator.server import Simulator

STATE = "wx/login/state"
# The path under which the simulated phone scans the code of each backend.
PHONE_PATHS = {"webwx": "/sim", "ilink": "/sim/ilink"}


@pytest_asyncio.fixture
async def simulator_url() -> AsyncIterator[str]:
    async with Simulator(port=0) as simulator:
        yield simulator.url


@pytest.fixture
def terminal(tmp_path: Path, mosquitto: Mosquitto, simulator_url: str) -> Terminal:
    """Returns a terminal in an empty folder: only the environment says where broker and WeChat are."""
    terminal = Terminal(tmp_path)
    terminal.env |= {
        "WX2MQTT_MQTT__URL": f"mqtt://127.0.0.1:{mosquitto.port}",
        "WX2MQTT_ACCOUNTS__HOME__ENDPOINT": simulator_url,
        "WX2MQTT_STORAGE__PATH": str(tmp_path / "store"),
    }
    return terminal


def log_in(terminal: Terminal, simulator_url: str, port: int, backend: str) -> None:
    """Runs the bridge until the account is online, by a scan with the phone of this backend."""
    with Subscriber(port, "wx/#") as subscriber, terminal.running("run") as bridge:
        is_ilink = backend == "ilink"
        bridge.until("remind, renew and fallback are off" if is_ilink else "fallback is off")
        subscriber.wait(STATE, lambda received: received.body["state"] == "waiting_for_scan")
        for step in ("scan", "confirm"):
            answer = httpx.post(
                f"{simulator_url}{PHONE_PATHS[backend]}/{step}",
                json={},
                trust_env=False,
                timeout=MAX_WAIT_SECONDS,
            )
            answer.raise_for_status()
        subscriber.wait(STATE, lambda received: received.body["state"] == "online")
        assert bridge.end(signal.SIGTERM) == 0


def assert_online_without_scan(terminal: Terminal, port: int) -> None:
    """Runs the bridge, and checks that it is online without a scan."""
    with Subscriber(port, "wx/#") as subscriber, terminal.running("run") as bridge:
        since = subscriber.count
        first = subscriber.wait(
            STATE, lambda received: received.body["state"] in {"online", "waiting_for_scan"}, since=since
        )
        assert first.body["state"] == "online"
        bridge.end(signal.SIGTERM)


async def test_a_first_run_begins_with_ilink_and_the_next_goes_on_with_it(
    terminal: Terminal, simulator_url: str, mosquitto: Mosquitto
):
    await asyncio.to_thread(log_in, terminal, simulator_url, mosquitto.port, "ilink")
    await asyncio.to_thread(assert_online_without_scan, terminal, mosquitto.port)


async def test_a_terminal_says_in_its_language_that_no_option_for_alarms_is_on(terminal: Terminal):
    terminal.env["WX2MQTT_LANGUAGE"] = "zh"
    command = ["env", "-C", str(terminal.folder), *REAL, "run"]
    with Screen(command, {**terminal.env, "LANG": "C.UTF-8"}) as screen:
        await asyncio.to_thread(screen.until, "remind、renew 和 fallback 都未开启")


async def test_a_store_with_a_login_of_web_wechat_goes_on_with_web_wechat(
    terminal: Terminal, simulator_url: str, mosquitto: Mosquitto
):
    terminal.env["WX2MQTT_ACCOUNTS__HOME__BACKEND"] = "webwx"
    await asyncio.to_thread(log_in, terminal, simulator_url, mosquitto.port, "webwx")
    del terminal.env["WX2MQTT_ACCOUNTS__HOME__BACKEND"]
    await asyncio.to_thread(assert_online_without_scan, terminal, mosquitto.port)
