"""RabbitMQ of deploy/postgresql without docker: one node with these files, and the rights of each of its users."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.broker import free_port
from tests.support.broker_user import BrokerUser
from tests.support.deadlines import MAX_WAIT_SECONDS

pytestmark = pytest.mark.rabbitmq

FOLDER = Path(__file__).parents[2] / "deploy" / "postgresql"
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
"""Those of Debian in /usr/sbin change the user and the folders; these take them from the environment."""
NAME = "wx2mqtt-deployment@localhost"
FAILURE = 128
"""The smallest code of a failure. RabbitMQ answers a SUBSCRIBE that it refuses, and hangs up on a PUBLISH."""
POLL_SECONDS = 0.05
MORE_DELIVERIES_THAN_THE_DEFAULT = 25


class RabbitMq:
    """Runs `broker.sh` as its container does, with folders and ports of this machine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.secrets = folder / "postgresql" / "secrets"
        self._folder = folder
        source = shutil.copytree(
            FOLDER, folder / "postgresql", ignore=shutil.ignore_patterns("secrets", "*.md")
        )
        subprocess.run(["sh", str(source / "prepare.sh")], check=True, capture_output=True)
        replacements = {
            "/etc/wx2mqtt/": f"{source}/",
            "/run/secrets/": f"{self.secrets}/",
            "/run/rabbitmq/": f"{folder}/",
            "= 1883": f"= 127.0.0.1:{self.port}",
            "rabbit@rabbitmq-1": NAME,
        }
        for path in (source / "broker.sh", source / "rabbitmq.conf"):
            text = path.read_text()
            for container_text, replacement in replacements.items():
                text = text.replace(container_text, replacement)
            lines = [line for line in text.splitlines() if "rabbit@rabbitmq-" not in line]
            path.write_text("\n".join([*lines, ""]))
        (source / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")  # the other one has a port of its own
        self._environment = {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": NAME,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(source / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(source / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
            "NOTIFY_SOCKET": str(folder / "notify"),  # so that the script becomes the node, and has its id
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> RabbitMq:
        mapper = ["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"]
        script = ["sh", str(self._folder / "postgresql" / "broker.sh")]
        for command in (mapper, script):
            with (self._folder / "output").open("ab") as output:
                process = subprocess.Popen(
                    ["setpriv", "--pdeathsig=KILL", *command],
                    cwd=self._folder,
                    env=self._environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            self._processes.append(process)
        deadline = time.monotonic() + 2 * MAX_WAIT_SECONDS
        while b"Server startup complete" not in (text := (self._folder / "output").read_bytes()):
            assert self._processes[-1].poll() is None, text.decode()[-2000:]
            assert time.monotonic() < deadline, text.decode()[-2000:]
            time.sleep(POLL_SECONDS)
        return self

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait(MAX_WAIT_SECONDS)

    def connect_as(self, user: str, *, client_id: str = "", keeps_session: bool = False) -> BrokerUser:
        return BrokerUser(
            self.port, user, self.secret(user), client_id=client_id, keeps_session=keeps_session
        )

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def queues(self) -> list[dict[str, str]]:
        command = [str(PROGRAMS / "rabbitmqctl"), "-q", "--formatter", "json", "list_queues"]
        done = subprocess.run(
            [*command, "name", "type", "policy"], env=self._environment, capture_output=True, check=True
        )
        found: list[dict[str, str]] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[RabbitMq]:
    if not PROGRAMS.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("apt-get install rabbitmq-server")
    started = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.mark.parametrize(("user", "password"), [("", ""), ("guest", "guest"), ("bridge", "wrong")])
def test_nobody_connects_without_a_password_of_the_secrets(broker, user, password):
    with BrokerUser(broker.port, user, password) as client:
        assert client.refusal


ALLOWED = {
    "bridge": {
        "writes": ["wx/in/wife", "wx/office/login/qr", "wx/bridge/state", "homeassistant/device/a/config", "reply/a"],
        "reads": ["wx/out/#", "wx/bridge/request/+", "wx/office/out/#", "homeassistant/status"],
    },
    "automation": {
        "writes": ["wx/out/wife", "wx/office/out/wife/image", "wx/bridge/request/send", "home/light", "reply/automation/a"],
        "reads": ["wx/in/+", "wx/+/in/#", "wx/office/login/qr", "wx/bridge/state", "wx/+/bridge/response/+", "home/#"],
    },
    "reader": {
        "writes": [],
        "reads": ["wx/in/#", "wx/office/event/+", "wx/login/state", "wx/contacts", "wx/office/bridge/health"],
    },
}  # fmt: skip
REFUSED = {
    "bridge": {"writes": ["home/light", "other"], "reads": ["home/#", "#"]},
    "automation": {
        "writes": [
            "wx/in/wife",
            "wx/bridge/request/reload",
            "wx/login/state",
            "wx/in/out/wife",
            "wx/bridge/state",
        ],
        "reads": ["wx/out/#", "wx/#", "#", "wx/bridge/request/+"],
    },
    "reader": {
        "writes": ["wx/out/wife", "home/light", "wx/bridge/request/send"],
        "reads": ["wx/login/qr", "wx/login/+", "wx/#", "#", "wx/out/#", "wx/result/+", "wx/+/in/#"],
    },
}


@pytest.mark.parametrize("user", ALLOWED)
def test_each_user_has_its_rights(broker, user):
    for topic in ALLOWED[user]["writes"]:
        with broker.connect_as(user) as client:
            assert client.publish(topic) < FAILURE, topic
    for topic_filter in ALLOWED[user]["reads"]:
        with broker.connect_as(user) as client:
            assert client.subscribe(topic_filter) < FAILURE, topic_filter


@pytest.mark.parametrize("user", REFUSED)
def test_no_user_has_further_rights(broker, user):
    for topic in REFUSED[user]["writes"]:
        with broker.connect_as(user) as client:
            assert client.publish(topic) >= FAILURE, topic
    for topic_filter in REFUSED[user]["reads"]:
        with broker.connect_as(user) as client:
            assert client.subscribe(topic_filter) >= FAILURE, topic_filter


def test_the_doctor_finds_every_right_of_the_bridge(broker, tmp_path):
    (file := tmp_path / "wx2mqtt.yaml").write_text(
        yaml.safe_dump(
            {
                "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "username": "bridge"},
                "accounts": {"home": {"backend": "ilink", "endpoint": "http://127.0.0.1:9"}},
                "homeassistant": {"enabled": True},
                "storage": {"path": str(tmp_path / "store")},
            }
        )
    )
    command = [sys.executable, "-m", "wx2mqtt", "check", "--connect", "--json", "-c", str(file)]
    environment = {**os.environ, "WX2MQTT_MQTT__PASSWORD": broker.secret("bridge")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    (group,) = [rows for rows in json.loads(done.stdout).values() if isinstance(rows, list)]
    rights = [row for row in group if row["check"] in {"publish", "receive", "session"}]
    assert len(rights) > 10
    # The topic of discovery cannot be tried without overwriting it; `ALLOWED` has it.
    assert [row["subject"] for row in rights if row["verdict"] != "ok"] == [
        "homeassistant/device/wx2mqtt_home/config"
    ]


def test_a_session_is_a_quorum_queue_that_never_drops_a_message(broker):
    """By default RabbitMQ 4 drops a message without a word when it has been delivered 21 times."""
    with broker.connect_as("bridge", client_id="settled", keeps_session=True) as client:
        client.subscribe("wx/out/#")
    assert {
        "name": "mqtt-subscription-settledqos1",
        "type": "quorum",
        "policy": "sessions",
    } in broker.queues()
    with broker.connect_as("automation") as client:
        client.publish("wx/out/me", "alarm")
    for _ in range(MORE_DELIVERIES_THAN_THE_DEFAULT):
        assert b"alarm" in read_delivery_without_acknowledging(broker, "settled")
    with broker.connect_as("bridge", client_id="settled", keeps_session=True) as client:
        assert client.session_present
        client.wait("wx/out/me", b"alarm")


def read_delivery_without_acknowledging(broker: RabbitMq, client_id: str) -> bytes:
    """Connects, waits for the delivery that the session holds, and closes without acknowledging it."""

    def encoded_text(value: str) -> bytes:
        return len(value).to_bytes(2) + value.encode()

    flags, keepalive = b"\xc0", b"\0\x3c"  # user name and password, a session that stays
    body = (
        encoded_text("MQTT")
        + b"\x04"
        + flags
        + keepalive
        + encoded_text(client_id)
        + encoded_text("bridge")
        + encoded_text(broker.secret("bridge"))
    )
    with socket.create_connection(("127.0.0.1", broker.port), MAX_WAIT_SECONDS) as connection:
        connection.sendall(b"\x10" + len(body).to_bytes(1) + body)
        received = connection.recv(4)
        while len(received) <= 4:
            received += (more := connection.recv(1000))
            assert more, "the broker hung up"
        return received
