"""Who has taken a file and not yet written it down."""

from __future__ import annotations

from tests.unit.store.conftest import Clock
from wx2mqtt.store.claims import Claims


def test_a_file_is_held_until_each_taker_has_written_it_down(clock: Clock) -> None:
    claims = Claims(10, clock)
    claims.begin("a")
    claims.begin("a")
    claims.end("a")
    assert claims.holds("a")
    claims.end("a")
    assert not claims.holds("a")


def test_what_nobody_took_is_not_held(clock: Clock) -> None:
    claims = Claims(10, clock)
    claims.end("a")
    assert not claims.holds("a")
    claims.begin("a")
    assert claims.holds("a")


def test_whoever_never_writes_it_down_is_forgotten(clock: Clock) -> None:
    claims = Claims(10, clock)
    claims.begin("a")
    clock.now += 9
    claims.begin("a")
    clock.now += 9
    assert claims.holds("a")
    clock.now += 1
    assert not claims.holds("a")
    claims.begin("a")
    claims.end("a")
    assert not claims.holds("a")
