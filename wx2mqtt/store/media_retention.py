"""Keeps the media of a store small: by age, by size, and when there is too little room.

First the row says that the bytes are gone, then the file goes, if no other row needs it. Whether one does is
asked in the thread that writes: no row can come to need the file between the question and its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from wx2mqtt.model import Blob
from wx2mqtt.store.blobs import Blobs, sha256_of
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import blob_from_text, json_list, load_queries
from wx2mqtt.store.retention import clock_has_passed

_SQL = load_queries("media_upkeep")
T = TypeVar("T")

PRUNE_BATCH_ROWS = 500  # rows of one commit
PRUNE_BATCH_FILES = 20  # files of one commit: to remove a large one takes a disk milliseconds
ORPHAN_AGE_SECONDS = 3600.0  # seconds after which a file goes that nobody needs
FINISHED_RETENTION_MS = (
    86_400_000  # milliseconds for which is remembered what became of bytes without a message
)

REASON_AGED = "it was kept as long as media.keep says"
REASON_TOTAL_SIZE = "media.max_total was used up by newer media"
REASON_STORE_FULL = "storage.max_size was nearly used up"


class _ReadyFile(NamedTuple):
    """A row with a file."""

    id: str
    blob: Blob


class MediaRetention:
    """Rows and files of all accounts."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._blobs.size

    async def prune(self, account: str, now: int, keep_ms: int) -> int:
        """Take away what was fetched longer ago than it is to be kept; returns how many bytes went.

        And forget what is over and belongs to no message any more. Does nothing while the clock is behind the
        newest row.
        """
        if not await self._database.read(partial(clock_has_passed, now=now)):
            return 0
        freed = 0
        while rows := await self._rows("before", account, now - keep_ms, PRUNE_BATCH_ROWS):
            freed += await self._expire(rows, REASON_AGED)
        await self._delete_finished(account, now - FINISHED_RETENTION_MS)
        return freed

    async def enforce_limit(self, account: str, max_bytes: int) -> int:
        """Take away what an account fetched first until the rest holds at most `total` bytes."""
        freed = 0
        while (over := await self._total(account) - max_bytes) > 0:
            rows = _until(over, await self._rows("oldest", account, PRUNE_BATCH_ROWS))
            if not rows:
                break
            freed += await self._expire(rows, REASON_TOTAL_SIZE)
        return freed

    async def free_space(self, wanted_bytes: int) -> int:
        """Free so many bytes if that can be: files that nobody needs, then what was fetched first."""
        freed = await self.remove_orphans(0.0)
        while freed < wanted_bytes:
            rows = _until(wanted_bytes - freed, await self._rows("oldest_of_all", PRUNE_BATCH_ROWS))
            if not rows:
                break
            freed += await self._expire(rows, REASON_STORE_FULL)
        return freed

    async def remove_orphans(self, min_age_seconds: float = ORPHAN_AGE_SECONDS) -> int:
        """Remove files that nobody needs and that were taken longer ago than so many seconds."""
        files = await self._blobs.older_than(min_age_seconds)
        return sum([await self._remove_unneeded_files(chunk) for chunk in _chunks(files, PRUNE_BATCH_ROWS)])

    async def remove_unneeded(self, blob: Blob) -> None:
        """Remove a file that whoever took it does not want, unless somebody needs it."""
        await self._remove_unneeded_files([self._blobs.path_of(blob)])

    async def _total(self, account: str) -> int:
        (total,) = await self._database.read(lambda db: db.execute(_SQL["total"], (account,)).fetchone())
        return int(total)

    async def _rows(self, statement: str, *arguments: object) -> list[_ReadyFile]:
        def job(connection: sqlite3.Connection) -> list[_ReadyFile]:
            found = connection.execute(_SQL[statement], arguments)
            return [
                _ReadyFile(media_id, blob) for media_id, _, text in found if (blob := blob_from_text(text))
            ]

        return await self._database.read(job)

    async def _expire(self, rows: Sequence[_ReadyFile], why: str) -> int:
        ids = json_list(row.id for row in rows)
        await self._change("take_away", ids, why)
        return await self._remove_unneeded_files(list({self._blobs.path_of(row.blob) for row in rows}))

    async def _remove_unneeded_files(self, files: Sequence[Path]) -> int:
        """Remove those that nobody needs; first a look that holds nobody up."""
        free = await self._database.read(partial(_not_needed, files))
        return sum([await self._remove_now(chunk) for chunk in _chunks(free, PRUNE_BATCH_FILES)])

    async def _remove_now(self, files: Sequence[Path]) -> int:
        return await self._database.write(
            "media_remove", lambda db: self._blobs.remove(_not_needed(files, db))
        )

    async def _delete_finished(self, account: str, before: int) -> None:
        after = ""
        while page := await self._database.read(partial(_page, account, after, before)):
            after = page[-1][0]
            await self._change("forget", json_list(media_id for media_id, is_over in page if is_over))

    async def _change(self, statement: str, *arguments: object) -> None:
        await self._database.write("media_prune", lambda db: db.execute(_SQL[statement], arguments))


def _page(account: str, after: str, before: int, connection: sqlite3.Connection) -> list[tuple[str, bool]]:
    return connection.execute(_SQL["page"], (account, after, before, PRUNE_BATCH_ROWS)).fetchall()


def _not_needed(files: Sequence[Path], connection: sqlite3.Connection) -> list[Path]:
    needed = {name for (name,) in connection.execute(_SQL["needed"], (json_list(map(sha256_of, files)),))}
    return [file for file in files if sha256_of(file) not in needed]


def _until(wanted_bytes: int, rows: Sequence[_ReadyFile]) -> list[_ReadyFile]:
    """The first rows, until their files hold what is wanted."""
    taken: list[_ReadyFile] = []
    for row in rows:
        if wanted_bytes <= 0:
            break
        taken.append(row)
        wanted_bytes -= row.blob.size
    return taken


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
