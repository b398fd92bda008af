"""The watchdog says which loops have not sent a heartbeat in time."""

from __future__ import annotations

from functools import partial

from wx2mqtt.bridge.context import Watchdog


def test_a_loop_is_stuck_when_its_own_deadline_has_passed_and_well_when_it_moves_again():
    now = 0.0
    watchdog = Watchdog(lambda: now)
    watchdog.heartbeat("receive", 10)
    watchdog.heartbeat("store", 60)
    now = 10.0
    assert watchdog.overdue() == ()
    now = 10.1
    assert watchdog.overdue() == ("receive",)
    watchdog.heartbeat("receive", 10)
    assert watchdog.overdue() == ()
    now = 100.0
    assert watchdog.overdue() == ("receive", "store")


def test_an_idle_loop_is_never_overdue():
    now = 0.0
    watchdog = Watchdog(lambda: now)
    watchdog.heartbeat("receive", 10)
    watchdog.idle("receive")
    watchdog.idle("receive")
    now = 1000.0
    assert watchdog.overdue() == ()


def test_a_watched_loop_says_itself_when_it_is_overdue():
    now, due = 0.0, 5.0
    watchdog = Watchdog(lambda: now)
    watchdog.watch("broker", lambda: due)
    now = 5.1
    assert watchdog.overdue() == ("broker",)
    due = 20.0
    assert watchdog.overdue() == ()


def test_the_loops_of_one_account_are_asked_for_and_forgotten_alone():
    now = 0.0
    watchdog = Watchdog(lambda: now)
    watchdog.heartbeat("receive:home", 10)
    watchdog.heartbeat("receive:home_2", 10)
    watchdog.watch("broker:home", lambda: 5.0)
    now = 100.0
    assert watchdog.overdue("home") == ("receive:home", "broker:home")
    assert watchdog.overdue("home_2") == ("receive:home_2",)
    watchdog.remove("home")
    assert watchdog.overdue("home") == ()
    assert watchdog.overdue() == ("receive:home_2",)


def test_a_look_at_one_account_looks_at_no_other():
    """Each account checks its loops every few seconds, and there may be many accounts."""
    watchdog = Watchdog(lambda: 10.0)
    asked: list[str] = []

    def deadline(name: str) -> float:
        asked.append(name)
        return 5.0

    for name in ("home", "work"):
        watchdog.watch(f"broker:{name}", partial(deadline, name))
    assert watchdog.overdue("home") == ("broker:home",)
    assert asked == ["home"]
    assert watchdog.overdue() == ("broker:home", "broker:work")
