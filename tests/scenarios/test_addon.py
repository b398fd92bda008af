"""The add-on of Home Assistant: its run script with the real bridge, and an imitation of the Supervisor's API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.broker import Mosquitto, free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.people import userid_of
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

FOLDER = Path(__file__).parents[2] / "deploy/home-assistant-addon"
TOKEN = "the-supervisor-token"
INGRESS = {"x-ingress-path": "/api/hassio_ingress/Zm9v_b-r", "host": "homeassistant.local:8123"}

LAUNCHER = """
import os, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import run
run.BRIDGE_USER = run.BRIDGE_GROUP = {user!r} or os.geteuid()
run.SENDERS_LISTEN, run.NTFY_LISTEN = {ports!r}
data = Path({data!r})
addon = run.Addon(bridge=Path({bridge!r}), data=data, own_file=data / "config/wx2mqtt.yaml", supervisor_url={url!r})
sys.exit(run.main(sys.argv[1:], addon))
"""


class FakeSupervisor:
    """Imitates the API of the Supervisor: the broker, and the settings of Home Assistant.

    `service` is None where no add-on provides a broker; `language` is None while Home Assistant starts.
    """

    def __init__(self, service: dict[str, Any] | None) -> None:
        self.service = service
        self.language: str | None = "en"
        self.broken = False
        supervisor_api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = supervisor_api.answer(self.path, self.headers.get("Authorization", ""))
                data = json.dumps(body).encode() if body is not None else b"<html>"
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Writes nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any] | None]:
        if authorization != f"Bearer {TOKEN}":
            return 401, {"result": "error", "message": "Unauthorized"}
        if path == "/core/api/config":
            return (200, {"language": self.language}) if self.language else (502, None)
        if path != "/services/mqtt":
            return 404, {"result": "error", "message": "Service does not exist"}
        if self.broken:
            return 502, None
        if self.service is None:
            return 400, {"result": "error", "message": "Service not enabled"}
        return 200, {"result": "ok", "data": self.service}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Runs the broker that another add-on provides, which asks for a password."""
    folder = tmp_path / "broker"
    folder.mkdir()
    create = ["mosquitto_passwd", "-c", "-b", str(folder / "passwords"), "addons", "s:e/c@r et"]
    subprocess.run(create, check=True, capture_output=True)
    port = free_port()
    config = f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
    running = Mosquitto(folder, config, port=port, listener=False)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def supervisor(broker: Mosquitto) -> Iterator[FakeSupervisor]:
    running = FakeSupervisor(
        {
            "addon": "core_mosquitto",
            "host": "127.0.0.1",
            "port": broker.port,
            "ssl": False,
            "username": "addons",
            "password": "s:e/c@r et",
            "protocol": "3.1.1",
        }
    )
    yield running
    running.close()


OPTIONS = {"backend": "ilink", "language": "en", "contacts": [], "log_level": "info"}


