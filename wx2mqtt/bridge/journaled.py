"""Carries out a request that changes something at WeChat at most once, with the help of the journal.

The journal holds a mark before the attempt and the answer after it. So a delivery that the broker repeats is
not carried out again, and an attempt that a crash has cut off is known to have an unknown outcome.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import count

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.model import SendKey
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.store.command_records import DeliveryMark, JournaledRequest, RequestState
from wx2mqtt.store.records import NewPublication

# The last digits of the keys. They count, since random ones would be equal for some of the commands that are
# accepted in the same millisecond, and WeChat drops the second message with a key.
_key_numbers = count(random.randrange(10_000))


def new_key() -> SendKey:
    """Returns the time in milliseconds and four digits, like the official client (webwx 2.12.1)."""
    return SendKey(f"{now_ms()}{next(_key_numbers) % 10_000:04d}")


def delivery_mark(delivery: Delivery, session: int) -> DeliveryMark:
    """Returns what identifies a repeated delivery. `session` is the bridge's number of the broker session."""
    return DeliveryMark(
        broker_session=session,
        packet_id=delivery.mid,
        topic=delivery.topic,
        digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
        dup=delivery.dup,
    )


class RequestAttempt:
    """One delivery of a request. All methods raise `StoreError`."""

    def __init__(self, ctx: AccountContext, mark: DeliveryMark) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._mark = mark
        self._request: JournaledRequest | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier process began the attempt and did not store its outcome."""
        return self._request is not None and self._request.state is RequestState.IN_DOUBT

    async def mark_started(self) -> None:
        """Stores that the attempt begins; a crash from now on leaves it in doubt."""
        if self._request is None:
            self._request = await self._journal.requests.start(self._mark)

    async def stored_answer(self) -> tuple[NewPublication, ...]:
        """Returns the stored answer if the broker marks the delivery as repeated and it was answered."""
        if not self._mark.dup:
            return ()
        await self.mark_started()
        assert self._request is not None
        return self._request.answer if self._request.state is RequestState.ANSWERED else ()

    async def finish(self, publications: Sequence[NewPublication]) -> None:
        """Stores and publishes the answer; an attempt that was not started leaves no mark in the journal."""
        if self._request is None:
            await self._ctx.publish(publications)
        else:
            stored = await self._journal.requests.finish(self._mark, publications)
            self._ctx.signals.outbox_changed.emit(stored)
