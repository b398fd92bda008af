"""Runs the commands as people and service managers do: processes, exit codes, output on the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import typer
import yaml
from jsonschema import Draft202012Validator

import wx2mqtt
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.subscriber import Subscriber
from tests.support.terminal import REAL, Done, Running, Terminal
from tests.unit.store import make
from wx2mqtt.cli.main import app
from wx2mqtt.mqtt.embedded import find_mosquitto
from wx2mqtt.store.folder import DATABASE_NAME, StoreFolder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase

ROOT = Path(__file__).parents[2]
CONVERSATION = [
    ("bridge", "wx/login/state", "waiting_for_scan"),
    ("bridge", "wx/login/state", "waiting_for_confirm"),
    ("bridge", "wx/login/state", "online"),
    ("WeChat", "wx/in/me", "开灯"),
    ("you", "wx/out/me", "灯已打开"),
    ("bridge", "wx/result/me", '"sent"'),
    ("phone", "from the bot", "灯已打开"),
]
STOP_SIGNALS = [signal.SIGTERM, signal.SIGINT]

BAD_CONFIG = """\
mqtt:
  url: foo://broker
  usernam: bridge
accounts:
  home:
    send: {ttl: soon}
language: fr
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Gives a terminal that starts the program as people do."""
    return Terminal(tmp_path, REAL)


@pytest.fixture
def forked(tmp_path: Path) -> Terminal:
    """Gives a terminal that runs forks of the imported program; `terminal` runs some commands of each kind."""
    return Terminal(tmp_path)


def commands() -> Iterator[tuple[str, ...]]:
    """Yields every command that has a help, from the program's own table."""

    def walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))

    yield from walk(typer.main.get_command(app), ())


def assert_one_clear_line(done: Done, *words: str) -> None:
    """Asserts that a failure printed one line with these words, and no traceback."""
    (line,) = done.complaints
    assert "Traceback" not in done.err
    for word in words:
        assert word in line, line


# help and usage


@pytest.mark.parametrize("command", [*commands()], ids=" ".join)
def test_every_command_prints_a_help(forked: Terminal, command: tuple[str, ...]):
    done = forked.run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: wx2mqtt {' '.join(command)}".rstrip())
    assert "--help" in done.out


def test_the_version_is_printed(terminal: Terminal):
    done = terminal.run("--version")
    assert (done.code, done.out, done.err) == (0, f"wx2mqtt {wx2mqtt.__version__}\n", "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bogus",
        "--bogus",
        "run --bogus",
        "run more",
        "check a b",
        "journal",
        "journal bogus",
        "journal show",
        "journal retry abc --row",
        "people assign one",
        "schema",
        "demo --mqtt-port x",
        "demo --mqtt-port 65536",
        "demo --simulator-port -1",
        "demo --language fr",
        "simulate --port 99999",
        "simulate --friends x",
    ],
)
def test_a_wrong_command_line_ends_with_2_and_prints_the_usage(forked: Terminal, line: str):
    done = forked.run(*line.split())
    assert done.code == 2
    assert "Usage: wx2mqtt" in done.out + done.err
    assert "Traceback" not in done.err


# check


def test_a_good_file_has_no_problems(forked: Terminal):
    file = forked.file("mqtt: {url: mqtt://localhost:1883}\naccounts: {home: {}}\n", "mine.yaml")
    done = forked.run("check", "-c", file)
    assert (done.code, done.out, done.err) == (0, f"{file}: no problems\n", "")


def test_urgent_commands_without_another_way_are_a_warning(forked: Terminal, tmp_path: Path):
    file = forked.file(f"storage: {{path: {tmp_path / 'store'}}}\n", "mine.yaml")
    (tmp_path / "store").mkdir()
    asyncio.run(_store_urgent_command(tmp_path / "store"))
    done = forked.run("check", "-c", file)
    assert (done.code, done.out) == (0, f"{file}: no problems\n")
    assert done.err == (
        f"warning: {file}: accounts.home.fallback: urgent commands are given, but there is no other way"
        "; name apprise URLs or another account\n"
    )