class AddonContainer:
    """Runs the run script of the add-on as its container does: with its own /data folder and variables."""

    def __init__(self, folder: Path, supervisor: FakeSupervisor, **variables: str) -> None:
        self.data = folder / "data"
        (self.data / "config").mkdir(parents=True)
        self.options(**OPTIONS)
        self.page_port, self.senders_port, self.ntfy_port = free_port(), free_port(), free_port()
        self.variables = {
            "SUPERVISOR_TOKEN": TOKEN,
            "WX2MQTT_STORAGE__PATH": str(self.data / "store"),
            "WX2MQTT_WEB__LISTEN": f"127.0.0.1:{self.page_port}",
            "WX2MQTT_WEB__INGRESS": "127.0.0.1",
            **variables,
        }
        bridge = folder / "wx2mqtt"
        bridge.write_text(f'#!/bin/sh\nexec {sys.executable} -m wx2mqtt "$@"\n')
        bridge.chmod(0o755)
        self.write_launcher(bridge, supervisor.url)

    def write_launcher(self, bridge: Path, url: str, user: int = 0) -> None:
        ports = [f"127.0.0.1:{port}" for port in (self.senders_port, self.ntfy_port)]
        text = LAUNCHER.format(
            folder=str(FOLDER), user=user, data=str(self.data), bridge=str(bridge), url=url, ports=ports
        )
        (self.data / "launcher.py").write_text(text)

    def options(self, **options: Any) -> None:
        (self.data / "options.json").write_text(json.dumps(options))

    def own_file(self, text: str) -> None:
        (self.data / "config/wx2mqtt.yaml").write_text(text)

    @property
    def _command(self) -> list[str]:
        return [sys.executable, str(self.data / "launcher.py")]

    @property
    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}
        return {**inherited, **self.variables}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=MAX_WAIT_SECONDS,
            check=False,
        )

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.data / "log").open("ab") as log:
            process = subprocess.Popen(
                [*self._command, "start"], env=self._environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(MAX_WAIT_SECONDS)

    def page(self, path: str, address: str = "127.0.0.1", **headers: str) -> httpx.Response:
        """Requests the page as the Supervisor does, or from another address."""
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport, timeout=MAX_WAIT_SECONDS) as http:
            return http.get(f"http://127.0.0.1:{self.page_port}{path}", headers={**INGRESS, **headers})


