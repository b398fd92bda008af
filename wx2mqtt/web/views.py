"""What the web server knows of the bridge: a `AccountReader` of each account and a few facts of the whole
process.

What the page shows of one account, read in one go; what cannot be had in time is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.health import CallStatistics, HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.view import MessageLine, PeoplePage
from wx2mqtt.errors import Problem, StoreError
from wx2mqtt.i18n.bridge import Language
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.records import CommandRow


class AccountReader(Protocol):
    """One account (see `bridge/view.py`). What reads the store raises `StoreError`."""

    @property
    def name(self) -> str: ...
    @property
    def topics(self) -> Topics: ...
    @property
    def calls(self) -> CallStatistics: ...
    @property
    def login(self) -> LoginStatus: ...
    @property
    def owner_name(self) -> str: ...
    @property
    def test_recipient(self) -> str: ...
    @property
    def qr_png(self) -> bytes: ...

    async def snapshot(self) -> HealthSnapshot: ...
    async def recent_messages(self, limit: int) -> list[MessageLine]: ...
    async def recent_commands(self, limit: int) -> list[CommandRow]: ...
    def search_people(self, query: str, offset: int, limit: int) -> PeoplePage: ...
    async def send(self, user: str, text: str, command_id: str) -> None: ...
    def request_login(self) -> None: ...
    def enter_verification_code(self, code: str) -> bool: ...
    async def log_out(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeState:
    """The bridge as the web server sees it.

    `accounts` may be others after a while. `bell` rings when something may be different. `stuck` are loops
    that do not move. `problems` are those of the file as it is now: of a reload that was refused, or, without
    any account, why the bridge does not run.
    """

    accounts: Callable[[], Sequence[AccountReader]] = tuple
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)
    overdue: Callable[[], tuple[str, ...]] = tuple
    problems: Callable[[], tuple[Problem, ...]] = tuple

    @property
    def views(self) -> Sequence[AccountReader]:
        """The accounts as of now."""
        return self.accounts()

    @property
    def by_name(self) -> Mapping[str, AccountReader]:
        """The same by name."""
        return {view.name: view for view in self.views}


log = structlog.get_logger(__name__)


MAX_MESSAGES_SHOWN = 10  # messages on the page


MAX_COMMANDS_SHOWN = 10


STORE_TIMEOUT_SECONDS = 3.0  # seconds; a disk that hangs must not keep the QR code from who waits for it


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How somebody wants to see the page; `texts`: also what the messages say."""

    language: Language
    show_texts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """One account as of now; None for what the store did not tell."""

    view: AccountReader
    login: LoginStatus
    has_qr_code: bool
    health: HealthSnapshot | None
    messages: Sequence[MessageLine] | None
    commands: Sequence[CommandRow] | None


async def account_snapshot(view: AccountReader) -> AccountSnapshot:
    """Never raises for what the store does."""
    seen, lines, commands = await asyncio.gather(
        _known(view.snapshot()),
        _known(view.recent_messages(MAX_MESSAGES_SHOWN)),
        _known(view.recent_commands(MAX_COMMANDS_SHOWN)),
    )
    return AccountSnapshot(
        view=view,
        login=view.login,
        has_qr_code=bool(view.qr_png),
        health=seen,
        messages=lines,
        commands=commands,
    )


async def _known(pending_read: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
            return await pending_read
    except (StoreError, TimeoutError) as trouble:
        log.warning("page shows less", problem=str(trouble) or "the store does not answer")
        return None