async def _store_urgent_command(folder: Path) -> None:
    database = await SqliteDatabase.open(folder / DATABASE_NAME)
    try:
        journal = Journal(database, "home")
        await journal.open()
        new = make.command("smoke")
        await journal.commands.accept([replace(new, command=replace(new.command, urgent=True))])
    finally:
        await database.close()


def test_a_file_in_the_working_folder_is_found(forked: Terminal):
    file = forked.file("language: zh\n")
    done = forked.run("check")
    assert (done.code, done.out) == (0, f"{file}：没有问题\n")


def test_without_a_file_the_defaults_are_fine(forked: Terminal):
    done = forked.run("check")
    assert (done.code, done.out) == (0, "no file: the defaults: no problems\n")


def test_a_key_that_has_no_effect_yet_is_a_warning(forked: Terminal):
    forked.file("web: {listen: 127.0.0.1:8100}\n")
    done = forked.run("check")
    assert done.code == 0
    assert all(line.startswith("warning: ") for line in done.complaints)


@pytest.mark.parametrize("command", ["check", "run", "login", "healthcheck", "journal list", "people list"])
def test_a_bad_file_ends_with_78_and_all_its_problems_at_once(forked: Terminal, command: str):
    forked.file(BAD_CONFIG)
    done = forked.run(*command.split(), "-c", "wx2mqtt.yaml")
    assert (done.code, done.out) == (78, "")
    found = [re.fullmatch(r"(\S+):(\d+): (\S+): (.+)", line) for line in done.err.splitlines()]
    assert [(match[1], int(match[2]), match[3]) for match in found if match] == [
        ("wx2mqtt.yaml", 2, "mqtt.url"),
        ("wx2mqtt.yaml", 3, "mqtt.usernam"),
        ("wx2mqtt.yaml", 6, "accounts.home.send.ttl"),
        ("wx2mqtt.yaml", 7, "language"),
    ]
    assert all(found)
    assert "did you mean 'username'" in done.err


@pytest.mark.parametrize("command", ["check", "run"])
def test_warnings_are_printed_beside_the_problems(forked: Terminal, command: str):
    forked.file("accounts:\n  home:\n    hold: {max: 5}\nlanguage: fr\n")
    done = forked.run(command, "-c", "wx2mqtt.yaml")
    assert done.code == 78
    places = [line.split(": ")[:-1] for line in done.err.splitlines()]
    assert [line[:3] for line in places] == [
        ["warning", "wx2mqtt.yaml:3", "accounts.home.hold"],
        ["wx2mqtt.yaml:4", "language"],
    ]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.yaml", None),
        ("latin.yaml", b"language: \xff\xfe"),
        ("cut.yaml", b"mqtt: {url: [mqtt://a\n"),
        ("list.yaml", b"- a\n- b\n"),
        (".", None),
    ],
)
def test_a_file_that_is_no_configuration_ends_with_78_and_one_line(
    forked: Terminal, command: str, name: str, content: bytes | None
):
    if content is not None:
        (forked.folder / name).write_bytes(content)
    done = forked.run(command, "-c", name)
    assert (done.code, done.out) == (78, "")
    assert_one_clear_line(done, f"{name}:")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_value_in_the_environment_is_named_as_such(forked: Terminal, command: str):
    forked.env["WX2MQTT_LANGUAGE"] = "fr"
    done = forked.run(command)
    assert done.code == 78
    assert_one_clear_line(done, "WX2MQTT_LANGUAGE")


# run


def test_a_file_that_the_configuration_names_and_that_is_missing_ends_with_78(terminal: Terminal):
    terminal.file("mqtt:\n  username: me\n  password_file: /nowhere/secret\n")
    done = terminal.run("run")
    assert done.code == 78
    assert_one_clear_line(done, "wx2mqtt.yaml:3: mqtt.password_file:", "/nowhere/secret")


def sender_settings(terminal: Terminal) -> str:
    """Returns lines of `web` with a program that may send."""
    token = terminal.folder / "token"
    token.write_text("0123456789abcdef" * 3)
    token.chmod(0o600)
    return f"  senders: [{{name: nas, token_file: {token}, to: wife}}]\n"


