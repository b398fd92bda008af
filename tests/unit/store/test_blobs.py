"""Files named by their content: complete or absent, counted, kept while a row for them is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.store.conftest import Clock, unprivileged
from tests.unit.store.make import chmod
from tests.unit.store.test_file_type import picture
from wx2mqtt.errors import StoreError, StoreFull, Unreachable
from wx2mqtt.store import blobs as module
from wx2mqtt.store.blobs import Blobs, PendingFiles, SizeLimitExceeded
from wx2mqtt.store.partial_file import PartialFile

MUCH = 10**9


@pytest.fixture
async def blobs(tmp_path: Path) -> Blobs:
    made = Blobs(tmp_path)
    await made.open()
    return made


def below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def pieces(*all_of_them: bytes) -> AsyncIterator[bytes]:
    for piece in all_of_them:
        yield piece


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """What a disk that fills comes to."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_bytes_become_a_file_named_by_what_is_in_it(blobs: Blobs, tmp_path: Path) -> None:
    data = picture("PNG", 30, 20)
    blob = await blobs.store(pieces(data[:50], b"", data[50:]), MUCH)
    sha256 = hashlib.sha256(data).hexdigest()
    assert (blob.sha256, blob.size, blob.mime) == (sha256, len(data), "image/png")
    assert (blob.width, blob.height) == (30, 20)
    assert blob.path == f"media/{sha256[:2]}/{sha256}.png"
    assert blobs.path_of(blob) == tmp_path / blob.path
    assert blobs.path_of(blob).read_bytes() == data
    assert below(tmp_path) == [blobs.path_of(blob)]
    assert blobs.exists(blob)


async def test_whole_bytes_do_as_well(blobs: Blobs) -> None:
    blob = await blobs.store(b"hello", MUCH)
    assert (blob.mime, blob.width, blob.height) == ("text/plain", None, None)
    assert blobs.path_of(blob).read_bytes() == b"hello"


async def test_no_bytes_are_a_file_too(blobs: Blobs) -> None:
    blob = await blobs.store(pieces(), MUCH)
    assert (blob.size, blob.mime) == (0, "application/octet-stream")
    assert blobs.exists(blob)


