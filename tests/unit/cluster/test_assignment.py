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


def member(name: str, owned: set[str], limit: int | None = None, *, draining: bool = False) -> ClusterMember:
    return ClusterMember(name=name, accounts=frozenset(owned), max_accounts=limit, is_draining=draining)


def view(name: str, count: int, *members: ClusterMember, **more: Any) -> ClusterView:
    return ClusterView(name=name, accounts=accounts(count), members=members, **more)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[int, list[ClusterMember]]:
    """A number of accounts, and instances with limits that own some of the accounts."""
    count = draw(st.integers(0, 40))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    owners = [draw(st.sampled_from([None, *names])) for _ in range(count)]
    owned: dict[str, set[str]] = {name: set() for name in names}
    for account, owner in zip(accounts(count), owners, strict=True):
        if owner is not None:
            owned[owner].add(account)
    limits = st.one_of(st.none(), st.integers(0, 45))
    return count, [member(name, owned[name], draw(limits), draining=draw(st.booleans())) for name in names]


def decisions(count: int, members: list[ClusterMember], groups: Groups = ()) -> Mapping[str, Decision]:
    return {item.name: decide(view(item.name, count, *members, groups=groups)) for item in members}


def play(count: int, members: list[ClusterMember], groups: Groups = ()) -> tuple[list[ClusterMember], int]:
    """Lets all instances act on what they see until nothing changes; returns them and the moves needed."""
    moves = 0
    for _ in range(20 * count + 20):
        made = decisions(count, members, groups)
        if not any(decision.take or decision.give_up for decision in made.values()):
            return members, moves
        moves += sum(len(decision.give_up) for decision in made.values())
        members = [
            member(
                item.name,
                (set(item.accounts) | set(made[item.name].take)) - set(made[item.name].give_up),
                item.max_accounts,
                draining=item.is_draining,
            )
            for item in members
        ]
    raise AssertionError("the instances never rest")


@given(clusters())
def test_two_instances_that_see_the_same_never_want_the_same_account(cluster):
    count, members = cluster
    taken = [name for decision in decisions(count, members).values() for name in decision.take]
    owned = [name for item in members for name in item.accounts]
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(owned)


@given(clusters())
def test_an_instance_gives_up_only_what_it_runs_and_never_while_it_takes(cluster):
    count, members = cluster
    made = decisions(count, members)
    for item in members:
        decision = made[item.name]
        assert set(decision.give_up) <= item.accounts
        assert not (decision.take and decision.give_up)


