"""Keepalive: a quiet broker gets a PINGREQ, a dead one is noticed in time, a busy one is not disturbed."""

from __future__ import annotations

import pytest

from wx2mqtt.mqtt.keepalive import KeepAlive, KeepAliveAction


def check(keepalive, now, *, received=0.0, sent=0.0, drained=0.0, pinged=-1.0):
    return keepalive.check(now, received=received, sent=sent, drained=drained, pinged=pinged)


def test_a_broker_that_spoke_lately_is_left_in_peace():
    assert check(KeepAlive(30), 14.9) is KeepAliveAction.WAIT


def test_silence_for_half_the_keepalive_asks_once():
    assert check(KeepAlive(30), 15) is KeepAliveAction.PING
    assert check(KeepAlive(30), 16, pinged=15.0) is KeepAliveAction.WAIT


def test_who_only_listens_speaks_before_the_broker_loses_patience():
    """A stream of deliveries at QoS 0 is no packet of ours; the broker counts those."""
    assert check(KeepAlive(30), 100, received=99.9, sent=85.0) is KeepAliveAction.PING


def test_an_answer_ends_the_question():
    assert check(KeepAlive(30), 17, received=16, pinged=15.0, sent=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 31, received=16, pinged=15.0, sent=15.0) is KeepAliveAction.PING


@pytest.mark.parametrize("keepalive", [1, 2, 5, 10, 30, 60, 600])
def test_a_dead_broker_is_seen_within_one_and_a_half_keepalives(keepalive):
    values = KeepAlive(keepalive)
    now = 0.0
    pinged = -1.0
    while (action := check(values, now, pinged=pinged, sent=max(pinged, 0.0))) is not KeepAliveAction.DEAD:
        pinged = now if action is KeepAliveAction.PING else pinged
        now += values.interval
    assert pinged > 0
    assert now - pinged > keepalive * 0.5
    assert now <= keepalive * 1.5


def test_a_large_packet_on_a_slow_line_is_a_sign_of_life():
    assert check(KeepAlive(30), 200, received=0, drained=190, pinged=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 230, received=0, drained=190, pinged=15.0) is KeepAliveAction.DEAD
