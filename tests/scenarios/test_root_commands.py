"""Commands of root on the store of the service's user: they become that user before they touch anything in it.

The attacks are what code of that user can do in its own folder, before the command or while it runs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import run_program
from tests.support.http_server import until
from tests.unit.store.test_folder_backup import write_sample_store
from wx2mqtt.store.folder_replacement import GATHERING_FOLDER, MOVING_FOLDER

SERVICE = 65534
"""The user of the service: nobody, of whom every machine has one."""
STRACE = shutil.which("strace")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become somebody else; run it as root"
)


class Machine:
    """A machine with a store of the service's user, the configuration of root, and `secrets`, which only root can
    read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "service"
        self.secrets = folder / "secrets"
        self.backups = folder / "backups"
        self.config = folder / "wx2mqtt.yaml"
        for private_folder in (self.secrets, self.backups):
            private_folder.mkdir(mode=0o700)
        (self.secrets / "precious").write_text("root's alone")
        (self.secrets / "precious").chmod(0o640)
        settings = {
            "mqtt": {"url": "mqtt://127.0.0.1:1"},
            "accounts": {"home": {"backend": "webwx", "endpoint": "http://127.0.0.1:1"}},
            "storage": {"path": str(self.store)},
            "web": {"enabled": False},
        }
        self.config.write_text(yaml.safe_dump(settings))
        write_sample_store(self.store)
        self.give_to_service(self.store)

    def give_to_service(self, top: Path) -> None:
        for path in [top, *top.rglob("*")]:
            os.chown(path, SERVICE, SERVICE, follow_symlinks=False)

    def link(self, name: str, target: Path) -> None:
        """Makes a link in the store, as the service's user can."""
        path = self.store / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)

    def run(self, *arguments: str | Path) -> tuple[int, str]:
        """Runs a command as root; returns its exit code and what it wrote."""
        command = [*map(str, arguments), "-c", str(self.config)]
        done = run_program(command, env=os.environ, timeout=MAX_WAIT_SECONDS)
        return done.returncode, (done.stdout + done.stderr).decode()

    def root_owned(self) -> list[Path]:
        """Returns all that root owns below the store: the service could not open it."""
        return [path for path in self.store.rglob("*") if path.lstat().st_uid == 0]

    def seen_by_root(self) -> dict[str, tuple[str, int, int, int]]:
        """Returns content, owner and mode of all that only root can read."""
        return {
            str(path): (
                path.read_text() if path.is_file() else "",
                path.stat().st_uid,
                path.stat().st_gid,
                stat.S_IMODE(path.stat().st_mode),
            )
            for path in [self.secrets, *self.secrets.rglob("*")]
        }


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-"))
    folder.chmod(0o755)
    try:
        yield Machine(folder)
    finally:
        shutil.rmtree(folder)


def make_backup(machine: Machine) -> Path:
    code, output = machine.run("backup", machine.backups / "good")
    assert code == 0, output
    return machine.backups / "good"


def purge_arguments(machine: Machine) -> list[str]:
    """Configures another account in place of `home`; returns the arguments that purge `home`."""
    settings = yaml.safe_load(machine.config.read_text())
    settings["accounts"] = {"other": settings["accounts"]["home"]}
    machine.config.write_text(yaml.safe_dump(settings))
    return ["purge", "home", "--yes", "--no-broker"]


COMMANDS = {
    "backup": lambda machine: ["backup", machine.backups / "b"],
    "backup to a pipe": lambda _: ["backup", "-"],
    "restore": lambda machine: ["restore", "--force", make_backup(machine)],
    "journal list": lambda _: ["journal", "list"],
    "journal show": lambda _: ["journal", "show", "waits"],
    "journal drop": lambda _: ["journal", "drop", "waits"],
    "journal retry": lambda _: ["journal", "retry", "over"],
    "people list": lambda _: ["people", "list"],
    "login": lambda _: ["login"],
    "healthcheck": lambda _: ["healthcheck"],
    "check": lambda _: ["check"],
    "check --connect": lambda _: ["check", "--connect"],
    "purge": purge_arguments,
}
"""Every command that works on a store; each is given what it needs to do its work."""