def write_embedded_config(terminal: Terminal, store: Path | str = "store") -> None:
    terminal.file(f"mqtt: {{url: embedded}}\nstorage: {{path: {store}}}\n")


def test_the_port_of_the_embedded_broker_in_use_ends_with_75(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        # Another program on this machine may use 1883 itself, or release it at any moment.
        program = (
            "from wx2mqtt.app.application import RunEnvironment\n"
            f"RunEnvironment.__init__.__kwdefaults__['embedded_port'] = {port}\n"
            "from wx2mqtt.__main__ import main; main()"
        )
        terminal = Terminal(tmp_path, (sys.executable, "-c", program))
        write_embedded_config(terminal)
        done = terminal.run("run")
    assert done.code == 75
    assert_one_clear_line(done, f"port {port}", "in use", "mqtt.url")


def test_the_ports_of_broker_and_web_server_in_use_are_named_at_once(tmp_path: Path):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [str(server.getsockname()[1]) for server in servers]
        program = (
            "from wx2mqtt.app.application import RunEnvironment\n"
            f"RunEnvironment.__init__.__kwdefaults__['embedded_port'] = {ports[0]}\n"
            "from wx2mqtt.__main__ import main; main()"
        )
        terminal = Terminal(tmp_path, (sys.executable, "-c", program))
        terminal.env["WX2MQTT_WEB__LISTEN"] = f"127.0.0.1:{ports[1]}"
        terminal.file(
            "mqtt: {url: embedded}\nstorage: {path: store}\nweb:\n"
            f"  senders_listen: 127.0.0.1:{ports[2]}\n"
            f"{sender_settings(terminal)}"
        )
        done = terminal.run("run")
    assert done.code == 75
    page, senders = f"port {ports[1]}", f"port {ports[2]}"
    assert_one_clear_line(
        done, f"port {ports[0]}", "mqtt.url", page, "web.listen", senders, "web.senders_listen"
    )


def test_all_ports_of_the_web_server_in_use_are_named_at_once(forked: Terminal):
    keys = ("listen", "senders_listen", "ntfy_listen")
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in keys]
        ports = [other.getsockname()[1] for other in others]
        addresses = "".join(f"  {key}: 127.0.0.1:{port}\n" for key, port in zip(keys, ports, strict=True))
        senders = sender_settings(forked)
        broker = f"mqtt: {{url: mqtt://127.0.0.1:{free_port()}}}\n"
        forked.file(f"{broker}storage: {{path: store}}\nweb:\n{senders}{addresses}")
        del forked.env["WX2MQTT_WEB__LISTEN"]
        done = forked.run("run")
        others[0].close()
        without_first = forked.run("run")
    assert (done.code, without_first.code) == (75, 75)
    words = "in use: choose another, or set web.enabled to false"
    sentences = [
        f"web.{key}: port {port} on 127.0.0.1 is {words}" for key, port in zip(keys, ports, strict=True)
    ]
    assert_one_clear_line(done, "; ".join(sentences))
    assert_one_clear_line(without_first, "; ".join(sentences[1:]))


def test_the_port_of_the_web_server_in_use_ends_with_75(forked: Terminal):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        forked.file(
            f"mqtt: {{url: mqtt://127.0.0.1:{free_port()}}}\nweb: {{listen: 127.0.0.1:{port}}}\n"
            "storage: {path: store}\n"
        )
        del forked.env["WX2MQTT_WEB__LISTEN"]
        done = forked.run("run")
    assert done.code == 75
    assert_one_clear_line(done, f"port {port}", "in use", "web.listen")


def test_an_address_that_others_reach_needs_a_password_else_78(forked: Terminal):
    forked.env["WX2MQTT_WEB__LISTEN"] = "0.0.0.0:0"
    forked.file("web: {token: abc}\nstorage: {path: store}\n")
    done = forked.run("run")
    assert done.code == 78
    assert "web.password_file" in done.err


