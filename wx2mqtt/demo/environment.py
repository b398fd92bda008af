"""Starts simulator, broker and the real bridge for the demo, over real HTTP and MQTT on loopback.

Prints the addresses, and commands that work as they are printed, at the broker of `--broker` too. A password
is typed into a variable of the shell, and is never printed.

With `--broker` the broker is one that runs already, so that clients on other machines can take part.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from typing_extensions import override

from wx2mqtt.aio import wait_at_most
from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.configuration import load_configuration, mqtt_options
from wx2mqtt.demo.configuration import (
    BrokerLogin,
    DemoBackend,
    DemoParts,
    demo_settings,
    first_account,
    own_settings,
)
from wx2mqtt.demo.script import play_script
from wx2mqtt.demo.service import imitated_service
from wx2mqtt.errors import BrokerError, NotConnected, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.setup import demo_text
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.client import ConnectionWaiter, MqttClient, clear_client, running
from wx2mqtt.mqtt.embedded import EmbeddedBroker, PortInUse, available_port
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.topics import Topics, config_topic
from wx2mqtt.settings.addresses import EMBEDDED, validate_broker_url
from wx2mqtt.settings.loader import LoadedSettings
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


PASSWORD_VARIABLE = "MQTT_PASSWORD"  # noqa: S105 - the name of a variable


@frozen
class DemoOptions:
    """The options of `wx2mqtt demo`; port 0 means any free port, no `broker` an embedded one."""

    once: bool = False
    simulator_port: int = 8070
    mqtt_port: int = 1883
    web_port: int = 8099
    language: Language = "en"
    backend: DemoBackend = FIRST_BACKEND
    broker: BrokerLogin | None = None
    #: A configuration file of one's own; none of its services and accounts is used.
    config: Path | None = None
    #: The folder of what outlives the demo; else nothing does.
    keep: Path | None = None


@frozen
class DemoAddresses:
    """Where the parts of a demo are."""

    phone: str
    page: str
    broker: BrokerLogin
    #: Whether others use the broker, too.
    is_shared: bool
    #: Not known of a broker that others use, and true then.
    speaks_mqtt_5: bool
    backend: str
    #: The topic name to which the printed command sends, below `base`.
    user: str
    base: str
    #: Where files are that may be sent by `path`.
    files: Path
    #: The Bearer token of the demo's sender; empty where the file has senders of its own, or none.
    token: str


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
    script = play_script(addresses.phone, addresses.broker.url, addresses.backend, language)
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

    A broker that was given keeps nothing of the demo. Raises `Wx2MqttError`.
    """
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    _check_ports(options)
    async with AsyncExitStack() as stack:
        try:
            simulator = await stack.enter_async_context(Simulator(port=options.simulator_port))
        except OSError as error:
            raise DemoPortsInUse({"--simulator-port": options.simulator_port}, options.language) from error
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
        # without the owner's settings: the demo has its own, or those of the file that is named
        env = {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}
        run_environment = RunEnvironment(env=env, stop_requested=stop_requested)
        service = await stack.enter_async_context(imitated_service(options.language))
        parts = DemoParts(
            simulator=simulator.url,
            broker=broker,
            is_shared=options.broker is not None,
            web=web_address,
            service=service,
            folder=folder,
            language=options.language,
        )
        loaded = _settings(options, parts, env)
        settings = loaded.settings
        if parts.is_shared:
            await _share_broker(stack, settings, options.language)
        app = await stack.enter_async_context(open_application(loaded, run_environment))
        assert app.web is not None
        addresses = _addresses(parts, settings, app.web.url, speaks_mqtt_5=speaks_mqtt_5)
        yield DemoEnvironment(addresses=addresses, app=app, stop_requested=stop_requested)


def _addresses(parts: DemoParts, settings: Settings, page: str, *, speaks_mqtt_5: bool) -> DemoAddresses:
    account = first_account(settings)
    return DemoAddresses(
        phone=parts.simulator,
        page=page,
        broker=parts.broker,
        is_shared=parts.is_shared,
        speaks_mqtt_5=speaks_mqtt_5,
        backend=account.backend,
        user=next(iter(account.contacts), "me"),
        base=next(iter(settings.base_topics().values())),
        files=parts.files,
        token=parts.token_of(settings),
    )


def _settings(options: DemoOptions, parts: DemoParts, env: Mapping[str, str]) -> LoadedSettings:
    """Raises `SettingsError` if the file of `--config` has problems."""
    if options.config is None:
        return demo_settings(options.backend, parts)
    return own_settings(load_configuration(options.config, env), parts)


async def _share_broker(stack: AsyncExitStack, settings: Settings, language: Language) -> None:
    """Has the broker's topics removed at the end; raises `Wx2MqttError` if another bridge uses them."""
    for name, base in settings.base_topics().items():
        client = mqtt_options(settings, name, Topics(base), None)
        await _refuse_second_bridge(client, base)
        announcement = config_topic(settings.homeassistant.prefix, name)
        topics = (*Topics(base).retained(settings.accounts[name].contacts), announcement)
        stack.push_async_callback(_clear_demo, client, topics, language)


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


async def _clear_demo(options: MqttOptions, topics: Sequence[str], language: Language) -> None:
    """Removes what the broker keeps of the demo; says so where that is not possible."""
    try:
        left = await clear_client(options, topics)
    except NotConnected:
        left = [*topics]
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


def explanation(addresses: DemoAddresses, language: Language) -> str:
    """Returns the text for a person at a terminal."""
    broker = addresses.broker
    remarks = []
    if not addresses.speaks_mqtt_5:
        remarks.append(demo_text(language, "mqtt_3"))
    if parse_broker_url(broker.url).websocket:
        remarks.append(demo_text(language, "no_websocket"))
    password = demo_text(language, "password", variable=PASSWORD_VARIABLE) if broker.password else ""
    return demo_text(
        language,
        "explanation",
        scope=demo_text(language, "shared" if addresses.is_shared else "local"),
        phone=addresses.phone,
        action=demo_text(language, f"action_{addresses.backend}"),
        broker=broker.url + "".join(remarks),
        page=addresses.page,
        password=password,
        options=client_options(broker),
        user=addresses.user,
        base=addresses.base,
        files=addresses.files,
        sender=demo_text(language, "sender", token=addresses.token, page=addresses.page, user=addresses.user)
        if addresses.token
        else "",
    )


def client_options(broker: BrokerLogin) -> str:
    """Returns the options with which mosquitto_pub and mosquitto_sub reach a broker, quoted for a shell.

    They speak no WebSocket: of a broker with `ws` or `wss` they get the host, and take their default port.
    """
    address = parse_broker_url(broker.url)
    if address.unix:
        options = ["--unix", address.path]
    elif address.websocket:
        options = ["-h", address.host]
    else:
        options = ["-h", address.host, "-p", str(address.port)]
    if address.scheme == "mqtts":
        options.append("--tls-use-os-certs")
    if broker.username is not None:
        options += ["-u", broker.username]
    quoted = shlex.join(options)
    return f'{quoted} -P "${PASSWORD_VARIABLE}"' if broker.password else quoted


def broker_login(url: str) -> BrokerLogin:
    """Splits `mqtt://name:password@host:1883`. Raises ValueError with a sentence."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return BrokerLogin(url=validate_broker_url(url))
    address = validate_broker_url(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if address == EMBEDDED:
        raise ValueError("without --broker the demo has an embedded broker")
    name, password = parts.username, parts.password
    return BrokerLogin(
        url=address,
        username=None if name is None else unquote(name),
        password=None if password is None else unquote(password),
    )
