"""Each unacknowledged publish gets one answer, whatever happens; refused filters are tried again later."""

from __future__ import annotations

from functools import partial

from structlog.testing import capture_logs

from tests.support.rows import every_row
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.unacked import (
    PUBACK_TIMEOUT_SECONDS,
    REFUSED_FILTER_RETRY_SECONDS,
    Subscriptions,
    UnackedPublishes,
)


class RecordingCallback:
    def __init__(self):
        self.answers = []

    def __call__(self, error):
        self.answers.append(error)


def test_an_acknowledged_publish_is_reported_once():
    unacked = UnackedPublishes(100)
    callback = RecordingCallback()
    unacked.add(1, callback, 0.0)
    unacked.finish(1, None)
    unacked.finish(1, None)
    unacked.close()
    assert callback.answers == [None]


def test_a_refusal_reaches_the_one_who_published():
    unacked = UnackedPublishes(100)
    callback = RecordingCallback()
    unacked.add(1, callback, 0.0)
    refusal = PublishRefused("no", code=0x87)
    unacked.finish(1, refusal)
    assert callback.answers == [refusal]


def test_the_end_of_the_connection_fails_all_in_the_order_of_sending():
    unacked = UnackedPublishes(100)
    order = []

    def callback(mid, error):
        order.append((mid, type(error)))

    for mid in (3, 1, 2):
        unacked.add(mid, partial(callback, mid), 0.0)
    unacked.close()
    unacked.close()
    assert order == [(3, ConnectionDropped), (1, NotConnected), (2, NotConnected)]


@every_row(("broker", "size"), [(1, 1), (3, 3), (4, 3), (20, 18), (100, 92), (65535, 65527)])
def test_a_part_of_receive_maximum_is_reserved_for_what_is_never_acknowledged(broker, size):
    assert UnackedPublishes(broker).size == size


def test_a_publish_that_is_never_acknowledged_is_given_back_and_the_others_wait_on():
    unacked = UnackedPublishes(20)
    unacknowledged = RecordingCallback()
    new = RecordingCallback()
    unacked.add(1, unacknowledged, 0.0)
    unacked.add(2, new, 1.0)
    assert unacked.fail_overdue(PUBACK_TIMEOUT_SECONDS - 0.1)
    assert unacknowledged.answers == []
    assert unacked.fail_overdue(PUBACK_TIMEOUT_SECONDS)
    (refusal,) = unacknowledged.answers
    assert isinstance(refusal, PublishRefused)
    assert (refusal.code, refusal.too_large) == (0, False)
    assert new.answers == []
    unacked.finish(1, None)
    assert len(unacknowledged.answers) == 1


def test_a_late_acknowledgement_frees_its_packet_id():
    unacked = UnackedPublishes(4)
    for mid in (1, 2, 3):
        unacked.add(mid, RecordingCallback(), 0.0)
        assert unacked.fail_overdue(PUBACK_TIMEOUT_SECONDS)
        assert mid in unacked.ids_in_use
        unacked.finish(mid, None)
        assert mid not in unacked.ids_in_use


def test_too_many_that_are_never_acknowledged_end_the_connection():
    unacked = UnackedPublishes(4)
    unacked.add(1, RecordingCallback(), 0.0)
    unacked.add(2, RecordingCallback(), 0.0)
    assert not unacked.fail_overdue(PUBACK_TIMEOUT_SECONDS)


def test_a_callback_that_raises_does_not_keep_the_others_from_being_called():
    unacked = UnackedPublishes(100)
    callback = RecordingCallback()

    def raises(_error):
        raise RuntimeError("a text that must not be seen")

    unacked.add(1, raises, 0.0)
    unacked.add(2, callback, 0.0)
    unacked.close()
    assert len(callback.answers) == 1


def test_a_packet_id_is_in_use_until_its_puback():
    unacked = UnackedPublishes(100)
    unacked.add(7, RecordingCallback(), 0.0)
    assert 7 in unacked.ids_in_use
    unacked.finish(7, None)
    assert 7 not in unacked.ids_in_use


# --- subscriptions ---


def subscribed(*filters):
    subscriptions = Subscriptions()
    subscriptions.pending[1] = filters
    return subscriptions


def test_the_suback_says_which_filters_were_refused():
    subscriptions = subscribed("a", "b", "c")
    assert 1 in subscriptions.pending
    assert subscriptions.on_suback(1, [1, 0x87, 0], 0.0)
    assert subscriptions.refused_filters == ("b",)
    assert 1 not in subscriptions.pending


def test_a_suback_of_no_pending_subscribe_is_ignored():
    assert not subscribed("a").on_suback(9, [1], 0.0)


def test_a_filter_without_a_code_counts_as_refused():
    subscriptions = subscribed("a", "b")
    assert subscriptions.on_suback(1, [1], 0.0)
    assert subscriptions.refused_filters == ("b",)


def test_only_refused_filters_are_tried_again_and_not_before_their_time():
    subscriptions = subscribed("a", "b")
    subscriptions.on_suback(1, [1, 0x80], 0.0)
    assert subscriptions.filters_to_retry(REFUSED_FILTER_RETRY_SECONDS - 1) == ()
    assert subscriptions.filters_to_retry(REFUSED_FILTER_RETRY_SECONDS) == ("b",)
    subscriptions.pending[2] = ("b",)
    assert subscriptions.filters_to_retry(REFUSED_FILTER_RETRY_SECONDS + 1) == (), "its SUBACK is pending"
    subscriptions.on_suback(2, [1], REFUSED_FILTER_RETRY_SECONDS + 2)
    assert subscriptions.refused_filters == ()
    assert subscriptions.filters_to_retry(3 * REFUSED_FILTER_RETRY_SECONDS) == ()


def test_a_filter_that_is_refused_again_is_logged_once():
    with capture_logs() as lines:
        subscriptions = subscribed("a", "b")
        for mid, codes in enumerate(([0x87, 0x87], [0x87, 0x87], [0x87, 1]), 1):
            subscriptions.pending[mid] = ("a", "b")
            subscriptions.on_suback(mid, codes, 0.0)
    events = [(line["event"], line["filter"]) for line in lines]
    refused, granted = "subscription refused", "subscription granted after all"
    assert events == [(refused, "a"), (refused, "b"), (granted, "b")]
