"""Flows that call somebody: the camera at the door, and the alarm that wants an answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.node_red.environment import NodeRedEnvironment, timeout_seconds
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.file_server import Script, ok, says, server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


# camera


async def sent_picture(environment: NodeRedEnvironment, number: int) -> tuple[str, bytes]:
    """Waits until WeChat has message `number`, a picture; returns its recipient and its bytes."""
    sent = (await environment.home.control.sent(number + 1))[number]
    assert sent["kind"] == "image", sent
    async with httpx.AsyncClient(trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
        answer = await http.get(f"{environment.home.simulator.url}/sim/media/{sent['msg_id']}")
    assert hashlib.sha256(answer.content).hexdigest() == sent["sha256"]
    return sent["to"], answer.content


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Picture sent to family"), ("zh", "照片已发给 family")]
)
async def test_a_ring_sends_the_picture_and_its_result_comes_by_mqtt_5(
    environment: NodeRedEnvironment, language, words
):
    home, before, since = environment.home, await environment.sent_count(), len(environment.red.output)
    async with server(ok(PNG)) as camera:
        await environment.load(
            "camera", PERSON="family", CAMERA=f"{camera.url}/snapshot.png", LANGUAGE=language
        )
        await home.publish("home/doorbell", "pressed")
        assert await sent_picture(environment, before + 1) == ("family", PNG)
        caption = (await home.control.sent(before + 1))[before]
        assert (caption["to"], caption["text"]) == ("family", "Somebody is at the door 门口有人")
        assert camera.requests[0].startswith(b"GET /snapshot.png ")
    assert await environment.shown("sent", since=since) == words
    assert environment.red.all_shown("not sent", since=since) == []
    answer = (await home.in_thread(home.subscriber.wait, "node-red/wx/picture")).body
    assert answer["status"] == "sent"


async def test_the_camera_flow_can_be_tried_without_a_camera_and_without_a_caption(
    environment: NodeRedEnvironment,
):
    before, since = await environment.sent_count(), len(environment.red.output)
    await environment.load("camera", CAPTION="")
    await environment.press("picture without a camera")
    to, jpeg = await sent_picture(environment, before)
    assert (to, jpeg[:3]) == ("wife", b"\xff\xd8\xff")
    assert await environment.shown("sent", since=since) == "Picture sent to wife"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (ok(b"<html>who are you?</html>"), "it answered with no picture"),
        (says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), "401"),
    ],
)
async def test_bytes_that_are_no_picture_are_not_sent_but_the_words_are(
    environment: NodeRedEnvironment, script: Script, why
):
    before, since = await environment.sent_count(), len(environment.red.output)
    async with server(script) as camera:
        await environment.load("camera", CAMERA=camera.url)
        await environment.press("ring")
        await environment.assert_sent(
            f"wife: 🔔 Somebody rang, but there is no picture ({why})", since=before
        )
    assert why in await environment.shown("not sent", since=since)
    assert await environment.shown("sent", since=since) == "Text sent to wife"


async def test_the_words_in_place_of_a_picture_are_reported_if_wechat_does_not_take_them(
    environment: NodeRedEnvironment,
):
    since = len(environment.red.output)
    async with server(ok(b"<html>who are you?</html>")) as camera:
        await environment.load("camera", CAMERA=camera.url, PERSON="nobody")
        await environment.press("ring")
        assert "(unknown_user)" in await environment.shown(
            "not sent", "Text not sent to nobody: ", since=since
        )


async def test_without_the_camera_a_ring_sends_the_words(environment: NodeRedEnvironment):
    before = await environment.sent_count()
    environment.red.expected_complaints.add("ECONNREFUSED")
    await environment.load("camera", CAMERA="http://127.0.0.1:9/snapshot.jpg", LANGUAGE="zh")
    await environment.press("ring")
    await environment.assert_sent("wife: 🔔 有人按门铃，但摄像头没有照片（ECONNREFUSED）", since=before)


async def test_a_picture_that_wechat_does_not_take_is_reported(environment: NodeRedEnvironment):
    since = len(environment.red.output)
    await environment.load("camera", PERSON="nobody")
    await environment.press("picture without a camera")
    assert "(unknown_user)" in await environment.shown(
        "not sent", "Picture not sent to nobody: ", since=since
    )


async def test_with_the_bridge_offline_a_ring_is_reported_and_the_old_picture_is_not_sent_later(
    environment: NodeRedEnvironment,
):
    home, since = environment.home, len(environment.red.output)
    await home.in_thread(home.bridge.stop)
    await environment.load("camera", WAIT=1, CAPTION="")
    seen = len(home.broker.log)
    await environment.press("picture without a camera")
    await home.broker.logged("'wx/out/wife/image'", since=seen)
    kept_since = time.monotonic()
    assert "Does the bridge run?" in await environment.shown("not sent", since=since)
    # Node-RED may have published late. Mosquitto counts whole seconds, and says nothing when a message expires.
    await asyncio.sleep(max(0.0, kept_since + 2.1 - time.monotonic()))
    before = await environment.sent_count()
    await home.restart()
    assert (await home.send_command("filehelper", "after"))["status"] == "sent"
    assert await environment.sent_count() == before + 1


# alarm


@pytest_asyncio.fixture(loop_scope="module")
async def no_alarm_left(environment: NodeRedEnvironment) -> AsyncIterator[None]:
    """Ends every alarm after the test."""
    yield
    await environment.home.publish("home/water/alarm", "OFF")
    await environment.load()


ALARM_VALUES = {"FIRST": "wife", "SECOND": "mom", "TEXT": "💧 Water!"}


async def test_an_answer_stops_the_alarm_and_others_do_not(
    environment: NodeRedEnvironment, no_alarm_left: None
):
    home, before, since = environment.home, await environment.sent_count(), len(environment.red.output)
    await environment.load("alarm", **ALARM_VALUES, every=0.1)
    await home.publish("home/water/alarm", "ON")
    await home.publish("home/water/alarm", "ON")
    await environment.assert_sent("wife: 💧 Water!\nAnswer 好 (or ok) if you see to it.", since=before)
    since_answers = home.subscriber.count
    await home.control.say("lilei", "好")
    await home.control.say("mom", "好")
    await home.control.say("wife", "好吧,又怎么了?")
    answer_of_wife = await home.body("wx/in/wife", since=since_answers)
    await home.publish("wx/in/wife", {**answer_of_wife, "text": "好", "trusted": False})
    await home.publish("wx/in/wife", {**answer_of_wife, "text": "好", "time": "2026-01-01T00:00:00.000Z"})
    await home.publish("wx/in/wife", {**answer_of_wife, "text": "不好"})
    await environment.wait_until_idle()
    assert environment.red.all_shown("answered", since=since) == []
    await home.control.say("wife", "好的!")
    assert await environment.shown("answered", since=since) == "✅ 老婆 sees to it"
    await environment.assert_sent("wife: ✅ 老婆 sees to it", since=before + 1)


async def test_without_an_answer_a_second_person_is_alarmed_and_both_learn_who_answered(
    environment: NodeRedEnvironment, no_alarm_left: None
):
    home, before, since = environment.home, await environment.sent_count(), len(environment.red.output)
    await environment.load("alarm", **ALARM_VALUES, WAIT=timeout_seconds(2), LANGUAGE="zh", every=0.1)
    await environment.press("try it")
    await home.control.sent(before + 3)
    await home.control.say("mom", "ok")
    assert await environment.shown("answered", since=since) == "✅ 妈妈 去处理了"
    recipients = (await home.control.sent(before + 5))[before:]
    assert [line["to"] for line in recipients[:1]] == ["wife"]
    assert sorted(line["to"] for line in recipients[1:3]) == ["mom", "wife"]
    assert sorted(line["to"] for line in recipients[3:]) == ["mom", "wife"]
    assert {line["text"] for line in recipients[3:]} == {"✅ 妈妈 去处理了"}
    assert recipients[2]["text"] == "💧 Water!\n看到请回“好”。"


async def test_when_the_first_person_cannot_be_reached_the_second_is_alarmed_at_once(
    environment: NodeRedEnvironment, no_alarm_left: None
):
    before = await environment.sent_count()
    await environment.load("alarm", FIRST="nobody", SECOND="mom", TEXT="Fire", WAIT=600, every=0.1)
    await environment.press("try it")
    await environment.assert_sent("mom: Fire", since=before)


async def test_an_alarm_that_nobody_answers_reports_that_and_ends(
    environment: NodeRedEnvironment, no_alarm_left: None
):
    before, since = await environment.sent_count(), len(environment.red.output)
    await environment.load("alarm", **ALARM_VALUES, WAIT=1, ROUNDS=2, every=0.1)
    await environment.press("try it")
    assert await environment.shown("nobody answered", since=since) == "Nobody answered: 💧 Water!"
    assert len(await environment.home.control.sent(before + 3)) == before + 3
    await environment.press("try it")  # the alarm is over, so another one can begin
    await environment.assert_sent("wife: 💧 Water!", since=before + 3)
    assert len(environment.red.all_shown("nobody answered", since=since)) == 1


async def test_off_ends_the_alarm_with_a_message(environment: NodeRedEnvironment, no_alarm_left: None):
    home, before = environment.home, await environment.sent_count()
    await environment.load("alarm", **ALARM_VALUES, every=0.1)
    await home.publish("home/water/alarm", "ON")
    await home.control.sent(before + 1)
    await home.publish("home/water/alarm", "OFF")
    await environment.assert_sent("wife: 💧 Water!", "wife: ✅ The alarm is over", since=before)


async def test_a_deploy_stops_no_alarm_and_what_was_answered_does_not_begin_again_with_it(
    environment: NodeRedEnvironment, no_alarm_left: None
):
    home, before, since, wait = (
        environment.home,
        await environment.sent_count(),
        len(environment.red.output),
        timeout_seconds(3),
    )
    heard = home.subscriber.count
    await environment.load("alarm", **ALARM_VALUES, WAIT=wait, every=0.1)
    await home.publish("home/water/alarm", "ON", retain=True)
    await home.control.sent(before + 1)
    await environment.load("alarm", **ALARM_VALUES, WAIT=wait, every=0.1)
    await home.control.sent(before + 3)
    await home.control.say("wife", "收到")
    await environment.shown("answered", since=since)
    await environment.wait_until_idle()
    received = home.subscriber.count
    # Five, and one more where a busy machine let the next round begin before the answer. Ids, as a command whose
    # result came while Node-RED was being deployed is published again, and sent once.
    published = {
        message.body["id"]
        for message in home.subscriber.received[heard:]
        if message.topic.startswith("wx/out/")
    }
    await home.control.sent(before + len(published))
    await environment.load("alarm", **ALARM_VALUES, WAIT=wait, every=0.1)
    await environment.wait_until_idle()
    assert [
        message for message in home.subscriber.received[received:] if message.topic.startswith("wx/out/")
    ] == []
    await home.publish("home/water/alarm", "ON")  # but water does
    await environment.assert_sent("wife: 💧 Water!", since=before + len(published))
    await home.publish("home/water/alarm", "", retain=True)
