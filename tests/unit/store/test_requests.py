"""Requests that change something at WeChat are carried out once, whatever the broker redelivers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import mark, publication
from wx2mqtt.errors import StoreError
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.requests import JournaledRequest, RequestState

FRESH, IN_DOUBT = JournaledRequest(state=RequestState.FRESH), JournaledRequest(state=RequestState.IN_DOUBT)
ANSWER = replace(publication(payload=b"\x00\xffok"), category="response", correlation=b"\x01\xff", expiry=60)
DAY = 86_400_000


async def test_a_request_is_fresh_and_then_answered(journal: Journal) -> None:
    assert await journal.requests.start(mark(5)) == FRESH
    await journal.requests.finish(mark(5), [ANSWER, publication()])
    assert [row.payload for row in await journal.outbox.list_waiting(0, 9)] == [
        ANSWER.payload,
        publication().payload,
    ]
    again = await journal.requests.start(mark(5, dup=True))
    assert again == JournaledRequest(state=RequestState.ANSWERED, answer=(ANSWER, publication()))


async def test_what_was_begun_and_not_ended_is_in_doubt(database: Database, journal: Journal) -> None:
    await journal.requests.start(mark(5))
    assert await journal.requests.start(mark(5, dup=True)) == IN_DOUBT
    next_life = Journal(database, "home")
    assert await next_life.requests.start(mark(5, dup=True)) == IN_DOUBT
    await next_life.requests.finish(mark(5, dup=True), [ANSWER])
    assert (await next_life.requests.start(mark(5, dup=True))).answer == (ANSWER,)


async def test_the_same_packet_id_without_dup_is_another_request(journal: Journal) -> None:
    """The broker gives it again only when it has our acknowledgement; whoever repeats a request means it."""
    await journal.requests.start(mark(5))
    await journal.requests.finish(mark(5), [ANSWER])
    assert await journal.requests.start(mark(5)) == FRESH
    assert await journal.requests.start(mark(5, dup=True)) == IN_DOUBT


@pytest.mark.parametrize(
    "other",
    [
        mark(6, dup=True),
        mark(5, dup=True, session=2),
        mark(5, dup=True, content="b"),
        replace(mark(5, dup=True), topic="wx/bridge/request/group"),
    ],
)
async def test_another_request_is_fresh(journal: Journal, other: object) -> None:
    await journal.requests.start(mark(5))
    assert await journal.requests.start(other) == FRESH  # type: ignore[arg-type]


async def test_a_packet_id_that_was_given_again_ends_what_had_it_before(journal: Journal) -> None:
    await journal.requests.start(mark(5))
    await journal.requests.finish(mark(5), [ANSWER])
    await journal.requests.start(mark(5, content="b"))
    assert await journal.requests.start(mark(5, dup=True)) == FRESH


async def test_accounts_do_not_share_packet_ids(database: Database, journal: Journal) -> None:
    await journal.requests.start(mark(5))
    assert await Journal(database, "work").requests.start(mark(5, dup=True)) == FRESH


async def test_an_answer_without_a_mark_is_published_all_the_same(journal: Journal) -> None:
    await journal.requests.finish(mark(5), [ANSWER])
    assert len(await journal.outbox.list_waiting(0, 9)) == 1


async def test_answers_are_kept_for_a_day(journal: Journal, clock: Clock) -> None:
    await journal.requests.start(mark(5))
    await journal.requests.finish(mark(5), [])
    await journal.retention.prune(clock.now + DAY, 0, 0)
    assert (await journal.requests.start(mark(5, dup=True))).state is RequestState.ANSWERED
    await journal.retention.prune(clock.now + DAY + 1, 0, 0)
    assert await journal.requests.start(mark(5, dup=True)) == FRESH


async def test_what_cannot_be_marked_is_not_fresh(database: Database, journal: Journal) -> None:
    await database.close()
    with pytest.raises(StoreError):
        await journal.requests.start(mark(5))
