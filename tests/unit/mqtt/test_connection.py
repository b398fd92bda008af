"""Signs of life: a quiet broker is asked, a dead one is seen in time, a busy one is left in peace.

Subscriptions: all at once, and what was refused again later, alone.
"""

from __future__ import annotations

import pytest

from wx2mqtt.mqtt.connection import REFUSED_FILTER_RETRY_SECONDS, KeepAlive, KeepAliveAction, Subscriptions


def check(pulse, now, *, heard=0.0, sent=0.0, drained=0.0, asked=-1.0):
    return pulse.check(now, received=heard, sent=sent, drained=drained, pinged=asked)


def test_a_broker_that_spoke_lately_is_left_in_peace():
    assert check(KeepAlive(30), 14.9) is KeepAliveAction.WAIT


def test_silence_for_half_the_keepalive_asks_once():
    assert check(KeepAlive(30), 15) is KeepAliveAction.PING
    assert check(KeepAlive(30), 16, asked=15.0) is KeepAliveAction.WAIT


def test_who_only_listens_speaks_before_the_broker_loses_patience():
    """A stream of deliveries at QoS 0 is no packet of ours; the broker counts those."""
    assert check(KeepAlive(30), 100, heard=99.9, sent=85.0) is KeepAliveAction.PING


def test_an_answer_ends_the_question():
    assert check(KeepAlive(30), 17, heard=16, asked=15.0, sent=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 31, heard=16, asked=15.0, sent=15.0) is KeepAliveAction.PING


@pytest.mark.parametrize("keepalive", [1, 2, 5, 10, 30, 60, 600])
def test_a_dead_broker_is_seen_within_one_and_a_half_keepalives(keepalive):
    pulse, now, asked = KeepAlive(keepalive), 0.0, -1.0
    while (sign := check(pulse, now, asked=asked, sent=max(asked, 0.0))) is not KeepAliveAction.DEAD:
        asked = now if sign is KeepAliveAction.PING else asked
        now += pulse.interval
    assert asked > 0
    assert now - asked > keepalive * 0.5
    assert now <= keepalive * 1.5


def test_a_large_packet_on_a_slow_line_is_a_sign_of_life():
    assert check(KeepAlive(30), 200, heard=0, drained=190, asked=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 230, heard=0, drained=190, asked=15.0) is KeepAliveAction.DEAD


class Broker:
    def __init__(self):
        self.asked = []

    def __call__(self, filters):
        self.asked.append(tuple(filters))
        return len(self.asked)


def test_all_filters_go_in_one_packet():
    broker = Broker()
    Subscriptions(("a", "b"), broker).start()
    assert broker.asked == [("a", "b")]


def test_the_answer_says_what_was_refused():
    subscribing = Subscriptions(("a", "b", "c"), Broker())
    subscribing.start()
    assert subscribing.on_suback(1, [1, 0x87, 0], 0.0)
    assert subscribing.refused_filters == ("b",)


def test_an_answer_that_nobody_asked_for_is_none():
    subscribing = Subscriptions(("a",), Broker())
    subscribing.start()
    assert not subscribing.on_suback(9, [1], 0.0)


def test_a_filter_without_a_code_counts_as_refused():
    subscribing = Subscriptions(("a", "b"), Broker())
    subscribing.start()
    assert subscribing.on_suback(1, [1], 0.0)
    assert subscribing.refused_filters == ("b",)


def test_only_what_was_refused_is_asked_again_and_not_before_its_time():
    broker = Broker()
    subscribing = Subscriptions(("a", "b"), broker)
    subscribing.start()
    subscribing.on_suback(1, [1, 0x80], 0.0)
    subscribing.retry_refused(REFUSED_FILTER_RETRY_SECONDS - 1)
    assert len(broker.asked) == 1
    subscribing.retry_refused(REFUSED_FILTER_RETRY_SECONDS)
    subscribing.retry_refused(REFUSED_FILTER_RETRY_SECONDS + 1)
    assert broker.asked[1:] == [("b",)]
    subscribing.on_suback(2, [1], REFUSED_FILTER_RETRY_SECONDS + 2)
    assert subscribing.refused_filters == ()
    subscribing.retry_refused(3 * REFUSED_FILTER_RETRY_SECONDS)
    assert len(broker.asked) == 2
