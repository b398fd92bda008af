"""Which accounts an instance takes and gives up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.cluster.assignment import ClusterMember, ClusterView, Decision, decide, target_loads

NAMES = ("one", "two", "three", "four", "five")

Groups = Sequence[frozenset[str]]


def accounts(count: int) -> list[str]:
    return [f"a{number:03}" for number in range(count)]


def make_member(
    name: str, owned: set[str], limit: int | None = None, *, draining: bool = False
) -> ClusterMember:
    return ClusterMember(name=name, accounts=frozenset(owned), max_accounts=limit, is_draining=draining)


def make_view(name: str, count: int, *members: ClusterMember, **more: Any) -> ClusterView:
    return ClusterView(name=name, accounts=accounts(count), members=members, **more)


@st.composite
def cluster_states(draw: st.DrawFn) -> tuple[int, list[ClusterMember]]:
    """Draws a number of accounts, and instances with limits that own some of these accounts."""
    count = draw(st.integers(0, 40))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    owners = [draw(st.sampled_from([None, *names])) for _ in range(count)]
    owned: dict[str, set[str]] = {name: set() for name in names}
    for account, owner in zip(accounts(count), owners, strict=True):
        if owner is not None:
            owned[owner].add(account)
    limits = st.one_of(st.none(), st.integers(0, 45))
    return count, [
        make_member(name, owned[name], draw(limits), draining=draw(st.booleans())) for name in names
    ]


def decisions(count: int, members: list[ClusterMember], groups: Groups = ()) -> Mapping[str, Decision]:
    return {item.name: decide(make_view(item.name, count, *members, groups=groups)) for item in members}


def run_until_stable(
    count: int, members: list[ClusterMember], groups: Groups = ()
) -> tuple[list[ClusterMember], int]:
    """Lets all instances act on their decisions until nothing changes.

    Returns the instances, and how many accounts were given up on the way.
    """
    moves = 0
    for _ in range(20 * count + 20):
        decided = decisions(count, members, groups)
        if not any(decision.take or decision.give_up for decision in decided.values()):
            return members, moves
        moves += sum(len(decision.give_up) for decision in decided.values())
        members = [
            make_member(
                item.name,
                (set(item.accounts) | set(decided[item.name].take)) - set(decided[item.name].give_up),
                item.max_accounts,
                draining=item.is_draining,
            )
            for item in members
        ]
    raise AssertionError("the instances never stop to move accounts")


@given(cluster_states())
def test_two_instances_that_see_the_same_never_want_the_same_account(cluster):
    count, members = cluster
    taken_accounts = [name for decision in decisions(count, members).values() for name in decision.take]
    owned = [name for item in members for name in item.accounts]
    assert len(taken_accounts) == len(set(taken_accounts))
    assert not set(taken_accounts) & set(owned)


@given(cluster_states())
def test_an_instance_gives_up_only_what_it_runs_and_never_while_it_takes(cluster):
    count, members = cluster
    decided = decisions(count, members)
    for item in members:
        decision = decided[item.name]
        assert set(decision.give_up) <= item.accounts
        assert not (decision.take and decision.give_up)


@given(cluster_states())
def test_no_instance_takes_more_than_its_limit_or_its_share_and_one(cluster):
    count, members = cluster
    active = [item for item in members if not item.is_draining]
    decided = decisions(count, members)
    for item in active:
        load = item.load + len(decided[item.name].take)
        if decided[item.name].take:
            fair = max(-(-count // len(active)), target_loads(count, members)[item.name])
            assert load <= fair + 1
            assert item.max_accounts is None or load <= item.max_accounts


@given(cluster_states())
def test_in_the_end_all_accounts_run_evenly_and_none_moves_any_more(cluster):
    count, members = cluster
    stable, _ = run_until_stable(count, members)
    active = [item for item in stable if not item.is_draining]
    room = sum(min(count, count if item.max_accounts is None else item.max_accounts) for item in active)
    assert sum(item.load for item in active) == min(count, room)
    assert all(item.load == 0 for item in stable if item.is_draining)
    free_loads = [item.load for item in active if item.max_accounts is None]
    if free_loads:
        assert max(free_loads) - min(free_loads) <= 1
        assert all(item.load <= max(free_loads) + 1 for item in active)


@given(st.integers(0, 60), st.integers(1, 4))
def test_when_an_instance_joins_only_the_accounts_move_that_it_gets(count, running):
    names = NAMES[:running]
    owned = {name: set(accounts(count)[index::running]) for index, name in enumerate(names)}
    stable, moves = run_until_stable(
        count, [*(make_member(name, owned[name]) for name in names), make_member("new", set())]
    )
    assert stable[-1].load >= count // (running + 1)
    assert moves == stable[-1].load


def test_one_account_at_a_time_moves_to_an_instance_that_joins():
    both = make_member("one", {"a000", "a001", "a002", "a003"}), make_member("two", set())
    assert decide(make_view("one", 4, *both)) == Decision(give_up=("a003",))
    assert decide(make_view("one", 4, *both, giving_up=frozenset({"a003"}))) == Decision()
    moving = make_member("one", {"a000", "a001", "a002"}), make_member("two", set())
    assert decide(make_view("one", 4, *moving)) == Decision()
    assert decide(make_view("two", 4, *moving)) == Decision(take=("a003",))


def test_of_hundreds_of_accounts_an_eighth_of_the_excess_moves_at_once():
    decision = decide(
        make_view("one", 400, make_member("one", set(accounts(400))), make_member("two", set()))
    )
    assert len(decision.give_up) == 25


def test_a_neglected_account_is_taken_by_an_instance_whose_turn_it_is_not():
    members = make_member("busy", {"a000"}), make_member("idle", set())
    assert decide(make_view("busy", 2, *members)) == Decision()
    neglected = make_view("busy", 2, *members, neglected=frozenset({"a001"}))
    assert decide(neglected) == Decision(take=("a001",))


def test_an_account_that_could_not_be_started_here_is_left_to_other_instances():
    alone = make_view("one", 1, make_member("one", set()), avoided=frozenset({"a000"}))
    assert decide(alone) == Decision()


def test_an_instance_above_its_limit_gives_up_although_nobody_has_room():
    assert decide(make_view("one", 3, make_member("one", set(accounts(3)), 2))) == Decision(give_up=("a002",))


def test_an_instance_that_is_not_among_the_live_ones_does_nothing():
    assert decide(make_view("one", 3, make_member("two", set()))) == Decision()


# Accounts that are each other's fallback


@st.composite
def account_groups(draw: st.DrawFn, count: int) -> Groups:
    """Draws groups of two or three accounts."""
    names = draw(st.permutations(accounts(count)))
    groups: list[frozenset[str]] = []
    while len(names) > 1 and draw(st.booleans()):
        size = draw(st.integers(2, 3))
        group, names = frozenset(names[:size]), names[size:]
        groups.append(group)
    return tuple(groups)


def runs_as_a_whole(unit: frozenset[str], members: list[ClusterMember]) -> bool:
    """Returns whether one instance runs all accounts of a group, or no instance runs any."""
    parts = [unit & item.accounts for item in members if unit & item.accounts]
    return not parts or parts == [unit]


@given(cluster_states(), st.data())
def test_in_the_end_each_group_runs_on_one_instance_or_not_at_all(cluster, data):
    count, members = cluster
    groups = data.draw(account_groups(count))
    stable, _ = run_until_stable(count, members, groups)
    assert all(runs_as_a_whole(group, stable) for group in groups)
    active = [item for item in stable if not item.is_draining]
    assert all(item.max_accounts is None or item.load <= item.max_accounts for item in active)
    if any(item.max_accounts is None for item in active):
        assert sum(item.load for item in active) == count


@given(cluster_states(), st.data())
def test_a_group_that_no_instance_runs_is_never_taken_in_parts(cluster, data):
    count, members = cluster
    groups = data.draw(account_groups(count))
    owned = frozenset[str]().union(*(item.accounts for item in members))
    for decision in decisions(count, members, groups).values():
        for group in groups:
            if not group & owned:
                assert group & set(decision.take) in (frozenset(), group)


PAIR = (frozenset({"a000", "a001"}),)


def test_a_group_is_taken_as_a_whole_although_it_is_more_than_a_share():
    both = make_member("one", set()), make_member("two", set())
    assert decide(make_view("one", 2, *both, groups=PAIR)) == Decision(take=("a000", "a001"))
    assert decide(make_view("two", 2, *both, groups=PAIR)) == Decision()


def test_a_group_that_exceeds_every_limit_is_not_taken():
    alone = make_member("one", set(), 1)
    assert decide(make_view("one", 3, alone, groups=PAIR)) == Decision(take=("a002",))


def test_a_group_moves_as_a_whole_and_only_from_an_instance_with_too_many_accounts():
    groups = (*PAIR, frozenset({"a002", "a003"}))
    busy = make_member("one", {"a000", "a001", "a002", "a003"}), make_member("two", set())
    assert decide(make_view("one", 4, *busy, groups=groups)) == Decision(give_up=("a002", "a003"))
    even = make_member("one", {"a000", "a001"}), make_member("two", set())
    assert decide(make_view("one", 2, *even, groups=PAIR)) == Decision()


def test_parts_of_a_group_move_to_the_instance_with_the_largest_part():
    groups = (frozenset({"a000", "a001", "a002"}),)
    apart = make_member("one", {"a000", "a001"}), make_member("two", {"a002"})
    assert decide(make_view("one", 3, *apart, groups=groups)) == Decision()
    assert decide(make_view("two", 3, *apart, groups=groups)) == Decision(give_up=("a002",))
    freed = make_member("one", {"a000", "a001"}), make_member("two", set())
    assert decide(make_view("one", 3, *freed, groups=groups)) == Decision(take=("a002",))
    assert decide(make_view("two", 3, *freed, groups=groups)) == Decision()


def test_a_group_leaves_an_instance_that_cannot_start_one_of_its_accounts():
    avoided = frozenset({"a001"})
    part = make_member("one", {"a000"})
    assert decide(make_view("one", 2, part, groups=PAIR, avoided=avoided)) == Decision()
    other = make_member("two", set())
    assert decide(make_view("one", 2, part, other, groups=PAIR, avoided=avoided)) == Decision(
        give_up=("a000",)
    )


def test_a_group_that_is_being_given_up_is_not_taken_back():
    moving = make_view("one", 2, make_member("one", {"a000"}), groups=PAIR, giving_up=frozenset({"a000"}))
    assert decide(moving) == Decision()
