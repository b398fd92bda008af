"""A model of a disk on which only synced data is durable, and its state after a power cut.

Of each file, what was written since its last fsync is dropped, kept, torn at sectors of 512 bytes, or kept in part
and so in another order. Of each folder, the names since its last fsync are there up to a random one of them: file
systems with a journal keep their order. Files and folders lose independently of each other, but a file that moves to
another folder is in one of them or in both. Space that a file got without its content is zero or random.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path, PurePosixPath
from typing import Self

from tests.power_cut.trace import Change, TracedCall

SECTOR_BYTES = 512
SHARED_MEMORY_SUFFIX = "-shm"  # SQLite maps it into memory: any content may be on the disk
SHARED_MEMORY_BYTES = 32_768


class UnsyncedWrites(Enum):
    """What happens to the writes of one file since its last fsync."""

    LOST = auto()
    KEPT = auto()
    BEGINNING = auto()
    SUBSET = auto()
    TORN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """Bytes at an offset; without bytes, the file is cut to `offset`."""

    number: int
    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """Names that a call created in a folder, or removed (None).

    With `moved_to` an item went to another folder: it is not removed before it has its name there. A folder is
    never in two folders.
    """

    number: int
    entries: tuple[tuple[str, File | Folder | None], ...]
    moved_to: Folder | None = None
    moves_folder: bool = False

    def is_kept(self, folder: Folder, kept: Kept) -> bool:
        """Returns whether the names are on the disk."""
        if self.moved_to is not None and self.number >= kept[self.moved_to]:
            return False
        return self.moves_folder or self.number < kept[folder]


@dataclass(slots=True)
class _Synced:
    """The syncs of a file or folder: when each ended, and before which call the changes are durable."""

    ended: list[int] = field(default_factory=list)
    covered: list[int] = field(default_factory=list)

    def add(self, number: int, call: TracedCall) -> None:
        self.ended.append(number)
        self.covered.append(max(call.began, self.covered[-1] if self.covered else 0))

    def before(self, cut: int) -> int:
        """Returns the number of the call before which everything is durable at the cut."""
        count = bisect_left(self.ended, cut)
        return self.covered[count - 1] if count else 0


@dataclass(slots=True, eq=False)
class File:
    """All writes to a file, whatever its names were."""

    writes: list[_Write] = field(default_factory=list)
    synced: _Synced = field(default_factory=_Synced)
    position: int = 0  # of the next `write` without an offset

    def content(self, cut: int, rng: random.Random | None) -> bytes:
        """Returns the content after a power cut; without `rng`, as the process saw it."""
        written = [write for write in self.writes if write.number < cut]
        content = bytearray()
        if rng is None:
            _apply(content, written, bytes)
            return bytes(content)
        durable = self.synced.before(cut)
        _apply(content, [write for write in written if write.number < durable], bytes)
        pending = [write for write in written if write.number >= durable]
        _apply(content, _survivors(pending, rng), rng.choice((bytes, rng.randbytes)))
        return bytes(content)


@dataclass(slots=True, eq=False)
class Folder:
    """All names in a folder."""

    names: list[_Names] = field(default_factory=list)
    synced: _Synced = field(default_factory=_Synced)
    now: dict[str, File | Folder] = field(default_factory=dict)

    def change(self, number: int, *entries: tuple[str, File | Folder | None]) -> None:
        self.names.append(_Names(number=number, entries=entries))
        _rename(self.now, entries)

    def move(self, number: int, name: str, target: Folder) -> None:
        """Removes an item that another folder got."""
        is_folder = isinstance(self.now.pop(name), Folder)
        entries = ((name, None),)
        self.names.append(_Names(number=number, entries=entries, moved_to=target, moves_folder=is_folder))

    def last_kept(self, cut: int, rng: random.Random | None) -> int:
        """Returns the number of the call before which the names are on the disk after a power cut."""
        if rng is None:
            return cut
        durable = self.synced.before(cut)
        pending = [names.number + 1 for names in self.names if durable <= names.number < cut]
        return rng.choice((durable, cut, rng.choice([durable, *pending])))

    def entries(self, kept: Kept) -> dict[str, File | Folder]:
        found: dict[str, File | Folder] = {}
        for names in self.names:
            if names.is_kept(self, kept):
                _rename(found, names.entries)
        return found


Kept = Mapping[Folder, int]
"""Of each folder, the number of the call before which its names are on the disk."""


class Disk:
    """The files below a folder that existed and was empty before the first call."""

    def __init__(self, root: PurePosixPath, calls: Sequence[TracedCall]) -> None:
        self._root_path = root
        self._root = Folder()
        self._folders = [self._root]
        for number, call in enumerate(calls):
            self._apply_call(number, call)

    @classmethod
    def of(cls, root: Path, calls: Iterable[TracedCall]) -> Self:
        return cls(PurePosixPath(root), list(calls))

    def write_to(
        self,
        target: Path,
        cut: int,
        rng: random.Random | None,
        wanted: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Writes the files that are left when the power fails before the call number `cut`; without `rng`, nothing is lost.

        `wanted` gets the path of each file, relative to the root.
        """
        kept = {folder: folder.last_kept(cut, rng) for folder in self._folders}
        _write_folder(_PowerCut(cut=cut, kept=kept, rng=rng, wanted=wanted), self._root, target, "")

    def content(self, path: str, cut: int) -> bytes | None:
        """Returns the content of a file as the process saw it; None if there was none."""
        kept = dict.fromkeys(self._folders, cut)
        item: File | Folder | None = self._root
        for name in PurePosixPath(path).parts:
            item = item.entries(kept).get(name) if isinstance(item, Folder) else None
        return item.content(cut, None) if isinstance(item, File) else None

    def _apply_call(self, number: int, call: TracedCall) -> None:
        if call.path == self._root_path and call.change is Change.SYNC:
            self._root.synced.add(number, call)
            return
        folder, name = self._folder(call.path.parent), call.path.name
        item = folder.now.get(name)
        match call.change:
            case Change.CREATE if item is None:
                folder.change(number, (name, File()))
            case Change.MAKE_FOLDER:
                self._folders.append(Folder())
                folder.change(number, (name, self._folders[-1]))
            case Change.REMOVE:
                folder.change(number, (name, None))
            case Change.RENAME:
                self._rename(number, call, folder, item)
            case Change.SYNC if item is not None:
                item.synced.add(number, call)
            case Change.WRITE | Change.TRUNCATE | Change.CREATE if isinstance(item, File):
                _write(item, number, call)
            case _:
                raise ValueError(f"{call.change} of {call.path}, which is not there")

    def _rename(self, number: int, call: TracedCall, source: Folder, item: File | Folder | None) -> None:
        assert call.target is not None
        target = self._folder(call.target.parent)
        if target is source:
            source.change(number, (call.path.name, None), (call.target.name, item))
        else:
            source.move(number, call.path.name, target)
            target.change(number, (call.target.name, item))

    def _folder(self, path: PurePosixPath) -> Folder:
        item: File | Folder = self._root
        for name in path.relative_to(self._root_path).parts:
            assert isinstance(item, Folder)
            item = item.now[name]
        assert isinstance(item, Folder)
        return item


