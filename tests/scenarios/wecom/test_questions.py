"""Questions through the whole bridge on WeCom: a card in a single chat, numbered lines in a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_home import PEOPLE, WeComHome, at_wecom_home
from wx2mqtt.simulator.wecom.people import userid_of

YES_NO = [{"text": "Yes", "key": "yes"}, "No"]
WIFE = userid_of("wife")


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[WeComHome]:
    async with at_wecom_home(tmp_path, DURABLE) as logged_in_home:
        await logged_in_home.log_in()
        yield logged_in_home


async def ask(home: WeComHome, command_id: str, user: str = "me", **more: Any) -> dict[str, Any]:
    """Asks a question; returns the message that WeCom took."""
    after = len(await home.control.get("wecom/sent"))
    command = {"id": command_id, "text": f"{command_id}?", "buttons": YES_NO, **more}
    result = await home.send_command(user, command)
    assert result["status"] == "sent"
    (message,) = await home.control.get("wecom/sent", after=after)
    return dict(message)


async def updated_card(home: WeComHome) -> str:
    """Waits until a card is updated; returns what it shows."""
    count = 0
    while True:
        messages = await home.control.get("wecom/sent", after=count, wait=MAX_WAIT_SECONDS)
        assert messages, "no card was updated"
        count += len(messages)
        for message in messages:
            if message["command"] == "update":
                return str(message["card"])


def answers(home: WeComHome) -> list[tuple[str, str]]:
    """Returns command id and key of each answer so far; one that was published again counts once."""
    events = {message.body["id"]: message.body for message in home.subscriber.on("wx/event/button")}
    return [(event["command_id"], event["key"]) for event in events.values()]


async def test_a_press_of_the_card_is_the_answer_and_the_card_shows_it(home: WeComHome):
    card = await ask(home, "lock")
    assert card["kind"] == "template_card"
    await home.bot.press("yes")
    event = await home.body("wx/event/button", command_id="lock")
    assert (event["user"], event["key"], event["text"], event["trusted"]) == ("me", "yes", "Yes", True)
    assert event["sender"]["user"] == "me"
    assert "message_id" not in event
    assert "pressed_on" not in event
    assert "✓ Yes" in await updated_card(home)
    assert answers(home) == [("lock", "yes")]


async def test_a_card_is_answered_by_words_as_well(home: WeComHome):
    await ask(home, "lock")
    message_id = await home.bot.write("no")
    event = await home.body("wx/event/button", command_id="lock")
    assert (event["key"], event["message_id"]) == ("No", message_id)
    assert (await home.body("wx/in/me", id=message_id))["button"] == {"command_id": "lock", "key": "No"}


async def test_a_press_of_an_older_card_answers_its_own_question(home: WeComHome):
    lock, heat = await ask(home, "lock"), await ask(home, "heat")
    await home.bot.press("yes", task_id=lock["card"]["task_id"])
    await home.body("wx/event/button", command_id="lock")
    await home.bot.press("No", task_id=heat["card"]["task_id"])
    await home.body("wx/event/button", command_id="heat")
    assert answers(home) == [("lock", "yes"), ("heat", "No")]


async def test_the_trust_in_the_person_who_pressed_decides(home: WeComHome):
    await home.bot.post("wecom/say", **{"from": "wife", "text": "hello"})
    await home.body(f"wx/in/{WIFE}", text="hello")
    await ask(home, "trusted", user=WIFE)
    await home.bot.press("yes", **{"from": "wife"})  # she is not pinned, so she is not trusted
    await ask(home, "anyone", user=WIFE, buttons_from="anyone")
    await home.bot.press("yes", **{"from": "wife"})
    event = await home.body("wx/event/button")
    assert (event["command_id"], event["user"], event["trusted"]) == ("anyone", WIFE, False)
    assert event["sender"]["user"] == WIFE
    questions = (await home.send_request("questions"))["data"]["questions"]
    assert [question["command_id"] for question in questions] == ["trusted"]


async def test_a_press_after_the_time_of_the_question_changes_the_card_only(home: WeComHome):
    await home.bot.post("wecom/settings", heartbeat=10_000)
    await ask(home, "lock", buttons_for=60)
    await home.bot.post("wecom/clock", forward=600)
    await home.bot.press("yes")
    assert "too late" in await updated_card(home)
    assert answers(home) == []


async def test_a_closed_question_takes_no_press(home: WeComHome):
    await ask(home, "lock")
    assert (await home.send_request("questions", {"close": "lock"}))["data"] == {"closed": "lock"}
    await home.bot.press("yes")
    assert "too late" in await updated_card(home)
    assert answers(home) == []


async def test_a_press_while_the_bridge_is_away_is_lost_and_the_question_stays_open(home: WeComHome):
    await ask(home, "lock")
    await home.in_thread(home.bridge.kill)
    await home.bot.wait("offline")
    assert await home.bot.post("wecom/press", key="yes") == {"delivered": False}
    await home.restart()
    await home.bot.press("yes")
    await home.body("wx/event/button", command_id="lock")
    assert answers(home) == [("lock", "yes")]


async def test_in_a_group_the_buttons_are_numbered_lines(home: WeComHome):
    people = {**PEOPLE, "wife": {"wecom": WIFE}}
    home.bridge.configure(home.settings({"contacts": people}))
    assert (await home.send_request("reload"))["status"] == "ok"
    message = await ask(home, "pizza", user="family")
    assert (message["kind"], message["shown"]) == ("markdown", "pizza?\n1 Yes\n2 No")
    await home.bot.write("1", to="family", **{"from": "mom"})  # she is not pinned, so she is not trusted
    await home.body("wx/in/family", text="1")
    message_id = await home.bot.write("２", to="family", **{"from": "wife"})
    event = await home.body("wx/event/button", command_id="pizza")
    assert (event["user"], event["sender"]["user"], event["key"]) == ("family", "wife", "No")
    assert event["message_id"] == message_id
    await ask(home, "when", user="family", buttons_from="anyone")
    await home.bot.write("yes", to="family", **{"from": "mom"})
    event = await home.body("wx/event/button", command_id="when")
    assert (event["trusted"], event["key"]) == (False, "yes")
    assert answers(home) == [("pizza", "No"), ("when", "yes")]
