"""Flows that call somebody: the camera at the door, and the alarm that wants an answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.node_red.house import House, patience
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.file_server import Script, ok, says, server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


# camera


async def picture(house: House, number: int) -> tuple[str, bytes]:
    """To whom, and the bytes of what WeChat took as this one."""
    sent = (await house.home.phone.sent(number + 1))[number]
    assert sent["kind"] == "image", sent
    async with httpx.AsyncClient(trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
        answer = await http.get(f"{house.home.simulator.url}/sim/media/{sent['msg_id']}")
    assert hashlib.sha256(answer.content).hexdigest() == sent["sha256"]
    return sent["to"], answer.content


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Picture sent to family"), ("zh", "照片已发给 family")]
)
async def test_who_rings_is_seen_in_wechat_and_the_result_comes_by_mqtt_5(house: House, language, words):
    home, before, since = house.home, await house.count(), len(house.red.told)
    async with server(ok(PNG)) as camera:
        await house.load("camera", PERSON="family", CAMERA=f"{camera.url}/snapshot.png", LANGUAGE=language)
        await home.publish("home/doorbell", "pressed")
        assert await picture(house, before) == ("family", PNG)
        assert camera.requests[0].startswith(b"GET /snapshot.png ")
    assert await house.shown("sent", since=since) == words
    assert house.red.all_shown("not sent", since=since) == []
    answer = (await home.hear(home.ear.wait, "node-red/wx/picture")).body
    assert answer["status"] == "sent"


async def test_it_can_be_tried_without_a_camera(house: House):
    before, since = await house.count(), len(house.red.told)
    await house.load("camera")
    await house.press("picture without a camera")
    to, jpeg = await picture(house, before)
    assert (to, jpeg[:3]) == ("wife", b"\xff\xd8\xff")
    assert await house.shown("sent", since=since) == "Picture sent to wife"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (ok(b"<html>who are you?</html>"), "it answered with no picture"),
        (says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), "401"),
    ],
)
async def test_what_is_no_picture_is_not_sent_as_one_but_the_words_are(house: House, script: Script, why):
    before, since = await house.count(), len(house.red.told)
    async with server(script) as camera:
        await house.load("camera", CAMERA=camera.url)
        await house.press("ring")
        await house.sent(f"wife: 🔔 Somebody rang, but there is no picture ({why})", since=before)
    assert why in await house.shown("not sent", since=since)
    assert await house.shown("sent", since=since) == "Text sent to wife"


async def test_words_in_place_of_a_picture_that_wechat_does_not_take_are_told(house: House):
    since = len(house.red.told)
    async with server(ok(b"<html>who are you?</html>")) as camera:
        await house.load("camera", CAMERA=camera.url, PERSON="nobody")
        await house.press("ring")
        assert "(unknown_user)" in await house.shown("not sent", "Text not sent to nobody: ", since=since)


async def test_a_camera_that_is_away_does_not_take_the_bell_with_it(house: House):
    before = await house.count()
    house.red.meant.add("ECONNREFUSED")
    await house.load("camera", CAMERA="http://127.0.0.1:9/snapshot.jpg", LANGUAGE="zh")
    await house.press("ring")
    await house.sent("wife: 🔔 有人按门铃，但摄像头没有照片（ECONNREFUSED）", since=before)


async def test_a_picture_that_wechat_does_not_take_is_told(house: House):
    since = len(house.red.told)
    await house.load("camera", PERSON="nobody")
    await house.press("picture without a camera")
    assert "(unknown_user)" in await house.shown("not sent", "Picture not sent to nobody: ", since=since)


async def test_a_bridge_that_is_away_is_told_and_an_old_picture_of_the_door_is_not_sent_later(house: House):
    home, since = house.home, len(house.red.told)
    await home.hear(home.bridge.stop)
    await house.load("camera", WAIT=1)
    seen = len(home.broker.log)
    await house.press("picture without a camera")
    await home.broker.logged("'wx/out/wife/image'", since=seen)
    kept_since = time.monotonic()
    assert "Does the bridge run?" in await house.shown("not sent", since=since)
    # Node-RED may have published late. Mosquitto counts whole seconds, and says nothing when a message expires.
    await asyncio.sleep(max(0.0, kept_since + 2.1 - time.monotonic()))
    before = await house.count()
    await home.restart()
    assert (await home.tell("filehelper", "after"))["status"] == "sent"
    assert await house.count() == before + 1


# alarm


@pytest_asyncio.fixture(loop_scope="module")
async def calm(house: House) -> AsyncIterator[None]:
    """No alarm is left to the next test."""
    yield
    await house.home.publish("home/water/alarm", "OFF")
    await house.load()


QUICK = {"FIRST": "wife", "SECOND": "mom", "TEXT": "💧 Water!"}


async def test_an_answer_stops_the_alarm_and_others_do_not(house: House, calm: None):
    home, before, since = house.home, await house.count(), len(house.red.told)
    await house.load("alarm", **QUICK, every=0.1)
    await home.publish("home/water/alarm", "ON")
    await home.publish("home/water/alarm", "ON")
    await house.sent("wife: 💧 Water!\nAnswer 好 (or ok) if you see to it.", since=before)
    since_ear = home.ear.count
    await home.phone.say("lilei", "好")
    await home.phone.say("mom", "好")
    await home.phone.say("wife", "好吧,又怎么了?")
    hers = await home.body("wx/in/wife", since=since_ear)
    await home.publish("wx/in/wife", {**hers, "text": "好", "trusted": False})
    await home.publish("wx/in/wife", {**hers, "text": "好", "time": "2026-01-01T00:00:00.000Z"})
    await home.publish("wx/in/wife", {**hers, "text": "不好"})
    await house.settled()
    assert house.red.all_shown("answered", since=since) == []
    await home.phone.say("wife", "好的!")
    assert await house.shown("answered", since=since) == "✅ 老婆 sees to it"
    await house.sent("wife: ✅ 老婆 sees to it", since=before + 1)


async def test_without_an_answer_a_second_person_is_told_and_both_hear_who_answered(house: House, calm: None):
    home, before, since = house.home, await house.count(), len(house.red.told)
    await house.load("alarm", **QUICK, WAIT=patience(2), LANGUAGE="zh", every=0.1)
    await house.press("try it")
    await home.phone.sent(before + 3)
    await home.phone.say("mom", "ok")
    assert await house.shown("answered", since=since) == "✅ 妈妈 去处理了"
    told = (await home.phone.sent(before + 5))[before:]
    assert [line["to"] for line in told[:1]] == ["wife"]
    assert sorted(line["to"] for line in told[1:3]) == ["mom", "wife"]
    assert sorted(line["to"] for line in told[3:]) == ["mom", "wife"]
    assert {line["text"] for line in told[3:]} == {"✅ 妈妈 去处理了"}
    assert told[2]["text"] == "💧 Water!\n看到请回“好”。"


async def test_when_the_first_cannot_be_reached_the_second_is_told_at_once(house: House, calm: None):
    before = await house.count()
    await house.load("alarm", FIRST="nobody", SECOND="mom", TEXT="Fire", WAIT=600, every=0.1)
    await house.press("try it")
    await house.sent("mom: Fire", since=before)


async def test_when_nobody_answers_it_says_so_in_the_end_and_is_quiet(house: House, calm: None):
    before, since = await house.count(), len(house.red.told)
    await house.load("alarm", **QUICK, WAIT=1, ROUNDS=2, every=0.1)
    await house.press("try it")
    assert await house.shown("nobody answered", since=since) == "Nobody answered: 💧 Water!"
    assert len(await house.home.phone.sent(before + 3)) == before + 3
    await house.press("try it")  # it is over: another one can begin
    await house.sent("wife: 💧 Water!", since=before + 3)
    assert len(house.red.all_shown("nobody answered", since=since)) == 1


async def test_off_ends_the_alarm_and_says_so(house: House, calm: None):
    home, before = house.home, await house.count()
    await house.load("alarm", **QUICK, every=0.1)
    await home.publish("home/water/alarm", "ON")
    await home.phone.sent(before + 1)
    await home.publish("home/water/alarm", "OFF")
    await house.sent("wife: 💧 Water!", "wife: ✅ The alarm is over", since=before)


async def test_a_deploy_stops_no_alarm_and_what_was_answered_does_not_begin_again_with_it(
    house: House, calm: None
):
    home, before, since, wait = house.home, await house.count(), len(house.red.told), patience(3)
    await house.load("alarm", **QUICK, WAIT=wait, every=0.1)
    await home.publish("home/water/alarm", "ON", retain=True)
    await home.phone.sent(before + 1)
    await house.load("alarm", **QUICK, WAIT=wait, every=0.1)
    await home.phone.sent(before + 3)
    await home.phone.say("wife", "收到")
    await house.shown("answered", since=since)
    await home.phone.sent(before + 5)
    heard = home.ear.count
    await house.load("alarm", **QUICK, WAIT=wait, every=0.1)
    await house.settled()
    assert [one for one in home.ear.heard[heard:] if one.topic.startswith("wx/out/")] == []
    await home.publish("home/water/alarm", "ON")  # but water does
    await house.sent("wife: 💧 Water!", since=before + 5)
    await home.publish("home/water/alarm", "", retain=True)
