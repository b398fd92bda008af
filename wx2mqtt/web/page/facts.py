"""What the page shows of one account, read in one go; what cannot be had in time is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from wx2mqtt.bridge.health import Seen
from wx2mqtt.bridge.state import Login
from wx2mqtt.bridge.view import Line
from wx2mqtt.errors import StoreError
from wx2mqtt.store.rows import CommandRow
from wx2mqtt.web.views import View
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)

LINES = 10  # messages on the page
COMMANDS = 10
PATIENCE = 3.0  # seconds; a disk that hangs must not keep the QR code from who waits for it

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody wants to see the page; `texts`: also what the messages say."""

    language: Language
    texts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One account as of now; None for what the store did not tell."""

    view: View
    login: Login
    has_code: bool
    seen: Seen | None
    lines: Sequence[Line] | None
    commands: Sequence[CommandRow] | None


async def facts_of(view: View) -> Facts:
    """Never raises for what the store does."""
    seen, lines, commands = await asyncio.gather(
        _known(view.seen()), _known(view.lines(LINES)), _known(view.commands(COMMANDS))
    )
    return Facts(
        view=view,
        login=view.login,
        has_code=bool(view.code),
        seen=seen,
        lines=lines,
        commands=commands,
    )


async def _known(asked: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await asked
    except (StoreError, TimeoutError) as trouble:
        log.warning("page shows less", problem=str(trouble) or "the store does not answer")
        return None
