"""Urgent commands and questions go by the other bot, in both directions between iLink and WeCom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE
from tests.support.two_bots import OFFICE, TwoBots, at_two_bots

SMOKE_ALARM = {"id": "a", "text": "smoke in the *kitchen*"}
LOCK_QUESTION = {"id": "lock", "text": "lock?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}


@pytest_asyncio.fixture
async def bots(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[TwoBots]:
    async with at_two_bots(tmp_path, DURABLE) as running_bots:
        await running_bots.log_in()
        yield running_bots


async def texts_of_home(bots: TwoBots, count: int) -> list[str]:
    return [str(message["text"]) for message in await bots.bot.bot_sent(count)]


async def take_office_over(bots: TwoBots) -> None:
    since = bots.subscriber.count
    await bots.office.post("wecom/takeover")
    await bots.body(f"{OFFICE}/login/state", state="logged_out", since=since)


async def end_login_of_home(bots: TwoBots) -> None:
    since = bots.subscriber.count
    await bots.bot.post("ilink/kill")
    await bots.body("wx/login/state", state="logged_out", since=since)


# From iLink to WeCom


async def test_an_alarm_outside_of_the_window_goes_by_wecom_as_it_was_written(bots: TwoBots):
    await bots.open_office()
    result = await bots.alarm("wx/out/me", SMOKE_ALARM)
    assert (result["status"], result["code"]) == ("expired", "window_closed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "office/me")
    assert (await bots.office.bot_sent(1))[0]["shown"] == SMOKE_ALARM["text"]
    assert not bots.subscriber.on(f"{OFFICE}/result/me")


async def test_an_alarm_after_the_end_of_the_login_goes_by_wecom(bots: TwoBots):
    await bots.open_office()
    await end_login_of_home(bots)
    await bots.office.bot_sent(1)  # the message that the login has ended
    result = await bots.alarm("wx/out/me", SMOKE_ALARM)
    assert (result["status"], result["fallback"]) == ("expired", "sent")
    assert result["fallback_account"] == "office/me"
    assert (await bots.office.bot_sent(2))[1]["shown"] == SMOKE_ALARM["text"]


async def test_an_alarm_that_a_muted_bot_took_goes_by_wecom_as_well(bots: TwoBots):
    await bots.open_office()
    await bots.open_window()
    await bots.bot.post("ilink/mute", person="me")
    result = await bots.alarm("wx/out/me", SMOKE_ALARM)
    assert (result["status"], result["code"]) == ("sent", "unconfirmed")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "office/me")


async def test_an_alarm_goes_to_a_service_where_the_person_never_wrote_to_the_bot_of_wecom(bots: TwoBots):
    with AlarmReceiver() as service:
        rules = {"after": "200ms", "accounts": ["office/me"], "urls": [service.url]}
        bots.bridge.configure(bots.settings({"fallback": rules}))
        assert (await bots.send_request("reload"))["status"] == "ok"
        result = await bots.alarm("wx/out/me", SMOKE_ALARM)
        assert result["fallback"] == "sent"
        assert "fallback_account" not in result
        (delivered,) = await bots.in_thread(service.wait, 1)
        assert delivered["message"] == SMOKE_ALARM["text"]


# From WeCom to iLink


async def test_an_alarm_goes_by_ilink_at_once_where_wecom_has_no_chat(bots: TwoBots):
    settings = bots.settings()
    settings["accounts"]["office"]["fallback"]["after"] = "1h"
    bots.bridge.configure(settings)
    assert (await bots.send_request("reload"))["status"] == "ok"
    await bots.open_window()
    result = await bots.alarm(f"{OFFICE}/out/me", SMOKE_ALARM)
    assert (result["status"], result["code"]) == ("rejected", "no_chat")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/me")
    assert await texts_of_home(bots, 1) == [SMOKE_ALARM["text"]]


async def test_a_bot_that_another_program_has_taken_over_is_replaced_by_ilink(bots: TwoBots):
    await bots.open_window()
    await take_office_over(bots)
    result = await bots.alarm(f"{OFFICE}/out/me", SMOKE_ALARM)
    assert (result["status"], result["code"]) == ("expired", "logged_out")
    assert (result["fallback"], result["fallback_account"]) == ("sent", "home/me")
    assert await texts_of_home(bots, 1) == [SMOKE_ALARM["text"]]


async def test_an_alarm_does_not_wait_for_a_closed_window_of_ilink(bots: TwoBots):
    await take_office_over(bots)
    result = await bots.alarm(f"{OFFICE}/out/me", SMOKE_ALARM)
    assert (result["status"], result["fallback"]) == ("expired", "failed")
    await bots.open_window()
    await bots.send_command("me", {"id": "b", "text": "other"})
    assert await texts_of_home(bots, 1) == ["other"]


async def test_a_muted_bot_of_ilink_makes_the_result_uncertain(bots: TwoBots):
    await bots.open_window()
    await bots.bot.post("ilink/mute", person="me")
    await take_office_over(bots)
    result = await bots.alarm(f"{OFFICE}/out/me", SMOKE_ALARM)
    assert (result["fallback"], result["fallback_account"]) == ("uncertain", "home/me")


# Questions


def answers(bots: TwoBots, base: str) -> list[dict[str, Any]]:
    """Returns the answers that an account has published; one that was published again counts once."""
    events = {message.body["id"]: message.body for message in bots.subscriber.on(f"{base}/event/button")}
    return list(events.values())


async def test_a_question_of_ilink_goes_by_wecom_as_a_card_and_its_press_is_the_answer(bots: TwoBots):
    await bots.open_office()
    result = await bots.alarm("wx/out/me", LOCK_QUESTION)
    assert (result["fallback"], result["fallback_account"]) == ("sent", "office/me")
    (card,) = await bots.office.bot_sent(1)
    assert card["kind"] == "template_card"
    (question,) = (await bots.send_request("questions"))["data"]["questions"]
    assert (question["command_id"], question["user"]) == ("lock", "me")
    assert question["fallback_account"] == "office/me"
    await bots.office.press("yes")
    event = await bots.body("wx/event/button")
    assert (event["account"], event["user"], event["command_id"]) == ("home", "me", "lock")
    assert (event["key"], event["trusted"], event["pressed_on"]) == ("yes", True, "office/me")
    assert event["sender"]["user"] == "me"
    await bots.open_window()
    await bots.bot.write("1")
    await bots.body("wx/in/me", text="1")
    assert len(answers(bots, "wx")) == 1
    assert answers(bots, OFFICE) == []
    assert (await bots.send_request("questions"))["data"]["questions"] == []


async def test_a_question_of_wecom_goes_by_ilink_as_lines_and_its_number_is_the_answer(bots: TwoBots):
    await bots.open_window()
    result = await bots.alarm(f"{OFFICE}/out/me", LOCK_QUESTION)  # nobody has written to that bot
    assert (result["code"], result["fallback"]) == ("no_chat", "sent")
    assert await texts_of_home(bots, 1) == ["lock?\n1 Yes\n2 No"]
    message_id = await bots.bot.write("２")
    event = await bots.body(f"{OFFICE}/event/button")
    assert (event["account"], event["command_id"], event["key"]) == ("office", "lock", "No")
    assert (event["pressed_on"], event["message_id"]) == ("home/me", message_id)
    body = await bots.body("wx/in/me", id=message_id)
    assert body["button"] == {"account": "office", "command_id": "lock", "key": "No"}
    assert answers(bots, "wx") == []


async def test_a_question_stays_open_over_a_restart_and_one_request_closes_it(bots: TwoBots):
    await bots.open_office()
    await bots.alarm("wx/out/me", LOCK_QUESTION)
    await bots.alarm("wx/out/me", {**LOCK_QUESTION, "id": "heat", "text": "heat?"})
    lock, heat = await bots.office.bot_sent(2)
    await bots.in_thread(bots.bridge.kill)
    await bots.restart()
    assert (await bots.send_request("questions", {"close": "heat"}))["data"] == {"closed": "heat"}
    for card in (heat, lock):
        await bots.office.press("yes", task_id=card["card"]["task_id"])
    event = await bots.body("wx/event/button")
    assert (event["command_id"], event["pressed_on"]) == ("lock", "office/me")
    assert [answer["command_id"] for answer in answers(bots, "wx")] == ["lock"]
