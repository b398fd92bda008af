"""A login is renewed through the whole bridge: the code in the chat, who may confirm it, which commands wait."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.scenarios.login_helpers import STATE, states_since
from tests.support.broker import DURABLE
from tests.support.ilink_home import ILinkHome, at_ilink_home


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        yield home


async def wait_for_renewal(home: ILinkHome, since: int = 0) -> dict[str, Any]:
    """Waits until a code for the next login is shown; returns the state."""
    return await home.body(STATE, state="online", needs="renew", since=since)


async def confirm(home: ILinkHome, person: str = "me") -> None:
    """Scans and confirms the code as a person."""
    await home.bot.post("ilink/scan", person=person)
    await home.bot.post("ilink/confirm")


def saved_bots(home: ILinkHome) -> list[dict[str, Any]]:
    """Returns the bots of the saved login."""
    (file,) = (home.bridge.store / "sessions").glob("*.json")
    return list(json.loads(file.read_text())["bots"])


@pytest.mark.in_folder
async def test_the_code_is_sent_to_the_chat_and_the_next_login_follows_without_a_gap(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await home.body("wx/window/me", open=True)
    since = home.subscriber.count
    answer = await home.send_request("login", {"renew": True})
    assert answer["data"]["state"] == "online"
    state = await wait_for_renewal(home, since)
    assert "renew" in state["reason"]
    assert state["qr_expires"]
    text, picture = await home.bot.bot_sent(2)
    assert "press long" in text["text"]
    assert picture["kind"] == "image"
    await confirm(home)
    window = await home.body("wx/window/me", why="new_binding", since=since)
    assert window["open"] is False
    assert (await home.body(STATE, state="online", needs="nothing", since=since))["state"] == "online"
    await home.publish("wx/out/me", {"text": "waits", "id": "a"})
    event = await home.body("wx/event/held", command_id="a")
    assert event["why"] == "new_binding"
    assert len(saved_bots(home)) == 2
    await home.bot.wait("polling")
    await home.bot.write("hello again")
    assert (await home.body("wx/result/me", id="a"))["status"] == "sent"
    assert set(await states_since(home, since)) == {"online"}
    assert [received.body["text"] for received in home.subscriber.on("wx/in/me")] == ["hello", "hello again"]
    assert not [message for message in home.subscriber.on("wx/result/me") if message.body["id"] != "a"]


async def test_somebody_else_who_scans_changes_nothing(home: ILinkHome):
    await home.log_in()
    await home.bot.write("hello")
    await home.body("wx/window/me", open=True)
    since = home.subscriber.count
    await home.send_request("login", {"renew": True})
    await wait_for_renewal(home, since)
    await confirm(home, "wife")
    await home.body("wx/event/other_account", since=since)
    assert (await home.body(STATE, needs="nothing", since=since))["state"] == "online"
    await home.publish("wx/out/me", {"text": "still here", "id": "a"})
    assert (await home.body("wx/result/me", id="a"))["status"] == "sent"
    await home.bot.write("still here too")
    await home.body("wx/in/me", text="still here too")
    assert set(await states_since(home, since)) == {"online"}


async def test_a_login_of_the_configured_age_is_renewed_when_the_person_writes(home: ILinkHome):
    home.bridge.configure(home.settings({"ilink": {"renew": {"after": "1ms"}}}))
    await home.log_in()
    since = home.subscriber.count
    await home.bot.write("hello")
    await wait_for_renewal(home, since)
    await home.bot.bot_sent(2)
    await home.bot.post("ilink/expire")
    await home.body(STATE, state="online", needs="nothing", since=since)
    await home.bot.write("hello again")
    await home.body("wx/in/me", text="hello again")
    health = (await home.send_request("health"))["data"]
    assert health["login"]["days_left"] == 30.0
    assert len(await home.bot.bot_sent(2)) == 2, "offered again on another day"
