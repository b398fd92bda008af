"""A message during which the process is killed three times in a row is recognised, also when others follow."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.store.encrypted_logins import EncryptedLogins
from wx2mqtt.store.mapped_files import (
    MARKS_SUFFIX,
    MAX_FATAL_MESSAGES,
    MAX_KILLS,
    PROGRESS_INTERVAL_SECONDS,
    MappedFile,
    ProcessingMarks,
)
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.shared_marks import SharedMarks

KILLED = """
import os, signal, sys
from pathlib import Path
from wx2mqtt.store.mapped_files import ProcessingMarks

marks = ProcessingMarks(Path(sys.argv[1]))
for key in sys.argv[2:]:
    if marks.is_fatal(key):
        continue
    with marks.processing(key):
        if key.startswith("fatal"):
            os.kill(os.getpid(), signal.SIGKILL)
print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.json.processing"


def killed(path: Path, *keys: str) -> bool:
    """Runs a process that is killed by each message whose key begins with `fatal`; returns whether it was."""
    command = [sys.executable, "-c", KILLED, str(path), *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


def test_three_kills_in_a_row_make_a_message_fatal_and_no_other(path: Path) -> None:
    batch = ("a", "fatal-1", "b")
    assert [killed(path, *batch) for _ in range(MAX_KILLS + 1)] == [True] * MAX_KILLS + [False]
    marks = ProcessingMarks(path)
    assert [marks.is_fatal(key) for key in batch] == [False, True, False]


def test_a_batch_with_several_fatal_messages_is_over_after_three_kills_for_each(path: Path) -> None:
    batch = ("fatal-1", "a", "fatal-2", "fatal-3")
    assert [killed(path, *batch) for _ in range(10)] == [True] * 9 + [False]


def test_a_kill_during_another_message_begins_anew(path: Path) -> None:
    assert killed(path, "fatal-1")
    assert killed(path, "fatal-1")
    assert killed(path, "fatal-2")
    assert killed(path, "fatal-1")
    assert not ProcessingMarks(path).is_fatal("fatal-1")


def test_a_message_that_was_processed_at_the_third_attempt_is_not_suspect(path: Path) -> None:
    assert killed(path, "fatal-1")
    assert killed(path, "fatal-1")
    with ProcessingMarks(path).processing("fatal-1", is_last=True):
        pass
    assert killed(path, "fatal-1")
    assert not ProcessingMarks(path).is_fatal("fatal-1")


def test_a_message_that_is_read_both_times_and_ends_the_process_when_it_is_stored_is_fatal(
    path: Path,
) -> None:
    for _ in range(MAX_KILLS):
        marks = ProcessingMarks(path)
        with marks.processing("a"):
            pass
        with marks.processing("a", is_last=True):
            left_behind = path.read_bytes()
        path.write_bytes(left_behind)
    assert ProcessingMarks(path).is_fatal("a")


async def test_a_message_that_is_read_and_stored_in_one_turn_is_marked_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = count_writes(monkeypatch)
    marks = ProcessingMarks(path)
    with marks.processing("a"):
        pass
    with marks.processing("a", is_last=True):
        assert is_marked(path)
    marks.clear()
    assert len(writes) == 2


async def test_a_process_that_is_killed_right_after_the_message_of_the_last_kill_does_not_make_it_fatal(
    path: Path,
) -> None:
    assert killed(path, "fatal-1")
    marks = ProcessingMarks(path)
    with marks.processing("fatal-1", is_last=True):
        assert is_marked(path)
    assert not is_marked(path)


def test_a_message_without_an_id_is_marked_as_any_other(path: Path) -> None:
    with ProcessingMarks(path).processing(""):
        assert is_marked(path)


def test_an_error_is_no_kill(path: Path) -> None:
    for _ in range(3):
        marks = ProcessingMarks(path)
        with pytest.raises(RuntimeError), marks.processing("a"):
            raise RuntimeError
    assert not ProcessingMarks(path).is_fatal("a")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"x", b"\xff\xfe", b"- 0\n", b"a 99\n", b"a -1\n" + b"b\n" * 100_000]
)
def test_a_damaged_file_marks_nothing(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    marks = ProcessingMarks(path)
    with marks.processing("a"):
        assert not marks.is_fatal("a")


@pytest.mark.parametrize("content", [b"\xff" * 200, b"- 0".ljust(63) + b"\n\xff\n", b"x" * 65 + "é".encode()])
def test_a_message_is_found_fatal_also_where_the_file_was_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert [killed(path, "fatal-1") for _ in range(MAX_KILLS + 1)] == [True] * MAX_KILLS + [False]


def test_the_fatal_messages_that_are_remembered_are_bounded(path: Path) -> None:
    fatal = "\n".join(f"{number:032x}" for number in range(MAX_FATAL_MESSAGES))
    path.write_text("f" * 32 + f" {MAX_KILLS - 1}".ljust(31) + "\n" + fatal + "\n")
    ProcessingMarks(path)
    kept = path.read_text().split("\n")[1:]
    assert kept == [*(f"{number:032x}" for number in range(1, MAX_FATAL_MESSAGES)), "f" * 32, ""]


def test_a_file_that_cannot_be_written_stops_no_message(tmp_path: Path) -> None:
    marks = ProcessingMarks(tmp_path / "missing" / "file")
    with marks.processing("a"), marks.processing("b"):
        pass


def test_progress_is_reported_about_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("wx2mqtt.store.mapped_files.boot_time", lambda: now[0])
    marks = ProcessingMarks(path)
    reports: list[float] = []
    marks.progressed.connect(lambda: reports.append(now[0]))
    for _ in range(8):
        with marks.processing("a"):
            now[0] += PROGRESS_INTERVAL_SECONDS / 4
    assert len(reports) == 2


def test_a_mark_is_two_short_writes_that_wait_for_no_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_handle: int) -> None:
        raise AssertionError

    writes = count_writes(monkeypatch)
    monkeypatch.setattr("os.fsync", wait)
    monkeypatch.setattr("os.fdatasync", wait)
    marks = ProcessingMarks(path)
    for key in ("a", "老" * 100_000):
        with marks.processing(key):
            pass
    assert [len(data) for data in writes] == [64] * 4


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    writes: list[bytes] = []
    write = MappedFile.write

    def count(file: MappedFile, data: bytes, position: int) -> bool:
        writes.append(data)
        return write(file, data, position)

    monkeypatch.setattr(MappedFile, "write", count)
    return writes


