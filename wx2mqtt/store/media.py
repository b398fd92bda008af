"""The bytes of messages: which are to be fetched, what became of them, and which messages wait for theirs.

Rows only: files are the business of `blobs`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from wx2mqtt.model import Blob, Json
from wx2mqtt.store.encoding import blob_text, listed, storable, written
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.media_rows import MEDIA, media_rows, media_values
from wx2mqtt.store.rows import MediaRow, MediaState, NewMedia, NewPublication


class Media(Lane):
    """What one account has to fetch, and has fetched. That a file is there is for `Blobs` to say."""

    async def media_next(self) -> MediaRow | None:
        """The one to be fetched first; when that is due may lie in the future."""
        return await self._one("next")

    async def media_get(self, media_id: str) -> MediaRow | None:
        """What is known of this one."""
        return await self._one("get", storable(media_id))

    async def media_of(self, message_ids: Sequence[str]) -> list[MediaRow]:
        """The bytes of these messages, in their order; of each the thing itself first."""
        ids = listed(storable(one) for one in dict.fromkeys(message_ids))
        return await self._database.read(lambda db: media_rows(db, "of_messages", self._account, ids))

    async def media_avatar(self, user: str) -> MediaRow | None:
        """The newest picture of somebody."""
        return await self._one("avatar", storable(user))

    async def media_keep(self, new: NewMedia, user: str) -> MediaRow:
        """Note bytes that came with no message."""

        def job(connection: sqlite3.Connection) -> MediaRow:
            values = media_values(
                self._account, new, self._now(), message_id="", user=storable(user), seq=None
            )
            connection.execute(MEDIA["add"], values)
            return media_rows(connection, "get", self._account, new.id)[0]

        return await self._database.write("media_keep", job)

    async def media_ask(self, media_id: str, due: int) -> None:
        """Somebody waits for it: fetch it at `due` at the latest, also when it was given up."""
        await self._change_media("ask", media_id, due)

    async def media_postpone(self, media_id: str, due: int, *, empty: int, why: str) -> None:
        """A try failed; the next one is at `due`."""
        await self._change_media("postpone", media_id, due, empty, storable(why))

    async def media_ready(self, media_id: str, blob: Blob, publications: Sequence[NewPublication]) -> None:
        """The bytes are there, and what tells of it. Nothing is told again of what was ready."""
        facts = (self._now(), blob.sha256, blob.size, blob_text(blob))
        await self._end_media("ready", media_id, facts, publications)
        self._referred(blob)

    async def media_over(
        self, media_id: str, state: MediaState, why: str, publications: Sequence[NewPublication]
    ) -> None:
        """There are no bytes, and what tells of it. Nothing is told again of what was over."""
        await self._end_media("over", media_id, (str(state), storable(why)), publications)

    async def media_lost(self, media_id: str, due: int) -> None:
        """The file of one that was ready is gone: fetch it again."""
        await self._change_media("lost", media_id, due)

    async def held(self) -> list[tuple[str, str, int]]:
        """Messages that wait for their bytes: key, topic and when they came (ms)."""
        return await self._database.read(lambda db: db.execute(MEDIA["held"], (self._account,)).fetchall())

    async def release(self, message_key: str, patch: Mapping[str, Json]) -> int | None:
        """Let a held message be published; `patch` goes into the object named after its kind.

        Returns its row, None when it was not held.
        """
        return await self._database.write(
            "release", lambda db: self._release(db, storable(message_key), patch)
        )

    async def _one(self, statement: str, *arguments: object) -> MediaRow | None:
        rows = await self._database.read(lambda db: media_rows(db, statement, self._account, *arguments))
        return rows[0] if rows else None

    async def _change_media(self, statement: str, media_id: str, *facts: object) -> None:
        await self._database.write(
            f"media_{statement}",
            lambda db: db.execute(MEDIA[statement], (self._account, storable(media_id), *facts)),
        )

    async def _end_media(
        self,
        statement: str,
        media_id: str,
        facts: tuple[object, ...],
        publications: Sequence[NewPublication],
    ) -> None:
        def job(connection: sqlite3.Connection) -> None:
            arguments = (self._account, storable(media_id), *facts)
            if connection.execute(MEDIA[statement], arguments).rowcount:
                self._publish(connection, publications)

        await self._database.write(f"media_{statement}", job)

    def _release(self, connection: sqlite3.Connection, key: str, patch: Mapping[str, Json]) -> int | None:
        found: tuple[int, str, bytes] | None
        found = connection.execute(MEDIA["held_one"], (self._account, key)).fetchone()
        if found is None:
            return None
        row_id, kind, payload = found
        connection.execute(MEDIA["release"], (self._account, row_id, _patched(payload, kind, patch)))
        return row_id


def _patched(payload: bytes, kind: str, patch: Mapping[str, Json]) -> bytes:
    if not patch:
        return payload
    body: dict[str, Any] = json.loads(payload)
    body[kind] = {**body.get(kind, {}), **patch}
    return written(body)
