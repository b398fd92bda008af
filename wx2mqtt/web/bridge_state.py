"""The bridge as the web server sees it: a view of each account, and facts of the whole process.

A page, for example, calls `read_account` for each of `BridgeState.accounts()`. What the store does not return
in time is missing there: a disk that hangs must not delay the QR code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.view import AccountView, MessageLine
from wx2mqtt.errors import Problem, StoreError
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

MAX_MESSAGES_SHOWN = 10
MAX_COMMANDS_SHOWN = 10
STORE_TIMEOUT_SECONDS = 3.0

T = TypeVar("T")


@frozen
class BridgeState:
    """The state of the bridge; its functions return the values of now."""

    #: The accounts in the order of the configuration. They change: one that failed is built again.
    accounts: Callable[[], Sequence[AccountView]] = tuple
    #: Notified when a shown value may have changed.
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)
    #: The names of the loops that do not move.
    overdue: Callable[[], tuple[str, ...]] = tuple
    #: Problems of the configuration file as it is now: of a refused reload, or why no account runs.
    problems: Callable[[], tuple[Problem, ...]] = tuple
    #: When a file was accepted last, in milliseconds; 0 where none was yet.
    reload_accepted: Callable[[], int] = int
    #: None while the database of `storage.url` is there, and without one.
    outage: Callable[[], DatabaseOutage | None] = lambda: None
    #: The command that writes a configuration file; empty while there is one.
    setup_command: Callable[[], str] = str
    #: The instances that share one database; None without one.
    cluster: Callable[[], ClusterState | None] = lambda: None

    @property
    def is_running(self) -> bool:
        """Whether there are accounts, or another instance may have them."""
        return bool(self.accounts()) or self.cluster() is not None or self.outage() is not None


@frozen
class DatabaseOutage:
    """The database cannot be used. No account runs here meanwhile."""

    #: In milliseconds.
    since: int
    reason: str


@frozen
class InstanceState:
    """One instance of a cluster."""

    name: str
    #: Where its page is; empty if unknown.
    url: str
    version: str
    #: The accounts that it runs.
    accounts: Sequence[str]
    is_here: bool = False
    is_draining: bool = False


@frozen
class ClusterState:
    """The instances, and what this one measures. Counts are since the start."""

    instances: Sequence[InstanceState]
    accounts: Sequence[str]
    #: Accounts that no instance runs.
    waiting: Sequence[str]
    #: The keys of the configuration in which another instance differs, by its name.
    differences: Mapping[str, Sequence[str]]
    heartbeat_seconds: float
    look_seconds: float
    failovers: int
    lost_connections: int
    #: False where the database does not answer, so that nothing goes out.
    has_lease: bool = True

    @property
    def own_accounts(self) -> frozenset[str]:
        """The accounts that this instance runs."""
        return frozenset(
            account for instance in self.instances if instance.is_here for account in instance.accounts
        )


@frozen
class AccountSnapshot:
    """One account as the page shows it. What the store did not return in time is None."""

    view: AccountView
    login: LoginStatus
    has_qr_code: bool
    health: HealthSnapshot | None
    messages: Sequence[MessageLine] | None
    commands: Sequence[CommandRow] | None
    #: As in `BridgeState`.
    setup_command: str = ""


async def read_account(view: AccountView, setup_command: str = "") -> AccountSnapshot:
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


async def value_or_none(read: Callable[[], Awaitable[T]], seconds: float | None = None) -> T | None:
    """Returns what `read` returns; None for an error of the store, or after `seconds`.

    `read` is no coroutine, since a viewer may leave before it is called. By default it has
    `STORE_TIMEOUT_SECONDS`.
    """
    try:
        async with asyncio.timeout(STORE_TIMEOUT_SECONDS if seconds is None else seconds):
            return await read()
    except (StoreError, TimeoutError) as error:
        log.warning("page shows less", problem=str(error) or "the store does not answer")
        return None
