"""Publications expire by the time of day, and batches of one commit become one batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.rows import every_row
from wx2mqtt.store.records import NO_PUBLICATIONS, HistoryQuery, OutboxBatch, OutboxRow

CREATED = 1_795_600_000_000
ROW = OutboxRow(
    id=5,
    topic="wx/bridge/response/health",
    payload=b"{}",
    category="response",
    created=CREATED,
    content_type="application/json",
    correlation=None,
    expiry=60,
    user="",
)


@every_row(
    ("elapsed_ms", "is_expired", "remaining"),
    [
        (0, False, 60),
        (1_999, False, 59),
        (59_999, False, 1),
        (60_000, True, 1),
        (10**9, True, 1),
        (-5_000, False, 60),  # the clock was set back
    ],
)
def test_a_publication_expires_and_until_then_at_least_a_second_remains(
    elapsed_ms: int, remaining: int, *, is_expired: bool
) -> None:
    assert ROW.is_expired(CREATED + elapsed_ms) is is_expired
    assert ROW.remaining_expiry(CREATED + elapsed_ms) == remaining


def test_a_publication_without_an_expiry_never_expires() -> None:
    row = replace(ROW, expiry=None)
    assert not row.is_expired(CREATED + 10**12)
    assert row.remaining_expiry(CREATED + 10**12) is None


def test_two_batches_of_a_commit_are_joined_in_their_order() -> None:
    later_row = replace(ROW, id=7)
    first = OutboxBatch(rows=(ROW,), after_id=4, last_id=6)
    later = OutboxBatch(rows=(later_row,), after_id=6, last_id=7)
    assert first.joined(later) == OutboxBatch(rows=(ROW, later_row), after_id=4, last_id=7)


def test_a_batch_stays_the_same_when_it_is_joined_with_none() -> None:
    batch = OutboxBatch(rows=(ROW,), after_id=None, last_id=5)
    assert NO_PUBLICATIONS.joined(batch) == batch
    assert batch.joined(NO_PUBLICATIONS) == batch


def test_a_batch_whose_publications_all_wait_for_a_file_is_not_empty() -> None:
    assert OutboxBatch(rows=(), after_id=4, last_id=5)
    assert not NO_PUBLICATIONS


@pytest.mark.parametrize(("since", "is_oldest_first"), [(None, False), (0, True)])
def test_a_history_query_goes_from_old_to_new_only_with_since(
    since: int | None, is_oldest_first: bool
) -> None:
    assert HistoryQuery(since=since).is_oldest_first is is_oldest_first
