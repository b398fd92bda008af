"""The files of messages as rows: which are to be downloaded, their state, and which messages wait for them.

    PENDING, due is a time   `next_download` returns it          ->  mark_ready, mark_unavailable, postpone
    PENDING, due is None     nobody asked for it                 ->  request
    READY                    the file is stored in `Blobs`       ->  mark_lost, if the file has vanished
    FAILED, TOO_LARGE, GONE  there is no file; `reason` says why ->  request, of `FAILED` only

A message that waits for its file is not published before `release_message`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wx2mqtt.model import Blob, Json, MediaRef
from wx2mqtt.store.column_values import blob_from_text, blob_to_text, compact, encode_payload, storable_text
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.records import (
    NO_PUBLICATIONS,
    MediaPart,
    MediaRow,
    MediaState,
    NewMedia,
    NewPublication,
    OutboxBatch,
)
from wx2mqtt.store.statements import Statement


class MediaJobs(JournalPart):
    """The downloads of one account. Whether a file really exists is known by `Blobs`."""

    async def next_download(self) -> MediaRow | None:
        """Returns the row to download first; its `due` may be in the future."""
        return await self._media_row(_NEXT_DUE)

    async def get(self, media_id: str) -> MediaRow | None:
        """Returns a row by its id, the name in the URL; None if it is unknown or was deleted."""
        return await self._media_row(_MEDIA_BY_ID, storable_text(media_id))

    async def of_messages(self, message_ids: Sequence[str]) -> list[MediaRow]:
        """Returns the rows of these messages, in their order; of each message the whole file first."""
        ids = json_list(storable_text(message_id) for message_id in dict.fromkeys(message_ids))
        return await self._database.read(lambda db: _media_rows(db, _MEDIA_OF_MESSAGES, self._account, ids))

    async def newest_avatar(self, user: str) -> MediaRow | None:
        """Returns the avatar of a person that was added last, in any state."""
        return await self._media_row(_NEWEST_AVATAR, storable_text(user))

    async def add(self, new: NewMedia, user: str) -> MediaRow:
        """Adds a download that belongs to no message."""
        now = self._rows.now()
        values = media_values(self._account, new, now, message_id="", user=storable_text(user), seq=None)

        def job(connection: Connection) -> MediaRow:
            connection.execute(ADD_MEDIA, values)
            return _media_rows(connection, _MEDIA_BY_ID, self._account, new.id)[0]

        return await self._database.write("media_keep", job)

    async def request(self, media_id: str, due: int) -> None:
        """Schedules a download at `due` (ms) or earlier, also one that was given up."""
        await self._execute("media_ask", _REQUEST_DOWNLOAD, storable_text(media_id), due)

    async def unschedule(self, requested: Collection[str]) -> None:
        """Makes every pending row wait for a client, but the ids `requested` and the rows with `due` 0."""
        ids = json_list(map(storable_text, requested))
        await self._execute("media_unschedule", _UNSCHEDULE, ids)

    async def postpone(self, media_id: str, due: int | None, *, empty: int, why: str) -> None:
        """Stores a failed attempt; the next one is at `due` (ms), or when a client requests it (None).

        `empty` is how many attempts in a row brought no bytes.
        """
        values = (storable_text(media_id), due, empty, storable_text(why))
        await self._execute("media_postpone", _POSTPONE, *values)

    async def end_pauses(self, now: int) -> None:
        """Makes the downloads due at `now` (ms) that failed and wait; not those that brought no bytes."""
        await self._execute("media_end_pauses", _END_PAUSES, now)

    async def mark_ready(
        self,
        media_id: str,
        blob: Blob,
        publications: Sequence[NewPublication],
        *,
        ref: MediaRef | None = None,
    ) -> OutboxBatch:
        """Stores the downloaded file and enqueues the publications, unless the row was ready before.

        `ref` replaces that of the row: it has a name that came with the file.
        """
        ref_text = None if ref is None else _ref_to_text(ref)
        values = (self._rows.now(), blob.sha256, blob.size, blob_to_text(blob), ref_text)
        stored = await self._finish_media("media_ready", _MARK_READY, media_id, values, publications)
        self._rows.on_referenced(blob)
        return stored

    async def mark_unavailable(
        self, media_id: str, state: MediaState, why: str, publications: Sequence[NewPublication]
    ) -> OutboxBatch:
        """Stores why there is no file and enqueues the publications, unless the row was given up before."""
        values = (str(state), storable_text(why))
        return await self._finish_media("media_over", _MARK_UNAVAILABLE, media_id, values, publications)

    async def mark_lost(self, media_id: str, due: int) -> None:
        """Schedules a new download of a ready row whose file has vanished."""
        await self._execute("media_lost", _MARK_LOST, storable_text(media_id), due)

    async def waiting_messages(self) -> list[tuple[str, str, int]]:
        """Returns key, topic and creation time (ms) of the messages that wait for their file."""
        return await self._fetch(_HELD_MESSAGES)

    async def release_message(self, message_key: str, patch: Mapping[str, Json]) -> int | None:
        """Lets a message be published that waited for its file; returns its row id, None if it did not wait.

        `patch` is merged into the payload's object that is named after the kind of the message:
        `{"mime": "image/png"}` into `image`.
        """
        key = storable_text(message_key)

        def job(connection: Connection) -> int | None:
            row = connection.execute(_HELD_MESSAGE, (self._account, key)).fetchone()
            if row is None:
                return None
            row_id, kind, payload = row
            patched = _patched(payload, kind, patch) if patch else payload
            connection.execute(_RELEASE_MESSAGE, (self._account, row_id, patched))
            return int(row_id)

        return await self._database.write("release", job)

    async def _media_row(self, statement: str, *arguments: object) -> MediaRow | None:
        rows = await self._database.read(lambda db: _media_rows(db, statement, self._account, *arguments))
        return rows[0] if rows else None

    async def _finish_media(
        self,
        commit_point: str,
        statement: str,
        media_id: str,
        values: tuple[object, ...],
        publications: Sequence[NewPublication],
    ) -> OutboxBatch:
        """Runs a statement for a row; enqueues the publications if that changed the row."""
        arguments = (self._account, storable_text(media_id), *values)

        def job(connection: Connection) -> OutboxBatch:
            is_changed = connection.execute(statement, arguments).rowcount > 0
            return self._rows.enqueue(connection, publications) if is_changed else NO_PUBLICATIONS

        return await self._database.write(commit_point, job)


def media_values(
    account: str, new: NewMedia, now: int, *, message_id: str, user: str, seq: int | None
) -> tuple[object, ...]:
    """Returns the values of a new row for `ADD_MEDIA`."""
    head = (new.id, account, str(new.part), new.kind, message_id, seq, user)
    return (*head, _ref_to_text(new.ref), str(MediaState.PENDING), new.due, now)


def _patched(payload: bytes, kind: str, patch: Mapping[str, Json]) -> bytes:
    body: dict[str, Any] = json.loads(payload)
    body[kind] = {**body.get(kind, {}), **patch}
    return encode_payload(body)


def _ref_to_text(ref: MediaRef) -> str:
    fields: dict[str, Json] = {
        "locator": dict(ref.locator),
        "mime": ref.mime,
        "size": ref.size,
        "name": ref.name,
    }
    if ref.expires is not None:
        fields["expires"] = ref.expires
    return storable_text(compact(fields))


def _media_rows(connection: Connection, statement: str, *arguments: object) -> list[MediaRow]:
    return [
        MediaRow(
            id=row["id"],
            part=MediaPart(row["part"]),
            kind=row["kind"],
            message_id=row["message_id"],
            user=row["user"],
            ref=MediaRef(**json.loads(row["ref"])),
            state=MediaState(row["state"]),
            attempts=row["tries"],
            empty_attempts=row["empty"],
            due=row["due"],
            created=row["created"],
            reason=row["why"],
            blob=blob_from_text(row["blob"]),
            fetched=row["fetched"],
        )
        for row in connection.named_rows(statement, arguments)
    ]


# Statements

# The column `state` of `publication`: 0 waiting, 1 published, 2 rejected, 3 dropped, 4 held for its file.

# The file to download next: the earliest first, a whole file before its thumbnail.
_NEXT_DUE = Statement("""
    SELECT * FROM media
    WHERE account = ? AND state = 'pending' AND due IS NOT NULL ORDER BY due, part DESC, seq LIMIT 1
