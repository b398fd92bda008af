"""No download is lost, each ends once, and messages that wait for a file are released."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, event, media, message, picture, publication
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import (
    MediaPart,
    MediaRow,
    MediaState,
    NewEvent,
    NewMessage,
)


async def _record(journal: Journal, *items: NewMessage | NewEvent) -> None:
    await journal.received.record(items, NO_CHANGES, None, "")


async def _row(journal: Journal, media_id: str) -> MediaRow:
    row = await journal.media.get(media_id)
    assert row is not None
    return row


async def _waiting(journal: Journal) -> list[bytes]:
    return [row.payload for row in await journal.outbox.list_waiting(0, 100)]


async def test_a_download_is_stored_with_its_message(journal: Journal, clock: Clock) -> None:
    await _record(journal, picture("a", media("m", due=7)))
    assert await journal.media.get("m") == MediaRow(
        id="m",
        part=MediaPart.WHOLE,
        kind="image",
        message_id="id-a",
        user="wife",
        ref=media("m").ref,
        state=MediaState.PENDING,
        attempts=0,
        empty_attempts=0,
        due=7,
        created=clock.now,
        reason="",
        blob=None,
        fetched=None,
    )


async def test_when_its_address_expires_is_stored_with_a_download(journal: Journal) -> None:
    expiring = replace(media("m").ref, expires=301_000)
    await _record(journal, picture("a", replace(media("m"), ref=expiring)))
    assert (await _row(journal, "m")).ref == expiring


async def test_a_message_that_is_received_again_adds_no_second_download(journal: Journal) -> None:
    await _record(journal, picture("a", media("m")))
    await _record(journal, picture("a", media("n")))
    assert [row.id for row in await journal.media.of_messages(["id-a"])] == ["m"]


async def test_a_batch_that_fails_adds_no_download(journal: Journal) -> None:
    await _record(journal, picture("a", media("m")))
    with pytest.raises(StoreError):
        await _record(journal, picture("b", media("n")), picture("c", media("m")))
    assert await journal.media.get("n") is None
    assert (await journal.open()).seq == 1


async def test_half_a_letter_in_a_locator_does_not_stop_the_batch(journal: Journal) -> None:
    bad = replace(media("m"), ref=replace(media("m").ref, locator={"a": "\ud83d"}))
    await _record(journal, picture("a", bad))
    assert (await _row(journal, "m")).ref.locator == {"a": "?"}


async def test_downloads_come_in_the_order_in_which_they_are_due(journal: Journal) -> None:
    small = media("t", due=50, part=MediaPart.THUMBNAIL)
    await _record(journal, event("e"), picture("a", media("late", due=90), small), message("b"))
    await _record(journal, picture("c", media("early", due=50), media("never", due=None)))
    order = []
    while row := await journal.media.next_download():
        order.append(row.id)
        await journal.media.mark_unavailable(row.id, MediaState.FAILED, "no", ())
    assert order == ["early", "t", "late"]


async def test_an_account_sees_only_its_own_downloads(
    database: Database, journal: Journal, clock: Clock
) -> None:
    other = Journal(database, "work", clock)
    await other.open()
    await _record(journal, picture("a", media("m")))
    assert await other.media.next_download() is None
    assert await other.media.get("m") is None
    assert await other.media.of_messages(["id-a"]) == []
    await other.media.mark_ready("m", blob("x"), [publication()])
    assert (await _row(journal, "m")).state is MediaState.PENDING
    assert await _waiting(other) == []


async def test_the_media_of_messages_are_found_the_whole_file_before_its_thumbnail(journal: Journal) -> None:
    await _record(journal, picture("a", media("ta", part=MediaPart.THUMBNAIL), media("wa")))
    await _record(journal, picture("b", media("wb"), media("tb", part=MediaPart.THUMBNAIL)))
    assert [row.id for row in await journal.media.of_messages(["id-b", "id-x", "id-a", "id-b"])] == [
        "wb", "tb", "wa", "ta",
    ]  # fmt: skip
    assert await journal.media.of_messages([]) == []


async def test_the_newest_avatar_of_a_person_is_found(journal: Journal, clock: Clock) -> None:
    assert await journal.media.newest_avatar("wife") is None
    first = await journal.media.add(media("a1", part=MediaPart.AVATAR), "wife")
    clock.now += 1
    second = await journal.media.add(media("a2", part=MediaPart.AVATAR), "wife")
    assert (first.message_id, first.user, first.state) == ("", "wife", MediaState.PENDING)
    assert await journal.media.newest_avatar("wife") == second
    assert await journal.media.newest_avatar("mom") is None
    assert await journal.media.of_messages([""]) == []


async def test_a_failed_attempt_is_counted_and_the_download_postponed(journal: Journal) -> None:
    await _record(journal, picture("a", media("m", due=10)))
    await journal.media.postpone("m", 20, empty=1, why="nothing came")
    await journal.media.postpone("m", 30, empty=0, why="WeChat does not answer")
    row = await _row(journal, "m")
    assert (row.attempts, row.empty_attempts, row.due, row.reason) == (2, 0, 30, "WeChat does not answer")


async def test_the_end_of_an_outage_makes_due_what_failed_and_nothing_else(journal: Journal) -> None:
    """Not what brought no bytes, was not tried yet, or is due before."""
    await _record(journal, picture("a", *(media(name, due=100) for name in "mnop")))
    await journal.media.postpone("m", 500, empty=0, why="WeChat does not answer")
    await journal.media.postpone("n", 500, empty=1, why="nothing came")
    await journal.media.postpone("o", 20, empty=0, why="WeChat does not answer")
    await journal.media.end_pauses(50)
    assert [(await _row(journal, name)).due for name in "mnop"] == [50, 500, 20, 100]


async def test_a_request_makes_a_download_due_earlier_and_never_later(journal: Journal) -> None:
    await _record(journal, picture("a", media("m", due=100), media("n", due=None)))
    for due, expected in [(200, 100), (50, 50), (60, 50)]:
        await journal.media.request("m", due)
        assert (await _row(journal, "m")).due == expected
    await journal.media.request("n", 70)
    assert (await _row(journal, "n")).due == 70


async def test_all_downloads_but_requested_ones_can_wait_for_a_request(journal: Journal) -> None:
    await _record(journal, picture("a", media("m", due=10), media("n", due=20), media("o", due=0)))
    await journal.media.unschedule(["n"])
    assert [(await _row(journal, name)).due for name in "mno"] == [None, 20, 0]
    assert (await _row(journal, "m")).state is MediaState.PENDING
    await journal.media.request("m", 0)
    assert (await _row(journal, "m")).due == 0


async def test_a_download_that_was_given_up_is_tried_again_on_request(journal: Journal) -> None:
    await _record(journal, picture("a", media("m")))
    await journal.media.postpone("m", 20, empty=3, why="nothing came")
    await journal.media.mark_unavailable("m", MediaState.FAILED, "a day is over", ())
    await journal.media.request("m", 500)
    row = await _row(journal, "m")
    assert (row.state, row.due, row.attempts, row.empty_attempts) == (MediaState.PENDING, 500, 0, 0)


@pytest.mark.parametrize("state", [MediaState.GONE, MediaState.TOO_LARGE])
async def test_media_that_are_gone_or_too_large_are_not_tried_again(
    journal: Journal, state: MediaState
) -> None:
    await _record(journal, picture("a", media("m")))
    await journal.media.mark_unavailable("m", state, "because", ())
    await journal.media.request("m", 500)
    row = await _row(journal, "m")
    assert (row.state, row.due, row.reason) == (state, None, "because")
    assert await journal.media.next_download() is None


async def test_a_finished_download_and_its_event_are_stored_in_one_commit(
    journal: Journal, clock: Clock
) -> None:
    await _record(journal, picture("a", media("m")))
    await journal.media.postpone("m", 20, empty=1, why="nothing came")
    clock.now += 5
    await journal.media.mark_ready("m", blob("x"), [publication(payload=b"ready")])
    row = await _row(journal, "m")
    assert (row.state, row.blob, row.fetched) == (MediaState.READY, blob("x"), clock.now)
    assert (row.due, row.reason) == (None, "")
    assert (await _waiting(journal))[1:] == [b"ready"]
    assert await journal.media.next_download() is None


async def test_the_end_of_a_download_is_published_once(journal: Journal) -> None:
    await _record(journal, picture("a", media("m"), media("n")))
    for _ in range(2):
        await journal.media.mark_ready("m", blob("x"), [publication(payload=b"ready")])
        await journal.media.mark_unavailable("n", MediaState.GONE, "gone", [publication(payload=b"gone")])
    assert (await _waiting(journal))[1:] == [b"ready", b"gone"]


async def test_nothing_is_published_for_an_unknown_download(journal: Journal) -> None:
    await journal.media.mark_ready("m", blob("x"), [publication()])
    await journal.media.mark_unavailable("m", MediaState.GONE, "", [publication()])
    assert await _waiting(journal) == []


async def test_media_whose_file_was_lost_are_downloaded_again_or_gone(journal: Journal) -> None:
    await _record(journal, picture("a", media("m"), media("n")))
    for media_id in ("m", "n"):
        await journal.media.mark_ready(media_id, blob("x"), ())
    await journal.media.mark_lost("m", 500)
    await journal.media.mark_unavailable("n", MediaState.GONE, "the file is not there", ())
    m, n = await _row(journal, "m"), await _row(journal, "n")
    assert (m.state, m.due, m.blob) == (MediaState.PENDING, 500, None)
    assert (n.state, n.due, n.blob) == (MediaState.GONE, None, None)


async def test_a_file_is_reported_as_referenced_when_a_row_refers_to_it(
    database: Database, clock: Clock
) -> None:
    referenced: list[Blob] = []
    journal = Journal(database, "home", clock, referenced.append)
    await journal.open()
    await _record(journal, picture("a", media("m")))
    await journal.media.mark_ready("m", blob("x"), ())
    assert referenced == [blob("x")]
    await database.close()
    with pytest.raises(StoreError):
        await journal.media.mark_ready("m", blob("y"), ())
    assert referenced == [blob("x")]


async def test_a_message_that_waits_for_a_file_is_not_published_and_the_others_are(
    journal: Journal, clock: Clock
) -> None:
    await _record(
        journal, message("a"), picture("b", media("m"), waits_for_file=True), message("c", user="mom")
    )
    ids = [json.loads(payload)["id"] for payload in await _waiting(journal)]
    assert ids == ["id-a", "id-c"]
    assert await journal.media.waiting_messages() == [("b", "wx/in/wife", clock.now)]


async def test_later_messages_of_a_chat_wait_for_one_that_waits_for_a_file(journal: Journal) -> None:
    await _record(journal, message("a"), picture("b", waits_for_file=True), message("c"))
    for rows in (
        await journal.outbox.list_waiting(0, 9),
        await journal.outbox.list_waiting_in_topic("wx/in/wife", 0, 99, 9),
    ):
        assert [json.loads(row.payload)["id"] for row in rows] == ["id-a"]
    await journal.media.release_message("b", {})
    for rows in (
        await journal.outbox.list_waiting(0, 9),
        await journal.outbox.list_waiting_in_topic("wx/in/wife", 0, 99, 9),
    ):
        assert [json.loads(row.payload)["id"] for row in rows] == ["id-a", "id-b", "id-c"]


async def test_a_message_that_waits_for_a_file_has_its_seq_and_counts_for_last(journal: Journal) -> None:
    await _record(journal, message("a"), picture("b", media("m"), waits_for_file=True))
    assert json.loads((await journal.open()).last_payload or b"")["seq"] == 2


async def test_a_message_is_released_with_the_downloaded_file(journal: Journal) -> None:
    await _record(journal, picture("b", media("m"), waits_for_file=True), message("c"))
    await journal.media.release_message("b", {"state": "ready", "data": "aGk="})
    first, _ = await journal.outbox.list_waiting(0, 100)
    assert (first.id, first.topic) == (1, "wx/in/wife")
    body = json.loads(first.payload)
    assert body["image"] == {"state": "ready", "url": "/media/x", "data": "aGk="}
    assert list(body)[:3] == ["schema", "stream", "seq"]
    assert await journal.media.waiting_messages() == []


async def test_a_message_can_be_released_unchanged(journal: Journal) -> None:
    await _record(journal, picture("b", waits_for_file=True), picture("c"))
    await journal.media.release_message("b", {})
    first, second = (json.loads(payload) for payload in await _waiting(journal))
    assert first["image"] == second["image"]


async def test_the_release_of_a_message_that_does_not_wait_changes_nothing(journal: Journal) -> None:
    await _record(journal, picture("b", waits_for_file=True))
    await journal.media.release_message("b", {"n": 1})
    row = (await journal.outbox.list_waiting(0, 9))[0]
    await journal.outbox.mark_published([row.id])
    await journal.media.release_message("b", {"n": 2})
    await journal.media.release_message("x", {"n": 2})
    assert await _waiting(journal) == []
    await _record(journal, message("z"))
    await journal.media.release_message("z", {"n": 2})
    assert "text" not in {
        type(json.loads(payload).get("text")).__name__ for payload in await _waiting(journal)
    }


async def test_messages_wait_for_their_file_also_after_a_restart(database: Database, clock: Clock) -> None:
    first = Journal(database, "home", clock)
    await first.open()
    await _record(first, picture("b", media("m"), waits_for_file=True))
    second = Journal(database, "home", clock)
    await second.open()
    assert [key for key, _, _ in await second.media.waiting_messages()] == ["b"]
    await second.media.release_message("b", {})
    assert len(await _waiting(second)) == 1


async def test_a_message_that_waits_for_a_file_is_not_pruned(journal: Journal, clock: Clock) -> None:
    await _record(journal, picture("b", waits_for_file=True), message("c"))
    await journal.outbox.mark_published([row.id for row in await journal.outbox.list_waiting(0, 9)])
    clock.now += 10**12
    assert (await journal.retention.prune(clock.now, 0, 0)).messages == 0
    assert await journal.retention.prune_history(0) == 0
    assert len(await journal.media.waiting_messages()) == 1


async def test_pending_downloads_are_counted(journal: Journal) -> None:
    await _record(journal, picture("a", media("m"), media("n"), media("o", due=None)))
    assert (await journal.stats()).pending_media == 2
    await journal.media.mark_ready("m", blob("x"), ())
    assert (await journal.stats()).pending_media == 1
