"""A bridge on iLink is killed at every commit of a question and of its answer: there is one event, of that question."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.killable_bridge import KillableBridge
from tests.crash.test_ilink_kill import kill_during_command, killable_home, start_online
from tests.support.ilink_home import ILinkHome

QUESTION = {"id": "lock", "text": "lock?", "buttons": [{"text": "Yes", "key": "yes"}, "No"]}
SHOWN = "lock?\n1 Yes\n2 No"


async def open_window_and_kill(home: ILinkHome, process: KillableBridge) -> None:
    """Opens the window, and kills the bridge."""
    await start_online(home, process)
    await home.bot.write("hello")
    await home.body("wx/window/me", open=True)
    process.kill()


def answers(home: ILinkHome) -> list[tuple[str, str, str]]:
    """Returns id, command and key of each answer; a repeated event counts once."""
    found = [message.body for message in home.subscriber.on("wx/event/button")]
    return sorted({(body["id"], body["command_id"], body["key"]) for body in found})


@pytest.mark.parametrize(
    "point", ["before:accept", "after:accept", "before:begin", "after:begin", "before:finish", "after:finish"]
)
async def test_killed_while_a_question_is_sent(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await open_window_and_kill(home, process)
        await kill_during_command(home, process, point, QUESTION)
        await start_online(home, process)
        assert (await home.body("wx/result/me", id="lock"))["status"] == "sent"
        assert {message["text"] for message in await home.bot.bot_sent(1)} == {SHOWN}
        message_id = await home.bot.write("1")
        event = await home.body("wx/event/button")
        assert (event["command_id"], event["key"], event["message_id"]) == ("lock", "yes", message_id)
        assert len(answers(home)) == 1


@pytest.mark.parametrize("point", ["before:record", "after:record"])
async def test_killed_when_the_answer_comes(tmp_path: Path, with_mosquitto: None, point: str):
    async with killable_home(tmp_path) as (home, process):
        await open_window_and_kill(home, process)
        await start_online(home, process)
        for command_id in ("heat", "lock"):
            await home.send_command("me", {**QUESTION, "id": command_id})
        process.kill()
        since = home.subscriber.count
        process.start(point, 2)  # the login is the first commit of this name
        await home.body("wx/login/state", state="online", since=since)
        await home.bot.wait("polling")
        message_id = await home.bot.write("1")
        assert await process.reaches_point()
        await start_online(home, process)
        event = await home.body("wx/event/button")
        assert (event["command_id"], event["message_id"]) == ("lock", message_id)
        body = await home.body("wx/in/me", id=message_id)
        assert body["button"] == {"command_id": "lock", "key": "yes"}
        later = await home.bot.write("2")
        assert "button" not in await home.body("wx/in/me", id=later)
        assert [answer[1:] for answer in answers(home)] == [("lock", "yes")]
        listed = (await home.send_request("questions"))["data"]["questions"]
        assert [message["command_id"] for message in listed] == ["heat"]
