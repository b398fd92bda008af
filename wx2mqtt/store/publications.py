"""The way to the broker: what waits, in order; what is settled, set aside or given up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence

from wx2mqtt.store.encoding import listed, storable
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import NewPublication, Row

_SQL = queries("publications")


class Publications(Lane):
    """What one account has for the broker."""

    async def waiting(self, after: int, limit: int, skip: Collection[str] = ()) -> list[Row]:
        """The next rows behind `after`, but for those of the topics `skip`; in order of `id`."""
        topics = listed(skip)
        return await self._database.read(
            lambda db: _rows(db.execute(_SQL["waiting"], (self._account, after, topics, limit)))
        )

    async def waiting_in(self, topic: str, after: int, upto: int, limit: int) -> list[Row]:
        """The next rows of one topic behind `after`, up to the row `upto`."""
        return await self._database.read(
            lambda db: _rows(db.execute(_SQL["waiting_in"], (self._account, after, upto, topic, limit)))
        )

    async def published(self, ids: Sequence[int]) -> None:
        """The broker has acknowledged these."""
        await self._database.write(
            "published", lambda db: db.execute(_SQL["published"], (self._account, listed(ids)))
        )

    async def set_aside(self, ids: Sequence[int], why: str) -> None:
        """Keep these, but out of the way of the others."""
        await self._database.write(
            "set_aside", lambda db: db.execute(_SQL["set_aside"], (self._account, listed(ids), why))
        )

    async def aside(self, limit: int = 100) -> list[tuple[Row, str]]:
        """What was set aside, and why; the oldest first."""
        return await self._database.read(lambda db: _aside(db.execute(_SQL["aside"], (self._account, limit))))

    async def bring_back(self, ids: Sequence[int]) -> int:
        """Let rows that were set aside wait again, in their old place; returns how many."""
        return await self._database.write(
            "bring_back", lambda db: db.execute(_SQL["bring_back"], (self._account, listed(ids))).rowcount
        )

    async def drop_topic(self, topic: str, why: str) -> int:
        """Give up what waits for one topic; returns how many rows. Messages stay in the history."""

        def job(connection: sqlite3.Connection) -> int:
            dropped = connection.execute(_SQL["drop_topic"], (self._account, topic, why)).rowcount
            connection.execute(_SQL["count_dropped"], (dropped, self._account))
            return dropped

        return await self._database.write("drop_topic", job)

    async def event_private(self, name: str, key: str) -> dict[str, str] | None:
        """What the backend needs to act on an event of this name and id; None where there is none."""
        values = (self._account, storable(key), name)
        found = await self._database.read(lambda db: db.execute(_SQL["event_private"], values).fetchone())
        return None if found is None else dict(json.loads(found[0] or "{}"))

    async def author(self, key: str) -> str:
        """The topic level of who wrote a message, as it was then; empty where nobody has one."""
        values = (self._account, storable(key))
        found = await self._database.read(lambda db: db.execute(_SQL["author"], values).fetchone())
        sender = json.loads(found[0]).get("sender", {}) if found else {}
        return str(sender.get("user", ""))

    async def publish(self, new: Sequence[NewPublication]) -> None:
        """Put these behind all that waits."""
        await self._database.write("publish", lambda db: self._publish(db, new))


def _rows(found: Iterable[tuple[object, ...]]) -> list[Row]:
    return [_row(*values) for values in found]  # type: ignore[arg-type]


def _aside(found: Iterable[tuple[object, ...]]) -> list[tuple[Row, str]]:
    return [(_row(*values), str(why)) for *values, why in found]  # type: ignore[arg-type]


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
) -> Row:
    return Row(
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