def test_a_backup_of_the_store_of_the_service_is_complete_and_belongs_to_root(machine: Machine) -> None:
    code, output = machine.run("backup", "--media", machine.backups / "b")
    assert code == 0, output
    assert str(machine.store) in output
    status = (machine.backups / "b").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o600)
    with tarfile.open(machine.backups / "b") as tar:
        assert {"wx2mqtt.db", "sessions/home.json"} <= set(tar.getnames())
    assert [path.name for path in machine.backups.iterdir()] == ["b"]
    assert machine.root_owned() == []


def test_a_store_that_root_restores_belongs_to_the_service(machine: Machine) -> None:
    backup = make_backup(machine)
    shutil.rmtree(machine.store)
    machine.store.mkdir(mode=0o700)
    machine.give_to_service(machine.store)
    code, output = machine.run("restore", backup)
    assert code == 0, output
    assert "belongs to root" not in output
    assert len([*machine.store.rglob("*")]) > 3
    assert machine.root_owned() == []


def test_a_failed_backup_leaves_nothing_and_keeps_its_exit_code(machine: Machine) -> None:
    (machine.store / "wx2mqtt.db").unlink()
    code, output = machine.run("backup", machine.backups / "b")
    assert (code, "there is no store" in output) == (1, True)
    assert [*machine.backups.iterdir()] == []


@pytest.mark.skipif(STRACE is None, reason="strace is missing (Debian: apt-get install strace)")
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_of_root_opens_anything_of_the_store_before_it_is_the_owner(
    machine: Machine, name: str
) -> None:
    arguments = COMMANDS[name](machine)
    calls = trace_system_calls(machine, [*map(str, arguments), "-c", str(machine.config)])
    assert_owner_first(machine, calls)


@pytest.mark.skipif(STRACE is None, reason="strace is missing (Debian: apt-get install strace)")
def test_the_bridge_does_not_open_anything_of_the_store_before_it_is_the_owner(machine: Machine) -> None:
    calls = trace_system_calls(
        machine, ["run", "-c", str(machine.config)], stop_at=machine.store / "control.sock"
    )
    assert_owner_first(machine, calls)
    assert machine.root_owned() == []


@pytest.mark.skipif(STRACE is None, reason="strace is missing (Debian: apt-get install strace)")
@pytest.mark.parametrize("name", ["backup", "journal list"])
def test_a_command_without_a_file_does_not_open_the_store_before_it_is_the_owner(
    machine: Machine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.secrets)
    monkeypatch.setenv("WX2MQTT_STORAGE__PATH", str(machine.store))
    arguments = list(map(str, COMMANDS[name](machine)))
    assert_owner_first(machine, trace_system_calls(machine, arguments))
    assert name != "backup" or (machine.backups / "b").exists()


