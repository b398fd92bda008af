"""Keeps the files of a store small: by age, by size, and when the disk space of the store runs out.

First the row says that the file is gone, then the file is removed if no other row needs it. The thread that
writes rows asks whether one does: no row can start to need the file between the question and the removal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from wx2mqtt.model import Blob
from wx2mqtt.store.blobs import Blobs, sha256_of
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.queries import blob_from_text, json_list, load_queries
from wx2mqtt.store.retention import DAY_MS, clock_has_passed

PRUNE_BATCH_ROWS = 500  # of one commit
PRUNE_BATCH_FILES = 20  # of one commit: the removal of a large file takes a disk milliseconds
ORPHAN_AGE_SECONDS = 3600.0
FINISHED_RETENTION_MS = DAY_MS  # rows of files that belong to no stored message and will get no bytes

REASON_AGED = "it was kept as long as media.keep says"
REASON_TOTAL_SIZE = "media.max_total was used up by newer media"
REASON_STORE_FULL = "storage.max_size was nearly used up"

T = TypeVar("T")

_SQL = load_queries("media_retention")


class _ReadyFile(NamedTuple):
    """A row of the state `ready`; without a blob if the row cannot be read."""

    id: str
    blob: Blob | None


class MediaRetention:
    """Removes rows and files of all accounts."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return self._blobs.size

    async def prune(self, account: str, now: int, keep_ms: int) -> int:
        """Removes files that were downloaded longer ago than `keep_ms`; returns the bytes removed.

        Also deletes rows that are finished and belong to no stored message. Does nothing while the clock is
        behind the newest row.
        """
        if not await self._database.read(partial(clock_has_passed, now=now)):
            return 0
        freed = 0
        while files := await self._downloaded_before(account, now - keep_ms):
            freed += await self._expire(files, REASON_AGED)
        await self._delete_finished(account, now - FINISHED_RETENTION_MS)
        return freed

    async def enforce_limit(self, account: str, max_bytes: int) -> int:
        """Removes the oldest files of an account until at most `max_bytes` remain; returns bytes removed."""
        freed = 0
        while (excess := await self._total_bytes(account) - max_bytes) > 0:
            files = _oldest_with(excess, await self._oldest_of_account(account))
            if not files:
                break
            freed += await self._expire(files, REASON_TOTAL_SIZE)
        return freed

    async def free_space(self, wanted_bytes: int) -> int:
        """Removes orphans, then the oldest files of all accounts, until `wanted_bytes` are free.

        Returns the bytes removed; fewer than wanted if there is nothing more to remove.
        """
        freed = await self.remove_orphans(0.0)
        while freed < wanted_bytes:
            files = _oldest_with(wanted_bytes - freed, await self._oldest())
            if not files:
                break
            freed += await self._expire(files, REASON_STORE_FULL)
        return freed

    async def remove_orphans(self, min_age_seconds: float = ORPHAN_AGE_SECONDS) -> int:
        """Removes files of at least this age that no row needs; returns the bytes removed."""
        paths = await self._blobs.older_than(min_age_seconds)
        return sum([await self._remove_unneeded_files(chunk) for chunk in _chunks(paths, PRUNE_BATCH_ROWS)])

    async def remove_unneeded(self, blob: Blob) -> None:
        """Removes a file that its taker does not want after all, unless a row needs it."""
        await self._remove_unneeded_files([self._blobs.path_of(blob)])

    async def _downloaded_before(self, account: str, before_ms: int) -> list[_ReadyFile]:
        return await self._ready_files(_SQL["downloaded_before"], account, before_ms, PRUNE_BATCH_ROWS)

    async def _oldest_of_account(self, account: str) -> list[_ReadyFile]:
        return await self._ready_files(_SQL["oldest_of_account"], account, PRUNE_BATCH_ROWS)

    async def _oldest(self) -> list[_ReadyFile]:
        return await self._ready_files(_SQL["oldest"], PRUNE_BATCH_ROWS)

    async def _ready_files(self, statement: str, *arguments: object) -> list[_ReadyFile]:
        def job(connection: Connection) -> list[_ReadyFile]:
            rows = connection.execute(statement, arguments)
            return [_ReadyFile(media_id, _readable_blob(text)) for media_id, _, text in rows]

        return await self._database.read(job)

    async def _total_bytes(self, account: str) -> int:
        (total,) = await self._database.read(
            lambda db: db.execute(_SQL["total_bytes"], (account,)).fetchone()
        )
        return int(total)

    async def _expire(self, files: Sequence[_ReadyFile], why: str) -> int:
        """Marks rows as gone and removes their files; the orphan of an unreadable row is removed later."""
        await self._prune_rows(_SQL["mark_gone"], json_list(file.id for file in files), why)
        return await self._remove_unneeded_files(
            list({self._blobs.path_of(file.blob) for file in files if file.blob})
        )

    async def _remove_unneeded_files(self, paths: Sequence[Path]) -> int:
        """Removes files that no row needs; asks first in the thread that reads, which delays no commit."""
        unneeded = await self._database.read(partial(_unneeded, paths))
        return sum([await self._remove_now(chunk) for chunk in _chunks(unneeded, PRUNE_BATCH_FILES)])

    async def _remove_now(self, paths: Sequence[Path]) -> int:
        return await self._database.write(
            "media_remove", lambda db: self._blobs.remove(_unneeded(paths, db), db)
        )

    async def _delete_finished(self, account: str, before_ms: int) -> None:
        after_id = ""
        while page := await self._database.read(partial(_finished_page, account, after_id, before_ms)):
            after_id = page[-1][0]
            finished = json_list(media_id for media_id, is_finished in page if is_finished)
            await self._prune_rows(_SQL["delete_finished"], finished)

    async def _prune_rows(self, statement: str, *arguments: object) -> None:
        await self._database.write("media_prune", lambda db: db.execute(statement, arguments))


def _readable_blob(text: str | None) -> Blob | None:
    try:
        return blob_from_text(text)
    except (ValueError, TypeError, AttributeError):  # no JSON, or not the fields of a blob
        return None


def _finished_page(
    account: str, after_id: str, before_ms: int, connection: Connection
) -> list[tuple[str, bool]]:
    arguments = (account, after_id, before_ms, PRUNE_BATCH_ROWS)
    return connection.execute(_SQL["finished_page"], arguments).fetchall()


def _unneeded(paths: Sequence[Path], connection: Connection) -> list[Path]:
    hashes = json_list(sha256_of(path) for path in paths)
    needed = {sha256 for (sha256,) in connection.execute(_SQL["needed"], (hashes,))}
    return [path for path in paths if sha256_of(path) not in needed]


def _oldest_with(wanted_bytes: int, files: Sequence[_ReadyFile]) -> list[_ReadyFile]:
    """Returns the first files that together have `wanted_bytes`; an unreadable row counts as 0 bytes."""
    chosen: list[_ReadyFile] = []
    for file in files:
        if wanted_bytes <= 0:
            break
        chosen.append(file)
        wanted_bytes -= file.blob.size if file.blob else 0
    return chosen


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
