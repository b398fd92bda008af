"""The replacement of a store is atomic."""

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


def store(folder: Path) -> dict[str, str]:
    """What a bridge would find."""
    return {
        name: text
        for name, text in read(folder).items()
        if not name.startswith((REPLACED_PREFIX, "restore."))
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {**OLD, **OTHERS})
    return tmp_path


def test_the_new_store_takes_the_place_and_the_old_one_is_kept_aside(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    replaced = replace_store(folder)
    assert replaced is not None
    assert store(folder) == {**NEW, **OTHERS}
    assert read(replaced) == OLD
    assert replaced.stat().st_mode & 0o777 == 0o700
    assert not list(folder.glob("restore.*"))


def test_where_there_was_none_nothing_is_kept(tmp_path: Path) -> None:
    write(tmp_path, OTHERS)
    write(start_replacement(tmp_path), NEW)
    assert replace_store(tmp_path) is None
    assert read(tmp_path) == {**NEW, **OTHERS}


def test_what_is_not_decided_is_forgotten_at_the_next_opening(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    StoreFolder.open(folder).close()
    assert {**read(folder), "lock": ""} == {**OLD, **OTHERS}


def test_to_gather_again_begins_with_nothing(folder: Path) -> None:
    write(start_replacement(folder), NEW)
    assert list(start_replacement(folder).iterdir()) == []
    discard_replacement(folder)
    assert not (folder / GATHERING_FOLDER).exists()


def test_what_belongs_to_others_is_no_part_of_a_store(tmp_path: Path) -> None:
    write(tmp_path, OTHERS)
    assert store_parts(tmp_path) == []


class Cut(BaseException):
    """A power cut."""


@pytest.mark.parametrize("steps", range(1, 40))
def test_cut_off_after_any_step_the_next_opening_finds_one_of_both(
    folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are renames; the crash tests kill a process at each, and at each fsync."""
    left = steps
    rename = Path.rename

    def counted(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise Cut
        return rename(self, target)

    write(start_replacement(folder), NEW)
    monkeypatch.setattr(Path, "rename", counted)
    try:
        replace_store(folder)
    except Cut:
        pass
    else:
        assert left > 0
    monkeypatch.undo()
    StoreFolder.open(folder).close()
    found = store(folder)
    del found["lock"], found["broker.db"], found["notes.txt"]
    assert found == (OLD if steps == 1 else NEW)
    assert not list(folder.glob("restore.*"))
    kept = [read(one) for one in folder.glob(f"{REPLACED_PREFIX}*")]
    assert kept == ([] if steps == 1 else [OLD])


@pytest.mark.parametrize("state", [DECIDED_PREFIX + "20261125T080000Z", MOVING_FOLDER])
def test_a_bridge_that_starts_carries_out_what_was_decided(folder: Path, state: str) -> None:
    if state == MOVING_FOLDER:
        for part in store_parts(folder):
            part.rename(folder.parent / f"{folder.name}-{part.name}")
    write(folder / state, NEW)
    StoreFolder.open(folder).close()
    assert {**store(folder), "lock": ""} == {**NEW, **OTHERS}


def test_a_link_among_the_new_files_is_not_followed(tmp_path: Path) -> None:
    """When root restores, the file behind it would be given to the owner of the folder."""
    other = tmp_path / "other"
    other.write_text("precious")
    store = tmp_path / "store"
    store.mkdir()
    (start_replacement(store) / "people.json").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        replace_store(store)
