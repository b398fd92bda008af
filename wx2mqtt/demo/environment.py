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
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from typing_extensions import override

from wx2mqtt.aio import wait_at_most
from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.configuration import mqtt_options
from wx2mqtt.demo.script import play_script
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
from wx2mqtt.settings.schema import (
    FIRST_BACKEND,
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
from wx2mqtt.simulator.wecom.people import chatid_of, userid_of
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


DemoBackend = Literal["webwx", "ilink", "wecom"]

DEMO_PINS: dict[DemoBackend, dict[str, Pin]] = {
    "webwx": {"wife": Pin(remark="老婆"), "family": Pin(group="相亲相爱一家人")},
    "ilink": {"me": Pin(owner=True)},
    "wecom": {"me": Pin(wecom=userid_of("me")), "family": Pin(wecom=chatid_of("family"))},
}


PASSWORD_VARIABLE = "MQTT_PASSWORD"  # noqa: S105 - the name of a variable

DEMO_ACCOUNT = "home"
DEMO_BASE = "wx"
DEMO_CLIENT_ID = "wx2mqtt-demo"  # at a broker that others use, too


@frozen
class BrokerLogin:
    """A broker that runs already, with user name and password if it asks for them."""

    url: str
    username: str | None = None
    password: str | None = None


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
    #: The topic name to which the printed command sends.
    user: str


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
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-demo-") as folder:
        async with open_environment(options, Path(folder)) as environment:
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
        # without the owner's settings: the demo has its own
        env = {name: value for name, value in os.environ.items() if not name.startswith("WX2MQTT_")}
        run_environment = RunEnvironment(env=env, stop_requested=stop_requested)
        loaded = _demo_settings(options, simulator.url, broker, web_address, folder)
        if options.broker is not None:
            client = mqtt_options(loaded.settings, DEMO_ACCOUNT, Topics(DEMO_BASE), None)
            await _refuse_second_bridge(client, DEMO_BASE)
            names = loaded.settings.accounts[DEMO_ACCOUNT].contacts
            announcement = config_topic(loaded.settings.homeassistant.prefix, DEMO_ACCOUNT)
            topics = (*Topics(DEMO_BASE).retained(names), announcement)
            stack.push_async_callback(_clear_demo, client, topics, options.language)
        app = await stack.enter_async_context(open_application(loaded, run_environment))
        assert app.web is not None
        addresses = DemoAddresses(
            phone=simulator.url,
            page=app.web.url,
            broker=broker,
            is_shared=options.broker is not None,
            speaks_mqtt_5=speaks_mqtt_5,
            backend=options.backend,
            user=next(iter(DEMO_PINS[options.backend])),
        )
        yield DemoEnvironment(addresses=addresses, app=app, stop_requested=stop_requested)


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


def _demo_settings(
    options: DemoOptions, simulator_url: str, broker: BrokerLogin, web_address: str, folder: Path
) -> LoadedSettings:
    contacts = DEMO_PINS[options.backend]
    account = Account(
        backend=options.backend,
        endpoint=simulator_url,
        contacts=contacts,
        send=Send(per_minute=0),
        media=Media(allow_hosts=("127.0.0.1", "localhost")),
    )
    settings = Settings(
        mqtt=Mqtt(
            url=(broker.url,),
            username=broker.username,
            password=None if broker.password is None else SecretStr(broker.password),
            client_id=None if options.broker is None else DEMO_CLIENT_ID,
        ),
        accounts={DEMO_ACCOUNT: account},
        homeassistant=HomeAssistant(enabled=True, expose=_exposed(options.backend)),
        web=Web(listen=web_address, url=f"http://{web_address}"),
        storage=Storage(path=str(folder / "store")),
        language=options.language,
    )
    return LoadedSettings(settings=settings, path=None)


def _exposed(backend: DemoBackend) -> tuple[str, ...]:
    """Returns who is shown in Home Assistant; a group of WeCom is known once somebody has written in it."""
    names = tuple(DEMO_PINS[backend])
    return names[:1] if backend == "wecom" else names


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
