"""`wx2mqtt setup`: as a person at a terminal answers it, as options say it, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import Mosquitto, free_port
from tests.support.patient import hanging
from tests.support.screen import Screen
from tests.support.terminal import Done, Terminal
from wx2mqtt.setup.discover import FoundBroker, find_brokers

# root would write to /etc, and a terminal of tests lies where a service cannot see it
PREPARE = """
from wx2mqtt.setup import discover, output
discover.find_brokers.__defaults__ = ({supervisor!r}, {port})
output.HIDDEN_FOLDERS = ()
output.program_path = lambda: "/usr/bin/env wx2mqtt"  # as it would be installed
"""


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
    assert "代理服务器满足桥接程序的全部需要" in done.out
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
    async with hanging() as port:
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
    here = terminal(tmp_path)
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
            ("Name for the topic", "a/b"),
            ("topic level", "wife"),
            ("The remark of wife", "老婆"),
            ("Name for the topic", ""),
        ]:
            screen.next(question)
            screen.type(answer)
        assert screen.wait() == 0
        assert "geheim" not in screen.text
        assert "falsch" not in screen.text
    text = (tmp_path / "a.yaml").read_text()
    assert "wife: {remark: 老婆}" in text
    assert "expose: [wife]" in text
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
            ("Name for yourself", ""),
            ("remind you", "y"),
        ]:
            screen.next(question)
            screen.type(answer)
        assert screen.wait() == 0
        assert "remark" not in screen.text
    text = (tmp_path / "a.yaml").read_text()
    assert "me: {owner: true}" in text
    assert "before: 2h" in text
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
