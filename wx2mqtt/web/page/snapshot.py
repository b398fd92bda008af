"""The values of one account that the page shows. What the store does not return in time is None."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.view import AccountView, MessageLine
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

MAX_MESSAGES_SHOWN = 10
MAX_COMMANDS_SHOWN = 10
STORE_TIMEOUT_SECONDS = 3.0  # a disk that hangs must not delay the QR code

T = TypeVar("T")


@frozen(kw_only=False)
class PageOptions:
    """The choices of a viewer."""

    language: Language
    #: Whether the texts of messages and commands are shown.
    show_texts: bool = False


@frozen
class AccountSnapshot:
    """One account. What the store did not return in time is None."""

    view: AccountView
    login: LoginStatus
    has_qr_code: bool
    health: HealthSnapshot | None
    messages: Sequence[MessageLine] | None
    commands: Sequence[CommandRow] | None
    #: As in `BridgeState`.
    setup_command: str = ""


async def account_snapshot(view: AccountView, setup_command: str = "") -> AccountSnapshot:
    """Returns the account as it is now. Errors of the store are logged, not raised."""
    with bound_contextvars(account=view.name):
        health, messages, commands = await asyncio.gather(
            value_or_none(view.snapshot),
            value_or_none(partial(view.recent_messages, MAX_MESSAGES_SHOWN)),
            value_or_none(partial(view.recent_commands, MAX_COMMANDS_SHOWN)),
        )
    return AccountSnapshot(
        view=view,
        login=view.login,
        has_qr_code=bool(view.qr_image),
        health=health,
        messages=messages,
        commands=commands,
        setup_command=setup_command,
    )


async def value_or_none(read: Callable[[], Awaitable[T]], seconds: float = 0.0) -> T | None:
    """Returns what `read` returns, None for an error of the store; a viewer may leave before it is called.

    Without `seconds` it has `STORE_TIMEOUT_SECONDS`.
    """
    try:
        async with asyncio.timeout(seconds or STORE_TIMEOUT_SECONDS):
            return await read()
    except (StoreError, TimeoutError) as error:
        log.warning("page shows less", problem=str(error) or "the store does not answer")
        return None
