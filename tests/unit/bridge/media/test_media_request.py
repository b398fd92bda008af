"""The request `media`: answers with the file of a message, its thumbnail or an avatar, or says why not."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.contexts import changed
from tests.unit.bridge.media.harness import PNG, MediaHarness, failing_answer, open_media_harness
from wx2mqtt.bridge.media import media_request
from wx2mqtt.bridge.media.media_request import AVATAR_REFRESH_MS
from wx2mqtt.errors import BadCommand, Rejected, Unreachable
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Handle, Kind, MediaRef
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaState

WIFE, AVATAR = Handle("@wife"), MediaRef(locator={"msgid": "face"})


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MediaHarness]:
    async with open_media_harness(tmp_path) as harness:
        yield harness


async def refused(harness: MediaHarness, max_bytes: int | None = None, **fields: Any) -> BadCommand:
    """Returns the error of a refused request, for which both languages have a sentence."""
    with pytest.raises(BadCommand) as caught:
        await harness.ask(max_bytes, **fields)
    bad = caught.value
    assert bad.code in REQUEST_CODES
    assert rejection_text("en", bad)
    assert rejection_text("zh", bad)
    return bad


async def test_the_answer_says_where_the_bytes_are_and_what_they_are(harness: MediaHarness):
    await harness.receive("77")
    answer = await harness.ask(message_id="77")
    row = await harness.row("77")
    assert row.blob is not None
    assert answer == {
        "url": f"/media/{row.id}",
        "path": row.blob.path,
        "mime": "image/png",
        "size": 35,
        "sha256": row.blob.sha256,
        "width": 2,
        "height": 3,
        "media_id": row.id,
        "message_id": "77",
    }
    assert await harness.ask(id=row.id) == answer


async def test_a_number_is_taken_as_its_text(harness: MediaHarness):
    await harness.receive("77")
    assert (await harness.ask(message_id=77))["message_id"] == "77"


async def test_the_small_picture_is_another_one(harness: MediaHarness):
    await harness.receive("77", thumbnail=MediaRef(locator={"msgid": "small"}))
    answer = await harness.ask(message_id="77", thumbnail=True, inline=True)
    assert base64.b64decode(answer["data"]) == PNG + b"small"


async def test_a_message_without_a_small_picture_says_so(harness: MediaHarness):
    await harness.receive("77")
    bad = await refused(harness, message_id="77", thumbnail=True)
    assert bad.code == "unknown_message"


@pytest.mark.parametrize("fields", [{"message_id": "1"}, {"id": "1"}])
async def test_the_id_of_no_file_is_unknown(harness: MediaHarness, fields: dict[str, Any]):
    await harness.receive("1", kind=Kind.TEXT)
    assert (await refused(harness, **fields)).code == "unknown_message"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"message_id": ""},
        {"message_id": "1", "avatar": "wife"},
        {"id": "1", "message_id": "1"},
        {"message_id": None},
        {"message_id": ["1"]},
        {"message_id": True},
        {"message_id": "1", "inline": "yes"},
        {"message_id": "1", "thumbnail": 1},
        {"message_id": "1", "thumbnial": True},
        {"avatar": 5.5},
    ],
)
async def test_a_media_request_with_wrong_keys_is_refused(harness: MediaHarness, fields: dict[str, Any]):
    assert (await refused(harness, **fields)).code == "bad_request"


async def test_bytes_that_are_under_way_are_waited_for(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("1", [still, PNG])
    await harness.receive("1")
    asking = asyncio.create_task(harness.ask(message_id="1"))
    await harness.wait_for_requests(1)
    still.set()
    assert (await asking)["size"] == 33


async def test_what_does_not_come_in_time_is_not_ready(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(media_request, "MEDIA_WAIT_TIMEOUT_SECONDS", 0.05)
    harness.files.answer("1", [asyncio.Event()])
    await harness.receive("1")
    assert (await refused(harness, message_id="1")).code == "not_ready"


async def test_what_is_gone_says_why(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Rejected, "WeChat does not have it any more", code="gone"))
    await harness.receive("1")
    bad = await refused(harness, message_id="1")
    assert bad.code == "gone"
    assert rejection_text("en", bad) == "there are no bytes: WeChat does not have it any more"


async def test_what_failed_says_why(harness: MediaHarness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wx2mqtt.bridge.media.stored_media.REQUESTED_RETRY_DELAY_MS", 0)
    harness.files.answer("1", failing_answer(Rejected, "not for you"))
    await harness.receive("1")
    bad = await refused(harness, message_id="1")
    assert bad.code == "fetch_failed"
    assert "not for you" in rejection_text("en", bad)


async def test_what_is_too_large_says_so(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(max_size=10)) as harness:
        await harness.receive("1")
        bad = await refused(harness, message_id="1")
        assert bad.code == "too_large"
        assert "media.max_size" in rejection_text("en", bad)


# the file in the answer


async def test_small_bytes_come_in_the_answer_if_they_are_wanted(harness: MediaHarness):
    await harness.receive("1")
    assert base64.b64decode((await harness.ask(message_id="1", inline=True))["data"]) == PNG + b"1"
    assert "data" not in await harness.ask(message_id="1", inline=False)


async def test_bytes_that_the_broker_would_not_take_are_refused_with_the_url(harness: MediaHarness):
    harness.files.answer("1", [b"x" * 6001])
    await harness.receive("1")
    bad = await refused(harness, 10_000, message_id="1", inline=True)
    assert bad.code == "too_large"
    assert (await harness.ask(10_000, message_id="1"))["url"] in rejection_text("en", bad)
    harness.files.answer("2", [b"x" * 6000])
    await harness.receive("2")
    assert len((await harness.ask(10_000, message_id="2", inline=True))["data"]) == 8000


@pytest.mark.parametrize("max_bytes", [None, 100_000_000])
async def test_an_answer_has_a_megabyte_at_most(harness: MediaHarness, max_bytes: int | None):
    harness.files.answer("1", [b"x" * 1_000_000])
    harness.files.answer("2", [b"x" * 1_000_001])
    await harness.receive("1", "2")
    assert len((await harness.ask(max_bytes, message_id="1", inline=True))["data"]) > 1_300_000
    assert (await refused(harness, max_bytes, message_id="2", inline=True)).code == "too_large"


async def test_without_a_server_the_path_is_the_cure(tmp_path: Path):
    async with open_media_harness(tmp_path) as harness:
        harness.ctx.settings = changed(harness.ctx.settings, media_base_url=None)
        await harness.receive("1")
        answer = await harness.ask(message_id="1")
        assert "url" not in answer
        bad = await refused(harness, 1000, message_id="1", inline=True)
        assert answer["path"] in rejection_text("en", bad)


# avatars


async def test_an_avatar_is_fetched_when_it_is_asked_for_and_kept(harness: MediaHarness):
    harness.files.avatars[WIFE] = AVATAR
    answer = await harness.ask(avatar="wife", inline=True)
    assert base64.b64decode(answer["data"]) == PNG + b"face"
    assert "message_id" not in answer
    assert (await harness.ask(avatar="wife"))["media_id"] == answer["media_id"]
    assert harness.files.asked == ["face"]
    assert harness.broker.sent == []  # no event


async def test_after_a_day_an_avatar_is_fetched_again(harness: MediaHarness):
    harness.files.avatars[WIFE] = AVATAR
    harness.clock.now -= AVATAR_REFRESH_MS
    harness.files.answer("face", [PNG + b"young"], [PNG + b"old"])
    first = await harness.ask(avatar="wife")
    harness.clock.now += AVATAR_REFRESH_MS
    second = await harness.ask(avatar="wife", inline=True)
    assert base64.b64decode(second["data"]) == PNG + b"old"
    assert second["media_id"] != first["media_id"]


@pytest.mark.parametrize("why", ["refused", "nobody knows where"])
async def test_where_no_new_one_is_to_be_had_the_last_one_is(harness: MediaHarness, why: str):
    harness.files.avatars[WIFE] = AVATAR
    harness.clock.now -= AVATAR_REFRESH_MS
    harness.files.answer(
        "face", [PNG], failing_answer(Rejected, "WeChat does not have it any more", code="gone")
    )
    first = await harness.ask(avatar="wife")
    harness.clock.now += AVATAR_REFRESH_MS
    if why != "refused":
        harness.files.avatars.clear()
    assert await harness.ask(avatar="wife") == first


async def test_one_that_is_not_to_be_had_is_not_asked_for_again_and_again(harness: MediaHarness):
    harness.files.avatars[WIFE] = AVATAR
    harness.files.answer("face", failing_answer(Rejected, "WeChat does not have it any more", code="gone"))
    for _ in range(3):
        assert (await refused(harness, avatar="wife")).code == "gone"
    assert harness.files.asked == ["face"]


async def test_the_avatar_of_somebody_without_a_picture_is_gone(harness: MediaHarness):
    assert (await refused(harness, avatar="mom")).code == "gone"


async def test_a_person_who_is_not_in_this_login_has_no_avatar(harness: MediaHarness):
    assert (await refused(harness, avatar="lost")).code == "gone"


async def test_the_avatar_of_an_unknown_person_is_rejected(harness: MediaHarness):
    assert (await refused(harness, avatar="nobody")).code == "unknown_user"


async def test_an_avatar_whose_server_is_away_is_not_ready(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(media_request, "MEDIA_WAIT_TIMEOUT_SECONDS", 0.05)
    harness.files.avatars[WIFE] = AVATAR
    harness.files.answer("face", failing_answer(Unreachable))
    assert (await refused(harness, avatar="wife")).code == "not_ready"
    assert (await harness.journal.media.newest_avatar("wife")).state is MediaState.PENDING  # type: ignore[union-attr]
