"""Small ones stand in the message itself; it waits for them a moment, and nothing else does."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.media.works import PNG, Works, trouble, working
from wx2mqtt.bridge.media import inline as module
from wx2mqtt.bridge.media.payloads import read_as_base64
from wx2mqtt.errors import Rejected, StoreFull
from wx2mqtt.model import Kind
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaRow, MediaState

RULES = Media(inline_below=1000)


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with working(tmp_path, RULES) as works:
        yield works


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message waits for a moment that is over at once."""
    monkeypatch.setattr(module, "MAX_HOLD_SECONDS", 0.1)


async def test_a_message_contains_its_small_file_and_precedes_the_event(works: Works):
    await works.comes("1")
    (topic, body), (after, event) = await works.published(2)
    assert (topic, after) == ("in/wife", "event/media")
    image = body["image"]
    assert base64.b64decode(image["data"]) == PNG + b"1"
    assert (image["state"], image["mime"], image["size"]) == ("ready", "image/png", 34)
    assert (image["path"], image["url"]) == (event["path"], event["url"])
    assert "data" not in event


async def test_a_file_that_is_fetched_before_its_commit_is_known_stands_in_its_message(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    finished = asyncio.Event()
    on_media_finished = module.InlineHold.on_media_finished

    async def noticed(self: module.InlineHold, row: MediaRow) -> None:
        finished.set()
        await on_media_finished(self, row)

    async def fetched() -> None:
        works.room.wake()
        await finished.wait()

    monkeypatch.setattr(module.InlineHold, "on_media_finished", noticed)
    works.journal.before_known["record"] = fetched
    await works.comes("1")
    (topic, body), (after, _) = await works.published(2)
    assert (topic, after) == ("in/wife", "event/media")
    assert base64.b64decode(body["image"]["data"]) == PNG + b"1"


async def test_a_message_whose_commit_failed_is_held_when_it_comes_again_and_not_twice(works: Works):
    works.journal.troubles.append("record")
    with pytest.raises(StoreFull):
        await works.comes("1")
    await works.comes("1")
    (_, body), _ = await works.published(2)
    assert "data" in body["image"]
    assert not works.room._inline_hold._held


async def test_what_is_not_smaller_does_not_stand_in_the_message(tmp_path: Path):
    async with working(tmp_path, Media(inline_below=34)) as works:
        await works.comes("1")
        (_, body), _ = await works.published(2)
        assert body["image"].keys() == {"state", "url"}  # it was let go before the end was known
        await works.is_in("1", MediaState.READY)


async def test_a_message_does_not_wait_for_more_than_it_could_hold(works: Works):
    works.files.answer("1", [b"x" * 1000, asyncio.Event()])
    await works.comes("1")
    ((topic, body),) = await works.published(1)
    assert (topic, body["image"]["state"]) == ("in/wife", "pending")
    assert works.files.open == 1


async def test_only_its_own_chat_waits_and_keeps_its_order(works: Works):
    still = asyncio.Event()
    works.files.answer("2", [still, PNG])
    await works.comes("1", kind=Kind.TEXT)
    await works.comes("2")
    await works.comes("3", "4", kind=Kind.TEXT)
    await works.comes("5", "6", user="mom", kind=Kind.TEXT)
    sent = await works.published(3)
    assert [body["id"] for _, body in sent] == ["1", "5", "6"]
    still.set()
    sent = await works.published(6)
    assert [body["id"] for topic, body in sent if topic == "in/wife"] == ["1", "2", "3", "4"]


async def test_a_message_whose_bytes_do_not_come_in_time_goes_without(works: Works, impatient: None):
    works.files.answer("1", [asyncio.Event()])
    await works.comes("1")
    await works.comes("2", kind=Kind.TEXT)
    sent = await works.published(2)
    assert [body["id"] for _, body in sent] == ["1", "2"]
    assert sent[0][1]["image"]["state"] == "pending"


async def test_a_file_that_is_late_is_announced_by_its_event(works: Works, impatient: None):
    late = asyncio.Event()
    works.files.answer("1", [late, PNG])
    await works.comes("1")
    await works.published(1)
    late.set()
    _, (topic, event) = await works.published(2)
    assert (topic, event["state"]) == ("event/media", "ready")


async def test_pictures_that_keep_coming_do_not_hold_their_chat_for_ever(works: Works, impatient: None):
    """Each waits its own time, however many others wait behind it."""
    works.files.answer("0", [asyncio.Event()])
    for number in range(10):
        await works.comes(f"{number}")
        await asyncio.sleep(0.03)  # a picture every now and then, as people send them
    sent = await works.published(10)
    assert [body["id"] for _, body in sent] == [f"{number}" for number in range(10)]


async def test_a_message_does_not_wait_for_bytes_that_a_reload_has_called_off(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_HOLD_SECONDS", 60.0)
    works.put(online=False)
    await works.comes("1")
    works.apply(Media(download=False, inline_below=1000))
    ((topic, body),) = await works.published(1)
    assert (topic, body["image"]["state"]) == ("in/wife", "pending")
    assert works.files.asked == []


async def test_a_message_whose_bytes_are_gone_says_so_itself(works: Works):
    works.files.answer("1", trouble(Rejected, code="gone"))
    await works.comes("1")
    (topic, body), (_, event) = await works.published(2)
    assert (topic, body["image"]["state"]) == ("in/wife", "gone")
    assert event["state"] == "gone"


async def test_a_message_without_bytes_of_its_own_does_not_wait(works: Works):
    works.put(online=False)
    await works.comes("1", kind=Kind.STICKER, media=None)
    ((_, body),) = await works.published(1)
    assert body["sticker"] == {"state": "gone"}


async def test_what_an_earlier_life_held_goes_out_at_once(tmp_path: Path):
    async with working(tmp_path, RULES, runs=False) as works:
        await works.comes("1")
        await works.comes("2", kind=Kind.TEXT)
        await works.comes("3", kind=Kind.TEXT, user="mom")
        assert [topic for topic, _ in await works.published(1)] == ["in/mom"]
    async with working(tmp_path, RULES) as works:
        works.put(online=False)
        sent = await works.published(2)
        assert [body["id"] for topic, body in sent if topic == "in/wife"] == ["1", "2"]


async def test_what_comes_before_the_messages_of_an_earlier_life_are_known_waits_for_its_file(
    tmp_path: Path,
):
    async with working(tmp_path, RULES, runs=False) as works:
        await works.comes("1")
        running = asyncio.create_task(works.room.run())
        (_, body), _ = await works.published(2)
        running.cancel()
        await asyncio.wait({running})
    assert "data" in body["image"]


async def test_a_disk_that_fails_lets_the_message_go_later(works: Works):
    works.journal.troubles += ["release_message", "release_message"]
    await works.comes("1")
    (_, body), _ = await works.published(2)
    assert "data" in body["image"]


async def test_a_file_that_somebody_took_away_in_between_does_not_stop_the_message(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    async def away(file: Path) -> str:
        await asyncio.to_thread(file.unlink)
        return await read_as_base64(file)

    monkeypatch.setattr(module, "read_as_base64", away)
    await works.comes("1")
    (_, body), _ = await works.published(2)
    assert body["image"]["state"] == "ready"
    assert "data" not in body["image"]


async def test_a_burst_of_pictures_comes_out_whole_and_in_order(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_HOLD_SECONDS", MAX_WAIT_SECONDS)  # a busy machine takes longer
    keys = [f"{number}" for number in range(100)]
    await works.comes(*keys)
    sent = await works.published(200)
    pictures = [body for topic, body in sent if topic == "in/wife"]
    assert [body["id"] for body in pictures] == keys
    assert all(base64.b64decode(body["image"]["data"]) == PNG + body["id"].encode() for body in pictures)