def wait_for_message(broker: Mosquitto, topic: str, word: str) -> str:
    """Waits for a message on the topic that contains the word; returns its line."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "addons", "-P", "s:e/c@r et", "-t", topic]
    seconds = f"{MAX_WAIT_SECONDS:.0f}"
    with subprocess.Popen([*command, "-W", seconds], stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        found = next((line for line in listening.stdout if word in line), "")
        listening.terminate()
    assert found, f"no {word} on {topic}"
    return found


async def test_a_login_by_the_form_survives_a_backup_and_a_restore(
    tmp_path: Path, broker: Mosquitto, supervisor: FakeSupervisor
):
    async with Simulator(port=0) as simulator:
        addon = AddonContainer(tmp_path, supervisor, WX2MQTT_ACCOUNTS__HOME__ENDPOINT=simulator.url)
        archive = addon.data / "wx2mqtt.tar.gz"
        await asyncio.to_thread(_log_in_and_back_up, addon, broker, simulator.url)
        assert archive.exists()
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        (addon.data / "store").rename(tmp_path / "lost")
        await asyncio.to_thread(_resume_without_scan, addon, broker)
        assert not archive.exists()


def _log_in_and_back_up(addon: AddonContainer, broker: Mosquitto, phone: str) -> None:
    with addon.started() as process:
        wait_for_message(broker, "wx/login/state", "waiting_for_scan")
        page = addon.page("/")
        assert page.status_code == 200
        assert "Scan the code" in page.text
        assert addon.page("/", address="127.0.0.2").status_code == 403
        assert addon.page("/livez").status_code == 200
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert TOKEN.encode() not in environment  # the bridge cannot speak to the Supervisor
        for step in ("scan", "confirm"):
            assert httpx.post(f"{phone}/sim/ilink/{step}", json={}, trust_env=False).status_code == 200
        wait_for_message(broker, "wx/login/state", '"online"')
        wait_for_message(broker, "homeassistant/device/+/config", '"notify"')
        done = addon.run("backup")
        assert done.returncode == 0, done.stderr


def _resume_without_scan(addon: AddonContainer, broker: Mosquitto) -> None:
    """Waits until a restored store is online, which needs no scan."""
    with addon.started():
        wait_for_message(broker, "wx/bridge/state", "online")
        wait_for_message(broker, "wx/login/state", '"online"')


def test_the_archive_is_deleted_after_the_backup(tmp_path: Path, supervisor: FakeSupervisor):
    addon = AddonContainer(tmp_path, supervisor)
    (addon.data / "wx2mqtt.tar.gz").write_bytes(b"x")
    for _ in range(2):
        assert addon.run("backup-done").returncode == 0
    assert not (addon.data / "wx2mqtt.tar.gz").exists()


def test_a_backup_that_fails_is_reported_to_the_supervisor_and_leaves_no_archive(tmp_path, supervisor):
    addon = AddonContainer(tmp_path, supervisor)
    done = addon.run("backup")  # there is no store yet
    assert done.returncode != 0
    assert not (addon.data / "wx2mqtt.tar.gz").exists()


def mqtt_variables(addon: AddonContainer) -> dict[str, str]:
    """Returns the variables about MQTT with which the bridge would start."""
    return {name: value for name, value in variables(addon).items() if name.startswith("WX2MQTT_MQTT")}


def variables(addon: AddonContainer) -> dict[str, str]:
    """Returns all variables with which the bridge would start."""
    script = addon.data.parent / "print"
    script.write_text(f"#!{sys.executable}\nimport json, os\nprint(json.dumps(dict(os.environ)))\n")
    script.chmod(0o755)
    launcher = addon.data / "launcher.py"
    launcher.write_text(launcher.read_text().replace(str(addon.data.parent / "wx2mqtt"), str(script), 1))
    done = addon.run("start")
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_a_broker_with_tls_is_reached_by_tls(tmp_path: Path, supervisor: FakeSupervisor):
    assert supervisor.service is not None
    supervisor.service.update(host="core-mosquitto", port=8883, ssl=True)
    assert mqtt_variables(AddonContainer(tmp_path, supervisor)) == {
        "WX2MQTT_MQTT__URL": "mqtts://core-mosquitto:8883",
        "WX2MQTT_MQTT__USERNAME": "addons",
        "WX2MQTT_MQTT__PASSWORD": "s:e/c@r et",
    }


def test_a_broker_in_the_form_wins_over_that_of_the_supervisor(tmp_path: Path, supervisor: FakeSupervisor):
    addon = AddonContainer(tmp_path, supervisor)
    addon.options(**OPTIONS, mqtt_url="mqtt://192.168.1.10:1883", mqtt_username="wx")
    assert mqtt_variables(addon) == {
        "WX2MQTT_MQTT__URL": "mqtt://192.168.1.10:1883",
        "WX2MQTT_MQTT__USERNAME": "wx",
    }


def test_a_broker_in_the_users_own_file_wins_over_both(tmp_path: Path, supervisor: FakeSupervisor):
    addon = AddonContainer(tmp_path, supervisor)
    addon.options(**OPTIONS, mqtt_url="mqtt://192.168.1.10:1883")
    addon.own_file("mqtt: {url: mqtt://mine:1883}\n")
    assert mqtt_variables(addon) == {}
    assert not (addon.data / "wx2mqtt.yaml").exists()


@pytest.mark.parametrize("text", ["accounts: {home: {backend: ilink}}\n", "mqtt:\n", "mqtt: [\n", "\x00", ""])
def test_with_a_file_that_names_no_broker_that_of_the_supervisor_is_used(tmp_path, supervisor, text):
    addon = AddonContainer(tmp_path, supervisor)
    addon.own_file(text)
    assert mqtt_variables(addon)["WX2MQTT_MQTT__USERNAME"] == "addons"


@pytest.mark.parametrize("fault", ["none", "token", "broken", "incomplete", "gone"])
def test_without_a_broker_the_add_on_says_what_to_do_and_does_not_print_the_token(
    tmp_path, supervisor, fault
):
    addon = AddonContainer(tmp_path, supervisor)
    match fault:
        case "none":
            supervisor.service = None
        case "token":
            addon.variables["SUPERVISOR_TOKEN"] = "another"
        case "broken":
            supervisor.broken = True
        case "incomplete":
            supervisor.service = {"host": "x"}
        case "gone":
            addon.write_launcher(Path("/nothing"), f"http://127.0.0.1:{free_port()}")
    done = addon.run("start")
    assert done.returncode == 78
    assert ("Mosquitto broker" in done.stderr) == (fault == "none")
    assert "Supervisor" in done.stderr or fault == "none"
    assert "Traceback" not in done.stderr
    assert addon.variables["SUPERVISOR_TOKEN"] not in done.stderr


def test_an_old_archive_beside_a_store_with_content_is_not_restored(
    tmp_path: Path, supervisor: FakeSupervisor
):
    addon = AddonContainer(tmp_path, supervisor)
    (addon.data / "store").mkdir()
    (addon.data / "store/kept").write_text("newer")
    (addon.data / "wx2mqtt.tar.gz").write_bytes(b"no archive at all")
    mqtt_variables(addon)
    assert (addon.data / "store/kept").read_text() == "newer"
    assert not (addon.data / "wx2mqtt.tar.gz").exists()


def test_a_damaged_archive_does_not_start_a_bridge_with_an_empty_store(
    tmp_path: Path, supervisor: FakeSupervisor
):
    addon = AddonContainer(tmp_path, supervisor)
    (addon.data / "wx2mqtt.tar.gz").write_bytes(b"no archive at all")
    done = addon.run("start")
    assert done.returncode == 1
    assert (addon.data / "wx2mqtt.tar.gz").exists()


def test_the_bridge_runs_as_its_own_user_where_the_container_begins_as_root(supervisor: FakeSupervisor):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        addon = AddonContainer(Path(folder), supervisor)
        addon.own_file("mqtt: {url: mqtt://mine:1883}\n")
        script = Path(folder) / "print_user"
        script.write_text("#!/bin/sh\nid -u; id -g; id -G\n")
        script.chmod(0o755)
        addon.write_launcher(script, supervisor.url, user=10001)
        done = addon.run("start")
        uid, gid, groups = done.stdout.splitlines()
        root = os.geteuid() == 0
        assert (uid, gid) == (("10001", "10001") if root else (str(os.geteuid()), str(os.getegid())))
        assert groups == gid or not root
        assert (addon.data / "store").stat().st_uid == int(uid)


def test_the_written_configuration_says_where_it_comes_from_and_holds_no_secret(
    tmp_path: Path, supervisor: FakeSupervisor
):
    addon = AddonContainer(tmp_path, supervisor)
    mqtt_variables(addon)
    text = (addon.data / "wx2mqtt.yaml").read_text()
    assert text.startswith("# Written at each start")
    assert "s:e/c@r et" not in text
    assert yaml.safe_load(text)["accounts"]["home"]["backend"] == "ilink"


@pytest.mark.parametrize(
    ("home_assistant_language", "expected"),
    [("en", "en"), ("zh-Hans", "zh"), ("zh-Hant", "zh"), ("de", "en"), (None, "en")],
)
def test_texts_are_in_the_language_of_home_assistant(tmp_path, supervisor, home_assistant_language, expected):
    addon = AddonContainer(tmp_path, supervisor)
    addon.options(**{**OPTIONS, "language": "auto"})
    supervisor.language = home_assistant_language
    mqtt_variables(addon)
    assert yaml.safe_load((addon.data / "wx2mqtt.yaml").read_text())["language"] == expected


def test_a_chosen_language_is_used_and_kept_while_home_assistant_starts(tmp_path, supervisor):
    addon = AddonContainer(tmp_path, supervisor)
    addon.options(**{**OPTIONS, "language": "zh"})
    mqtt_variables(addon)
    addon.options(**{**OPTIONS, "language": "auto"})
    supervisor.language = None
    mqtt_variables(addon)
    assert yaml.safe_load((addon.data / "wx2mqtt.yaml").read_text())["language"] == "zh"


FALLBACK = "WX2MQTT_ACCOUNTS__HOME__FALLBACK__URLS"


def test_the_fallback_of_the_form_is_given_to_the_bridge_unless_the_owner_has_a_file(tmp_path, supervisor):
    addon = AddonContainer(tmp_path, supervisor)
    addon.options(**OPTIONS, fallback=["json://secret"])
    assert variables(addon)[FALLBACK] == '["json://secret"]'
    assert "secret" not in (addon.data / "wx2mqtt.yaml").read_text()
    addon.own_file("accounts: {home: {backend: ilink}}\n")
    assert FALLBACK not in variables(addon)


RESOLVER = """
import socket
real = socket.getaddrinfo
def resolved(host, *others, **more):
    return real("127.0.0.1" if host in {names!r} else host, *others, **more)
