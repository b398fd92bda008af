"""A small file is put into its message, which waits for it a moment; other chats do not wait."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.media.harness import PNG, MediaHarness, failing_answer, open_media_harness
from wx2mqtt.bridge.media import inline_files
from wx2mqtt.bridge.media.media_payloads import read_as_base64
from wx2mqtt.errors import Rejected, StoreFull
from wx2mqtt.model import Kind
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaRow, MediaState

RULES = Media(inline_below=1000)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MediaHarness]:
    async with open_media_harness(tmp_path, RULES) as harness:
        yield harness


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a message wait for its file for 0.1 s at most."""
    monkeypatch.setattr(inline_files, "MAX_WAIT_SECONDS", 0.1)


async def test_a_message_contains_its_small_file_and_precedes_the_event(harness: MediaHarness):
    await harness.receive("1")
    (topic, body), (after, event) = await harness.wait_for_published(2)
    assert (topic, after) == ("in/wife", "event/media")
    image = body["image"]
    assert base64.b64decode(image["data"]) == PNG + b"1"
    assert (image["state"], image["mime"], image["size"]) == ("ready", "image/png", 34)
    assert (image["path"], image["url"]) == (event["path"], event["url"])
    assert "data" not in event


async def test_a_message_that_waits_has_the_name_that_came_with_its_file(harness: MediaHarness):
    harness.files.names["1"] = "报告.pdf"
    await harness.receive("1", kind=Kind.FILE)
    (_, body), (_, event) = await harness.wait_for_published(2)
    assert (body["file"]["name"], event["name"]) == ("报告.pdf", "报告.pdf")


