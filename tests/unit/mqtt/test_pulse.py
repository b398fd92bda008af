"""Signs of life: a quiet broker is asked, a dead one is seen in time, a busy one is left in peace."""

from __future__ import annotations

import pytest

from wx2mqtt.mqtt.pulse import Pulse, Sign


def check(pulse, now, *, heard=0.0, sent=0.0, drained=0.0, asked=-1.0):
    return pulse.check(now, heard=heard, sent=sent, drained=drained, asked=asked)


def test_a_broker_that_spoke_lately_is_left_in_peace():
    assert check(Pulse(30), 14.9) is Sign.WAIT


def test_silence_for_half_the_keepalive_asks_once():
    assert check(Pulse(30), 15) is Sign.PING
    assert check(Pulse(30), 16, asked=15.0) is Sign.WAIT


def test_who_only_listens_speaks_before_the_broker_loses_patience():
    """A stream of deliveries at QoS 0 is no packet of ours; the broker counts those."""
    assert check(Pulse(30), 100, heard=99.9, sent=85.0) is Sign.PING


def test_an_answer_ends_the_question():
    assert check(Pulse(30), 17, heard=16, asked=15.0, sent=15.0) is Sign.WAIT
    assert check(Pulse(30), 31, heard=16, asked=15.0, sent=15.0) is Sign.PING


@pytest.mark.parametrize("keepalive", [1, 2, 5, 10, 30, 60, 600])
def test_a_dead_broker_is_seen_within_one_and_a_half_keepalives(keepalive):
    pulse, now, asked = Pulse(keepalive), 0.0, -1.0
    while (sign := check(pulse, now, asked=asked, sent=max(asked, 0.0))) is not Sign.DEAD:
        asked = now if sign is Sign.PING else asked
        now += pulse.interval
    assert asked > 0
    assert now - asked > keepalive * 0.5
    assert now <= keepalive * 1.5


def test_a_large_packet_on_a_slow_line_is_a_sign_of_life():
    assert check(Pulse(30), 200, heard=0, drained=190, asked=15.0) is Sign.WAIT
    assert check(Pulse(30), 230, heard=0, drained=190, asked=15.0) is Sign.DEAD
