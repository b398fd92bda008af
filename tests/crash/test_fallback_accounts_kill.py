"""A bridge is killed at every commit while one account sends for another: the alarm comes once, or is in doubt.

A question that goes along is answered once, and the answer is that of the account that asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lives import Lives
from tests.support.broker import DURABLE
from tests.support.town import Town, running_town

SMOKE = {"text": "smoke", "id": "a", "urgent": True}
QUESTION = {**SMOKE, "text": "open the window?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}
ASKED = "open the window?\n1 Yes\n2 No"


@contextlib.asynccontextmanager
async def town(folder: Path) -> AsyncIterator[tuple[Town, Lives]]:
    """The bot's window is shut, and `home` is its fallback; the bridge dies where the test says."""
    async with running_town(folder, DURABLE) as town:
        settings = town.of("home", "bot")
        settings["accounts"]["bot"]["fallback"] = {"after": "100ms", "accounts": ["home/wife"]}
        town.bridge.configure(settings)
        await town.control.post("settings", autoscan=True)
        await town.bot.post("ilink/settings", autoscan="me")
        with contextlib.closing(Lives(town.bridge.config, folder / "log")) as lives:
            yield town, lives


async def live(town: Town, lives: Lives, point: str = "", at: int = 1) -> None:
    since = town.subscriber.count
    lives.start(point, at)
    await town.all_online(since, "home", "bot")


async def texts_after(town: Town, lives: Lives, point: str, at: int) -> tuple[list[str], dict[str, Any]]:
    """What the wife got of an alarm when the bridge was killed there, and the alarm's result."""
    await live(town, lives, point, at)
    await town.publish("wx/bot/out/me", SMOKE)
    assert await lives.dies()
    await live(town, lives)
    result = await town.body("wx/bot/result/me", id="a")
    await town.is_well("home", "after")
    sent = [line["text"] for line in await town.control.get("sent")]
    assert sent.pop() == "after out"
    return sent, result


@pytest.mark.parametrize(
    ("point", "at"),
    [
        ("before:fallback", 1),  # nothing has begun
        ("after:fallback", 1),
        ("before:accept", 2),  # by home
        ("after:finish", 1),  # home knows that it was sent
        ("before:fallback", 2),
        ("after:fallback", 2),
        ("before:finish", 2),
        ("after:finish", 2),
    ],
)
async def test_where_it_is_known_what_the_other_account_did_the_alarm_comes_once(
    tmp_path: Path, with_mosquitto: None, point: str, at: int
):
    async with town(tmp_path) as (here, lives):
        texts, result = await texts_after(here, lives, point, at)
        assert texts == ["smoke"]
        assert (result["status"], result["fallback"]) == ("expired", "sent")
        assert result["fallback_account"] == "home/wife"


@pytest.mark.parametrize(("point", "at", "texts"), [("after:accept", 2, []), ("before:finish", 1, ["smoke"])])
async def test_an_attempt_there_that_may_have_arrived_is_in_doubt_and_not_made_again(
    tmp_path: Path, with_mosquitto: None, point: str, at: int, texts: list[str]
):
    async with town(tmp_path) as (here, lives):
        sent, result = await texts_after(here, lives, point, at)
        assert sent == texts
        assert (result["fallback"], result["fallback_account"]) == ("uncertain", "home/wife")


async def answer(town: Town, words: str, message_id: str = "") -> None:
    """The wife answers where she was asked, unless she has already (`message_id`); one event tells the bot's."""
    if not message_id:
        (message_id,) = await town.control.say("wife", words)
    body = await town.body("wx/in/wife", id=message_id)
    assert body["button"] == {"account": "bot", "command_id": "a", "key": "yes"}
    event = await town.body("wx/bot/event/button")
    assert (event["account"], event["user"], event["command_id"]) == ("bot", "me", "a")
    assert (event["pressed_on"], event["message_id"]) == ("home/wife", message_id)
    await town.control.say("wife", "2")
    assert "button" not in await town.body("wx/in/wife", text="2")
    events = {one.body["id"] for one in town.subscriber.on("wx/bot/event/button")}
    assert (len(events), town.subscriber.on("wx/event/button")) == (1, [])
    assert (await town.asked("bot", "questions"))["questions"] == []


@pytest.mark.parametrize(
    ("point", "at"),
    [
        ("before:fallback", 1),
        ("after:accept", 2),  # by home
        ("before:begin", 1),
        ("after:begin", 1),  # home does not know whether it was sent
        ("before:finish", 1),
        ("after:finish", 1),
        ("after:fallback", 2),
        ("after:finish", 2),
    ],
)
async def test_killed_while_the_other_account_asks(tmp_path: Path, with_mosquitto: None, point: str, at: int):
    async with town(tmp_path) as (here, lives):
        await live(here, lives, point, at)
        await here.publish("wx/bot/out/me", QUESTION)
        assert await lives.dies()
        await live(here, lives)
        result = await here.body("wx/bot/result/me", id="a")
        assert result["fallback"] in ("sent", "uncertain")
        texts = [line["text"] for line in await here.control.get("sent")]
        assert texts in ([[ASKED]] if result["fallback"] == "sent" else [[ASKED], []])
        await answer(here, "1")


@pytest.mark.parametrize("point", ["before:record", "after:record"])
@pytest.mark.parametrize("at", [1, 2, 3])  # each of both accounts stores its login, in whatever order
async def test_killed_when_the_answer_comes_to_the_other_account(
    tmp_path: Path, with_mosquitto: None, point: str, at: int
):
    async with town(tmp_path) as (here, lives):
        await live(here, lives)
        await here.publish("wx/bot/out/me", QUESTION)
        await here.body("wx/bot/result/me", id="a")
        lives.kill()
        (message_id,) = await here.control.say("wife", "yes")
        lives.start(point, at)
        assert await lives.dies()
        await live(here, lives)
        await answer(here, "yes", message_id)
