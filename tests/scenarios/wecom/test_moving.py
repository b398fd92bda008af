"""A bot of WeCom moves: to another instance of a cluster, and to another machine by a backup.

The login, the owner whom the operator has named, and an open question move with it; nobody scans again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import DURABLE, free_port
from tests.support.postgresql import LOGIN_KEY, new_database
from tests.support.process import BridgeProcess
from tests.support.wecom_home import WeComHome, at_wecom_home
from wx2mqtt.simulator.wecom.people import userid_of
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID

ME = userid_of("me")
QUESTION = {"id": "lock", "text": "lock?", "buttons": ["Yes", "No"], "buttons_from": "trusted"}


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[WeComHome]:
    async with at_wecom_home(tmp_path, DURABLE) as home:
        yield home


async def set_up_bot(home: WeComHome, web: int) -> str:
    """Lets a person scan, confirm the bot on the page, be named as its owner and be asked a question.

    Returns the id of the bot; `web` is the port of the page.
    """
    since = home.subscriber.count
    home.bridge.start()
    await home.bot.wait("code")
    await home.bot.post("wecom/scan")
    await home.bot.post("wecom/confirm")
    await home.body("wx/login/state", state="online", since=since)
    (bot_id,) = set((await home.bot.get("wecom/state"))["bots"]) - {HOME_BOT_ID}
    await home.bot.write("hello", bot=bot_id)
    await home.body(f"wx/in/{ME}", text="hello")
    await confirm(web, bot_id)
    assert (await home.send_request("owner", {"user": ME}))["data"]["trusted"] is True
    assert (await home.send_command(ME, QUESTION))["status"] == "sent"
    return str(bot_id)


async def confirm(web: int, bot_id: str) -> None:
    """Confirms on the page that the bot is the operator's."""
    async with httpx.AsyncClient() as browser:
        page = f"http://127.0.0.1:{web}/accounts/home/confirm-bot"
        assert (await browser.post(page, data={"bot": bot_id})).status_code == 303


async def assert_bot_moved(home: WeComHome, bot_id: str, since: int) -> None:
    """Asserts that the owner is trusted, the question is answered once, and nobody was asked to scan."""
    await home.bot.write("still me", bot=bot_id)
    message = await home.body(f"wx/in/{ME}", text="still me", since=since)
    assert message["trusted"] is True
    await home.bot.press("Yes", bot=bot_id)
    event = await home.body("wx/event/button", since=since)
    assert (event["command_id"], event["key"], event["trusted"]) == ("lock", "Yes", True)
    assert (await home.send_command(ME, {"text": "good", "id": "good"}))["status"] == "sent"
    received = home.subscriber.received[since:]
    states = {message.body["state"] for message in received if message.topic == "wx/login/state"}
    assert not states & {"waiting_for_scan", "waiting_for_confirm", "refused"}
    assert len({message.body["id"] for message in home.subscriber.on("wx/event/button")}) == 1
    assert await home.control.get("violations") == []


async def test_a_bot_moves_to_another_machine_by_a_backup(home: WeComHome, tmp_path: Path):
    web = free_port()
    settings = home.settings({"contacts": {}, "wecom": {}}, web={"listen": f"127.0.0.1:{web}"})
    home.bridge.configure(settings)
    bot_id = await set_up_bot(home, web)
    assert await home.in_thread(home.bridge.stop) == 0
    code, _, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "store.tar.gz"))
    assert code == 0, errors
    await home.bot.write("while it moves", bot=bot_id)
    home.bridge = BridgeProcess(tmp_path / "other machine", settings)
    code, _, errors = await wx2mqtt(home.bridge, "restore", str(tmp_path / "store.tar.gz"))
    assert code == 0, errors
    since = home.subscriber.count
    home.bridge.start()
    await home.body("wx/login/state", state="online", since=since)
    gap = await home.body("wx/event/gap", since=since)
    assert gap["since"] < gap["until"]
    # A backup may be forged, so it says nothing about trust: the bot of a scan is confirmed again.
    state = await home.body("wx/login/state", state="online", since=since)
    assert state["needs"] == "owner"
    await confirm(web, bot_id)
    await assert_bot_moved(home, bot_id, since)


@pytest.fixture
def instances(home: WeComHome) -> Iterator[tuple[BridgeProcess, BridgeProcess, int]]:
    """Gives `east`, the bridge of the home, and `west`, on one database; and the port of the page of `east`."""
    url, web = new_database(), free_port()

    def settings(instance: str) -> dict[str, Any]:
        storage = {"path": str(home.folder / instance / "store"), "url": url, "key": LOGIN_KEY}
        cluster: dict[str, Any] = {"storage": storage, "cluster": {"instance": instance}}
        if instance == "east":
            cluster["web"] = {"listen": f"127.0.0.1:{web}"}
        return home.settings({"contacts": {}, "wecom": {}}, **cluster)

    with ExitStack() as stack:
        bridges = [BridgeProcess(home.folder / name, settings(name)) for name in ("east", "west")]
        for bridge in bridges:
            stack.callback(bridge.close)
        home.bridge = bridges[0]
        yield bridges[0], bridges[1], web


async def wait_until_runs_on(home: WeComHome, instance: str, since: int) -> None:
    await home.body("wx/bridge/info", instance=instance, since=since)
    await home.body("wx/login/state", state="online", since=since)


async def subscriptions(home: WeComHome, bot_id: str) -> int:
    return int((await home.bot.get("wecom/state"))["bots"][bot_id]["subscriptions"])


async def test_the_next_instance_ends_the_connection_of_a_stopped_one_and_keeps_the_bot(
    home: WeComHome, instances: tuple[BridgeProcess, BridgeProcess, int]
):
    east, west, web = instances
    bot_id = await set_up_bot(home, web)
    west.start()
    since = home.subscriber.count
    os.kill(east.pid, signal.SIGSTOP)
    try:
        await wait_until_runs_on(home, "west", since)
        await home.body("wx/event/gap", since=since)
    finally:
        os.kill(east.pid, signal.SIGCONT)
    await home.in_thread(east.wait_for_log, "connection to the database lost")
    await assert_bot_moved(home, bot_id, since)
    assert await subscriptions(home, bot_id) == 2
    assert home.subscriber.on("wx/bridge/info")[-1].body["instance"] == "west"


async def test_a_killed_instance_is_replaced_and_what_it_stored_is_published_once(
    home: WeComHome, instances: tuple[BridgeProcess, BridgeProcess, int]
):
    east, west, web = instances
    bot_id = await set_up_bot(home, web)
    west.start()
    since = home.subscriber.count
    await home.bot.post("wecom/say", bot=bot_id, text="burst {n}", count=100)
    await home.body(f"wx/in/{ME}", text="burst 1", since=since)
    await home.in_thread(east.kill)
    await wait_until_runs_on(home, "west", since)
    await home.body("wx/event/gap", since=since)
    await assert_bot_moved(home, bot_id, since)
    messages = {message.body["seq"]: message.body["text"] for message in home.subscriber.on(f"wx/in/{ME}")}
    assert sorted(messages) == list(range(1, len(messages) + 1))
    bursts = [messages[seq] for seq in sorted(messages) if messages[seq].startswith("burst")]
    assert bursts == [f"burst {number}" for number in range(1, len(bursts) + 1)]
    assert await subscriptions(home, bot_id) == 2
