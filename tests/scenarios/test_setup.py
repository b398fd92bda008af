"""`wx2mqtt setup`: with answers at a terminal, with options, and what its files do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import Mosquitto, free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.doctor_checks import silent_server
from tests.support.screen import Screen
from tests.support.subscriber import Subscriber
from tests.support.terminal import REAL, Done, Terminal
from wx2mqtt.settings.loader import load
from wx2mqtt.setup.find_brokers import FoundBroker, find_brokers
from wx2mqtt.simulator.samples import sample
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.wechat.registry import BACKENDS

# Setup run by root would write to /etc; and the folder of a test is one that a service cannot see.
PREPARE = """
from wx2mqtt.setup import find_brokers, written_files
find_brokers.find_brokers.__defaults__ = ({supervisor!r}, {port})
written_files.HIDDEN_FOLDERS = ()
written_files.program_path = lambda: "/usr/bin/env wx2mqtt"  # as it would be installed
"""


WITH_SYSTEMD = "import pathlib\nwritten_files.SYSTEMD_RUNTIME = pathlib.Path('/')\n"
"""Only together with `--unit` or `--no-unit`: root would be offered a service in /etc."""


def terminal(folder: Path, answer_as_supervisor: str = "http://127.0.0.1:1", port: int = 1) -> Terminal:
    """Returns a terminal near which setup finds no other brokers than these."""
    return Terminal(folder, prepare=PREPARE.format(supervisor=answer_as_supervisor, port=port))


def broker_with_password(start_mosquitto: StartMosquitto, folder: Path) -> Mosquitto:
    """Starts a broker with the user `bridge` and the password `geheim`."""
    passwords = folder / "passwords"
    passwords.touch()
    subprocess.run(["mosquitto_passwd", "-b", passwords, "bridge", "geheim"], check=True)
    passwords.chmod(0o644)
    config = f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
    return start_mosquitto(config, listener=False)


def assert_nothing_written(shell: Terminal) -> None:
    assert [path.name for path in shell.folder.iterdir() if path.name.endswith((".yaml", ".password"))] == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# by options alone


def test_setup_by_options_writes_a_file_that_passes_its_check(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    shell = terminal(tmp_path)
    (secret := tmp_path / "secret").write_text("geheim\n")
    secret.chmod(0o600)
    options = f"--host 127.0.0.1 --port {broker.port} --user bridge --password-file secret --language zh"
    done = shell.run("setup", "-c", "a.yaml", *options.split(), "--home-assistant", "--person", "wife=老婆")
    assert (done.code, done.err) == (0, "")
    assert "MQTT 服务器满足桥接程序的全部需要" in done.out
    checked = shell.run("check", "-c", "a.yaml")
    assert (checked.code, checked.err) == (0, "")
    assert f"password_file: {secret}" in (tmp_path / "a.yaml").read_text()


def test_a_password_from_the_standard_input_goes_into_a_file_of_its_own(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    shell = terminal(tmp_path)
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --user bridge --password-file - --yes --no-unit"
    done = shell.run(*line.split(), data=b"geheim\n")
    assert (done.code, done.err) == (0, "")
    password = tmp_path / "mqtt.password"
    assert (password.read_text(), mode(password)) == ("geheim\n", 0o600)
    assert "geheim" not in (tmp_path / "a.yaml").read_text() + done.out
    assert mode(tmp_path / "a.yaml") == 0o644
    assert shell.run("check", "-c", "a.yaml").code == 0


def test_a_broker_that_refuses_the_login_ends_with_1_and_nothing_is_written(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    shell = terminal(tmp_path)
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --yes --no-unit"
    done = shell.run(*line.split())
    assert done.code == 1
    assert "requires a user" in done.out
    assert "nothing was written" in done.err
    assert_nothing_written(shell)
    assert shell.run(*line.split(), "--no-try").code == 0, "who knows better may write it all the same"


async def test_a_broker_that_does_not_answer_ends_in_time(tmp_path):
    async with silent_server() as port:
        shell = terminal(tmp_path)
        line = f"setup -c a.yaml --host 127.0.0.1 --port {port} --yes --no-unit"
        done = await asyncio.to_thread(shell.run, *line.split())
    assert done.code == 1
    assert_nothing_written(shell)


def test_missing_rights_are_named_and_the_file_is_written(start_mosquitto, tmp_path):
    (tmp_path / "acl").write_text("topic readwrite wx/in/#\ntopic readwrite wx/out/#\n")
    (tmp_path / "acl").chmod(0o644)
    broker = start_mosquitto(f"acl_file {tmp_path}/acl\n")
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --yes --no-unit"
    done = terminal(tmp_path).run(*line.split())
    assert done.code == 0
    assert "topic write wx/result/#" in done.out
    assert "until this is fixed" in done.out
    assert (tmp_path / "a.yaml").exists()


def test_without_a_broker_the_embedded_one_is_used(tmp_path):
    shell = terminal(tmp_path)
    done = shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--no-unit"])
    assert (done.code, done.err) == (0, "")
    assert "url: embedded" in (tmp_path / "a.yaml").read_text()
    assert shell.run("check", "-c", "a.yaml").code == 0


@pytest.mark.parametrize(
    ("options", "contacts"), [("--backend ilink", ""), ("--backend ilink --owner me", "me: {owner: true}")]
)
def test_ilink_by_options_passes_its_check_without_a_warning(tmp_path, options, contacts):
    shell = terminal(tmp_path)
    line = f"setup -c a.yaml --embedded {options} --home-assistant --language en --no-unit"
    done = shell.run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert "write to the bot once" in done.out
    text = (tmp_path / "a.yaml").read_text()
    assert "\n    backend: ilink" in text
    assert f"\n      {contacts}\n" in text or not contacts
    checked = shell.run("check", "-c", "a.yaml")
    assert (checked.code, checked.err) == (0, "")
    assert "warning" not in checked.out


OPTIONS_OFF = {
    ("en", "ilink"): "remind, renew and fallback are off: ",
    ("zh", "ilink"): "remind、renew 和 fallback 都未开启：",
    ("en", "webwx"): "fallback is off: ",
    ("zh", "webwx"): "fallback 未开启：",
}


@pytest.mark.parametrize(("language", "backend"), OPTIONS_OFF)
def test_a_setup_without_options_for_alarms_says_in_one_line_what_that_means(tmp_path, language, backend):
    line = f"setup -c a.yaml --embedded --backend {backend} --language {language} --yes --no-unit"
    done = terminal(tmp_path).run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert (
        len([output for output in done.out.splitlines() if output.startswith(OPTIONS_OFF[language, backend])])
        == 1
    )


@pytest.mark.parametrize("option", ["--remind", "--renew", "--fallback-file urls"])
def test_each_option_for_alarms_is_written(tmp_path, option):
    (urls := tmp_path / "urls").write_text("json://localhost\n")
    urls.chmod(0o600)
    shell = terminal(tmp_path)
    line = f"setup -c a.yaml --embedded --owner me --language en --no-home-assistant --no-unit {option}"
    done = shell.run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert "are off" not in done.out
    account = load(tmp_path / "a.yaml", {}, BACKENDS).settings.accounts["home"]
    on = {
        "--remind": account.ilink.remind.before == 7200.0,
        "--renew": account.ilink.renew.after == 25 * 86_400.0,
        "--fallback-file urls": len(account.fallback.urls) == 1,
    }
    assert [name for name, is_set in on.items() if is_set] == [option]


def test_a_terminal_asks_for_each_option_for_alarms_and_one_key_answers(tmp_path):
    shell = terminal(tmp_path)
    line = "setup --embedded --owner me --language en --no-home-assistant --no-unit --allow-host door.lan"
    with Screen([*shell.program, *line.split(), "-c", str(tmp_path / "a.yaml")], shell.env) as screen:
        for question in ("remind you", "code of the next login", "go another way"):
            screen.next(question)
            screen.next("[y/N]: ")
            screen.type("n")
        assert screen.wait() == 0
    assert screen.text.count("remind, renew and fallback are off") == 1


async def test_a_picture_of_an_allowed_host_arrives_with_the_file_of_setup(start_mosquitto, tmp_path):
    """The doorbell of Home Assistant sends a picture so; the configuration is the one that setup wrote."""
    broker: Mosquitto = start_mosquitto()
    async with (
        Simulator(port=0) as simulator,
        await asyncio.start_server(serve_picture, "127.0.0.1", 0) as file_server,
    ):
        url = f"http://127.0.0.1:{file_server.sockets[0].getsockname()[1]}/api/camera_proxy/camera.door"
        await asyncio.to_thread(_set_up_and_send_picture, tmp_path, broker, simulator.url, url)


async def serve_picture(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    data = sample("image.jpg")
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    )
    await writer.drain()
    writer.close()


def _set_up_and_send_picture(folder: Path, broker: Mosquitto, phone: str, url: str) -> None:
    shell = terminal(folder)
    line = f"setup --host 127.0.0.1 --port {broker.port} --user= --home-assistant --allow-host 127.0.0.1 --yes --no-unit"
    assert shell.run(*line.split(), "-c", "wx2mqtt.yaml").code == 0
    shell.env |= {"WX2MQTT_ACCOUNTS__HOME__ENDPOINT": phone, "WX2MQTT_STORAGE__PATH": str(folder / "store")}
    with Subscriber(broker.port, "wx/#") as subscriber, shell.running("run") as bridge:
        subscriber.wait("wx/login/state", lambda received: received.body["state"] == "waiting_for_scan")
        for step, body in (("scan", {}), ("confirm", {}), ("say", {"text": "hello"})):
            if step == "say":
                subscriber.wait("wx/login/state", lambda received: received.body["state"] == "online")
            httpx.post(f"{phone}/sim/ilink/{step}", json=body, trust_env=False).raise_for_status()
        subscriber.wait("wx/window/me", lambda received: received.body["open"])
        subscriber.publish(
            "wx/out/me", json.dumps({"kind": "image", "url": url, "name": "door.jpg", "ttl": 120})
        )
        assert subscriber.wait("wx/result/me").body["code"] == "ok"
        bridge.end(signal.SIGTERM)


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_each_printed_command_works_as_it_is_printed(start_mosquitto, tmp_path, language):
    broker: Mosquitto = start_mosquitto()
    async with Simulator(port=0) as simulator:
        await asyncio.to_thread(
            _run_printed_commands, tmp_path / "a 'folder'", broker, simulator.url, language
        )


def _run_printed_commands(folder: Path, broker: Mosquitto, phone: str, language: str) -> None:
    """Runs the commands that setup prints as the next steps, by a shell in another folder."""
    folder.mkdir()
    shell = Terminal(folder, REAL)
    line = f"setup --host 127.0.0.1 --port {broker.port} --user= --language {language} --yes --no-unit"
    done = shell.run(*line.split(), "-c", "my file.yaml")
    assert (done.code, done.err) == (0, "")
    printed = {
        name: command
        for command, name in re.findall(r"[:：] ?([^:：\n]* -m wx2mqtt (run|login) -c .*)", done.out)
    }
    shell.env |= {"WX2MQTT_ACCOUNTS__HOME__ENDPOINT": phone, "WX2MQTT_STORAGE__PATH": str(folder / "store")}
    with (
        Subscriber(broker.port, "wx/#") as subscriber,
        _shell(shell, printed["run"], subprocess.DEVNULL),
    ):
        subscriber.wait("wx/login/state", lambda received: received.body["state"] == "waiting_for_scan")
        with _shell(shell, printed["login"], subprocess.PIPE) as login:
            assert login.stdout
            login.stdout.readline()  # it has asked for a code of its own, which ends the one before
            for step in ("scan", "confirm"):
                httpx.post(f"{phone}/sim/ilink/{step}", json={}, trust_env=False).raise_for_status()
            assert login.wait(MAX_WAIT_SECONDS) == 0


@contextmanager
def _shell(shell: Terminal, command: str, out: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command by a shell in another folder, and ends it after the block."""
    line = ["bash", "-c", f"exec {command}"]
    with subprocess.Popen(line, env=shell.env, cwd="/", stdout=out, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_service_of_another_name_is_enabled_by_that_name(tmp_path):
    shell = Terminal(tmp_path, prepare=PREPARE.format(supervisor="http://127.0.0.1:1", port=1) + WITH_SYSTEMD)
    done = shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "bridge.service"])
    assert (done.code, done.err) == (0, "")
    assert "systemctl enable --now bridge\n" in done.out


