"""`wx2mqtt setup`: as a person at a terminal answers it, as options say it, and what comes of it."""

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

# root would write to /etc, and a terminal of tests lies where a service cannot see it
PREPARE = """
from wx2mqtt.setup import find_brokers, written_files
find_brokers.find_brokers.__defaults__ = ({supervisor!r}, {port})
written_files.HIDDEN_FOLDERS = ()
written_files.program_path = lambda: "/usr/bin/env wx2mqtt"  # as it would be installed
"""


WITH_SYSTEMD = "import pathlib\nwritten_files.SYSTEMD_RUNTIME = pathlib.Path('/')\n"
"""Only together with `--unit` or `--no-unit`: root would be offered a service in /etc."""


def terminal(folder: Path, supervisor: str = "http://127.0.0.1:1", port: int = 1) -> Terminal:
    """Somebody with no other broker near than these."""
    return Terminal(folder, prepare=PREPARE.format(supervisor=supervisor, port=port))


def with_password(start_mosquitto: StartMosquitto, folder: Path) -> Mosquitto:
    """A broker that knows the user bridge with the password geheim."""
    passwords = folder / "passwords"
    passwords.touch()
    subprocess.run(["mosquitto_passwd", "-b", passwords, "bridge", "geheim"], check=True)
    passwords.chmod(0o644)
    config = f"listener {{port}} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
    return start_mosquitto(config, listener=False)


def assert_nothing_written(here: Terminal) -> None:
    assert [path.name for path in here.folder.iterdir() if path.name.endswith((".yaml", ".password"))] == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# by options alone


