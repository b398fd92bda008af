"""How many may be connected."""

from __future__ import annotations

from wx2mqtt.web.http_limits import ConnectionLimiter


class Guest:
    def __init__(self) -> None:
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def filled(most):
    room = ConnectionLimiter(most)
    guests = [Guest() for _ in range(most)]
    assert all(room.add(guest) for guest in guests)
    return room, guests


def test_the_connection_that_is_idle_longest_is_replaced():
    room, (first, second, third) = filled(3)
    room.mark_busy(first)
    newcomer = Guest()
    assert room.add(newcomer)
    assert [guest.dropped for guest in (first, second, third, newcomer)] == [False, True, False, False]
    assert len(room.connections) == 3


def test_who_becomes_idle_again_is_the_last_to_go():
    room, (first, second) = filled(2)
    room.mark_busy(first)
    room.mark_idle(first)
    room.mark_idle(second)  # was so all the time
    assert room.add(Guest())
    assert second.dropped
    assert not first.dropped


def test_where_everybody_is_busy_nobody_comes_in():
    room, guests = filled(2)
    for guest in guests:
        room.mark_busy(guest)
    assert not room.add(Guest())
    room.remove(guests[0])
    assert room.add(Guest())


def test_it_says_when_it_is_empty():
    room, (first, second) = filled(2)
    assert not room.empty.is_set()
    room.remove(first)
    assert not room.empty.is_set()
    room.remove(second)
    assert room.empty.is_set()


def test_who_was_dropped_is_not_idle_when_it_says_so():
    room, (first,) = filled(1)
    second = Guest()
    room.add(second)
    room.mark_idle(first)
    assert room.add(Guest())
    assert second.dropped
