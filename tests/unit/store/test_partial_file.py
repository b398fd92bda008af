"""A file that is being written has a temporary name, and is deleted unless it is finished."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.store.make import names
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.partial_file import PARTIAL_FILE_PREFIX, PartialFile


class DiskUsage:
    """Adds up the bytes that a file reports as written or deleted."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, change: int) -> None:
        self.size += change


@pytest.fixture
def usage() -> DiskUsage:
    return DiskUsage()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "media"


def move_to(path: Path, _blob: Blob) -> None:
    path.rename(path.with_name("final"))


def test_the_bytes_are_in_a_temporary_file_for_the_owner_only(folder: Path, usage: DiskUsage) -> None:
    part = PartialFile(folder, usage)
    part.write(b"hello ")
    part.write(b"world")
    (file,) = folder.iterdir()
    assert file.name.startswith(PARTIAL_FILE_PREFIX)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"hello world", 0o600)
    assert part.size == usage.size == 11
    part.discard()


def test_a_finished_file_is_moved_and_described_and_stays(folder: Path, usage: DiskUsage) -> None:
    part = PartialFile(folder, usage)
    part.write(b"hello ")
    blob = part.finish(b"world", move_to)
    part.discard()
    with pytest.raises(StoreError, match="nobody waits"):
        part.write(b"more")
    sha256 = hashlib.sha256(b"hello world").hexdigest()
    assert blob == Blob(sha256=sha256, size=11, mime="text/plain", path=f"media/{sha256[:2]}/{sha256}.txt")
    assert (names(folder), usage.size) == (["final"], 11)


def test_a_discarded_file_is_deleted_and_a_later_write_refused(folder: Path, usage: DiskUsage) -> None:
    """A thread may come to its write only after its wait was cancelled."""
    part = PartialFile(folder, usage)
    part.discard()
    assert not folder.exists()
    part = PartialFile(folder, usage)
    part.write(b"hello")
    part.discard()
    part.discard()
    with pytest.raises(StoreError, match="nobody waits"):
        part.write(b"more")
    assert (names(folder), usage.size) == ([], 0)


def test_a_file_that_could_not_be_moved_can_be_discarded(folder: Path, usage: DiskUsage) -> None:
    def fail(_path: Path, _blob: Blob) -> None:
        raise OSError(5, "Input/output error")

    part = PartialFile(folder, usage)
    with pytest.raises(StoreError, match="disk"):
        part.finish(b"hello", fail)
    part.discard()
    assert (names(folder), usage.size) == ([], 0)
