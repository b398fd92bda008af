"""Keeps the files of a store small: by age, by size, and when the disk space of the store runs out.

    a file is older than `media.keep`  ->  its row gets the state `gone`  ->  the file is deleted

Several rows may share a file, so only one that no row uses is deleted (`_delete_unused`). A row of `media`
uses its file until its state is `gone`, a row of `command` until the command has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wx2mqtt.model import Blob
from wx2mqtt.store.blobs import Blobs, sha256_of
from wx2mqtt.store.column_values import blob_from_text
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.journal_retention import DAY_MS, clock_has_passed
from wx2mqtt.store.statements import Statement, chunks

# In one commit. To delete a large file takes a disk milliseconds.
PRUNE_BATCH_ROWS = 500
PRUNE_BATCH_FILES = 20

# A file is younger than this while its row may still be about to be stored.
MIN_UNUSED_AGE_SECONDS = 3600.0

# Rows that have no file, get none and belong to no stored message are kept for this time.
FINISHED_RETENTION_MS = DAY_MS

REASON_AGED = "it was kept as long as media.keep says"
REASON_TOTAL_SIZE = "media.max_total was used up by newer media"
REASON_STORE_FULL = "storage.max_size was nearly used up"


class MediaRetention:
    """Gives up files of all accounts; each method returns the bytes that were deleted."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self.blobs = blobs

    async def prune(self, account: str, now: int, keep_ms: int) -> int:
        """Deletes files that were downloaded longer ago than `keep_ms`.

        Also deletes rows that are finished and belong to no stored message. Does nothing while the clock is
        behind the newest row.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return 0
        freed = 0
        while files := await self._read_ready(_DOWNLOADED_BEFORE, account, now - keep_ms):
            freed += await self._give_up(files, REASON_AGED)
        await self._delete_finished(account, now - FINISHED_RETENTION_MS)
        return freed

    async def enforce_limit(self, account: str, max_bytes: int) -> int:
        """Deletes the oldest files of an account until at most `max_bytes` remain.

        A file that a command has still to send stays.
        """
        freed = 0
        while True:
            ((total,),) = await self._database.fetch(_TOTAL_BYTES, (account,))
            if total <= max_bytes:
                break
            oldest = await self._read_ready(_OLDEST_OF_ACCOUNT, account)
            files = _oldest_with(total - max_bytes, oldest)
            if not files:
                break
            freed += await self._give_up(files, REASON_TOTAL_SIZE)
        return freed

    async def free_space(self, wanted_bytes: int) -> int:
        """Deletes unused files, then the oldest files of all accounts, until `wanted_bytes` are free.

        Fewer are freed if there is nothing more to delete. A file that a command has still to send stays.
        """
        freed = await self.delete_unused_files(0.0)
        while freed < wanted_bytes:
            files = _oldest_with(wanted_bytes - freed, await self._read_ready(_OLDEST_OF_STORE))
            if not files:
                break
            freed += await self._give_up(files, REASON_STORE_FULL)
        return freed

    async def delete_unused_files(self, min_age_seconds: float = MIN_UNUSED_AGE_SECONDS) -> int:
        """Deletes files of at least this age that no row uses."""
        freed = 0
        for paths in chunks(await self.blobs.older_than(min_age_seconds), PRUNE_BATCH_ROWS):
            freed += await self._delete_unused(paths)
        return freed

    async def delete_if_unused(self, blob: Blob) -> None:
        """Deletes a file that is not wanted after all, unless a row uses it."""
        await self._delete_unused([self.blobs.path_of(blob)])

    async def _read_ready(self, statement: str, *arguments: object) -> list[_ReadyFile]:
        """Returns the first `PRUNE_BATCH_ROWS` rows of a statement."""
        rows = await self._database.fetch(statement, (*arguments, PRUNE_BATCH_ROWS))
        return [_ReadyFile(media_id, _readable_blob(text)) for media_id, _, text in rows]

    async def _give_up(self, files: Sequence[_ReadyFile], why: str) -> int:
        """Marks rows as gone, then deletes their files.

        The file of an unreadable row is not known here; `delete_unused_files` finds it later.
        """
        ids = json_list(file.id for file in files)
        await self._database.execute("media_prune", _MARK_GONE, (ids, why))
        paths = {self.blobs.path_of(file.blob) for file in files if file.blob}
        return await self._delete_unused(list(paths))

    async def _delete_unused(self, paths: Sequence[Path]) -> int:
        """Deletes those of these files that no row uses; returns their bytes.

        1. A read, which delays no commit, finds the unused files.
        2. Each write deletes some of them, after it has asked again: a row may use a file by now, and during
           a write no other row can begin to.
        """
        freed = 0
        unused = await self._database.read(lambda db: _filter_unused(db, paths))
        for chunk in chunks(unused, PRUNE_BATCH_FILES):
            freed += await self._database.write("media_remove", partial(self._delete_in_write, chunk))
        return freed

    def _delete_in_write(self, paths: Sequence[Path], connection: Connection) -> int:
        return self.blobs.remove(_filter_unused(connection, paths), connection)

    async def _delete_finished(self, account: str, before_ms: int) -> None:
        """Deletes the rows that have no file and get none, and whose message is no more in the history."""
        after_id = ""
        while True:
            values = (account, after_id, before_ms, PRUNE_BATCH_ROWS)
            page = await self._database.fetch(_FINISHED_PAGE, values)
            if not page:
                break
            after_id = page[-1][0]
            finished = json_list(media_id for media_id, is_finished in page if is_finished)
            await self._database.execute("media_prune", _DELETE_FINISHED, (finished,))


class _ReadyFile(NamedTuple):
    """A row of the state `ready`; without a blob if the row cannot be read."""

    id: str
    blob: Blob | None


def _readable_blob(text: str | None) -> Blob | None:
    try:
        return blob_from_text(text)
    except (ValueError, TypeError, AttributeError):  # no JSON, or not the fields of a blob
        return None


def _filter_unused(connection: Connection, paths: Sequence[Path]) -> list[Path]:
    """Returns those of these files that no row uses."""
    hashes = json_list(sha256_of(path) for path in paths)
    used = {sha256 for (sha256,) in connection.execute(_USED_HASHES, (hashes,))}
    return [path for path in paths if sha256_of(path) not in used]


def _oldest_with(wanted_bytes: int, files: Sequence[_ReadyFile]) -> list[_ReadyFile]:
    """Returns the first files that together have `wanted_bytes`; an unreadable row counts as 0 bytes."""
    chosen: list[_ReadyFile] = []
    for file in files:
        if wanted_bytes <= 0:
            break
        chosen.append(file)
        wanted_bytes -= file.blob.size if file.blob else 0
    return chosen


# Statements

# Files that were downloaded before ?2, the oldest first.
_DOWNLOADED_BEFORE = Statement("""
    SELECT id, sha256, blob FROM media
    WHERE account = ?1 AND state = 'ready' AND fetched < ?2 ORDER BY fetched LIMIT ?3
