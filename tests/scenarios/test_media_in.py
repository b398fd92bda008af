"""Bytes that come with messages: fetched beside everything else, told, asked for, in the message itself."""

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


async def say(home: Home, kind: str = "image", who: str = "wife", **more: Any) -> str:
    """Somebody sends bytes; the message id."""
    (message_id,) = await home.control.say(who, kind=kind, **more)
    return message_id


async def message(home: Home, message_id: str, user: str = "wife") -> dict[str, Any]:
    return await home.body(f"wx/in/{user}", id=message_id)


async def told(home: Home, message_id: str) -> dict[str, Any]:
    """What is told of the bytes of a message."""
    return await home.body("wx/event/media", message_id=message_id)


def stored(home: Home, told_of_it: dict[str, Any]) -> bytes:
    return (home.bridge.store / str(told_of_it["path"])).read_bytes()


def files(home: Home) -> list[Path]:
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
    message_id = await say(home, said)
    body = await message(home, message_id)
    event = await told(home, message_id)
    truth = await home.control.content(message_id)
    assert (body["kind"], body[kind]["state"]) == (kind, "pending")
    assert body[kind]["url"] == event["url"] == f"/media/{event['media_id']}"
    assert (event["state"], event["user"], event["mime"], event["size"]) == (
        "ready",
        "wife",
        mime,
        len(truth),
    )
    assert event["sha256"] == hashlib.sha256(truth).hexdigest()
    assert stored(home, event) == truth
    assert ("width" in event) is mime.startswith("image/")


@shared
async def test_a_small_picture_and_a_whole_one_in_an_answer(shared_home: Home):
    home = shared_home
    message_id = await say(home)
    shown = (await message(home, message_id))["image"]["thumbnail"]
    for part in ("", "thumbnail"):
        answer = await home.send_request(
            "media", {"message_id": message_id, "thumbnail": bool(part), "inline": True}
        )
        assert base64.b64decode(answer["data"]["data"]) == await home.control.content(
            message_id, thumbnail=bool(part)
        )
    assert shown["url"].endswith(answer["data"]["media_id"])


@shared
async def test_somebodys_picture_and_that_of_a_group(shared_home: Home):
    home = shared_home
    wife, family = [await home.send_request("media", {"avatar": user}) for user in ("wife", "family")]
    assert wife["data"]["mime"] == family["data"]["mime"] == "image/jpeg"
    assert stored(home, wife["data"]) != stored(home, family["data"])
    again = await home.send_request("media", {"avatar": "wife"})
    assert again["data"]["media_id"] == wife["data"]["media_id"]


@shared
async def test_a_place_has_a_small_picture_only(shared_home: Home):
    home = shared_home
    message_id = await say(home, "location")
    assert (await message(home, message_id))["location"]["thumbnail"]["state"] == "pending"
    whole = await home.send_request("media", {"message_id": message_id})
    assert whole["code"] == "unknown_message"
    small = await home.send_request("media", {"message_id": message_id, "thumbnail": True})
    assert stored(home, small["data"]) == await home.control.content(message_id, thumbnail=True)


@shared
async def test_bytes_that_wechat_does_not_have_yet_come_later(shared_home: Home):
    home = shared_home
    await home.control.post("settings", empty_downloads=2)
    message_id = await say(home, "video")
    await home.control.wait("calls:webwxgetvideo:2")
    await home.control.post("settings", empty_downloads=0)
    assert (await told(home, message_id))["state"] == "ready"


@shared
@pytest.mark.parametrize("how", ["json", "html"])
async def test_bytes_that_wechat_has_no_more_are_gone(shared_home: Home, how: str):
    home = shared_home
    await home.control.post("settings", gone_media=how)
    message_id = await say(home)
    event = await told(home, message_id)
    await home.control.post("settings", gone_media="")
    assert (event["state"], event["reason"]) == ("gone", "WeChat does not have it any more")
    answer = await home.send_request("media", {"message_id": message_id})
    assert (answer["status"], answer["code"]) == ("error", "gone")


@shared
async def test_a_sticker_of_the_shop_is_gone_from_the_start(shared_home: Home):
    body = await message(shared_home, await say(shared_home, "store_sticker"))
    assert body["sticker"]["state"] == "gone"
    assert "url" not in body["sticker"]


@shared
@pytest.mark.parametrize("trouble", ["reset", "truncate", "status", "drop_answer", "bad_status_line"])
async def test_a_download_that_breaks_off_is_tried_again_by_itself(shared_home: Home, trouble: str):
    home = shared_home
    async with fault(home, trouble):
        message_id = await say(home)
        assert stored(home, await told(home, message_id)) == await home.control.content(message_id)


@shared
async def test_texts_pass_a_download_that_hangs(shared_home: Home):
    home = shared_home
    async with fault(home, "stall"):
        message_id = await say(home)
        await message(home, message_id)
        for who, user in (("wife", "wife"), ("mom", "妈妈")):
            texts = await home.control.say(who, "text {n}", count=200)
            await message(home, texts[-1], user)
            assert [one.body["id"] for one in home.subscriber.on(f"wx/in/{user}")][-200:] == texts
        assert not [
            one for one in home.subscriber.on("wx/event/media") if one.body["message_id"] == message_id
        ]


@shared
async def test_the_health_counts_them(shared_home: Home):
    health = await shared_home.send_request("health")
    media = health["data"]["media"]
    assert media["ready"] > 0
    assert media["gone"] > 0
    assert media["size"] == sum(file.stat().st_size for file in files(shared_home))


# with settings of their own


