"""`plain`: the text of new messages of trusted people, for devices that have no memory for JSON."""

from __future__ import annotations

import asyncio
import time

from tests.support.broker import DURABLE
from tests.support.home import at_home
from tests.support.ilink_home import at_ilink_home
from tests.support.subscriber import Subscriber


async def test_the_bare_text_topic_has_messages_of_trusted_people_only(tmp_path) -> None:
    async with at_home(tmp_path) as home:
        home.bridge.configure(home.settings({"plain": True, "contacts": {"wife": {"remark": "老婆"}}}))
        await home.log_in()
        await home.control.say("mom", "开灯")
        await home.control.say("wife", "灯" * 100)
        await home.control.say("wife", "关灯")

        last = await home.in_thread(
            home.subscriber.wait, "wx/text/wife", lambda message: message.payload == "关灯".encode()
        )
        texts = home.subscriber.on("wx/text/#")
        assert [message.payload.decode() for message in texts] == [
            "灯" * 66,
            "关灯",
        ]  # 198 bytes, and no half character
        assert {message.retain for message in texts} == {False}
        assert last.properties["ContentType"] == "text/plain"
        assert last.properties["PayloadFormatIndicator"] == 1
        assert 1 <= last.properties["MessageExpiryInterval"] <= 60
        messages = await home.in_thread(home.subscriber.wait_count, "wx/in/#", 3)
        assert sorted(message.body["trusted"] for message in messages) == [False, True, True]


async def test_bare_text_can_be_switched_on_while_the_bridge_runs(tmp_path) -> None:
    async with at_home(tmp_path) as home:
        await home.log_in()
        await home.control.say("wife", "one")
        await home.body("wx/in/wife", text="one")
        home.bridge.configure(home.settings({"plain": True}))
        answer = await home.send_request("reload")
        assert answer["data"]["applied"] == ["accounts.home.plain"]
        await home.control.say("wife", "two")
        await home.in_thread(home.subscriber.wait, "wx/text/wife")
        assert [message.payload for message in home.subscriber.on("wx/text/#")] == [b"two"]


async def test_a_message_from_before_the_start_of_the_bridge_is_not_published_as_bare_text(tmp_path) -> None:
    async with at_ilink_home(tmp_path) as home:
        home.bridge.configure(home.settings({"plain": True}))
        await home.log_in()
        await home.in_thread(home.bridge.stop)
        now = time.time_ns() // 1_000_000
        await home.bot.write("open", raw={"create_time_ms": now - 61_000})
        await home.bot.write("close", raw={"create_time_ms": now - 5_000})
        await home.restart()

        text = await home.in_thread(home.subscriber.wait, "wx/text/me")
        assert text.payload == b"close"
        assert 1 <= text.properties["MessageExpiryInterval"] <= 55
        await home.body("wx/in/me", text="open")  # it is not lost
        assert len(home.subscriber.on("wx/text/#")) == 1


async def test_a_message_from_an_outage_of_the_broker_is_not_published_as_bare_text(tmp_path) -> None:
    """The device has a session that the broker keeps, so that it misses nothing of what is published."""
    async with at_ilink_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings({"plain": {"max_age": "20s"}}))
        await home.log_in()
        with Subscriber(
            home.broker.port, "wx/in/me", "wx/text/me", client_id="device", session_seconds=3600
        ) as device:
            await home.in_thread(home.broker.stop)
            written = time.time() - 18
            await home.bot.write("open", raw={"create_time_ms": round(written * 1000)})
            await home.bot.wait("polling")  # again: the message is stored
            await asyncio.sleep(max(0.0, written + 20 - time.time()))  # only the time of day tells its age
            await home.in_thread(home.broker.start)
            await home.in_thread(device.wait_body, "wx/in/me", text="open")
            await home.bot.write("close")
            await home.in_thread(device.wait, "wx/text/me")
            await home.in_thread(device.wait_body, "wx/in/me", text="close")
            assert [text.payload for text in device.on("wx/text/me")] == [b"close"]
