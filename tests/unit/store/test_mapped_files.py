"""Messages that kill the process three times in a row are recognised, and PUBACKs are known after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from wx2mqtt.store.mapped_files import (
    MAX_FATAL_MESSAGES,
    MAX_KILLS,
    MAX_PUBACK_RECORDS,
    PROGRESS_INTERVAL_SECONDS,
    PUBACK_LOG_BYTES,
    MappedFile,
    ProcessingMarks,
    PubackLog,
)

PROCESS_MESSAGES_PROGRAM = """
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


def is_killed_by(path: Path, *keys: str) -> bool:
    """Runs a process that is killed by messages whose key begins with `fatal`; returns whether it was killed."""
    command = [sys.executable, "-c", PROCESS_MESSAGES_PROGRAM, str(path), *keys]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert process.returncode in (0, -9), process.stderr
    return process.returncode == -9


def test_three_kills_in_a_row_make_a_message_fatal_and_no_other(path: Path) -> None:
    batch = ("a", "fatal-1", "b")
    assert [is_killed_by(path, *batch) for _ in range(MAX_KILLS + 1)] == [True] * MAX_KILLS + [False]
    marks = ProcessingMarks(path)
    assert [marks.is_fatal(key) for key in batch] == [False, True, False]


def test_a_batch_with_several_fatal_messages_is_processed_after_three_kills_for_each(path: Path) -> None:
    batch = ("fatal-1", "a", "fatal-2", "fatal-3")
    assert [is_killed_by(path, *batch) for _ in range(10)] == [True] * 9 + [False]


def test_a_kill_by_another_message_or_a_processed_message_restarts_the_count(path: Path) -> None:
    assert is_killed_by(path, "fatal-1")
    assert is_killed_by(path, "fatal-1")
    assert is_killed_by(path, "fatal-2")
    assert is_killed_by(path, "fatal-1")
    assert not ProcessingMarks(path).is_fatal("fatal-1")
    assert is_killed_by(path, "fatal-1")
    with ProcessingMarks(path).processing("fatal-1", is_last=True):
        pass
    assert is_killed_by(path, "fatal-1")
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
    path: Path, writes: list[bytes]
) -> None:
    marks = ProcessingMarks(path)
    with marks.processing("a"):
        pass
    with marks.processing("a", is_last=True):
        assert is_marked(path)
    marks.clear()
    assert not is_marked(path)
    assert len(writes) == 2


async def test_a_process_that_is_killed_right_after_the_message_of_the_last_kill_does_not_make_it_fatal(
    path: Path,
) -> None:
    assert is_killed_by(path, "fatal-1")
    marks = ProcessingMarks(path)
    with marks.processing("fatal-1", is_last=True):
        assert is_marked(path)
    assert not is_marked(path)


def test_a_message_without_an_id_is_marked_as_any_other(path: Path) -> None:
    with ProcessingMarks(path).processing(""):
        assert is_marked(path)


def test_an_error_does_not_count_as_a_kill(path: Path) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError), ProcessingMarks(path).processing("a"):
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
    assert [is_killed_by(path, "fatal-1") for _ in range(MAX_KILLS + 1)] == [True] * MAX_KILLS + [False]


def counted(mark: str) -> str:
    """Returns the first line of a file whose message had been marked at all kills but one."""
    return f"{mark} {MAX_KILLS - 1}".ljust(63) + "\n"


def test_the_fatal_messages_that_are_remembered_are_bounded(path: Path) -> None:
    fatal = [f"{number:032x}" for number in range(MAX_FATAL_MESSAGES)]
    path.write_text(counted("f" * 32) + "\n".join(fatal) + "\n")
    ProcessingMarks(path)
    assert path.read_text().split("\n")[1:] == [*fatal[1:], "f" * 32, ""]


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


