"""`wx2mqtt demo`: what it starts and prints, and that each printed command works as it is printed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.ilink_client import APP
from tests.support.terminal import Running, Terminal

SERVER_PORTS = ("--simulator-port", "0", "--web-port", "0")
FREE_PORTS = (*SERVER_PORTS, "--mqtt-port", "0")

CONVERSATION_ON_WEBWX = [
    ("bridge", "wx/login/state", "waiting_for_scan"),
    ("bridge", "wx/login/state", "waiting_for_confirm"),
    ("bridge", "wx/login/state", "online"),
    ("WeChat", "wx/in/wife", "开灯"),
    ("you", "wx/out/wife", "灯已打开"),
    ("bridge", "wx/result/wife", '"sent"'),
    ("phone", "from the owner", "灯已打开"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_once_on_web_wechat_shows_a_conversation_with_a_friend(terminal: Terminal):
    done = terminal.run("demo", "--once", "--backend", "webwx")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == len(CONVERSATION_ON_WEBWX)
    for line, (sender, topic, text) in zip(lines, CONVERSATION_ON_WEBWX, strict=True):
        assert line.startswith(sender), line
        assert topic in line, line
        assert text in line, line
    assert list(terminal.temporary.iterdir()) == []


def test_once_on_wecom_shows_a_conversation_with_the_owner(terminal: Terminal):
    done = terminal.run("demo", "--once", "--backend", "wecom")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == [sender for sender, _, _ in CONVERSATION_ON_WEBWX]
    assert "from the bot" in lines[-1]
    assert "灯已打开" in lines[-1]


def test_the_demo_shows_the_code_on_the_phone_page_and_prints_the_next_steps(terminal: Terminal):
    with terminal.running("demo", *FREE_PORTS) as demo:
        phone = re.search(r"http://[\d.:]+", demo.until("http://"))
        assert phone
        demo.until("Ctrl-C")
        assert any("write to the bot" in line for line in demo.said)
        assert any("wx/out/me" in line for line in demo.said)
        with httpx.Client(base_url=phone[0], trust_env=False, timeout=MAX_WAIT_SECONDS) as page:
            assert page.get("/sim/ilink/wait?for=code&seconds=60").json() == {"ready": True}
            assert json.loads(page.get("/sim/ilink/state").text)["bots"] == {}


@pytest.mark.parametrize(
    ("locale", "options", "last_line", "page_language"),
    [
        ("zh_CN.UTF-8", (), "按 Ctrl-C 停止。", ""),  # the language of the browser
        ("zh_CN.UTF-8", ("--language", "en"), "Stop with Ctrl-C.", "en"),
        ("C.UTF-8", ("--language", "zh"), "按 Ctrl-C 停止。", "zh"),
    ],
)
def test_the_demo_uses_the_language_of_the_terminal_unless_an_option_names_another(
    terminal: Terminal, locale: str, options: tuple[str, ...], last_line: str, page_language: str
):
    terminal.env |= {"LC_ALL": locale, "PYTHONUTF8": "1"}
    with terminal.running("demo", *FREE_PORTS, *options) as demo:
        phone = re.search(r"http://[\d.:]+", demo.until("http://"))
        assert phone
        assert last_line in demo.until("Ctrl-C")
        page = httpx.get(f"{phone[0]}/", trust_env=False, timeout=MAX_WAIT_SECONDS).text
        assert f'<html lang="en" data-language="{page_language}">' in page


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("backend", "user"), [("ilink", "me"), ("webwx", "wife"), ("wecom", "me")])
def test_every_printed_command_works_as_it_is_printed(
    terminal: Terminal, backend: str, user: str, language: str
):
    options = ("--language", language, "--backend", backend)
    with terminal.running("demo", *FREE_PORTS, *options) as demo:
        demo.until("Ctrl-C")
        printed = printed_lines(demo)
        assert "read" not in printed
        _run_printed_commands(terminal, printed, backend=backend, user=user)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_printed_command_works_at_a_broker_with_a_password(
    terminal: Terminal, broker: Mosquitto, language: str
):
    with terminal.running(
        "demo", *SERVER_PORTS, "--language", language, "--broker", broker_url(broker)
    ) as demo:
        demo.until("Ctrl-C")
        printed = printed_lines(demo)
        assert "p@ss" not in "".join(demo.said)
        _run_printed_commands(terminal, printed, backend="ilink", user="me", typed="p@ss/word\n")


def printed_lines(demo: Running) -> dict[str, str]:
    """Returns what a person can copy: the address of the phone, and the commands by their first word."""
    printed = {}
    for line in demo.said:
        if found := re.search(r"\b(read|mosquitto_sub|mosquitto_pub) -.*?(?=      |$)", line):
            printed[found[1]] = found[0]
    phone = re.search(r"http://[\d.:]+", "\n".join(demo.said))
    assert phone
    return {**printed, "phone": phone[0]}


def _run_printed_commands(
    terminal: Terminal, printed: dict[str, str], *, backend: str, user: str, typed: str = ""
) -> None:
    """Listens with the printed command, logs in on the phone, writes, and answers with the other command."""
    first = f"{printed['read']}; " if typed else ""

    def shell(command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["bash", "-c", first + command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=terminal.env,
        )
        assert process.stdin is not None
        process.stdin.write(typed.encode())
        process.stdin.close()
        return process

    prefix = "" if backend == "webwx" else f"{backend}/"
    message = (
        {"from": user, "to": "me", "text": "开灯"} if backend == "webwx" else {"from": "me", "text": "开灯"}
    )
    with (
        shell(f"exec stdbuf -oL {printed['mosquitto_sub']}") as listening,
        httpx.Client(base_url=printed["phone"], trust_env=False, timeout=MAX_WAIT_SECONDS) as phone,
    ):
        received = MosquittoSubReader(listening)
        received.until("wx/login/state", "waiting_for_scan")
        phone.post(f"/sim/{prefix}scan", json={}).raise_for_status()
        received.until("wx/login/state", "waiting_for_confirm")
        phone.post(f"/sim/{prefix}confirm", json={}).raise_for_status()
        received.until("wx/login/state", '"online"')
        phone.post(f"/sim/{prefix}say", json=message).raise_for_status()
        received.until(f"wx/in/{user}", "开灯")
        with shell(printed["mosquitto_pub"]) as publishing:
            assert publishing.wait(MAX_WAIT_SECONDS) == 0
        received.until(f"wx/out/{user}")
        received.until(f"wx/result/{user}", '"sent"')
        listening.terminate()
    assert not received.text_of("wx/login/qr")


class MosquittoSubReader:
    """Reads the lines of a `mosquitto_sub`, all of which must be text; `lines` has those that were read."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._timer = threading.Timer(MAX_WAIT_SECONDS, process.kill)
        self._timer.daemon = True
        self._timer.start()
        self.lines: list[str] = []

    def until(self, topic: str, word: str = "") -> None:
        """Reads up to a line of this topic with this word."""
        for raw in self._stream:
            line = raw.decode()
            self.lines.append(line)
            if line.startswith(f"{topic}  ") and word in line:
                return
        raise AssertionError(f"no {word} on {topic}: {self.lines}")

    def text_of(self, topic: str) -> list[str]:
        return [line for line in self.lines if line.startswith(topic)]