@pytest.mark.parametrize("language", ["en", "zh"])
def test_setup_writes_the_file_that_the_page_about_home_assistant_shows(tmp_path, language):
    root = Path(__file__).parents[2]
    page = (root / f"docs/{language}/start/home-assistant.md").read_text()
    readme = "README.md" if language == "en" else "README.zh.md"
    files = (root / "deploy/home-assistant" / readme).read_text()
    command = re.search(r"wx2mqtt (setup .*--home-assistant.*)", page)
    block = re.search(r"```yaml\n(mqtt:.*?)```", files, re.DOTALL)
    assert command
    assert block
    page_file = yaml.safe_load(block[1])
    command_arguments = ["-c", "a.yaml", "--password-file", "-", "--no-try", "--yes", "--no-unit"]
    shell = terminal(tmp_path)
    shell.env |= {"LANG": "zh_CN.UTF-8" if language == "zh" else "C.UTF-8", "LC_ALL": ""}
    done = shell.run(*command[1].split(), *command_arguments, data=b"geheim\n")
    assert (done.code, done.err) == (0, "")
    written = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert {key: written[key] for key in page_file} == page_file


def test_without_a_terminal_the_missing_options_are_named_and_setup_ends_with_2(tmp_path):
    shell = terminal(tmp_path)
    done = shell.run("setup", "--language", "en")
    assert done.code == 2
    assert "--host" in done.err
    assert "--home-assistant" in done.err
    assert "--backend" in done.err
    assert "--language" not in done.err.partition("Error")[2]
    nothing = shell.run("setup", "--yes")
    assert nothing.code == 2
    assert "no broker was found" in nothing.err
    assert_nothing_written(shell)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--host b --embedded", "--embedded"),
        ("--embedded --person wife", "NAME=REMARK"),
        ("--embedded --person a/b=x", "topic level"),
        ("--embedded --person wife=a --person wife=b", "wife is given twice"),
        ("--host mqtt://broker.lan --no-try", "no host name"),
        ("--host broker.lan:1883 --no-try", "no host name"),
        ("--host= --no-try", "no host name"),
        ("--embedded --password-file /nowhere", "/nowhere"),
        ("--host b --tls --ca-file /nowhere", "/nowhere"),
        ("--host b --password-file -", "standard input is empty"),
        ("--embedded --language fr", "fr"),
        ("--embedded --backend qq", "qq"),
        ("--embedded --backend ilink --person wife=老婆", "--owner"),
        ("--embedded --owner me --person wife=老婆", "--owner"),
        ("--embedded --backend webwx --owner me", "--person"),
        ("--embedded --owner a/b", "topic level"),
        ("--host b --port 0", "--port"),
        ("--embedded --backend webwx --remind", "--remind"),
        ("--embedded --person wife=老婆 --renew", "--renew"),
        ("--embedded --fallback-file /nowhere", "/nowhere"),
        ("--embedded --allow-host http://door.lan", "--allow-host"),
    ],
)
def test_contradictory_options_end_with_2_and_the_reason(tmp_path, line, word):
    shell = terminal(tmp_path)
    done = shell.run("setup", "-c", "a.yaml", "--yes", *line.split())
    assert done.code == 2
    assert word in done.err
    assert "Traceback" not in done.err
    assert_nothing_written(shell)


