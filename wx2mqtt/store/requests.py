"""Requests that change something at WeChat: marked before they are carried out, answered once.

What a request means is not known here.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import compact, load_queries, storable_text
from wx2mqtt.store.records import DeliveryMark, JournaledRequest, NewPublication, RequestState

_SQL = load_queries("deeds")


class JournaledRequests(JournalPart):
    """What one account was asked to do."""

    async def start_request(self, mark: DeliveryMark) -> JournaledRequest:
        """Mark an attempt, unless the broker delivers again what was begun or answered before.

        `FRESH` is on the disk when this returns. What is `IN_DOUBT` was begun by a life that ended, or is
        under way.
        """
        return await self._database.write("deed_begin", lambda db: self._start_request(db, mark))

    async def finish_request(self, mark: DeliveryMark, publications: Sequence[NewPublication]) -> None:
        """The answer, and the end of the mark, in one commit; it is kept for a redelivery."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_SQL["end"], (*self._key_of(mark), _answer_text(publications)))
            self._enqueue(connection, publications)

        await self._database.write("deed_end", job)

    def _start_request(self, connection: sqlite3.Connection, mark: DeliveryMark) -> JournaledRequest:
        place = self._key_of(mark)
        known = connection.execute(_SQL["known"], place).fetchone() if mark.dup else None
        if known is None:
            connection.execute(_SQL["begin"], (*place, self._now()))
            return JournaledRequest(state=RequestState.FRESH)
        (answer,) = known
        if answer is None:
            return JournaledRequest(state=RequestState.IN_DOUBT)
        return JournaledRequest(state=RequestState.ANSWERED, answer=_answer(answer))

    def _key_of(self, mark: DeliveryMark) -> tuple[object, ...]:
        return self._account, mark.broker_session, mark.mid, storable_text(mark.topic), mark.digest


def _answer_text(publications: Sequence[NewPublication]) -> str:
    return storable_text(compact([_written(one) for one in publications]))


def _written(publication: NewPublication) -> dict[str, Any]:
    return {
        "topic": publication.topic,
        "payload": base64.b64encode(publication.payload).decode(),
        "sort": publication.sort,
        "content_type": publication.content_type,
        "correlation": None if publication.correlation is None else publication.correlation.hex(),
        "expiry": publication.expiry,
    }


def _answer(text: str) -> tuple[NewPublication, ...]:
    return tuple(_publication(one) for one in json.loads(text))


def _publication(fields: dict[str, Any]) -> NewPublication:
    correlation = fields["correlation"]
    return NewPublication(
        **{
            **fields,
            "payload": base64.b64decode(fields["payload"]),
            "correlation": None if correlation is None else bytes.fromhex(correlation),
        }
    )
