"""Files are named by their content: each is complete or absent, and stays until a row refers to it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.store.conftest import Clock, unprivileged
from tests.unit.store.make import chmod
from tests.unit.store.test_file_type import picture
from wx2mqtt.errors import StoreError, StoreFull, Unreachable
from wx2mqtt.model import Blob
from wx2mqtt.store import blobs as module
from wx2mqtt.store.blobs import Blobs, PendingFiles, SizeLimitExceeded
from wx2mqtt.store.partial_file import PartialFile

NO_LIMIT = 10**9


@pytest.fixture
async def blobs(tmp_path: Path) -> Blobs:
    blobs = Blobs(tmp_path)
    await blobs.open()
    return blobs


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def fail_with(number: int, text: str) -> Callable[[object], None]:
    """Returns a function that fails as the operating system does."""

    def fail(_argument: object) -> None:
        raise OSError(number, text)

    return fail


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Lets no file grow above `size` bytes, as on a disk that fills."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_stored_bytes_are_a_file_that_is_named_by_its_content(blobs: Blobs, tmp_path: Path) -> None:
    data = picture("PNG", 30, 20)
    blob = await blobs.store(in_pieces(data[:50], b"", data[50:]), NO_LIMIT)
    sha256 = hashlib.sha256(data).hexdigest()
    assert blob == Blob(
        sha256=sha256,
        size=len(data),
        mime="image/png",
        path=f"media/{sha256[:2]}/{sha256}.png",
        width=30,
        height=20,
    )
    assert blobs.path_of(blob) == tmp_path / blob.path
    assert blobs.path_of(blob).read_bytes() == data
    assert files_below(tmp_path) == [blobs.path_of(blob)]
    assert blobs.exists(blob)


@pytest.mark.parametrize(
    ("source", "mime", "content"),
    [(b"hello", "text/plain", b"hello"), (None, "application/octet-stream", b"")],
    ids=["in one piece", "no piece"],
)
async def test_bytes_can_be_stored_in_one_piece_or_none_and_only_the_owner_may_read_them(
    blobs: Blobs, tmp_path: Path, source: bytes | None, mime: str, content: bytes
) -> None:
    umask = os.umask(0)
    try:
        blob = await blobs.store(in_pieces() if source is None else source, NO_LIMIT)
    finally:
        os.umask(umask)
    path = blobs.path_of(blob)
    assert (blob.mime, blob.width, blob.height, path.read_bytes()) == (mime, None, None, content)
    assert path.stat().st_mode & 0o777 == 0o600
    for folder in (tmp_path / "media", path.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_many_small_pieces_take_few_writes(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = PartialFile.write

    def counted(part: PartialFile, data: bytes) -> None:
        sizes.append(len(data))
        write(part, data)

    monkeypatch.setattr(PartialFile, "write", counted)
    blob = await blobs.store(in_pieces(*[b"x" * 1000] * 1000), NO_LIMIT)
    assert blob.size == 1_000_000
    assert len(sizes) < 6


async def test_the_same_bytes_are_one_file(blobs: Blobs, tmp_path: Path) -> None:
    first = await blobs.store(b"hello", NO_LIMIT)
    os.utime(blobs.path_of(first), (1, 1))
    assert await blobs.store(b"hello", NO_LIMIT) == first
    assert len(files_below(tmp_path)) == 1
    assert blobs.path_of(first).stat().st_mtime > 1
    assert blobs.size == 5


async def test_a_file_that_was_truncated_or_deleted_is_whole_again_when_its_content_is_stored(
    blobs: Blobs,
) -> None:
    blob = await blobs.store(b"hello", NO_LIMIT)
    for damage in (lambda path: os.truncate(path, 3), Path.unlink):
        damage(blobs.path_of(blob))
        assert not blobs.exists(blob)
        assert blobs.exists(await blobs.store(b"hello", NO_LIMIT))


@pytest.mark.parametrize("whole", [False, True])
async def test_a_file_above_the_limit_leaves_nothing(blobs: Blobs, tmp_path: Path, whole: bool) -> None:
    data = b"x" * 500_001
    source = data if whole else in_pieces(data[:300_000], data[300_000:], *[b"endless"] * 10)
    with pytest.raises(SizeLimitExceeded, match="500000") as raised:
        await blobs.store(source, 500_000)
    assert raised.value.limit == 500_000
    assert files_below(tmp_path) == []
    assert blobs.size == 0
    assert (await blobs.store(in_pieces(data[:500_000]), 500_000)).size == 500_000


async def test_an_endless_download_ends_at_the_limit(blobs: Blobs) -> None:
    yielded = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal yielded
        while True:
            yielded += 1000
            yield b"x" * 1000

    with pytest.raises(SizeLimitExceeded):
        await blobs.store(endless(), 100_000)
    assert yielded <= 101_000


async def test_a_download_that_breaks_off_or_is_cancelled_leaves_nothing(
    blobs: Blobs, tmp_path: Path
) -> None:
    started, breaks_off = asyncio.Event(), asyncio.Event()

    async def download() -> AsyncIterator[bytes]:
        yield b"x" * module.WRITE_BUFFER_BYTES
        started.set()
        await breaks_off.wait()
        raise Unreachable

    for end, error in (
        (asyncio.Task.cancel, asyncio.CancelledError),
        (lambda _: breaks_off.set(), Unreachable),
    ):
        started.clear()
        task = asyncio.create_task(blobs.store(download(), NO_LIMIT))
        await started.wait()
        assert blobs.size == module.WRITE_BUFFER_BYTES, "a file that is still being downloaded counts as well"
        end(task)
        with pytest.raises(error):
            await task
        assert files_below(tmp_path) == []
        assert blobs.size == 0


@pytest.mark.parametrize("method", ["_write", "_blob"])
async def test_a_store_that_is_cancelled_while_a_thread_writes_leaves_no_half_file(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The thread goes on after the wait was cancelled; its file must be deleted, and it may not be closed before."""
    loop, is_reached = asyncio.get_running_loop(), asyncio.Event()
    may_continue = threading.Event()
    original = getattr(PartialFile, method)

    def slow(part: PartialFile, *arguments: object) -> object:
        loop.call_soon_threadsafe(is_reached.set)
        may_continue.wait(MAX_WAIT_SECONDS)
        return original(part, *arguments)

    monkeypatch.setattr(PartialFile, method, slow)
    task = asyncio.create_task(blobs.store(b"hello", NO_LIMIT))
    await is_reached.wait()
    task.cancel()
    loop.call_later(0.01, may_continue.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    remaining = files_below(tmp_path)
    assert remaining in ([], [tmp_path / "media" / "2c" / f"{hashlib.sha256(b'hello').hexdigest()}.txt"])
    assert all(file.read_bytes() == b"hello" for file in remaining)
    assert blobs.size == 5 * len(remaining)


async def test_a_full_disk_raises_an_error_and_leaves_no_file(blobs: Blobs, tmp_path: Path) -> None:
    with file_size_limit(100_000), pytest.raises(StoreFull, match="media"):
        await blobs.store(b"x" * 100_001, NO_LIMIT)
    assert files_below(tmp_path) == []
    assert blobs.size == 0


@pytest.mark.parametrize("there_before", [False, True])
async def test_when_a_folder_cannot_be_synced_a_new_file_is_deleted(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    if there_before:
        blobs.mark_referenced(await blobs.store(b"hello", NO_LIMIT))
    monkeypatch.setattr(module, "sync_folder", fail_with(5, "Input/output error"))
    with pytest.raises(StoreError, match="disk"):
        await blobs.store(b"hello", NO_LIMIT)
    assert [file.read_bytes() for file in files_below(tmp_path)] == [b"hello"] * there_before
    assert blobs.size == 5 * there_before
    assert blobs.remove(files_below(tmp_path)) == 5 * there_before, "the file is not pending"


async def test_a_file_that_cannot_be_synced_is_deleted(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fail_with(28, "No space left on device"))
    with pytest.raises(StoreFull):
        await blobs.store(b"hello", NO_LIMIT)
    assert files_below(tmp_path) == []


async def test_file_name_and_folder_are_synced_in_this_order(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name[:6])
        fsync(handle)

    def record_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_rename)
    await blobs.store(b"hello", NO_LIMIT)
    assert order == [".part-", "rename", "2c", "media"]


async def test_a_folder_without_write_right_is_a_store_error(read_only_folder: Path) -> None:
    chmod(read_only_folder, 0o555)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await Blobs(read_only_folder).store(b"hello", NO_LIMIT)
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await Blobs(read_only_folder).open()


async def test_half_files_of_a_killed_process_are_deleted_at_the_next_start(
    blobs: Blobs, tmp_path: Path
) -> None:
    blob = await blobs.store(b"hello", NO_LIMIT)
    (tmp_path / "media" / ".part-dead").write_bytes(b"half")
    restarted = Blobs(tmp_path)
    await restarted.open()
    assert files_below(tmp_path) == [restarted.path_of(blob)]
    assert restarted.size == 5


async def test_a_file_is_not_removed_until_all_who_stored_it_have_a_row_for_it(
    blobs: Blobs, tmp_path: Path
) -> None:
    """A path that cannot be removed does not keep the others."""
    for _ in range(2):
        blob = await blobs.store(b"hello", NO_LIMIT)
    (tmp_path / "media" / "folder").mkdir()
    paths = [tmp_path / "media" / "folder", blobs.path_of(blob), blobs.path_of(blob)]
    for freed in (0, 0, 5):
        assert blobs.remove(paths) == freed
        blobs.mark_referenced(blob)
    assert not blobs.exists(blob)
    assert blobs.size == 0


async def test_old_files_are_found_and_half_files_are_not_and_the_size_is_measured_again(
    blobs: Blobs, tmp_path: Path
) -> None:
    old, young = await blobs.store(b"old", NO_LIMIT), await blobs.store(b"young", NO_LIMIT)
    half = tmp_path / "media" / ".part-mine"
    half.write_bytes(b"half")
    for path in (half, blobs.path_of(old)):
        os.utime(path, (1, 1))
    assert await blobs.older_than(3600) == [blobs.path_of(old)]
    assert set(await blobs.older_than(0)) == {blobs.path_of(old), blobs.path_of(young)}
    blobs.path_of(young).unlink()  # by hand
    size = blobs.size
    await blobs.older_than(0)
    assert blobs.size == size - 5


async def test_many_files_can_be_stored_at_once(blobs: Blobs, tmp_path: Path) -> None:
    data = [os.urandom(50_000) for _ in range(10)] * 3
    stored = await asyncio.gather(
        *(blobs.store(in_pieces(content[:20_000], content[20_000:]), NO_LIMIT) for content in data)
    )
    assert [blobs.path_of(blob).read_bytes() for blob in stored] == data
    assert len(files_below(tmp_path)) == 10
    assert blobs.size == 500_000


def test_a_file_is_pending_until_it_was_released_as_often_as_added(clock: Clock) -> None:
    pending = PendingFiles(10, clock)
    pending.release("a")
    assert not pending.contains("a")
    pending.add("a")
    pending.add("a")
    pending.release("a")
    assert pending.contains("a")
    pending.release("a")
    assert not pending.contains("a")


def test_a_file_that_is_never_released_is_pending_for_a_limited_time(clock: Clock) -> None:
    pending = PendingFiles(10, clock)
    pending.add("a")
    clock.now += 9
    pending.add("a")
    clock.now += 9
    assert pending.contains("a")
    clock.now += 1
    assert not pending.contains("a")
    pending.add("a")
    pending.release("a")
    assert not pending.contains("a")
