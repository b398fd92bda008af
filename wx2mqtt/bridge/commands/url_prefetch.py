"""Fetches the file of a command with a `url` before the command is sent.

No attempt is open meanwhile, so that a failed fetch is simply repeated. `bridge/attachments.py` and
`external/url_fetch.py` do the transfer.
"""

from __future__ import annotations

import asyncio

import structlog

from wx2mqtt.bridge.commands.completion import CommandCompletion
from wx2mqtt.bridge.commands.queues import ChatQueue, ChatQueues
from wx2mqtt.bridge.commands.rate_limit import back_off
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.external.http import TemporarilyUnavailable, TransferBroken
from wx2mqtt.store.commands import AlreadySettled

log = structlog.get_logger(__name__)

MAX_CONCURRENT_FETCHES = 8

MAX_TRANSFER_ATTEMPTS = 3
"""After so many transfers in a row that broke off, the command is rejected."""


class UrlPrefetch:
    """Fetches files for the queues of one account."""

    def __init__(self, resolver: CommandResolver, queues: ChatQueues, completion: CommandCompletion) -> None:
        self._resolver = resolver
        self._queues = queues
        self._completion = completion
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FETCHES)

    async def fetch_first(self, queue: ChatQueue, seconds: float) -> BadCommand | None:
        """Fetches the file of the first command within `seconds`; pauses the queue after a failure.

        Returns the reason if the command must be rejected, else None.
        """
        row = queue.rows[0]
        try:
            async with self._slots:
                fetched = await self._resolver.fetch(row, seconds)
        except AlreadySettled:
            await self._completion.finish_already_settled(row)
        except TemporarilyUnavailable as error:
            queue.record_fetch_failure(row.id, error)
            if isinstance(error, TransferBroken) and queue.fetch_failures >= MAX_TRANSFER_ATTEMPTS:
                return error
            back_off(queue)
        except BadCommand as bad:
            return bad
        except StoreError as error:
            log.error("store does not take a file yet", problem=str(error))
            back_off(queue)
        else:
            self._queues.replace_row(fetched)
            queue.backoff = queue.backoff.reset()
        return None
