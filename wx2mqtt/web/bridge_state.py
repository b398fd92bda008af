"""The bridge as the web server sees it: a reader for each account, and facts of the whole process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.counters import CallStatistics
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.view import FoundMessages, MessageLine, PeoplePage
from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.errors import Problem
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen


class AccountReader(Protocol):
    """One account (`bridge/view.py`). Methods that read or write the store raise `StoreError`."""

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
    def has_contacts(self) -> bool: ...
    @property
    def missing_safeguards(self) -> str: ...
    @property
    def qr_image(self) -> bytes: ...
    @property
    def forecasts(self) -> Mapping[str, WindowForecast]: ...

    async def snapshot(self) -> HealthSnapshot: ...
    async def recent_messages(self, limit: int) -> list[MessageLine]: ...
    async def search_messages(self, text: str, before: int | None, limit: int) -> FoundMessages: ...
    async def recent_commands(self, limit: int) -> list[CommandRow]: ...
    def search_people(self, query: str, offset: int, limit: int) -> PeoplePage: ...
    async def send(self, user: str, text: str, command_id: str) -> None: ...
    @property
    def has_owner(self) -> bool: ...
    def request_login(self, *, new_owner: bool = False) -> None: ...
    def enter_verification_code(self, code: str) -> bool: ...
    async def log_out(self) -> None: ...


@frozen
class InstanceState:
    """One instance: where its page is (empty if unknown), which accounts it runs, and how it stands."""

    name: str
    url: str
    version: str
    accounts: Sequence[str]
    is_here: bool = False
    is_draining: bool = False


@frozen
class ClusterState:
    """The instances, and what this one measures.

    `has_lease` is false where the database does not answer, so that nothing goes out. `waiting` are accounts
    that no instance runs, `differences` the keys of the configuration in which another
    instance differs, by its name. The counts are since the start.
    """

    instances: Sequence[InstanceState]
    accounts: Sequence[str]
    waiting: Sequence[str]
    differences: Mapping[str, Sequence[str]]
    heartbeat_seconds: float
    look_seconds: float
    failovers: int
    lost_connections: int
    has_lease: bool = True

    @property
    def own_accounts(self) -> frozenset[str]:
        """The accounts that this instance runs."""
        return frozenset(
            account for instance in self.instances if instance.is_here for account in instance.accounts
        )


@frozen
class DatabaseOutage:
    """Since when the database cannot be used (milliseconds), and why. No account runs here meanwhile."""

    since: int
    reason: str


@frozen
class BridgeState:
    """The state of the bridge; its functions return the values of now.

    `accounts` can change: one that failed is built again. `changes` is notified when a shown value may have
    changed. `overdue` returns the names of the loops that do not move. `problems` are those of the
    configuration file as it is now: of a refused reload, or, without accounts, why the bridge does not run.
    `reload_accepted` returns when a file was accepted last, in milliseconds; 0 where none was yet. `outage`
    returns since when the database of `storage.url` is away; None while it is there.
    `cluster` returns the instances that share one database; None without one.
    `setup_command` returns the command that writes a configuration file, empty text while there is one.
    """

    accounts: Callable[[], Sequence[AccountReader]] = tuple
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)
    overdue: Callable[[], tuple[str, ...]] = tuple
    problems: Callable[[], tuple[Problem, ...]] = tuple
    reload_accepted: Callable[[], int] = int
    outage: Callable[[], DatabaseOutage | None] = lambda: None
    setup_command: Callable[[], str] = str
    cluster: Callable[[], ClusterState | None] = lambda: None

    @property
    def is_running(self) -> bool:
        """Whether there are accounts, or another instance may have them."""
        return bool(self.views) or self.cluster() is not None or self.outage() is not None

    @property
    def views(self) -> Sequence[AccountReader]:
        """The accounts, in the order of the configuration."""
        return self.accounts()

    @property
    def by_name(self) -> Mapping[str, AccountReader]:
        return {view.name: view for view in self.views}
