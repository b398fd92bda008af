"""Received files: they are fetched beside everything else, announced, requested, and part of messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import allowed
from tests.support.home import Home

KINDS = [
    ("image", "image", "image/jpeg"),
    ("voice", "voice", "audio/mpeg"),
    ("video", "video", "video/mp4"),
    ("sticker", "sticker", "image/gif"),
    ("file", "file", "application/pdf"),
    ("app_image", "image", "image/jpeg"),
]
PICTURE = "webwxgetmsgimg"


async def send_media(home: Home, kind: str = "image", who: str = "wife", **more: Any) -> str:
    """Lets somebody send media; returns the message id."""
    (message_id,) = await home.control.say(who, kind=kind, **more)
    return message_id


async def published_message(home: Home, message_id: str, user: str = "wife") -> dict[str, Any]:
    return await home.body(f"wx/in/{user}", id=message_id)


async def media_event_of(home: Home, message_id: str) -> dict[str, Any]:
    """Waits for the event about the media of a message."""
    return await home.body("wx/event/media", message_id=message_id)


def stored_bytes(home: Home, media_event: dict[str, Any]) -> bytes:
    return (home.bridge.store / str(media_event["path"])).read_bytes()


def stored_files(home: Home) -> list[Path]:
    return [file for file in (home.bridge.store / "media").rglob("*") if file.is_file()]


@contextlib.asynccontextmanager
async def fault(home: Home, kind: str, endpoint: str = PICTURE, **more: Any) -> AsyncIterator[None]:
    await home.control.post("fault", endpoint=endpoint, kind=kind, **more)
    yield
    await home.control.post("fault/clear")


def with_media(home: Home, **media: Any) -> None:
    home.bridge.configure(home.settings({"media": media}))


shared = pytest.mark.asyncio(loop_scope="module")
"""For tests of the one bridge that all of them share."""


@shared
@pytest.mark.parametrize(("said", "kind", "mime"), KINDS, ids=[row[0] for row in KINDS])
async def test_the_bytes_of_every_kind_come_as_they_were_sent(shared_home: Home, said, kind, mime):
    home = shared_home
    message_id = await send_media(home, said)
    body = await published_message(home, message_id)
    event = await media_event_of(home, message_id)
    expected = await home.control.content(message_id)
    assert (body["kind"], body[kind]["state"]) == (kind, "pending")
    assert body[kind]["url"] == event["url"] == f"/media/{event['media_id']}"
    assert (event["state"], event["user"], event["mime"], event["size"]) == (
        "ready",
        "wife",
        mime,
        len(expected),
    )
    assert event["sha256"] == hashlib.sha256(expected).hexdigest()
    assert stored_bytes(home, event) == expected
    assert ("width" in event) is mime.startswith("image/")


@shared
async def test_a_small_picture_and_a_whole_one_in_an_answer(shared_home: Home):
    home = shared_home
    message_id = await send_media(home)
    thumbnail = (await published_message(home, message_id))["image"]["thumbnail"]
    for part in ("", "thumbnail"):
        answer = await home.send_request(
            "media", {"message_id": message_id, "thumbnail": bool(part), "inline": True}
        )
        assert base64.b64decode(answer["data"]["data"]) == await home.control.content(
            message_id, thumbnail=bool(part)
        )
    assert thumbnail["url"].endswith(answer["data"]["media_id"])


@shared
async def test_the_profile_pictures_of_a_person_and_of_a_group_can_be_requested(shared_home: Home):
    home = shared_home
    wife, family = [await home.send_request("media", {"avatar": user}) for user in ("wife", "family")]
    assert wife["data"]["mime"] == family["data"]["mime"] == "image/jpeg"
    assert stored_bytes(home, wife["data"]) != stored_bytes(home, family["data"])
    again = await home.send_request("media", {"avatar": "wife"})
    assert again["data"]["media_id"] == wife["data"]["media_id"]


@shared
async def test_a_location_has_a_thumbnail_only(shared_home: Home):
    home = shared_home
    message_id = await send_media(home, "location")
    assert (await published_message(home, message_id))["location"]["thumbnail"]["state"] == "pending"
    whole = await home.send_request("media", {"message_id": message_id})
    assert whole["code"] == "unknown_message"
    small = await home.send_request("media", {"message_id": message_id, "thumbnail": True})
    assert stored_bytes(home, small["data"]) == await home.control.content(message_id, thumbnail=True)


@shared
async def test_media_that_wechat_does_not_have_yet_are_fetched_later(shared_home: Home):
    home = shared_home
    await home.control.post("settings", empty_downloads=2)
    message_id = await send_media(home, "video")
    await home.control.wait("calls:webwxgetvideo:2")
    await home.control.post("settings", empty_downloads=0)
    assert (await media_event_of(home, message_id))["state"] == "ready"


@shared
@pytest.mark.parametrize("how", ["json", "html"])
async def test_media_that_wechat_has_no_more_are_gone(shared_home: Home, how: str):
    home = shared_home
    await home.control.post("settings", gone_media=how)
    message_id = await send_media(home)
    event = await media_event_of(home, message_id)
    await home.control.post("settings", gone_media="")
    assert (event["state"], event["reason"]) == ("gone", "WeChat does not have it any more")
    answer = await home.send_request("media", {"message_id": message_id})
    assert (answer["status"], answer["code"]) == ("error", "gone")


@shared
async def test_a_sticker_of_the_shop_has_no_bytes_from_the_start(shared_home: Home):
    body = await published_message(shared_home, await send_media(shared_home, "store_sticker"))
    assert body["sticker"]["state"] == "gone"
    assert "url" not in body["sticker"]


@shared
@pytest.mark.parametrize("trouble", ["reset", "truncate", "status", "drop_answer", "bad_status_line"])
async def test_a_download_that_breaks_off_is_tried_again_by_itself(shared_home: Home, trouble: str):
    home = shared_home
    async with fault(home, trouble):
        message_id = await send_media(home)
        assert stored_bytes(home, await media_event_of(home, message_id)) == await home.control.content(
            message_id
        )


@shared
async def test_texts_arrive_while_a_download_hangs(shared_home: Home):
    home = shared_home
    async with fault(home, "stall"):
        message_id = await send_media(home)
        await published_message(home, message_id)
        for who, user in (("wife", "wife"), ("mom", "妈妈")):
            texts = await home.control.say(who, "text {n}", count=200)
            await published_message(home, texts[-1], user)
            assert [
                published_message.body["id"] for published_message in home.subscriber.on(f"wx/in/{user}")
            ][-200:] == texts
        assert not [
            published_message
            for published_message in home.subscriber.on("wx/event/media")
            if published_message.body["message_id"] == message_id
        ]


@shared
async def test_the_health_counts_stored_media(shared_home: Home):
    health = await shared_home.send_request("health")
    media = health["data"]["media"]
    assert media["ready"] > 0
    assert media["gone"] > 0
    assert media["size"] == sum(file.stat().st_size for file in stored_files(shared_home))


# with settings of their own


async def test_a_download_that_is_larger_than_allowed_is_broken_off_whatever_size_was_announced(home: Home):
    with_media(home, max_size="100kB")
    await home.log_in()
    large = await send_media(home, "file", bytes_of=5_000_000)
    small = await send_media(home, "file", bytes_of=100_000)
    event = await media_event_of(home, large)
    assert (event["state"], "path" in event) == ("too_large", False)
    assert "media.max_size (0.1 MB)" in event["reason"]
    assert len(stored_bytes(home, await media_event_of(home, small))) == 100_000
    assert len(stored_files(home)) == 1
    answer = await home.send_request("media", {"message_id": large})
    assert answer["code"] == "too_large"


async def test_without_download_only_requested_media_are_fetched(home: Home):
    with_media(home, download=False)
    await home.log_in()
    first, second = await send_media(home), await send_media(home)
    await published_message(home, second)
    answer = await home.send_request("media", {"message_id": second})
    assert stored_bytes(home, answer["data"]) == await home.control.content(second)
    assert len(stored_files(home)) == 1
    assert not [
        published_message
        for published_message in home.subscriber.on("wx/event/media")
        if published_message.body["message_id"] == first
    ]


async def test_small_pictures_are_part_of_the_message_and_only_their_chat_waits(home: Home):
    with_media(home, inline_below="50kB")
    await home.log_in()
    message_id = await send_media(home)
    body = await published_message(home, message_id)
    assert base64.b64decode(body["image"]["data"]) == await home.control.content(message_id)
    assert body["image"]["state"] == "ready"

    large = await send_media(home, bytes_of=2_000_000)
    assert "data" not in (await published_message(home, large))["image"]

    async with fault(home, "hang"):
        started_at = asyncio.get_running_loop().time()
        delayed_id = await send_media(home)
        following_id = (await home.control.say("wife", "behind it"))[0]
        (beside,) = await home.control.say("mom", "beside it")
        await published_message(home, beside, "妈妈")
        assert not [
            published_message
            for published_message in home.subscriber.on("wx/in/wife")
            if published_message.body["id"] in {delayed_id, following_id}
        ]
        await published_message(home, following_id)
        took = asyncio.get_running_loop().time() - started_at
    assert 4.5 < took < allowed(8)
    ids = [published_message.body["id"] for published_message in home.subscriber.on("wx/in/wife")]
    assert ids == [message_id, large, delayed_id, following_id]
    assert [published_message.body["seq"] for published_message in home.subscriber.on("wx/in/#")].count(
        4
    ) == 1


async def test_a_kill_during_a_download_loses_no_job_and_leaves_no_partial_file(home: Home):
    with_media(home, inline_below="50kB")
    await home.log_in()
    await home.control.post("fault", endpoint="webwxgetmedia", kind="stall", value=700_000, times=1)
    message_id = await send_media(home, "file", bytes_of=1_000_000)
    following_id = await send_media(home)
    await published_message(home, message_id)
    await home.control.wait("calls:webwxgetmedia:1")
    await home.in_thread(home.bridge.kill)
    await home.restart()
    for ident in (message_id, following_id):
        assert stored_bytes(home, await media_event_of(home, ident)) == await home.control.content(ident)
    await home.send_request("media", {"message_id": following_id, "thumbnail": True})
    assert not [file for file in stored_files(home) if file.name.startswith(".")]
    assert len({published_message.body["seq"] for published_message in home.subscriber.on("wx/in/wife")}) == 2


async def test_a_stop_does_not_wait_for_a_download_and_the_next_start_begins_it_anew(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="stall", times=1)
    message_id = await send_media(home, bytes_of=600_000)
    await published_message(home, message_id)
    await home.control.wait(f"calls:{PICTURE}:1")
    started_at = asyncio.get_running_loop().time()
    await home.in_thread(home.bridge.stop)
    assert asyncio.get_running_loop().time() - started_at < allowed(4)
    assert stored_files(home) == []
    await home.restart()
    assert stored_bytes(home, await media_event_of(home, message_id)) == await home.control.content(
        message_id
    )


async def test_pictures_that_could_not_be_fetched_are_fetched_after_the_next_start(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="status", value=502, times=0)
    ids = [await send_media(home) for _ in range(3)]
    await published_message(home, ids[-1])
    await home.in_thread(home.bridge.stop)
    await home.control.post("fault/clear")
    await home.restart()
    for ident in ids:
        assert stored_bytes(home, await media_event_of(home, ident)) == await home.control.content(ident)


async def test_after_a_restart_without_download_only_what_is_requested_is_fetched(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="status", value=502, times=0)
    ids = [await send_media(home) for _ in range(3)]
    await published_message(home, ids[-1])
    await home.in_thread(home.bridge.stop)
    await home.control.post("fault/clear")
    before = (await home.control.get("state"))["calls"][PICTURE]
    with_media(home, download=False)
    await home.restart()
    answer = await home.send_request("media", {"message_id": ids[1]})
    assert stored_bytes(home, answer["data"]) == await home.control.content(ids[1])
    await home.in_thread(home.bridge.stop)
    assert (await home.control.get("state"))["calls"][PICTURE] == before + 1


async def test_never_two_downloads_at_a_time(home: Home):
    await home.log_in()
    await home.control.post("settings", mix_downloads=True)
    ids = await home.control.say("wife", kind="image", count=20)
    for ident in ids:
        event = await media_event_of(home, ident)
        assert event["sha256"] == hashlib.sha256(await home.control.content(ident)).hexdigest()
    assert (await home.control.get("state"))["downloads"]["most"] == 1


async def test_a_changed_limit_takes_effect_at_once(home: Home):
    await home.log_in()
    with_media(home, max_size="10kB")
    answer = await home.send_request("reload")
    assert answer["data"] == {"applied": ["accounts.home.media.max_size"], "needs_restart": []}
    assert (await media_event_of(home, await send_media(home, "file", bytes_of=20_000)))[
        "state"
    ] == "too_large"
