"""The evidence of a run of several instances for the judge, besides that of each account."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.evidence import AccountEvidence


@dataclass(slots=True, kw_only=True)
class Call:
    """A call to WeChat for an account from a machine. Times are of the monotonic clock."""

    account: str
    machine: str
    name: str
    began: float
    ended: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An MQTT connection of a machine with a client id."""

    client_id: str
    machine: str
    began: float
    ended: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDisruption:
    """A disruption and its effects.

    - `kind`, `began`, `ended`: the disruption itself, until the disrupted part works again.
    - `unreachable`: the machines that could not act or be reached meanwhile, though their connections stayed open.
    - `lost`: the accounts that had to move (or to start again), and `allowed`: how long a move may take, counted
      from `since`. What the `target` does before the end of the disruption is no move.
    - `machines_with_wrong_key`: the machines that may serve no account before its end, since their key is another one.
    - `database_outage`: begin and end of the time without a database; (0, 0) without one.
    - `reload_reported`: whether a refused file was reported in `login/state` while it was refused, and afterwards; None without
      one.
    - `recovery`: the seconds until the next message and the next command of each account arrived.
    """

    kind: str
    began: float
    ended: float
    since: float
    allowed: float
    target: str = ""
    unreachable: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    machines_with_wrong_key: frozenset[str] = frozenset()
    database_outage: tuple[float, float] = (0.0, 0.0)
    reload_reported: tuple[bool, bool] | None = None
    recovery: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClusterEvidence:
    """The whole evidence.

    - `accounts`: for each observer, what it saw of each account.
    - `calls`, `sessions`: who asked WeChat and who was connected to the broker, in the order of `began`.
    - `states`: by observer and account, the last `bridge/state` and the instance in the last `bridge/info`.
    - `machines`: the machine of each instance by the instance's name.
    - `logged_in`: when all accounts had been scanned once.
    """

    accounts: Sequence[Sequence[AccountEvidence]]
    calls: Sequence[Call]
    sessions: Sequence[Session]
    disruptions: Sequence[ClusterDisruption]
    states: Mapping[str, Mapping[str, tuple[str, str]]]
    machines: Mapping[str, str]
    logged_in: float