def _write(file: File, number: int, call: TracedCall) -> None:
    if call.change is Change.WRITE:
        offset = file.position if call.offset < 0 else call.offset
        if call.offset < 0:
            file.position += len(call.data)
        file.writes.append(_Write(number=number, offset=offset, data=call.data))
    elif call.offset >= 0:
        file.position = 0 if call.change is Change.CREATE else file.position
        file.writes.append(_Write(number=number, offset=call.offset, data=None))


def _rename(found: dict[str, File | Folder], entries: Iterable[tuple[str, File | Folder | None]]) -> None:
    for name, item in entries:
        if item is None:
            found.pop(name, None)
        else:
            found[name] = item


def _apply(content: bytearray, writes: Iterable[_Write], fill: Callable[[int], bytes]) -> None:
    """Writes; `fill` returns the content of space that was never written."""
    for write in writes:
        if len(content) < write.offset:
            content += fill(write.offset - len(content))
        if write.data is None:
            del content[write.offset :]
        else:
            content[write.offset : write.offset + len(write.data)] = write.data


def _survivors(writes: list[_Write], rng: random.Random) -> list[_Write]:
    match rng.choice([*UnsyncedWrites]):
        case UnsyncedWrites.LOST:
            return []
        case UnsyncedWrites.KEPT:
            return writes
        case UnsyncedWrites.BEGINNING:
            return writes[: rng.randint(0, len(writes))]
        case UnsyncedWrites.SUBSET:
            return [write for write in writes if rng.random() < 0.5]
        case _:
            kept = [write for write in writes if rng.random() < 0.75]
            return [part for write in kept for part in _torn(write, rng)]


def _torn(write: _Write, rng: random.Random) -> list[_Write]:
    """Returns the sectors of a write that are left: the first ones, the last ones, or some."""
    if write.data is None:
        return [write]
    first = SECTOR_BYTES - write.offset % SECTOR_BYTES
    starts = [0, *range(first, len(write.data), SECTOR_BYTES)]
    place = rng.randint(0, len(starts))
    kept = rng.choice(
        (starts, starts[:place], starts[place:], [start for start in starts if rng.random() < 0.5])
    )
    return [
        _Write(number=write.number, offset=write.offset + start, data=write.data[start : _end(start, first)])
        for start in kept
    ]


def _end(start: int, first: int) -> int:
    return first if start == 0 else start + SECTOR_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class _PowerCut:
    """One power cut: the call before it, the names that are left, and the random source (see `Disk.write_to`)."""

    cut: int
    kept: Kept
    rng: random.Random | None
    wanted: Callable[[str], bool]


def _write_folder(power_cut: _PowerCut, folder: Folder, target: Path, prefix: str) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    for name, item in folder.entries(power_cut.kept).items():
        if isinstance(item, Folder):
            _write_folder(power_cut, item, target / name, f"{prefix}{name}/")
        elif power_cut.wanted(prefix + name):
            content = item.content(power_cut.cut, power_cut.rng)
            if power_cut.rng is not None and name.endswith(SHARED_MEMORY_SUFFIX):
                content = power_cut.rng.choice((content, b"", power_cut.rng.randbytes(SHARED_MEMORY_BYTES)))
            (target / name).write_bytes(content)
