"""How a time is written, and how long to wait before the next try."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.rows import every_row
from wx2mqtt.clock import Backoff, Lease, boot_time, now_ms, rfc3339

LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


@every_row(
    ("milliseconds", "written"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_600_000_007, "2026-11-25T09:46:40.007Z"),
        (LAST, "9999-12-31T23:59:59.999Z"),
        (LAST + 1, "9999-12-31T23:59:59.999Z"),
        (2**63, "9999-12-31T23:59:59.999Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_utc_with_milliseconds_and_never_beyond_the_calendar(milliseconds, written):
    assert rfc3339(milliseconds) == written


@given(st.integers(0, LAST))
def test_what_is_written_is_read_as_the_same_time_and_sorts_as_it(milliseconds):
    read = datetime.fromisoformat(rfc3339(milliseconds))
    assert read.tzinfo == UTC
    assert (read - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000 == pytest.approx(
        milliseconds, abs=0.1
    )
    assert (rfc3339(milliseconds) <= rfc3339(milliseconds + 1)) is True


def test_the_clocks_go_forward():
    assert boot_time() <= boot_time()
    assert now_ms() > 1_700_000_000_000


def test_a_lease_ends_by_itself_and_is_renewed_from_when_it_was_proven():
    now = 100.0
    lease = Lease(7, boot_time=lambda: now)
    assert not lease.is_valid, "nothing has proven it yet"
    lease.renew(99.0)
    assert lease.is_valid
    now = 105.9
    assert lease.is_valid
    now = 106.0
    assert not lease.is_valid
    lease.renew(105.0)
    assert lease.is_valid


def test_a_revoked_lease_never_comes_back_and_one_without_a_limit_never_ends():
    lease = Lease(7)
    lease.renew(boot_time())
    lease.revoke()
    lease.renew(boot_time())
    assert not lease.is_valid
    endless = Lease()
    endless.revoke()
    assert endless.is_valid


async def test_who_waits_for_a_lease_goes_on_when_it_begins():
    lease = Lease(600)
    waiting = asyncio.create_task(lease.wait())
    done, _ = await asyncio.wait([waiting], timeout=0)
    assert not done
    lease.renew(boot_time())
    await asyncio.wait_for(waiting, MAX_WAIT_SECONDS)


CHANCE = st.floats(0, 1, exclude_max=True)


def test_who_did_not_fail_does_not_wait():
    assert Backoff().wait(0.99) == 0.0
    assert Backoff(failures=7).reset().wait(0.99) == 0.0


@given(st.floats(0.01, 10), st.floats(10, 100), st.integers(1, 10_000), CHANCE)
def test_each_failure_doubles_the_wait_up_to_the_cap(first, cap, failures, chance):
    backoff = Backoff(first=first, cap=cap)
    for _ in range(min(failures, 40)):
        backoff = backoff.after_failure()
    step = min(cap, first * 2 ** (min(failures, 40) - 1))
    assert step / 2 <= backoff.wait(chance) <= step


@given(CHANCE)
def test_two_failures_in_a_row_cost_less_than_two_seconds(chance):
    once = Backoff().after_failure()
    assert once.wait(chance) <= 0.5
    assert once.wait(chance) + once.after_failure().wait(chance) < 2.0


@given(st.integers(0, 10**9), CHANCE)
def test_no_number_of_failures_is_too_much(failures, chance):
    assert Backoff(failures=failures).wait(chance) <= 60.0
