"""Subscriptions: all at once, and what was refused again later, alone."""

from __future__ import annotations

from wx2mqtt.mqtt.subscribing import AGAIN, Subscribing


class Broker:
    def __init__(self):
        self.asked = []

    def __call__(self, filters):
        self.asked.append(tuple(filters))
        return len(self.asked)


def test_all_filters_go_in_one_packet():
    broker = Broker()
    Subscribing(("a", "b"), broker).start()
    assert broker.asked == [("a", "b")]


def test_the_answer_says_what_was_refused():
    subscribing = Subscribing(("a", "b", "c"), Broker())
    subscribing.start()
    assert subscribing.answered(1, [1, 0x87, 0], 0.0)
    assert subscribing.refused == ("b",)


def test_an_answer_that_nobody_asked_for_is_none():
    subscribing = Subscribing(("a",), Broker())
    subscribing.start()
    assert not subscribing.answered(9, [1], 0.0)


def test_a_filter_without_a_code_counts_as_refused():
    subscribing = Subscribing(("a", "b"), Broker())
    subscribing.start()
    assert subscribing.answered(1, [1], 0.0)
    assert subscribing.refused == ("b",)


def test_only_what_was_refused_is_asked_again_and_not_before_its_time():
    broker = Broker()
    subscribing = Subscribing(("a", "b"), broker)
    subscribing.start()
    subscribing.answered(1, [1, 0x80], 0.0)
    subscribing.retry(AGAIN - 1)
    assert len(broker.asked) == 1
    subscribing.retry(AGAIN)
    subscribing.retry(AGAIN + 1)
    assert broker.asked[1:] == [("b",)]
    subscribing.answered(2, [1], AGAIN + 2)
    assert subscribing.refused == ()
    subscribing.retry(3 * AGAIN)
    assert len(broker.asked) == 2
