"""Doing what must reach the disk until the store takes it: a full disk delays, it loses nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from wx2mqtt.errors import StoreError
from wx2mqtt.retry import Backoff

log = structlog.get_logger(__name__)


T = TypeVar("T")


def nobody_asks(_trouble: StoreError) -> None:
    """The log says it."""


async def insist(work: Callable[[], Awaitable[T]], told: Callable[[StoreError], None] = nobody_asks) -> T:
    """The result of `work`, tried again with back-off (0.2 to 30 s) for as long as the store fails.

    `told` hears of each failure.
    """
    backoff = Backoff(first=0.2, cap=30)
    while True:
        try:
            return await work()
        except StoreError as trouble:
            backoff = backoff.failed()
            log.error("store does not take it yet", problem=str(trouble))
            told(trouble)
            await asyncio.sleep(backoff.wait(random.random()))
