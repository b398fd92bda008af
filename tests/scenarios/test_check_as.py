"""`sudo wx2mqtt check --as NAME`: green means that the user of the service can read everything."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import run_program

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; run it as root")


class Machine:
    """A configuration whose password only root can read, and a folder for systemd units."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.units = folder / "units"
        self.units.mkdir()
        self.state_folder = folder / "lib"
        self.state_folder.mkdir()
        self.config = folder / "wx2mqtt.yaml"
        self.password = folder / "mqtt.password"
        self.password.write_text("secret-of-the-broker\n")
        self.password.chmod(0o600)
        self.configure({"password_file": str(self.password)})

    def configure(self, mqtt: dict[str, str], **more: object) -> None:
        settings = {"mqtt": {"url": "mqtt://127.0.0.1:1", "username": "bridge", **mqtt}, **more}
        self.config.write_text(yaml.safe_dump(settings))

    def unit(self, name: str, *lines: str) -> None:
        path = self.units / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[Unit]\nUser=root\n[Service]\n" + "\n".join(lines) + "\n[Install]\n")

    def check(self, *arguments: str, prepare: str = "", home: str = "/root") -> tuple[int, str]:
        units = f"import pathlib, wx2mqtt.setup.service_user as s\ns.UNIT_FOLDERS = (pathlib.Path({str(self.units)!r}),)"
        units += f"\ns.STATE_FOLDER = pathlib.Path({str(self.state_folder)!r})"
        done = run_program(
            ["check", "-c", str(self.config), *arguments],
            env={**os.environ, "HOME": home},
            prepare=f"{units}\n{prepare}",
            timeout=MAX_WAIT_SECONDS,
        )
        return done.returncode, (done.stdout + done.stderr).decode()


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
    folder.chmod(0o755)
    yield Machine(folder)
    shutil.rmtree(folder)


@as_root
def test_a_file_that_root_can_read_and_the_user_cannot_is_reported(machine: Machine) -> None:
    assert machine.check()[0] == 0
    code, output = machine.check("--as", "nobody")
    assert (code, "may not be read by user 65534" in output) == (78, True)
    machine.password.chmod(0o644)
    assert machine.check("--as", "nobody")[0] == 0


@as_root
def test_a_file_for_a_group_of_the_unit_is_read(machine: Machine) -> None:
    os.chown(machine.password, 0, 61_000)
    machine.password.chmod(0o640)
    machine.unit("bridge.service", "User=nobody")
    assert machine.check("--as", "bridge")[0] == 78
    machine.unit("bridge.service.d/groups.conf", "SupplementaryGroups=61000")
    assert machine.check("--as", "bridge")[0] == 0


@as_root
def test_a_service_whose_user_systemd_makes_needs_its_credentials(machine: Machine) -> None:
    machine.unit("bridge.service", "DynamicUser=yes")
    assert machine.check("--as", "bridge")[0] == 78
    machine.configure({})
    machine.unit("bridge.service", "DynamicUser=yes", f"LoadCredential=mqtt.password:{machine.password}")
    before = {*Path(tempfile.gettempdir()).glob("wx2mqtt-credentials-*")}
    code, output = machine.check("--as", "bridge")
    assert code == 0, output
    assert {*Path(tempfile.gettempdir()).glob("wx2mqtt-credentials-*")} <= before
    assert "secret-of-the-broker" not in output


@as_root
def test_a_setting_that_needs_a_secret_finds_it_among_the_credentials(machine: Machine) -> None:
    machine.configure({}, web={"listen": "0.0.0.0:8099"})
    machine.unit("bridge@.service", "DynamicUser=yes")
    assert machine.check("--as", "bridge@home")[0] == 78
    (machine.folder / "home.web").write_text("a password of the page\n")
    machine.unit("bridge@.service", "DynamicUser=yes", f"LoadCredential=web.password:{machine.folder}/%i.web")
    code, output = machine.check("--as", "bridge@home")
    assert code == 0, output


@as_root
def test_a_credential_that_is_missing_is_named(machine: Machine) -> None:
    machine.unit("bridge.service", "DynamicUser=yes", f"LoadCredential=mqtt.password:{machine.folder}/none")
    code, output = machine.check("--as", "bridge")
    assert (code, f"{machine.folder}/none" in output) == (1, True)


@as_root
def test_variables_of_the_unit_are_used(machine: Machine) -> None:
    machine.unit(
        "bridge.service", "User=nobody", "Environment=WX2MQTT_MQTT__CLIENT_ID= WX2MQTT_MQTT__KEEPALIVE=x"
    )
    code, output = machine.check("--as", "bridge")
    assert (code, "keepalive" in output) == (78, True)