@given(clusters())
def test_no_instance_takes_more_than_its_limit_or_its_share_and_one(cluster):
    count, members = cluster
    active = [item for item in members if not item.is_draining]
    made = decisions(count, members)
    for item in active:
        load = item.load + len(made[item.name].take)
        if made[item.name].take:
            fair = max(-(-count // len(active)), target_loads(count, members)[item.name])
            assert load <= fair + 1
            assert item.max_accounts is None or load <= item.max_accounts


@given(clusters())
def test_in_the_end_everything_runs_and_evenly_and_nothing_moves_any_more(cluster):
    count, members = cluster
    rested, _ = play(count, members)
    active = [item for item in rested if not item.is_draining]
    room = sum(min(count, count if item.max_accounts is None else item.max_accounts) for item in active)
    assert sum(item.load for item in active) == min(count, room)
    assert all(item.load == 0 for item in rested if item.is_draining)
    free_loads = [item.load for item in active if item.max_accounts is None]
    if free_loads:
        assert max(free_loads) - min(free_loads) <= 1
        assert all(item.load <= max(free_loads) + 1 for item in active)


@given(st.integers(0, 60), st.integers(1, 4))
def test_an_instance_that_joins_costs_no_more_moves_than_it_gets_accounts(count, running):
    names = NAMES[:running]
    owned = {name: set(accounts(count)[index::running]) for index, name in enumerate(names)}
    rested, moves = play(count, [*(member(name, owned[name]) for name in names), member("new", set())])
    assert rested[-1].load >= count // (running + 1)
    assert moves == rested[-1].load


def test_one_account_at_a_time_moves_to_an_instance_that_joins():
    both = member("one", {"a000", "a001", "a002", "a003"}), member("two", set())
    assert decide(view("one", 4, *both)) == Decision(give_up=("a003",))
    assert decide(view("one", 4, *both, giving_up=frozenset({"a003"}))) == Decision()
    moving = member("one", {"a000", "a001", "a002"}), member("two", set())
    assert decide(view("one", 4, *moving)) == Decision()
    assert decide(view("two", 4, *moving)) == Decision(take=("a003",))


def test_of_hundreds_an_eighth_of_what_is_too_much_moves_at_once():
    decision = decide(view("one", 400, member("one", set(accounts(400))), member("two", set())))
    assert len(decision.give_up) == 25


def test_a_neglected_account_is_taken_by_an_instance_whose_turn_it_is_not():
    members = member("busy", {"a000"}), member("idle", set())
    assert decide(view("busy", 2, *members)) == Decision()
    neglected = view("busy", 2, *members, neglected=frozenset({"a001"}))
    assert decide(neglected) == Decision(take=("a001",))


def test_an_account_that_could_not_be_begun_is_left_to_others():
    alone = view("one", 1, member("one", set()), avoided=frozenset({"a000"}))
    assert decide(alone) == Decision()


def test_an_instance_above_its_limit_gives_up_although_nobody_has_room():
    assert decide(view("one", 3, member("one", set(accounts(3)), 2))) == Decision(give_up=("a002",))


def test_who_is_not_among_the_live_instances_does_nothing():
    assert decide(view("one", 3, member("two", set()))) == Decision()


# Accounts that are each other's fallback


@st.composite
def groups_of(draw: st.DrawFn, count: int) -> Groups:
    """Some accounts in groups of two or three."""
    names = draw(st.permutations(accounts(count)))
    groups: list[frozenset[str]] = []
    while len(names) > 1 and draw(st.booleans()):
        size = draw(st.integers(2, 3))
        group, names = frozenset(names[:size]), names[size:]
        groups.append(group)
    return tuple(groups)


def together(unit: frozenset[str], members: list[ClusterMember]) -> bool:
    """Whether one instance runs all of it, or nobody any."""
    parts = [unit & item.accounts for item in members if unit & item.accounts]
    return not parts or parts == [unit]


@given(clusters(), st.data())
def test_in_the_end_each_group_runs_on_one_instance_or_not_at_all(cluster, data):
    count, members = cluster
    groups = data.draw(groups_of(count))
    rested, _ = play(count, members, groups)
    assert all(together(group, rested) for group in groups)
    active = [item for item in rested if not item.is_draining]
    assert all(item.max_accounts is None or item.load <= item.max_accounts for item in active)
    if any(item.max_accounts is None for item in active):
        assert sum(item.load for item in active) == count


@given(clusters(), st.data())
def test_what_runs_together_is_never_taken_in_parts_from_a_free_group(cluster, data):
    count, members = cluster
    groups = data.draw(groups_of(count))
    owned = frozenset[str]().union(*(item.accounts for item in members))
    for decision in decisions(count, members, groups).values():
        for group in groups:
            if not group & owned:
                assert group & set(decision.take) in (frozenset(), group)


PAIR = (frozenset({"a000", "a001"}),)


def test_a_group_is_taken_as_a_whole_although_it_is_more_than_a_share():
    both = member("one", set()), member("two", set())
    assert decide(view("one", 2, *both, groups=PAIR)) == Decision(take=("a000", "a001"))
    assert decide(view("two", 2, *both, groups=PAIR)) == Decision()


def test_a_group_for_which_nobody_has_room_stays_where_nobody_runs_it():
    alone = member("one", set(), 1)
    assert decide(view("one", 3, alone, groups=PAIR)) == Decision(take=("a002",))


def test_a_group_moves_as_a_whole_and_only_where_it_is_too_much():
    groups = (*PAIR, frozenset({"a002", "a003"}))
    busy = member("one", {"a000", "a001", "a002", "a003"}), member("two", set())
    assert decide(view("one", 4, *busy, groups=groups)) == Decision(give_up=("a002", "a003"))
    even = member("one", {"a000", "a001"}), member("two", set())
    assert decide(view("one", 2, *even, groups=PAIR)) == Decision()


def test_parts_of_a_group_come_together_where_the_largest_is():
    groups = (frozenset({"a000", "a001", "a002"}),)
    apart = member("one", {"a000", "a001"}), member("two", {"a002"})
    assert decide(view("one", 3, *apart, groups=groups)) == Decision()
    assert decide(view("two", 3, *apart, groups=groups)) == Decision(give_up=("a002",))
    freed = member("one", {"a000", "a001"}), member("two", set())
    assert decide(view("one", 3, *freed, groups=groups)) == Decision(take=("a002",))
    assert decide(view("two", 3, *freed, groups=groups)) == Decision()


def test_one_that_cannot_be_begun_takes_its_group_to_an_instance_that_may():
    avoided = frozenset({"a001"})
    part = member("one", {"a000"})
    assert decide(view("one", 2, part, groups=PAIR, avoided=avoided)) == Decision()
    other = member("two", set())
    assert decide(view("one", 2, part, other, groups=PAIR, avoided=avoided)) == Decision(give_up=("a000",))


def test_a_group_that_is_being_given_up_is_not_taken_back():
    moving = view("one", 2, member("one", {"a000"}), groups=PAIR, giving_up=frozenset({"a000"}))
    assert decide(moving) == Decision()
