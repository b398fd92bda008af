"""Gets the files of urls before their commands are tried; nothing of an attempt has begun by then."""

from __future__ import annotations

import asyncio

import structlog

from wx2mqtt.bridge.sending.conditions import rest
from wx2mqtt.bridge.sending.endings import Endings
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.lanes import Lane, Lanes
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.outside.trouble import Broken, NotNow
from wx2mqtt.store.journal import AlreadySettled

log = structlog.get_logger(__name__)

AT_ONCE = 8
TRIES = 3  # of a url whose answers break off


class Fetching:
    """For the lanes of one account."""

    def __init__(self, *, errands: Errands, lanes: Lanes, endings: Endings) -> None:
        self._errands = errands
        self._lanes = lanes
        self._endings = endings
        self._places = asyncio.Semaphore(AT_ONCE)

    async def first(self, lane: Lane, seconds: float) -> BadCommand | None:
        """Get the file of the first row, in at most so many seconds; returns why it is never to be had."""
        row = lane.rows[0]
        try:
            async with self._places:
                fetched = await self._errands.fetch(row, seconds)
        except AlreadySettled:
            await self._endings.was_settled(row)
        except NotNow as trouble:
            lane.fetch_failed(row.id, trouble)
            if isinstance(trouble, Broken) and lane.failures >= TRIES:
                return trouble
            rest(lane)
        except BadCommand as bad:
            return bad
        except StoreError as trouble:
            log.error("store does not take a file yet", problem=str(trouble))
            rest(lane)
        else:
            self._lanes.change(fetched)
            lane.backoff = lane.backoff.reset()
        return None
