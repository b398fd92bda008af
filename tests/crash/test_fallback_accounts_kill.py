"""A bridge is killed at every commit while one account sends for another: the alarm comes once, or is uncertain.

A question in it is answered once, and the answer belongs to the account that asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.support.broker import DURABLE
from tests.support.multi_account_home import MultiAccountHome, at_multi_account_home

SMOKE = {"text": "smoke", "id": "a", "urgent": True}
QUESTION = {**SMOKE, "text": "open the window?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}
ASKED = "open the window?\n1 Yes\n2 No"


@contextlib.asynccontextmanager
async def killable_home(folder: Path) -> AsyncIterator[tuple[MultiAccountHome, KillableBridge]]:
    """Opens a home in which the bot's window is shut and `home` is its fallback account."""
    async with at_multi_account_home(folder, DURABLE) as home:
        settings = home.settings_of("home", "bot")
        settings["accounts"]["bot"]["fallback"] = {"after": "100ms", "accounts": ["home/wife"]}
        home.bridge.configure(settings)
        await home.control.post("settings", autoscan=True)
        await home.bot.post("ilink/settings", autoscan="me")
        with contextlib.closing(KillableBridge(home.bridge.config, folder / "log")) as process:
            yield home, process


async def start_online(home: MultiAccountHome, process: KillableBridge, point: str = "", at: int = 1) -> None:
    since = home.subscriber.count
    process.start(point, at)
    await home.wait_until_online(since, "home", "bot")


async def texts_after(
    home: MultiAccountHome, process: KillableBridge, point: str, at: int
) -> tuple[list[str], dict[str, Any]]:
    """Returns the texts of an alarm that the wife got when the bridge was killed there, and the alarm's result."""
    await start_online(home, process, point, at)
    await home.publish("wx/bot/out/me", SMOKE)
    assert await process.reaches_point()
    await start_online(home, process)
    result = await home.body("wx/bot/result/me", id="a")
    await home.assert_works("home", "after")
    sent = [line["text"] for line in await home.control.get("sent")]
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
async def test_where_it_is_known_what_the_fallback_account_did_the_alarm_comes_once(
    tmp_path: Path, with_mosquitto: None, point: str, at: int
):
    async with killable_home(tmp_path) as (home, process):
        texts, result = await texts_after(home, process, point, at)
        assert texts == ["smoke"]
        assert (result["status"], result["fallback"]) == ("expired", "sent")
        assert result["fallback_account"] == "home/wife"


@pytest.mark.parametrize(("point", "at", "texts"), [("after:accept", 2, []), ("before:finish", 1, ["smoke"])])
async def test_an_attempt_of_the_fallback_account_that_may_have_arrived_is_uncertain_and_not_repeated(
    tmp_path: Path, with_mosquitto: None, point: str, at: int, texts: list[str]
):
    async with killable_home(tmp_path) as (home, process):
        sent, result = await texts_after(home, process, point, at)
        assert sent == texts
        assert (result["fallback"], result["fallback_account"]) == ("uncertain", "home/wife")


async def answer(home: MultiAccountHome, words: str, message_id: str = "") -> None:
    """Lets the wife answer, unless she has already (`message_id`); asserts that there is one event, of the bot."""
    if not message_id:
        (message_id,) = await home.control.say("wife", words)
    body = await home.body("wx/in/wife", id=message_id)
    assert body["button"] == {"account": "bot", "command_id": "a", "key": "yes"}
    event = await home.body("wx/bot/event/button")
    assert (event["account"], event["user"], event["command_id"]) == ("bot", "me", "a")
    assert (event["pressed_on"], event["message_id"]) == ("home/wife", message_id)
    await home.control.say("wife", "2")
    assert "button" not in await home.body("wx/in/wife", text="2")
    events = {message.body["id"] for message in home.subscriber.on("wx/bot/event/button")}
    assert (len(events), home.subscriber.on("wx/event/button")) == (1, [])
    assert (await home.answer_of("bot", "questions"))["questions"] == []


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
async def test_killed_while_the_fallback_account_sends_the_question(
    tmp_path: Path, with_mosquitto: None, point: str, at: int
):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process, point, at)
        await home.publish("wx/bot/out/me", QUESTION)
        assert await process.reaches_point()
        await start_online(home, process)
        result = await home.body("wx/bot/result/me", id="a")
        assert result["fallback"] in ("sent", "uncertain")
        texts = [line["text"] for line in await home.control.get("sent")]
        assert texts in ([[ASKED]] if result["fallback"] == "sent" else [[ASKED], []])
        await answer(home, "1")


@pytest.mark.parametrize("point", ["before:record", "after:record"])
@pytest.mark.parametrize("at", [1, 2, 3])  # each of both accounts stores its login, in whatever order
async def test_killed_when_the_answer_comes_to_the_fallback_account(
    tmp_path: Path, with_mosquitto: None, point: str, at: int
):
    async with killable_home(tmp_path) as (home, process):
        await start_online(home, process)
        await home.publish("wx/bot/out/me", QUESTION)
        await home.body("wx/bot/result/me", id="a")
        process.kill()
        (message_id,) = await home.control.say("wife", "yes")
        process.start(point, at)
        assert await process.reaches_point()
        await start_online(home, process)
        await answer(home, "yes", message_id)
