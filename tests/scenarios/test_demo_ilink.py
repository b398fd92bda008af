"""`wx2mqtt demo --backend ilink`: the owner and their bot, on one machine with no account."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.ilink_client import APP
from tests.support.terminal import Terminal

FREE = ("--simulator-port", "0", "--mqtt-port", "0", "--web-port", "0")

CONVERSATION = [
    ("bridge", "wx/login/state", "waiting_for_scan"),
    ("bridge", "wx/login/state", "waiting_for_confirm"),
    ("bridge", "wx/login/state", "online"),
    ("WeChat", "wx/in/me", "开灯"),
    ("you", "wx/out/me", "灯已打开"),
    ("bridge", "wx/result/me", '"sent"'),
    ("phone", "from the bot", "灯已打开"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_once_shows_a_conversation_of_the_owner_with_the_bot(terminal: Terminal):
    began = time.monotonic()
    done = terminal.run("demo", "--once", "--backend", "ilink")
    assert (done.code, done.err) == (0, "")
    assert time.monotonic() - began < allowed(10)
    lines = done.out.splitlines()
    assert len(lines) == len(CONVERSATION)
    for line, (who, where, what) in zip(lines, CONVERSATION, strict=True):
        assert line.startswith(who), line
        assert where in line, line
        assert what in line, line
    assert list(terminal.temporary.iterdir()) == []


def test_it_shows_the_code_on_the_phone_page_and_says_how_to_go_on(terminal: Terminal):
    with terminal.running("demo", *FREE, "--backend", "ilink") as demo:
        phone = re.search(r"http://[\d.:]+", demo.until("http://"))
        assert phone
        demo.until("Ctrl-C")
        assert any("write to the bot" in line for line in demo.said)
        assert any("wx/out/me" in line for line in demo.said)
        with httpx.Client(base_url=phone[0], trust_env=False, timeout=MAX_WAIT_SECONDS) as page:
            assert page.get("/sim/ilink/wait?for=code&seconds=60").json() == {"ready": True}
            assert json.loads(page.get("/sim/ilink/state").text)["bots"] == {}


@pytest.mark.parametrize(
    ("locale", "options", "end"),
    [
        ("zh_CN.UTF-8", (), "按 Ctrl-C 停止。"),
        ("zh_CN.UTF-8", ("--language", "en"), "Stop with Ctrl-C."),
        ("C.UTF-8", ("--language", "zh"), "按 Ctrl-C 停止。"),
    ],
)
def test_it_speaks_the_language_of_the_terminal_unless_told_another(
    terminal: Terminal, locale: str, options: tuple[str, ...], end: str
):
    terminal.env |= {"LC_ALL": locale, "PYTHONUTF8": "1"}
    with terminal.running("demo", *FREE, "--backend", "ilink", *options) as demo:
        assert end in demo.until("Ctrl-C")


def test_it_says_which_mqtt_the_broker_speaks_where_no_mosquitto_is(tmp_path: Path):
    terminal = Terminal(tmp_path, prepare="import shutil; shutil.which = lambda *a, **b: None")
    with terminal.running("demo", *FREE, "--backend", "ilink") as demo:
        assert "MQTT 3.1.1 only" in demo.until("the broker")


def test_a_backend_that_is_none_ends_with_2(terminal: Terminal):
    assert terminal.run("demo", "--backend", "telex").code == 2


def test_a_simulator_that_scans_by_itself_binds_the_owner(terminal: Terminal):
    with terminal.running("simulate", "--port", "0", "--autoscan") as simulator:
        url = re.search(r"http://[\d.:]+", simulator.until("/sim is the phone"))
        assert url
        with httpx.Client(
            base_url=f"{url[0]}/ilink/bot/", headers=APP, trust_env=False, timeout=MAX_WAIT_SECONDS
        ) as program:
            code = program.get("get_bot_qrcode", params={"bot_type": "3"}).json()["qrcode"]
            told = [program.get("get_qrcode_status", params={"qrcode": code}).json() for _ in range(2)]
    assert [one["status"] for one in told] == ["scaned", "confirmed"]


PASSWORDS = "allow_anonymous false\npassword_file {folder}/passwords\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """The broker of somebody's house, which asks for a password."""
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


def house(broker: Mosquitto) -> str:
    return f"mqtt://house:p%40ss%2Fword@127.0.0.1:{broker.port}"


def kept(broker: Mosquitto) -> dict[str, str]:
    """What the broker keeps, by topic, but for its own statistics."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word", "-t", "#"]
    done = subprocess.run(
        [*command, "--retained-only", "-W", "1", "-F", "%t %p"], capture_output=True, check=False
    )
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    pairs = [line.partition(" ") for line in lines if line.startswith(("wx/", "homeassistant/"))]
    return {topic: payload for topic, _, payload in pairs}


def wait_for(broker: Mosquitto, topic: str) -> None:
    command = ["mosquitto_sub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word", "-t", topic]
    subprocess.run([*command, "-C", "1", "-W", f"{MAX_WAIT_SECONDS:.0f}"], capture_output=True, check=True)


PORTS = ("--simulator-port", "0", "--web-port", "0", "--backend", "ilink")


def test_at_a_broker_of_the_house_it_says_who_can_see_it_and_leaves_nothing_there(
    terminal: Terminal, broker: Mosquitto
):
    with terminal.running("demo", *PORTS, "--broker", house(broker)) as demo:
        demo.until("Ctrl-C")
        shown = "\n".join(demo.said)
        assert "Whoever may use that broker sees these messages" in shown
        assert "nothing leaves this machine" not in shown
        assert "p%40ss" not in shown
        assert "p@ss" not in shown
        for topic in ("wx/contacts", "homeassistant/device/wx2mqtt_home/config"):
            wait_for(broker, topic)
        topics = kept(broker)
        assert topics["wx/bridge/state"] == "online"
        assert "homeassistant/device/wx2mqtt_home/config" in topics
        assert demo.end(signal.SIGINT) == 0
    assert "Traceback" not in "\n".join(demo.said)
    assert kept(broker) == {}


def test_beside_a_bridge_with_the_same_topics_it_does_not_start(terminal: Terminal, broker: Mosquitto):
    command = ["mosquitto_pub", "-p", str(broker.port), "-u", "house", "-P", "p@ss/word"]
    subprocess.run([*command, "-r", "-t", "wx/bridge/state", "-m", "online"], check=True)
    done = terminal.run("demo", *PORTS, "--broker", house(broker))
    assert done.code == 1
    assert "A bridge uses the topics wx/#" in done.err
    assert kept(broker) == {"wx/bridge/state": "online"}


def test_a_broker_that_refuses_the_login_ends_it_with_the_reason(terminal: Terminal, broker: Mosquitto):
    done = terminal.run("demo", *PORTS, "--broker", f"mqtt://house:wrong@127.0.0.1:{broker.port}")
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
def test_what_does_not_go_together_is_said_before_anything_starts(
    terminal: Terminal, options: tuple[str, ...], word: str
):
    done = terminal.run("demo", *options)
    assert done.code == 2
    assert word in done.err