def test_the_demo_prints_the_mqtt_version_of_its_broker_where_mosquitto_is_missing(tmp_path: Path):
    terminal = Terminal(tmp_path, prepare="import shutil; shutil.which = lambda *a, **b: None")
    with terminal.running("demo", *FREE_PORTS) as demo:
        assert "MQTT 3.1.1 only" in demo.until("the broker")


def test_an_unknown_backend_ends_with_2(terminal: Terminal):
    assert terminal.run("demo", "--backend", "telex").code == 2


def test_a_simulator_that_scans_by_itself_binds_the_owner(terminal: Terminal):
    with terminal.running("simulate", "--port", "0", "--autoscan") as simulator:
        url = re.search(r"http://[\d.:]+", simulator.until("/sim is the phone"))
        assert url
        with httpx.Client(
            base_url=f"{url[0]}/ilink/bot/", headers=APP, trust_env=False, timeout=MAX_WAIT_SECONDS
        ) as program:
            code = program.get("get_bot_qrcode", params={"bot_type": "3"}).json()["qrcode"]
            answers = [program.get("get_qrcode_status", params={"qrcode": code}).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["scaned", "confirmed"]


PASSWORDS = "allow_anonymous false\npassword_file {folder}/passwords\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Runs a broker of the user, which asks for a password."""
    folder = tmp_path / "broker"
    folder.mkdir()
    file = folder / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", str(file), "house", "p@ss/word"], check=True, capture_output=True
    )
    port = free_port()
    config = f"listener {port} 127.0.0.1\n{PASSWORDS}"
    running = Mosquitto(folder, config, port=port, listener=False)
    running.start()
    yield running
    running.stop()


