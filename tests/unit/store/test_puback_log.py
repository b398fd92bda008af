"""What the broker has acknowledged is known after a kill; nothing else is taken for acknowledged."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from wx2mqtt.store.mapped_files import MAX_PUBACK_RECORDS, PUBACK_LOG_BYTES, PubackLog

STREAM = "stream-1"
TIME = 1_795_000_000_000

KILLED = """
import os, signal, sys
from pathlib import Path
from wx2mqtt.store.mapped_files import PubackLog

log = PubackLog(Path(sys.argv[1]), sys.argv[2])
assert all(log.add(int(row_id), 1) for row_id in sys.argv[3:])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.json.pubacks"


def earlier_ids(path: Path, stream: str = STREAM) -> list[int]:
    return list(PubackLog(path, stream).earlier)


def test_a_record_has_the_time_of_its_row(path: Path):
    PubackLog(path, STREAM).add(7, 1_795_000_000_000)
    assert PubackLog(path, STREAM).earlier == {7: 1_795_000_000_000}


def test_a_killed_process_leaves_its_pubacks(path: Path):
    command = [sys.executable, "-c", KILLED, str(path), STREAM, "7", "3", "9000000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert earlier_ids(path) == [7, 3, 9000000000]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_later_process_adds_behind_the_pubacks_of_an_earlier_one(path: Path):
    PubackLog(path, STREAM).add(1, TIME)
    PubackLog(path, STREAM).add(2, TIME)
    assert earlier_ids(path) == [1, 2]


def test_only_what_is_not_marked_stays(path: Path):
    log = PubackLog(path, STREAM)
    for row_id in range(1, 6):
        log.add(row_id, TIME)
    log.replace([(4, TIME), (5, TIME)])
    log.add(6, TIME)
    assert earlier_ids(path) == [4, 5, 6]
    log.replace([])
    assert earlier_ids(path) == []


def test_the_file_keeps_its_size_and_refuses_what_does_not_fit(path: Path):
    log = PubackLog(path, STREAM)
    for row_id in range(1, 2 * MAX_PUBACK_RECORDS):
        assert log.add(row_id, TIME) is (row_id <= MAX_PUBACK_RECORDS)
    assert earlier_ids(path) == list(range(1, MAX_PUBACK_RECORDS + 1))
    log.replace([(5, TIME)])
    assert log.add(6, TIME)
    assert earlier_ids(path) == [5, 6]
    assert path.stat().st_size == PUBACK_LOG_BYTES


def test_a_database_with_another_stream_has_other_rows(path: Path):
    PubackLog(path, STREAM).add(1, TIME)
    assert earlier_ids(path, "stream-2") == []


def test_damage_hides_the_damaged_records_only(path: Path):
    log = PubackLog(path, STREAM)
    for row_id in (1, 2, 3):
        log.add(row_id, TIME)
    whole = path.read_bytes()[:60]
    for position in range(20, 40):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert earlier_ids(path) == [1, 3]
    path.write_bytes(whole[:-1])
    assert earlier_ids(path) == [1, 2]
    PubackLog(path, STREAM).add(4, TIME)
    assert earlier_ids(path) == [1, 2, 4]
    path.write_bytes(bytes(len(whole)))  # a power cut may leave zeros
    assert earlier_ids(path) == []


def test_a_huge_file_is_read_to_a_limit(path: Path):
    path.write_bytes(b"\1" * (2 * PUBACK_LOG_BYTES))
    log = PubackLog(path, STREAM)
    assert not log.earlier
    log.replace([])
    assert log.add(1, TIME)
    assert earlier_ids(path) == [1]


def test_without_a_file_nothing_is_recorded(tmp_path: Path):
    assert not PubackLog().is_usable
    assert not PubackLog().add(1, TIME)
    log = PubackLog(tmp_path / "missing" / "file", STREAM)
    with capture_logs() as logs:
        assert not any(log.add(row_id, TIME) for row_id in (1, 2))
        log.replace([])
    assert not log.is_usable
    assert [entry["event"] for entry in logs] == ["acknowledgements of the broker are not recorded"]


def test_a_closed_log_records_nothing_and_holds_no_file(path: Path):
    log = PubackLog(path, STREAM)
    open_files = psutil.Process().open_files
    log.add(1, TIME)
    assert str(path) in [file.path for file in open_files()]
    log.close()
    assert str(path) not in [file.path for file in open_files()]
    assert not log.add(2, TIME)
    assert earlier_ids(path) == [1]
