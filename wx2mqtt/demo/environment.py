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

from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.demo.script import play_script
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.mqtt.embedded import EmbeddedBroker, PortInUse, available_port
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Account, HomeAssistant, Media, Mqtt, Pin, Send, Settings, Storage, Web
from wx2mqtt.simulator.server import Simulator


class DemoPortInUse(PortInUse):
    """A port that the demo wants cannot be had."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__("127.0.0.1", port)
        self.args = (f"port {port} cannot be had: choose another with {option}, or 0 for any that is free",)


DemoBackend = Literal["webwx", "ilink"]

DEMO_PINS: dict[DemoBackend, dict[str, Pin]] = {
    "webwx": {"wife": Pin(remark="老婆"), "family": Pin(group="相亲相爱一家人")},
    "ilink": {"me": Pin(owner=True)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `wx2mqtt demo` was asked; port 0 takes a free one."""

    once: bool = False
    simulator_port: int = 8070
    mqtt_port: int = 1883
    web_port: int = 8099
    language: Literal["en", "zh"] = "en"
    backend: DemoBackend = "webwx"


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """What stands on the stage."""

    simulator: Simulator
    broker: EmbeddedBroker
    app: Application
    stop_requested: asyncio.Event
    backend: DemoBackend


def run_demo(options: DemoOptions) -> None:
    """Run the demo until it is over or stopped. Raises `Wx2MqttError`."""
    asyncio.run(_play(options))


async def _play(options: DemoOptions) -> None:
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-demo-") as folder:
        async with open_environment(options, Path(folder)) as everything:
            running = asyncio.create_task(everything.app.run())
            try:
                if options.once:
                    await _tell(everything, running)
                    everything.stop_requested.set()
                else:
                    _explain(everything)
                await running
            finally:
                everything.stop_requested.set()
                await asyncio.wait({running})


async def _tell(environment: DemoEnvironment, run_task: asyncio.Task[None]) -> None:
    """The conversation, for as long as the bridge runs: whoever stops it need not wait for the rest."""
    story = play_script(environment.simulator.url, environment.broker.url, environment.backend)
    telling = asyncio.create_task(story)
    await asyncio.wait({telling, run_task}, return_when=asyncio.FIRST_COMPLETED)
    if telling.done():
        return await telling
    telling.cancel()
    await asyncio.wait({telling})
    await run_task
    raise Wx2MqttError("The demo was stopped before its end.")


@asynccontextmanager
async def open_environment(options: DemoOptions, folder: Path) -> AsyncGenerator[DemoEnvironment, None]:
    """Set everything up on loopback; nothing is open to the network."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            simulator = await stack.enter_async_context(Simulator(port=options.simulator_port))
        except OSError as error:
            raise DemoPortInUse(options.simulator_port, "--simulator-port") from error
        try:
            broker = await stack.enter_async_context(
                EmbeddedBroker(folder / "broker", port=options.mqtt_port)
            )
        except PortInUse as error:
            raise DemoPortInUse(options.mqtt_port, "--mqtt-port") from error
        try:
            web = f"127.0.0.1:{available_port('127.0.0.1', options.web_port)}"
        except PortInUse as error:
            raise DemoPortInUse(options.web_port, "--web-port") from error
        around = RunEnvironment(env=_environment(), notifier=SystemdNotifier({}), stop_requested=stop)
        loaded = _loaded(options, simulator.url, broker.url, web, folder)
        app = await stack.enter_async_context(open_application(loaded, around))
        yield DemoEnvironment(simulator, broker, app, stop, options.backend)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}


def _loaded(options: DemoOptions, simulator: str, broker: str, web: str, folder: Path) -> LoadedSettings:
    local = Media(allow_hosts=("127.0.0.1", "localhost"))
    people = DEMO_PINS[options.backend]
    account = Account(
        backend=options.backend,
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
        language=options.language,
    )
    return LoadedSettings(settings=settings, path=None)


def _explain(environment: DemoEnvironment) -> None:
    simulator, broker = environment.simulator.url, environment.broker.url
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    assert environment.app.web is not None
    ilink, reached = environment.backend == "ilink", next(iter(DEMO_PINS[environment.backend]))
    write = "write to the bot" if ilink else "write as one of the people"
    print(
        f"""wx2mqtt demo: nothing leaves this machine.

  the phone       {simulator}/      scan the code there, then {write}
  the broker      {broker}
  the page        {environment.app.web.url}/      the code, how the bridge does, people and their topics
  what happens    mosquitto_sub -h {host} -p {port} -t 'wx/#' -F '%t  %p'
  Home Assistant  add its MQTT integration with this broker, see deploy/home-assistant
  write to WeChat mosquitto_pub -h {host} -p {port} -t wx/out/{reached} -m 'Dinner is ready'

Stop with Ctrl-C.""",
        flush=True,
    )
