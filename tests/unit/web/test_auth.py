"""Sessions, passwords, bearer tokens, and the throttle for wrong ones."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.support.web import FakeClock, options
from wx2mqtt.web.auth import (
    FAILURE_MEMORY_SECONDS,
    FREE_ATTEMPTS,
    MAX_ADDRESSES,
    MAX_SESSIONS,
    MAX_WAIT_SECONDS,
    SESSION_SECONDS,
    AuthDecision,
    Authenticator,
    FailureThrottle,
)

HERE, THERE = "192.0.2.1", "192.0.2.2"


def new_authenticator(clock=None, **more):
    return Authenticator(options(**{"password": "秘密 pass", "token": "t0ken", **more}), clock or FakeClock())


def decision_for(authenticator, *, session="", token=None, address=HERE):
    return authenticator.authenticate(session_key=session, token=token, address=address).decision


def test_without_a_password_everybody_is_welcome():
    authenticator = Authenticator(options(token="t0ken"), FakeClock())
    assert decision_for(authenticator) is AuthDecision.ALLOWED
    assert decision_for(authenticator, token="wrong") is AuthDecision.ALLOWED


def test_with_a_password_a_stranger_is_refused():
    assert decision_for(new_authenticator()) is AuthDecision.ANONYMOUS
    assert decision_for(new_authenticator(), session="guessed") is AuthDecision.ANONYMOUS


def test_the_password_begins_a_session_that_counts_until_it_ends():
    authenticator = new_authenticator()
    result = authenticator.log_in("秘密 pass", HERE)
    assert result.decision is AuthDecision.ALLOWED
    assert decision_for(authenticator, session=result.session_key) is AuthDecision.ALLOWED
    assert decision_for(authenticator, session=result.session_key, address=THERE) is AuthDecision.ALLOWED
    authenticator.log_out(result.session_key)
    assert decision_for(authenticator, session=result.session_key) is AuthDecision.ANONYMOUS


def test_a_session_is_over_after_its_time():
    clock = FakeClock()
    authenticator = new_authenticator(clock)
    session = authenticator.log_in("秘密 pass", HERE).session_key
    clock.now += SESSION_SECONDS - 1
    assert decision_for(authenticator, session=session) is AuthDecision.ALLOWED
    clock.now += 1
    assert decision_for(authenticator, session=session) is AuthDecision.ANONYMOUS


def test_of_too_many_sessions_the_oldest_ends():
    authenticator = new_authenticator()
    keys = [authenticator.log_in("秘密 pass", HERE).session_key for _ in range(MAX_SESSIONS + 1)]
    assert len(set(keys)) == MAX_SESSIONS + 1
    assert decision_for(authenticator, session=keys[0]) is AuthDecision.ANONYMOUS
    assert decision_for(authenticator, session=keys[1]) is AuthDecision.ALLOWED


@every_row("guess", ["", "秘密", "秘密 pass ", "t0ken", "\udcff", "x" * 10_000])
def test_no_other_password_begins_a_session(guess):
    assert new_authenticator().log_in(guess, HERE).decision is AuthDecision.WRONG_SECRET


def test_the_token_opens_and_another_does_not():
    assert decision_for(new_authenticator(), token="t0ken") is AuthDecision.ALLOWED
    assert decision_for(new_authenticator(), token="秘密 pass") is AuthDecision.WRONG_SECRET
    assert decision_for(new_authenticator(), token="") is AuthDecision.WRONG_SECRET


def test_where_there_is_no_token_none_opens():
    assert decision_for(new_authenticator(token=""), token="") is AuthDecision.WRONG_SECRET
    assert decision_for(new_authenticator(token=""), token="t0ken") is AuthDecision.WRONG_SECRET


def test_after_five_wrong_tries_not_even_the_right_word_is_taken_until_the_wait_is_over():
    clock = FakeClock()
    authenticator = new_authenticator(clock)
    for _ in range(FREE_ATTEMPTS):
        assert authenticator.log_in("wrong", HERE).decision is AuthDecision.WRONG_SECRET
    result = authenticator.log_in("秘密 pass", HERE)
    assert result.decision is AuthDecision.THROTTLED
    assert result.wait_seconds == 2
    assert authenticator.log_in("秘密 pass", THERE).decision is AuthDecision.ALLOWED
    clock.now += 2
    assert authenticator.log_in("秘密 pass", HERE).decision is AuthDecision.ALLOWED


def test_tries_while_waiting_do_not_make_it_longer():
    clock = FakeClock()
    authenticator = new_authenticator(clock)
    for _ in range(FREE_ATTEMPTS + 50):
        authenticator.log_in("wrong", HERE)
    assert authenticator.log_in("wrong", HERE).wait_seconds == 2


def test_a_script_with_an_old_token_does_not_lock_the_owner_out():
    authenticator = new_authenticator()
    for _ in range(FREE_ATTEMPTS + 1):
        decision = decision_for(authenticator, token="old")
    assert decision is AuthDecision.THROTTLED
    assert authenticator.log_in("秘密 pass", HERE).decision is AuthDecision.ALLOWED


def test_a_session_that_stands_is_not_slowed_down_by_others_at_its_address():
    authenticator = new_authenticator()
    session = authenticator.log_in("秘密 pass", HERE).session_key
    for _ in range(FREE_ATTEMPTS + 1):
        authenticator.log_in("wrong", HERE)
    assert decision_for(authenticator, session=session) is AuthDecision.ALLOWED


def test_words_are_compared_in_constant_time_and_at_one_length(monkeypatch):
    lengths, real = [], hmac.compare_digest

    def compare(left, right):
        lengths.append((len(left), len(right)))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    authenticator = new_authenticator()
    authenticator.log_in("x", HERE)
    authenticator.log_in("x" * 500, HERE)
    decision_for(authenticator, token="y")
    assert lengths == [(32, 32)] * 3


def test_what_holds_secrets_does_not_show_them():
    with_secrets = options(password="geheim", token="t0ken")
    assert "geheim" not in repr(with_secrets)
    assert "t0ken" not in repr(with_secrets)


def wrong(throttle, address, count):
    for _ in range(count):
        throttle.record_failure(address)


def test_the_first_wrong_tries_cost_nothing_and_the_fifth_a_wait_that_doubles():
    throttle = FailureThrottle(FakeClock())
    wrong(throttle, "a", FREE_ATTEMPTS - 1)
    assert throttle.remaining_wait("a") == 0
    waits = []
    for _ in range(10):
        throttle.record_failure("a")
        waits.append(throttle.remaining_wait("a"))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS]


def test_an_address_waits_for_itself_only():
    throttle = FailureThrottle(FakeClock())
    wrong(throttle, "192.0.2.1", 20)
    assert throttle.remaining_wait("192.0.2.1") > 0
    assert throttle.remaining_wait("192.0.2.2") == 0


def test_whoever_has_one_ipv6_address_has_its_whole_network():
    throttle = FailureThrottle(FakeClock())
    for last in range(FREE_ATTEMPTS):
        throttle.record_failure(f"2001:db8::{last + 1:x}")
    assert throttle.remaining_wait("2001:db8::ffff") > 0
    assert throttle.remaining_wait("2001:db8:0:1::1") == 0


def test_the_wait_ends_and_the_next_wrong_try_costs_more():
    clock = FakeClock()
    throttle = FailureThrottle(clock)
    wrong(throttle, "a", FREE_ATTEMPTS)
    clock.now += 2
    assert throttle.remaining_wait("a") == 0
    throttle.record_failure("a")
    assert throttle.remaining_wait("a") == 4


def test_failures_are_forgotten_after_a_success_and_after_some_time():
    clock = FakeClock()
    throttle = FailureThrottle(clock)
    wrong(throttle, "a", FREE_ATTEMPTS + 5)
    throttle.record_success("a")
    wrong(throttle, "a", FREE_ATTEMPTS - 1)
    assert throttle.remaining_wait("a") == 0
    clock.now += FAILURE_MEMORY_SECONDS + 1
    throttle.record_failure("a")
    assert throttle.remaining_wait("a") == 0


def test_attackers_without_end_do_not_fill_the_memory():
    throttle = FailureThrottle(FakeClock())
    for number in range(MAX_ADDRESSES + 500):
        throttle.record_failure(f"10.{number // 256}.0.{number % 256}")
    assert len(throttle._records) == MAX_ADDRESSES


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 400)), max_size=60))
def test_a_wait_is_never_longer_than_the_longest(steps):
    clock = FakeClock()
    throttle = FailureThrottle(clock)
    for address, later in steps:
        clock.now += later
        throttle.record_failure(address)
        assert 0 <= throttle.remaining_wait(address) <= MAX_WAIT_SECONDS
