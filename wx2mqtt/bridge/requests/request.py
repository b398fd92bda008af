"""One request on `bridge/request/<name>`: what is asked, how its answer goes, and what the journal knows of
it.

A request that changes something at WeChat is carried out at most once. The journal holds the begin of its
attempt and the answer after it: a delivery that the broker repeats gets that answer, and an attempt that a
crash has cut off is *in doubt*.
"""

from __future__ import annotations

import asyncio
import hashlib

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.commands import pop_transaction, read_request, transaction_echo
from wx2mqtt.mqtt.payloads import answer_error, answer_ok
from wx2mqtt.store.command_records import DeliveryMark, JournaledRequest, RequestState
from wx2mqtt.store.records import NewPublication

# A request that changes something at WeChat is answered within this time: the broker waits for its PUBACK.
ACTION_TIMEOUT_SECONDS = 20.0


class BridgeRequest:
    """One delivery of a request, from when it is its turn."""

    def __init__(
        self, ctx: AccountContext, inflight: InflightWindow, name: str, delivery: Delivery, mark: DeliveryMark
    ) -> None:
        self._ctx = ctx
        self._inflight = inflight
        self._delivery = delivery
        self._mark = mark
        self._journaled: JournaledRequest | None = None
        self._transaction: Json = None
        self.name = name
        #: What is asked, without the transaction; empty before `read`.
        self.fields: dict[str, Json] = {}
        #: By the clock of the loop.
        self.deadline = asyncio.get_running_loop().time() + ACTION_TIMEOUT_SECONDS
        is_allowed = ctx.settings.allows_response_topic(delivery.response_topic)
        self._response_topic = delivery.response_topic if is_allowed else ""

    def read(self) -> None:
        """Reads the fields. Raises `BadCommand`."""
        if self._delivery.retain:
            raise BadCommand("retained", "request_retained")
        self.fields = read_request(self._delivery.payload)
        self._transaction = transaction_echo(self.fields)
        pop_transaction(self.fields)
        if self._delivery.response_topic != self._response_topic:
            raise BadCommand("bad_response_topic", "bad_response_topic")

    # The attempt. These raise `StoreError`.

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier process began the attempt and did not store its outcome."""
        return self._journaled is not None and self._journaled.state is RequestState.IN_DOUBT

    async def begin(self) -> None:
        """Stores that the attempt begins; a crash from now on leaves it in doubt."""
        if self._journaled is None:
            self._journaled = await self._ctx.journal.requests.start(self._mark)

    async def stored_answer(self) -> tuple[NewPublication, ...]:
        """Returns the stored answer if the broker marks the delivery as repeated and it was answered."""
        if not self._mark.dup:
            return ()
        await self.begin()
        assert self._journaled is not None
        return self._journaled.answer if self._journaled.state is RequestState.ANSWERED else ()

    async def finish(self, payload: bytes) -> None:
        """Stores and publishes the answer; the journal does not keep that of an attempt without a begin."""
        answers = self._answers(payload)
        if self._journaled is None:
            await self._ctx.publish(answers)
        else:
            stored = await self._ctx.journal.requests.finish(self._mark, answers)
            self._ctx.signals.outbox_changed.emit(stored)

    # The answer

    @property
    def max_data_bytes(self) -> int | None:
        """How many bytes the data of the answer may have; None without a limit."""
        limit = self._payload_limit
        return None if limit is None else limit - len(answer_ok("", self._transaction))

    @property
    def _payload_limit(self) -> int | None:
        """How many bytes an answer may have, also on the longer one of its topics."""
        longer_topic = max(self._ctx.topics.response(self.name), self._delivery.response_topic, key=len)
        limit = self._inflight.payload_limit(longer_topic)
        return None if limit is None else limit - len(self._delivery.correlation or b"")

    def ok(self, data: Json) -> bytes:
        """Returns the answer with these data."""
        return self._fitting(answer_ok(data, self._transaction))

    def error(self, code: str, sentence: str, retry_after: float | None = None) -> bytes:
        """Returns the answer that says what was wrong."""
        return self._fitting(answer_error(code, sentence, self._transaction, retry_after))

    def _fitting(self, payload: bytes) -> bytes:
        """Returns the payload, or the error `too_large` where the broker would refuse the payload."""
        limit = self._payload_limit
        if limit is None or len(payload) <= limit:
            return payload
        sentence = bridge_text(self._ctx.language, "answer_too_large", size=len(payload), limit=limit)
        smaller = answer_error("too_large", sentence, self._transaction)
        return smaller if len(smaller) <= limit else answer_error("too_large", sentence, None)

    def _answers(self, payload: bytes) -> tuple[NewPublication, ...]:
        topics: list[tuple[str, bytes | None]] = [(self._ctx.topics.response(self.name), None)]
        if self._response_topic:
            topics.append((self._response_topic, self._delivery.correlation))
        return tuple(
            NewPublication(
                topic=topic,
                payload=payload,
                category="response",
                content_type=JSON_TYPE,
                correlation=correlation,
            )
            for topic, correlation in topics
        )


def delivery_mark(delivery: Delivery, session: int) -> DeliveryMark:
    """Returns what identifies a repeated delivery. `session` is the bridge's number of the broker session."""
    return DeliveryMark(
        broker_session=session,
        packet_id=delivery.mid,
        topic=delivery.topic,
        digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
        dup=delivery.dup,
    )
