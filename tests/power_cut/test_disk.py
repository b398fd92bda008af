"""What a power cut may lose, and what it may not."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import pytest

from tests.power_cut.disk import SECTOR_BYTES, Disk
from tests.power_cut.trace import Change, TracedCall

ROOT = PurePosixPath("/s")
SEEDS = range(300)


def call(change: Change, name: str, *, to: str = "", began: int | None = None, **more: object) -> TracedCall:
    """Returns a call that began when all before it had ended, unless `began` says otherwise."""
    values = {"change": change, "path": ROOT / name, "target": ROOT / to if to else None}
    return TracedCall(**{**values, "began": -1 if began is None else began, **more})  # type: ignore[arg-type]


def numbered(*calls: TracedCall) -> list[TracedCall]:
    return [
        TracedCall(
            change=traced.change,
            path=traced.path,
            target=traced.target,
            data=traced.data,
            offset=traced.offset,
            began=number if traced.began < 0 else traced.began,
        )
        for number, traced in enumerate(calls)
    ]


CREATE = call(Change.CREATE, "a")
SYNC = call(Change.SYNC, "a")
SYNC_FOLDER = call(Change.SYNC, "")
OLD, NEW = b"o" * 2000, b"n" * 2000


def write(data: bytes, offset: int = 0, **more: object) -> TracedCall:
    return call(Change.WRITE, "a", data=data, offset=offset, **more)  # type: ignore[arg-type]


def outcomes(folder: Path, *calls: TracedCall, name: str = "a") -> set[bytes | None]:
    """Returns the contents of a file that power cuts after these calls may leave; None: it is missing."""
    disk = Disk(ROOT, numbered(*calls))
    found: set[bytes | None] = set()
    for seed in SEEDS:
        target = folder / str(seed)
        disk.write_to(target, len(calls), random.Random(seed))
        file = target / name
        found.add(file.read_bytes() if file.exists() else None)
    return found


def test_synced_data_stays(tmp_path):
    assert outcomes(tmp_path, CREATE, write(OLD), SYNC, SYNC_FOLDER) == {OLD}


def test_the_name_of_a_file_is_lost_without_an_fsync_of_its_folder(tmp_path):
    assert outcomes(tmp_path, CREATE, write(OLD), SYNC) == {OLD, None}


def test_a_write_since_the_fsync_is_there_or_not_or_torn_at_sectors(tmp_path):
    found = outcomes(tmp_path, CREATE, write(OLD), SYNC, SYNC_FOLDER, write(NEW))
    assert {OLD, NEW} < found
    for content in found:
        assert content is not None
        sectors = [content[place : place + SECTOR_BYTES] for place in range(0, 2000, SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors)
    first, last = b"n" * 512 + b"o" * 1488, b"o" * 1536 + b"n" * 464
    assert {first, last} < found


def test_a_later_write_may_be_there_without_an_earlier_one(tmp_path):
    found = outcomes(tmp_path, CREATE, write(b"oo"), SYNC, SYNC_FOLDER, write(b"n"), write(b"n", 1))
    assert found == {b"oo", b"no", b"on", b"nn"}


def test_a_write_that_ended_after_the_fsync_began_may_be_lost(tmp_path):
    late = call(Change.SYNC, "a", began=2)
    assert outcomes(tmp_path, CREATE, SYNC_FOLDER, write(OLD), late) > {OLD, b""}


def test_a_file_may_shrink_or_not(tmp_path):
    cut = call(Change.TRUNCATE, "a", offset=2)
    assert outcomes(tmp_path, CREATE, write(b"oooo"), SYNC, SYNC_FOLDER, cut) == {b"oo", b"oooo"}


def test_space_without_content_is_zero_or_random(tmp_path):
    found = outcomes(tmp_path, CREATE, SYNC_FOLDER, write(b"a"), write(b"b", 1))
    holes = {content for content in found if content and len(content) == 2 and content.endswith(b"b")}
    assert b"\0b" in holes
    assert holes - {b"\0b", b"ab"}


@pytest.mark.parametrize("synced", [False, True])
def test_a_renamed_file_replaces_the_other_or_not_and_is_never_missing(tmp_path, synced):
    calls = [
        CREATE,
        write(OLD),
        SYNC,
        call(Change.CREATE, "b"),
        call(Change.WRITE, "b", data=NEW, offset=0),
        call(Change.SYNC, "b"),
        SYNC_FOLDER,
        call(Change.RENAME, "b", to="a"),
        *([SYNC_FOLDER] if synced else []),
    ]
    assert outcomes(tmp_path, *calls) == ({NEW} if synced else {OLD, NEW})


def test_a_file_that_was_renamed_without_an_fsync_may_be_empty(tmp_path):
    calls = [
        call(Change.CREATE, "b"),
        call(Change.WRITE, "b", data=NEW),
        call(Change.RENAME, "b", to="a"),
        SYNC_FOLDER,
    ]
    assert outcomes(tmp_path, *calls) > {NEW, b""}


def test_a_removed_file_may_come_back_and_names_keep_their_order(tmp_path):
    calls = [
        CREATE,
        call(Change.CREATE, "b"),
        SYNC_FOLDER,
        call(Change.REMOVE, "a"),
        call(Change.REMOVE, "b"),
    ]
    disk = Disk(ROOT, numbered(*calls))
    found = set()
    for seed in SEEDS:
        disk.write_to(tmp_path / str(seed), len(calls), random.Random(seed))
        found.add(tuple(sorted(file.name for file in (tmp_path / str(seed)).iterdir())))
    assert found == {("a", "b"), ("b",), ()}


def test_a_file_that_moves_to_another_folder_is_never_missing(tmp_path):
    calls = [
        call(Change.MAKE_FOLDER, "f"),
        CREATE,
        write(OLD),
        SYNC,
        SYNC_FOLDER,
        call(Change.RENAME, "a", to="f/a"),
    ]
    disk = Disk(ROOT, numbered(*calls))
    found = set()
    for seed in SEEDS:
        disk.write_to(tmp_path / str(seed), len(calls), random.Random(seed))
        found.add(tuple((tmp_path / str(seed) / name).exists() for name in ("a", "f/a")))
    assert found == {(True, False), (False, True), (True, True)}


def test_a_folder_that_moves_to_another_folder_is_in_one_of_them(tmp_path):
    calls = [
        call(Change.MAKE_FOLDER, "f"),
        call(Change.MAKE_FOLDER, "g"),
        SYNC_FOLDER,
        call(Change.RENAME, "g", to="f/g"),
    ]
    disk = Disk(ROOT, numbered(*calls))
    found = set()
    for seed in SEEDS:
        disk.write_to(tmp_path / str(seed), len(calls), random.Random(seed))
        found.add(tuple((tmp_path / str(seed) / name).exists() for name in ("g", "f/g")))
    assert found == {(True, False), (False, True)}


def test_a_folder_is_lost_with_all_that_is_in_it(tmp_path):
    calls = [
        call(Change.MAKE_FOLDER, "f"),
        call(Change.CREATE, "f/a"),
        call(Change.WRITE, "f/a", data=OLD),
        call(Change.SYNC, "f/a"),
        call(Change.SYNC, "f"),
    ]
    assert outcomes(tmp_path, *calls, name="f/a") == {OLD, None}
    assert outcomes(tmp_path, *calls, SYNC_FOLDER, name="f/a") == {OLD}


def test_the_content_before_a_call_has_nothing_of_it(tmp_path):
    disk = Disk(ROOT, numbered(CREATE, write(OLD), write(NEW)))
    assert [disk.content("a", cut) for cut in range(4)] == [None, b"", OLD, NEW]
