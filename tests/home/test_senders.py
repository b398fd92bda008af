"""Home Assistant without MQTT: what its page shows is taken by a real one, and sends over HTTP to the whole bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.markdown import ROOT, blocks
from tests.home.conftest import PYTHON
from tests.home.home_assistant import HomeAssistantProcess
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE, free_port
from tests.support.ilink_home import ILinkHome, at_ilink_home

TOKEN = "home-" + "0123456789abcdef" * 3
AUTOMATION = "automation.water"


def page_blocks(language: str, bridge: str) -> list[str]:
    """Returns the blocks of the page, with the address of the bridge and its token."""
    page = ROOT / "docs" / language / "examples" / "home-assistant.md"
    texts = [block.text for block in blocks(page) if block.reason == "test_home_assistant_sends_without_mqtt"]
    return [text.replace("http://192.168.1.10:8098", bridge).replace("TOKEN", TOKEN) for text in texts]


def home_assistant_with(folder: Path, secrets: str, configuration: str) -> HomeAssistantProcess:
    """Returns a Home Assistant that has these two files of the page, and no MQTT."""
    process = HomeAssistantProcess(PYTHON, folder, port=free_port())
    (folder / "secrets.yaml").write_text(secrets, encoding="utf-8")
    file = folder / "configuration.yaml"
    file.write_text(f"{file.read_text()}\n{configuration}", encoding="utf-8")
    return process


async def sent_texts(home: ILinkHome) -> list[str]:
    return [line["text"] for line in await home.bot.get("ilink/sent")]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_home_assistant_sends_without_mqtt(language: str, tmp_path: Path) -> None:
    bridge = f"http://127.0.0.1:{free_port()}"
    secrets, configuration, actions = page_blocks(language, bridge)
    automation: dict[str, Any] = {
        "id": "water",
        "alias": "water",
        "triggers": [{"trigger": "event", "event_type": "water"}],
        "actions": yaml.safe_load(actions),
    }
    alarm = automation["actions"][0]["data"]["text"]
    async with at_ilink_home(tmp_path, DURABLE) as home:
        with AlarmReceiver() as service:
            service.status = 500  # the fallback is away, too
            account = {"fallback": {"after": "200ms", "urls": [service.url]}}
            web = {
                "senders_listen": bridge.removeprefix("http://"),
                "senders": [{"name": "alarms", "token": TOKEN, "to": "me"}],
            }
            home.bridge.configure(home.settings(account, web=web))
            await home.log_in()
            since = home.subscriber.count
            await home.bot.write("hello")
            await home.body("wx/in/me", since=since, text="hello")
            home_assistant = home_assistant_with(tmp_path / "house", secrets, configuration)
            await home.in_thread(home_assistant.start)
            try:
                await home.in_thread(home_assistant.do, "automations", automations=[automation])
                await home.in_thread(home_assistant.until, f"states('{AUTOMATION}') == 'on'")
                await home.in_thread(home_assistant.call, "notify.wechat", {"message": "hello 你好"})
                await home.in_thread(home_assistant.call, "automation.trigger", None, entity_id=AUTOMATION)
                await home.bot.bot_sent(2)
                assert await sent_texts(home) == ["hello 你好", alarm]
                assert await home.in_thread(home_assistant.do, "notes") == {}
                await home.bot.post("ilink/window", ago=25 * 3600)
                await home.in_thread(home_assistant.call, "automation.trigger", None, entity_id=AUTOMATION)
                notes = await home.in_thread(home_assistant.do, "notes")
                assert ["window_closed" in text for text in notes.values()] == [True]
                assert len(await sent_texts(home)) == 2
            finally:
                await home.in_thread(home_assistant.stop)
            assert [line for line in home_assistant.log_lines() if "rest" in line] == []
