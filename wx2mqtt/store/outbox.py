"""What was announced to Home Assistant, so that it can be taken back, also after a restart.

The way to the broker: what waits, in order; what is settled, set aside or given up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import json_list, load_queries, storable_text
from wx2mqtt.store.records import NewPublication, OutboxRow

_DISCOVERY_SQL = load_queries("announced")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRecord:
    """What may stand at the broker for one account.

    `topics` are where. `components` has the platform of each by its key, also of
    those that were taken back. `ids` has the id of each person by the level under which they were first
    exposed; it stays for ever, so that a person who comes back is the same one.
    """

    topics: tuple[str, ...] = ()
    components: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


class DiscoveryState(JournalPart):
    """The announcement of one account."""

    async def load_discovery(self) -> DiscoveryRecord:
        """What was announced last; nothing before the first time."""
        row = await self._database.read(
            lambda db: db.execute(_DISCOVERY_SQL["announced"], (self._account,)).fetchone()
        )
        if row is None or not row[0]:
            return DiscoveryRecord()
        kept = json.loads(row[0])
        return DiscoveryRecord(**{**kept, "topics": tuple(kept["topics"])})

    async def save_discovery(self, record: DiscoveryRecord) -> None:
        """Write down what is about to be announced."""
        text = storable_text(json.dumps(asdict(record), ensure_ascii=False))
        await self._database.write(
            "announce", lambda db: db.execute(_DISCOVERY_SQL["announce"], (text, self._account))
        )


_OUTBOX_SQL = load_queries("publications")


class Outbox(JournalPart):
    """What one account has for the broker."""

    async def list_waiting(self, after: int, limit: int, skip: Collection[str] = ()) -> list[OutboxRow]:
        """The next rows behind `after`, but for those of the topics `skip`; in order of `id`."""
        topics = json_list(skip)
        return await self._database.read(
            lambda db: _rows(db.execute(_OUTBOX_SQL["waiting"], (self._account, after, topics, limit)))
        )

    async def list_waiting_in_topic(self, topic: str, after: int, upto: int, limit: int) -> list[OutboxRow]:
        """The next rows of one topic behind `after`, up to the row `upto`."""
        return await self._database.read(
            lambda db: _rows(
                db.execute(_OUTBOX_SQL["waiting_in"], (self._account, after, upto, topic, limit))
            )
        )

    async def mark_published(self, ids: Sequence[int]) -> None:
        """The broker has acknowledged these."""
        await self._database.write(
            "published", lambda db: db.execute(_OUTBOX_SQL["published"], (self._account, json_list(ids)))
        )

    async def set_aside(self, ids: Sequence[int], why: str) -> None:
        """Keep these, but out of the way of the others."""
        await self._database.write(
            "set_aside", lambda db: db.execute(_OUTBOX_SQL["set_aside"], (self._account, json_list(ids), why))
        )

    async def list_set_aside(self, limit: int = 100) -> list[tuple[OutboxRow, str]]:
        """What was set aside, and why; the oldest first."""
        return await self._database.read(
            lambda db: _aside(db.execute(_OUTBOX_SQL["aside"], (self._account, limit)))
        )

    async def requeue_set_aside(self, ids: Sequence[int]) -> int:
        """Let rows that were set aside wait again, in their old place; returns how many."""
        return await self._database.write(
            "bring_back",
            lambda db: db.execute(_OUTBOX_SQL["bring_back"], (self._account, json_list(ids))).rowcount,
        )

    async def drop_topic(self, topic: str, why: str) -> int:
        """Give up what waits for one topic; returns how many rows. Messages stay in the history."""

        def job(connection: sqlite3.Connection) -> int:
            dropped = connection.execute(_OUTBOX_SQL["drop_topic"], (self._account, topic, why)).rowcount
            connection.execute(_OUTBOX_SQL["count_dropped"], (dropped, self._account))
            return dropped

        return await self._database.write("drop_topic", job)

    async def private_event_fields(self, name: str, key: str) -> dict[str, str] | None:
        """What the backend needs to act on an event of this name and id; None where there is none."""
        values = (self._account, storable_text(key), name)
        found = await self._database.read(
            lambda db: db.execute(_OUTBOX_SQL["event_private"], values).fetchone()
        )
        return None if found is None else dict(json.loads(found[0] or "{}"))

    async def message_author(self, key: str) -> str:
        """The topic level of who wrote a message, as it was then; empty where nobody has one."""
        values = (self._account, storable_text(key))
        found = await self._database.read(lambda db: db.execute(_OUTBOX_SQL["author"], values).fetchone())
        sender = json.loads(found[0]).get("sender", {}) if found else {}
        return str(sender.get("user", ""))

    async def enqueue(self, new: Sequence[NewPublication]) -> None:
        """Put these behind all that waits."""
        await self._database.write("publish", lambda db: self._enqueue(db, new))


def _rows(rows: Iterable[tuple[object, ...]]) -> list[OutboxRow]:
    return [_row(*values) for values in rows]  # type: ignore[arg-type]


def _aside(rows: Iterable[tuple[object, ...]]) -> list[tuple[OutboxRow, str]]:
    return [(_row(*values), str(why)) for *values, why in rows]  # type: ignore[arg-type]


def _row(  # noqa: PLR0917 - one row of a table
    id: int,  # noqa: A002 - the columns in their order
    topic: str,
    payload: bytes,
    sort: str,
    created: int,
    content_type: str,
    correlation: bytes | None,
    expiry: int | None,
    user: str,
) -> OutboxRow:
    return OutboxRow(
        id=id,
        topic=topic,
        payload=payload,
        sort=sort,
        created=created,
        content_type=content_type,
        correlation=correlation,
        expiry=expiry,
        user=user,
    )
