"""The files of messages as rows: which are to be downloaded, their state, and which messages wait for them.

Rows only: `blobs.py` keeps the files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wx2mqtt.model import Blob, Json, MediaRef
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.queries import (
    blob_from_text,
    blob_to_text,
    compact,
    encode_payload,
    load_queries,
    storable_text,
)
from wx2mqtt.store.records import (
    NO_PUBLICATIONS,
    MediaPart,
    MediaRow,
    MediaState,
    NewMedia,
    NewPublication,
    OutboxBatch,
)

MEDIA_SQL = load_queries("media")


class MediaJobs(JournalPart):
    """The downloads of one account. Whether a file really exists is known by `Blobs`."""

    async def next_download(self) -> MediaRow | None:
        """Returns the row to download first; its `due` may be in the future."""
        return await self._media_row(MEDIA_SQL["next_due"])

    async def get(self, media_id: str) -> MediaRow | None:
        return await self._media_row(MEDIA_SQL["by_id"], storable_text(media_id))

    async def of_messages(self, message_ids: Sequence[str]) -> list[MediaRow]:
        """Returns the rows of these messages, in their order; of each message the whole file first."""
        ids = json_list(storable_text(message_id) for message_id in dict.fromkeys(message_ids))
        return await self._database.read(
            lambda db: _media_rows(db, MEDIA_SQL["of_messages"], self._account, ids)
        )

    async def newest_avatar(self, user: str) -> MediaRow | None:
        return await self._media_row(MEDIA_SQL["newest_avatar"], storable_text(user))

    async def add(self, new: NewMedia, user: str) -> MediaRow:
        """Adds a download that belongs to no message."""

        def job(connection: Connection) -> MediaRow:
            values = media_values(
                self._account, new, self._rows.now(), message_id="", user=storable_text(user), seq=None
            )
            connection.execute(MEDIA_SQL["add"], values)
            return _media_rows(connection, MEDIA_SQL["by_id"], self._account, new.id)[0]

        return await self._database.write("media_keep", job)

    async def request(self, media_id: str, due: int) -> None:
        """Schedules a download at `due` (ms) or earlier, also if it was given up."""
        await self._execute("media_ask", MEDIA_SQL["request"], storable_text(media_id), due)

    async def unschedule(self, requested: Collection[str]) -> None:
        """Takes the time of the download from every pending row but these, and those with `due` 0."""
        ids = json_list(map(storable_text, requested))
        await self._execute("media_unschedule", MEDIA_SQL["unschedule"], ids)

    async def postpone(self, media_id: str, due: int | None, *, empty: int, why: str) -> None:
        """Stores a failed attempt; the next one is at `due` (ms), None: when a client requests it."""
        values = (storable_text(media_id), due, empty, storable_text(why))
        await self._execute("media_postpone", MEDIA_SQL["postpone"], *values)

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
        statement = MEDIA_SQL["mark_ready"]
        stored = await self._finish_media("media_ready", statement, media_id, values, publications)
        self._rows.on_referenced(blob)
        return stored

    async def mark_unavailable(
        self, media_id: str, state: MediaState, why: str, publications: Sequence[NewPublication]
    ) -> OutboxBatch:
        """Stores why there is no file and enqueues the publications, unless the row was given up before."""
        values = (str(state), storable_text(why))
        statement = MEDIA_SQL["mark_unavailable"]
        return await self._finish_media("media_over", statement, media_id, values, publications)

    async def mark_lost(self, media_id: str, due: int) -> None:
        """Schedules a new download of a ready row whose file has vanished."""
        await self._execute("media_lost", MEDIA_SQL["mark_lost"], storable_text(media_id), due)

    async def waiting_messages(self) -> list[tuple[str, str, int]]:
        """Returns key, topic and creation time (ms) of the messages that wait for their file."""
        return await self._fetch(MEDIA_SQL["held_messages"])

    async def release_message(self, message_key: str, patch: Mapping[str, Json]) -> int | None:
        """Lets a held message be published; `patch` is merged into the payload's object named after its kind.

        Returns its row id, None if it was not held.
        """
        key = storable_text(message_key)

        def job(connection: Connection) -> int | None:
            row = connection.execute(MEDIA_SQL["held_message"], (self._account, key)).fetchone()
            if row is None:
                return None
            row_id, kind, payload = row
            if patch:
                body: dict[str, Any] = json.loads(payload)
                body[kind] = {**body.get(kind, {}), **patch}
                payload = encode_payload(body)
            connection.execute(MEDIA_SQL["release_message"], (self._account, row_id, payload))
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
        arguments = (self._account, storable_text(media_id), *values)

        def job(connection: Connection) -> OutboxBatch:
            if connection.execute(statement, arguments).rowcount:
                return self._rows.enqueue(connection, publications)
            return NO_PUBLICATIONS

        return await self._database.write(commit_point, job)


def media_values(
    account: str, new: NewMedia, now: int, *, message_id: str, user: str, seq: int | None
) -> tuple[object, ...]:
    """Returns the columns of a new row, in the order of the statement `add`."""
    head = (new.id, account, str(new.part), new.kind, message_id, seq, user)
    return (*head, _ref_to_text(new.ref), str(MediaState.PENDING), new.due, now)


def _ref_to_text(ref: MediaRef) -> str:
    fields = {"locator": dict(ref.locator), "mime": ref.mime, "size": ref.size, "name": ref.name}
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
