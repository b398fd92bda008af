"""What the page reads of an account, and how much of it.

The page calls `read_account` for each of `BridgeState.accounts()`. What the store does not return in time is
missing there: a disk that hangs must not delay the QR code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.message_lines import MessageLine
from wx2mqtt.errors import StoreError
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.question_records import AskedQuestion
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# The lists that update themselves show the newest ones.
MAX_MESSAGES_SHOWN = 10
MAX_COMMANDS_SHOWN = 10
MAX_QUESTIONS_SHOWN = 10

HOURS_SHOWN = 24
FOUND_MESSAGES_PER_PAGE = 20  # of the result of a search
STORE_TIMEOUT_SECONDS = 3.0  # after which the page does without a value

T = TypeVar("T")


@frozen
class AccountSnapshot:
    """One account as the page shows it. What the store did not return in time is None."""

    view: AccountView
    login: LoginStatus
    has_qr_code: bool
    health: HealthSnapshot | None
    messages: Sequence[MessageLine] | None
    commands: Sequence[CommandRow] | None
    #: The open questions.
    questions: Sequence[AskedQuestion] | None
    #: The last hours, the oldest first.
    hours: Sequence[HourCounts] | None = None
    #: `BridgeState.setup_command`.
    setup_command: str = ""


async def read_account(view: AccountView, setup_command: str = "") -> AccountSnapshot:
    """Returns the account as it is now. Errors of the store are logged, not raised."""
    with bound_contextvars(account=view.name):
        health, messages, commands, questions, hours = await asyncio.gather(
            value_or_none(view.snapshot),
            value_or_none(partial(view.recent_messages, MAX_MESSAGES_SHOWN)),
            value_or_none(partial(view.recent_commands, MAX_COMMANDS_SHOWN)),
            value_or_none(partial(view.open_questions, MAX_QUESTIONS_SHOWN)),
            value_or_none(partial(view.last_hours, HOURS_SHOWN)),
        )
    return AccountSnapshot(
        view=view,
        login=view.login,
        has_qr_code=bool(view.qr_image),
        health=health,
        messages=messages,
        commands=commands,
        questions=questions,
        hours=hours,
        setup_command=setup_command,
    )


async def value_or_none(read: Callable[[], Awaitable[T]], seconds: float | None = None) -> T | None:
    """Returns what `read` returns; None for an error of the store, or after `seconds`.

    By default it has `STORE_TIMEOUT_SECONDS`. It is a function, and no coroutine, which nobody would await
    when a viewer leaves before.
    """
    try:
        async with asyncio.timeout(STORE_TIMEOUT_SECONDS if seconds is None else seconds):
            return await read()
    except (StoreError, TimeoutError) as error:
        log.warning("page shows less", problem=str(error) or "the store does not answer")
        return None