def trace_system_calls(
    machine: Machine, arguments: list[str], stop_at: Path | None = None
) -> list[tuple[str, str]]:
    """Runs a command; returns its system calls in order, each with the process that made it."""
    assert STRACE is not None
    trace = machine.secrets / "trace"
    calls = "clone,clone3,fork,vfork,open,openat,mkdir,mkdirat,rename,renameat2,unlink,unlinkat,chmod,fchmodat,chown,fchownat,lchown"
    calls += ",mknod,mknodat,symlink,symlinkat,link,linkat,truncate,connect,bind,setresuid"
    program = [STRACE, "-f", "--seccomp-bpf", "-qq", "-s", "500", "-e", f"trace={calls}", "-o", str(trace)]
    with subprocess.Popen(
        [*program, sys.executable, "-m", "wx2mqtt", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            if stop_at is not None:
                asyncio.run(until(stop_at.exists))
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=MAX_WAIT_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    lines = [line.split(maxsplit=1) for line in trace.read_text().splitlines()]
    return [(process_id, call) for process_id, call in lines]


def assert_owner_first(machine: Machine, calls: list[tuple[str, str]]) -> None:
    """Checks that each process that opens something of the store has become its owner before, or a parent has."""
    parents: dict[str, str] = {}
    first: dict[str, int] = {}
    became: dict[str, int] = {}
    for number, (process, call) in enumerate(calls):
        first.setdefault(process, number)
        if started_process := re.search(r"(?:clone3?|v?fork)\b.* = (\d+)$", call):
            parents[started_process[1]] = process
        if re.match(rf"setresuid\({SERVICE}, {SERVICE}, {SERVICE}\)", call):
            became[process] = number

    def is_owner(process: str, number: int) -> bool:
        if became.get(process, len(calls)) < number:
            return True
        return process in parents and is_owner(parents[process], first[process])

    within = re.compile(re.escape(f'"{machine.store}') + r'[/"]')
    touching = [numbered for numbered in enumerate(calls) if within.search(numbered[1][1])]
    assert touching, "the command did nothing"
    assert [call for number, (process, call) in touching if not is_owner(process, number)] == []


@pytest.mark.parametrize("name", ["backup", "journal list", "restore"])
def test_a_link_as_the_folder_of_a_finished_restore_moves_nothing(machine: Machine, name: str) -> None:
    arguments = COMMANDS[name](machine)
    before = machine.seen_by_root()
    machine.link(MOVING_FOLDER, machine.secrets)
    machine.run(*arguments)
    assert machine.seen_by_root() == before
    assert not (machine.store / "precious").exists()


@pytest.mark.parametrize("name", ["journal list", "people list", "login", "backup"])
def test_nothing_is_written_through_a_link_in_the_place_of_a_marker_file(machine: Machine, name: str) -> None:
    before = machine.seen_by_root()
    machine.link("sessions/home.json.processing", machine.secrets / "precious")
    machine.link("sessions/home.json.pubacks", machine.secrets / "precious")
    machine.run(*COMMANDS[name](machine))
    assert machine.seen_by_root() == before


@pytest.mark.parametrize("name", ["sessions/home.json.processing", "sessions/home.json.pubacks"])
def test_no_command_waits_for_a_fifo_in_the_place_of_a_marker_file(machine: Machine, name: str) -> None:
    (machine.store / name).unlink(missing_ok=True)
    os.mkfifo(machine.store / name)
    os.chown(machine.store / name, SERVICE, SERVICE)
    code, output = machine.run("journal", "list")
    assert code == 0, output


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".suspect"])
@pytest.mark.parametrize("target", ["precious", "new"])
def test_a_link_as_the_database_changes_no_mode_and_creates_nothing(
    machine: Machine, suffix: str, target: str
) -> None:
    before = machine.seen_by_root()
    machine.link(f"wx2mqtt.db{suffix}", machine.secrets / target)
    for arguments in (["journal", "list"], ["backup", machine.backups / "b"]):
        machine.run(*arguments)
    assert machine.seen_by_root() == before


@pytest.mark.parametrize("name", ["sessions/second.json", "people.json", "media/ab", "sessions"])
def test_a_link_brings_no_foreign_file_into_a_backup(machine: Machine, name: str) -> None:
    secret = machine.secrets / "second.json"
    secret.write_text('{"token": "of root"}')
    secret.chmod(0o600)
    if name == "sessions":
        shutil.rmtree(machine.store / name)
    machine.link(name, machine.secrets if "." not in name else secret)
    machine.run("backup", "--media", machine.backups / "b")
    if (machine.backups / "b").exists():
        with tarfile.open(machine.backups / "b") as tar:
            content = b"".join(tar.extractfile(member).read() for member in tar if member.isfile())  # type: ignore[union-attr]
        assert b"of root" not in content


def swap_folder_for_ever(store: str, name: str, target: str) -> None:
    """Exchanges a folder of the store for a link again and again, as the service's user can."""
    os.setresgid(SERVICE, SERVICE, SERVICE)
    os.setresuid(SERVICE, SERVICE, SERVICE)
    folder, aside = Path(store, name), Path(store, "aside")
    while True:
        with suppress(OSError):
            folder.rename(aside)
            folder.symlink_to(target)
            folder.unlink()
            aside.rename(folder)