async def test_only_the_owner_may_read_them(blobs: Blobs, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        blob = await blobs.store(b"hello", MUCH)
    finally:
        os.umask(umask)
    assert blobs.path_of(blob).stat().st_mode & 0o777 == 0o600
    for folder in (tmp_path / "media", blobs.path_of(blob).parent):
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_many_pieces_take_few_trips_to_the_disk(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = PartialFile.write

    def counted(part: PartialFile, data: bytes) -> None:
        sizes.append(len(data))
        write(part, data)

    monkeypatch.setattr(PartialFile, "write", counted)
    blob = await blobs.store(pieces(*[b"x" * 1000] * 1000), MUCH)
    assert blob.size == 1_000_000
    assert len(sizes) < 6


async def test_the_same_bytes_are_one_file(blobs: Blobs, tmp_path: Path) -> None:
    first = await blobs.store(b"hello", MUCH)
    os.utime(blobs.path_of(first), (1, 1))
    assert await blobs.store(b"hello", MUCH) == first
    assert len(below(tmp_path)) == 1
    assert blobs.path_of(first).stat().st_mtime > 1
    assert blobs.size == 5


async def test_a_file_that_somebody_cut_is_made_whole_by_the_next_who_takes_it(blobs: Blobs) -> None:
    blob = await blobs.store(b"hello", MUCH)
    os.truncate(blobs.path_of(blob), 3)
    assert not blobs.exists(blob)
    assert blobs.exists(await blobs.store(b"hello", MUCH))


async def test_a_file_that_somebody_took_away_is_missed(blobs: Blobs) -> None:
    blob = await blobs.store(b"hello", MUCH)
    blobs.path_of(blob).unlink()
    assert not blobs.exists(blob)


@pytest.mark.parametrize("whole", [False, True])
async def test_more_than_may_leaves_nothing(blobs: Blobs, tmp_path: Path, whole: bool) -> None:
    data = b"x" * 500_001
    asked = data if whole else pieces(data[:300_000], data[300_000:], *[b"endless"] * 10)
    with pytest.raises(SizeLimitExceeded, match="500000") as raised:
        await blobs.store(asked, 500_000)
    assert raised.value.limit == 500_000
    assert below(tmp_path) == []
    assert blobs.size == 0
    assert (await blobs.store(pieces(data[:500_000]), 500_000)).size == 500_000


async def test_an_endless_body_is_broken_off_at_the_limit(blobs: Blobs) -> None:
    came = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal came
        while True:
            came += 1000
            yield b"x" * 1000

    with pytest.raises(SizeLimitExceeded):
        await blobs.store(endless(), 100_000)
    assert came <= 101_000


async def test_a_download_that_breaks_off_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"x" * module.WRITE_BUFFER_BYTES
        raise Unreachable

    with pytest.raises(Unreachable):
        await blobs.store(breaks(), MUCH)
    assert below(tmp_path) == []
    assert blobs.size == 0


async def test_a_download_that_is_cancelled_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield b"x" * module.WRITE_BUFFER_BYTES
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(blobs.store(hangs(), MUCH))
    await begun.wait()
    assert blobs.size == module.WRITE_BUFFER_BYTES, "what is still coming takes room, too"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert below(tmp_path) == []
    assert blobs.size == 0


@pytest.mark.parametrize("place", ["_write", "_blob"])
async def test_cancelled_while_a_thread_writes_leaves_no_half_file(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The thread goes on after its waiter is gone; what it writes must not outlive it, nor meet a closed file."""
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    go_on = threading.Event()
    real = getattr(PartialFile, place)

    def slow(part: PartialFile, *arguments: object) -> object:
        loop.call_soon_threadsafe(reached.set)
        go_on.wait(MAX_WAIT_SECONDS)
        return real(part, *arguments)

    monkeypatch.setattr(PartialFile, place, slow)
    task = asyncio.create_task(blobs.store(b"hello", MUCH))
    await reached.wait()
    task.cancel()
    loop.call_later(0.01, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    left = below(tmp_path)
    assert left in ([], [tmp_path / "media" / "2c" / f"{hashlib.sha256(b'hello').hexdigest()}.txt"])
    assert all(file.read_bytes() == b"hello" for file in left)
    assert blobs.size == 5 * len(left)


async def test_a_full_disk_raises_an_error_and_leaves_no_file(blobs: Blobs, tmp_path: Path) -> None:
    with no_file_above(100_000), pytest.raises(StoreFull, match="media"):
        await blobs.store(b"x" * 100_001, MUCH)
    assert below(tmp_path) == []
    assert blobs.size == 0


@pytest.mark.parametrize("there_before", [False, True])
async def test_a_folder_that_cannot_be_forced_to_the_disk_keeps_nothing_new(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    if there_before:
        blobs.mark_referenced(await blobs.store(b"hello", MUCH))

    def fails(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "sync_folder", fails)
    with pytest.raises(StoreError, match="disk"):
        await blobs.store(b"hello", MUCH)
    assert [file.read_bytes() for file in below(tmp_path)] == [b"hello"] * there_before
    assert blobs.size == 5 * there_before
    assert blobs.remove(below(tmp_path)) == 5 * there_before, "nobody holds it"


async def test_a_file_that_cannot_be_forced_to_the_disk_is_not_there(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreFull):
        await blobs.store(b"hello", MUCH)
    assert below(tmp_path) == []


async def test_file_name_and_folder_reach_the_disk_in_this_order(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name[:6])
        fsync(handle)

    def note_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_rename)
    await blobs.store(b"hello", MUCH)
    assert order == [".part-", "rename", "2c", "media"]


async def test_a_folder_where_nobody_may_write_is_said(guarded: Path) -> None:
    chmod(guarded, 0o555)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await Blobs(guarded).store(b"hello", MUCH)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await Blobs(guarded).open()


async def test_a_new_life_takes_away_what_the_dead_left_half_done(blobs: Blobs, tmp_path: Path) -> None:
    blob = await blobs.store(b"hello", MUCH)
    (tmp_path / "media" / ".part-dead").write_bytes(b"half")
    life = Blobs(tmp_path)
    await life.open()
    assert below(tmp_path) == [life.path_of(blob)]
    assert life.size == 5


async def test_a_file_is_safe_until_each_who_took_it_has_referred_to_it(blobs: Blobs) -> None:
    blob = await blobs.store(b"hello", MUCH)
    await blobs.store(b"hello", MUCH)
    assert blobs.remove([blobs.path_of(blob)]) == 0
    blobs.mark_referenced(blob)
    assert blobs.remove([blobs.path_of(blob)]) == 0
    blobs.mark_referenced(blob)
    assert blobs.remove([blobs.path_of(blob), blobs.path_of(blob)]) == 5
    assert not blobs.exists(blob)
    assert blobs.size == 0


async def test_a_file_that_cannot_be_removed_does_not_keep_the_others(blobs: Blobs, tmp_path: Path) -> None:
    blob = await blobs.store(b"hello", MUCH)
    blobs.mark_referenced(blob)
    (tmp_path / "media" / "folder").mkdir()
    assert blobs.remove([tmp_path / "media" / "folder", blobs.path_of(blob)]) == 5


async def test_what_is_old_is_found_and_what_is_half_is_not(blobs: Blobs, tmp_path: Path) -> None:
    old, young = await blobs.store(b"old", MUCH), await blobs.store(b"young", MUCH)
    os.utime(blobs.path_of(old), (1, 1))
    half = tmp_path / "media" / ".part-mine"
    half.write_bytes(b"half")
    os.utime(half, (1, 1))
    assert await blobs.older_than(3600) == [blobs.path_of(old)]
    assert set(await blobs.older_than(0)) == {blobs.path_of(old), blobs.path_of(young)}


async def test_the_size_is_measured_again_after_a_change_by_hand(blobs: Blobs) -> None:
    blob = await blobs.store(b"hello", MUCH)
    blobs.path_of(blob).unlink()
    assert blobs.size == 5
    await blobs.older_than(0)
    assert blobs.size == 0


async def test_many_at_once_do_not_disturb_one_another(blobs: Blobs, tmp_path: Path) -> None:
    data = [os.urandom(50_000) for _ in range(10)] * 3
    taken = await asyncio.gather(*(blobs.store(pieces(one[:20_000], one[20_000:]), MUCH) for one in data))
    assert [blobs.path_of(blob).read_bytes() for blob in taken] == data
    assert len(below(tmp_path)) == 10
    assert blobs.size == 500_000


async def test_a_thread_that_comes_too_late_writes_nothing(tmp_path: Path) -> None:
    """Its waiter was cancelled while it still waited for its turn."""
    part = PartialFile(tmp_path, lambda _: None)
    part.write(b"hello")
    part.discard()
    part.discard()
    with pytest.raises(StoreError, match="nobody waits"):
        part.write(b"more")
    assert below(tmp_path) == []


def test_a_file_is_held_until_each_taker_has_written_it_down(clock: Clock) -> None:
    claims = PendingFiles(10, clock)
    claims.add("a")
    claims.add("a")
    claims.release("a")
    assert claims.contains("a")
    claims.release("a")
    assert not claims.contains("a")


def test_what_nobody_took_is_not_held(clock: Clock) -> None:
    claims = PendingFiles(10, clock)
    claims.release("a")
    assert not claims.contains("a")
    claims.add("a")
    assert claims.contains("a")


def test_whoever_never_writes_it_down_is_forgotten(clock: Clock) -> None:
    claims = PendingFiles(10, clock)
    claims.add("a")
    clock.now += 9
    claims.add("a")
    clock.now += 9
    assert claims.contains("a")
    clock.now += 1
    assert not claims.contains("a")
    claims.add("a")
    claims.release("a")
    assert not claims.contains("a")
