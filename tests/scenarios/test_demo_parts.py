"""`wx2mqtt demo`: what the documentation uses works in it, a user's own file reaches nothing outside, and `--keep`."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.subscriber import Subscriber
from tests.support.terminal import Running, Terminal

FREE_PORTS = ("--simulator-port", "0", "--web-port", "0", "--mqtt-port", "0", "--language", "en")
MORE_THAN_A_DAY_SECONDS = 25 * 3600


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Gives a terminal without warnings as errors, since apprise, which sends to the fallback, raises some."""
    without_errors = Terminal(tmp_path)
    del without_errors.env["PYTHONWARNINGS"]
    return without_errors


class RunningDemo:
    """Reads what a demo printed; controls its phone, and knows the port of its broker."""

    def __init__(self, demo: Running) -> None:
        demo.until("Ctrl-C")
        self.text = "\n".join(demo.said)
        port = re.search(r"mqtt://127\.0\.0\.1:(\d+)", self.text)
        phone = re.search(r"the phone\s+(http://[\d.:]+)", self.text)
        #: Name and URL of the phone of each account, where the demo has several.
        self.phones = [(name, url) for url, name in re.findall(r"(http://[\d.:]+)/ {6}(\w+): ", self.text)]
        folder = re.search(r"files\s+(/\S+)", self.text)
        assert port
        assert phone
        assert folder
        self.port = int(port[1])
        self.phone = phone[1]
        self.files = Path(folder[1])

    def post(self, action: str, **fields: object) -> None:
        answer = httpx.post(
            f"{self.phone}/sim/ilink/{action}", json=fields, trust_env=False, timeout=MAX_WAIT_SECONDS
        )
        answer.raise_for_status()

    def log_in(self, subscriber: Subscriber, base: str = "wx") -> None:
        """Scans, connects and writes `hello`, as the demo says."""
        state = f"{base}/login/state"
        subscriber.wait(state, lambda message: message.body["state"] == "waiting_for_scan")
        self.post("scan")
        subscriber.wait(state, lambda message: message.body["state"] == "waiting_for_confirm")
        self.post("confirm")
        subscriber.wait(state, lambda message: message.body["state"] == "online")
        self.post("say", text="hello")


def test_what_the_documentation_uses_works_in_the_demo(terminal: Terminal):
    """The test uses the bare text, a sender over HTTP, a file by `path`, and the fallback, which prints what it gets."""
    with terminal.running("demo", *FREE_PORTS) as demo:
        running_demo = RunningDemo(demo)
        with Subscriber(running_demo.port, "wx/#") as subscriber:
            running_demo.log_in(subscriber)
            assert subscriber.wait("wx/text/me").payload == b"hello"
            found = re.search(r"curl .*/send/me", running_demo.text)
            assert found
            done = subprocess.run(
                [*shlex.split(found[0]), "-s"], env=terminal.env, capture_output=True, check=True
            )
            sent = subscriber.wait(
                "wx/result/me", lambda message: message.body["id"] == json.loads(done.stdout)["id"]
            )
            assert (sent.body["status"], sent.body["sender"]) == ("sent", "demo")
            subscriber.say(
                "wx/out/me", {"id": "door", "kind": "image", "path": str(running_demo.files / "door.jpg")}
            )
            sent = subscriber.wait("wx/result/me", lambda message: message.body["id"] == "door")
            assert sent.body["status"] == "sent"
            running_demo.post("window", ago=MORE_THAN_A_DAY_SECONDS)
            subscriber.say("wx/out/me", {"text": "💧 Water!\nIn the cellar", "urgent": True})
            assert demo.until("by the fallback  ←").endswith("💧 Water! · In the cellar")
            door = {
                "kind": "image",
                "path": str(running_demo.files / "door.jpg"),
                "text": "Door",
                "urgent": True,
            }
            subscriber.say("wx/out/me", door)
            assert re.search(r"by the fallback  ←.* · Door · 📎 door\.jpg, \d+ kB$", demo.until("📎"))
        assert demo.end(signal.SIGTERM) == 0
    assert list(terminal.temporary.iterdir()) == []


