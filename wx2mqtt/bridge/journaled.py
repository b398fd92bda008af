"""A request that changes something at WeChat, as the journal knows it: marked before, answered after.

So a delivery that the broker repeats is not carried out twice, and one that a crash cut off is in doubt.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.model import SendKey
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.store.records import DeliveryMark, JournaledRequest, NewPublication, RequestState


def new_key() -> SendKey:
    """Returns milliseconds and four random digits, as the official client makes LocalID (webwx 2.12.1)."""
    return SendKey(f"{now_ms()}{random.randrange(10_000):04d}")


def delivery_mark(delivery: Delivery, session: int) -> DeliveryMark:
    """What makes the same delivery known again; `session` is the broker's, as the bridge counts it."""
    return DeliveryMark(
        broker_session=session,
        packet_id=delivery.mid,
        topic=delivery.topic,
        digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
        dup=delivery.dup,
    )


class RequestAttempt:
    """One delivery of such a request. All methods raise `StoreError`."""

    def __init__(self, ctx: AccountContext, mark: DeliveryMark) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._mark = mark
        self._request: JournaledRequest | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier life began it, and nobody knows what came of it."""
        return self._request is not None and self._request.state is RequestState.IN_DOUBT

    async def mark_started(self) -> None:
        """Mark it on disk: from now on it may have been done."""
        if self._request is None:
            self._request = await self._journal.start_request(self._mark)

    async def stored_answer(self) -> tuple[NewPublication, ...]:
        """The answer of the same delivery, if there was one and the broker says that it repeats."""
        if not self._mark.dup:
            return ()
        await self.mark_started()
        assert self._request is not None
        return self._request.answer if self._request.state is RequestState.ANSWERED else ()

    async def finish(self, publications: Sequence[NewPublication]) -> None:
        """Answer it; one that was never begun leaves no mark."""
        if self._request is None:
            await self._ctx.publish(publications)
        else:
            stored = await self._journal.finish_request(self._mark, publications)
            self._ctx.signals.outbox_changed.emit(stored)
