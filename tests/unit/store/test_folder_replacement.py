"""A store is replaced whole or not at all, also when the process is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt.store.folder import StoreFolder
from wx2mqtt.store.folder_replacement import (
    DECIDED_PREFIX,
    GATHERING_FOLDER,
    MOVING_FOLDER,
    REPLACED_PREFIX,
    discard_replacement,
    replace_store,
    start_replacement,
    store_parts,
)

OLD = {
    "wx2mqtt.db": "old",
    "wx2mqtt.db-wal": "old wal",
    "wx2mqtt.db-shm": "old shm",
    "wx2mqtt.db.suspect": "",
    "people.json": "old",
    "sessions/home.json": "old",
    "sessions/gone.json": "old",
    "media/aa/aa.jpg": "old",
}


NEW = {"wx2mqtt.db": "new", "sessions/home.json": "new", "media/bb/bb.jpg": "new"}


OTHERS = {"lock": "", "broker.db": "the broker's", "notes.txt": "mine"}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def store_files(folder: Path) -> dict[str, str]:
    """Returns the files of the store that a bridge would open."""
    return {
        name: text
        for name, text in read(folder).items()
        if not name.startswith((REPLACED_PREFIX, "restore."))
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {**OLD, **OTHERS})
    return tmp_path


def test_the_new_store_replaces_the_old_one_which_is_kept_in_another_folder(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    replaced = replace_store(folder)
    assert replaced is not None
    assert store_files(folder) == {**NEW, **OTHERS}
    assert read(replaced) == OLD
    assert replaced.stat().st_mode & 0o777 == 0o700
    assert not list(folder.glob("restore.*"))


def test_where_there_was_no_store_none_is_kept(tmp_path: Path) -> None:
    write(tmp_path, OTHERS)
    write(start_replacement(tmp_path), NEW)
    assert replace_store(tmp_path) is None
    assert read(tmp_path) == {**NEW, **OTHERS}


def test_a_replacement_that_was_not_finished_is_deleted_at_the_next_opening(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    StoreFolder.open(folder).close()
    assert {**read(folder), "lock": ""} == {**OLD, **OTHERS}


def test_a_second_replacement_starts_with_an_empty_folder(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    assert list(start_replacement(folder).iterdir()) == []
    discard_replacement(folder)
    assert not (folder / GATHERING_FOLDER).exists()


def test_files_of_others_are_no_part_of_a_store(tmp_path: Path) -> None:
    write(tmp_path, OTHERS)
    assert store_parts(tmp_path) == []


class PowerCut(BaseException):
    """Ends the replacement between two steps."""


@pytest.mark.parametrize("steps", range(1, 40))
def test_after_a_power_cut_at_any_step_the_next_opening_finds_the_old_or_the_new_store(
    folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is a rename. The crash tests kill a process at each of them, and at each fsync."""
    remaining = steps
    rename = Path.rename

    def rename_until_cut(self: Path, target: Path) -> Path:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            raise PowerCut
        return rename(self, target)

    write(start_replacement(folder), NEW)
    monkeypatch.setattr(Path, "rename", rename_until_cut)
    try:
        replace_store(folder)
    except PowerCut:
        pass
    else:
        assert remaining > 0
    monkeypatch.undo()
    StoreFolder.open(folder).close()
    files_after = store_files(folder)
    del files_after["lock"], files_after["broker.db"], files_after["notes.txt"]
    assert files_after == (OLD if steps == 1 else NEW)
    assert not list(folder.glob("restore.*"))
    replaced = [read(replaced_folder) for replaced_folder in folder.glob(f"{REPLACED_PREFIX}*")]
    assert replaced == ([] if steps == 1 else [OLD])


@pytest.mark.parametrize("state", [DECIDED_PREFIX + "20261125T080000Z", MOVING_FOLDER])
def test_a_replacement_that_was_decided_is_completed_at_the_next_opening(folder: Path, state: str) -> None:
    if state == MOVING_FOLDER:
        for part in store_parts(folder):
            part.rename(folder.parent / f"{folder.name}-{part.name}")
    write(folder / state, NEW)
    StoreFolder.open(folder).close()
    assert {**store_files(folder), "lock": ""} == {**NEW, **OTHERS}


def test_a_link_among_the_new_files_is_not_followed(tmp_path: Path) -> None:
    """When root restores, the target of the link would be given to the owner of the folder."""
    other = tmp_path / "other"
    other.write_text("precious")
    store = tmp_path / "store"
    store.mkdir()
    (start_replacement(store) / "people.json").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        replace_store(store)
