"""The window: every publish is told once, in whatever way it ends."""

from __future__ import annotations

from functools import partial

import pytest

from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt.unacked import PUBACK_TIMEOUT_SECONDS, UnackedPublishes, notify, raised_at


class Told:
    def __init__(self):
        self.answers = []

    def __call__(self, error):
        self.answers.append(error)


def test_an_acknowledged_publish_is_told_once():
    window, told = UnackedPublishes(100), Told()
    window.add(1, told, 0.0)
    window.settle(1, None)
    window.settle(1, None)
    window.close()
    assert told.answers == [None]


def test_a_refusal_reaches_the_one_who_published():
    window, told = UnackedPublishes(100), Told()
    window.add(1, told, 0.0)
    refusal = PublishRefused("no", code=0x87)
    window.settle(1, refusal)
    assert told.answers == [refusal]


def test_the_end_of_the_connection_tells_all_in_order():
    window, order = UnackedPublishes(100), []

    def told(mid, error):
        order.append((mid, type(error)))

    for mid in (3, 1, 2):
        window.add(mid, partial(told, mid), 0.0)
    window.close()
    window.close()
    assert order == [(3, NotConnected), (1, NotConnected), (2, NotConnected)]


@pytest.mark.parametrize(("broker", "size"), [(1, 1), (3, 3), (4, 3), (20, 18), (100, 92), (65535, 65527)])
def test_some_places_are_kept_for_what_is_never_acknowledged(broker, size):
    assert UnackedPublishes(broker).size == size


def test_a_publish_that_is_never_acknowledged_is_given_back_and_the_others_wait_on():
    window, stuck, fresh = UnackedPublishes(20), Told(), Told()
    window.add(1, stuck, 0.0)
    window.add(2, fresh, 1.0)
    assert window.fail_overdue(PUBACK_TIMEOUT_SECONDS - 0.1)
    assert stuck.answers == []
    assert window.fail_overdue(PUBACK_TIMEOUT_SECONDS)
    (refusal,) = stuck.answers
    assert isinstance(refusal, PublishRefused)
    assert (refusal.code, refusal.too_large) == (0, False)
    assert fresh.answers == []
    window.settle(1, None)
    assert len(stuck.answers) == 1


def test_a_late_acknowledgement_frees_its_place():
    window = UnackedPublishes(4)
    for mid in (1, 2, 3):
        window.add(mid, Told(), 0.0)
        assert window.fail_overdue(PUBACK_TIMEOUT_SECONDS)
        window.settle(mid, None)


def test_too_many_that_are_never_acknowledged_end_the_connection():
    window = UnackedPublishes(4)
    window.add(1, Told(), 0.0)
    window.add(2, Told(), 0.0)
    assert not window.fail_overdue(PUBACK_TIMEOUT_SECONDS)


def test_one_who_raises_does_not_keep_the_others_from_being_told():
    window, told = UnackedPublishes(100), Told()

    def raises(_error):
        raise RuntimeError("a text that must not be seen")

    window.add(1, raises, 0.0)
    window.add(2, told, 0.0)
    window.close()
    assert len(told.answers) == 1


def test_tell_says_where_it_was_raised_and_not_what(capsys):
    def raises():
        raise RuntimeError("geheim")

    notify(raises)
    output = capsys.readouterr().out
    assert "RuntimeError" in output
    assert "test_unacked.py" in output
    assert "geheim" not in output


def test_place_is_file_and_line():
    try:
        raise KeyError("x")
    except KeyError as error:
        assert raised_at(error).startswith(__file__)
