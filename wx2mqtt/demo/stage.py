"""The demo's stage: simulator, embedded broker and the real bridge, over real HTTP and real MQTT."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wx2mqtt.app.running import App, Surroundings, opened
from wx2mqtt.demo.story import tell
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.mqtt.embedded import Embedded, PortInUse, take_port
from wx2mqtt.service.systemd import Notifier
from wx2mqtt.settings.load import Loaded
from wx2mqtt.settings.schema import (
    Account,
    HomeAssistant,
    Media,
    Mqtt,
    Pin,
    Send,
    Settings,
    Storage,
    Web,
)
from wx2mqtt.simulator.server import Simulator


class DemoPortInUse(PortInUse):
    """A port that the demo wants cannot be had."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__("127.0.0.1", port)
        self.args = (f"port {port} cannot be had: choose another with {option}, or 0 for any that is free",)


Backend = Literal["webwx", "ilink"]

PEOPLE: dict[Backend, dict[str, Pin]] = {
    "webwx": {"wife": Pin(remark="老婆"), "family": Pin(group="相亲相爱一家人")},
    "ilink": {"me": Pin(owner=True)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What `wx2mqtt demo` was asked; port 0 takes a free one."""

    once: bool = False
    simulator_port: int = 8070
    mqtt_port: int = 1883
    web_port: int = 8099
    language: Literal["en", "zh"] = "en"
    backend: Backend = "webwx"


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands on the stage."""

    simulator: Simulator
    broker: Embedded
    app: App
    stop: asyncio.Event
    backend: Backend


def play(choices: Choices) -> None:
    """Run the demo until it is over or stopped. Raises `Wx2MqttError`."""
    asyncio.run(_play(choices))


async def _play(choices: Choices) -> None:
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-demo-") as folder:
        async with stage(choices, Path(folder)) as everything:
            running = asyncio.create_task(everything.app.run())
            try:
                if choices.once:
                    await _tell(everything, running)
                    everything.stop.set()
                else:
                    _explain(everything)
                await running
            finally:
                everything.stop.set()
                await asyncio.wait({running})


async def _tell(everything: Stage, running: asyncio.Task[None]) -> None:
    """The conversation, for as long as the bridge runs: whoever stops it need not wait for the rest."""
    story = tell(everything.simulator.url, everything.broker.url, everything.backend)
    telling = asyncio.create_task(story)
    await asyncio.wait({telling, running}, return_when=asyncio.FIRST_COMPLETED)
    if telling.done():
        return await telling
    telling.cancel()
    await asyncio.wait({telling})
    await running
    raise Wx2MqttError("The demo was stopped before its end.")


@asynccontextmanager
async def stage(choices: Choices, folder: Path) -> AsyncGenerator[Stage, None]:
    """Set everything up on loopback; nothing is open to the network."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            simulator = await stack.enter_async_context(Simulator(port=choices.simulator_port))
        except OSError as error:
            raise DemoPortInUse(choices.simulator_port, "--simulator-port") from error
        try:
            broker = await stack.enter_async_context(Embedded(folder / "broker", port=choices.mqtt_port))
        except PortInUse as error:
            raise DemoPortInUse(choices.mqtt_port, "--mqtt-port") from error
        try:
            web = f"127.0.0.1:{take_port('127.0.0.1', choices.web_port)}"
        except PortInUse as error:
            raise DemoPortInUse(choices.web_port, "--web-port") from error
        around = Surroundings(env=_environment(), notifier=Notifier({}), stop=stop)
        loaded = _loaded(choices, simulator.url, broker.url, web, folder)
        app = await stack.enter_async_context(opened(loaded, around))
        yield Stage(simulator, broker, app, stop, choices.backend)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}


def _loaded(choices: Choices, simulator: str, broker: str, web: str, folder: Path) -> Loaded:
    local = Media(allow_hosts=("127.0.0.1", "localhost"))
    people = PEOPLE[choices.backend]
    account = Account(
        backend=choices.backend,
        endpoint=simulator,
        contacts=people,
        send=Send(per_minute=0),
        media=local,
    )
    settings = Settings(
        mqtt=Mqtt(url=(broker,)),
        accounts={"home": account},
        homeassistant=HomeAssistant(enabled=True, expose=tuple(people)),
        web=Web(listen=web, url=f"http://{web}"),
        storage=Storage(path=str(folder / "store")),
        language=choices.language,
    )
    return Loaded(settings=settings, path=None)


def _explain(everything: Stage) -> None:
    simulator, broker = everything.simulator.url, everything.broker.url
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    assert everything.app.web is not None
    ilink, reached = everything.backend == "ilink", next(iter(PEOPLE[everything.backend]))
    write = "write to the bot" if ilink else "write as one of the people"
    print(
        f"""wx2mqtt demo: nothing leaves this machine.

  the phone       {simulator}/      scan the code there, then {write}
  the broker      {broker}
  the page        {everything.app.web.url}/      the code, how the bridge does, people and their topics
  what happens    mosquitto_sub -h {host} -p {port} -t 'wx/#' -F '%t  %p'
  Home Assistant  add its MQTT integration with this broker, see deploy/home-assistant
  write to WeChat mosquitto_pub -h {host} -p {port} -t wx/out/{reached} -m 'Dinner is ready'

Stop with Ctrl-C.""",
        flush=True,
    )