@pytest.mark.parametrize("name", [GATHERING_FOLDER, "sessions", "media"])
def test_a_folder_exchanged_during_a_restore_changes_no_file_outside(machine: Machine, name: str) -> None:
    backup = make_backup(machine)
    for file in ("home.json", "wx2mqtt.db", "people.json"):
        (machine.secrets / file).write_text("root's alone")
    before = machine.seen_by_root()
    attack = multiprocessing.get_context("spawn").Process(
        target=swap_folder_for_ever, args=(str(machine.store), name, str(machine.secrets)), daemon=True
    )
    attack.start()
    try:
        for _ in range(5):
            machine.run("restore", "--force", backup)
    finally:
        attack.kill()
        attack.join()
    assert machine.seen_by_root() == before


def test_a_path_through_folders_of_two_users_is_refused(machine: Machine) -> None:
    os.chown(machine.folder, 12345, 12345)
    code, output = machine.run("backup", machine.backups / "b")
    assert code == 75
    assert "sudo -u" in output


def test_a_link_to_a_folder_of_root_has_the_rights_of_the_owner_of_the_link(machine: Machine) -> None:
    """The service's user owns the folder in which its store stands, and exchanges the store for a link."""
    outer = machine.folder / "outer"
    outer.mkdir()
    os.chown(outer, SERVICE, SERVICE)
    settings = yaml.safe_load(machine.config.read_text())
    settings["storage"]["path"] = str(outer / "store")
    machine.config.write_text(yaml.safe_dump(settings))
    (outer / "store").symlink_to(machine.secrets)
    before = machine.seen_by_root()
    assert machine.run("journal", "list")[0] != 0
    assert machine.seen_by_root() == before


def test_the_store_may_be_in_a_folder_that_only_root_can_enter(machine: Machine) -> None:
    """systemd keeps the store of a service with `DynamicUser=` so: behind a closed folder, with a link to it."""
    private = machine.folder / "private"
    private.mkdir(mode=0o700)
    machine.store.rename(private / "service")
    machine.store.symlink_to(private / "service")
    code, output = machine.run("journal", "list")
    assert (code, "waits" in output) == (0, True)
    backup = make_backup(machine)
    code, output = machine.run("restore", "--force", backup)
    assert code == 0, output
    assert [path for path in (private / "service").rglob("*") if path.lstat().st_uid == 0] == []
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_link_to_what_is_behind_a_closed_folder_shows_nothing(machine: Machine) -> None:
    outer = machine.folder / "outer"
    outer.mkdir()
    os.chown(outer, SERVICE, SERVICE)
    public = machine.secrets / "public"
    shutil.copytree(machine.store, public)
    for path in [public, *public.rglob("*")]:
        path.chmod(0o755)
    (outer / "store").symlink_to(public)
    settings = yaml.safe_load(machine.config.read_text())
    settings["storage"]["path"] = str(outer / "store")
    machine.config.write_text(yaml.safe_dump(settings))
    code, output = machine.run("backup", machine.backups / "b")
    assert code != 0, output
    assert [*machine.backups.iterdir()] == []