@pytest.mark.parametrize("command", ["run", "login", "journal list", "people list"])
def test_a_store_that_another_process_has_ends_with_75_and_names_it(forked: Terminal, command: str):
    write_embedded_config(forked)
    folder = StoreFolder.open(forked.folder / "store")
    try:
        done = forked.run(*command.split())
    finally:
        folder.close()
    assert done.code == 75
    assert_one_clear_line(done, "store", f"process {os.getpid()}")


def test_a_store_that_cannot_be_created_ends_with_75(forked: Terminal):
    (forked.folder / "file").touch()
    write_embedded_config(forked, "file/store")
    done = forked.run("run")
    assert done.code == 75
    assert_one_clear_line(done, str(forked.folder / "file" / "store"))


def test_a_store_that_is_not_writable_ends_with_75(tmp_path: Path):
    # root may write everywhere unless it lacks that capability, which prctl 24 drops from the bounding set
    program = (
        "import ctypes, os, sys; os.geteuid() or ctypes.CDLL(None).prctl(24, 1);"
        "os.execv(sys.executable, [sys.executable, '-m', 'wx2mqtt', *sys.argv[1:]])"
    )
    terminal = Terminal(tmp_path, (sys.executable, "-c", program))
    (tmp_path / "store").mkdir(mode=0o500)
    write_embedded_config(terminal)
    done = terminal.run("run")
    assert done.code == 75
    assert_one_clear_line(done, str(tmp_path / "store"))


def test_a_store_of_a_newer_version_ends_with_78_and_stays_as_it_is(forked: Terminal):
    write_embedded_config(forked)
    (forked.folder / "store").mkdir()
    database = forked.folder / "store" / "wx2mqtt.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = database.read_bytes()
    done = forked.run("run")
    assert done.code == 78
    assert_one_clear_line(done, "999")
    assert database.read_bytes() == before


@pytest.mark.parametrize("stop_signal", STOP_SIGNALS)
def test_a_bridge_without_broker_and_wechat_runs_on_and_ends_in_order(
    terminal: Terminal, stop_signal: signal.Signals
):
    terminal.file(
        f"mqtt: {{url: mqtt://127.0.0.1:{free_port()}}}\n"
        f"accounts: {{home: {{endpoint: 'http://127.0.0.1:{free_port()}'}}}}\n"
        "storage: {path: store}\n"
    )
    with terminal.running("run") as bridge:
        bridge.until('"interrupted"')
        began = time.monotonic()
        assert bridge.end(stop_signal) == 0
    assert time.monotonic() - began < allowed(5)
    assert not (terminal.folder / "store" / "control.sock").exists()
    assert "Traceback" not in "\n".join(bridge.said)


def test_an_unexpected_failure_is_in_the_log_without_its_secrets(tmp_path: Path):
    program = (
        "import wx2mqtt.app.process as running\n"
        "async def run(*_): raise RuntimeError('https://wx.qq.com/?skey=@crypt_5ca1ab1e_0123456789abcdef')\n"
        "running.run = run\n"
        "from wx2mqtt.__main__ import main; main()"
    )
    done = Terminal(tmp_path, (sys.executable, "-c", program)).run("run")
    assert done.code == 1
    assert "RuntimeError" in done.err
    assert "0123456789abcdef" not in done.err
    assert done.complaints == []


def test_without_a_store_the_commands_that_need_one_say_so(forked: Terminal):
    write_embedded_config(forked)
    for command in ("journal list", "people list"):
        done = forked.run(*command.split())
        assert done.code == 1
        assert_one_clear_line(done, str(forked.folder / "store"), "start the bridge")


@pytest.mark.parametrize("option", ["", "--live"])
def test_the_healthcheck_fails_while_no_bridge_runs(forked: Terminal, option: str):
    write_embedded_config(forked)
    done = forked.run("healthcheck", *option.split())
    assert (done.code, done.err) == (1, "")
    assert "No bridge runs" in done.out


# schema


def test_the_printed_schema_is_valid_and_fits_the_example(forked: Terminal):
    done = forked.run("schema", "config")
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    check.validate(yaml.safe_load((ROOT / "config/wx2mqtt.yaml").read_text()))
    assert not check.is_valid({"languag": "en"})


