"""Starts simulators, broker and the real bridge for the demo, over real HTTP and MQTT on loopback.

With `--broker` the broker is one that runs already, so that clients on other machines can take part.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from wx2mqtt.aio import wait_at_most
from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.configuration import load_configuration, mqtt_options
from wx2mqtt.demo.configuration import (
    DEMO_ACCOUNT,
    BrokerLogin,
    DemoBackend,
    DemoParts,
    demo_settings,
    own_settings,
    write_control_file,
)
from wx2mqtt.demo.explanation import DemoAccount, DemoAddresses, explanation, senders_of
from wx2mqtt.demo.fallback_service import imitated_service
from wx2mqtt.demo.script import play_script
from wx2mqtt.errors import BrokerError, NotConnected, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.setup import demo_text
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.embedded import EmbeddedBroker, PortInUse, available_port
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.temporary_client import ConnectionWaiter, clear_client, running
from wx2mqtt.mqtt.topics import Topics, config_topic
from wx2mqtt.settings.schema import FIRST_BACKEND, Settings
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.values import frozen

# Seconds for the connection to a broker that others use, too.
CONNECT_SECONDS = 10.0

# Seconds in which such a broker sends a retained message after the subscription.
STATE_SECONDS = 1.0


class DemoPortsInUse(PortInUse):
    """Ports of the demo that cannot be opened, by the option that chooses another one."""

    def __init__(self, ports: Mapping[str, int], language: Language) -> None:
        named_ports = ", ".join(f"{port} ({option})" for option, port in ports.items())
        message = demo_text(language, "ports_in_use", ports=named_ports)
        if "--mqtt-port" in ports:
            message += demo_text(language, "use_that_broker", port=ports["--mqtt-port"])
        BrokerError.__init__(self, message)


@frozen
class DemoOptions:
    """The options of `wx2mqtt demo`; port 0 means any free port, no `broker` an embedded one."""

    once: bool = False
    simulator_port: int = 8070
    mqtt_port: int = 1883
    web_port: int = 8099
    language: Language = "en"
    #: The language of the phone page; empty for that of the browser.
    phone_language: str = ""
    backend: DemoBackend = FIRST_BACKEND
    broker: BrokerLogin | None = None
    #: A configuration file of one's own; none of its services and accounts is used.
    config: Path | None = None
    #: The folder of what outlives the demo; else nothing does.
    keep: Path | None = None


@frozen
class DemoEnvironment:
    """The running parts of the demo. Setting `stop_requested` ends it."""

    addresses: DemoAddresses
    app: Application
    stop_requested: asyncio.Event


def run_demo(options: DemoOptions) -> None:
    """Runs the demo until its end, or until it is stopped. Raises `Wx2MqttError`."""
    asyncio.run(_run(options))


async def _run(options: DemoOptions) -> None:
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-demo-") as temporary:
        folder = Path(temporary) if options.keep is None else _kept_folder(options.keep)
        async with open_environment(options, folder) as environment:
            run_task = asyncio.create_task(environment.app.run())
            try:
                if options.once:
                    await _play(environment, run_task, options.language)
                    environment.stop_requested.set()
                else:
                    print(explanation(environment.addresses, options.language), flush=True)
                await run_task
            finally:
                environment.stop_requested.set()
                await asyncio.wait({run_task})


def _kept_folder(folder: Path) -> Path:
    """Makes the folder of `--keep`, which others cannot read; raises `Wx2MqttError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Wx2MqttError(f"The folder {folder} of --keep cannot be made: {error.strerror}") from error
    return folder.absolute()


async def _play(environment: DemoEnvironment, run_task: asyncio.Task[None], language: Language) -> None:
    """Plays the conversation; raises `Wx2MqttError` if the bridge ends, or is stopped, before its end."""
    addresses = environment.addresses
    account = addresses.accounts[0]
    script = play_script(account.phone, addresses.broker.url, account.backend, language)
    script_task = asyncio.create_task(script)
    await asyncio.wait({script_task, run_task}, return_when=asyncio.FIRST_COMPLETED)
    if script_task.done():
        return await script_task
    script_task.cancel()
    await asyncio.wait({script_task})
    await run_task
    raise Wx2MqttError("The demo was stopped before its end.")


@asynccontextmanager
async def open_environment(options: DemoOptions, folder: Path) -> AsyncGenerator[DemoEnvironment, None]:
    """Starts all parts on loopback; nothing is open to the network. Stops on SIGTERM and SIGINT.

    A broker that was given keeps nothing of the demo. Raises `Wx2MqttError`; its subclass `SettingsError`
    if the file of `--config` has problems.
    """
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    # without the owner's settings: the demo has its own, or those of the file that is named
    env = {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}
    own = None if options.config is None else load_configuration(options.config, env)
    _check_ports(options)
    async with AsyncExitStack() as stack:
        names = (DEMO_ACCOUNT,) if own is None else tuple(own.settings.accounts)
        phones = await _start_phones(stack, names, options)
        broker, speaks_mqtt_5 = options.broker, True
        if broker is None:
            try:
                embedded = await stack.enter_async_context(
                    EmbeddedBroker(folder / "broker", port=options.mqtt_port)
                )
            except PortInUse as error:
                raise DemoPortsInUse({"--mqtt-port": options.mqtt_port}, options.language) from error
            broker, speaks_mqtt_5 = BrokerLogin(url=embedded.url), embedded.protocol == "5"
        web_address = f"127.0.0.1:{available_port('127.0.0.1', options.web_port)}"
        run_environment = RunEnvironment(env=env, stop_requested=stop_requested)
        service = await stack.enter_async_context(imitated_service(options.language))
        parts = DemoParts(
            phones=phones,
            broker=broker,
            is_shared=options.broker is not None,
            web=web_address,
            service=service,
            folder=folder,
            language=options.language,
        )
        loaded = demo_settings(options.backend, parts) if own is None else own_settings(own, parts)
        settings = loaded.settings
        write_control_file(settings, parts)
        if parts.is_shared:
            await _share_broker(stack, settings, options.language)
        app = await stack.enter_async_context(open_application(loaded, run_environment))
        assert app.web is not None
        addresses = _addresses(parts, settings, app.web.url, speaks_mqtt_5=speaks_mqtt_5)
        yield DemoEnvironment(addresses=addresses, app=app, stop_requested=stop_requested)


async def _start_phones(
    stack: AsyncExitStack, names: Sequence[str], options: DemoOptions
) -> Mapping[str, str]:
    """Starts a simulated WeChat for each account, since two bots of one person would end each other's login.

    Returns the addresses by account. The first one has the port of the options, the others have any free one.
    """
    phones: dict[str, str] = {}
    for name in names:
        port = 0 if phones else options.simulator_port
        try:
            simulator = await stack.enter_async_context(Simulator(port=port, language=options.phone_language))
        except OSError as error:
            raise DemoPortsInUse({"--simulator-port": port}, options.language) from error
        phones[name] = simulator.url
    return phones


def _addresses(parts: DemoParts, settings: Settings, page: str, *, speaks_mqtt_5: bool) -> DemoAddresses:
    bases = settings.base_topics()
    accounts = [
        DemoAccount(
            name=name,
            backend=account.backend,
            phone=parts.phones[name],
            user=next(iter(account.contacts), "me"),
            base=bases[name],
        )
        for name, account in settings.accounts.items()
    ]
    return DemoAddresses(
        accounts=accounts,
        page=page,
        broker=parts.broker,
        is_shared=parts.is_shared,
        speaks_mqtt_5=speaks_mqtt_5,
        files=parts.files,
        senders=senders_of(settings),
        fallback_seconds=min(
            (account.fallback.after for account in settings.accounts.values() if account.fallback.urls),
            default=None,
        ),
        control_file=parts.control_file,
    )


async def _share_broker(stack: AsyncExitStack, settings: Settings, language: Language) -> None:
    """Has the broker's topics removed at the end; raises `Wx2MqttError` if another bridge uses them."""
    for name, base in settings.base_topics().items():
        client = mqtt_options(settings, name, Topics(base), None)
        await _refuse_second_bridge(client, base)
        announcement = config_topic(settings.homeassistant.prefix, name)
        topics = Topics(base).retained(settings.accounts[name].contacts)
        stack.push_async_callback(_clear_demo, client, announcement, topics, language)


class _BridgeStateReader(ConnectionWaiter):
    """Receives the retained state of a bridge."""

    def __init__(self) -> None:
        super().__init__()
        self.received = asyncio.Event()
        self.state = ""

    @override
    def on_delivery(self, delivery: Delivery) -> None:
        self.state = delivery.payload.decode("utf-8", "replace")
        self.received.set()


async def _refuse_second_bridge(options: MqttOptions, base: str) -> None:
    """Raises `Wx2MqttError` if the broker cannot be used, or a bridge with these topics is online there."""
    state = f"{base}/bridge/state"
    # Of MQTT 5 the client asks for no retained messages.
    reading = replace(options, protocol="3.1.1", clean=True, session_expiry=0, will=None)
    client, reader = MqttClient(replace(reading, subscriptions=(state,))), _BridgeStateReader()
    async with running(client, reader):
        try:
            await reader.wait_connected(CONNECT_SECONDS)
        except NotConnected:
            reason = reader.reason or "it does not answer"
            raise Wx2MqttError(f"The broker of --broker cannot be used: {reason}") from None
        await wait_at_most(reader.received, STATE_SECONDS)
    if reader.state == "online":
        raise Wx2MqttError(
            f"A bridge uses the topics {base}/# of this broker: stop it, or give the demo another broker."
        )


async def _clear_demo(
    options: MqttOptions, announcement: str, topics: Sequence[str], language: Language
) -> None:
    """Removes what the broker keeps of the demo; says so where that is not possible."""
    try:
        left = await clear_client(options, topics, announcements=[announcement])
    except NotConnected:
        left = [announcement, *topics]
    if left:
        kept = f"The broker keeps these topics of the demo: {', '.join(left)}"
        print(sentence_text(kept, language), file=sys.stderr)


def _check_ports(options: DemoOptions) -> None:
    """Raises `DemoPortsInUse` with all ports that cannot be opened, before anything starts."""
    ports = {"--simulator-port": options.simulator_port, "--web-port": options.web_port}
    if options.broker is None:
        ports["--mqtt-port"] = options.mqtt_port
    busy_ports = {}
    for option, port in ports.items():
        try:
            available_port("127.0.0.1", port)
        except PortInUse:
            busy_ports[option] = port
    if busy_ports:
        raise DemoPortsInUse(busy_ports, options.language)