def test_a_users_own_file_is_tried_and_nothing_leaves_the_machine(terminal: Terminal):
    with AlarmReceiver() as service, AlarmReceiver() as broker:
        file = terminal.file(f"""
mqtt: {{url: "{broker.url.replace("json", "mqtt").rpartition("/")[0]}", username: house, password: secret}}
accounts:
  home:
    backend: ilink
    base_topic: my/house
    expect: {{ilink: somebody@im.wechat}}
    contacts: {{boss: {{owner: true}}}}
    fallback: {{urls: ["{service.url}"]}}
web: {{listen: "0.0.0.0:8099", password: secret-secret}}
storage: {{path: {terminal.folder}/real}}
""")
        with terminal.running("demo", *FREE_PORTS, "-c", file) as demo:
            running_demo = RunningDemo(demo)
            assert "-t my/house/out/boss" in running_demo.text
            with Subscriber(running_demo.port, "my/house/#") as subscriber:
                running_demo.log_in(subscriber, "my/house")
                assert subscriber.wait("my/house/in/boss").body["text"] == "hello"
                running_demo.post("window", ago=MORE_THAN_A_DAY_SECONDS)
                subscriber.say("my/house/out/boss", {"text": "Water!", "urgent": True})
                assert demo.until("by the fallback  ←").endswith("Water!")
            assert demo.end(signal.SIGTERM) == 0
        assert service.bodies == []
        assert broker.bodies == []
    assert not (terminal.folder / "real").exists()


def test_a_file_without_a_fallback_has_none_in_the_demo(terminal: Terminal):
    """In this way a user can try an alarm that reaches nobody."""
    file = terminal.file("accounts: {home: {backend: ilink, contacts: {me: {owner: true}}}}")
    with terminal.running("demo", *FREE_PORTS, "-c", file) as demo:
        running_demo = RunningDemo(demo)
        with Subscriber(running_demo.port, "wx/#") as subscriber:
            running_demo.log_in(subscriber)
            subscriber.wait("wx/in/me")
            running_demo.post("window", ago=MORE_THAN_A_DAY_SECONDS)
            subscriber.say("wx/out/me", {"id": "water", "text": "Water!", "urgent": True, "hold": False})
            result = subscriber.wait("wx/result/me", lambda message: message.body["id"] == "water").body
            assert (result["status"], result["code"]) == ("failed", "window_closed")
            assert "fallback" not in result
        assert demo.end(signal.SIGTERM) == 0


def test_a_file_with_only_senders_has_the_account_of_the_demo(terminal: Terminal):
    """The page of alarms shows such a file. Its sender is at the page's port, and the printed command reaches it."""
    (terminal.folder / "alarms.token").write_text("a" * 64)
    file = terminal.file("""
web:
  senders_listen: 0.0.0.0:8098
  senders:
    - {name: alarms, token_file: alarms.token, to: me}
""")
    with terminal.running("demo", *FREE_PORTS, "-c", file) as demo:
        running_demo = RunningDemo(demo)
        with Subscriber(running_demo.port, "wx/#") as subscriber:
            running_demo.log_in(subscriber)
            subscriber.wait("wx/in/me")
            command = re.search(r"curl .*/send/me", running_demo.text)
            assert command
            assert "a" * 64 not in running_demo.text
            subprocess.run(["bash", "-ec", command[0]], env=terminal.env, check=True, capture_output=True)
            sent = subscriber.wait("wx/result/me").body
            assert (sent["status"], sent["sender"]) == ("sent", "alarms")
        assert demo.end(signal.SIGTERM) == 0


def test_a_shell_asks_and_sees_what_failed_with_the_printed_file(terminal: Terminal):
    with terminal.running("demo", *FREE_PORTS) as demo:
        running_demo = RunningDemo(demo)
        control = re.search(r" ask -c (\S+) me ", running_demo.text)
        assert control
        assert f" journal list -c {control[1]}" in running_demo.text
        with Subscriber(running_demo.port, "wx/#") as subscriber:
            running_demo.log_in(subscriber)
            subscriber.wait("wx/in/me")
            with terminal.running("ask", "-c", control[1], "me", "Dinner?", "yes", "no") as asking:
                subscriber.wait("wx/result/me")
                running_demo.post("say", text="yes")
                assert asking.until("yes") == "yes"
                assert asking.end() == 0
            running_demo.post("window", ago=MORE_THAN_A_DAY_SECONDS)
            subscriber.say("wx/out/me", {"text": "Late", "id": "late", "hold": False, "ttl": 1})
            subscriber.wait("wx/result/me", lambda message: message.body["id"] == "late")
        done = terminal.run("journal", "list", "-c", control[1])
        assert (done.code, "late" in done.out) == (0, True), done.err
        assert demo.end(signal.SIGTERM) == 0