""")

# The size of all files of one account; several rows may share a file.
_TOTAL_BYTES = Statement("""
    SELECT coalesce(sum(size), 0) FROM (
        SELECT max(size) AS size FROM media WHERE account = ? AND state = 'ready' GROUP BY sha256
    ) AS subquery
""")

# Files of one account, the oldest first, without those that a command has still to send.
_OLDEST_OF_ACCOUNT = Statement("""
    SELECT id, sha256, blob FROM media
    WHERE account = ?1 AND state = 'ready'
        AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
    ORDER BY fetched LIMIT ?2
""")

# Files of the whole store, the oldest first, without those that a command has still to send.
_OLDEST_OF_STORE = Statement("""
    SELECT id, sha256, blob FROM media
    WHERE state = 'ready'
        AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
    ORDER BY fetched LIMIT ?1
""")

_MARK_GONE = Statement("""
    UPDATE media SET state = 'gone', why = ?2, sha256 = NULL, size = NULL, blob = NULL
    WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'ready'
""")

# The next rows after the id ?2, and whether each is finished: it has no file, will get none, and its
# message has been pruned from the history.
_FINISHED_PAGE = Statement("""
    SELECT id, state NOT IN ('pending', 'ready') AND created < ?3 AND NOT EXISTS (
        SELECT 1 FROM publication WHERE publication.account = media.account AND publication.seq = media.seq
    ) FROM media WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?4
""")

_DELETE_FINISHED = Statement("""
    DELETE FROM media WHERE id IN (SELECT value FROM json_each(?1)) AND state NOT IN ('pending', 'ready')
""")

# Which of these files are used: by rows of media, and by commands that wait.
_USED_HASHES = Statement("""
    SELECT value FROM json_each(?1)
    WHERE EXISTS (SELECT 1 FROM media WHERE media.sha256 = value)
        OR EXISTS (SELECT 1 FROM command WHERE command.sha256 = value AND status IS NULL)
""")
