"""Requests that change something at WeChat: marked before they are carried out, answered once.

    start(mark)    ->  FRESH: carry it out, then finish(mark, publications)
    start(mark)    ->  ANSWERED: the broker delivered it again; publish the stored answer
    start(mark)    ->  IN_DOUBT: the process ended in between; nobody knows whether it was carried out

Here nothing is known about what a request means. The table is called `deed`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum

from wx2mqtt.store.column_values import compact, storable_text
from wx2mqtt.store.command_records import DeliveryMark
from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.records import NewPublication, OutboxBatch
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen


class RequestState(StrEnum):
    """What is known of a delivered request."""

    FRESH = "fresh"
    IN_DOUBT = "in_doubt"
    ANSWERED = "answered"


@frozen
class JournaledRequest:
    """A delivered request."""

    state: RequestState
    #: What was published as its answer; empty unless it is `ANSWERED`.
    answer: tuple[NewPublication, ...] = ()


class JournaledRequests(JournalPart):
    """The requests of one account, by session of the broker, packet id, topic and content."""

    async def start(self, mark: DeliveryMark) -> JournaledRequest:
        """Marks an attempt, unless the broker redelivers a request that was started or answered before.

        `FRESH`: the mark is on the disk when this returns. `IN_DOUBT`: the request was started, by this
        process or an earlier one, and has no answer. `ANSWERED`: with the stored answer.
        """

        def job(connection: Connection) -> JournaledRequest:
            key = self._key_of(mark)
            known = connection.execute(_KNOWN_ANSWER, key).fetchone() if mark.dup else None
            if known is None:
                connection.execute(_START, (*key, self._rows.now()))
                return JournaledRequest(state=RequestState.FRESH)
            (answer,) = known
            if answer is None:
                return JournaledRequest(state=RequestState.IN_DOUBT)
            return JournaledRequest(state=RequestState.ANSWERED, answer=_answer_from_text(answer))

        return await self._database.write("request_begin", job)

    async def finish(self, mark: DeliveryMark, publications: Sequence[NewPublication]) -> OutboxBatch:
        """Stores the answer for redeliveries and enqueues its publications, in one commit."""

        def job(connection: Connection) -> OutboxBatch:
            connection.execute(_FINISH, (*self._key_of(mark), _answer_to_text(publications)))
            return self._rows.enqueue(connection, publications)

        return await self._database.write("request_end", job)

    def _key_of(self, mark: DeliveryMark) -> tuple[object, ...]:
        return self._account, mark.broker_session, mark.packet_id, storable_text(mark.topic), mark.digest


def _answer_to_text(publications: Sequence[NewPublication]) -> str:
    """Returns publications as JSON: bytes in base64 or hex, the category as `sort`."""
    answer = [asdict(publication) for publication in publications]
    for fields in answer:
        fields["sort"] = fields.pop("category")
        fields["payload"] = base64.b64encode(fields["payload"]).decode()
        if fields["correlation"] is not None:
            fields["correlation"] = fields["correlation"].hex()
    return storable_text(compact(answer))


def _answer_from_text(text: str) -> tuple[NewPublication, ...]:
    answer = json.loads(text)
    for fields in answer:
        fields["category"] = fields.pop("sort")
        fields["payload"] = base64.b64decode(fields["payload"])
        if fields["correlation"] is not None:
            fields["correlation"] = bytes.fromhex(fields["correlation"])
    return tuple(NewPublication(**fields) for fields in answer)


# Statements

# The answer to the same request with the same packet id; NULL while there is none.
_KNOWN_ANSWER = Statement("""
    SELECT answer FROM deed WHERE account = ? AND session = ? AND mid = ? AND topic = ? AND digest = ?
""")

_START = Statement("""
    INSERT INTO deed (account, session, mid, topic, digest, created) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account, session, mid) DO UPDATE SET
        topic = excluded.topic, digest = excluded.digest, created = excluded.created, answer = NULL
""")

_FINISH = Statement("""
    UPDATE deed SET answer = ?6
    WHERE account = ?1 AND session = ?2 AND mid = ?3 AND topic = ?4 AND digest = ?5
""")