def test_a_restore_of_root_gives_a_new_store_to_the_user_of_the_service(machine: Machine) -> None:
    backup = make_backup(machine)
    prepare = fresh_machine_script(machine, machine.secrets / "home", has_service=True)
    prepare += (
        "import pwd, wx2mqtt.cli.backup as command\n"
        "command.SYSTEM_FOLDER = folder.SYSTEM_FOLDER\n"
        "entry = pwd.getpwnam('nobody')\n"
        "pwd.getpwnam = lambda name: entry if name == 'wx2mqtt' else (_ for _ in ()).throw(KeyError(name))\n"
    )
    done = run_program(
        ["restore", str(backup), "-c", str(machine.config)],
        env=os.environ,
        prepare=prepare,
        timeout=MAX_WAIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode()
    store = machine.folder / "lib"
    assert {path.stat().st_uid for path in [store, *store.rglob("*")]} == {SERVICE}
    assert b"belongs to root" not in done.stderr


def fresh_machine_script(machine: Machine, home: Path, *, has_service: bool) -> str:
    """Returns code that replaces the folders of the system: without a store, and perhaps without a service."""
    etc = machine.folder / "etc"
    if has_service:
        etc.mkdir()
    settings = yaml.safe_load(machine.config.read_text())
    del settings["storage"]
    machine.config.write_text(yaml.safe_dump(settings))
    return (
        "import os, pathlib, wx2mqtt.store.folder as folder\n"
        f"os.environ['HOME'] = {str(home)!r}\n"
        f"folder.SYSTEM_FOLDER = pathlib.Path({str(machine.folder / 'lib')!r})\n"
        f"folder.SYSTEM_CONFIG_FOLDER = pathlib.Path({str(etc)!r})\n"
    )


@pytest.mark.parametrize("has_service", [True, False])
def test_a_restore_of_root_never_begins_a_store_of_its_own(machine: Machine, has_service: bool) -> None:
    backup = make_backup(machine)
    home = machine.secrets / "home"
    prepare = fresh_machine_script(machine, home, has_service=has_service)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = run_program(
        ["restore", str(backup), "-c", str(machine.config)],
        env=environment,
        prepare=prepare,
        timeout=MAX_WAIT_SECONDS,
    )
    output = done.stderr.decode()
    assert not home.exists(), "the service would not find it there"
    if has_service:
        assert done.returncode == 0, output
        assert (machine.folder / "lib" / "wx2mqtt.db").exists()
        assert f"{machine.folder}/lib is the store" in output
    else:
        assert done.returncode == 1
        assert "storage.path" in output


def test_a_backup_needs_no_secret_of_the_broker(machine: Machine) -> None:
    """The unit of the backup runs as the service's user, who may not read the secrets of root."""
    settings = yaml.safe_load(machine.config.read_text())
    settings["mqtt"] |= {"username": "bridge", "password_file": str(machine.secrets / "none")}
    machine.config.write_text(yaml.safe_dump(settings))
    assert machine.run("journal", "list")[0] == 78
    code, output = machine.run("backup", machine.backups)
    assert (code, len([*machine.backups.iterdir()])) == (0, 1), output


MORE_COMMANDS = {
    **{name: arguments for name, arguments in COMMANDS.items() if name != "backup to a pipe"},
    "people assign": lambda _: ["people", "assign", "wife", "brother"],
    "ask": lambda _: ["ask", "wife", "?", "yes", "--timeout", "1"],
    "cluster": lambda _: ["cluster"],
    "cluster drain": lambda _: ["cluster", "drain"],
    "cluster rotate-key": lambda _: ["cluster", "rotate-key"],
    "check --as": lambda _: ["check", "--as", "nobody"],
}
"""Every command that reads the configuration."""

OTHER_USER = 12345
"""A user of the machine who has nothing to do with the service."""


def drop_root_script(user: int) -> str:
    """Returns code that gives up root, after importing modules that the other user may not be able to read."""
    modules = "import os, wx2mqtt.app.cluster_operations, wx2mqtt.store.backup_archive\n"
    return f"{modules}os.setgroups([])\nos.setresgid(*[{user}] * 3)\nos.setresuid(*[{user}] * 3)\n"


def system_files_script(config: Path, store: Path) -> str:
    """Returns code that replaces the configuration file and the store of the system."""
    return (
        "import pathlib, wx2mqtt.settings.loader as loader, wx2mqtt.store.folder as folder\n"
        f"loader.SYSTEM_CONFIG = pathlib.Path({str(config)!r})\n"
        f"folder.SYSTEM_FOLDER = pathlib.Path({str(store)!r})\n"
    )


class Situation:
    """Where a user runs a command, and what of the machine is not accessible to that user or to the service."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.folder = machine.secrets
        self.words: list[str] = []
        self.prepare = system_files_script(machine.config, machine.store)

    def root_in_its_own_folder(self) -> None:
        pass

    def root_beside_a_file_of_its_own(self) -> None:
        self.machine.config.rename(self.folder / "wx2mqtt.yaml")

    def root_in_a_folder_that_is_gone(self) -> None:
        self.folder = self.machine.folder / "gone"
        self.folder.mkdir()
        self.prepare += "import os\nos.rmdir(os.getcwd())\n"

    def service_in_the_folder_of_root(self) -> None:
        self.prepare += drop_root_script(SERVICE)

    def somebody_else_with_the_store_of_the_service(self) -> None:
        self.folder = self.machine.folder
        self.prepare += drop_root_script(OTHER_USER)

    def somebody_else_with_a_store_behind_a_closed_folder(self) -> None:
        self.somebody_else_with_the_store_of_the_service()
        private = self.machine.folder / "private"
        private.mkdir(mode=0o700)
        self.machine.store.rename(private / "service")
        self.machine.store.symlink_to(private / "service")

    def somebody_else_with_the_usual_store_behind_a_closed_folder(self) -> None:
        self.somebody_else_with_a_store_behind_a_closed_folder()
        settings = yaml.safe_load(self.machine.config.read_text())
        del settings["storage"]
        self.machine.config.write_text(yaml.safe_dump(settings))

    def service_with_a_file_behind_a_closed_folder(self) -> None:
        self.root_beside_a_file_of_its_own()
        self.words = ["-c", str(self.folder / "wx2mqtt.yaml")]
        self.prepare += drop_root_script(SERVICE)

    def service_with_a_file_of_the_system_behind_a_closed_folder(self) -> None:
        self.root_beside_a_file_of_its_own()
        self.prepare += system_files_script(self.folder / "wx2mqtt.yaml", self.machine.store)
        self.prepare += drop_root_script(SERVICE)


SITUATIONS = [name for name in vars(Situation) if not name.startswith("_")]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", MORE_COMMANDS)
def test_no_command_ends_in_a_traceback_for_what_its_user_cannot_reach(
    machine: Machine, name: str, situation: str
) -> None:
    arguments = [str(word) for word in MORE_COMMANDS[name](machine)]
    case = Situation(machine)
    getattr(case, situation)()
    done = run_program(
        [*arguments, *case.words],
        env=os.environ,
        folder=case.folder,
        prepare=case.prepare,
        timeout=MAX_WAIT_SECONDS,
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert "Traceback" not in output
    assert output, "and it says something"
    is_closed = "with_a_file" in situation or (name == "check --as" and "beside_a_file" in situation)
    if is_closed and "only root" not in output:
        assert (done.returncode, "may not be read by user" in output) == (78, True), output
    else:
        assert "wx2mqtt.yaml may not be read" not in output


@pytest.mark.parametrize("is_gone", [False, True])
def test_setup_says_that_it_cannot_write_where_its_user_may_not(machine: Machine, is_gone: bool) -> None:
    prepare = "import os\nos.mkdir('gone', 0o700)\nos.chdir('gone')\nos.rmdir('../gone')\n" if is_gone else ""
    done = run_program(
        ["setup", "--yes", "--embedded", "--backend", "ilink", "--no-unit"],
        env={**os.environ, "LANG": "C"},
        folder=machine.secrets,
        prepare=prepare + drop_root_script(SERVICE),
        timeout=MAX_WAIT_SECONDS,
    )
    output = done.stderr.decode()
    assert (done.returncode, "cannot be written" in output, "Traceback" in output) == (1, True, False), output


def test_a_command_of_root_keeps_the_language_of_a_file_that_the_service_cannot_reach(
    machine: Machine,
) -> None:
    (machine.secrets / "wx2mqtt.yaml").write_text(f"language: zh\n{machine.config.read_text()}")

    def last_line(*arguments: str) -> str:
        done = run_program(arguments, env=os.environ, folder=machine.secrets, timeout=MAX_WAIT_SECONDS)
        return (done.stdout + done.stderr).decode().splitlines()[-1]

    assert last_line("people", "list", "--account", "nobody") == "没有账号“nobody”；配置中有：home"
