"""A request that changes something at WeChat, as the journal knows it: marked before, answered after.

So a delivery that the broker repeats is not carried out twice, and one that a crash cut off is in doubt
(DESIGN 4.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from wx2mqtt.mqtt.link import Delivery
from wx2mqtt.store.journal import Deed, DeedState, DeliveryMark, Journal, NewPublication


def mark_of(delivery: Delivery, session: int) -> DeliveryMark:
    """What makes the same delivery known again; `session` is the broker's, as the bridge counts it."""
    return DeliveryMark(
        session=session,
        mid=delivery.mid,
        topic=delivery.topic,
        digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
        dup=delivery.dup,
    )


class Attempt:
    """One delivery of such a request. All methods raise `StoreError`."""

    def __init__(self, journal: Journal, mark: DeliveryMark) -> None:
        self._journal = journal
        self._mark = mark
        self._deed: Deed | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier life began it, and nobody knows what came of it."""
        return self._deed is not None and self._deed.state is DeedState.IN_DOUBT

    async def begin(self) -> None:
        """Mark it on disk: from now on it may have been done."""
        if self._deed is None:
            self._deed = await self._journal.deed_begin(self._mark)

    async def answered(self) -> tuple[NewPublication, ...]:
        """The answer of the same delivery, if there was one and the broker says that it repeats."""
        if not self._mark.dup:
            return ()
        await self.begin()
        assert self._deed is not None
        return self._deed.answer if self._deed.state is DeedState.ANSWERED else ()

    async def end(self, publications: Sequence[NewPublication]) -> None:
        """Answer it; one that was never begun leaves no mark."""
        if self._deed is None:
            await self._journal.publish(publications)
        else:
            await self._journal.deed_end(self._mark, publications)
