"""The files of messages and commands in PostgreSQL, in pieces; the folder has copies of some of them.

    store(content)    a file in the own folder, as `Blobs` does it, then pieces and a row of `media_file`
    fetch(blob)       the folder of another instance has it, too; its copy is deleted after a day without use

A caller gets the file when both steps of `store` are done.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path

from typing_extensions import override

from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import open_to_read
from wx2mqtt.store.blobs import PENDING_SECONDS, Blobs, SizeLimitExceeded, sha256_of
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.statements import Statement

# The bytes of one commit; it delays the commits of messages.
PIECE_BYTES = 1_000_000

# A new file to which no row refers is kept for this time: another instance may be about to store the row.
NEW_FILE_SECONDS = 60.0

# A copy in the folder is kept for this time after it was used.
COPY_SECONDS = 86_400.0


class DatabaseBlobs(Blobs):
    """The files of all instances; `size` is that of the files in the database."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(folder)
        self._database = database

    @override
    def _add_size(self, count: int) -> None:
        """Does nothing: the folder has copies only."""

    async def open(self) -> None:
        """Deletes partial files of earlier processes and measures the stored ones. Raises `StoreError`."""
        await super().open()
        await self._measure_stored()

    async def store(self, chunks: AsyncIterable[bytes] | bytes, limit: int) -> Blob:
        """Stores at most `limit` bytes as a file, like `Blobs.store`."""
        blob = await super().store(chunks, limit)
        try:
            await self.upload(blob)
        except BaseException:
            self.mark_referenced(blob)
            raise
        return blob

    async def fetch(self, blob: Blob) -> bool:
        """Brings a stored file into the folder; returns whether it is there. Raises `StoreError`."""
        if await super().fetch(blob):
            with suppress(OSError):  # deleted since
                await asyncio.to_thread(os.utime, self.path_of(blob))  # the copy is kept for a while
            return True
        if not await self._database.fetch(_IS_STORED, (blob.sha256, blob.size)):
            return False
        try:
            async with aclosing(self._pieces(blob)) as pieces:
                copy = await super().store(pieces, blob.size)
        except SizeLimitExceeded:
            return False
        self.mark_referenced(copy)
        return copy.sha256 == blob.sha256 and self.exists(blob)

    def remove(self, paths: Iterable[Path], connection: Connection | None = None) -> int:
        """Deletes files to which no row refers, except new ones; returns the bytes deleted."""
        assert connection is not None
        paths = list(paths)
        freed = sum(self._delete(connection, sha256_of(path)) for path in paths)
        super().remove(paths, connection)
        return freed

    async def older_than(self, seconds: float) -> list[Path]:
        """Returns all files that were stored longer ago than that, or a while; corrects `size`.

        Also deletes old copies, and the pieces of files that were never completed.
        """
        await asyncio.to_thread(self._delete_old_copies)
        await self._database.execute("media_piece", _DELETE_LOST_PIECES, (PENDING_SECONDS,))
        await self._measure_stored()
        old = await self._database.fetch(_OLD_PATHS, (max(seconds, NEW_FILE_SECONDS),))
        return [self._folder / path for (path,) in old]

    async def upload(self, blob: Blob) -> None:
        """Stores a file of the folder in the database, if it is not there. Raises `StoreError`."""
        if await self._database.execute("media_piece", _RENEW, (blob.sha256,)):
            return
        path = self.path_of(blob)
        for number, start in enumerate(range(0, blob.size, PIECE_BYTES)):
            piece = await asyncio.to_thread(_read_piece, path, start)
            await self._database.execute("media_piece", _PUT_PIECE, (blob.sha256, number, piece))
        added = await self._database.execute("media_file", _PUT_FILE, (blob.sha256, blob.path, blob.size))
        if added:  # else another instance was faster
            self.size += blob.size

    async def _pieces(self, blob: Blob) -> AsyncGenerator[bytes, None]:
        """Yields the pieces of a file; an empty one in place of one that is missing."""
        for number, _ in enumerate(range(0, blob.size, PIECE_BYTES)):
            rows = await self._database.fetch(_PIECE, (blob.sha256, number))
            yield bytes(rows[0][0]) if rows else b""

    async def _measure_stored(self) -> None:
        ((self.size,),) = await self._database.fetch(_TOTAL_BYTES)

    def _delete(self, connection: Connection, sha256: str) -> int:
        """Deletes a file from the database; returns its bytes, 0 if it is new or its row is still to come."""
        with self._lock:
            if self._pending.contains(sha256):
                return 0
        row = connection.execute(_DELETE_OLD_FILE, (sha256, NEW_FILE_SECONDS)).fetchone()
        if row is None:
            return 0
        connection.execute(_DELETE_PIECES, (sha256,))
        self.size -= row[0]
        return int(row[0])

    def _delete_old_copies(self) -> None:
        before = time.time() - COPY_SECONDS
        for path, modified in self._measure():
            if modified <= before:
                self._unlink(path)


def _read_piece(path: Path, start: int) -> bytes:
    with open_to_read(path) as file:
        file.seek(start)
        return file.read(PIECE_BYTES)


# Statements

_IS_STORED = Statement("SELECT 1 FROM media_file WHERE sha256 = ? AND size = ?")

_DELETE_LOST_PIECES = Statement("""
    DELETE FROM media_piece WHERE stored <= now() - make_interval(secs => ?)
    AND NOT EXISTS (SELECT 1 FROM media_file WHERE media_file.sha256 = media_piece.sha256)
""")

_OLD_PATHS = Statement("SELECT path FROM media_file WHERE stored <= now() - make_interval(secs => ?)")

# A file that is stored already counts as new.
_RENEW = Statement("UPDATE media_file SET stored = now() WHERE sha256 = ?")

_PUT_PIECE = Statement("""
    INSERT INTO media_piece (sha256, number, content) VALUES (?, ?, ?)
    ON CONFLICT (sha256, number) DO UPDATE SET content = excluded.content, stored = now()
""")

_PUT_FILE = Statement("INSERT INTO media_file (sha256, path, size) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")

_PIECE = Statement("SELECT content FROM media_piece WHERE sha256 = ? AND number = ?")

_TOTAL_BYTES = Statement("SELECT coalesce(sum(size), 0)::bigint FROM media_file")

_DELETE_OLD_FILE = Statement("""
    DELETE FROM media_file WHERE sha256 = ? AND stored <= now() - make_interval(secs => ?) RETURNING size
""")

_DELETE_PIECES = Statement("DELETE FROM media_piece WHERE sha256 = ?")
