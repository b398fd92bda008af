"""Which connections are accepted, and which idle connection is closed for a new one."""

from __future__ import annotations

from ipaddress import ip_network

from wx2mqtt.web.http_limits import Admission, ConnectionLimiter, HttpConnection


class FakeConnection(HttpConnection):
    """A connection without a socket."""

    def __init__(self) -> None:
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def address_of(number):
    return f"192.0.2.{number}"


def full_limiter(limit):
    limiter = ConnectionLimiter(limit, reserved=0)
    connections = [FakeConnection() for _ in range(limit)]
    assert all(
        limiter.add(connection, address_of(number)) is Admission.EVERYTHING
        for number, connection in enumerate(connections)
    )
    return limiter, connections


def test_the_connection_that_is_idle_longest_is_replaced():
    limiter, (first, second, third) = full_limiter(3)
    limiter.mark_busy(first)
    new_connection = FakeConnection()
    assert limiter.add(new_connection, address_of(9)) is Admission.EVERYTHING
    assert [connection.dropped for connection in (first, second, third, new_connection)] == [
        False,
        True,
        False,
        False,
    ]
    assert len(limiter.connections) == 3


def test_who_becomes_idle_again_is_the_last_to_go():
    limiter, (first, second) = full_limiter(2)
    limiter.mark_busy(first)
    limiter.mark_idle(first)
    limiter.mark_idle(second)  # was so all the time
    assert limiter.add(FakeConnection(), address_of(9)) is Admission.EVERYTHING
    assert second.dropped
    assert not first.dropped


def test_where_everybody_is_busy_nobody_comes_in():
    limiter, connections = full_limiter(2)
    for connection in connections:
        limiter.mark_busy(connection)
    assert limiter.add(FakeConnection(), address_of(9)) is Admission.NOTHING
    limiter.remove(connections[0])
    assert limiter.add(FakeConnection(), address_of(9)) is Admission.EVERYTHING


def test_it_says_when_it_is_empty():
    limiter, (first, second) = full_limiter(2)
    assert not limiter.empty.is_set()
    limiter.remove(first)
    assert not limiter.empty.is_set()
    limiter.remove(second)
    assert limiter.empty.is_set()


def test_who_was_dropped_is_not_idle_when_it_says_so():
    limiter, (first,) = full_limiter(1)
    second = FakeConnection()
    limiter.add(second, address_of(9))
    limiter.mark_idle(first)
    assert limiter.add(FakeConnection(), address_of(9)) is Admission.EVERYTHING
    assert second.dropped


def test_an_address_has_places_of_its_own_and_closes_its_own_idle_ones():
    limiter = ConnectionLimiter(10, max_per_address=2, reserved=1)
    first, second, other = FakeConnection(), FakeConnection(), FakeConnection()
    assert limiter.add(other, "2001:db8:1::1") is Admission.EVERYTHING
    assert limiter.add(first, "2001:db8:2::1") is Admission.EVERYTHING
    assert limiter.add(second, "2001:db8:2::2") is Admission.EVERYTHING  # the same /64
    limiter.mark_busy(first)
    third = FakeConnection()
    assert limiter.add(third, "2001:db8:2::3") is Admission.EVERYTHING
    assert [connection.dropped for connection in (first, second, third, other)] == [False, True, False, False]
    limiter.mark_busy(third)
    assert limiter.add(FakeConnection(), "2001:db8:2::4") is Admission.HEALTH
    assert limiter.add(FakeConnection(), "2001:db8:3::4") is Admission.EVERYTHING


def test_a_reserved_place_goes_to_who_came_last_unless_it_is_busy():
    limiter, (first,) = ConnectionLimiter(1, reserved=1), (FakeConnection(),)
    limiter.add(first, address_of(1))
    limiter.mark_busy(first)
    second, third = FakeConnection(), FakeConnection()
    assert limiter.add(second, address_of(2)) is Admission.HEALTH
    assert limiter.add(third, address_of(3)) is Admission.HEALTH
    assert second.dropped
    limiter.mark_busy(third)
    assert limiter.add(FakeConnection(), address_of(4)) is Admission.NOTHING


def test_a_trusted_proxy_may_take_the_places_of_many():
    limiter = ConnectionLimiter(5, max_per_address=1, proxies=(ip_network("10.0.0.0/8"),))
    assert [limiter.add(FakeConnection(), "10.1.2.3") for _ in range(5)] == [Admission.EVERYTHING] * 5
