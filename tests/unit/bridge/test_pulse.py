"""Who moved in time (DESIGN 4.3)."""

from __future__ import annotations

from wx2mqtt.bridge.pulse import Pulse


def test_a_loop_is_stuck_when_its_own_deadline_has_passed_and_well_when_it_moves_again():
    now = 0.0
    pulse = Pulse(lambda: now)
    pulse.beat("receive", 10)
    pulse.beat("store", 60)
    now = 10.0
    assert pulse.stuck() == ()
    now = 10.1
    assert pulse.stuck() == ("receive",)
    pulse.beat("receive", 10)
    assert pulse.stuck() == ()
    now = 100.0
    assert pulse.stuck() == ("receive", "store")


def test_who_rests_owes_nothing():
    now = 0.0
    pulse = Pulse(lambda: now)
    pulse.beat("receive", 10)
    pulse.rest("receive")
    pulse.rest("receive")
    now = 1000.0
    assert pulse.stuck() == ()


def test_a_loop_that_knows_itself_is_asked():
    now, due = 0.0, 5.0
    pulse = Pulse(lambda: now)
    pulse.watch("broker", lambda: due)
    now = 5.1
    assert pulse.stuck() == ("broker",)
    due = 20.0
    assert pulse.stuck() == ()


def test_the_loops_of_one_account_are_asked_for_and_forgotten_alone():
    now = 0.0
    pulse = Pulse(lambda: now)
    pulse.beat("receive:home", 10)
    pulse.beat("receive:home_2", 10)
    pulse.watch("broker:home", lambda: 5.0)
    now = 100.0
    assert pulse.stuck("home") == ("receive:home", "broker:home")
    assert pulse.stuck("home_2") == ("receive:home_2",)
    pulse.forget("home")
    assert pulse.stuck("home") == ()
    assert pulse.stuck() == ("receive:home_2",)
