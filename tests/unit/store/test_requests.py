"""Requests that change something at WeChat are carried out once, whatever the broker redelivers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import delivery_mark, publication, topics
from wx2mqtt.errors import StoreError
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.requests import JournaledRequest, RequestState

FRESH, IN_DOUBT = JournaledRequest(state=RequestState.FRESH), JournaledRequest(state=RequestState.IN_DOUBT)
ANSWER = replace(publication(payload=b"\x00\xffok"), category="response", correlation=b"\x01\xff", expiry=60)
DAY = 86_400_000


async def test_a_request_is_fresh_and_then_answered(journal: Journal) -> None:
    assert await journal.requests.start(delivery_mark(5)) == FRESH
    await journal.requests.finish(delivery_mark(5), [ANSWER, publication()])
    payloads = [row.payload for row in await journal.outbox.list_waiting(0, 9)]
    assert payloads == [ANSWER.payload, publication().payload]
    again = await journal.requests.start(delivery_mark(5, dup=True))
    assert again == JournaledRequest(state=RequestState.ANSWERED, answer=(ANSWER, publication()))


async def test_a_request_that_was_started_and_not_finished_is_in_doubt_also_after_a_restart(
    database: Database, journal: Journal
) -> None:
    await journal.requests.start(delivery_mark(5))
    restarted = Journal(database, "home")
    for opened in (journal, restarted):
        assert await opened.requests.start(delivery_mark(5, dup=True)) == IN_DOUBT
    await restarted.requests.finish(delivery_mark(5, dup=True), [ANSWER])
    assert (await restarted.requests.start(delivery_mark(5, dup=True))).answer == (ANSWER,)


async def test_the_same_packet_id_without_dup_is_another_request(journal: Journal) -> None:
    """The broker uses a packet id again only after our acknowledgement, so this is a request of its own."""
    await journal.requests.start(delivery_mark(5))
    await journal.requests.finish(delivery_mark(5), [ANSWER])
    assert await journal.requests.start(delivery_mark(5)) == FRESH
    assert await journal.requests.start(delivery_mark(5, dup=True)) == IN_DOUBT


async def test_another_request_is_fresh(journal: Journal, work: Journal) -> None:
    await journal.requests.start(delivery_mark(5))
    for other in (
        delivery_mark(6, dup=True),
        delivery_mark(5, dup=True, session=2),
        delivery_mark(5, dup=True, content="b"),
        replace(delivery_mark(5, dup=True), topic="wx/bridge/request/group"),
    ):
        assert await journal.requests.start(other) == FRESH
    assert await work.requests.start(delivery_mark(5, dup=True)) == FRESH


async def test_a_packet_id_that_was_used_again_means_the_newer_request(journal: Journal) -> None:
    await journal.requests.start(delivery_mark(5))
    await journal.requests.finish(delivery_mark(5), [ANSWER])
    await journal.requests.start(delivery_mark(5, content="b"))
    assert await journal.requests.start(delivery_mark(5, dup=True)) == FRESH


async def test_an_answer_to_a_request_that_was_not_started_is_published(journal: Journal) -> None:
    await journal.requests.finish(delivery_mark(5), [ANSWER])
    assert await topics(journal) == [ANSWER.topic]


async def test_answers_are_kept_for_a_day(journal: Journal, clock: Clock) -> None:
    await journal.requests.start(delivery_mark(5))
    await journal.requests.finish(delivery_mark(5), [])
    await journal.retention.prune(clock.now + DAY, 0, 0)
    assert (await journal.requests.start(delivery_mark(5, dup=True))).state is RequestState.ANSWERED
    await journal.retention.prune(clock.now + DAY + 1, 0, 0)
    assert await journal.requests.start(delivery_mark(5, dup=True)) == FRESH


async def test_a_request_that_cannot_be_stored_is_an_error(database: Database, journal: Journal) -> None:
    await database.close()
    with pytest.raises(StoreError):
        await journal.requests.start(delivery_mark(5))