""")

_MEDIA_BY_ID = Statement("SELECT * FROM media WHERE account = ? AND id = ?")

# The files of these messages, in the order of the messages; each whole file before its thumbnail.
_MEDIA_OF_MESSAGES = Statement(
    """
    SELECT media.* FROM json_each(?2) AS wanted
    JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
    ORDER BY wanted.key, part DESC
    """,
    postgresql="""
    SELECT media.* FROM jsonb_array_elements_text(?2::jsonb) WITH ORDINALITY AS wanted (value, position)
    JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
    ORDER BY wanted.position, part DESC
    """,
)

_NEWEST_AVATAR = Statement("""
    SELECT * FROM media WHERE account = ? AND part = 'avatar' AND user = ? ORDER BY created DESC LIMIT 1
""")

# Adds a file that is to be downloaded.
ADD_MEDIA = Statement("""
    INSERT INTO media (id, account, part, kind, message_id, seq, user, ref, state, due, created)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
""")

# Schedules a download that a client waits for; one that was given up starts anew.
_REQUEST_DOWNLOAD = Statement("""
    UPDATE media SET
        due = CASE WHEN state = 'pending' AND due < ?3 THEN due ELSE ?3 END,
        tries = CASE WHEN state = 'pending' THEN tries ELSE 0 END,
        empty = CASE WHEN state = 'pending' THEN empty ELSE 0 END,
        state = 'pending'
    WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'failed')
