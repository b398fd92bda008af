"""Urgent commands go to a real fallback service, on either backend; its address is published nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE
from tests.support.home import Home, at_home
from tests.support.ilink_home import ILinkHome, at_ilink_home


@pytest.fixture
def service() -> Iterator[AlarmReceiver]:
    with AlarmReceiver() as service:
        yield service


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path, service: AlarmReceiver) -> AsyncIterator[Home]:
    async with at_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings(fallback_settings(service)))
        yield home


@pytest_asyncio.fixture
async def ilink(with_mosquitto: None, tmp_path: Path, service: AlarmReceiver) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        home.bridge.configure(home.settings(fallback_settings(service)))
        yield home


def fallback_settings(service: AlarmReceiver) -> dict[str, Any]:
    return {"fallback": {"after": "200ms", "urls": [service.url]}}


def is_address_secret(home: Home) -> bool:
    """Returns whether the address of the service is in no message and not in the log."""
    published = b"".join(message.topic.encode() + message.payload for message in home.subscriber.received)
    return b"s3cr3t" not in published and "s3cr3t" not in "\n".join(home.bridge.log)


async def test_an_alarm_that_web_wechat_cannot_take_goes_to_the_service(home: Home, service: AlarmReceiver):
    await home.log_in()
    since = home.subscriber.count
    await home.control.post("logout")
    await home.body("wx/login/state", state="waiting_for_scan", since=since)
    result = await home.send_command("wife", {"text": "smoke in the kitchen", "id": "a", "urgent": True})
    assert (result["status"], result["code"], result["fallback"]) == ("expired", "logged_out", "sent")
    (delivered,) = await home.in_thread(service.wait, 1)
    assert delivered["message"] == "smoke in the kitchen"
    assert delivered["title"] == "wx2mqtt home: to wife"
    assert is_address_secret(home)


async def test_an_alarm_that_wechat_takes_goes_to_wechat_only(home: Home, service: AlarmReceiver):
    await home.log_in()
    result = await home.send_command("wife", {"text": "smoke", "id": "a", "urgent": True})
    assert result["status"] == "sent"
    assert "fallback" not in result
    assert not service.bodies


async def test_a_service_that_refuses_is_reported_without_its_address(home: Home, service: AlarmReceiver):
    service.status = 500
    await home.log_in()
    since = home.subscriber.count
    await home.control.post("logout")
    await home.body("wx/login/state", state="waiting_for_scan", since=since)
    result = await home.send_command("wife", {"text": "smoke", "id": "a", "urgent": True})
    assert result["fallback"] == "failed"
    assert is_address_secret(home)


async def test_an_alarm_outside_of_the_window_goes_to_the_service(ilink: ILinkHome, service: AlarmReceiver):
    await ilink.log_in()
    result = await ilink.send_command("me", {"text": "smoke", "id": "a", "urgent": True})
    assert (result["status"], result["code"], result["fallback"]) == ("expired", "window_closed", "sent")
    await ilink.bot.write("hello")
    assert (await ilink.send_command("me", {"text": "other", "id": "b"}))["status"] == "sent"
    assert [message["text"] for message in await ilink.bot.bot_sent(1)] == ["other"]
    assert len(service.bodies) == 1


async def test_an_alarm_goes_to_wechat_as_well_where_that_is_wanted(ilink: ILinkHome, service: AlarmReceiver):
    await ilink.log_in()
    command = {"text": "smoke", "id": "a", "urgent": True, "also_wechat": True}
    await ilink.publish("wx/out/me", command)
    await ilink.in_thread(service.wait, 1)
    await ilink.bot.write("hello")
    result = await ilink.body("wx/result/me", id="a")
    assert (result["status"], result["fallback"]) == ("sent", "sent")
    assert len(service.bodies) == 1


async def test_a_kill_in_the_attempt_sends_the_alarm_again_and_the_result_is_uncertain(
    ilink: ILinkHome, service: AlarmReceiver
):
    await ilink.log_in()
    service.may_answer.clear()
    await ilink.publish("wx/out/me", {"text": "smoke", "id": "a", "urgent": True})
    await ilink.in_thread(service.wait, 1)
    await ilink.in_thread(ilink.bridge.kill)
    service.may_answer.set()
    await ilink.restart()
    result = await ilink.body("wx/result/me", id="a")
    assert result["fallback"] == "uncertain"
    assert len(await ilink.in_thread(service.wait, 2)) == 2


# A login that ended


async def test_a_login_that_ended_is_reported_once_with_the_page_and_without_the_code(
    ilink: ILinkHome, service: AlarmReceiver
):
    page = "https://house.example/wx"
    ilink.bridge.configure(
        ilink.settings(fallback_settings(service), web={"url": page, "listen": "127.0.0.1:0"})
    )
    await ilink.log_in()
    await ilink.bot.write("hello")
    await ilink.body("wx/window/me", open=True)
    since = ilink.subscriber.count
    await ilink.bot.post("ilink/kill")
    ended = await ilink.body("wx/login/state", state="logged_out", since=since)
    assert ended["needs"] == "relogin"
    await ilink.body("wx/login/state", state="waiting_for_scan", since=since)
    (delivered,) = await ilink.in_thread(service.wait, 1)
    assert delivered["title"] == "wx2mqtt home: log in again"
    assert page in delivered["message"]
    codes = {message.payload.decode() for message in ilink.subscriber.on("wx/login/url")} - {""}
    assert codes
    assert not [code for code in codes if code in delivered["message"]]
    await ilink.publish("wx/out/me", {"text": "waits", "id": "a"})
    await ilink.scan()
    await ilink.body("wx/event/held", command_id="a")
    await ilink.bot.write("here again")
    assert (await ilink.body("wx/result/me", id="a"))["status"] == "sent"
    assert len(service.bodies) == 1
    assert is_address_secret(ilink)


async def test_messages_are_sent_while_wechat_refuses_only_polls(ilink: ILinkHome, service: AlarmReceiver):
    await ilink.bot.post("ilink/settings", hold_updates=0.5)
    await ilink.log_in()
    await ilink.bot.write("hello")
    await ilink.body("wx/window/me", open=True)
    since = ilink.subscriber.count
    await ilink.bot.post("ilink/settings", refuse_polls=True)
    await ilink.body("wx/login/state", state="waiting_for_scan", since=since)
    await ilink.in_thread(service.wait, 1)
    for text in ("smoke", "fire"):
        result = await ilink.send_command("me", {"text": text, "id": text})
        assert result["status"] == "sent"
    assert [message["text"] for message in await ilink.bot.bot_sent(2)] == ["smoke", "fire"]
