"""The request `media`: answers with the file of a message, its thumbnail or an avatar, or says why not."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.file_messages import PNG, deliver_files, ref, wait_for_end
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import FAMILY, MOM, WIFE
from wx2mqtt.bridge.media.media_request import AVATAR_REFRESH_MS
from wx2mqtt.errors import NoContentYet, Rejected, Unreachable

GONE = Rejected("WeChat does not have it any more", code="gone")
DAY = AVATAR_REFRESH_MS / 1000


async def ask(bridge: BridgedAccount, **fields: Any) -> Any:
    """Returns the data of the answer."""
    answer = await bridge.request("media", **fields)
    assert answer["status"] == "ok", answer
    return answer["data"]


async def refused(bridge: BridgedAccount, **fields: Any) -> tuple[str, str]:
    """Returns code and text of a refusal."""
    answer = await bridge.request("media", **fields)
    assert answer["status"] == "error"
    return answer["code"], answer["error"]


async def test_the_answer_says_where_the_bytes_are_and_what_they_are(bridge: BridgedAccount):
    bridge.backend.files["small"] = PNG + b"small"
    deliver_files(bridge, "77", thumbnail=ref("small"))
    row = await wait_for_end(bridge, "77")
    assert row.blob is not None
    answer = await ask(bridge, message_id="77")
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
    for same in ({"id": row.id}, {"message_id": 77}, {"message_id": "77", "inline": False}):
        assert await ask(bridge, **same) == answer
    assert base64.b64decode((await ask(bridge, message_id="77", inline=True))["data"]) == PNG + b"77"
    small = await ask(bridge, message_id="77", thumbnail=True, inline=True)
    assert base64.b64decode(small["data"]) == PNG + b"small"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "bad_request"),
        ({"message_id": ""}, "bad_request"),
        ({"message_id": "1", "avatar": "wife"}, "bad_request"),
        ({"id": "1", "message_id": "1"}, "bad_request"),
        ({"message_id": None}, "bad_request"),
        ({"message_id": ["1"]}, "bad_request"),
        ({"message_id": True}, "bad_request"),
        ({"message_id": "1", "inline": "yes"}, "bad_request"),
        ({"message_id": "1", "thumbnail": 1}, "bad_request"),
        ({"message_id": "1", "thumbnial": True}, "bad_request"),
        ({"avatar": 5.5}, "bad_request"),
        ({"id": "1"}, "unknown_message"),
        ({"message_id": "text"}, "unknown_message"),
        ({"message_id": "1", "thumbnail": True}, "unknown_message"),
        ({"avatar": "nobody"}, "unknown_user"),
        ({"avatar": "妈妈"}, "gone"),
    ],
    ids=str,
)
async def test_a_request_for_no_file_is_refused(bridge: BridgedAccount, fields: dict[str, Any], code: str):
    bridge.backend.write(WIFE, id="text")
    deliver_files(bridge, "1")
    await wait_for_end(bridge, "1")
    assert (await refused(bridge, **fields))[0] == code


@pytest.mark.parametrize(
    ("answer", "seconds", "code", "text"),
    [
        ((asyncio.Event(),), 20, "not_ready", ""),
        (GONE, 0, "gone", "there are no bytes: WeChat does not have it any more"),
        (Rejected("not for you"), 5, "fetch_failed", "not for you"),
        (b"x" * 11, 0, "too_large", "media.max_size"),
    ],
    ids=["late", "gone", "failed", "too large"],
)
async def test_a_file_that_is_not_there_says_why(
    open_bridge: OpenBridge, answer: Any, seconds: float, code: str, text: str
):
    bridge = await open_bridge(media={"max_size": 10})
    bridge.backend.files["1"] = (asyncio.Event(),) if code == "not_ready" else answer
    deliver_files(bridge, "1")
    await bridge.pass_time(1)
    loop = asyncio.get_running_loop()
    started = loop.time()
    refusal = await refused(bridge, message_id="1")
    assert refusal[0] == code
    assert text in refusal[1]
    assert loop.time() - started <= seconds + 1


async def test_bytes_that_are_under_way_are_waited_for(bridge: BridgedAccount):
    still = asyncio.Event()
    bridge.backend.files["1"] = (still, PNG)
    deliver_files(bridge, "1")
    asking = asyncio.create_task(ask(bridge, message_id="1"))
    await bridge.pass_time(10)
    still.set()
    assert (await asking)["size"] == 33


@pytest.mark.parametrize(
    ("limit", "fitting"),
    [(10_000, 5_950), (None, 1_000_000), (100_000_000, 1_000_000)],
    ids=["that of the broker", "a megabyte", "a megabyte however much the broker takes"],
)
async def test_bytes_that_do_not_fit_into_the_answer_are_refused_with_the_url(
    open_bridge: OpenBridge, limit: int | None, fitting: int
):
    bridge = await open_bridge(start=False)
    room = None if limit is None else limit + len("wx/bridge/response/media") + 128
    bridge.broker.grants = replace(bridge.broker.grants, packet_limit=room)
    await bridge.start()
    bridge.backend.files |= {"1": b"x" * fitting, "2": b"x" * (fitting + 100)}
    deliver_files(bridge, "1", "2")
    assert len((await ask(bridge, message_id="1", inline=True))["data"]) >= 4 * fitting // 3
    code, text = await refused(bridge, message_id="2", inline=True)
    assert (code, (await ask(bridge, message_id="2"))["url"] in text) == ("too_large", True)


async def test_without_a_server_the_path_is_the_cure(bridge: BridgedAccount):
    bridge.settings = replace(bridge.settings, media_base_url=None)
    await bridge.account.apply_settings(bridge.settings)
    bridge.backend.files["1"] = b"x" * 1_000_001
    deliver_files(bridge, "1")
    answer = await ask(bridge, message_id="1")
    assert "url" not in answer
    assert answer["path"] in (await refused(bridge, message_id="1", inline=True))[1]


# Avatars


@pytest.fixture
async def faces(bridge: BridgedAccount) -> BridgedAccount:
    bridge.backend.avatars[WIFE.handle] = ref("face")
    bridge.backend.files["face"] = PNG + b"face"
    return bridge


async def test_an_avatar_is_fetched_when_it_is_asked_for_and_kept_for_a_day(faces: BridgedAccount):
    answer = await ask(faces, avatar="老婆", inline=True)
    assert base64.b64decode(answer["data"]) == PNG + b"face"
    assert "message_id" not in answer
    faces.skip_time(DAY - 60)
    assert (await ask(faces, avatar="老婆"))["media_id"] == answer["media_id"]
    assert (faces.backend.downloads, faces.sent("wx/event/media")) == (["face"], [])
    faces.backend.files["face"] = PNG + b"old"
    faces.skip_time(60)
    later = await ask(faces, avatar="老婆", inline=True)
    assert base64.b64decode(later["data"]) == PNG + b"old"
    assert later["media_id"] != answer["media_id"]


@pytest.mark.parametrize("is_known", [True, False], ids=["refused", "nobody knows where"])
async def test_where_no_new_avatar_is_to_be_had_the_last_one_is(faces: BridgedAccount, is_known: bool):
    answer = await ask(faces, avatar="老婆")
    faces.skip_time(DAY)
    faces.backend.files["face"] = GONE
    if not is_known:
        faces.backend.avatars.clear()
    assert await ask(faces, avatar="老婆") == answer


async def test_an_avatar_that_is_not_to_be_had_is_not_asked_for_again_and_again(faces: BridgedAccount):
    faces.backend.files["face"] = GONE
    for _ in range(3):
        assert (await refused(faces, avatar="老婆"))[0] == "gone"
    assert faces.backend.downloads == ["face"]
    faces.backend.files["face"] = PNG
    await faces.pass_time(600)
    assert (await ask(faces, avatar="老婆"))["size"] == len(PNG)


@pytest.mark.parametrize("error", [Unreachable(), NoContentYet()], ids=["away", "no bytes yet"])
async def test_an_avatar_whose_server_is_away_is_not_ready(faces: BridgedAccount, error: Exception):
    faces.backend.files["face"] = error
    assert (await refused(faces, avatar="老婆"))[0] in ("not_ready", "gone")


async def test_who_is_not_in_this_login_has_no_avatar(faces: BridgedAccount):
    await faces.stop()
    faces.backend.contacts = [MOM, FAMILY]
    await faces.restart()
    await faces.pass_time(10)
    assert (await refused(faces, avatar="老婆"))[0] == "gone"
