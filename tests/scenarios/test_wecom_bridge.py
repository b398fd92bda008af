"""The whole bridge on the simulated WeCom: logins, messages both ways, a restart, another program."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import run_program
from tests.support.wecom_home import BOT, WeComHome, at_wecom_home
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[WeComHome]:
    async with at_wecom_home(tmp_path) as wecom_home:
        yield wecom_home


async def test_a_configured_bot_writes_and_answers(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": BOT}))
    await home.restart()
    msg_id = await home.bot.write("开灯 *now*")
    message = await home.body("wx/in/me", text="开灯 *now*")
    assert (message["id"], message["kind"]) == (msg_id, "text")
    await home.bot.wait("answered:1")
    text = "灯 **on** # > `x`\n1. _a_ <b> &lt; [x](y) \\ ~~z~~"
    result = await home.send_command("me", {"id": "c1", "text": text})
    assert (result["status"], result["id"]) == ("sent", "c1")
    [sent] = await home.bot.bot_sent(1)
    assert sent["shown"] == text


async def test_a_group_is_written_to_and_read(home: WeComHome):
    await home.log_in()
    await home.bot.write("谁在家", **{"from": "wife", "to": "family"})
    message = await home.body("wx/in/family", text="谁在家")
    assert message["sender"]["name"]
    result = await home.send_command("family", {"text": "me"})
    assert result["status"] == "sent"
    [sent] = await home.bot.bot_sent(1)
    assert (sent["chat"], sent["shown"]) == ("family", "me")


async def test_a_bot_is_made_by_a_scan_and_stays_after_a_restart(home: WeComHome):
    await home.scan()
    await home.bot.write("hi")
    await home.body("wx/in/me", text="hi")
    await home.in_thread(home.bridge.stop)
    await home.restart()
    result = await home.send_command("me", {"text": "again"})
    assert result["status"] == "sent"


async def test_files_go_both_ways(home: WeComHome):
    await home.log_in()
    data = bytes(range(256)) * 5_000
    message_id = await home.bot.write("账单.bin", kind="file", bytes_of=700_001)
    event = await home.body("wx/event/media", message_id=message_id)
    sent_file = home.simulator.wechat.wecom.files.plain[message_id]
    assert (event["state"], event["size"], event["sha256"]) == ("ready", 700_001, sent_file.sha256)
    assert event["name"] == "账单.bin"
    content = base64.b64encode(data).decode()
    result = await home.send_command("me", {"id": "f1", "kind": "file", "data": content, "name": "back.bin"})
    assert result["status"] == "sent", result
    [sent] = await home.bot.bot_sent(1)
    assert (sent["kind"], sent["sha256"]) == ("file", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("form", ["both", "star", "plain", "none"])
async def test_the_name_of_a_file_comes_with_its_bytes(home: WeComHome, form: str):
    await home.log_in()
    message_id = await home.bot.write("账单 12.pdf", kind="file", bytes_of=1_000, detail={"name": form})
    message = await home.body("wx/in/me", id=message_id)
    assert "name" not in message["file"]
    event = await home.body("wx/event/media", message_id=message_id)
    expected = None if form == "none" else "账单 12.pdf"
    assert (event["state"], event.get("name")) == ("ready", expected)
    media = await home.send_request("media", {"message_id": message_id})
    assert media["data"].get("name") == expected
    history = await home.send_request("history", {"kind": "file"})
    assert history["data"]["messages"][-1]["file"].get("name") == expected


async def test_another_program_ends_the_login_and_is_left_alone(home: WeComHome):
    await home.log_in()
    since = home.subscriber.count
    await home.bot.post("wecom/takeover")
    state = await home.body("wx/login/state", state="logged_out", since=since)
    assert state["needs"] == "relogin"
    state = await home.bot.get("wecom/state")
    assert state["bots"][HOME_BOT_ID]["subscriptions"] == 1


async def test_wrong_credentials_are_reported_and_not_tried_again(home: WeComHome):
    home.bridge.configure(home.settings({"wecom": {**BOT, "secret": "wrong" * 10}}))
    home.bridge.start()
    state = await home.body("wx/login/state", state="refused")
    assert state["needs"] == "relogin"
    assert (await home.bot.get("wecom/state"))["refused"] == {"93019": 1}


async def test_a_corrected_secret_is_applied_by_a_reload_also_while_it_is_online(home: WeComHome):
    settings = home.settings({"wecom": {**BOT, "receipt": None, "secret": "wrong" * 10}})
    home.bridge.configure(settings)
    home.bridge.start()
    await home.body("wx/login/state", state="refused")
    home.bridge.configure(home.settings())
    since = home.subscriber.count
    answer = await home.send_request("reload")
    assert answer["data"] == {"applied": ["accounts.home.wecom.secret"], "needs_restart": []}
    await home.body("wx/login/state", state="online", since=since)
    home.bridge.configure(settings)
    await home.send_request("reload")
    await home.body("wx/login/state", state="refused", since=since)
    settings = home.settings()
    settings["mqtt"] |= {"username": "bridge", "password": "for the next connection"}
    home.bridge.configure(settings)
    answer = await home.send_request("reload")
    assert answer["data"]["needs_restart"] == ["mqtt.password", "mqtt.username"]
    assert not [message for message in home.subscriber.received if message.payload == b"offline"]


async def test_a_login_that_wecom_postpones_is_tried_at_once_when_somebody_asks(home: WeComHome):
    await home.log_in()
    await home.bot.post("wecom/settings", refusal_pause=0)

    async def interrupt() -> None:
        since = home.subscriber.count
        await home.bot.post("fault", endpoint="aibot_subscribe", kind="ret", value=45009)
        await home.bot.post("fault", endpoint="aibot_send_msg", kind="reset")
        await home.publish("wx/out/me", "late")
        state = await home.body("wx/login/state", state="interrupted", since=since)
        assert "45009" in state["reason"]

    await interrupt()
    since = home.subscriber.count
    assert (await home.send_request("login"))["status"] == "ok"
    await home.body("wx/login/state", state="online", since=since)
    await interrupt()
    command = ["login", "-c", str(home.bridge.config)]
    done = await home.in_thread(
        run_program, command, env=dict(os.environ), folder=home.folder, timeout=MAX_WAIT_SECONDS
    )
    assert (done.returncode, b"45009" in done.stdout) == (0, True), done


async def test_a_dead_subscription_is_made_anew(home: WeComHome):
    await home.log_in()
    await home.bot.post("wecom/lapse")
    result = await home.send_command("me", {"text": "late"})
    assert result["status"] == "sent"
    [sent] = await home.bot.bot_sent(1)
    assert sent["text"] == "late"
