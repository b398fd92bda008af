"""No download is lost, each ends once, and messages that wait for a file are released."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, event, media, message, picture, publication, publish_all, record
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState


async def _row(journal: Journal, media_id: str) -> MediaRow:
    row = await journal.media.get(media_id)
    assert row is not None
    return row


async def _waiting(journal: Journal) -> list[bytes]:
    return [row.payload for row in await journal.outbox.list_waiting(0, 100)]


async def test_a_download_is_stored_with_its_message_once(journal: Journal, clock: Clock) -> None:
    expiring = replace(media("m").ref, expires=301_000)
    await record(journal, picture("a", replace(media("m", due=7), ref=expiring)))
    stored = MediaRow(
        id="m",
        part=MediaPart.WHOLE,
        kind="image",
        message_id="id-a",
        user="wife",
        ref=expiring,
        state=MediaState.PENDING,
        attempts=0,
        empty_attempts=0,
        due=7,
        created=clock.now,
        reason="",
        blob=None,
        fetched=None,
    )
    assert await journal.media.get("m") == stored
    await record(journal, picture("a", media("n")))
    assert await journal.media.of_messages(["id-a"]) == [stored]


async def test_a_batch_that_fails_adds_no_download(journal: Journal) -> None:
    await record(journal, picture("a", media("m")))
    with pytest.raises(StoreError):
        await record(journal, picture("b", media("n")), picture("c", media("m")))
    assert await journal.media.get("n") is None
    assert (await journal.open()).seq == 1


async def test_half_a_letter_in_a_locator_does_not_stop_the_batch(journal: Journal) -> None:
    await record(
        journal, picture("a", replace(media("m"), ref=replace(media("m").ref, locator={"a": "\ud83d"})))
    )
    assert (await _row(journal, "m")).ref.locator == {"a": "?"}


async def test_downloads_come_in_the_order_in_which_they_are_due(journal: Journal) -> None:
    small = media("t", due=50, part=MediaPart.THUMBNAIL)
    await record(journal, event("e"), picture("a", media("late", due=90), small), message("b"))
    await record(journal, picture("c", media("early", due=50), media("never", due=None)))
    order = []
    while row := await journal.media.next_download():
        order.append(row.id)
        await journal.media.mark_unavailable(row.id, MediaState.FAILED, "no", ())
    assert order == ["early", "t", "late"]


async def test_an_account_sees_only_its_own_downloads(journal: Journal, work: Journal) -> None:
    await record(journal, picture("a", media("m")))
    assert await work.media.next_download() is None
    assert await work.media.get("m") is None
    assert await work.media.of_messages(["id-a"]) == []
    await work.media.mark_ready("m", blob("x"), [publication()])
    assert (await _row(journal, "m")).state is MediaState.PENDING
    assert await _waiting(work) == []


async def test_the_media_of_messages_are_found_the_whole_file_before_its_thumbnail(journal: Journal) -> None:
    await record(journal, picture("a", media("ta", part=MediaPart.THUMBNAIL), media("wa")))
    await record(journal, picture("b", media("wb"), media("tb", part=MediaPart.THUMBNAIL)))
    media_rows = await journal.media.of_messages(["id-b", "id-x", "id-a", "id-b"])
    assert [row.id for row in media_rows] == ["wb", "tb", "wa", "ta"]
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


async def test_the_end_of_an_outage_makes_due_what_failed_and_nothing_else(journal: Journal) -> None:
    """Not what brought no bytes, was not tried yet, or is due before."""
    await record(journal, picture("a", *(media(name, due=100) for name in "mnop")))
    await journal.media.postpone("m", 500, empty=0, why="WeChat does not answer")
    await journal.media.postpone("n", 500, empty=1, why="nothing came")
    await journal.media.postpone("o", 20, empty=0, why="WeChat does not answer")
    await journal.media.end_pauses(50)
    assert [(await _row(journal, name)).due for name in "mnop"] == [50, 500, 20, 100]


async def test_a_request_makes_a_download_due_earlier_and_never_later(journal: Journal) -> None:
    await record(journal, picture("a", media("m", due=100), media("n", due=20), media("o", due=0)))
    for due, expected in [(200, 100), (50, 50), (60, 50)]:
        await journal.media.request("m", due)
        assert (await _row(journal, "m")).due == expected
    await journal.media.unschedule(["n"])  # those that wait for a request, but for requested ones
    assert [(await _row(journal, name)).due for name in "mno"] == [None, 20, 0]
    assert (await _row(journal, "m")).state is MediaState.PENDING
    await journal.media.request("m", 70)
    assert (await _row(journal, "m")).due == 70


async def test_a_failed_attempt_is_counted_and_a_download_that_was_given_up_is_tried_again_on_request(
    journal: Journal,
) -> None:
    await record(journal, picture("a", media("m", due=10)))
    await journal.media.postpone("m", 20, empty=1, why="nothing came")
    await journal.media.postpone("m", 30, empty=0, why="WeChat does not answer")
    row = await _row(journal, "m")
    assert (row.attempts, row.empty_attempts, row.due, row.reason) == (2, 0, 30, "WeChat does not answer")
    await journal.media.postpone("m", 40, empty=3, why="nothing came")
    await journal.media.mark_unavailable("m", MediaState.FAILED, "a day is over", ())
    await journal.media.request("m", 500)
    row = await _row(journal, "m")
    assert (row.state, row.due, row.attempts, row.empty_attempts) == (MediaState.PENDING, 500, 0, 0)


async def test_media_that_are_gone_or_too_large_are_not_tried_again(journal: Journal) -> None:
    for name, state in (("m", MediaState.GONE), ("n", MediaState.TOO_LARGE)):
        await record(journal, picture(name, media(name)))
        await journal.media.mark_unavailable(name, state, "because", ())
        await journal.media.request(name, 500)
        row = await _row(journal, name)
        assert (row.state, row.due, row.reason) == (state, None, "because")
    assert await journal.media.next_download() is None


async def test_the_end_of_a_download_is_stored_with_its_publication_once(
    journal: Journal, clock: Clock
) -> None:
    await record(journal, picture("a", media("m"), media("n")))
    await journal.media.postpone("m", 20, empty=1, why="nothing came")
    clock.now += 5
    for _ in range(2):
        await journal.media.mark_ready("m", blob("x"), [publication(payload=b"ready")])
        await journal.media.mark_unavailable("n", MediaState.GONE, "gone", [publication(payload=b"gone")])
        await journal.media.mark_ready("unknown", blob("x"), [publication()])
        await journal.media.mark_unavailable("unknown", MediaState.GONE, "", [publication()])
        row = await _row(journal, "m")
        assert (row.state, row.blob, row.fetched) == (MediaState.READY, blob("x"), clock.now)
        assert (row.due, row.reason) == (None, "")
        assert (await _waiting(journal))[1:] == [b"ready", b"gone"]
    assert await journal.media.next_download() is None


async def test_media_whose_file_was_lost_are_downloaded_again_or_gone(journal: Journal) -> None:
    await record(journal, picture("a", media("m"), media("n")))
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
    await record(journal, picture("a", media("m")))
    await journal.media.mark_ready("m", blob("x"), ())
    assert referenced == [blob("x")]
    await database.close()
    with pytest.raises(StoreError):
        await journal.media.mark_ready("m", blob("y"), ())
    assert referenced == [blob("x")]


async def test_a_message_that_waits_for_a_file_and_later_ones_of_its_chat_are_not_published(
    journal: Journal, clock: Clock
) -> None:
    waiting = picture("b", media("m"), waits_for_file=True)
    await record(journal, message("a"), waiting, message("c", user="mom"), message("d"))

    async def listed() -> list[list[str]]:
        pages = (
            await journal.outbox.list_waiting(0, 9),
            await journal.outbox.list_waiting_in_topic("wx/in/wife", 0, 99, 9),
        )
        return [[json.loads(row.payload)["id"] for row in page] for page in pages]

    assert await listed() == [["id-a", "id-c"], ["id-a"]]
    assert await journal.media.waiting_messages() == [("b", "wx/in/wife", clock.now)]
    assert json.loads((await journal.open()).last_payload or b"")["seq"] == 4
    await journal.media.release_message("b", {})
    assert await listed() == [["id-a", "id-b", "id-c", "id-d"], ["id-a", "id-b", "id-d"]]


async def test_a_message_is_released_with_the_downloaded_file_also_after_a_restart(
    database: Database, journal: Journal, clock: Clock
) -> None:
    items = [picture(key, media(key), waits_for_file=True) for key in "bd"]
    await record(journal, *items, picture("c"))
    restarted = Journal(database, "home", clock)
    await restarted.open()
    assert [key for key, _, _ in await restarted.media.waiting_messages()] == ["b", "d"]
    await restarted.media.release_message("b", {"state": "ready", "data": "aGk="})
    await restarted.media.release_message("d", {})
    first, unchanged, other = await journal.outbox.list_waiting(0, 100)
    assert (first.id, first.topic) == (1, "wx/in/wife")
    body = json.loads(first.payload)
    assert body["image"] == {"state": "ready", "url": "/media/x", "data": "aGk="}
    assert list(body)[:3] == ["schema", "stream", "seq"]
    assert json.loads(unchanged.payload)["image"] == json.loads(other.payload)["image"]
    assert await journal.media.waiting_messages() == []


async def test_the_release_of_a_message_that_does_not_wait_changes_nothing(journal: Journal) -> None:
    await record(journal, picture("b", waits_for_file=True))
    await journal.media.release_message("b", {"n": 1})
    await publish_all(journal)
    await journal.media.release_message("b", {"n": 2})
    await journal.media.release_message("x", {"n": 2})
    assert await _waiting(journal) == []
    await record(journal, message("z"))
    before = await _waiting(journal)
    await journal.media.release_message("z", {"n": 2})
    assert await _waiting(journal) == before


async def test_a_message_that_waits_for_a_file_is_not_pruned(journal: Journal, clock: Clock) -> None:
    await record(journal, picture("b", waits_for_file=True), message("c"))
    await publish_all(journal)
    clock.now += 10**12
    assert (await journal.retention.prune(clock.now, 0, 0)).messages == 0
    assert await journal.retention.prune_history(0) == 0
    assert len(await journal.media.waiting_messages()) == 1


async def test_pending_downloads_are_counted(journal: Journal) -> None:
    await record(journal, picture("a", media("m"), media("n"), media("o", due=None)))
    assert (await journal.stats()).pending_media == 2
    await journal.media.mark_ready("m", blob("x"), ())
    assert (await journal.stats()).pending_media == 1