def test_a_configuration_that_fails_the_check_is_not_written(tmp_path):
    shell = terminal(tmp_path)
    for line in (["--embedded", "--person", "x=a\nb"], ["--host", "b", "--no-try", "--user", "a\x01b"]):
        done = shell.run("setup", "-c", "a.yaml", "--yes", "--no-unit", *line)
        assert done.code == 78
        assert f"{tmp_path}/a.yaml: " in done.err
        assert "control characters" in done.err
        assert_nothing_written(shell)


def test_an_ipv6_address_may_stand_in_brackets(tmp_path):
    shell = terminal(tmp_path)
    for host in ("::1", "[::1]"):
        line = ["setup", "-c", "a.yaml", "--host", host, "--no-try", "--yes", "--no-unit", "--overwrite"]
        assert shell.run(*line).code == 0
        assert "mqtt://[::1]:1883" in (tmp_path / "a.yaml").read_text()


def test_an_existing_file_is_not_overwritten_without_force_and_then_kept_beside(tmp_path):
    shell = terminal(tmp_path)
    shell.file("language: zh\n", "a.yaml")
    line = ["setup", "-c", "a.yaml", "--embedded", "--yes", "--no-unit"]
    done = shell.run(*line)
    assert done.code == 1
    assert "--overwrite" in done.err
    assert (tmp_path / "a.yaml").read_text() == "language: zh\n"
    done = shell.run(*line, "--overwrite")
    assert done.code == 0
    (moved_aside,) = tmp_path.glob("a.yaml.*")
    assert moved_aside.read_text() == "language: zh\n"
    assert str(moved_aside) in done.out