@as_root
def test_an_unknown_user_is_reported(machine: Machine) -> None:
    code, output = machine.check("--as", "nobody-knows-it")
    assert (code, "no user nobody-knows-it" in output) == (1, True)
    machine.unit("bridge.service", "ExecStart=/bin/true")
    assert "no user bridge" in machine.check("--as", "bridge")[1]


@as_root
def test_root_may_run_the_check_in_a_folder_that_only_root_can_read(machine: Machine) -> None:
    """Such a folder is /root, with a Python below it that the service's user has to reach."""
    root_only = machine.folder / "root"
    (root_only / "library").mkdir(parents=True)
    root_only.chmod(0o700)
    machine.configure({}, storage={"path": "store"})
    change_folder = (
        f"import os, sys\nos.chdir({str(root_only)!r})\nsys.path.append({str(root_only / 'library')!r})"
    )
    variable = "Environment=WX2MQTT_MQTT__PASSWORD_FILE=relative"
    machine.unit("bridge.service", "User=nobody")
    assert machine.check("--as", "bridge", prepare=change_folder)[0] == 0
    machine.unit("bridge.service", "User=nobody", variable)
    code, output = machine.check("--as", "bridge", prepare=change_folder)
    assert (code, "there is no file /relative" in output) == (78, True), "the service starts in /"


@as_root
def test_a_program_that_the_user_cannot_run_is_reported(machine: Machine) -> None:
    """A virtual environment of a Python below /root is there for root alone."""
    machine.password.chmod(0o644)
    python = machine.folder / "root" / "python"
    python.parent.mkdir(mode=0o700)
    python.symlink_to("/bin/sh")
    program = machine.folder / "wx2mqtt"
    program.write_text(f"#!{python}\nexit 0\n")
    program.chmod(0o755)
    machine.unit("bridge.service", "User=nobody", f"ExecStart={program} run -c {machine.config}")
    code, output = machine.check("--as", "bridge")
    assert (code, f"{program}" in output, "/usr/bin/python3" in output) == (1, True, True), output
    python.parent.chmod(0o755)
    code, output = machine.check("--as", "bridge")
    assert code == 0, output


@as_root
def test_before_the_first_start_the_store_is_missing_and_that_of_root_is_not_read(machine: Machine) -> None:
    machine.configure({})
    home = machine.folder / "root"
    home.mkdir(mode=0o700)
    for lines in (["DynamicUser=yes"], ["User=nobody"], ["User=nobody", "StateDirectory=bridge"]):
        machine.unit("bridge.service", *lines)
        code, output = machine.check("--as", "bridge", home=str(home))
        assert (code, "Traceback" in output) == (0, False), output
    assert machine.check("--as", "nobody", home=str(home))[0] == 0


@as_root
@pytest.mark.parametrize("folder", ["bridge-second", "private/bridge-second"])
def test_the_store_is_that_of_the_unit(machine: Machine, folder: str) -> None:
    """The store holds urgent commands without a fallback; beside it is a store of another service."""
    machine.password.chmod(0o644)
    (machine.state_folder / "bridge").mkdir(mode=0o700)
    store = machine.state_folder / folder
    store.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(machine.folder / "wx2mqtt.db")) as database:
        database.execute("CREATE TABLE command (account TEXT, command TEXT)")
        database.execute("INSERT INTO command VALUES ('home', '{\"urgent\": true}')")
        database.commit()
    store.mkdir(mode=0o700)
    (machine.folder / "wx2mqtt.db").rename(store / "wx2mqtt.db")
    for path in (store, store / "wx2mqtt.db"):
        os.chown(path, 65534, 65534)
    if store.parent != machine.state_folder:  # as with DynamicUser=
        (machine.state_folder / "bridge-second").symlink_to(store)
    machine.unit("bridge@.service", "User=nobody", "StateDirectory=bridge-%i")
    code, output = machine.check("--as", "bridge@second")
    assert (code, "urgent" in output) == (0, True), output
    machine.unit("bridge@.service", "User=nobody", "StateDirectory=other-%i")
    code, output = machine.check("--as", "bridge@second")
    assert (code, "urgent" in output) == (0, False), output


@as_root
def test_a_file_behind_a_folder_of_root_alone_is_named(machine: Machine) -> None:
    root_only = machine.folder / "root"
    root_only.mkdir(mode=0o700)
    machine.config = machine.config.rename(root_only / "wx2mqtt.yaml")
    code, output = machine.check("--as", "nobody")
    assert (code, f"{machine.config} may not be read by user 65534" in output) == (78, True), output


def test_without_root_the_command_says_to_use_sudo(machine: Machine) -> None:
    prepare = "import os\nos.geteuid = lambda: 1000"
    command = ["check", "-c", str(machine.config), "--as", "nobody"]
    done = run_program(command, env=os.environ, prepare=prepare, timeout=MAX_WAIT_SECONDS)
    assert (done.returncode, b"sudo wx2mqtt check --as nobody" in done.stderr) == (1, True)
