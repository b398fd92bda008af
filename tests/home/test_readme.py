"""The ten minutes of `deploy/home-assistant/README.md`, as a reader would spend them, on the running demo."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.home.conftest import BLUEPRINTS, PYTHON
from tests.home.home_assistant import HomeAssistantProcess
from tests.support.broker import free_port, mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy/home-assistant/README.md").read_text(encoding="utf-8")


@contextmanager
def run_demo(*options: str) -> Iterator[str]:
    """Runs `make demo`; yields the URL of the phone."""
    phone = free_port()
    command = [sys.executable, "-m", "wx2mqtt", "demo", "--web-port", "0"]
    ports = ["--simulator-port", str(phone)]
    with subprocess.Popen([*command, *ports, *options], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            next(line for line in running.stdout if "Stop with" in line)
            yield f"http://127.0.0.1:{phone}"
        finally:
            running.terminate()


@pytest.fixture
def demo() -> Iterator[tuple[str, int]]:
    """Runs `make demo` where Home Assistant has no MQTT; yields the URL of the phone and the port of the broker."""
    broker = free_port()
    with run_demo("--mqtt-port", str(broker)) as phone:
        yield phone, broker


def commands_of(name: str) -> list[str]:
    """Returns the `mosquitto_pub` lines of a block of the README; the last one of `water` makes it wet."""
    block = re.search(rf"<!-- {name}.*?-->(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert block is not None
    return re.findall(r"mosquitto_pub .*", block[1])


def publish(line: str, broker: int) -> None:
    """Runs a `mosquitto_pub` of the README with the port of the demo."""
    program, *rest = shlex.split(line)
    subprocess.run([program, "-p", str(broker), *rest], cwd=ROOT, check=True, timeout=MAX_WAIT_SECONDS)


def test_from_the_demo_to_a_picture_of_the_doorbell_in_wechat(tmp_path: Path, demo: tuple[str, int]) -> None:
    phone, broker = demo
    with (
        HomeAssistantProcess(PYTHON, tmp_path / "house", port=free_port()) as home_assistant,
        httpx.Client(base_url=phone, trust_env=False, timeout=MAX_WAIT_SECONDS) as http,
    ):
        added = home_assistant.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": broker})
        assert added["type"] == "create_entry"
        home_assistant.until("states('sensor.wechat_home_login_state') == 'waiting_for_scan'")
        home_assistant.until("states('image.wechat_home_login_qr') not in ('unknown', 'unavailable')")
        assert home_assistant.do("picture", entity="image.wechat_home_login_qr")["type"] == "image/png"
        for step in ("scan", "confirm"):
            assert http.post(f"/sim/ilink/{step}", json={}).status_code == 200
        home_assistant.until("states('sensor.wechat_home_login_state') == 'online'")
        home_assistant.until("expand('notify.wechat_home_me') | count == 1")
        assert http.post("/sim/ilink/say", json={"from": "me", "text": "hello"}).status_code == 200
        home_assistant.until("state_attr('event.wechat_home_message', 'text') == 'hello'")
        shutil.copytree(BLUEPRINTS, home_assistant.folder / "blueprints/automation/wx2mqtt")
        for line in commands_of("doorbell"):
            publish(line, broker)
        home_assistant.until("expand('event.demo_bell', 'camera.demo_door') | count == 2")
        chosen: dict[str, Any] = {
            "doorbell": "event.demo_bell",
            "camera": "camera.demo_door",
            "house": home_assistant.url,
        }
        use = {"path": "wx2mqtt/doorbell.yaml", "input": chosen}
        home_assistant.do("automations", automations=[{"id": "door", "alias": "door", "use_blueprint": use}])
        home_assistant.until("states('automation.door') == 'on'")
        ring = re.search(r"`(mosquitto_pub -t home/demo/bell .*?)`", README)
        assert ring is not None
        lines: list[dict[str, Any]] = []
        while len(lines) < 2:
            if not lines:  # the first ring may come before Home Assistant has subscribed
                publish(ring[1], broker)
            lines += http.get("/sim/ilink/sent", params={"after": len(lines), "wait": 2}).json()
        assert [(message["person"], message["kind"]) for message in lines] == [
            ("me", "text"),
            ("me", "image"),
        ]
        seen = http.get(f"/sim/ilink/media/{lines[1]['msg_id']}").content
        assert seen == (ROOT / "deploy/home-assistant/door.jpg").read_bytes()
        for line in commands_of("water"):
            publish(line, broker)
        home_assistant.until("states('binary_sensor.demo_water') == 'on'")
        for line in commands_of("clean"):
            publish(line, broker)
        home_assistant.until(
            "expand('event.demo_bell', 'camera.demo_door', 'binary_sensor.demo_water') | count == 0"
        )


def test_the_demo_uses_the_broker_of_a_home_assistant_that_has_mqtt(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "mosquitto") as broker,
        HomeAssistantProcess(PYTHON, tmp_path / "house", port=free_port()) as home_assistant,
    ):
        demo_mqtt = {"broker": "127.0.0.1", "port": broker.port}
        assert home_assistant.do("flow", domain="mqtt", input=demo_mqtt)["type"] == "create_entry"
        second = home_assistant.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": 1883})
        assert second == {"type": "abort", "errors": "single_instance_allowed"}
        asked = re.search(r"make demo ARGS=\"(--broker \S+)\"", README)
        assert asked is not None
        option, address = asked[1].split()
        assert address == "mqtt://name:password@192.168.1.10:1883"
        with run_demo(option, broker.url):
            home_assistant.until("states('sensor.wechat_home_login_state') == 'waiting_for_scan'")
            home_assistant.until("states('image.wechat_home_login_qr') not in ('unknown', 'unavailable')")
            assert home_assistant.do("picture", entity="image.wechat_home_login_qr")["type"] == "image/png"
        home_assistant.until(
            "expand('sensor.wechat_home_login_state', 'event.wechat_home_result') | count == 0"
        )
        # Home Assistant says this of the announcement that it clears itself, once more, while it removes a device.
        complaints = [
            line
            for line in home_assistant.log_lines("homeassistant")
            if "No device components to cleanup" not in line
        ]
        assert complaints == []
