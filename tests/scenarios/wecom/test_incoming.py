"""From WeCom to MQTT on the whole bridge: logins, every kind, gaps, kills, repetitions and floods."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.wecom_home import BOT, WeComHome, at_wecom_home
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[WeComHome]:
    async with at_wecom_home(tmp_path, DURABLE) as home:
        yield home


async def wait_for_state(home: WeComHome, **wanted: Any) -> dict[str, Any]:
    return await home.body("wx/login/state", **wanted)


async def subscriptions(home: WeComHome, bot: str = HOME_BOT_ID) -> int:
    return int((await home.bot.get("wecom/state"))["bots"][bot]["subscriptions"])


async def test_one_scan_makes_a_bot_that_a_restart_uses_again(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": {}}))
    home.bridge.start()
    assert (await wait_for_state(home, state="waiting_for_scan"))["needs"] == "scan"
    await home.in_thread(home.subscriber.wait, "wx/login/url", lambda delivery: delivery.payload != b"")
    await home.bot.post("wecom/scan")
    assert (await wait_for_state(home, state="waiting_for_confirm"))["needs"] == "confirm"
    await home.bot.post("wecom/confirm")
    await wait_for_state(home, state="online")
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await wait_for_state(home, state="online", since=since)
    await home.bot.write("still here", bot=await made_bot(home))
    await home.body("wx/in/me", text="still here")


async def made_bot(home: WeComHome) -> str:
    """Returns the id of the bot that a scan has made."""
    (bot_id,) = set((await home.bot.get("wecom/state"))["bots"]) - {HOME_BOT_ID}
    return str(bot_id)


@pytest.mark.parametrize("kind", ["image", "file", "video"])
async def test_a_file_comes_whole(home: WeComHome, kind: str):
    await home.log_in()
    answer = await home.bot.post("wecom/say", kind=kind, bytes_of=300_000)
    (message_id,) = answer["msg_ids"]
    message = await home.body("wx/in/me", kind=kind)
    assert message["id"] == message_id
    event = await home.body("wx/event/media", message_id=message_id)
    content = (await home.bot._http.get(f"/sim/wecom/media/{message_id}")).content
    assert (event["state"], event["sha256"]) == ("ready", hashlib.sha256(content).hexdigest())


async def test_a_picture_whose_address_has_expired_is_gone_at_once_and_says_why(home: WeComHome):
    await home.log_in()
    await home.bot.post("wecom/settings", file_lifetime=0)
    await home.bot.post("wecom/say", kind="image")
    event = await home.body("wx/event/media")
    assert event["state"] == "gone"
    assert event["reason"].startswith("WeCom takes the address of this file no longer (403)")


async def test_texts_voices_quotes_groups_and_parts_are_published(home: WeComHome):
    await home.log_in()
    await home.bot.post("wecom/say", kind="voice", text="turn it off")
    assert (await home.body("wx/in/me", kind="voice"))["text"] == "turn it off"
    assert (await home.send_command("me", {"text": "shall I?"}))["status"] == "sent"
    await home.bot.post("wecom/say", kind="quote", text="yes")
    quote = await home.body("wx/in/me", kind="quote")
    assert quote["text"] == "yes"
    assert "id" not in quote["quote"]
    await home.bot.write("lights on", **{"from": "wife", "to": "family"})
    group = await home.body("wx/in/family", text="lights on")
    assert (group["chat"]["kind"], group["mentioned"]) == ("group", True)
    answer = await home.bot.post("wecom/say", kind="mixed", detail={"parts": ["look", None]})
    first = await home.body("wx/in/me", text="look")
    second = await home.body("wx/in/me", kind="image")
    assert [first["id"], second["id"]] == [answer["msg_ids"][0], f"{answer['msg_ids'][0]}-2"]
    assert second["seq"] == first["seq"] + 1


async def test_each_message_gets_one_receipt(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": BOT}))
    await home.restart()
    await home.bot.post("wecom/settings", repeat_callbacks=True)
    await home.bot.write("hello")
    await home.body("wx/in/me", text="hello")
    await home.bot.wait("answered:1")
    await home.bot.write("again")
    await home.body("wx/in/me", text="again")
    await home.bot.wait("answered:2")
    texts = [message.body["text"] for message in home.subscriber.on("wx/in/me")]
    assert texts == ["hello", "again"]


async def test_whom_receive_filters_out_gets_no_receipt(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": BOT, "receive": {"allow": ["me"]}}))
    await home.restart()
    await home.bot.write("who are you?", **{"from": "wife"})
    await home.bot.write("is anybody there?", to="family")
    answered = await home.bot.write("hello")
    await home.body("wx/in/me", text="hello")
    await home.bot.wait("answered:1")
    sent = await home.control.get("wecom/sent")
    assert [message["answers"] for message in sent] == [answered]


async def test_a_restart_of_the_gateway_is_a_gap_and_messages_go_on(home: WeComHome):
    await home.log_in()
    since = home.subscriber.count
    await home.bot.post("wecom/restart")
    gap = await home.body("wx/event/gap", since=since)
    assert gap["since"] <= gap["until"]
    await home.bot.write("after it")
    await home.body("wx/in/me", text="after it")
    assert (await home.send_command("me", {"text": "answer"}))["status"] == "sent"


async def test_the_state_is_interrupted_while_wecom_is_away(home: WeComHome):
    await home.log_in()
    since = home.subscriber.count
    await home.stop_wechat()
    interrupted = await wait_for_state(home, state="interrupted", since=since)
    assert interrupted["needs"] == "nothing"
    assert "WeCom" in interrupted["reason"]
    await home.start_wechat()
    await wait_for_state(home, state="online", since=since)
    await home.body("wx/event/gap", since=since)
    await home.bot.write("back")
    await home.body("wx/in/me", text="back")


async def test_a_kill_in_a_burst_loses_no_stored_message_and_the_gap_is_reported(home: WeComHome):
    await home.log_in()
    since = home.subscriber.count
    await home.bot.post("wecom/say", text="burst {n}", count=300)
    await home.body("wx/in/me", text="burst 1", since=since)
    home.bridge.kill()
    before = [message.body["id"] for message in home.subscriber.on("wx/in/me")]
    home.bridge.start()
    gap = await home.body("wx/event/gap", since=since)
    assert gap["since"] < gap["until"]
    await home.bot.write("after the kill")
    await home.body("wx/in/me", text="after the kill", since=since)
    messages = [message.body for user in ("me", "family") for message in home.subscriber.on(f"wx/in/{user}")]
    ids = {message["id"] for message in messages}
    assert set(before) <= ids
    assert len({message["seq"] for message in messages}) == len(ids)  # published again is the same message
    numbers = sorted({message["seq"] for message in messages})
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert await subscriptions(home) == 2


async def test_a_flood_comes_whole_and_in_order(home: WeComHome):
    await home.log_in()
    await home.bot.post("wecom/say", text="flood {n}", count=900)
    await home.body("wx/in/me", text="flood 900")
    texts = [
        message.body["text"] for message in home.subscriber.on("wx/in/me") if "flood" in message.body["text"]
    ]
    assert texts == [f"flood {number}" for number in range(1, 901)]


async def test_unreadable_frames_do_not_stop_the_others(home: WeComHome):
    await home.log_in()
    for raw in (
        {"text": "no frame"},
        {"text": "[1, 2"},
        {"frame": {"cmd": "aibot_msg_callback", "headers": {}, "body": {"msgtype": ["text"]}}},
        {"frame": {"cmd": 7, "headers": "x"}},
        {"frame": {"cmd": "aibot_event_callback", "headers": {"req_id": "x"}, "body": {"event": 1}}},
    ):
        await home.bot.post("wecom/raw", **raw)
    await home.bot.write("hello again")
    await home.body("wx/in/me", text="hello again")
    assert await subscriptions(home) == 1


async def test_another_program_is_left_alone_until_a_person_asks(home: WeComHome):
    await home.log_in()
    since = home.subscriber.count
    await home.bot.post("wecom/takeover")
    assert (await wait_for_state(home, state="logged_out", since=since))["needs"] == "relogin"
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    reason = (await wait_for_state(home, state="logged_out", since=since))["reason"]
    assert "another program" in reason
    assert await subscriptions(home) == 1
    # Without this pause the request of the person connects at once.
    await home.bot.post("wecom/settings", takeover_pause=0)
    await home.publish("wx/bridge/request/login", {})
    await wait_for_state(home, state="online", since=since)
    await home.bot.write("mine again")
    await home.body("wx/in/me", text="mine again")


async def test_a_wrong_secret_is_refused_once_until_it_is_corrected(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": {**BOT, "secret": "wrong"}}))
    home.bridge.start()
    assert (await wait_for_state(home, state="refused"))["needs"] == "relogin"
    await home.in_thread(home.bridge.stop)
    since = home.subscriber.count
    home.bridge.start()
    await wait_for_state(home, state="refused", since=since)
    assert (await home.bot.get("wecom/state"))["refused"] == {"93019": 1}
    await home.in_thread(home.bridge.stop)
    home.bridge.configure(home.settings())
    await home.restart()