def test_an_existing_password_file_is_not_overwritten_without_force(mosquitto: Mosquitto, tmp_path):
    shell = terminal(tmp_path)
    (tmp_path / "mqtt.password").write_text("mine\n")
    line = (
        f"setup -c a.yaml --host 127.0.0.1 --port {mosquitto.port} --user b --password-file - --yes --no-unit"
    )
    done = shell.run(*line.split(), data=b"other\n")
    assert done.code == 1
    assert (tmp_path / "mqtt.password").read_text() == "mine\n"
    assert not (tmp_path / "a.yaml").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    done = terminal(tmp_path).run(*["setup", "-c", "/proc/a.yaml", "--embedded", "--yes", "--no-unit"])
    assert done.code == 1
    assert "/proc/a.yaml cannot be written" in done.err


# the service


def test_the_service_is_written_with_our_paths_and_its_password_as_a_credential(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    shell = Terminal(tmp_path, prepare=PREPARE.format(supervisor="http://127.0.0.1:1", port=1) + WITH_SYSTEMD)
    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "secret").chmod(0o600)
    line = (
        f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --user bridge --password-file secret --yes"
        " --unit wx2mqtt.service"
    )
    done = shell.run(*line.split())
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "wx2mqtt.service").read_text()
    assert f" run -c {tmp_path}/a.yaml\n" in text
    assert f"\nLoadCredential=mqtt.password:{tmp_path}/secret\n" in text
    assert "systemctl enable --now wx2mqtt" in done.out


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian: systemd)"
)
def test_systemd_accepts_the_service(tmp_path):
    shell = terminal(tmp_path)
    assert shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"]).code == 0
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "wx2mqtt.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "wx2mqtt.service" not in done.stderr, done.stderr


