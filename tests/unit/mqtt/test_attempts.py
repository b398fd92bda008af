"""Where and when to connect next: one behaviour each, with a clock and dice that the test holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.mqtt.addresses import read_url
from wx2mqtt.mqtt.attempts import GOOD, NEAR_CAP, STANDBY, End, Ended, Pause, Plan, end_of

A, B, C = (read_url(f"mqtt://{name}") for name in "abc")
HIGH = 0.999999


def ended(end, **more):
    return Ended(end=end, reason="because", **more)


def follow(plan, *ends, now=0.0, chance=HIGH):
    """The plan after these ends, and the seconds waited after each."""
    waits = []
    for each in ends:
        plan, pause = plan.after(each if isinstance(each, Ended) else ended(each), now, chance)
        waits.append(pause.seconds)
    return plan, waits


def test_mqtt_5_comes_first():
    assert Plan(addresses=(A,)).attempt.protocol == "5"
    assert Plan(addresses=(A,), wanted="5").attempt.protocol == "5"
    assert Plan(addresses=(A,), wanted="3.1.1").attempt.protocol == "3.1.1"


def test_a_refused_version_is_followed_by_the_older_one_at_once_and_remembered_for_this_url():
    plan, pause = Plan(addresses=(A, B)).after(ended(End.VERSION), 0.0, HIGH)
    assert pause == Pause(0.0, silent=True)
    assert (plan.attempt.address, plan.attempt.protocol) == (A, "3.1.1")
    plan, _ = follow(plan, End.LOST, End.UNREACHABLE)
    assert (plan.attempt.address, plan.attempt.protocol) == (A, "3.1.1")
    plan, _ = follow(plan, End.UNREACHABLE)
    assert (plan.attempt.address, plan.attempt.protocol) == (B, "5")


@pytest.mark.parametrize("end", sorted(set(End) - {End.VERSION}))
def test_nothing_but_a_refusal_of_the_version_leads_to_the_older_one(end):
    plan, _ = follow(Plan(addresses=(A,)), *[end] * 10)
    assert plan.attempt.protocol == "5"


def test_a_version_that_was_set_is_not_changed_and_its_refusal_is_not_repeated_quickly():
    plan, waits = follow(Plan(addresses=(A,), wanted="5"), End.VERSION)
    assert plan.attempt.protocol == "5"
    assert waits[0] > 30


def test_a_broker_that_refuses_the_older_version_too_is_asked_with_mqtt_5_again():
    plan, waits = follow(Plan(addresses=(A,)), End.VERSION, End.VERSION)
    assert plan.attempt.protocol == "5"
    assert waits[1] > 30


def test_waits_double_up_to_half_a_minute():
    _, waits = follow(Plan(addresses=(A,)), *[End.UNREACHABLE] * 9)
    assert [round(wait, 3) for wait in waits] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(st.floats(0, 0.999), st.integers(1, 20))
def test_there_is_jitter_and_never_a_hammering(chance, failures):
    _, waits = follow(Plan(addresses=(A,)), *[End.UNREACHABLE] * failures, chance=chance)
    assert all(0.25 <= wait <= 30 for wait in waits)


def test_a_broker_nearby_is_found_again_within_two_seconds_of_its_return():
    away = ended(End.UNREACHABLE, near=True)
    _, waits = follow(Plan(addresses=(A,)), *[away] * 50)
    assert max(waits) <= NEAR_CAP


def test_a_good_connection_that_breaks_is_tried_again_soon_at_the_same_broker():
    plan, _ = follow(Plan(addresses=(A, B)), *[End.UNREACHABLE] * 20)
    plan, waits = follow(plan, ended(End.LOST, stood=GOOD))
    assert plan.attempt.address == A
    assert waits[0] <= 0.5


def test_a_connection_that_breaks_at_once_again_and_again_is_no_reason_to_hurry():
    _, waits = follow(Plan(addresses=(A,)), *[ended(End.LOST, stood=0.1)] * 8)
    assert waits[-1] > 20


def test_a_server_that_goes_away_is_left_for_the_next_of_the_list_at_once():
    plan, waits = follow(Plan(addresses=(A, B)), ended(End.LOST, stood=1000, leaving=True))
    assert (plan.attempt.address, waits) == (B, [0.0])


def test_the_list_is_gone_through_without_waiting_and_then_with_a_wait():
    plan, waits = follow(Plan(addresses=(A, B, C)), *[End.UNREACHABLE] * 6)
    assert plan.attempt.address == A
    assert [wait > 0 for wait in waits] == [False, False, True] * 2


def test_bad_credentials_are_tried_again_slowly():
    _, waits = follow(Plan(addresses=(A,)), *[End.CREDENTIALS] * 5, chance=0.0)
    assert waits == [30, 60, 120, 150, 150]
    _, waits = follow(Plan(addresses=(A,)), *[End.CREDENTIALS] * 5)
    assert waits[-1] <= 300


def test_to_be_taken_over_once_is_answered_by_coming_back():
    plan, pause = Plan(addresses=(A,)).after(ended(End.TAKEN_OVER, stood=100), 0.0, HIGH)
    assert (pause.standby, pause.seconds <= 0.5) == (False, True)
    _, pause = plan.after(ended(End.TAKEN_OVER, stood=61), 61.0, HIGH)
    assert not pause.standby


def test_to_be_taken_over_twice_within_a_minute_means_to_stand_by():
    plan, _ = Plan(addresses=(A,)).after(ended(End.TAKEN_OVER), 0.0, HIGH)
    plan, pause = plan.after(ended(End.TAKEN_OVER), 59.0, HIGH)
    assert pause == Pause(STANDBY, standby=True)
    again, pause = plan.after(ended(End.TAKEN_OVER), 59.0 + STANDBY + 1, HIGH)
    assert pause.standby, "to be thrown out again at once is enough"
    _, pause = again.after(ended(End.TAKEN_OVER), 59.0 + 3 * STANDBY, HIGH)
    assert not pause.standby


def test_another_server_is_followed_at_once_and_only_this_time():
    plan, pause = Plan(addresses=(A,)).after(ended(End.MOVED, references=(B, C)), 0.0, HIGH)
    assert (plan.attempt.address, pause.seconds) == (B, 0.0)
    plan, _ = follow(plan, End.UNREACHABLE)
    assert plan.attempt.address == C
    plan, waits = follow(plan, End.UNREACHABLE)
    assert plan.attempt.address == A
    assert waits[0] > 0


def test_a_server_that_has_moved_for_good_is_not_asked_again():
    plan, _ = follow(Plan(addresses=(A, C)), ended(End.MOVED, references=(B,), for_good=True))
    assert plan.addresses == (B, C)


def test_two_servers_that_send_us_to_and_fro_do_not_make_us_spin():
    plan, waits = Plan(addresses=(A,)), []
    for _ in range(20):
        other = B if plan.attempt.address == A else A
        plan, pause = plan.after(ended(End.MOVED, references=(other,)), 0.0, HIGH)
        waits.append(pause.seconds)
    assert sum(wait > 0 for wait in waits) >= 3


def test_a_move_without_an_address_is_a_failure_like_others():
    plan, waits = follow(Plan(addresses=(A, B)), End.MOVED, End.MOVED)
    assert plan.attempt.address == A
    assert waits[1] > 0


def test_a_broker_without_retained_messages_gets_a_will_that_is_not_retained():
    plan, pause = Plan(addresses=(A,)).after(ended(End.RETAIN), 0.0, HIGH)
    assert (plan.attempt.retained_will, pause) == (False, Pause(0.0, silent=True))
    _, waits = follow(plan, End.RETAIN)
    assert waits[0] > 30


@pytest.mark.parametrize(
    ("code", "stood", "end"),
    [
        (0x84, False, End.VERSION),
        (0x84, True, End.LOST),
        (0x86, False, End.CREDENTIALS),
        (0x87, True, End.CREDENTIALS),
        (0x88, False, End.UNREACHABLE),
        (0x8E, True, End.TAKEN_OVER),
        (0x9A, False, End.RETAIN),
        (0x9A, True, End.LOST),
        (0x9B, False, End.UNFIT),
        (0x9C, False, End.MOVED),
        (0x9D, True, End.MOVED),
        (0x00, True, End.LOST),
        (0xEE, False, End.UNREACHABLE),
    ],
)
def test_a_reason_code_comes_to_this(code, stood, end):
    assert end_of(code, stood=stood) is end


ENDS = st.builds(
    Ended,
    end=st.sampled_from(End),
    reason=st.just("x"),
    stood=st.sampled_from([0.0, 1.0, 100.0]),
    near=st.booleans(),
    leaving=st.booleans(),
    references=st.sampled_from([(), (B,), (C, A)]),
    for_good=st.booleans(),
)


@given(st.lists(ENDS, max_size=60), st.sampled_from(["auto", "5", "3.1.1"]), st.floats(0, 0.999))
def test_whatever_happens_there_is_a_next_try_and_no_endless_run_without_a_wait(ends, wanted, chance):
    plan, without = Plan(addresses=(A, B), wanted=wanted), 0
    for now, each in enumerate(ends):
        plan, pause = plan.after(each, float(now), chance)
        assert plan.attempt.protocol in {"5", "3.1.1"}
        assert 0 <= pause.seconds <= STANDBY
        without = 0 if pause.seconds or each.stood >= GOOD else without + 1
        assert without <= 20