# simulate


@pytest.mark.parametrize("stop_signal", STOP_SIGNALS)
def test_the_simulator_serves_until_it_is_stopped(terminal: Terminal, stop_signal: signal.Signals):
    with terminal.running("simulate", "--port", "0", "--friends", "3") as simulator:
        url = printed_url(simulator)
        with httpx.Client(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
            assert http.get("/sim").status_code == 200
            assert http.get("/jslogin", params={"appid": "wx782c26e4c19acffb"}).status_code == 200
            assert simulator.end(stop_signal) == 0


def test_the_simulator_on_a_port_in_use_ends_with_75(forked: Terminal):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = forked.run("simulate", "--port", str(port))
    assert (done.code, done.out) == (75, "")
    assert_one_clear_line(done, str(port))


# demo


def printed_url(running: Running) -> str:
    found = re.search(r"https?://[\d.:]+", running.until("http://"))
    assert found
    return found[0]


def processes_that_name(path: Path) -> list[str]:
    """Returns the command lines of running processes that contain `path`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(path) in line]


def assert_conversation(done: Done) -> None:
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == len(CONVERSATION)
    for line, (sender, topic, text) in zip(lines, CONVERSATION, strict=True):
        assert line.startswith(sender), line
        assert topic in line, line
        assert text in line, line


FREE_PORTS = ("--simulator-port", "0", "--mqtt-port", "0", "--web-port", "0")


def assert_nothing_left(terminal: Terminal) -> None:
    assert list(terminal.temporary.iterdir()) == []
    assert processes_that_name(terminal.temporary) == []


@pytest.mark.parametrize("stop_signal", STOP_SIGNALS)
def test_the_demo_serves_a_phone_and_a_broker_and_leaves_nothing_behind(
    terminal: Terminal, stop_signal: signal.Signals
):
    with terminal.running("demo", *FREE_PORTS) as demo:
        control = printed_url(demo)
        broker = re.search(r"mqtt://127\.0\.0\.1:(\d+)", demo.until("mqtt://"))
        assert broker
        demo.until("Ctrl-C")
        assert any(f"-p {broker[1]}" in line for line in demo.said)
        assert (
            httpx.get(control, trust_env=False, timeout=MAX_WAIT_SECONDS, follow_redirects=True).status_code
            == 200
        )
        with Subscriber(int(broker[1]), "wx/login/url") as subscriber:
            subscriber.wait("wx/login/url", lambda url: bool(url.payload))
        page = re.search(r"http://\S+/", demo.until("the page"))
        assert page
        assert "Scan the code" in httpx.get(page[0], trust_env=False, timeout=MAX_WAIT_SECONDS).text
        assert (
            httpx.get(f"{page[0]}media/nothing", trust_env=False, timeout=MAX_WAIT_SECONDS).status_code == 404
        )
        if find_mosquitto():
            assert processes_that_name(terminal.temporary)
        began = time.monotonic()
        assert demo.end(stop_signal) == 0
    assert time.monotonic() - began < allowed(5)
    assert "Traceback" not in "\n".join(demo.said)
    assert_nothing_left(terminal)


def test_the_demo_leaves_no_broker_behind_when_it_is_killed(terminal: Terminal):
    with terminal.running("demo", *FREE_PORTS) as demo:
        port = re.search(r"mqtt://127\.0\.0\.1:(\d+)", demo.until("mqtt://"))
        assert port
        with socket.create_connection(("127.0.0.1", int(port[1]))) as connection:
            demo.end(signal.SIGKILL)
            connection.settimeout(MAX_WAIT_SECONDS)
            assert connection.recv(1) == b""


@pytest.mark.parametrize("option", ["--simulator-port", "--mqtt-port", "--web-port"])
def test_a_port_of_the_demo_in_use_ends_with_75_and_names_the_option(terminal: Terminal, option: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = terminal.run("demo", *FREE_PORTS, option, port)
    assert done.code == 75
    assert_one_clear_line(done, port, option)
    assert_nothing_left(terminal)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_ports_of_the_demo_in_use_are_named_at_once(terminal: Terminal, language: str):
    options = ("--simulator-port", "--mqtt-port", "--web-port")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in options]
        ports = {
            option: str(server.getsockname()[1]) for option, server in zip(options, servers, strict=True)
        }
        chosen = [word for pair in ports.items() for word in pair]
        done = terminal.run("demo", "--language", language, *chosen)
    assert done.code == 75
    broker = f"--broker mqtt://127.0.0.1:{ports['--mqtt-port']}"
    assert_one_clear_line(done, broker, *(f"{port} ({option})" for option, port in ports.items()))
    assert_nothing_left(terminal)


def test_demo_once_shows_a_conversation(terminal: Terminal):
    began = time.monotonic()
    assert_conversation(terminal.run("demo", "--once"))
    assert time.monotonic() - began < allowed(10)
    assert_nothing_left(terminal)


def test_demo_once_shows_what_the_documentation_says(terminal: Terminal):
    page = (ROOT / "docs/en/start/shell.md").read_text(encoding="utf-8")
    documented = re.search(r"```text\n(bridge .*?)```", page, re.DOTALL)
    assert documented
    lines = terminal.run("demo", "--once").out.splitlines()
    assert [line for line in lines if line in documented[1].splitlines()] == documented[1].splitlines()


def test_demo_once_uses_the_ports_that_it_is_given(terminal: Terminal):
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = terminal.run("demo", "--once", "--mqtt-port", str(server.getsockname()[1]))
    assert done.code == 75


def test_demo_once_can_be_stopped(terminal: Terminal):
    with terminal.running("demo", "--once") as demo:
        demo.until("waiting_for_scan")
        demo.end(signal.SIGINT)
    assert "Traceback" not in "\n".join(demo.said)
    assert_nothing_left(terminal)


def test_demo_once_works_where_there_is_no_mosquitto(tmp_path: Path):
    # On Debian it is found outside of PATH as well, so that no environment alone could hide it.
    program = (
        "from wx2mqtt.mqtt import embedded; embedded.find_mosquitto = lambda: None\n"
        "from wx2mqtt.__main__ import main; main()"
    )
    terminal = Terminal(tmp_path, (sys.executable, "-c", program))
    began = time.monotonic()
    assert_conversation(terminal.run("demo", "--once"))
    assert time.monotonic() - began < allowed(10)
    assert_nothing_left(terminal)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing (Debian: apt-get install make)")
def test_make_demo_passes_its_arguments_on(tmp_path: Path):
    """The environment of this test takes the place of `.venv`, which takes a minute to build."""
    binaries = Path(sys.executable).parent
    make = ("make", "-s", "-C", ROOT, "-o", ".venv/ready", f"BIN={binaries}")
    assert_conversation(Terminal(tmp_path, make).run("demo", "ARGS=--once"))


# installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the package as it is published, without a network; returns the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a new environment with the wheel and the present dependencies, which cannot import the source."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python3*/site-packages")
    dependencies = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "borrowed.pth").write_text("\n".join(dependencies) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True, cwd=folder)
    return environment


def test_an_installed_wheel_runs_without_its_source(installed: Path, tmp_path: Path):
    terminal = Terminal(tmp_path, (installed / "bin" / "wx2mqtt",))
    python = [str(installed / "bin" / "python"), "-c", "import wx2mqtt; print(wx2mqtt.__file__)"]
    located = subprocess.run(
        python, cwd=tmp_path, env=terminal.env, capture_output=True, text=True, check=True
    )
    assert located.stdout.startswith(str(installed))
    assert_conversation(terminal.run("demo", "--once"))
    assert_nothing_left(terminal)


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "wx2mqtt"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    (man_page,) = (name for name in names if name.endswith("/data/share/man/man1/wx2mqtt.1"))
    assert names - {man_page} == {name for name in tracked if (ROOT / name).exists()}
    for ending in (".sql", ".html", ".js", ".css", ".png", "py.typed"):
        assert any(name.endswith(ending) for name in names), ending