""")

# No more downloads but those that a client has requested: these ids, and what is due at 0.
_UNSCHEDULE = Statement("""
    UPDATE media SET due = NULL
    WHERE account = ?1 AND state = 'pending' AND due > 0 AND id NOT IN (SELECT value FROM json_each(?2))
""")

_POSTPONE = Statement("""
    UPDATE media SET due = ?3, empty = ?4, why = ?5, tries = tries + 1
    WHERE account = ?1 AND id = ?2 AND state = 'pending'
""")

_END_PAUSES = Statement("""
    UPDATE media SET due = ?2
    WHERE account = ?1 AND state = 'pending' AND due > ?2 AND tries > 0 AND empty = 0
""")

_MARK_READY = Statement("""
    UPDATE media SET state = 'ready', due = NULL, why = '', fetched = ?3, sha256 = ?4, size = ?5, blob = ?6,
        ref = COALESCE(?7, ref)
    WHERE account = ?1 AND id = ?2 AND state <> 'ready'
""")

_MARK_UNAVAILABLE = Statement("""
    UPDATE media SET state = ?3, due = NULL, why = ?4, sha256 = NULL, size = NULL, blob = NULL
    WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'ready')
""")

# The file of a row that is ready has vanished from the disk; it is downloaded again.
_MARK_LOST = Statement("""
    UPDATE media SET state = 'pending', due = ?3, tries = 0, empty = 0, sha256 = NULL, size = NULL,
        blob = NULL
    WHERE account = ?1 AND id = ?2 AND state = 'ready'
""")

# Messages that are not published before their file is there.
_HELD_MESSAGES = Statement("""
    SELECT key, topic, created FROM publication WHERE account = ? AND state = 4 ORDER BY id
""")

_HELD_MESSAGE = Statement("""
    SELECT id, kind, payload FROM publication WHERE account = ? AND key = ? AND state = 4
""")

_RELEASE_MESSAGE = Statement("""
    UPDATE publication SET state = 0, payload = ?3 WHERE account = ?1 AND id = ?2 AND state = 4
""")