def test_all_by_options_writes_a_file_that_passes_its_check(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    here = terminal(tmp_path)
    (secret := tmp_path / "secret").write_text("geheim\n")
    secret.chmod(0o600)
    options = f"--host 127.0.0.1 --port {broker.port} --user bridge --password-file secret --language zh"
    done = here.run("setup", "-c", "a.yaml", *options.split(), "--home-assistant", "--person", "wife=老婆")
    assert (done.code, done.err) == (0, "")
    assert "MQTT 服务器满足桥接程序的全部需要" in done.out
    checked = here.run("check", "-c", "a.yaml")
    assert (checked.code, checked.err) == (0, "")
    assert f"password_file: {secret}" in (tmp_path / "a.yaml").read_text()


def test_a_password_from_the_standard_input_goes_into_a_file_of_its_own(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    here = terminal(tmp_path)
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --user bridge --password-file - --yes --no-unit"
    done = here.run(*line.split(), data=b"geheim\n")
    assert (done.code, done.err) == (0, "")
    password = tmp_path / "mqtt.password"
    assert (password.read_text(), mode(password)) == ("geheim\n", 0o600)
    assert "geheim" not in (tmp_path / "a.yaml").read_text() + done.out
    assert mode(tmp_path / "a.yaml") == 0o644
    assert here.run("check", "-c", "a.yaml").code == 0


def test_a_broker_that_does_not_let_us_in_ends_with_1_and_nothing_is_written(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    here = terminal(tmp_path)
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --yes --no-unit"
    done = here.run(*line.split())
    assert done.code == 1
    assert "requires a user" in done.out
    assert "nothing was written" in done.err
    assert_nothing_written(here)
    assert here.run(*line.split(), "--no-try").code == 0, "who knows better may write it all the same"


async def test_a_broker_that_hangs_ends_in_time(tmp_path):
    async with silent_server() as port:
        here = terminal(tmp_path)
        line = f"setup -c a.yaml --host 127.0.0.1 --port {port} --yes --no-unit"
        done = await asyncio.to_thread(here.run, *line.split())
    assert done.code == 1
    assert_nothing_written(here)


def test_rights_that_are_missing_are_told_and_it_is_written(start_mosquitto, tmp_path):
    (tmp_path / "acl").write_text("topic readwrite wx/in/#\ntopic readwrite wx/out/#\n")
    (tmp_path / "acl").chmod(0o644)
    broker = start_mosquitto(f"acl_file {tmp_path}/acl\n")
    line = f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --yes --no-unit"
    done = terminal(tmp_path).run(*line.split())
    assert done.code == 0
    assert "topic write wx/result/#" in done.out
    assert "until this is fixed" in done.out
    assert (tmp_path / "a.yaml").exists()


def test_without_a_broker_the_embedded_one_is_taken(tmp_path):
    here = terminal(tmp_path)
    done = here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--no-unit"])
    assert (done.code, done.err) == (0, "")
    assert "url: embedded" in (tmp_path / "a.yaml").read_text()
    assert here.run("check", "-c", "a.yaml").code == 0


@pytest.mark.parametrize(
    ("options", "contacts"), [("--backend ilink", ""), ("--backend ilink --owner me", "me: {owner: true}")]
)
def test_ilink_by_options_passes_its_check_without_a_warning(tmp_path, options, contacts):
    here = terminal(tmp_path)
    line = f"setup -c a.yaml --embedded {options} --home-assistant --language en --no-unit"
    done = here.run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert "write to the bot once" in done.out
    text = (tmp_path / "a.yaml").read_text()
    assert "\n    backend: ilink" in text
    assert f"\n      {contacts}\n" in text or not contacts
    checked = here.run("check", "-c", "a.yaml")
    assert (checked.code, checked.err) == (0, "")
    assert "warning" not in checked.out


OFF = {
    ("en", "ilink"): "remind, renew and fallback are off: ",
    ("zh", "ilink"): "remind、renew 和 fallback 都未开启：",
    ("en", "webwx"): "fallback is off: ",
    ("zh", "webwx"): "fallback 未开启：",
}


@pytest.mark.parametrize(("language", "backend"), OFF)
def test_a_setup_without_anything_that_helps_alarms_says_in_one_line_what_that_means(
    tmp_path, language, backend
):
    line = f"setup -c a.yaml --embedded --backend {backend} --language {language} --yes --no-unit"
    done = terminal(tmp_path).run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert len([said for said in done.out.splitlines() if said.startswith(OFF[language, backend])]) == 1


@pytest.mark.parametrize("option", ["--remind", "--renew", "--fallback-file urls"])
def test_what_helps_alarms_is_an_option_and_is_written(tmp_path, option):
    (urls := tmp_path / "urls").write_text("json://localhost\n")
    urls.chmod(0o600)
    here = terminal(tmp_path)
    line = f"setup -c a.yaml --embedded --owner me --language en --no-home-assistant --no-unit {option}"
    done = here.run(*line.split())
    assert (done.code, done.err) == (0, "")
    assert "are off" not in done.out
    account = load(tmp_path / "a.yaml", {}, BACKENDS).settings.accounts["home"]
    on = {
        "--remind": account.ilink.remind.before == 7200.0,
        "--renew": account.ilink.renew.after == 25 * 86_400.0,
        "--fallback-file urls": len(account.fallback.urls) == 1,
    }
    assert [name for name, is_on in on.items() if is_on] == [option]


def test_a_person_at_a_terminal_is_asked_for_each_and_one_key_answers(tmp_path):
    here = terminal(tmp_path)
    line = "setup --embedded --owner me --language en --no-home-assistant --no-unit --allow-host door.lan"
    with Screen([*here.program, *line.split(), "-c", str(tmp_path / "a.yaml")], here.env) as screen:
        for question in ("remind you", "code of the next login", "go another way"):
            screen.next(question)
            screen.next("[y/N]: ")
            screen.type("n")
        assert screen.wait() == 0
    assert screen.text.count("remind, renew and fallback are off") == 1


async def test_a_picture_of_the_hosts_in_setups_own_file_arrives(start_mosquitto, tmp_path):
    """As the doorbell of Home Assistant sends it: with the file as setup wrote it."""
    broker: Mosquitto = start_mosquitto()
    async with (
        Simulator(port=0) as simulator,
        await asyncio.start_server(serve_picture, "127.0.0.1", 0) as house,
    ):
        url = f"http://127.0.0.1:{house.sockets[0].getsockname()[1]}/api/camera_proxy/camera.door"
        await asyncio.to_thread(_set_up_and_ring, tmp_path, broker, simulator.url, url)


async def serve_picture(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    data = sample("image.jpg")
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    )
    await writer.drain()
    writer.close()


def _set_up_and_ring(folder: Path, broker: Mosquitto, phone: str, url: str) -> None:
    here = terminal(folder)
    line = f"setup --host 127.0.0.1 --port {broker.port} --user= --home-assistant --allow-host 127.0.0.1 --yes --no-unit"
    assert here.run(*line.split(), "-c", "wx2mqtt.yaml").code == 0
    here.env |= {"WX2MQTT_ACCOUNTS__HOME__ENDPOINT": phone, "WX2MQTT_STORAGE__PATH": str(folder / "store")}
    with Subscriber(broker.port, "wx/#") as subscriber, here.running("run") as bridge:
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
            _copy_from_the_screen, tmp_path / "a 'folder'", broker, simulator.url, language
        )


def _copy_from_the_screen(folder: Path, broker: Mosquitto, phone: str, language: str) -> None:
    """Runs what setup prints as the next steps, in another folder and by a shell."""
    folder.mkdir()
    here = Terminal(folder, REAL)
    line = f"setup --host 127.0.0.1 --port {broker.port} --user= --language {language} --yes --no-unit"
    done = here.run(*line.split(), "-c", "my file.yaml")
    assert (done.code, done.err) == (0, "")
    printed = {
        name: command
        for command, name in re.findall(r"[:：] ?([^:：\n]* -m wx2mqtt (run|login) -c .*)", done.out)
    }
    here.env |= {"WX2MQTT_ACCOUNTS__HOME__ENDPOINT": phone, "WX2MQTT_STORAGE__PATH": str(folder / "store")}
    with (
        Subscriber(broker.port, "wx/#") as subscriber,
        _shell(here, printed["run"], subprocess.DEVNULL),
    ):
        subscriber.wait("wx/login/state", lambda received: received.body["state"] == "waiting_for_scan")
        with _shell(here, printed["login"], subprocess.PIPE) as login:
            assert login.stdout
            login.stdout.readline()  # it has asked for a code of its own, which ends the one before
            for step in ("scan", "confirm"):
                httpx.post(f"{phone}/sim/ilink/{step}", json={}, trust_env=False).raise_for_status()
            assert login.wait(MAX_WAIT_SECONDS) == 0


@contextmanager
def _shell(here: Terminal, command: str, out: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command as a shell does, from another folder, and ends it."""
    line = ["bash", "-c", f"exec {command}"]
    with subprocess.Popen(line, env=here.env, cwd="/", stdout=out, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_service_of_another_name_is_enabled_by_that_name(tmp_path):
    here = Terminal(tmp_path, prepare=PREPARE.format(supervisor="http://127.0.0.1:1", port=1) + WITH_SYSTEMD)
    done = here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "bridge.service"])
    assert (done.code, done.err) == (0, "")
    assert "systemctl enable --now bridge\n" in done.out


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_writes_what_the_page_about_home_assistant_shows(tmp_path, language):
    root = Path(__file__).parents[2]
    page = (root / f"docs/{language}/start/home-assistant.md").read_text()
    readme = "README.md" if language == "en" else "README.zh.md"
    files = (root / "deploy/home-assistant" / readme).read_text()
    command = re.search(r"wx2mqtt (setup .*--home-assistant.*)", page)
    block = re.search(r"```yaml\n(mqtt:.*?)```", files, re.DOTALL)
    assert command
    assert block
    shown = yaml.safe_load(block[1])
    given = ["-c", "a.yaml", "--password-file", "-", "--no-try", "--yes", "--no-unit"]
    here = terminal(tmp_path)
    here.env |= {"LANG": "zh_CN.UTF-8" if language == "zh" else "C.UTF-8", "LC_ALL": ""}
    done = here.run(*command[1].split(), *given, data=b"geheim\n")
    assert (done.code, done.err) == (0, "")
    written = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert {key: written[key] for key in shown} == shown


def test_where_nobody_can_be_asked_the_missing_options_are_named_and_it_ends_with_2(tmp_path):
    here = terminal(tmp_path)
    done = here.run("setup", "--language", "en")
    assert done.code == 2
    assert "--host" in done.err
    assert "--home-assistant" in done.err
    assert "--backend" in done.err
    assert "--language" not in done.err.partition("Error")[2]
    nothing = here.run("setup", "--yes")
    assert nothing.code == 2
    assert "no broker was found" in nothing.err
    assert_nothing_written(here)


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
def test_options_that_cannot_be_meant_end_with_2_and_say_why(tmp_path, line, word):
    here = terminal(tmp_path)
    done = here.run("setup", "-c", "a.yaml", "--yes", *line.split())
    assert done.code == 2
    assert word in done.err
    assert "Traceback" not in done.err
    assert_nothing_written(here)


def test_what_would_not_pass_the_check_is_not_written(tmp_path):
    here = terminal(tmp_path)
    for line in (["--embedded", "--person", "x=a\nb"], ["--host", "b", "--no-try", "--user", "a\x01b"]):
        done = here.run("setup", "-c", "a.yaml", "--yes", "--no-unit", *line)
        assert done.code == 78
        assert f"{tmp_path}/a.yaml: " in done.err
        assert "control characters" in done.err
        assert_nothing_written(here)


def test_an_ipv6_address_may_stand_in_brackets(tmp_path):
    here = terminal(tmp_path)
    for host in ("::1", "[::1]"):
        line = ["setup", "-c", "a.yaml", "--host", host, "--no-try", "--yes", "--no-unit", "--overwrite"]
        assert here.run(*line).code == 0
        assert "mqtt://[::1]:1883" in (tmp_path / "a.yaml").read_text()


def test_what_is_there_is_never_overwritten_unasked_and_then_it_stays_beside(tmp_path):
    here = terminal(tmp_path)
    here.file("language: zh\n", "a.yaml")
    line = ["setup", "-c", "a.yaml", "--embedded", "--yes", "--no-unit"]
    done = here.run(*line)
    assert done.code == 1
    assert "--overwrite" in done.err
    assert (tmp_path / "a.yaml").read_text() == "language: zh\n"
    done = here.run(*line, "--overwrite")
    assert done.code == 0
    (aside,) = tmp_path.glob("a.yaml.*")
    assert aside.read_text() == "language: zh\n"
    assert str(aside) in done.out


def test_a_password_that_is_there_is_not_overwritten_unasked_either(mosquitto: Mosquitto, tmp_path):
    here = terminal(tmp_path)
    (tmp_path / "mqtt.password").write_text("mine\n")
    line = (
        f"setup -c a.yaml --host 127.0.0.1 --port {mosquitto.port} --user b --password-file - --yes --no-unit"
    )
    done = here.run(*line.split(), data=b"other\n")
    assert done.code == 1
    assert (tmp_path / "mqtt.password").read_text() == "mine\n"
    assert not (tmp_path / "a.yaml").exists()


def test_a_place_where_nothing_can_be_written_is_told(tmp_path):
    done = terminal(tmp_path).run(*["setup", "-c", "/proc/a.yaml", "--embedded", "--yes", "--no-unit"])
    assert done.code == 1
    assert "/proc/a.yaml cannot be written" in done.err


# the service


def test_the_service_is_written_with_our_paths_and_its_password_as_a_credential(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    here = Terminal(tmp_path, prepare=PREPARE.format(supervisor="http://127.0.0.1:1", port=1) + WITH_SYSTEMD)
    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "secret").chmod(0o600)
    line = (
        f"setup -c a.yaml --host 127.0.0.1 --port {broker.port} --user bridge --password-file secret --yes"
        " --unit wx2mqtt.service"
    )
    done = here.run(*line.split())
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "wx2mqtt.service").read_text()
    assert f" run -c {tmp_path}/a.yaml\n" in text
    assert f"\nLoadCredential=mqtt.password:{tmp_path}/secret\n" in text
    assert "systemctl enable --now wx2mqtt" in done.out


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian: systemd)"
)
def test_systemd_takes_the_service(tmp_path):
    here = terminal(tmp_path)
    assert here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"]).code == 0
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "wx2mqtt.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "wx2mqtt.service" not in done.stderr, done.stderr


def test_a_service_that_could_not_see_its_files_is_not_written(tmp_path):
    here = Terminal(tmp_path)
    done = here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert done.code == 0
    assert "sandbox" in done.out
    assert not (tmp_path / "wx2mqtt.service").exists()


def test_a_service_that_could_not_see_its_python_is_not_written(tmp_path):
    hidden = 'written_files.HIDDEN_FOLDERS = ("/home",)\nwritten_files.interpreter_path = '
    prepare = f'import pathlib\nfrom wx2mqtt.setup import written_files\n{hidden}lambda: pathlib.Path("/home/me/python")'
    here = Terminal(tmp_path, prepare=prepare)
    done = here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert done.code == 0
    assert "Python /home/me/python" in done.out
    assert "/usr/bin/python3" in done.out
    assert not (tmp_path / "wx2mqtt.service").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is offered a service; run it as root")
def test_where_systemd_does_not_run_root_is_told_how_to_get_the_service(tmp_path):
    prepare = "import pathlib\nfrom wx2mqtt.setup import written_files\nwritten_files.SYSTEMD_RUNTIME = pathlib.Path('/none')"
    here = Terminal(tmp_path, prepare=prepare)
    done = here.run(*["setup", "-c", "a.yaml", "--embedded", "--yes"])
    assert (done.code, "--unit /etc/systemd/system/wx2mqtt.service" in done.out) == (0, True)
    done = here.run(*["setup", "-c", "b.yaml", "--embedded", "--yes", "--no-unit"])
    assert (done.code, "--unit" in done.out) == (0, False)
    done = here.run(*["setup", "-c", "c.yaml", "--embedded", "--yes", "--unit", "wx2mqtt.service"])
    assert (done.code, "systemctl" in done.out) == (0, False)
    assert f"run -c {tmp_path}/c.yaml" in done.out


def test_the_service_hands_the_password_over_although_the_file_names_it(start_mosquitto, tmp_path):
    """As systemd does it: the credential of the name mqtt.password counts, whoever may read the other file."""
    here = terminal(tmp_path)
    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "secret").chmod(0o600)
    line = "setup -c a.yaml --host b --user bridge --password-file secret --yes --no-try --no-unit"
    assert here.run(*line.split()).code == 0
    (tmp_path / "secret").unlink()
    (credentials := tmp_path / "credentials").mkdir()
    (credentials / "mqtt.password").write_text("geheim\n")
    here.env["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert here.run("check", "-c", "a.yaml").code == 0


# what is found


async def supervisor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: object) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    right = head.startswith("GET /services/mqtt ") and "authorization: bearer token" in head.lower()
    body = json.dumps({"result": "ok", "data": data}).encode()
    status = "200 OK" if right else "401 Unauthorized"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    )
    await writer.drain()
    writer.close()


async def found_with(data: object, token: str = "token", port: int = 1) -> list[FoundBroker]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await supervisor(reader, writer, data)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return await find_brokers({"SUPERVISOR_TOKEN": token} if token else {}, url, port)


GIVEN = {"host": "core-mosquitto", "port": 1883, "ssl": False, "username": "addons", "password": "geheim"}


async def test_home_assistants_supervisor_tells_its_broker():
    (found,) = await found_with(GIVEN)
    assert found.source == "supervisor"
    assert (found.broker.url, found.broker.username) == ("mqtt://core-mosquitto:1883", "addons")
    assert found.broker.password == "geheim"


@pytest.mark.parametrize("data", [None, [], {}, {"host": "x"}, {"host": "x", "port": "y"}, "text"])
async def test_a_supervisor_that_has_none_is_no_trouble(data):
    assert await found_with(data) == []


async def test_without_the_right_token_nothing_is_asked_or_told():
    assert await found_with(GIVEN, token="") == []
    assert await found_with(GIVEN, token="wrong") == []


async def test_a_broker_on_this_machine_is_found(mosquitto: Mosquitto):
    found = await find_brokers({}, "http://127.0.0.1:1", mosquitto.port)
    assert [(one.source, one.broker.port) for one in found] == [("here", mosquitto.port)]
    assert await find_brokers({}, "http://127.0.0.1:1", free_port()) == []


async def test_what_the_supervisor_tells_is_tried_and_written(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    data = {**GIVEN, "host": "127.0.0.1", "port": broker.port, "username": "bridge"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await supervisor(reader, writer, data)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        here = terminal(tmp_path, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        here.env["SUPERVISOR_TOKEN"] = "token"
        done: Done = await asyncio.to_thread(here.run, *["setup", "-c", "a.yaml", "--yes", "--no-unit"])
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "a.yaml").read_text()
    assert "username: bridge" in text
    assert "password_file: mqtt.password" in text
    assert "enabled: true" in text.partition("homeassistant:")[2]
    assert (tmp_path / "mqtt.password").read_text() == "geheim\n"


# a person


def test_a_person_answers_question_by_question(start_mosquitto, tmp_path):
    broker = with_password(start_mosquitto, tmp_path)
    here = terminal(tmp_path)
    command = [*here.program, "setup", "-c", str(tmp_path / "a.yaml"), "--unit", str(tmp_path / "w.service")]
    with Screen(command, {**here.env, "LANG": "C.UTF-8", "LC_ALL": ""}) as screen:
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
            # To the end of the prompt: what is typed before the terminal hides the answer is thrown away.
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
    assert here.run("check", "-c", "a.yaml").code == 0


def test_a_person_chooses_ilink_and_is_asked_for_nobodys_remark(tmp_path):
    here = terminal(tmp_path)
    command = [*here.program, "setup", "-c", str(tmp_path / "a.yaml"), "--embedded", "--no-unit"]
    with Screen(command, {**here.env, "LANG": "C.UTF-8", "LC_ALL": ""}) as screen:
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
    assert here.run("check", "-c", "a.yaml").code == 0


def test_a_person_may_leave_everything_as_it_is(tmp_path):
    here = terminal(tmp_path)
    file = here.file("language: zh\n", "a.yaml")
    with Screen([*here.program, "setup", "-c", str(file), "--language", "en"], here.env) as screen:
        screen.next("exists already")
        screen.type("n")
        assert screen.wait() == 1
    assert file.read_text() == "language: zh\n"


def test_a_person_who_goes_away_leaves_nothing_behind(tmp_path):
    here = terminal(tmp_path)
    with Screen([*here.program, "setup", "-c", str(tmp_path / "a.yaml")], here.env) as screen:
        screen.next("language")
        screen.type("\x04")  # the end of what is typed
        assert screen.wait() != 0
        assert "Traceback" not in screen.text
    assert_nothing_written(here)


def test_the_environment_of_the_terminal_chooses_its_language(tmp_path):
    here = terminal(tmp_path)
    here.env |= {"LANG": "zh_CN.UTF-8", "LC_ALL": ""}
    done = here.run("setup")
    assert "此处无法提问" in done.err
