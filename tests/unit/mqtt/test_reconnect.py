"""Where and when to connect next; the tests set the clock and the random number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.mqtt.reconnect import (
    MAX_LOCAL_DELAY_SECONDS,
    MAX_REDIRECTS,
    STABLE_CONNECTION_SECONDS,
    STANDBY_SECONDS,
    ConnectionEnd,
    Delay,
    EndReason,
    ReconnectPolicy,
    end_reason,
)

A, B, C = (parse_broker_url(f"mqtt://{name}") for name in "abc")
HIGH = 0.999999


def ended(end, **more):
    return ConnectionEnd(end=end, reason="because", **more)


def follow(policy, *ends, now=0.0, chance=HIGH):
    """Returns the policy after these ends, and the delay after each in seconds."""
    delays = []
    for each in ends:
        policy, delay = policy.after(each if isinstance(each, ConnectionEnd) else ended(each), now, chance)
        delays.append(delay.seconds)
    return policy, delays


def test_mqtt_5_comes_first():
    assert ReconnectPolicy(addresses=(A,)).target.protocol == "5"
    assert ReconnectPolicy(addresses=(A,), protocol="5").target.protocol == "5"
    assert ReconnectPolicy(addresses=(A,), protocol="3.1.1").target.protocol == "3.1.1"


def test_a_refused_version_is_followed_by_the_older_one_at_once_and_remembered_for_this_url():
    policy, delay = ReconnectPolicy(addresses=(A, B)).after(ended(EndReason.VERSION), 0.0, HIGH)
    assert delay == Delay(0.0, silent=True)
    assert (policy.target.address, policy.target.protocol) == (A, "3.1.1")
    policy, _ = follow(policy, EndReason.LOST, EndReason.UNREACHABLE)
    assert (policy.target.address, policy.target.protocol) == (A, "3.1.1")
    policy, _ = follow(policy, EndReason.UNREACHABLE)
    assert (policy.target.address, policy.target.protocol) == (B, "5")


@every_row("end", sorted(set(EndReason) - {EndReason.VERSION}))
def test_nothing_but_a_refusal_of_the_version_leads_to_the_older_one(end):
    policy, _ = follow(ReconnectPolicy(addresses=(A,)), *[end] * 10)
    assert policy.target.protocol == "5"


def test_a_version_that_was_set_is_not_changed_and_its_refusal_is_not_repeated_quickly():
    policy, delays = follow(ReconnectPolicy(addresses=(A,), protocol="5"), EndReason.VERSION)
    assert policy.target.protocol == "5"
    assert delays[0] > 30


def test_a_broker_that_refuses_the_older_version_too_is_asked_with_mqtt_5_again():
    policy, delays = follow(ReconnectPolicy(addresses=(A,)), EndReason.VERSION, EndReason.VERSION)
    assert policy.target.protocol == "5"
    assert delays[1] > 30


def test_waits_double_up_to_half_a_minute():
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[EndReason.UNREACHABLE] * 9)
    assert [round(wait, 3) for wait in delays] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(st.floats(0, 0.999), st.integers(1, 20))
def test_delays_have_jitter_and_are_never_too_short(chance, failures):
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[EndReason.UNREACHABLE] * failures, chance=chance)
    assert all(0.25 <= wait <= 30 for wait in delays)


def test_a_broker_nearby_is_found_again_within_two_seconds_of_its_return():
    away = ended(EndReason.UNREACHABLE, is_local=True)
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[away] * 50)
    assert max(delays) <= MAX_LOCAL_DELAY_SECONDS


def test_a_good_connection_that_breaks_is_tried_again_soon_at_the_same_broker():
    policy, _ = follow(ReconnectPolicy(addresses=(A, B)), *[EndReason.UNREACHABLE] * 20)
    policy, delays = follow(policy, ended(EndReason.LOST, connected_seconds=STABLE_CONNECTION_SECONDS))
    assert policy.target.address == A
    assert delays[0] <= 0.5


def test_a_connection_that_breaks_at_once_again_and_again_is_no_reason_to_hurry():
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[ended(EndReason.LOST, connected_seconds=0.1)] * 8)
    assert delays[-1] > 20


def test_a_server_that_goes_away_is_left_for_the_next_of_the_list_at_once():
    policy, delays = follow(
        ReconnectPolicy(addresses=(A, B)), ended(EndReason.LOST, connected_seconds=1000, server_leaving=True)
    )
    assert (policy.target.address, delays) == (B, [0.0])


def test_the_list_is_gone_through_without_waiting_and_then_with_a_wait():
    policy, delays = follow(ReconnectPolicy(addresses=(A, B, C)), *[EndReason.UNREACHABLE] * 6)
    assert policy.target.address == A
    assert [wait > 0 for wait in delays] == [False, False, True] * 2


def test_bad_credentials_are_tried_again_slowly():
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[EndReason.CREDENTIALS] * 5, chance=0.0)
    assert delays == [30, 60, 120, 150, 150]
    _, delays = follow(ReconnectPolicy(addresses=(A,)), *[EndReason.CREDENTIALS] * 5)
    assert delays[-1] <= 300


def test_to_be_taken_over_once_is_answered_by_coming_back():
    policy, delay = ReconnectPolicy(addresses=(A,)).after(
        ended(EndReason.TAKEN_OVER, connected_seconds=100), 0.0, HIGH
    )
    assert (delay.standby, delay.seconds <= 0.5) == (False, True)
    _, delay = policy.after(ended(EndReason.TAKEN_OVER, connected_seconds=61), 61.0, HIGH)
    assert not delay.standby


def test_to_be_taken_over_twice_within_a_minute_means_to_stand_by():
    policy, _ = ReconnectPolicy(addresses=(A,)).after(ended(EndReason.TAKEN_OVER), 0.0, HIGH)
    policy, delay = policy.after(ended(EndReason.TAKEN_OVER), 59.0, HIGH)
    assert delay == Delay(STANDBY_SECONDS, standby=True)
    again, delay = policy.after(ended(EndReason.TAKEN_OVER), 59.0 + STANDBY_SECONDS + 1, HIGH)
    assert delay.standby, "to be thrown out again at once is enough"
    _, delay = again.after(ended(EndReason.TAKEN_OVER), 59.0 + 3 * STANDBY_SECONDS, HIGH)
    assert not delay.standby


def test_another_server_is_followed_at_once_and_only_this_time():
    policy, delay = ReconnectPolicy(addresses=(A,)).after(
        ended(EndReason.MOVED, references=(B, C)), 0.0, HIGH
    )
    assert (policy.target.address, delay.seconds) == (B, 0.0)
    policy, _ = follow(policy, EndReason.UNREACHABLE)
    assert policy.target.address == C
    policy, delays = follow(policy, EndReason.UNREACHABLE)
    assert policy.target.address == A
    assert delays[0] > 0


def test_a_server_that_has_moved_for_good_is_not_asked_again():
    policy, _ = follow(
        ReconnectPolicy(addresses=(A, C)), ended(EndReason.MOVED, references=(B,), permanent=True)
    )
    assert policy.addresses == (B, C)


def test_two_servers_that_send_us_to_and_fro_do_not_make_us_spin():
    policy, delays = ReconnectPolicy(addresses=(A,)), []
    for _ in range(20):
        other = B if policy.target.address == A else A
        policy, delay = policy.after(ended(EndReason.MOVED, references=(other,)), 0.0, HIGH)
        delays.append(delay.seconds)
    assert sum(wait > 0 for wait in delays) >= 3


def test_redirects_are_followed_again_after_a_long_delay():
    policy, moved = ReconnectPolicy(addresses=(A,)), ended(EndReason.MOVED, references=(B,))
    for _ in range(MAX_REDIRECTS + 1):
        policy, (before_redirect, after_refusal) = follow(policy, moved, EndReason.CREDENTIALS)
        assert (before_redirect, after_refusal > 30) == (0.0, True)


def test_a_move_without_an_address_is_a_failure_like_others():
    policy, delays = follow(ReconnectPolicy(addresses=(A, B)), EndReason.MOVED, EndReason.MOVED)
    assert policy.target.address == A
    assert delays[1] > 0


def test_a_broker_without_retained_messages_gets_a_will_that_is_not_retained():
    policy, delay = ReconnectPolicy(addresses=(A,)).after(ended(EndReason.RETAIN), 0.0, HIGH)
    assert (policy.target.will_may_be_retained, delay) == (False, Delay(0.0, silent=True))
    _, delays = follow(policy, EndReason.RETAIN)
    assert delays[0] > 30


@every_row(
    ("code", "was_connected", "end"),
    [
        (0x84, False, EndReason.VERSION),
        (0x84, True, EndReason.LOST),
        (0x86, False, EndReason.CREDENTIALS),
        (0x87, True, EndReason.CREDENTIALS),
        (0x88, False, EndReason.UNREACHABLE),
        (0x8E, True, EndReason.TAKEN_OVER),
        (0x9A, False, EndReason.RETAIN),
        (0x9A, True, EndReason.LOST),
        (0x9B, False, EndReason.UNFIT),
        (0x9C, False, EndReason.MOVED),
        (0x9D, True, EndReason.MOVED),
        (0x00, True, EndReason.LOST),
        (0xEE, False, EndReason.UNREACHABLE),
    ],
)
def test_each_reason_code_leads_to_its_end_reason(code, was_connected, end):
    assert end_reason(code, was_connected=was_connected) is end


ENDS = st.builds(
    ConnectionEnd,
    end=st.sampled_from(EndReason),
    reason=st.just("x"),
    connected_seconds=st.sampled_from([0.0, 1.0, 100.0]),
    is_local=st.booleans(),
    server_leaving=st.booleans(),
    references=st.sampled_from([(), (B,), (C, A)]),
    permanent=st.booleans(),
)


@given(st.lists(ENDS, max_size=60), st.sampled_from(["auto", "5", "3.1.1"]), st.floats(0, 0.999))
def test_whatever_happens_there_is_a_next_try_and_no_endless_run_without_a_wait(ends, wanted, chance):
    policy, without = ReconnectPolicy(addresses=(A, B), protocol=wanted), 0
    for now, each in enumerate(ends):
        policy, delay = policy.after(each, float(now), chance)
        assert policy.target.protocol in {"5", "3.1.1"}
        assert 0 <= delay.seconds <= STANDBY_SECONDS
        without = 0 if delay.seconds or each.connected_seconds >= STABLE_CONNECTION_SECONDS else without + 1
        assert without <= 20
