"""Requests that change something at WeChat: marked before they are carried out, answered once (DESIGN 4.2).

What a request means is not known here.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from wx2mqtt.store.encoding import compact, storable
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import Deed, DeedState, DeliveryMark, NewPublication

_SQL = queries("deeds")


class Deeds(Lane):
    """What one account was asked to do."""

    async def deed_begin(self, mark: DeliveryMark) -> Deed:
        """Mark an attempt, unless the broker delivers again what was begun or answered before.

        `FRESH` is on the disk when this returns. What is `IN_DOUBT` was begun by a life that ended, or is
        under way.
        """
        return await self._database.write("deed_begin", lambda db: self._begin_deed(db, mark))

    async def deed_end(self, mark: DeliveryMark, publications: Sequence[NewPublication]) -> None:
        """The answer, and the end of the mark, in one commit; it is kept for a redelivery."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_SQL["end"], (*self._place(mark), _answer_text(publications)))
            self._publish(connection, publications)

        await self._database.write("deed_end", job)

    def _begin_deed(self, connection: sqlite3.Connection, mark: DeliveryMark) -> Deed:
        place = self._place(mark)
        known = connection.execute(_SQL["known"], place).fetchone() if mark.dup else None
        if known is None:
            connection.execute(_SQL["begin"], (*place, self._now()))
            return Deed(state=DeedState.FRESH)
        (answer,) = known
        if answer is None:
            return Deed(state=DeedState.IN_DOUBT)
        return Deed(state=DeedState.ANSWERED, answer=_answer(answer))

    def _place(self, mark: DeliveryMark) -> tuple[object, ...]:
        return self._account, mark.session, mark.mid, storable(mark.topic), mark.digest


def _answer_text(publications: Sequence[NewPublication]) -> str:
    return storable(compact([_written(one) for one in publications]))


def _written(one: NewPublication) -> dict[str, Any]:
    return {
        "topic": one.topic,
        "payload": base64.b64encode(one.payload).decode(),
        "sort": one.sort,
        "content_type": one.content_type,
        "correlation": None if one.correlation is None else one.correlation.hex(),
        "expiry": one.expiry,
    }


def _answer(text: str) -> tuple[NewPublication, ...]:
    return tuple(_publication(one) for one in json.loads(text))


def _publication(one: dict[str, Any]) -> NewPublication:
    correlation = one["correlation"]
    return NewPublication(
        **{
            **one,
            "payload": base64.b64decode(one["payload"]),
            "correlation": None if correlation is None else bytes.fromhex(correlation),
        }
    )