async def test_a_file_that_is_fetched_before_its_commit_is_known_stands_in_its_message(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    finished = asyncio.Event()
    on_media_finished = inline_files.WaitingMessages.on_media_finished

    async def record_finish(self: inline_files.WaitingMessages, row: MediaRow) -> None:
        finished.set()
        await on_media_finished(self, row)

    async def wait_for_finish() -> None:
        harness.downloader.wake()
        await finished.wait()

    monkeypatch.setattr(inline_files.WaitingMessages, "on_media_finished", record_finish)
    harness.journal.after_commit["record"] = wait_for_finish
    await harness.receive("1")
    (topic, body), (after, _) = await harness.wait_for_published(2)
    assert (topic, after) == ("in/wife", "event/media")
    assert base64.b64decode(body["image"]["data"]) == PNG + b"1"


async def test_a_message_whose_commit_failed_waits_when_it_comes_again_and_not_twice(harness: MediaHarness):
    harness.journal.failing_operations.append("record")
    with pytest.raises(StoreFull):
        await harness.receive("1")
    await harness.receive("1")
    (_, body), _ = await harness.wait_for_published(2)
    assert "data" in body["image"]
    assert not harness.downloader.waiting.by_media


async def test_what_is_not_smaller_does_not_stand_in_the_message(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(inline_below=34)) as harness:
        await harness.receive("1")
        (_, body), _ = await harness.wait_for_published(2)
        assert body["image"].keys() == {"state", "url"}  # it was let go before the end was known
        await harness.wait_for_state("1", MediaState.READY)


async def test_a_message_does_not_wait_for_more_than_it_could_hold(harness: MediaHarness):
    harness.files.answer("1", [b"x" * 1000, asyncio.Event()])
    await harness.receive("1")
    ((topic, body),) = await harness.wait_for_published(1)
    assert (topic, body["image"]["state"]) == ("in/wife", "pending")
    assert harness.files.open == 1


async def test_only_its_own_chat_waits_and_keeps_its_order(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("2", [still, PNG])
    await harness.receive("1", kind=Kind.TEXT)
    await harness.receive("2")
    await harness.receive("3", "4", kind=Kind.TEXT)
    await harness.receive("5", "6", user="mom", kind=Kind.TEXT)
    sent = await harness.wait_for_published(3)
    assert [body["id"] for _, body in sent] == ["1", "5", "6"]
    still.set()
    sent = await harness.wait_for_published(6)
    assert [body["id"] for topic, body in sent if topic == "in/wife"] == ["1", "2", "3", "4"]


async def test_a_message_whose_bytes_do_not_come_in_time_goes_without(
    harness: MediaHarness, short_wait: None
):
    harness.files.answer("1", [asyncio.Event()])
    await harness.receive("1")
    await harness.receive("2", kind=Kind.TEXT)
    sent = await harness.wait_for_published(2)
    assert [body["id"] for _, body in sent] == ["1", "2"]
    assert sent[0][1]["image"]["state"] == "pending"


async def test_a_file_that_is_late_is_announced_by_its_event(harness: MediaHarness, short_wait: None):
    late = asyncio.Event()
    harness.files.answer("1", [late, PNG])
    await harness.receive("1")
    await harness.wait_for_published(1)
    late.set()
    _, (topic, event) = await harness.wait_for_published(2)
    assert (topic, event["state"]) == ("event/media", "ready")


async def test_pictures_that_keep_coming_do_not_hold_their_chat_for_ever(
    harness: MediaHarness, short_wait: None
):
    """Each message waits for its own time, however many others wait behind it."""
    harness.files.answer("0", [asyncio.Event()])
    for number in range(10):
        await harness.receive(f"{number}")
        await asyncio.sleep(0.03)  # a picture every now and then, as people send them
    sent = await harness.wait_for_published(10)
    assert [body["id"] for _, body in sent] == [f"{number}" for number in range(10)]


async def test_a_message_does_not_wait_for_bytes_that_a_reload_has_called_off(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inline_files, "MAX_WAIT_SECONDS", 60.0)
    harness.set_conditions(online=False)
    await harness.receive("1")
    harness.apply(Media(download=False, inline_below=1000))
    ((topic, body),) = await harness.wait_for_published(1)
    assert (topic, body["image"]["state"]) == ("in/wife", "pending")
    assert harness.files.asked == []


async def test_a_message_whose_bytes_are_gone_says_so_itself(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Rejected, code="gone"))
    await harness.receive("1")
    (topic, body), (_, event) = await harness.wait_for_published(2)
    assert (topic, body["image"]["state"]) == ("in/wife", "gone")
    assert event["state"] == "gone"


async def test_a_message_without_bytes_of_its_own_does_not_wait(harness: MediaHarness):
    harness.set_conditions(online=False)
    await harness.receive("1", kind=Kind.STICKER, media=None)
    ((_, body),) = await harness.wait_for_published(1)
    assert body["sticker"] == {"state": "gone"}


async def test_messages_that_an_earlier_process_held_for_their_files_are_published_at_once(tmp_path: Path):
    async with open_media_harness(tmp_path, RULES, runs=False) as harness:
        await harness.receive("1")
        await harness.receive("2", kind=Kind.TEXT)
        await harness.receive("3", kind=Kind.TEXT, user="mom")
        assert [topic for topic, _ in await harness.wait_for_published(1)] == ["in/mom"]
    async with open_media_harness(tmp_path, RULES) as harness:
        harness.set_conditions(online=False)
        sent = await harness.wait_for_published(2)
        assert [body["id"] for topic, body in sent if topic == "in/wife"] == ["1", "2"]


async def test_a_message_that_comes_before_those_of_an_earlier_process_are_read_waits_for_its_file(
    tmp_path: Path,
):
    async with open_media_harness(tmp_path, RULES, runs=False) as harness:
        await harness.receive("1")
        running = asyncio.create_task(harness.downloader.run())
        (_, body), _ = await harness.wait_for_published(2)
        running.cancel()
        await asyncio.wait({running})
    assert "data" in body["image"]


async def test_a_disk_that_fails_lets_the_message_go_later(harness: MediaHarness):
    harness.journal.failing_operations += ["release_message", "release_message"]
    await harness.receive("1")
    (_, body), _ = await harness.wait_for_published(2)
    assert "data" in body["image"]


async def test_a_file_that_somebody_took_away_in_between_does_not_stop_the_message(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    async def delete_and_read(file: Path) -> str:
        await asyncio.to_thread(file.unlink)
        return await read_as_base64(file)

    monkeypatch.setattr(inline_files, "read_as_base64", delete_and_read)
    await harness.receive("1")
    (_, body), _ = await harness.wait_for_published(2)
    assert body["image"]["state"] == "ready"
    assert "data" not in body["image"]


async def test_a_burst_of_pictures_comes_out_whole_and_in_order(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inline_files, "MAX_WAIT_SECONDS", MAX_WAIT_SECONDS)  # a busy machine takes longer
    keys = [f"{number}" for number in range(100)]
    await harness.receive(*keys)
    sent = await harness.wait_for_published(200)
    pictures = [body for topic, body in sent if topic == "in/wife"]
    assert [body["id"] for body in pictures] == keys
    assert all(base64.b64decode(body["image"]["data"]) == PNG + body["id"].encode() for body in pictures)
