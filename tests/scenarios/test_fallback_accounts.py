"""What must not wait goes out by another account, in both directions between iLink and web WeChat."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver
from tests.support.town import Town, running_town

SMOKE = {"text": "smoke in the kitchen", "id": "a", "urgent": True}
ALERTS_PER_MINUTE = 10


@pytest.fixture
def service() -> Iterator[Receiver]:
    with Receiver() as service:
        yield service


@pytest.fixture
async def town(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[Town]:
    async with running_town(tmp_path) as town:
        fallbacks(town, home=["bot/me"], bot=["home/wife"])
        yield town


def fallbacks(town: Town, urls: tuple[str, ...] = (), after: str = "200ms", **accounts: list[str]) -> None:
    """Configures the accounts that are tried in place of each one."""
    settings = town.of("home", "office", "bot")
    for name, others in accounts.items():
        settings["accounts"][name]["fallback"] = {"after": after, "accounts": others, "urls": [*urls]}
    town.bridge.configure(settings)


async def alarm(town: Town, topic: str, command: dict[str, Any] = SMOKE) -> dict[str, Any]:
    since = town.subscriber.count
    await town.publish(topic, command)
    return await town.body(topic.replace("/out/", "/result/"), id=command["id"], since=since)


async def open_window(town: Town) -> None:
    await town.bot.write("hello")
    await town.body("wx/bot/window/me", open=True)


async def log_home_out(town: Town) -> None:
    since = town.subscriber.count
    await town.control.post("logout")
    await town.body("wx/login/state", state="waiting_for_scan", since=since)


async def test_an_alarm_outside_of_the_window_goes_by_web_wechat(town: Town):
    await town.log_in()
    result = await alarm(town, "wx/bot/out/me")
    assert (result["status"], result["code"]) == ("expired", "window_closed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    assert "home/wife" in result["message"]
    assert [line["text"] for line in await town.control.sent(1)] == [SMOKE["text"]]
    assert not town.subscriber.on("wx/result/wife")
    await town.bot.write("here again")
    await alarm(town, "wx/bot/out/me", {"text": "other", "id": "b"})
    assert [line["text"] for line in await town.bot.bot_sent(1)] == ["other"]


async def test_an_alarm_of_an_account_that_is_logged_out_goes_by_ilink(town: Town):
    await town.log_in()
    await open_window(town)
    await log_home_out(town)
    result = await alarm(town, "wx/out/wife")
    assert (result["status"], result["code"]) == ("expired", "logged_out")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "bot/me")
    assert [line["text"] for line in await town.bot.bot_sent(1)] == [SMOKE["text"]]
    assert not town.subscriber.on("wx/bot/result/me")


async def test_a_file_goes_along(town: Town, tmp_path: Path):
    await town.log_in()
    picture = (Path(__file__).parents[2] / "docs" / "images" / "page-light.png").read_bytes()
    since = town.subscriber.count
    command = {"kind": "image", "data": base64.b64encode(picture).decode(), "name": "cellar.png"}
    await town.publish("wx/bot/out/me", {**command, "id": "a", "urgent": True})
    result = await town.body("wx/bot/result/me", id="a", since=since)
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    (line,) = await town.control.sent(1)
    assert await town.control.content(line["msg_id"]) == picture


async def test_a_file_goes_along_to_a_service_that_takes_files(town: Town, service: Receiver):
    fallbacks(town, (service.url,), bot=[])
    await town.log_in()
    picture = (Path(__file__).parents[2] / "docs" / "images" / "page-light.png").read_bytes()
    command = {"kind": "image", "data": base64.b64encode(picture).decode(), "name": "cellar.png"}
    result = await alarm(town, "wx/bot/out/me", {**command, "text": "Water", "id": "a", "urgent": True})
    assert result["fallback"] == "sent"
    (got,) = await town.in_thread(service.wait, 1)
    (file,) = got["attachments"]
    assert (got["message"], file["filename"], file["mimetype"]) == ("Water", "cellar.png", "image/png")
    assert base64.b64decode(file["base64"]) == picture


async def test_where_the_other_account_would_have_to_wait_the_services_are_asked(
    town: Town, service: Receiver
):
    fallbacks(town, (service.url,), home=["bot/me", "office/wife"])
    await town.log_in()
    await log_home_out(town)
    since = town.subscriber.count
    await town.office.post("logout")
    await town.body("wx/office/login/state", state="waiting_for_scan", since=since)
    result = await alarm(town, "wx/out/wife")
    assert result["fallback"] == "sent"
    assert "fallback_account" not in result
    (got,) = await town.in_thread(service.wait, 1)
    assert got["message"] == SMOKE["text"]
    assert (await town.asked("bot", "health"))["commands"]["failed_today"] == 0
    await town.bot.write("the window is open")
    await alarm(town, "wx/bot/out/me", {"text": "other", "id": "b"})
    assert [line["text"] for line in await town.bot.bot_sent(1)] == ["other"]


async def test_the_accounts_are_tried_in_their_order_until_one_takes_it(town: Town):
    fallbacks(town, bot=["office/nobody", "office/wife", "home/wife"])
    await town.log_in()
    result = await alarm(town, "wx/bot/out/me")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "office/wife")
    assert [line["text"] for line in await town.office.sent(1)] == [SMOKE["text"]]
    assert not await town.control.get("sent")


async def test_none_takes_it(town: Town):
    await town.log_in()
    await log_home_out(town)
    result = await alarm(town, "wx/bot/out/me")
    assert (result["status"], result["fallback"]) == ("expired", "failed")
    assert "fallback_account" not in result


async def test_an_account_that_wechat_has_muted_leaves_it_in_doubt_and_the_next_is_asked(
    town: Town, service: Receiver
):
    fallbacks(town, (service.url,), home=["bot/me"])
    service.status = 500
    await town.log_in()
    await open_window(town)
    await town.bot.post("ilink/mute", person="me")
    await log_home_out(town)
    result = await alarm(town, "wx/out/wife")
    assert (result["fallback"], result["fallback_account"]) == ("uncertain", "bot/me")
    assert await town.in_thread(service.wait, 1)


async def test_what_a_muted_account_took_goes_by_the_other_one_as_well(town: Town):
    await town.log_in()
    await open_window(town)
    await town.bot.post("ilink/mute", person="me")
    result = await alarm(town, "wx/bot/out/me")
    assert (result["status"], result["code"]) == ("sent", "unconfirmed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/wife")
    assert [line["text"] for line in await town.control.sent(1)] == [SMOKE["text"]]


async def test_two_accounts_that_are_each_others_fallback_send_nothing_in_a_circle(town: Town):
    await town.log_in()
    await log_home_out(town)
    both = [await alarm(town, "wx/bot/out/me"), await alarm(town, "wx/out/wife", {**SMOKE, "id": "b"})]
    assert [result["fallback"] for result in both] == ["failed", "failed"]
    await town.bot.write("hello")
    await alarm(town, "wx/bot/out/me", {"text": "other", "id": "c"})
    assert [line["text"] for line in await town.bot.bot_sent(1)] == ["other"]


async def test_many_alarms_are_few_messages_there_and_a_summary(town: Town):
    fallbacks(town, after="1h", bot=["home/wife"])
    await town.log_in()
    since, count = town.subscriber.count, 40
    for number in range(count):
        await town.publish("wx/bot/out/me", {**SMOKE, "text": f"smoke {number}", "id": f"m{number}"})
    await town.in_thread(town.bridge.stop)
    fallbacks(town, bot=["home/wife"])
    town.bridge.start()  # all are due at once, before any account is online
    results = [await town.body("wx/bot/result/me", id=f"m{number}", since=since) for number in range(count)]
    assert {(one["fallback"], one["fallback_account"]) for one in results} == {("sent", "home/wife")}
    summarized = [one["summarized"] for one in results if "summarized" in one]
    lines = [line["text"] for line in await town.control.sent(1)]
    assert len(lines) <= ALERTS_PER_MINUTE
    assert len(summarized) + len(lines) > count
    summaries = [line for line in lines if line.startswith("wx2mqtt bot:")]  # two where some come due later
    assert any("smoke 39" in summary for summary in summaries)


async def test_the_end_of_a_login_is_told_by_the_other_account(town: Town):
    await town.log_in()
    since = town.subscriber.count
    await town.bot.post("ilink/kill")
    await town.body("wx/bot/login/state", state="logged_out", since=since)
    (line,) = await town.control.sent(1)
    assert line["text"].startswith("wx2mqtt bot: log in again\n")


async def test_a_reload_names_another_account(town: Town):
    await town.log_in()
    fallbacks(town, bot=["office/wife"])
    await town.asked("home", "reload")
    result = await alarm(town, "wx/bot/out/me")
    assert result["fallback_account"] == "office/wife"