def test_a_service_that_could_not_see_its_files_is_not_written(tmp_path):
    shell = Terminal(tmp_path)
    done = shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert done.code == 0
    assert "sandbox" in done.out
    assert not (tmp_path / "wx2mqtt.service").exists()


def test_a_service_that_could_not_see_its_python_is_not_written(tmp_path):
    hidden_folder = 'written_files.HIDDEN_FOLDERS = ("/home",)\nwritten_files.interpreter_path = '
    prepare = f'import pathlib\nfrom wx2mqtt.setup import written_files\n{hidden_folder}lambda: pathlib.Path("/home/me/python")'
    shell = Terminal(tmp_path, prepare=prepare)
    done = shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert done.code == 0
    assert "Python /home/me/python" in done.out
    assert "/usr/bin/python3" in done.out
    assert not (tmp_path / "wx2mqtt.service").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is offered a service; run it as root")
def test_where_systemd_does_not_run_root_is_told_how_to_get_the_service(tmp_path):
    prepare = "import pathlib\nfrom wx2mqtt.setup import written_files\nwritten_files.SYSTEMD_RUNTIME = pathlib.Path('/none')"
    shell = Terminal(tmp_path, prepare=prepare)
    done = shell.run(*["setup", "-c", "a.yaml", "--embedded", "--yes"])
    assert (done.code, "--unit /etc/systemd/system/wx2mqtt.service" in done.out) == (0, True)
    done = shell.run(*["setup", "-c", "b.yaml", "--embedded", "--yes", "--no-unit"])
    assert (done.code, "--unit" in done.out) == (0, False)
    done = shell.run(*["setup", "-c", "c.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert (done.code, "systemctl" in done.out) == (0, False)
    assert f"run -c {tmp_path}/c.yaml" in done.out


def test_the_credential_of_the_service_takes_precedence_over_the_password_file(start_mosquitto, tmp_path):
    """systemd hands over the credential named mqtt.password, which takes precedence over the file of the
    configuration.
    """
    shell = terminal(tmp_path)
    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "secret").chmod(0o600)
    line = "setup -c a.yaml --host b --user bridge --password-file secret --yes --no-try --no-unit"
    assert shell.run(*line.split()).code == 0
    (tmp_path / "secret").unlink()
    (credentials := tmp_path / "credentials").mkdir()
    (credentials / "mqtt.password").write_text("geheim\n")
    shell.env["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert shell.run("check", "-c", "a.yaml").code == 0


# what is found


async def answer_as_supervisor(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: object
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    is_authorized = head.startswith("GET /services/mqtt ") and "authorization: bearer token" in head.lower()
    body = json.dumps({"result": "ok", "data": data}).encode()
    status = "200 OK" if is_authorized else "401 Unauthorized"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    )
    await writer.drain()
    writer.close()


async def brokers_found_with(data: object, token: str = "token", port: int = 1) -> list[FoundBroker]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_as_supervisor(reader, writer, data)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return await find_brokers({"SUPERVISOR_TOKEN": token} if token else {}, url, port)


SUPERVISOR_BROKER = {
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "username": "addons",
    "password": "geheim",
}


async def test_the_supervisor_of_home_assistant_names_its_broker():
    (found,) = await brokers_found_with(SUPERVISOR_BROKER)
    assert found.source == "supervisor"
    assert (found.broker.url, found.broker.username) == ("mqtt://core-mosquitto:1883", "addons")
    assert found.broker.password == "geheim"


@pytest.mark.parametrize("data", [None, [], {}, {"host": "x"}, {"host": "x", "port": "y"}, "text"])
async def test_a_supervisor_without_a_broker_is_no_error(data):
    assert await brokers_found_with(data) == []


async def test_without_the_right_token_the_supervisor_names_no_broker():
    assert await brokers_found_with(SUPERVISOR_BROKER, token="") == []
    assert await brokers_found_with(SUPERVISOR_BROKER, token="wrong") == []


async def test_a_broker_on_this_machine_is_found(mosquitto: Mosquitto):
    found = await find_brokers({}, "http://127.0.0.1:1", mosquitto.port)
    assert [(candidate.source, candidate.broker.port) for candidate in found] == [("here", mosquitto.port)]
    assert await find_brokers({}, "http://127.0.0.1:1", free_port()) == []


async def test_the_broker_of_the_supervisor_is_tried_and_written(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    data = {**SUPERVISOR_BROKER, "host": "127.0.0.1", "port": broker.port, "username": "bridge"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_as_supervisor(reader, writer, data)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        shell = terminal(tmp_path, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        shell.env["SUPERVISOR_TOKEN"] = "token"
        done: Done = await asyncio.to_thread(shell.run, *["setup", "-c", "a.yaml", "--yes", "--no-unit"])
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "a.yaml").read_text()
    assert "username: bridge" in text
    assert "password_file: mqtt.password" in text
    assert "enabled: true" in text.partition("homeassistant:")[2]
    assert (tmp_path / "mqtt.password").read_text() == "geheim\n"


# a person


def test_a_person_answers_question_by_question(start_mosquitto, tmp_path):
    broker = broker_with_password(start_mosquitto, tmp_path)
    shell = terminal(tmp_path)
    command = [*shell.program, "setup", "-c", str(tmp_path / "a.yaml"), "--unit", str(tmp_path / "w.service")]
    with Screen(command, {**shell.env, "LANG": "C.UTF-8", "LC_ALL": ""}) as screen:
        for question, answer in [
            ("Which language", "3"),  # there is no third
            ("1, 2", "1"),
            ("Which backend", "2"),  # webwx
            ("Which MQTT broker", "1"),
            ("name or address", "127.0.0.1"),
            ("Connect with TLS", ""),
            ("Port", str(broker.port)),
            ("User", "bridge"),
            ("Password (not shown): ", "falsch"),
            ("try again", "y"),
            ("name or address", ""),
            ("Connect with TLS", ""),
            ("Port", ""),
            ("User", ""),
            ("Password (not shown): ", "geheim"),
            ("Home Assistant?", "y"),
            ("pictures may be sent", "192.168.1.20 door.lan"),
            ("Name for the topic", "a/b"),
            ("topic level", "wife"),
            ("The remark of wife", "老婆"),
            ("Name for the topic", ""),
            ("go another way", "y"),
            # The test waits for the end of the prompt: what is typed before the terminal hides the answer is thrown away.
            ("example.org (not shown): ", "json://localhost/geheim"),
        ]:
            screen.next(question)
            screen.type(answer)
        assert screen.wait() == 0
        assert "geheim" not in screen.text
        assert "falsch" not in screen.text
    text = (tmp_path / "a.yaml").read_text()
    assert "wife: {remark: 老婆}" in text
    assert "expose: [wife]" in text
    assert "allow_hosts: [192.168.1.20, door.lan]" in text
    assert "fallback is off" not in screen.text
    urls = tmp_path / "fallback.urls"
    assert (urls.read_text(), mode(urls)) == ("json://localhost/geheim\n", 0o600)
    assert f"\nLoadCredential=accounts.home.fallback.urls:{urls}\n" in (tmp_path / "w.service").read_text()
    assert (tmp_path / "mqtt.password").read_text() == "geheim\n"
    assert (tmp_path / "w.service").exists()
    assert shell.run("check", "-c", "a.yaml").code == 0


def test_a_person_who_chooses_ilink_is_not_asked_for_remarks(tmp_path):
    shell = terminal(tmp_path)
    command = [*shell.program, "setup", "-c", str(tmp_path / "a.yaml"), "--embedded", "--no-unit"]
    with Screen(command, {**shell.env, "LANG": "C.UTF-8", "LC_ALL": ""}) as screen:
        screen.next("Which language")
        screen.type("1")
        screen.next("choose ilink")
        for question, answer in [
            ("Which backend", ""),
            ("Home Assistant?", "n"),
            ("pictures may be sent", ""),
            ("Name for yourself", ""),
            ("remind you", "y"),
            ("code of the next login", "y"),
            ("go another way", ""),
        ]:
            screen.next(question)
            screen.type(answer)
        assert screen.wait() == 0
        assert "remark" not in screen.text
    text = (tmp_path / "a.yaml").read_text()
    assert "me: {owner: true}" in text
    assert "before: 2h" in text
    assert "after: 25d" in text
    assert "are off" not in screen.text
    assert shell.run("check", "-c", "a.yaml").code == 0


def test_a_person_may_keep_the_existing_files(tmp_path):
    shell = terminal(tmp_path)
    file = shell.file("language: zh\n", "a.yaml")
    with Screen([*shell.program, "setup", "-c", str(file), "--language", "en"], shell.env) as screen:
        screen.next("exists already")
        screen.type("n")
        assert screen.wait() == 1
    assert file.read_text() == "language: zh\n"


def test_a_person_who_ends_the_input_leaves_no_file(tmp_path):
    shell = terminal(tmp_path)
    with Screen([*shell.program, "setup", "-c", str(tmp_path / "a.yaml")], shell.env) as screen:
        screen.next("language")
        screen.type("\x04")  # the end of what is typed
        assert screen.wait() != 0
        assert "Traceback" not in screen.text
    assert_nothing_written(shell)


def test_the_environment_of_the_terminal_chooses_its_language(tmp_path):
    shell = terminal(tmp_path)
    shell.env |= {"LANG": "zh_CN.UTF-8", "LC_ALL": ""}
    done = shell.run("setup")
    assert "此处无法提问" in done.err