def is_marked(path: Path) -> bool:
    return not path.read_text().startswith("- 0 ")


def test_what_a_damaged_file_has_for_fatal_messages_is_dropped_where_it_is_no_mark(path: Path) -> None:
    path.write_text(f"{'0' * 32} {MAX_KILLS - 1}".ljust(63) + "\n" + "1" * 5000 + "\n" + "2" * 32 + "\n")
    ProcessingMarks(path)
    assert path.read_text().replace("\0", "").split("\n")[1:] == ["2" * 32, "0" * 32, ""]
    path.write_text(f"{'0' * 3000} {MAX_KILLS - 1}\n")
    assert not killed(path, "a")


def test_a_link_is_neither_read_nor_written(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f"{'0' * 32} {MAX_KILLS - 1}".ljust(63) + "\n")
    path.symlink_to(other)
    marks = ProcessingMarks(path)
    with marks.processing("a"):
        pass
    assert other.read_text() == f"{'0' * 32} {MAX_KILLS - 1}".ljust(63) + "\n"


def test_a_fifo_is_no_file_of_marks_and_keeps_nobody_waiting(path: Path) -> None:
    os.mkfifo(path)
    with ProcessingMarks(path).processing("a"):
        pass
    assert path.is_fifo()


def test_a_mark_is_hexadecimal_whatever_the_file_says(path: Path) -> None:
    """What is fatal is written back: nobody may choose the text."""
    line = "* * * * * root /bin/sh".ljust(32, "x")
    path.write_text(f"{'0' * 32} {MAX_KILLS - 1}".ljust(63) + "\n" + f"{line}\n" + "2" * 32 + "\n")
    ProcessingMarks(path)
    assert path.read_text().replace("\0", "").split("\n")[1:] == ["2" * 32, "0" * 32, ""]
    path.write_text(f"{line} {MAX_KILLS - 1}".ljust(63) + "\n")
    ProcessingMarks(path)
    assert path.read_text() == f"{line} {MAX_KILLS - 1}".ljust(63) + "\n"


async def test_in_a_batch_a_message_takes_one_write_and_the_last_mark_goes_in_the_next_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = count_writes(monkeypatch)
    marks = ProcessingMarks(path)
    for number in range(50):
        with marks.processing(f"{number}"):
            pass
    await asyncio.sleep(0)
    assert len(writes) == 51
    assert not is_marked(path)


async def test_a_mark_is_removed_before_a_commit_that_may_end_the_process(path: Path) -> None:
    marks = ProcessingMarks(path)
    with marks.processing("a"):
        pass
    assert is_marked(path)
    marks.clear()
    assert not is_marked(path)


async def test_in_a_database_three_instances_that_were_killed_once_each_make_a_message_fatal(
    tmp_path: Path,
) -> None:
    """Each has its mark in a file of its own, and counts it when it starts again."""
    database = await PostgresqlDatabase.open(empty_database())
    marks = SharedMarks(database)
    folders = [tmp_path / name for name in ("east", "west", "south")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        file = folder / f"home{MARKS_SUFFIX}"
        assert killed(file, "a", "fatal-1", "b")
        assert not ProcessingMarks(tmp_path / "new", await marks.fatal("home")).is_fatal("fatal-1")
        assert len(await marks.fatal("home")) == 0
        await marks.count(folder)
        await marks.count(folder)  # once for each kill
        assert len(await marks.fatal("home")) == (number + 1 == MAX_KILLS)
    known = ProcessingMarks(tmp_path / "new", await marks.fatal("home"))
    assert [known.is_fatal(key) for key in ("a", "fatal-1", "b")] == [False, True, False]
    assert await marks.fatal("work") == []

    orderly = tmp_path / "orderly"
    orderly.mkdir()
    assert not killed(orderly / f"work{MARKS_SUFFIX}", "a")
    await marks.count(orderly)
    await EncryptedLogins(database, [bytes(32)]).delete("home")
    assert await marks.fatal("home") == []
    assert await database.read(lambda db: db.execute("SELECT * FROM mark").fetchall()) == []
    await database.close()
