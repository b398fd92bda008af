"""What one instance observes of the others: who is silent, who may still act, what nobody runs. Pure.

All durations are measured by the clock of the observer: a heartbeat is a value that changes, and its age is
how long the observer has seen it unchanged. So no clock of another machine can end an instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from wx2mqtt.cluster.assignment import ClusterMember, ClusterView
from wx2mqtt.values import frozen

HEARTBEAT_SECONDS = 2.0

# How long an instance may act after a heartbeat that was stored: less than each of the following limits.
LEASE_SECONDS = 7.0

# An instance whose heartbeat has not changed for so long is hung; its session is ended.
SILENT_SECONDS = 10.0

# An observer that has not looked for so long has seen nothing: it begins anew.
MAX_GAP_SECONDS = 4.0

# Whoever should take a free account has not done it for so long: anybody takes it.
NEGLECTED_SECONDS = 3.0

# Rows of instances that are gone are kept for so long, since `wx2mqtt cluster` shows them.
GONE_SECONDS = 600.0


@frozen
class InstanceRow:
    """An instance as its row and its locks say. Two rows are equal if only their heartbeats differ."""

    name: str
    #: The session on which it commits.
    pid: int
    #: That session holds the lock on its name: the instance is live.
    has_session: bool
    #: A text that changes with each heartbeat.
    heartbeat: str = field(compare=False)
    #: Seconds since the heartbeat, by the clock of the server.
    age: float = field(compare=False)
    #: The row was written since the server has started, or was promoted.
    is_of_this_server: bool
    version: str
    #: The address of its page, empty without one.
    url: str
    max_accounts: int | None
    is_draining: bool
    #: A digest of what it has in common with the others.
    configuration: str


@frozen
class Snapshot:
    """The rows of all instances, and the session that holds the lock of each key."""

    instances: Sequence[InstanceRow] = ()
    lock_holders: Mapping[int, int]

    def owner_of(self, key: int) -> str:
        """Returns the name of the instance that holds a lock; empty if nobody does.

        A session without a row, such as that of an instance that has just begun, is `?`.
        """
        pid = self.lock_holders.get(key)
        if pid is None:
            return ""
        return next((row.name for row in self.instances if row.has_session and row.pid == pid), "?")


class ClusterStatistics:
    """Figures of this instance since its start; they outlive a lost connection."""

    def __init__(self) -> None:
        self.failovers = 0
        self.lost_connections = 0
        self.heartbeat_seconds = 0.0
        self.look_seconds = 0.0


class Observer:
    """Remembers since when what it sees is as it is. `update` it with each snapshot."""

    def __init__(self) -> None:
        self._updated_at: float | None = None
        self._heartbeats: dict[str, tuple[str, float]] = {}
        self._gone_since: dict[str, float] = {}
        self._free_since: dict[str, float] = {}
        #: Live instances to end: their heartbeat does not change.
        self.silent: tuple[InstanceRow, ...] = ()
        #: Rows to delete.
        self.forgotten: tuple[InstanceRow, ...] = ()
        #: An instance that the server has lost with all its locks, at a restart or a promotion, may act until
        #: its lease has ended: until then nobody takes an account.
        self.must_wait = False

    def update(self, snapshot: Snapshot, free: Sequence[str], now: float, *, has_lease: bool) -> None:
        """Compares a snapshot with the ones before; `free` are the accounts that nobody runs.

        An observer whose own heartbeats are not stored, or that was stopped itself, ends nobody.
        """
        if not has_lease or (self._updated_at is not None and now - self._updated_at > MAX_GAP_SECONDS):
            self._heartbeats.clear()
        self._updated_at = now
        live = [row for row in snapshot.instances if row.has_session]
        gone = [row for row in snapshot.instances if not row.has_session]
        known = self._heartbeats
        self._heartbeats = {row.name: (row.heartbeat, now) for row in live}
        for row in live:
            if row.name in known and known[row.name][0] == row.heartbeat:
                self._heartbeats[row.name] = known[row.name]
        self._gone_since = {row.name: self._gone_since.get(row.name, now) for row in gone}
        self._free_since = {account: self._free_since.get(account, now) for account in free}
        self.silent = tuple(row for row in live if now - self._heartbeats[row.name][1] >= SILENT_SECONDS)
        self.forgotten = tuple(row for row in gone if now - self._gone_since[row.name] >= GONE_SECONDS)
        self.must_wait = any(
            not row.is_of_this_server and now - self._gone_since[row.name] < LEASE_SECONDS for row in gone
        )

    def neglected(self, now: float) -> frozenset[str]:
        """Returns the accounts that nobody has run for too long: any instance may take them."""
        return frozenset(
            account for account, since in self._free_since.items() if now - since >= NEGLECTED_SECONDS
        )


def view_of(
    snapshot: Snapshot,
    name: str,
    keys: Mapping[str, int],
    *,
    groups: Sequence[frozenset[str]] = (),
    leaving: frozenset[str] = frozenset(),
    neglected: frozenset[str] = frozenset(),
    avoided: frozenset[str] = frozenset(),
) -> ClusterView:
    """Returns what the instance `name` sees; `keys` are the accounts of its configuration, some in `groups`.

    Accounts whose lock is held by a session without a row belong to a member of the name `?`, which takes
    nothing.
    """
    owned: dict[str, set[str]] = {row.name: set() for row in snapshot.instances if row.has_session}
    for account, key in keys.items():
        if owner := snapshot.owner_of(key):
            owned.setdefault(owner, set()).add(account)
    rows = {row.name: row for row in snapshot.instances if row.has_session}
    members = [
        ClusterMember(
            name=owner,
            accounts=frozenset(accounts),
            max_accounts=rows[owner].max_accounts if owner in rows else 0,
            is_draining=rows[owner].is_draining if owner in rows else True,
        )
        for owner, accounts in owned.items()
    ]
    return ClusterView(
        name=name,
        accounts=tuple(keys),
        groups=groups,
        members=members,
        leaving=leaving,
        neglected=neglected,
        avoided=avoided,
    )