socket.getaddrinfo = resolved
import wx2mqtt.__main__
wx2mqtt.__main__.main()
"""
"""Runs the bridge with a resolver that knows these names, as the network of the Supervisor does."""


@pytest.fixture
def home_assistant() -> Iterator[int]:
    """Serves the picture of a camera as Home Assistant does, to requests with the token; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_camera = self.path == "/api/camera_proxy/camera.door?token=abc"
            data = sample("image.jpg") if is_camera else b""
            self.send_response(200 if is_camera else 403)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Writes nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("name", ["homeassistant", "homeassistant.local"])
async def test_the_picture_of_a_doorbell_arrives_with_the_default_options(
    tmp_path: Path, broker: Mosquitto, supervisor: FakeSupervisor, home_assistant: int, name: str
):
    async with Simulator(port=0) as simulator:
        addon = AddonContainer(tmp_path, supervisor, WX2MQTT_ACCOUNTS__HOME__ENDPOINT=simulator.url)
        addon.options(**yaml.safe_load((FOLDER / "config.yaml").read_text())["options"])
        script = tmp_path / "bridge.py"
        script.write_text(RESOLVER.format(names=("homeassistant", "homeassistant.local")))
        (tmp_path / "wx2mqtt").write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        url = f"http://{name}:{home_assistant}/api/camera_proxy/camera.door?token=abc"
        await asyncio.to_thread(_send_camera_picture, addon, broker, simulator.url, url)


