"""Guessing is slowed down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.web import Hand
from wx2mqtt.web.tries import ADDRESSES, FORGOTTEN, FREE, LONGEST, Tries


def wrong(tries, address, count):
    for _ in range(count):
        tries.wrong(address)


def test_the_first_wrong_tries_cost_nothing_and_the_fifth_a_wait_that_doubles():
    tries = Tries(Hand())
    wrong(tries, "a", FREE - 1)
    assert tries.wait("a") == 0
    waits = []
    for _ in range(10):
        tries.wrong("a")
        waits.append(tries.wait("a"))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, LONGEST, LONGEST]


def test_an_address_waits_for_itself_only():
    tries = Tries(Hand())
    wrong(tries, "192.0.2.1", 20)
    assert tries.wait("192.0.2.1") > 0
    assert tries.wait("192.0.2.2") == 0


def test_whoever_has_one_ipv6_address_has_its_whole_network():
    tries = Tries(Hand())
    for last in range(FREE):
        tries.wrong(f"2001:db8::{last + 1:x}")
    assert tries.wait("2001:db8::ffff") > 0
    assert tries.wait("2001:db8:0:1::1") == 0


def test_the_wait_ends_and_the_next_wrong_try_costs_more():
    clock = Hand()
    tries = Tries(clock)
    wrong(tries, "a", FREE)
    clock.now += 2
    assert tries.wait("a") == 0
    tries.wrong("a")
    assert tries.wait("a") == 4


def test_the_right_word_and_time_make_forget():
    clock = Hand()
    tries = Tries(clock)
    wrong(tries, "a", FREE + 5)
    tries.right("a")
    wrong(tries, "a", FREE - 1)
    assert tries.wait("a") == 0
    clock.now += FORGOTTEN + 1
    tries.wrong("a")
    assert tries.wait("a") == 0


def test_attackers_without_end_do_not_fill_the_memory():
    tries = Tries(Hand())
    for number in range(ADDRESSES + 500):
        tries.wrong(f"10.{number // 256}.0.{number % 256}")
    assert len(tries._records) == ADDRESSES


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 400)), max_size=60))
def test_a_wait_is_never_longer_than_the_longest(steps):
    clock = Hand()
    tries = Tries(clock)
    for address, later in steps:
        clock.now += later
        tries.wrong(address)
        assert 0 <= tries.wait(address) <= LONGEST
