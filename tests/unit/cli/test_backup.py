"""`wx2mqtt backup` names its file, replaces a file only if it may, and deletes older backups."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wx2mqtt.cli.backup import BackupFile, backup_file, open_backup_file
from wx2mqtt.errors import BadBackup


def write(file: BackupFile, data: bytes = b"a backup") -> None:
    with open_backup_file(file) as out:
        out.write(data)


def test_an_existing_file_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("precious")
    with pytest.raises(BadBackup) as caught:
        backup_file(file, "wx2mqtt", keep=None, force=False)
    assert (caught.value.key, caught.value.facts["folder"]) == ("backup_exists", tmp_path)
    write(backup_file(file, "wx2mqtt", keep=None, force=True))
    assert file.read_bytes() == b"a backup"
    assert file.stat().st_mode & 0o777 == 0o600


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("precious")
    with pytest.raises(OSError, match="full"), open_backup_file(BackupFile(path=file)) as out:
        out.write(b"half")
        raise OSError("full")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b", "precious")]


def test_in_a_folder_each_backup_is_named_by_its_time(tmp_path: Path) -> None:
    for _ in range(3):
        write(backup_file(tmp_path, "wx2mqtt", keep=None, force=False))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert all(re.fullmatch(r"wx2mqtt-\d{8}T\d{6}Z(-\d+)?\.tar\.gz", name) for name in names)


def test_the_newest_backups_of_this_store_stay_and_all_files_that_are_none(tmp_path: Path) -> None:
    others = ["wx2mqtt-home-20200101T000000Z.tar.gz", "wx2mqtt-20200101T000000Z.tar.gz.age", "notes"]
    old = [f"wx2mqtt-2020010{day}T000000Z.tar.gz" for day in range(1, 5)] + [
        f"wx2mqtt-20200104T000000Z-{number}.tar.gz" for number in (2, 10)
    ]
    for name in [*others, *old]:
        (tmp_path / name).write_text("old")
    (tmp_path / "wx2mqtt-20190101T000000Z.tar.gz").mkdir()
    file = backup_file(tmp_path, "wx2mqtt", keep=3, force=False)
    write(file)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {
        *others,
        "wx2mqtt-20190101T000000Z.tar.gz",
        file.path.name,
        "wx2mqtt-20200104T000000Z-10.tar.gz",
        "wx2mqtt-20200104T000000Z-2.tar.gz",
    }


def test_after_a_failed_backup_no_older_one_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "wx2mqtt-20200101T000000Z.tar.gz").write_text("old")
    file = backup_file(tmp_path, "wx2mqtt", keep=1, force=False)
    with pytest.raises(OSError, match="full"), open_backup_file(file):
        raise OSError("full")
    assert [path.name for path in tmp_path.iterdir()] == ["wx2mqtt-20200101T000000Z.tar.gz"]


def test_a_number_of_backups_to_keep_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadBackup) as caught:
        backup_file(tmp_path / "b", "wx2mqtt", keep=2, force=True)
    assert caught.value.key == "backup_keep_folder"


def test_a_folder_that_takes_the_place_of_the_first_one_meanwhile_gets_no_file(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    with open_backup_file(BackupFile(path=folder / "b")) as out:
        out.write(b"a backup")
        folder.rename(tmp_path / "moved")
        folder.symlink_to(other)
    assert [path.name for path in other.iterdir()] == []
    assert (tmp_path / "moved" / "b").read_bytes() == b"a backup"