def broker_url(broker: Mosquitto) -> str:
    return f"mqtt://house:p%40ss%2Fword@127.0.0.1:{broker.port}"


def retained_messages(broker: Mosquitto) -> dict[str, str]:
    """Returns the retained messages of the bridge and of Home Assistant, by topic."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word", "-t", "#"]
    done = subprocess.run(
        [*command, "--retained-only", "-W", "1", "-F", "%t %p"], capture_output=True, check=False
    )
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    pairs = [line.partition(" ") for line in lines if line.startswith(("wx/", "homeassistant/"))]
    return {topic: payload for topic, _, payload in pairs}


def wait_for_message(broker: Mosquitto, topic: str) -> None:
    """Waits for a message on the topic."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word", "-t", topic]
    subprocess.run([*command, "-C", "1", "-W", f"{MAX_WAIT_SECONDS:.0f}"], capture_output=True, check=True)


def test_at_a_broker_of_the_user_the_demo_says_who_can_see_it_and_leaves_nothing_there(
    terminal: Terminal, broker: Mosquitto
):
    with terminal.running("demo", *SERVER_PORTS, "--broker", broker_url(broker)) as demo:
        demo.until("Ctrl-C")
        printed = "\n".join(demo.said)
        assert "Whoever may use that broker sees these messages" in printed
        assert "nothing leaves this machine" not in printed
        assert "p%40ss" not in printed
        assert "p@ss" not in printed
        for topic in ("wx/contacts", "homeassistant/device/wx2mqtt_home/config"):
            wait_for_message(broker, topic)
        topics = retained_messages(broker)
        assert topics["wx/bridge/state"] == "online"
        assert "homeassistant/device/wx2mqtt_home/config" in topics
        assert demo.end(signal.SIGINT) == 0
    assert "Traceback" not in "\n".join(demo.said)
    assert retained_messages(broker) == {}


def test_beside_a_bridge_with_the_same_topics_the_demo_does_not_start(terminal: Terminal, broker: Mosquitto):
    command = ["mosquitto_pub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word"]
    subprocess.run([*command, "-r", "-t", "wx/bridge/state", "-m", "online"], check=True)
    done = terminal.run("demo", *SERVER_PORTS, "--broker", broker_url(broker))
    assert done.code == 1
    assert "A bridge uses the topics wx/#" in done.err
    assert retained_messages(broker) == {"wx/bridge/state": "online"}


def test_a_broker_that_refuses_the_login_ends_the_demo_with_the_reason(terminal: Terminal, broker: Mosquitto):
    done = terminal.run("demo", *SERVER_PORTS, "--broker", f"mqtt://house:wrong@127.0.0.1:{broker.port}")
    assert done.code == 1
    assert "The broker of --broker cannot be used" in done.err
    assert "wrong" not in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--broker", "192.168.1.10"), "mqtt://"),
        (("--broker", "embedded"), "embedded"),
        (("--broker", "mqtt://127.0.0.1", "--once"), "--once"),
        (("--broker", "mqtt://127.0.0.1", "--mqtt-port", "0"), "--mqtt-port"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_starts(
    terminal: Terminal, options: tuple[str, ...], word: str
):
    done = terminal.run("demo", *options)
    assert done.code == 2
    assert word in done.err
