"""The bridge as the web server sees it: a view of each account, and facts of the whole process.

`page/account_data.py` has what the page reads of an account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.errors import Problem
from wx2mqtt.values import frozen


@frozen
class BridgeState:
    """The state of the bridge. All fields but `changes` are functions that return the values of now."""

    #: The accounts that run here, in the order of the configuration. An account that failed is replaced.
    accounts: Callable[[], Sequence[AccountView]] = tuple
    #: Is notified when a value may have changed that the page shows.
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)
    #: The names of the loops that do not move.
    overdue: Callable[[], tuple[str, ...]] = tuple
    #: The problems of the configuration file that made the bridge refuse a reload, or run no account.
    problems: Callable[[], tuple[Problem, ...]] = tuple
    #: When a configuration file was accepted last, in milliseconds; 0 where none was yet.
    reload_accepted: Callable[[], int] = int
    #: None while the database of `storage.url` is there, and without one.
    outage: Callable[[], DatabaseOutage | None] = lambda: None
    #: The names of all accounts of the configuration, in its order; some may run elsewhere.
    account_names: Callable[[], Sequence[str]] = tuple
    #: How many calls of senders there were since the start, by the name of the sender, which is empty where
    #: it is unknown, and by `accepted` or the code of the refusal.
    sender_calls: Callable[[], Mapping[tuple[str, str], int]] = dict
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

    #: When the connection was lost, in milliseconds.
    since: int
    reason: str


@frozen
class InstanceState:
    """One live instance of the cluster."""

    name: str
    #: The address of its page; empty if unknown.
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
        return frozenset(
            account for instance in self.instances if instance.is_here for account in instance.accounts
        )
