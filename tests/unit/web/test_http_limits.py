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
    sender_harness = ConnectionLimiter(most, reserved=0)
    guests = [Guest() for _ in range(most)]
    assert all(sender_harness.add(guest, at(n)) is Admission.EVERYTHING for n, guest in enumerate(guests))
    return sender_harness, guests


def test_the_connection_that_is_idle_longest_is_replaced():
    sender_harness, (first, second, third) = filled(3)
    sender_harness.mark_busy(first)
    newcomer = Guest()
    assert sender_harness.add(newcomer, at(9)) is Admission.EVERYTHING
    assert [guest.dropped for guest in (first, second, third, newcomer)] == [False, True, False, False]
    assert len(sender_harness.connections) == 3


def test_who_becomes_idle_again_is_the_last_to_go():
    sender_harness, (first, second) = filled(2)
    sender_harness.mark_busy(first)
    sender_harness.mark_idle(first)
    sender_harness.mark_idle(second)  # was so all the time
    assert sender_harness.add(Guest(), at(9)) is Admission.EVERYTHING
    assert second.dropped
    assert not first.dropped


def test_where_everybody_is_busy_nobody_comes_in():
    sender_harness, guests = filled(2)
    for guest in guests:
        sender_harness.mark_busy(guest)
    assert sender_harness.add(Guest(), at(9)) is Admission.NOTHING
    sender_harness.remove(guests[0])
    assert sender_harness.add(Guest(), at(9)) is Admission.EVERYTHING


def test_it_says_when_it_is_empty():
    sender_harness, (first, second) = filled(2)
    assert not sender_harness.empty.is_set()
    sender_harness.remove(first)
    assert not sender_harness.empty.is_set()
    sender_harness.remove(second)
    assert sender_harness.empty.is_set()


def test_who_was_dropped_is_not_idle_when_it_says_so():
    sender_harness, (first,) = filled(1)
    second = Guest()
    sender_harness.add(second, at(9))
    sender_harness.mark_idle(first)
    assert sender_harness.add(Guest(), at(9)) is Admission.EVERYTHING
    assert second.dropped


def test_an_address_has_places_of_its_own_and_closes_its_own_idle_ones():
    sender_harness = ConnectionLimiter(10, max_per_address=2, reserved=1)
    first, second, other = Guest(), Guest(), Guest()
    assert sender_harness.add(other, "2001:db8:1::1") is Admission.EVERYTHING
    assert sender_harness.add(first, "2001:db8:2::1") is Admission.EVERYTHING
    assert sender_harness.add(second, "2001:db8:2::2") is Admission.EVERYTHING  # the same /64
    sender_harness.mark_busy(first)
    third = Guest()
    assert sender_harness.add(third, "2001:db8:2::3") is Admission.EVERYTHING
    assert [guest.dropped for guest in (first, second, third, other)] == [False, True, False, False]
    sender_harness.mark_busy(third)
    assert sender_harness.add(Guest(), "2001:db8:2::4") is Admission.HEALTH
    assert sender_harness.add(Guest(), "2001:db8:3::4") is Admission.EVERYTHING


def test_a_reserved_place_goes_to_who_came_last_unless_it_is_busy():
    sender_harness, (first,) = ConnectionLimiter(1, reserved=1), (Guest(),)
    sender_harness.add(first, at(1))
    sender_harness.mark_busy(first)
    second, third = Guest(), Guest()
    assert sender_harness.add(second, at(2)) is Admission.HEALTH
    assert sender_harness.add(third, at(3)) is Admission.HEALTH
    assert second.dropped
    sender_harness.mark_busy(third)
    assert sender_harness.add(Guest(), at(4)) is Admission.NOTHING


def test_a_trusted_proxy_may_take_the_places_of_many():
    sender_harness = ConnectionLimiter(5, max_per_address=1, proxies=(ip_network("10.0.0.0/8"),))
    assert [sender_harness.add(Guest(), "10.1.2.3") for _ in range(5)] == [Admission.EVERYTHING] * 5