def _send_camera_picture(addon: AddonContainer, broker: Mosquitto, phone: str, url: str) -> None:
    """Sends the command of the doorbell blueprint, once the owner has written."""
    with addon.started():
        wait_for_message(broker, "wx/login/state", "waiting_for_scan")
        assert "remind, renew and fallback are off" in (addon.data / "log").read_text()
        for step in ("scan", "confirm"):
            httpx.post(f"{phone}/sim/ilink/{step}", json={}, trust_env=False).raise_for_status()
        wait_for_message(broker, "wx/login/state", '"online"')
        httpx.post(f"{phone}/sim/ilink/say", json={"text": "hello"}, trust_env=False).raise_for_status()
        wait_for_message(broker, "wx/window/me", '"open":true')
        with first_message_on(broker, "wx/result/me") as result:
            command = json.dumps({"kind": "image", "url": url, "name": "door.jpg", "ttl": 120})
            publish = ["mosquitto_pub", "-p", str(broker.port), "-u", "addons", "-P", "s:e/c@r et", "-q", "1"]
            subprocess.run([*publish, "-t", "wx/out/me", "-m", command], check=True)
            assert json.loads(result())["status"] == "sent", result()


@contextmanager
def first_message_on(broker: Mosquitto, topic: str) -> Iterator[Callable[[], str]]:
    """Subscribes; gives a function that waits for the first message and returns it."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "addons", "-P", "s:e/c@r et", "-t", topic]
    options = ["-C", "1", "-W", f"{MAX_WAIT_SECONDS:.0f}", "-q", "1", "-d"]
    with subprocess.Popen(
        ["stdbuf", "-oL", *command, *options], stdout=subprocess.PIPE, text=True
    ) as listening:
        stream = listening.stdout
        assert stream is not None
        assert any("received SUBACK" in line for line in iter(stream.readline, ""))
        yield cache(lambda: next(line for line in stream if line.startswith("{")))


SENDER_TOKEN = "a-token-of-32-characters-or-more-1"


async def test_all_options_of_the_form_work_together(
    tmp_path: Path, broker: Mosquitto, supervisor: FakeSupervisor
):
    """The form configures two accounts, a fallback to the second one, senders over HTTP, and Chinese texts."""
    supervisor.language = "zh-Hans"
    async with Simulator(port=0) as simulator:
        endpoints = {f"WX2MQTT_ACCOUNTS__{name}__ENDPOINT": simulator.url for name in ("HOME", "SECOND")}
        addon = AddonContainer(tmp_path, supervisor, **endpoints)
        form = yaml.safe_load((FOLDER / "config.yaml").read_text())["options"]
        chosen = {
            "contacts": [{"name": "boss", "wecom": userid_of("me")}],
            "remind": True,
            "renew": True,
            "fallback": ["json://127.0.0.1:9"],
            "second": "wecom",
            "fallback_accounts": ["second/boss"],
            "senders": [{"name": "nas", "token": SENDER_TOKEN, "to": "me"}],
            "wecom_bot_id": HOME_BOT_ID,
            "wecom_secret": HOME_BOT_SECRET,
        }
        assert chosen.keys() <= yaml.safe_load((FOLDER / "config.yaml").read_text())["schema"].keys()
        addon.options(**form | chosen)
        await asyncio.to_thread(_use_all_options, addon, broker, simulator.url)


def _use_all_options(addon: AddonContainer, broker: Mosquitto, phone: str) -> None:
    config_file = addon.data / "wx2mqtt.yaml"
    with addon.started(), httpx.Client(base_url=phone, timeout=MAX_WAIT_SECONDS, trust_env=False) as people:
        wait_for_message(broker, "wx/second/login/state", '"online"')
        assert not any(
            secret in config_file.read_text() for secret in (SENDER_TOKEN, HOME_BOT_SECRET, "json:")
        )
        wait_for_message(broker, "wx/login/state", "waiting_for_scan")
        with first_message_on(broker, "wx/second/in/boss") as first_message:
            people.post("/sim/wecom/say", json={"text": "hello"}).raise_for_status()
            assert '"hello"' in first_message()
        for step in ("scan", "confirm"):
            people.post(f"/sim/ilink/{step}", json={}).raise_for_status()
        wait_for_message(broker, "wx/login/state", '"online"')
        assert "微信 home" in wait_for_message(broker, "homeassistant/device/wx2mqtt_home/config", "notify")
        # Nobody has written to the first bot yet: its window is shut.
        alarm = send(addon.senders_port, "/send/me?urgent=1&wait=60", "漏水")
        assert (alarm.status_code, alarm.json()["fallback"]) == (200, "sent")
        assert alarm.json()["fallback_account"] == "second/boss"
        people.post("/sim/ilink/say", json={"text": "hello"}).raise_for_status()
        wait_for_message(broker, "wx/window/me", '"open":true')
        assert send(addon.ntfy_port, "/me", "备份完成").status_code == 200
        sent = people.get("/sim/ilink/sent", params={"after": 0, "wait": MAX_WAIT_SECONDS}).json()
        assert "备份完成" in sent[0]["text"]
        assert addon.page("/").status_code == 200
        for port in (addon.senders_port, addon.ntfy_port):  # they serve no page
            page = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            assert page.status_code in {404, 405}
        done = addon.run("backup")
        assert done.returncode == 0, done.stderr


def send(port: int, path: str, text: str) -> httpx.Response:
    """Sends a text over HTTP, as a program of the user does."""
    headers = {"authorization": f"Bearer {SENDER_TOKEN}", "content-type": "text/plain"}
    url = f"http://127.0.0.1:{port}{path}"
    return httpx.post(url, content=text.encode(), headers=headers, timeout=MAX_WAIT_SECONDS, trust_env=False)


def test_an_unknown_command_of_the_run_script_ends_with_2(tmp_path: Path, supervisor: FakeSupervisor):
    assert AddonContainer(tmp_path, supervisor).run("begin").returncode == 2
