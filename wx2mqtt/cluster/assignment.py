"""Which accounts an instance takes and gives up: a function of what it sees of the database. Pure.

Each instance decides for itself, from the same rows and locks. Two that see different moments may want the
same account; the lock decides then. `decide` has the rules. The commands, such as `cluster drain`, and their
options are in `cli/groups.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from wx2mqtt.values import frozen

# An account more than the target that an instance may take.
EXTRA_ACCOUNTS = 1

# A part of the accounts to give up that may move at the same time: so even hundreds move within a minute.
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
    #: Those of its configuration.
    accounts: Sequence[str]
    #: The live instances, itself among them.
    members: Sequence[ClusterMember]
    #: Its accounts that are being given up.
    leaving: frozenset[str] = frozenset()
    #: Accounts that have been free for so long that any instance takes them.
    neglected: frozenset[str] = frozenset()
    #: Accounts that this instance does not take for now, since they could not be started.
    avoided: frozenset[str] = frozenset()

    @property
    def free(self) -> list[str]:
        """The accounts that no instance runs, in the order of their names."""
        owned = frozenset[str]().union(*(member.accounts for member in self.members))
        return sorted(set(self.accounts) - owned)


@frozen
class Decision:
    """What an instance does next: accounts to take, and accounts to give up in order."""

    take: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def decide(view: ClusterView) -> Decision:
    """Returns what the instance of this view does next.

    1. `target_loads` spreads the accounts evenly; an instance with `max_accounts` gets at most that many, and
       one that drains gets none. Where they do not divide, those that run most keep one more, so that nothing
       moves.
    2. A free account goes to the instance that runs least. One that stays free for long is taken by any.
    3. An instance takes at most one account more than its share: it may be wrong about the others.
    4. One that runs more than its target gives accounts up while another one runs less than its own: one at
       a time, or an eighth of what is too much, and none while free accounts are about to be taken.
    """
    me = next((member for member in view.members if member.name == view.name), None)
    if me is None:
        return Decision()
    if me.is_draining:
        return Decision(give_up=tuple(sorted(me.accounts - view.leaving)))
    targets = target_loads(len(view.accounts), view.members)
    assigned = _assign_free(view, me, targets)
    mine = [account for account, instance in assigned.items() if instance == me.name]
    take = tuple(account for account in mine if account not in view.avoided)
    if take:
        return Decision(take=take)
    return Decision(give_up=_accounts_to_give_up(view, me, targets, len(assigned)))


def target_loads(count: int, members: Collection[ClusterMember]) -> Mapping[str, int]:
    """Returns how many of `count` accounts each instance should run, by its name."""
    by_limit = sorted(members, key=lambda member: _limit_of(member, count))
    targets: dict[str, int] = {}
    remaining = count
    while by_limit and _limit_of(by_limit[0], count) <= remaining // len(by_limit):
        limited = by_limit.pop(0)
        targets[limited.name] = _limit_of(limited, count)
        remaining -= targets[limited.name]
    for index, member in enumerate(sorted(by_limit, key=lambda member: (-member.load, member.name))):
        share, rest = divmod(remaining, len(by_limit))
        targets[member.name] = share + (index < rest)
    return targets


def _limit_of(member: ClusterMember, count: int) -> int:
    if member.is_draining:
        return 0
    return count if member.max_accounts is None else min(member.max_accounts, count)


def _assign_free(view: ClusterView, me: ClusterMember, targets: Mapping[str, int]) -> dict[str, str]:
    """Returns which instance takes each free account, without those for which nobody has room."""
    loads = {member.name: member.load for member in view.members}
    limits = {member.name: _take_limit(view, member, targets) for member in view.members}
    assigned: dict[str, str] = {}
    for account in view.free:
        candidates = [name for name in loads if loads[name] < limits[name]]
        if not candidates:
            break
        is_mine = account in view.neglected and me.name in candidates
        instance = me.name if is_mine else min(candidates, key=lambda name: (loads[name], name))
        loads[instance] += 1
        assigned[account] = instance
    return assigned


def _take_limit(view: ClusterView, member: ClusterMember, targets: Mapping[str, int]) -> int:
    count = len(view.accounts)
    active = sum(not other.is_draining for other in view.members)
    fair = max(-(-count // active), targets[member.name]) if active else 0
    return min(_limit_of(member, count), fair + EXTRA_ACCOUNTS)


def _accounts_to_give_up(
    view: ClusterView, me: ClusterMember, targets: Mapping[str, int], taken_count: int
) -> tuple[str, ...]:
    staying = sorted(me.accounts - view.leaving)
    excess = len(staying) - targets[me.name]
    is_over_limit = len(staying) > _limit_of(me, len(view.accounts))
    is_needed = any(member.load < targets[member.name] for member in view.members)
    if excess <= 0 or not (is_needed or is_over_limit):
        return ()
    under_way = taken_count + len(view.leaving)
    at_once = min(excess, max(1, int(excess * MOVES_AT_ONCE_RATIO)) - under_way)
    return tuple(staying[-at_once:]) if at_once > 0 else ()
