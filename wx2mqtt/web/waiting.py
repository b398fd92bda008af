"""To wait for something only as long as it is of use: while the client is there, and the server stays."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class Interrupted(Exception):
    """Something else came first, and the work was cancelled."""


async def until(work: Coroutine[Any, Any, T], *ends: Coroutine[Any, Any, object]) -> T:
    """The result of `work`; raises `Interrupted` when one of `ends` comes first. Leaves nothing running."""
    working = asyncio.ensure_future(work)
    ending = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait({working, *ending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Interrupted
        return working.result()
    finally:
        for task in (working, *ending):
            task.cancel()
        await asyncio.wait({working, *ending})


async def left(receive: Receive) -> None:
    """Over when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
