"""Small files: whole or not there."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.unit.store.conftest import unprivileged
from wx2mqtt.errors import StoreError
from wx2mqtt.store.files import WholeFile, put_aside, read_whole, write_whole


def test_a_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        write_whole(tmp_path / "a", b"secret")
    finally:
        os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_the_old_content_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old and longer")
    write_whole(tmp_path / "a", b"new")
    assert read_whole(tmp_path / "a") == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    path, seen, stop = tmp_path / "a", set(), threading.Event()
    contents = {letter * 200_000 for letter in (b"a", b"b")}
    write_whole(path, b"a" * 200_000)

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            write_whole(path, content)
    stop.set()
    reader.join()
    assert seen <= contents


def test_when_it_cannot_be_written_the_old_content_stays(guarded: Path) -> None:
    guarded.chmod(0o755)
    write_whole(guarded / "a", b"old")
    guarded.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        write_whole(guarded / "a", b"new")
    assert (guarded / "a").read_bytes() == b"old"


def test_when_it_cannot_be_moved_into_place_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        write_whole(tmp_path / "a", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert read_whole(tmp_path / "a") is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_whole(tmp_path)


def test_what_is_put_aside_keeps_its_content_and_its_companions(tmp_path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-other"):
        (tmp_path / f"db{ending}").write_text(ending)
    aside = put_aside(tmp_path / "db", "-wal", "-shm", "-none")
    assert aside.name.startswith("db.damaged-")
    assert aside.read_text() == ""
    assert aside.with_name(aside.name + "-wal").read_text() == "-wal"
    assert aside.with_name(aside.name + "-shm").read_text() == "-shm"
    assert sorted(file.name for file in tmp_path.iterdir() if "damaged" not in file.name) == ["db-other"]


def test_two_that_are_put_aside_in_one_second_are_both_kept(tmp_path: Path) -> None:
    asides = []
    for number in range(3):
        (tmp_path / "db").write_text(str(number))
        asides.append(put_aside(tmp_path / "db"))
    assert [aside.read_text() for aside in asides] == ["0", "1", "2"]


async def test_of_changes_at_the_same_time_the_newest_wins(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "a")
    for _ in range(20):
        await asyncio.gather(*(file.write(str(number).encode()) for number in range(10)))
        assert read_whole(file.path) == b"9"


async def test_a_change_whose_wait_was_cancelled_does_not_undo_a_later_one(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "a")
    for number in range(20):
        first = asyncio.create_task(file.write(b"old"))
        await asyncio.sleep(0)
        first.cancel()
        await file.write(str(number).encode())
        await asyncio.to_thread(file._one_at_a_time.acquire)
        file._one_at_a_time.release()
        assert read_whole(file.path) == str(number).encode()


async def test_a_deleted_file_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "a")
    await file.write(b"a")
    await file.delete()
    await file.delete()
    assert read_whole(file.path) is None


async def test_a_file_that_cannot_be_deleted_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        await WholeFile(tmp_path / "a").delete()
