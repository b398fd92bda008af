"""Which accounts an instance takes and gives up: a function of what it sees of the database. Pure.

    instance one runs a, b and c, and instance two joins      one gives up c, then two takes it

Each instance decides for itself, from the same rows and locks. Two instances that see different moments may
want the same account; then its lock decides. `decide` has the rules. A *unit* is what moves as a whole: a
group of accounts, or an account in no group. The commands, such as `cluster drain`, are in `cli/cluster.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from wx2mqtt.values import frozen

EXTRA_ACCOUNTS = 1  # how many accounts more than its share an instance may take

# The part of its excess that an instance gives up at the same time: so even hundreds move within a minute.
MOVES_AT_ONCE_RATIO = 1 / 8


@frozen
class ClusterMember:
    """A live instance as the others see it: its name, its limit, and the accounts whose locks it holds."""

    name: str
    accounts: frozenset[str]
    max_accounts: int | None = None
    is_draining: bool = False

    @property
    def load(self) -> int:
        """How many accounts it runs."""
        return len(self.accounts)


@frozen
class ClusterView:
    """What the instance `name` sees."""

    name: str
    #: The accounts of its configuration.
    accounts: Sequence[str]
    #: Accounts that run on one instance together or not at all. Most accounts are in no group.
    groups: Sequence[frozenset[str]] = ()
    #: The live instances, this one among them.
    members: Sequence[ClusterMember]
    #: The accounts of this instance that are being given up.
    giving_up: frozenset[str] = frozenset()
    #: Accounts that have been free for so long that any instance takes them.
    neglected: frozenset[str] = frozenset()
    #: Accounts that this instance does not take for now, since it could not start them.
    avoided: frozenset[str] = frozenset()

    @property
    def units(self) -> list[frozenset[str]]:
        """The groups, and a set of its own for each account in no group, in the order of the names."""
        grouped = frozenset[str]().union(*self.groups)
        alone = (frozenset({account}) for account in self.accounts if account not in grouped)
        return sorted([*self.groups, *alone], key=sorted)

    @property
    def free(self) -> list[frozenset[str]]:
        """The units of which no instance runs an account."""
        owned = frozenset[str]().union(*(member.accounts for member in self.members))
        return [unit for unit in self.units if not unit & owned]


@frozen
class Decision:
    """What an instance does next: accounts to take, or accounts to give up."""

    take: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def decide(view: ClusterView) -> Decision:
    """Returns what the instance of this view does next.

    1. `target_loads` says how many accounts each instance should run: all about the same number.
    2. A free account goes to the instance that runs the fewest. An account that stays free for long is taken
       by any instance.
    3. An instance takes at most one account more than its share, since it may be wrong about the others.
    4. An instance above its target gives accounts up while another one is below its target. It gives up one
       account at a time, or an eighth of its excess, and none while free accounts are about to be taken.
    5. A group moves as a whole, if the instance that gives it up is not below its target then. Where
       instances run parts of a group, the one with the largest part gets the rest.
    """
    me = next((member for member in view.members if member.name == view.name), None)
    if me is None:
        return Decision()
    if me.is_draining:
        return Decision(give_up=tuple(sorted(me.accounts - view.giving_up)))
    joined = _join_parts(view, me)
    if joined is not None:
        return joined
    targets = target_loads(len(view.accounts), view.members)
    assigned = _assign_free(view, me, targets)
    mine = [unit for unit, instance in assigned.items() if instance == me.name and not unit & view.avoided]
    if mine:
        return Decision(take=_names_of(mine))
    return Decision(give_up=_accounts_to_give_up(view, me, targets, len(_names_of(assigned))))


def _names_of(units: Collection[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset[str]().union(*units)))


def target_loads(count: int, members: Collection[ClusterMember]) -> Mapping[str, int]:
    """Returns how many of `count` accounts each instance should run, by its name.

    An instance that may not run an even share gets what it may run: `max_accounts`, or 0 while it drains. The
    others share the rest evenly. Where it does not divide, those that run most get one more, so that nothing
    moves.
    """
    sharing = sorted(members, key=lambda member: _limit_of(member, count))
    targets: dict[str, int] = {}
    remaining = count
    while sharing and _limit_of(sharing[0], count) <= remaining // len(sharing):
        limited = sharing.pop(0)
        targets[limited.name] = _limit_of(limited, count)
        remaining -= targets[limited.name]
    by_load = sorted(sharing, key=lambda member: (-member.load, member.name))
    for index, member in enumerate(by_load):
        share, rest = divmod(remaining, len(by_load))
        targets[member.name] = share + 1 if index < rest else share
    return targets


def _limit_of(member: ClusterMember, count: int) -> int:
    """Returns how many of `count` accounts an instance may run."""
    if member.is_draining:
        return 0
    return count if member.max_accounts is None else min(member.max_accounts, count)


def _join_parts(view: ClusterView, me: ClusterMember) -> Decision | None:
    """Returns what this instance does about a group of which it runs a part only; None without such a group.

    - The instance with the largest part takes the accounts of the group that nobody runs.
    - It gives its part up where it has no room for them, or cannot start one that another instance could.
    - Every other instance gives its part up.
    """
    for unit in view.units:
        part = unit & me.accounts
        is_split = part and part != unit
        if not is_split or part & view.giving_up:
            continue
        missing = unit.difference(*(member.accounts for member in view.members))
        if _must_give_part_up(view, me, unit, missing):
            return Decision(give_up=_names_of([part]))
        if takeable := missing - view.avoided:
            return Decision(take=_names_of([takeable]))
    return None


def _must_give_part_up(
    view: ClusterView, me: ClusterMember, unit: frozenset[str], missing: frozenset[str]
) -> bool:
    """Returns whether another instance is to run a group; `missing` are its accounts that nobody runs."""
    largest = max(view.members, key=lambda member: (len(unit & member.accounts), member.name))
    if largest != me:
        return True
    if me.load + len(missing) > _limit_of(me, len(view.accounts)):
        return True
    cannot_start = bool(missing & view.avoided)
    others = [member for member in view.members if member.name != me.name]
    return cannot_start and any(len(unit) <= _limit_of(other, len(view.accounts)) for other in others)


def _assign_free(
    view: ClusterView, me: ClusterMember, targets: Mapping[str, int]
) -> dict[frozenset[str], str]:
    """Returns the instance that takes each free unit; a unit for which nobody has room is left out."""
    # With the units that were assigned so far.
    loads = {member.name: member.load for member in view.members}
    take_limits = {member.name: _take_limit(view, member, targets) for member in view.members}
    limits = {member.name: _limit_of(member, len(view.accounts)) for member in view.members}
    assigned: dict[frozenset[str], str] = {}
    for unit in view.free:
        candidates = [
            name
            for name, load in loads.items()
            if load < take_limits[name] and load + len(unit) <= limits[name]
        ]
        if not candidates:
            continue
        is_mine = unit <= view.neglected and me.name in candidates
        instance = me.name if is_mine else min(candidates, key=lambda name: (loads[name], name))
        loads[instance] += len(unit)
        assigned[unit] = instance
    return assigned


def _take_limit(view: ClusterView, member: ClusterMember, targets: Mapping[str, int]) -> int:
    """Returns how many accounts an instance may run and still take one: its share and `EXTRA_ACCOUNTS`."""
    count = len(view.accounts)
    if member.is_draining:
        return 0
    active_count = sum(not other.is_draining for other in view.members)
    share = max(math.ceil(count / active_count), targets[member.name])
    return min(_limit_of(member, count), share + EXTRA_ACCOUNTS)


def _accounts_to_give_up(
    view: ClusterView, me: ClusterMember, targets: Mapping[str, int], taken_count: int
) -> tuple[str, ...]:
    """Returns accounts above the target; `taken_count` is how many free ones are about to be taken."""
    staying = me.accounts - view.giving_up
    excess = len(staying) - targets[me.name]
    is_over_limit = len(staying) > _limit_of(me, len(view.accounts))
    is_needed = any(member.load < targets[member.name] for member in view.members)
    if excess <= 0 or not (is_needed or is_over_limit):
        return ()
    at_once = max(1, int(excess * MOVES_AT_ONCE_RATIO)) - taken_count - len(view.giving_up)
    given_up: list[frozenset[str]] = []
    for unit in reversed(view.units):
        if at_once <= 0 or excess <= 0:
            break
        if unit <= staying and (len(unit) <= excess or is_over_limit):
            given_up.append(unit)
            at_once -= len(unit)
            excess -= len(unit)
    return _names_of(given_up)