def test_each_account_of_a_file_has_a_phone_of_its_own_at_a_broker_that_runs_already(terminal: Terminal):
    """Two bots of iLink would end each other's login on one phone."""
    file = terminal.file("""
accounts:
  home:
    backend: ilink
    contacts: {me: {owner: true}}
    fallback: {after: 200ms, accounts: [shed/us]}
  shed:
    backend: ilink
    contacts: {us: {owner: true}}
  office:
    backend: wecom
    wecom: {bot_id: somebody, secret: secret-secret}
""")
    with mosquitto(terminal.folder / "broker") as broker, Subscriber(broker.port, "wx/#") as subscriber:
        options = ("--broker", broker.url, *FREE_PORTS[:4], "--language", "en")
        with terminal.running("demo", *options, "-c", file) as demo:
            running_demo = RunningDemo(demo)
            assert [name for name, _ in running_demo.phones] == ["home", "shed", "office"]
            for name, address in running_demo.phones[:2]:
                running_demo.phone = address
                running_demo.log_in(subscriber, "wx" if name == "home" else f"wx/{name}")
            subscriber.wait("wx/shed/in/us")
            assert "-t wx/out/me" in running_demo.text
            assert "-t wx/shed/out/us" in running_demo.text
            running_demo.phone = running_demo.phones[0][1]
            running_demo.post("window", ago=MORE_THAN_A_DAY_SECONDS)
            subscriber.say("wx/out/me", {"text": "Water!", "urgent": True, "id": "w"})
            result = subscriber.wait("wx/result/me", lambda message: message.body["id"] == "w").body
            assert (result["fallback"], result["fallback_account"]) == ("sent", "shed/us")
            code = subscriber.wait(
                "wx/office/login/state", lambda message: message.body["state"] == "waiting_for_scan"
            )
            assert code.body["needs"] == "scan"
            assert demo.end(signal.SIGTERM) == 0
    assert "Traceback" not in "\n".join(demo.said)


def test_the_problems_of_a_users_own_file_are_printed_with_their_line(terminal: Terminal):
    file = terminal.file("accounts:\n  home:\n    backend: telex\n")
    done = terminal.run("demo", *FREE_PORTS, "-c", file)
    assert done.code == 78, done.err
    assert f"{file}:3" in done.err
    assert terminal.run("demo", "-c", file, "--once").code == 2


def test_kept_data_is_there_after_a_restart_and_the_user_scans_again(terminal: Terminal):
    folder = terminal.folder / "kept"
    for number in (1, 2):
        with terminal.running("demo", *FREE_PORTS, "--keep", folder) as demo:
            running_demo = RunningDemo(demo)
            assert running_demo.files == folder / "files"
            with Subscriber(running_demo.port, "wx/#") as subscriber:
                running_demo.log_in(subscriber)
                assert subscriber.wait_body("wx/in/me", seq=number)["text"] == "hello"
            assert demo.end(signal.SIGTERM) == 0


def test_a_folder_that_cannot_be_created_is_reported(terminal: Terminal):
    file = terminal.file("")
    done = terminal.run("demo", *FREE_PORTS, "--keep", file / "below")
    assert done.code == 1
    assert f"The folder {file / 'below'} of --keep cannot be made" in done.err


def test_all_busy_ports_are_named_in_one_message(terminal: Terminal):
    names = ("--simulator-port", "--web-port", "--mqtt-port")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [server.getsockname()[1] for server in servers]
        options = [str(word) for pair in zip(names, ports, strict=True) for word in pair]
        done = terminal.run("demo", *options, "--language", "en")
    assert done.code == 75
    for name, port in zip(names, ports, strict=True):
        assert f"{port} ({name})" in done.err
    assert f"--broker mqtt://127.0.0.1:{ports[2]}" in done.err
