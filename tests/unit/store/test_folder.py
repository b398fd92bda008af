"""The folder of the store: where it is, and only one process can open it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import command
from wx2mqtt.errors import StoreError, StoreFull, StoreLocked
from wx2mqtt.store import folder as folder_module
from wx2mqtt.store.folder import DATABASE_NAME, StoreFolder, accounts_with_urgent_commands, resolve_store_path
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase

HOME_DATA = "/home/a/.local/share/wx2mqtt"


@pytest.mark.parametrize(
    ("configured", "env", "expected", "reason"),
    [
        ("/srv/wx", {"STATE_DIRECTORY": "/var/lib/other"}, "/srv/wx", "storage.path"),
        ("~/wx", {}, str(Path.home() / "wx"), "storage.path"),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a", "STATE_DIRECTORY"),
        (None, {"HOME": "/home/a"}, HOME_DATA, "data folder"),
        (None, {"HOME": "/home/a", "XDG_DATA_HOME": "/data"}, "/data/wx2mqtt", "data folder"),
        (None, {"HOME": "/home/a", "XDG_DATA_HOME": "relative"}, HOME_DATA, "data folder"),
        (None, {"HOME": "/home/a", "STATE_DIRECTORY": ""}, HOME_DATA, "data folder"),
    ],
)
def test_the_folder_is_configured_or_that_of_systemd_or_the_data_folder_of_the_user(
    configured: str | None, env: dict[str, str], expected: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "SYSTEM_FOLDER", Path("/nowhere"))
    monkeypatch.setattr(folder_module, "SYSTEM_CONFIG_FOLDER", Path("/nowhere"))
    path, why = resolve_store_path(None if configured is None else Path(configured), env)
    assert (path, reason in why) == (Path(expected), True)


def test_before_the_data_folder_an_existing_system_folder_counts_and_for_root_one_with_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "SYSTEM_FOLDER", tmp_path)
    path, reason = resolve_store_path(None, {"HOME": "/home/a"})
    assert (path, "exists" in reason) == (tmp_path, True)
    monkeypatch.setattr(folder_module, "SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setattr(folder_module, "SYSTEM_CONFIG_FOLDER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    path, reason = resolve_store_path(None, {"HOME": "/root"})
    assert (path, str(tmp_path) in reason) == (tmp_path / "none", True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert resolve_store_path(None, {"HOME": "/home/a"})[0] == Path(HOME_DATA)


def test_a_new_folder_and_its_lock_are_for_the_owner_only(tmp_path: Path) -> None:
    folder = StoreFolder.open(tmp_path / "a" / "b")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "lock").stat().st_mode & 0o777 == 0o600
    folder.close()


def test_the_names_of_a_new_folder_and_its_new_parent_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def record_fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record_fsync)
    StoreFolder.open(tmp_path / "a" / "b").close()
    assert {tmp_path, tmp_path / "a"} <= set(synced)


def test_an_existing_folder_keeps_its_mode_and_can_be_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir(mode=0o750)
    folder = StoreFolder.open(path)
    folder.close()
    folder.close()
    StoreFolder.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o750


OPEN_STORE_PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from wx2mqtt.store.folder import StoreFolder
folder = StoreFolder.open(Path(sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""


def _other_process(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN_STORE_PROGRAM, "run", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_second_process_gets_an_error_that_names_the_process_with_the_store_until_it_was_killed(
    tmp_path: Path,
) -> None:
    with _other_process(tmp_path) as other:
        with pytest.raises(StoreLocked, match=rf"process {other.pid} \(-c run\); stop it first"):
            StoreFolder.open(tmp_path)
        other.kill()
        other.wait(MAX_WAIT_SECONDS)
        StoreFolder.open(tmp_path).close()


def test_a_store_is_locked_also_while_its_lock_names_no_process_yet(tmp_path: Path) -> None:
    folder = StoreFolder.open(tmp_path)
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(StoreLocked, match="process unknown"):
        StoreFolder.open(tmp_path)
    folder.close()


def test_a_folder_that_cannot_be_written_or_made_is_reported_with_a_remedy(read_only_folder: Path) -> None:
    for path in (read_only_folder, read_only_folder / "new"):
        with unprivileged(), pytest.raises(StoreError, match=r"storage\.path") as caught:
            StoreFolder.open(path)
        assert str(read_only_folder) in str(caught.value)


def test_a_file_in_place_of_the_folder_or_its_parent_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match="a file where a folder should be"):
            StoreFolder.open(path)


def test_the_size_counts_everything_below_the_folder_and_leaves_out_one_on_demand(tmp_path: Path) -> None:
    folder = StoreFolder.open(tmp_path)
    before = folder.size_bytes()
    for name in ("media", "other/media"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "picture").write_bytes(bytes(5000))
    link = tmp_path / "media" / "gone"
    link.symlink_to(tmp_path / "nowhere")
    assert folder.size_bytes() == before + 10_000 + link.lstat().st_size
    assert folder.size_bytes(excluded="media") == before + 5000
    disk = os.statvfs(tmp_path)
    assert folder.free_bytes() == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.5)
    folder.close()


def test_a_disk_without_locks_is_reported(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    os.close(lock)
    with pytest.raises(StoreError, match="cannot be locked"):
        folder_module._acquire(lock, tmp_path)


def test_a_lock_into_which_the_process_cannot_be_written_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as disk, pytest.raises(StoreFull):
        disk.setattr(os, "ftruncate", full)
        StoreFolder.open(tmp_path)
    StoreFolder.open(tmp_path).close()  # it is free again


def test_a_file_that_is_deleted_while_the_size_is_counted_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StoreFolder.open(tmp_path)
    size = folder.size_bytes()
    monkeypatch.setattr(os, "walk", lambda _: [(str(tmp_path), [], ["lock", "gone"])])
    assert folder.size_bytes() == size
    folder.close()


async def test_the_accounts_with_urgent_commands_are_known_while_a_bridge_runs(tmp_path: Path) -> None:
    assert accounts_with_urgent_commands(tmp_path) == frozenset()
    (tmp_path / DATABASE_NAME).write_bytes(b"no database")
    assert accounts_with_urgent_commands(tmp_path) == frozenset()
    (tmp_path / DATABASE_NAME).unlink()
    database = await SqliteDatabase.open(tmp_path / DATABASE_NAME)
    try:
        for account, is_urgent in (("home", True), ("work", False)):
            journal = Journal(database, account)
            await journal.open()
            new = command(f"{account}-1")
            await journal.commands.accept([replace(new, command=replace(new.command, urgent=is_urgent))])
        assert accounts_with_urgent_commands(tmp_path) == frozenset({"home"})
    finally:
        await database.close()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """When root opens the store, its target would be emptied and given to the owner of the folder."""
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "lock").symlink_to(other)
    with pytest.raises(StoreError, match="there is a symbolic link"):
        StoreFolder.open(tmp_path / "store")
    assert other.read_text() == "precious"