async def test_what_is_larger_than_allowed_is_broken_off_whatever_was_announced(home: Home):
    with_media(home, max_size="100kB")
    await home.log_in()
    large = await say(home, "file", bytes_of=5_000_000)
    small = await say(home, "file", bytes_of=100_000)
    event = await told(home, large)
    assert (event["state"], "path" in event) == ("too_large", False)
    assert "media.max_size (0.1 MB)" in event["reason"]
    assert len(stored(home, await told(home, small))) == 100_000
    assert len(files(home)) == 1
    answer = await home.send_request("media", {"message_id": large})
    assert answer["code"] == "too_large"


async def test_without_download_nothing_is_fetched_but_what_is_asked_for(home: Home):
    with_media(home, download=False)
    await home.log_in()
    first, second = await say(home), await say(home)
    await message(home, second)
    answer = await home.send_request("media", {"message_id": second})
    assert stored(home, answer["data"]) == await home.control.content(second)
    assert len(files(home)) == 1
    assert not [one for one in home.subscriber.on("wx/event/media") if one.body["message_id"] == first]


async def test_small_pictures_stand_in_the_message_and_only_their_chat_waits(home: Home):
    with_media(home, inline_below="50kB")
    await home.log_in()
    message_id = await say(home)
    body = await message(home, message_id)
    assert base64.b64decode(body["image"]["data"]) == await home.control.content(message_id)
    assert body["image"]["state"] == "ready"

    large = await say(home, bytes_of=2_000_000)
    assert "data" not in (await message(home, large))["image"]

    async with fault(home, "hang"):
        began = asyncio.get_running_loop().time()
        hanging = await say(home)
        behind = (await home.control.say("wife", "behind it"))[0]
        (beside,) = await home.control.say("mom", "beside it")
        await message(home, beside, "妈妈")
        assert not [one for one in home.subscriber.on("wx/in/wife") if one.body["id"] in {hanging, behind}]
        await message(home, behind)
        took = asyncio.get_running_loop().time() - began
    assert 4.5 < took < allowed(8)
    ids = [one.body["id"] for one in home.subscriber.on("wx/in/wife")]
    assert ids == [message_id, large, hanging, behind]
    assert [one.body["seq"] for one in home.subscriber.on("wx/in/#")].count(4) == 1


async def test_killed_in_the_middle_of_a_download_no_job_is_lost_and_no_half_file_stays(home: Home):
    with_media(home, inline_below="50kB")
    await home.log_in()
    await home.control.post("fault", endpoint="webwxgetmedia", kind="stall", value=700_000, times=1)
    message_id = await say(home, "file", bytes_of=1_000_000)
    behind = await say(home)
    await message(home, message_id)
    await home.control.wait("calls:webwxgetmedia:1")
    await home.in_thread(home.bridge.kill)
    await home.restart()
    for one in (message_id, behind):
        assert stored(home, await told(home, one)) == await home.control.content(one)
    await home.send_request("media", {"message_id": behind, "thumbnail": True})
    assert not [file for file in files(home) if file.name.startswith(".")]
    assert len({one.body["seq"] for one in home.subscriber.on("wx/in/wife")}) == 2


async def test_a_stop_does_not_wait_for_a_download_and_the_next_start_begins_it_anew(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="stall", times=1)
    message_id = await say(home, bytes_of=600_000)
    await message(home, message_id)
    await home.control.wait(f"calls:{PICTURE}:1")
    began = asyncio.get_running_loop().time()
    await home.in_thread(home.bridge.stop)
    assert asyncio.get_running_loop().time() - began < allowed(4)
    assert files(home) == []
    await home.restart()
    assert stored(home, await told(home, message_id)) == await home.control.content(message_id)


async def test_pictures_that_came_while_nobody_could_fetch_them_come_after_the_next_start(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="status", value=502, times=0)
    ids = [await say(home) for _ in range(3)]
    await message(home, ids[-1])
    await home.in_thread(home.bridge.stop)
    await home.control.post("fault/clear")
    await home.restart()
    for one in ids:
        assert stored(home, await told(home, one)) == await home.control.content(one)


async def test_after_a_restart_without_download_only_what_is_requested_is_fetched(home: Home):
    await home.log_in()
    await home.control.post("fault", endpoint=PICTURE, kind="status", value=502, times=0)
    ids = [await say(home) for _ in range(3)]
    await message(home, ids[-1])
    await home.in_thread(home.bridge.stop)
    await home.control.post("fault/clear")
    before = (await home.control.get("state"))["calls"][PICTURE]
    with_media(home, download=False)
    await home.restart()
    answer = await home.send_request("media", {"message_id": ids[1]})
    assert stored(home, answer["data"]) == await home.control.content(ids[1])
    await home.in_thread(home.bridge.stop)
    assert (await home.control.get("state"))["calls"][PICTURE] == before + 1


async def test_never_two_downloads_at_a_time(home: Home):
    await home.log_in()
    await home.control.post("settings", mix_downloads=True)
    ids = await home.control.say("wife", kind="image", count=20)
    for one in ids:
        event = await told(home, one)
        assert event["sha256"] == hashlib.sha256(await home.control.content(one)).hexdigest()
    assert (await home.control.get("state"))["downloads"]["most"] == 1


async def test_a_change_of_the_limits_counts_at_once(home: Home):
    await home.log_in()
    with_media(home, max_size="10kB")
    answer = await home.send_request("reload")
    assert answer["data"] == {"applied": ["accounts.home.media.max_size"], "needs_restart": []}
    assert (await told(home, await say(home, "file", bytes_of=20_000)))["state"] == "too_large"
