"""How the bytes of messages are written into rows and read from them.

The bytes of messages: which are to be fetched, what became of them, and which messages wait for theirs.

Rows only: files are the business of `blobs`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from wx2mqtt.model import Blob, Json, MediaRef
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import (
    blob_from_text,
    blob_to_text,
    compact,
    encode_payload,
    json_list,
    load_queries,
    storable_text,
)
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMedia, NewPublication

MEDIA_SQL = load_queries("media")


def media_values(
    account: str, new: NewMedia, now: int, *, message_id: str, user: str, seq: int | None
) -> tuple[object, ...]:
    """The columns of a new row, in the order of the statement `add`."""
    head = (new.id, account, str(new.part), new.kind, message_id, seq, user)
    return (*head, _ref_text(new.ref), str(MediaState.PENDING), new.due, now)


def media_rows(connection: sqlite3.Connection, statement: str, *arguments: object) -> list[MediaRow]:
    """What a statement finds."""
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return [_row(row) for row in cursor.execute(MEDIA_SQL[statement], arguments)]


def _row(row: sqlite3.Row) -> MediaRow:
    return MediaRow(
        id=row["id"],
        part=MediaPart(row["part"]),
        kind=row["kind"],
        message_id=row["message_id"],
        user=row["user"],
        ref=MediaRef(**json.loads(row["ref"])),
        state=MediaState(row["state"]),
        tries=row["tries"],
        empty=row["empty"],
        due=row["due"],
        created=row["created"],
        why=row["why"],
        blob=blob_from_text(row["blob"]),
        fetched=row["fetched"],
    )


def _ref_text(ref: MediaRef) -> str:
    facts = {"locator": dict(ref.locator), "mime": ref.mime, "size": ref.size, "name": ref.name}
    return storable_text(compact(facts))


class MediaJobs(JournalPart):
    """What one account has to fetch, and has fetched. That a file is there is for `Blobs` to say."""

    async def next_media(self) -> MediaRow | None:
        """The one to be fetched first; when that is due may lie in the future."""
        return await self._media_row("next")

    async def get_media(self, media_id: str) -> MediaRow | None:
        """What is known of this one."""
        return await self._media_row("get", storable_text(media_id))

    async def media_of_messages(self, message_ids: Sequence[str]) -> list[MediaRow]:
        """The bytes of these messages, in their order; of each the thing itself first."""
        ids = json_list(storable_text(one) for one in dict.fromkeys(message_ids))
        return await self._database.read(lambda db: media_rows(db, "of_messages", self._account, ids))

    async def newest_avatar(self, user: str) -> MediaRow | None:
        """The newest picture of somebody."""
        return await self._media_row("avatar", storable_text(user))

    async def add_media(self, new: NewMedia, user: str) -> MediaRow:
        """Note bytes that came with no message."""

        def job(connection: sqlite3.Connection) -> MediaRow:
            values = media_values(
                self._account, new, self._now(), message_id="", user=storable_text(user), seq=None
            )
            connection.execute(MEDIA_SQL["add"], values)
            return media_rows(connection, "get", self._account, new.id)[0]

        return await self._database.write("media_keep", job)

    async def request_media(self, media_id: str, due: int) -> None:
        """Somebody waits for it: fetch it at `due` at the latest, also when it was given up."""
        await self._change_media("ask", media_id, due)

    async def postpone_media(self, media_id: str, due: int, *, empty: int, why: str) -> None:
        """A try failed; the next one is at `due`."""
        await self._change_media("postpone", media_id, due, empty, storable_text(why))

    async def mark_media_ready(
        self, media_id: str, blob: Blob, publications: Sequence[NewPublication]
    ) -> None:
        """The bytes are there, and what tells of it. Nothing is told again of what was ready."""
        facts = (self._now(), blob.sha256, blob.size, blob_to_text(blob))
        await self._finish_media("ready", media_id, facts, publications)
        self._on_referenced(blob)

    async def mark_media_unavailable(
        self, media_id: str, state: MediaState, why: str, publications: Sequence[NewPublication]
    ) -> None:
        """There are no bytes, and what tells of it. Nothing is told again of what was over."""
        await self._finish_media("over", media_id, (str(state), storable_text(why)), publications)

    async def mark_media_lost(self, media_id: str, due: int) -> None:
        """The file of one that was ready is gone: fetch it again."""
        await self._change_media("lost", media_id, due)

    async def held_messages(self) -> list[tuple[str, str, int]]:
        """Messages that wait for their bytes: key, topic and when they came (ms)."""
        return await self._database.read(
            lambda db: db.execute(MEDIA_SQL["held"], (self._account,)).fetchall()
        )

    async def release_message(self, message_key: str, patch: Mapping[str, Json]) -> int | None:
        """Let a held message be published; `patch` goes into the object named after its kind.

        Returns its row, None when it was not held.
        """
        return await self._database.write(
            "release", lambda db: self._release_message(db, storable_text(message_key), patch)
        )

    async def _media_row(self, statement: str, *arguments: object) -> MediaRow | None:
        rows = await self._database.read(lambda db: media_rows(db, statement, self._account, *arguments))
        return rows[0] if rows else None

    async def _change_media(self, statement: str, media_id: str, *facts: object) -> None:
        await self._database.write(
            f"media_{statement}",
            lambda db: db.execute(MEDIA_SQL[statement], (self._account, storable_text(media_id), *facts)),
        )

    async def _finish_media(
        self,
        statement: str,
        media_id: str,
        facts: tuple[object, ...],
        publications: Sequence[NewPublication],
    ) -> None:
        def job(connection: sqlite3.Connection) -> None:
            arguments = (self._account, storable_text(media_id), *facts)
            if connection.execute(MEDIA_SQL[statement], arguments).rowcount:
                self._enqueue(connection, publications)

        await self._database.write(f"media_{statement}", job)

    def _release_message(
        self, connection: sqlite3.Connection, key: str, patch: Mapping[str, Json]
    ) -> int | None:
        found: tuple[int, str, bytes] | None
        found = connection.execute(MEDIA_SQL["held_one"], (self._account, key)).fetchone()
        if found is None:
            return None
        row_id, kind, payload = found
        connection.execute(MEDIA_SQL["release"], (self._account, row_id, _patched(payload, kind, patch)))
        return row_id


def _patched(payload: bytes, kind: str, patch: Mapping[str, Json]) -> bytes:
    if not patch:
        return payload
    body: dict[str, Any] = json.loads(payload)
    body[kind] = {**body.get(kind, {}), **patch}
    return encode_payload(body)
