"""How many may be connected."""

from __future__ import annotations

from ipaddress import ip_network

from wx2mqtt.web.http_limits import Admission, ConnectionLimiter, HttpConnection


class Guest(HttpConnection):
    """A connection without a socket."""

    def __init__(self) -> None:
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def at(number):
    return f"192.0.2.{number}"


def filled(most):
    limiter = ConnectionLimiter(most, reserved=0)
    guests = [Guest() for _ in range(most)]
    assert all(limiter.add(guest, at(n)) is Admission.EVERYTHING for n, guest in enumerate(guests))
    return limiter, guests


def test_the_connection_that_is_idle_longest_is_replaced():
    limiter, (first, second, third) = filled(3)
    limiter.mark_busy(first)
    newcomer = Guest()
    assert limiter.add(newcomer, at(9)) is Admission.EVERYTHING
    assert [guest.dropped for guest in (first, second, third, newcomer)] == [False, True, False, False]
    assert len(limiter.connections) == 3


def test_who_becomes_idle_again_is_the_last_to_go():
    limiter, (first, second) = filled(2)
    limiter.mark_busy(first)
    limiter.mark_idle(first)
    limiter.mark_idle(second)  # was so all the time
    assert limiter.add(Guest(), at(9)) is Admission.EVERYTHING
    assert second.dropped
    assert not first.dropped


def test_where_everybody_is_busy_nobody_comes_in():
    limiter, guests = filled(2)
    for guest in guests:
        limiter.mark_busy(guest)
    assert limiter.add(Guest(), at(9)) is Admission.NOTHING
    limiter.remove(guests[0])
    assert limiter.add(Guest(), at(9)) is Admission.EVERYTHING


def test_it_says_when_it_is_empty():
    limiter, (first, second) = filled(2)
    assert not limiter.empty.is_set()
    limiter.remove(first)
    assert not limiter.empty.is_set()
    limiter.remove(second)
    assert limiter.empty.is_set()


def test_who_was_dropped_is_not_idle_when_it_says_so():
    limiter, (first,) = filled(1)
    second = Guest()
    limiter.add(second, at(9))
    limiter.mark_idle(first)
    assert limiter.add(Guest(), at(9)) is Admission.EVERYTHING
    assert second.dropped


def test_an_address_has_places_of_its_own_and_closes_its_own_idle_ones():
    limiter = ConnectionLimiter(10, max_per_address=2, reserved=1)
    first, second, other = Guest(), Guest(), Guest()
    assert limiter.add(other, "2001:db8:1::1") is Admission.EVERYTHING
    assert limiter.add(first, "2001:db8:2::1") is Admission.EVERYTHING
    assert limiter.add(second, "2001:db8:2::2") is Admission.EVERYTHING  # the same /64
    limiter.mark_busy(first)
    third = Guest()
    assert limiter.add(third, "2001:db8:2::3") is Admission.EVERYTHING
    assert [guest.dropped for guest in (first, second, third, other)] == [False, True, False, False]
    limiter.mark_busy(third)
    assert limiter.add(Guest(), "2001:db8:2::4") is Admission.HEALTH
    assert limiter.add(Guest(), "2001:db8:3::4") is Admission.EVERYTHING


def test_a_reserved_place_goes_to_who_came_last_unless_it_is_busy():
    limiter, (first,) = ConnectionLimiter(1, reserved=1), (Guest(),)
    limiter.add(first, at(1))
    limiter.mark_busy(first)
    second, third = Guest(), Guest()
    assert limiter.add(second, at(2)) is Admission.HEALTH
    assert limiter.add(third, at(3)) is Admission.HEALTH
    assert second.dropped
    limiter.mark_busy(third)
    assert limiter.add(Guest(), at(4)) is Admission.NOTHING


def test_a_trusted_proxy_may_take_the_places_of_many():
    limiter = ConnectionLimiter(5, max_per_address=1, proxies=(ip_network("10.0.0.0/8"),))
    assert [limiter.add(Guest(), "10.1.2.3") for _ in range(5)] == [Admission.EVERYTHING] * 5