def test_a_mark_takes_two_short_writes_and_no_sync(
    path: Path, writes: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("os.fsync", "os.fdatasync"):
        monkeypatch.setattr(name, lambda _handle: pytest.fail("a mark waits for the disk"))
    marks = ProcessingMarks(path)
    for key in ("a", "老" * 100_000):
        with marks.processing(key):
            pass
    assert [len(data) for data in writes] == [64] * 4


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written into the file."""
    written: list[bytes] = []
    write = MappedFile.write

    def count(file: MappedFile, data: bytes, position: int) -> bool:
        written.append(data)
        return write(file, data, position)

    monkeypatch.setattr(MappedFile, "write", count)
    return written


def is_marked(path: Path) -> bool:
    return not path.read_text().startswith("- 0 ")


CRON_LINE = "* * * * * root /bin/sh".ljust(32, "x")


@pytest.mark.parametrize("line", ["1" * 5000, CRON_LINE], ids=["too long", "not hexadecimal"])
def test_in_a_damaged_file_only_valid_marks_of_fatal_messages_count(path: Path, line: str) -> None:
    """The marks are written back, so nobody may choose their text."""
    path.write_text(counted("0" * 32) + line + "\n" + "2" * 32 + "\n")
    ProcessingMarks(path)
    assert path.read_text().replace("\0", "").split("\n")[1:] == ["2" * 32, "0" * 32, ""]
    path.write_text(counted(line[:3000]))
    ProcessingMarks(path)
    assert path.read_text() == counted(line[:3000])
    assert not is_killed_by(path, "a")


def test_a_link_or_a_fifo_is_neither_read_nor_written(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(counted("0" * 32))
    path.symlink_to(other)
    with ProcessingMarks(path).processing("a"):
        pass
    assert other.read_text() == counted("0" * 32)
    path.unlink()
    os.mkfifo(path)
    with ProcessingMarks(path).processing("a"):
        pass
    assert path.is_fifo()


async def test_in_a_batch_a_message_takes_one_write_and_the_last_mark_goes_in_the_next_turn(
    path: Path, writes: list[bytes]
) -> None:
    marks = ProcessingMarks(path)
    for number in range(50):
        with marks.processing(f"{number}"):
            pass
    await asyncio.sleep(0)
    assert len(writes) == 51
    assert not is_marked(path)


STREAM, TIME = "stream-1", 1_795_000_000_000


RECORD_PUBACKS_PROGRAM = """
import os, signal, sys
from pathlib import Path
from wx2mqtt.store.mapped_files import PubackLog

log = PubackLog(Path(sys.argv[1]), sys.argv[2])
assert all(log.add(int(row_id), 1) for row_id in sys.argv[3:])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "home.json.pubacks"


def earlier_ids(log_path: Path, stream: str = STREAM) -> list[int]:
    return list(PubackLog(log_path, stream).earlier)


def test_a_killed_process_leaves_its_pubacks(log_path: Path):
    command = [sys.executable, "-c", RECORD_PUBACKS_PROGRAM, str(log_path), STREAM, "7", "3", "9000000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert earlier_ids(log_path) == [7, 3, 9000000000]
    assert log_path.stat().st_mode & 0o777 == 0o600


def test_a_later_process_adds_behind_the_pubacks_of_an_earlier_one(log_path: Path):
    PubackLog(log_path, STREAM).add(1, TIME)
    PubackLog(log_path, STREAM).add(2, TIME + 1)
    assert PubackLog(log_path, STREAM).earlier == {1: TIME, 2: TIME + 1}
    assert earlier_ids(log_path, "stream-2") == [], "a database with another stream has other rows"


def test_a_replaced_log_has_only_the_given_rows_and_later_ones(log_path: Path):
    log = PubackLog(log_path, STREAM)
    for row_id in range(1, 6):
        log.add(row_id, TIME)
    log.replace([(4, TIME), (5, TIME)])
    log.add(6, TIME)
    assert earlier_ids(log_path) == [4, 5, 6]
    log.replace([])
    assert earlier_ids(log_path) == []


def test_the_file_keeps_its_size_and_refuses_what_does_not_fit(log_path: Path):
    log = PubackLog(log_path, STREAM)
    for row_id in range(1, 2 * MAX_PUBACK_RECORDS):
        assert log.add(row_id, TIME) is (row_id <= MAX_PUBACK_RECORDS)
    assert earlier_ids(log_path) == list(range(1, MAX_PUBACK_RECORDS + 1))
    log.replace([(5, TIME)])
    assert log.add(6, TIME)
    assert earlier_ids(log_path) == [5, 6]
    assert log_path.stat().st_size == PUBACK_LOG_BYTES


def test_of_a_damaged_log_only_the_damaged_records_are_lost(log_path: Path):
    log = PubackLog(log_path, STREAM)
    for row_id in (1, 2, 3):
        log.add(row_id, TIME)
    whole = log_path.read_bytes()[:60]
    for position in range(20, 40):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        log_path.write_bytes(damaged)
        assert earlier_ids(log_path) == [1, 3]
    log_path.write_bytes(whole[:-1])
    assert earlier_ids(log_path) == [1, 2]
    PubackLog(log_path, STREAM).add(4, TIME)
    assert earlier_ids(log_path) == [1, 2, 4]
    log_path.write_bytes(bytes(len(whole)))  # a power cut may leave zeros
    assert earlier_ids(log_path) == []


def test_a_huge_file_is_read_to_a_limit(log_path: Path):
    log_path.write_bytes(b"\1" * (2 * PUBACK_LOG_BYTES))
    log = PubackLog(log_path, STREAM)
    assert not log.earlier
    log.replace([])
    assert log.add(1, TIME)
    assert earlier_ids(log_path) == [1]


def test_without_a_file_nothing_is_recorded(tmp_path: Path):
    assert not PubackLog().is_usable
    assert not PubackLog().add(1, TIME)
    log = PubackLog(tmp_path / "missing" / "file", STREAM)
    with capture_logs() as logs:
        assert not any(log.add(row_id, TIME) for row_id in (1, 2))
        log.replace([])
    assert not log.is_usable
    assert [entry["event"] for entry in logs] == ["acknowledgements of the broker are not recorded"]


def test_a_closed_log_records_nothing_and_holds_no_file(log_path: Path):
    log = PubackLog(log_path, STREAM)
    open_files = psutil.Process().open_files
    log.add(1, TIME)
    assert str(log_path) in [file.path for file in open_files()]
    log.close()
    assert str(log_path) not in [file.path for file in open_files()]
    assert not log.add(2, TIME)
    assert earlier_ids(log_path) == [1]
