"""A home with a real Home Assistant. `make test-home` says which Python has it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.home.home_assistant import HomeAssistantProcess
from tests.support.broker import DURABLE, PROGRAM, free_port
from tests.support.home import Home, at_home
from tests.support.ilink_home import at_ilink_home

PYTHON = os.environ.get("HOME_ASSISTANT_PYTHON", "")
BLUEPRINTS = Path(__file__).parents[2] / "deploy/home-assistant/blueprints"
AGENT = Path(__file__).with_name("agent")
ASSIST = {"conversation": None, "test_agent": None}  # Assist's default agent, and that of the tests
DISCOVERY = "homeassistant/device/wx2mqtt_home/config"
WEB = {"listen": "127.0.0.1:0", "url": "http://wechat.example:8099"}

collect_ignore_glob = (
    [] if PYTHON else ["test_*.py"]
)  # `make test-home` runs these tests, `make test` does not


class HomeAssistantEnvironment:
    """A home with Home Assistant, whose blocking calls are made by `do`, `until` and `call`."""

    def __init__(self, home: Home, home_assistant: HomeAssistantProcess) -> None:
        self.home = home
        self.home_assistant = home_assistant

    def settings(
        self, *expose: str, enabled: bool = True, account: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        """Returns settings that announce these people; `account` is laid over the defaults."""
        discovery = {"enabled": enabled, "expose": list(expose)}
        defaults = {"media": {"allow_hosts": ["127.0.0.1"]}}
        return self.home.settings({**defaults, **(account or {})}, homeassistant=discovery, web=WEB, **more)

    async def do(self, order: str, **fields: Any) -> Any:
        """Gives the driver an order; returns its answer."""
        return await asyncio.to_thread(self.home_assistant.do, order, **fields)

    async def until(self, template: str) -> None:
        """Waits until a template is true."""
        await asyncio.to_thread(self.home_assistant.until, template)

    async def wait_for_entity(self, entity: str) -> None:
        """Waits until an entity exists and is available; its state may be `unknown`."""
        await self.until(f"expand('{entity}') | rejectattr('state', 'eq', 'unavailable') | list | count == 1")

    async def call(self, action: str, data: dict[str, Any] | None = None, **target: Any) -> None:
        await asyncio.to_thread(self.home_assistant.call, action, data, **target)

    async def state(self, entity: str) -> dict[str, Any]:
        """Returns the state and the attributes of an entity."""
        entity_state: dict[str, Any] = (await self.do("states"))[entity]
        return entity_state

    async def publish(self, topic: str, body: Any, *, retain: bool = True) -> None:
        """Publishes for another device in the house."""
        payload = body if isinstance(body, (str, bytes)) else json.dumps(body)
        await self.home.publish(topic, payload, retain=retain)

    async def wait_for_subscription(self, topic: str, since: int = 0) -> None:
        """Waits until Home Assistant has subscribed to a topic and the broker has confirmed it."""
        await self.home.broker.logged(f"{topic} (QoS 1)", since=since)
        await self.home.broker.logged("Sending SUBACK", since=self._place(f"{topic} (QoS 1)", since))

    def _place(self, text: str, since: int) -> int:
        log = self.home.broker.log
        return next(position for position, line in enumerate(log) if position >= since and text in line)

    async def reload(self, *expose: str) -> None:
        """Changes which people are announced, and reloads the configuration."""
        self.home.bridge.configure(self.settings(*expose))
        answer = await self.home.send_request("reload")
        assert answer["status"] == "ok"

    async def join(self) -> None:
        """Adds MQTT in Home Assistant, as on its page, and waits until the account has appeared."""
        port = self.home.broker.port
        added = await self.do("flow", domain="mqtt", input={"broker": "127.0.0.1", "port": port})
        assert added == {"type": "create_entry", "errors": None}
        await self.until("states('sensor.wechat_home_login_state') == 'online'")
        await self.wait_for_subscription("wx/in/+")


@asynccontextmanager
async def environment_in(
    home: Home, *expose: str, configuration: dict[str, Any] | None = None
) -> AsyncIterator[HomeAssistantEnvironment]:
    """Starts everything, and logs the phone in; `configuration` is added to that of Home Assistant, such as `ASSIST`."""
    folder = home.folder / "house"
    home_assistant = HomeAssistantProcess(PYTHON, folder, port=free_port(), configuration=configuration)
    environment = HomeAssistantEnvironment(home, home_assistant)
    shutil.copytree(BLUEPRINTS, folder / "blueprints/automation/wx2mqtt")
    if configuration:
        shutil.copytree(AGENT, folder / "custom_components/test_agent")
    home.bridge.configure(environment.settings(*expose))
    await asyncio.gather(asyncio.to_thread(home_assistant.start), home.log_in())
    try:
        await environment.join()
        yield environment
    finally:
        await asyncio.to_thread(home_assistant.stop)


def automation(blueprint: str, name: str = "", **chosen: Any) -> dict[str, Any]:
    """Returns an automation as the page makes it of a blueprint."""
    use = {"path": f"wx2mqtt/{blueprint}.yaml", "input": chosen}
    return {"id": name or blueprint.replace("-", "_"), "alias": name or blueprint, "use_blueprint": use}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HomeAssistantEnvironment]:
    """Yields one environment for all tests of a module, which run in order."""
    assert PROGRAM is not None, "mosquitto is not installed (Debian: apt-get install mosquitto)"
    async with at_home(tmp_path_factory.mktemp("house"), DURABLE) as home:
        await home.control.post("people", friends=500)
        async with environment_in(home, "wife", "妈妈") as environment:
            yield environment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ilink_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[HomeAssistantEnvironment]:
    """Yields an environment with a bot on iLink, to whom nobody has written yet."""
    assert PROGRAM is not None, "mosquitto is not installed (Debian: apt-get install mosquitto)"
    async with (
        at_ilink_home(tmp_path_factory.mktemp("house"), DURABLE) as home,
        environment_in(home, "me") as environment,
    ):
        yield environment
