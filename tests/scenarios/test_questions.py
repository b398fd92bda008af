"""Questions with buttons on the whole bridge: asked, answered, closed, also across a kill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.home import Home
from tests.support.ilink_home import ILinkHome, at_ilink_home

YES_NO = [{"text": "Yes", "key": "yes"}, "No"]


@pytest_asyncio.fixture
async def bot_home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        await home.log_in()
        await home.bot.write("hello")
        await home.body("wx/window/me", open=True)
        yield home


async def ask(home: Home, command_id: str, user: str = "me", **more: Any) -> dict[str, Any]:
    command = {"id": command_id, "text": f"{command_id}?", "buttons": YES_NO, **more}
    result = await home.send_command(user, command)
    assert result["status"] == "sent"
    return result


def answers(home: Home) -> list[tuple[str, str]]:
    """Returns command id and key of each answer so far; one that was published again counts once."""
    events = {message.body["id"]: message.body for message in home.subscriber.on("wx/event/button")}
    return [(event["command_id"], event["key"]) for event in events.values()]


async def receive(home: ILinkHome, text: str, **more: Any) -> dict[str, Any]:
    """Lets the person write; returns the message as it is published."""
    message_id = await home.bot.write(text, **more)
    return await home.body("wx/in/me", id=message_id)


async def test_a_question_on_ilink_is_answered_by_number_text_and_quote(bot_home: ILinkHome):
    await ask(bot_home, "lock", buttons_for=600)
    (sent,) = await bot_home.bot.bot_sent(1)
    assert sent["text"] == "lock?\n1 Yes\n2 No"
    await ask(bot_home, "heat")
    listed = (await bot_home.send_request("questions"))["data"]["questions"]
    assert [question["command_id"] for question in listed] == ["heat", "lock"]
    assert "button" not in await receive(bot_home, "maybe")
    body = await receive(bot_home, "２")
    assert body["button"] == {"command_id": "heat", "key": "No"}
    event = await bot_home.body("wx/event/button", command_id="heat")
    assert (event["user"], event["trusted"], event["text"]) == ("me", True, "No")
    assert event["message_id"] == body["id"]
    assert event["sender"]["self"] is False
    assert "button" not in await receive(bot_home, "1")  # the last question is answered
    quote = await receive(bot_home, " YES", kind="quote_id", detail={"msg_id": sent["msg_id"]})
    assert quote["button"] == {"command_id": "lock", "key": "yes"}
    await bot_home.body("wx/event/button", command_id="lock")
    assert answers(bot_home) == [("heat", "No"), ("lock", "yes")]
    assert (await bot_home.send_request("questions"))["data"] == {"questions": [], "more": False}


async def test_open_questions_survive_a_kill_and_an_answer_while_the_bridge_is_away_counts(
    bot_home: ILinkHome,
):
    await ask(bot_home, "lock")
    await bot_home.in_thread(bot_home.bridge.kill)
    message_id = await bot_home.bot.write("1")
    await bot_home.restart()
    event = await bot_home.body("wx/event/button", command_id="lock")
    assert (event["key"], event["message_id"]) == ("yes", message_id)
    await bot_home.in_thread(bot_home.bridge.kill)
    await bot_home.restart()
    await receive(bot_home, "2")
    assert answers(bot_home) == [("lock", "yes")]


async def test_a_request_closes_a_question(bot_home: ILinkHome):
    await ask(bot_home, "lock")
    assert (await bot_home.send_request("questions", {"close": "lock"}))["data"] == {"closed": "lock"}
    assert (await bot_home.send_request("questions", {"close": "lock"}))["code"] == "unknown_id"
    assert "button" not in await receive(bot_home, "1")
    assert answers(bot_home) == []


async def test_a_question_waits_only_while_the_window_is_closed(bot_home: ILinkHome):
    for number in range(9):
        await bot_home.send_command("me", {"text": f"{number}", "id": f"n{number}"})
    for number in range(3):
        await bot_home.publish("wx/out/me", {"text": f"more {number}", "id": f"m{number}"})
        await bot_home.body("wx/event/held", command_id=f"m{number}")
    await bot_home.publish(
        "wx/out/me", {"id": "lock", "text": "lock?", "buttons": YES_NO, "priority": "high"}
    )
    result = await bot_home.body("wx/result/me", id="lock")
    assert (result["status"], result.get("bundled")) == ("sent", None)
    lines = await bot_home.bot.bot_sent(10)
    assert lines[-1]["text"] == "lock?\n1 Yes\n2 No"


async def test_on_web_wechat_only_trusted_people_answer_unless_anyone_may(home: Home):
    home.bridge.configure(
        home.settings({"contacts": {"wife": {"remark": "老婆"}, "family": {"group": "相亲相爱一家人"}}})
    )
    await home.log_in()
    await ask(home, "pizza", user="family")
    await home.control.say("mom", "1", to="family")  # nobody has named her
    await home.body("wx/in/family", text="1")
    await home.control.say("wife", "no", to="family")
    event = await home.body("wx/event/button", command_id="pizza")
    assert (event["user"], event["sender"]["user"], event["key"]) == ("family", "wife", "No")
    await ask(home, "when", user="family", buttons_from="anyone")
    since = home.subscriber.count
    await home.control.say("mom", "１", to="family")
    event = await home.body("wx/event/button", command_id="when", since=since)
    assert (event["trusted"], event["key"]) == (False, "yes")
    assert answers(home) == [("pizza", "No"), ("when", "yes")]


async def test_the_owner_answers_from_the_phone_in_the_file_helper(home: Home):
    await home.log_in()
    await ask(home, "lock", user="filehelper")
    await home.control.say("me", "yes", to="filehelper")
    event = await home.body("wx/event/button", command_id="lock")
    assert (event["user"], event["key"], event["trusted"]) == ("filehelper", "yes", True)
    assert event["sender"]["self"] is True
