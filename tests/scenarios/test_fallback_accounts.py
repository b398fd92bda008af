"""Urgent commands go out by another account, in both directions between iLink and web WeChat."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.alarm_receiver import AlarmReceiver
from tests.support.multi_account_home import MultiAccountHome, at_multi_account_home

SMOKE_ALARM = {"text": "smoke in the kitchen", "id": "a", "urgent": True}
ALERTS_PER_MINUTE = 10


@pytest.fixture
def service() -> Iterator[AlarmReceiver]:
    with AlarmReceiver() as service:
        yield service


@pytest.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[MultiAccountHome]:
    async with at_multi_account_home(tmp_path) as home:
        fallbacks(home, home=["bot/me"], bot=["home/wife"])
        yield home


def fallbacks(
    home: MultiAccountHome, /, urls: tuple[str, ...] = (), after: str = "200ms", **accounts: list[str]
) -> None:
    """Configures the accounts that are tried in place of each one."""
    settings = home.settings_of("home", "office", "bot")
    for name, others in accounts.items():
        settings["accounts"][name]["fallback"] = {"after": after, "accounts": others, "urls": [*urls]}
    home.bridge.configure(settings)


async def send_alarm(
    home: MultiAccountHome, topic: str, command: dict[str, Any] = SMOKE_ALARM
) -> dict[str, Any]:
    """Publishes an urgent command; returns its result."""
    since = home.subscriber.count
    await home.publish(topic, command)
    return await home.body(topic.replace("/out/", "/result/"), id=command["id"], since=since)


async def open_window(home: MultiAccountHome) -> None:
    await home.bot.write("hello")
    await home.body("wx/bot/window/me", open=True)


async def end_login_of_home(home: MultiAccountHome) -> None:
    since = home.subscriber.count
    await home.control.post("logout")
    await home.body("wx/login/state", state="waiting_for_scan", since=since)


async def test_an_alarm_outside_of_the_window_goes_by_web_wechat(home: MultiAccountHome):
    await home.log_in()
    result = await send_alarm(home, "wx/bot/out/me")
    assert (result["status"], result["code"]) == ("expired", "window_closed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    assert "home/wife" in result["message"]
    assert [message["text"] for message in await home.control.sent(1)] == [SMOKE_ALARM["text"]]
    assert not home.subscriber.on("wx/result/wife")
    await home.bot.write("here again")
    await send_alarm(home, "wx/bot/out/me", {"text": "other", "id": "b"})
    assert [message["text"] for message in await home.bot.bot_sent(1)] == ["other"]


async def test_an_alarm_of_an_account_that_is_logged_out_goes_by_ilink(home: MultiAccountHome):
    await home.log_in()
    await open_window(home)
    await end_login_of_home(home)
    result = await send_alarm(home, "wx/out/wife")
    assert (result["status"], result["code"]) == ("expired", "logged_out")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "bot/me")
    assert [message["text"] for message in await home.bot.bot_sent(1)] == [SMOKE_ALARM["text"]]
    assert not home.subscriber.on("wx/bot/result/me")


async def test_a_file_is_sent_by_the_other_account(home: MultiAccountHome, tmp_path: Path):
    await home.log_in()
    picture = (Path(__file__).parents[2] / "docs" / "images" / "page-light.png").read_bytes()
    since = home.subscriber.count
    command = {"kind": "image", "data": base64.b64encode(picture).decode(), "name": "cellar.png"}
    await home.publish("wx/bot/out/me", {**command, "id": "a", "urgent": True})
    result = await home.body("wx/bot/result/me", id="a", since=since)
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    (message,) = await home.control.sent(1)
    assert await home.control.content(message["msg_id"]) == picture


async def test_a_file_is_sent_to_a_service_that_takes_files(home: MultiAccountHome, service: AlarmReceiver):
    fallbacks(home, (service.url,), bot=[])
    await home.log_in()
    picture = (Path(__file__).parents[2] / "docs" / "images" / "page-light.png").read_bytes()
    command = {"kind": "image", "data": base64.b64encode(picture).decode(), "name": "cellar.png"}
    result = await send_alarm(home, "wx/bot/out/me", {**command, "text": "Water", "id": "a", "urgent": True})
    assert result["fallback"] == "sent"
    (delivered,) = await home.in_thread(service.wait, 1)
    (file,) = delivered["attachments"]
    assert (delivered["message"], file["filename"], file["mimetype"]) == ("Water", "cellar.png", "image/png")
    assert base64.b64decode(file["base64"]) == picture


async def test_where_the_other_account_would_have_to_wait_the_services_are_used(
    home: MultiAccountHome, service: AlarmReceiver
):
    fallbacks(home, (service.url,), home=["bot/me", "office/wife"])
    await home.log_in()
    await end_login_of_home(home)
    since = home.subscriber.count
    await home.office.post("logout")
    await home.body("wx/office/login/state", state="waiting_for_scan", since=since)
    result = await send_alarm(home, "wx/out/wife")
    assert result["fallback"] == "sent"
    assert "fallback_account" not in result
    (delivered,) = await home.in_thread(service.wait, 1)
    assert delivered["message"] == SMOKE_ALARM["text"]
    assert (await home.answer_of("bot", "health"))["commands"]["failed_today"] == 0
    await home.bot.write("the window is open")
    await send_alarm(home, "wx/bot/out/me", {"text": "other", "id": "b"})
    assert [message["text"] for message in await home.bot.bot_sent(1)] == ["other"]


async def test_the_accounts_are_tried_in_their_order_until_one_takes_it(home: MultiAccountHome):
    fallbacks(home, bot=["office/nobody", "office/wife", "home/wife"])
    await home.log_in()
    result = await send_alarm(home, "wx/bot/out/me")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "office/wife")
    assert [message["text"] for message in await home.office.sent(1)] == [SMOKE_ALARM["text"]]
    assert not await home.control.get("sent")


async def test_an_alarm_that_no_account_takes_has_failed(home: MultiAccountHome):
    await home.log_in()
    await end_login_of_home(home)
    result = await send_alarm(home, "wx/bot/out/me")
    assert (result["status"], result["fallback"]) == ("expired", "failed")
    assert "fallback_account" not in result


@pytest.mark.parametrize(("status", "outcome"), [(500, "uncertain"), (200, "sent")])
async def test_a_muted_account_is_named_as_in_doubt_and_the_next_way_is_tried(
    home: MultiAccountHome, service: AlarmReceiver, status: int, outcome: str
):
    fallbacks(home, (service.url,), home=["bot/me"])
    service.status = status
    await home.log_in()
    await open_window(home)
    await home.bot.post("ilink/mute", person="me")
    await end_login_of_home(home)
    result = await send_alarm(home, "wx/out/wife")
    assert (result["fallback"], result["fallback_account"]) == (outcome, "bot/me")
    assert await home.in_thread(service.wait, 1)


async def test_an_alarm_that_a_muted_account_took_goes_by_the_other_one_as_well(home: MultiAccountHome):
    await home.log_in()
    await open_window(home)
    await home.bot.post("ilink/mute", person="me")
    result = await send_alarm(home, "wx/bot/out/me")
    assert (result["status"], result["code"]) == ("sent", "unconfirmed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    assert [message["text"] for message in await home.control.sent(1)] == [SMOKE_ALARM["text"]]


async def test_two_accounts_that_are_each_others_fallback_do_not_send_in_a_circle(home: MultiAccountHome):
    await home.log_in()
    await end_login_of_home(home)
    results = [
        await send_alarm(home, "wx/bot/out/me"),
        await send_alarm(home, "wx/out/wife", {**SMOKE_ALARM, "id": "b"}),
    ]
    assert [result["fallback"] for result in results] == ["failed", "failed"]
    await home.bot.write("hello")
    await send_alarm(home, "wx/bot/out/me", {"text": "other", "id": "c"})
    assert [message["text"] for message in await home.bot.bot_sent(1)] == ["other"]


async def test_many_alarms_become_few_messages_and_a_summary(home: MultiAccountHome):
    fallbacks(home, after="1h", bot=["home/wife"])
    await home.log_in()
    since, count = home.subscriber.count, 40
    for number in range(count):
        await home.publish("wx/bot/out/me", {**SMOKE_ALARM, "text": f"smoke {number}", "id": f"m{number}"})
    await home.in_thread(home.bridge.stop)
    fallbacks(home, bot=["home/wife"])
    home.bridge.start()  # all are due at once, before any account is online
    results = [await home.body("wx/bot/result/me", id=f"m{number}", since=since) for number in range(count)]
    assert {(result["fallback"], result["fallback_account"]) for result in results} == {("sent", "home/wife")}
    summarized = [result["summarized"] for result in results if "summarized" in result]
    texts = [message["text"] for message in await home.control.sent(1)]
    assert len(texts) <= ALERTS_PER_MINUTE
    assert len(summarized) + len(texts) > count
    summaries = [text for text in texts if text.startswith("wx2mqtt bot:")]  # two where some come due later
    assert any("smoke 39" in summary for summary in summaries)


async def test_the_end_of_a_login_is_reported_by_the_other_account(home: MultiAccountHome):
    await home.log_in()
    since = home.subscriber.count
    await home.bot.post("ilink/kill")
    await home.body("wx/bot/login/state", state="logged_out", since=since)
    (message,) = await home.control.sent(1)
    assert message["text"].startswith("wx2mqtt bot: log in again\n")


async def test_a_reload_changes_the_fallback_account(home: MultiAccountHome):
    await home.log_in()
    fallbacks(home, bot=["office/wife"])
    await home.answer_of("home", "reload")
    result = await send_alarm(home, "wx/bot/out/me")
    assert result["fallback_account"] == "office/wife"
