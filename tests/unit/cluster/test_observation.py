"""An instance observes the others: which are silent or gone, and which accounts no instance runs."""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.cluster.assignment import ClusterView
from wx2mqtt.cluster.observation import (
    GONE_SECONDS,
    LEASE_SECONDS,
    MAX_GAP_SECONDS,
    NEGLECTED_SECONDS,
    SILENT_SECONDS,
    InstanceRow,
    Observer,
    Snapshot,
    members_of,
)

ROW = InstanceRow(
    name="other",
    pid=7,
    has_session=True,
    heartbeat="1",
    age=0.0,
    is_of_this_server=True,
    version="1",
    url="",
    max_accounts=None,
    is_draining=False,
    configuration="",
)
STEP_SECONDS = 1.0


def snapshot(*rows: InstanceRow, locks: dict[str, int] | None = None) -> Snapshot:
    return Snapshot(instances=rows, lock_holders=locks or {})


def observe(
    observer: Observer, row: InstanceRow, begin: float, seconds: float, *, has_lease: bool = True
) -> float:
    """Passes the same row to the observer every second; returns the time of the last call."""
    now = begin
    while now <= begin + seconds:
        observer.update(snapshot(row), [], now, has_lease=has_lease)
        now += STEP_SECONDS
    return now - STEP_SECONDS


def test_an_unchanged_heartbeat_makes_an_instance_silent_whatever_its_time_says():
    observer = Observer()
    observe(observer, replace(ROW, age=9000.0), 100.0, SILENT_SECONDS - STEP_SECONDS)
    assert observer.silent == ()
    observe(observer, ROW, 100.0 + SILENT_SECONDS, 0)
    assert list(observer.silent) == [ROW]


def test_a_new_heartbeat_starts_the_time_until_an_instance_is_silent_again():
    observer = Observer()
    now = observe(observer, ROW, 100.0, SILENT_SECONDS - STEP_SECONDS)
    now = observe(observer, replace(ROW, heartbeat="2"), now + STEP_SECONDS, SILENT_SECONDS - STEP_SECONDS)
    assert observer.silent == ()


def test_an_observer_that_was_suspended_counts_no_instance_as_silent():
    observer = Observer()
    now = observe(observer, ROW, 100.0, STEP_SECONDS)
    observe(observer, ROW, now + MAX_GAP_SECONDS + SILENT_SECONDS, STEP_SECONDS)
    assert observer.silent == ()


def test_an_observer_whose_own_heartbeats_are_not_stored_counts_no_instance_as_silent():
    observer = Observer()
    now = observe(observer, ROW, 100.0, 2 * SILENT_SECONDS, has_lease=False)
    observe(observer, ROW, now + STEP_SECONDS, SILENT_SECONDS - 2 * STEP_SECONDS)
    assert observer.silent == ()


def test_an_instance_without_a_session_is_gone_and_forgotten_later():
    without_session = replace(ROW, has_session=False)
    observer = Observer()
    observer.update(snapshot(without_session), [], 100.0, has_lease=True)
    assert (observer.silent, observer.forgotten, observer.must_wait) == ((), (), False)
    observer.update(snapshot(without_session), [], 100.0 + GONE_SECONDS, has_lease=True)
    assert list(observer.forgotten) == [without_session]


def test_after_a_restart_of_the_server_the_lease_of_a_lost_instance_is_waited_for():
    lost = replace(ROW, has_session=False, is_of_this_server=False)
    observer = Observer()
    observe(observer, lost, 100.0, LEASE_SECONDS - STEP_SECONDS)
    assert observer.must_wait
    observe(observer, lost, 100.0 + LEASE_SECONDS, 0)
    assert not observer.must_wait


def test_an_instance_that_has_come_back_is_not_waited_for():
    observer = Observer()
    observer.update(
        snapshot(replace(ROW, has_session=False, is_of_this_server=False)), [], 100.0, has_lease=True
    )
    observer.update(snapshot(ROW), [], 101.0, has_lease=True)
    assert not observer.must_wait


def test_a_free_account_is_neglected_after_a_while_until_an_instance_takes_it():
    observer = Observer()
    observer.update(snapshot(), ["a"], 100.0, has_lease=True)
    assert observer.neglected(100.0 + NEGLECTED_SECONDS - 0.1) == frozenset()
    assert observer.neglected(100.0 + NEGLECTED_SECONDS) == {"a"}
    observer.update(snapshot(), [], 101.0, has_lease=True)
    observer.update(snapshot(), ["a"], 104.0, has_lease=True)
    assert observer.neglected(105.0) == frozenset()


def test_a_view_says_who_runs_what_and_keeps_locks_of_unknown_sessions_occupied():
    mine = replace(ROW, name="me", pid=8, max_accounts=5)
    members = members_of(snapshot(ROW, mine, locks={"a": 8, "b": 7, "c": 99}))
    assert {item.name: set(item.accounts) for item in members} == {
        "me": {"a"},
        "other": {"b"},
        "?": {"c"},
    }
    assert ClusterView(name="me", accounts=("a", "b", "c", "d"), members=members).free == [frozenset({"d"})]
    assert {item.name: item.max_accounts for item in members} == {"me": 5, "other": None, "?": 0}
