"""How the bytes of messages are written into rows and read from them."""

from __future__ import annotations

import json
import sqlite3

from wx2mqtt.model import MediaRef
from wx2mqtt.store.encoding import blob_of, compact, storable
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import MediaRow, MediaState, NewMedia, Part

MEDIA = queries("media")


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
    return [_row(row) for row in cursor.execute(MEDIA[statement], arguments)]


def _row(row: sqlite3.Row) -> MediaRow:
    return MediaRow(
        id=row["id"],
        part=Part(row["part"]),
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
        blob=blob_of(row["blob"]),
        fetched=row["fetched"],
    )


def _ref_text(ref: MediaRef) -> str:
    facts = {"locator": dict(ref.locator), "mime": ref.mime, "size": ref.size, "name": ref.name}
    return storable(compact(facts))
