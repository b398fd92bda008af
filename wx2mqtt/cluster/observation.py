"""What one instance observes of the others: who is silent, who may still act, what nobody runs. Pure.

All durations are measured by the clock of the observer. A heartbeat is a text that changes, and its age is
how long the observer has seen it unchanged. So no clock of another machine can end an instance.

    0 s      a heartbeat is stored, as every 2 s
    7 s      without another one the lease of the instance has ended, and it stops
    10 s     the others end its session, which gives all its locks back
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from wx2mqtt.cluster.assignment import ClusterMember
from wx2mqtt.values import frozen

HEARTBEAT_SECONDS = 2.0  # between two heartbeats

# An instance may act for so long after its last stored heartbeat. It must be less than `SILENT_SECONDS`.
LEASE_SECONDS = 7.0

# An instance whose heartbeat has not changed for so long hangs, and its session is ended.
SILENT_SECONDS = 10.0

# An observer that has not looked for so long may have missed heartbeats, and forgets the ages that it knows.
MAX_GAP_SECONDS = 4.0

# An account that has been free for so long is neglected: any instance may take it.
NEGLECTED_SECONDS = 3.0

# The row of an instance that is gone is kept for so long, since `wx2mqtt cluster` shows it.
GONE_SECONDS = 600.0


@frozen
class InstanceRow:
    """An instance as its row and its locks say. Rows that differ only in `heartbeat` and `age` are equal."""

    name: str
    #: The process of the database server that serves the session on which the instance commits.
    pid: int
    #: Whether the instance is live: the session with this `pid` holds the lock on the name of the instance.
    has_session: bool
    #: A text that changes with each heartbeat.
    heartbeat: str = field(compare=False)
    #: Seconds since the last heartbeat, by the clock of the server.
    age: float = field(compare=False)
    #: False for a row that was written before the server was started or promoted.
    is_of_this_server: bool
    version: str
    #: The address of its page, empty without one.
    url: str
    max_accounts: int | None
    is_draining: bool
    #: A digest of the settings that all instances must have in common.
    configuration: str


@frozen
class Snapshot:
    """The rows of all instances, and which session holds the lock of each account that is locked."""

    instances: Sequence[InstanceRow] = ()
    #: The `pid` of the session by the name of the account.
    lock_holders: Mapping[str, int]

    def owner_of(self, account: str) -> str:
        """Returns the name of the instance that has locked an account; empty if nobody has.

        A session without a row has the name `?`, as that of an instance that has just begun.
        """
        pid = self.lock_holders.get(account)
        if pid is None:
            return ""
        return next((row.name for row in self.instances if row.has_session and row.pid == pid), "?")


class ClusterStatistics:
    """Figures of this instance since its start; they outlive a lost connection."""

    def __init__(self) -> None:
        #: Accounts that were taken from an instance that had not given them up.
        self.failovers = 0
        #: How often the connection that holds the locks was lost.
        self.lost_connections = 0
        #: How long it took to store the last heartbeat.
        self.heartbeat_seconds = 0.0
        #: How long it took to read the last snapshot.
        self.look_seconds = 0.0


class Observer:
    """Remembers since when each thing in the snapshots is as it is. Call `update` with each snapshot."""

    def __init__(self) -> None:
        #: When the newest snapshot was read; None before the first one.
        self._updated_at: float | None = None
        #: The heartbeat of each live instance by its name, and since when it is the same.
        self._heartbeats: dict[str, tuple[str, float]] = {}
        #: Since when each instance that has a row has had no session, by its name.
        self._gone_since: dict[str, float] = {}
        #: Since when nobody has run each free account, by its name.
        self._free_since: dict[str, float] = {}
        #: Live instances that are to be ended: their heartbeat does not change.
        self.silent: tuple[InstanceRow, ...] = ()
        #: Instances that are gone for long, and whose rows are to be deleted.
        self.forgotten: tuple[InstanceRow, ...] = ()
        #: True while nobody may take an account. A restart or a promotion of the server takes all locks from
        #: an instance, which does not know it and acts until its lease has ended.
        self.must_wait = False

    def update(self, snapshot: Snapshot, free: Sequence[str], now: float, *, has_lease: bool) -> None:
        """Compares a snapshot with the ones before; `free` are the accounts that nobody runs.

        An observer without a lease, or that was stopped for a while itself, ends nobody: it may be the one
        that sees nothing.
        """
        was_stopped = self._updated_at is not None and now - self._updated_at > MAX_GAP_SECONDS
        self._updated_at = now
        if was_stopped or not has_lease:
            self._heartbeats = {}
        live = [row for row in snapshot.instances if row.has_session]
        gone = [row for row in snapshot.instances if not row.has_session]
        self._heartbeats = {row.name: (row.heartbeat, self._unchanged_since(row, now)) for row in live}
        self._gone_since = {row.name: self._gone_since.get(row.name, now) for row in gone}
        self._free_since = {account: self._free_since.get(account, now) for account in free}
        self.silent = tuple(row for row in live if now - self._heartbeats[row.name][1] >= SILENT_SECONDS)
        self.forgotten = tuple(row for row in gone if now - self._gone_since[row.name] >= GONE_SECONDS)
        lost_with_server = [row for row in gone if not row.is_of_this_server]
        self.must_wait = any(now - self._gone_since[row.name] < LEASE_SECONDS for row in lost_with_server)

    def _unchanged_since(self, row: InstanceRow, now: float) -> float:
        heartbeat, since = self._heartbeats.get(row.name, ("", now))
        return since if heartbeat == row.heartbeat else now

    def neglected(self, now: float) -> frozenset[str]:
        """Returns the accounts that nobody has run for too long: any instance may take them."""
        return frozenset(
            account for account, since in self._free_since.items() if now - since >= NEGLECTED_SECONDS
        )


def members_of(snapshot: Snapshot) -> list[ClusterMember]:
    """Returns the live instances."""
    rows = {row.name: row for row in snapshot.instances if row.has_session}
    accounts_by_owner: dict[str, set[str]] = {name: set() for name in rows}
    for account in snapshot.lock_holders:
        accounts_by_owner.setdefault(snapshot.owner_of(account), set()).add(account)
    return [
        _member(name, frozenset(accounts), rows.get(name)) for name, accounts in accounts_by_owner.items()
    ]


def _member(name: str, accounts: frozenset[str], row: InstanceRow | None) -> ClusterMember:
    if row is None:  # a session without a row, which takes nothing
        return ClusterMember(name=name, accounts=accounts, max_accounts=0, is_draining=True)
    return ClusterMember(
        name=name, accounts=accounts, max_accounts=row.max_accounts, is_draining=row.is_draining
    )
