"""Who may come in."""

from __future__ import annotations

import hmac

import pytest

from tests.support.web import Hand, options
from wx2mqtt.web.access import Access, Verdict
from wx2mqtt.web.sessions import LASTS, MOST
from wx2mqtt.web.tries import FREE

HERE, THERE = "192.0.2.1", "192.0.2.2"


def access(clock=None, **more):
    return Access(options(**{"password": "秘密 pass", "token": "t0ken", **more}), clock or Hand())


def visit(door, *, session="", token=None, address=HERE):
    return door.visit(session=session, token=token, address=address).verdict


def test_without_a_password_everybody_is_welcome():
    door = Access(options(token="t0ken"), Hand())
    assert visit(door) is Verdict.WELCOME
    assert visit(door, token="wrong") is Verdict.WELCOME


def test_with_one_a_stranger_is_not():
    assert visit(access()) is Verdict.STRANGER
    assert visit(access(), session="guessed") is Verdict.STRANGER


def test_the_password_begins_a_session_that_counts_until_it_ends():
    door = access()
    judged = door.log_in("秘密 pass", HERE)
    assert judged.verdict is Verdict.WELCOME
    assert visit(door, session=judged.session) is Verdict.WELCOME
    assert visit(door, session=judged.session, address=THERE) is Verdict.WELCOME
    door.log_out(judged.session)
    assert visit(door, session=judged.session) is Verdict.STRANGER


def test_a_session_is_over_after_its_time():
    clock = Hand()
    door = access(clock)
    session = door.log_in("秘密 pass", HERE).session
    clock.now += LASTS - 1
    assert visit(door, session=session) is Verdict.WELCOME
    clock.now += 1
    assert visit(door, session=session) is Verdict.STRANGER


def test_of_too_many_sessions_the_oldest_ends():
    door = access()
    keys = [door.log_in("秘密 pass", HERE).session for _ in range(MOST + 1)]
    assert len(set(keys)) == MOST + 1
    assert visit(door, session=keys[0]) is Verdict.STRANGER
    assert visit(door, session=keys[1]) is Verdict.WELCOME


@pytest.mark.parametrize("guess", ["", "秘密", "秘密 pass ", "t0ken", "\udcff", "x" * 10_000])
def test_no_other_word_does(guess):
    assert access().log_in(guess, HERE).verdict is Verdict.WRONG


def test_the_token_opens_and_another_does_not():
    assert visit(access(), token="t0ken") is Verdict.WELCOME
    assert visit(access(), token="秘密 pass") is Verdict.WRONG
    assert visit(access(), token="") is Verdict.WRONG


def test_where_there_is_no_token_none_opens():
    assert visit(access(token=""), token="") is Verdict.WRONG
    assert visit(access(token=""), token="t0ken") is Verdict.WRONG


def test_after_five_wrong_tries_not_even_the_right_word_is_taken_until_the_wait_is_over():
    clock = Hand()
    door = access(clock)
    for _ in range(FREE):
        assert door.log_in("wrong", HERE).verdict is Verdict.WRONG
    judged = door.log_in("秘密 pass", HERE)
    assert judged.verdict is Verdict.TOO_OFTEN
    assert judged.wait == 2
    assert door.log_in("秘密 pass", THERE).verdict is Verdict.WELCOME
    clock.now += 2
    assert door.log_in("秘密 pass", HERE).verdict is Verdict.WELCOME


def test_tries_while_waiting_do_not_make_it_longer():
    clock = Hand()
    door = access(clock)
    for _ in range(FREE + 50):
        door.log_in("wrong", HERE)
    assert door.log_in("wrong", HERE).wait == 2


def test_a_script_with_an_old_token_does_not_lock_the_owner_out():
    door = access()
    for _ in range(FREE + 1):
        verdict = visit(door, token="old")
    assert verdict is Verdict.TOO_OFTEN
    assert door.log_in("秘密 pass", HERE).verdict is Verdict.WELCOME


def test_a_session_that_stands_is_not_slowed_down_by_others_at_its_address():
    door = access()
    session = door.log_in("秘密 pass", HERE).session
    for _ in range(FREE + 1):
        door.log_in("wrong", HERE)
    assert visit(door, session=session) is Verdict.WELCOME


def test_words_are_compared_in_constant_time_and_at_one_length(monkeypatch):
    lengths, real = [], hmac.compare_digest

    def compare(one, other):
        lengths.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    door = access()
    door.log_in("x", HERE)
    door.log_in("x" * 500, HERE)
    visit(door, token="y")
    assert lengths == [(32, 32)] * 3


def test_what_holds_secrets_does_not_show_them():
    told = options(password="geheim", token="t0ken")
    assert "geheim" not in repr(told)
    assert "t0ken" not in repr(told)
