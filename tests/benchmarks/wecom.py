"""Measures the bridge and wecom-aibot-sdk at the simulated gateway of WeCom; `peers.py` runs both in turns.

A burst stays below what the bridge accepts while its store waits, and commands go to several chats, since WeCom takes 30
a minute for each.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.benchmarks.measures import (
    PLAIN,
    STARTED_PROGRAM,
    Publisher,
    RemoteSimulator,
    resident_mb,
)
from tests.benchmarks.turns import (
    PRODUCT,
    SUBSCRIPTIONS_LOG,
    TIMEOUT_SECONDS,
    Measure,
    Runner,
    burst,
    burst_cpu,
    one_message,
    peer_process,
)
from tests.support.broker import Mosquitto, mosquitto
from tests.support.clients import CLIENTS
from tests.support.process import BridgeProcess
from tests.support.subscriber import Subscriber
from tests.support.wecom_home import BOT, WeComControl
from wx2mqtt.simulator.wecom.people import userid_of

PEER = "wecom-aibot-sdk"
BURST = 900
COMMANDS = 150
CALM_COMMANDS = 60
CHATS = 10
IDLE_SECONDS = 20.0
PROGRAM = Path(__file__).with_name("wecom_peer.py")
PEOPLE = [userid_of(f"friend{number}") for number in range(1, CHATS + 1)]


async def commands(runner: Runner) -> float:
    """Returns commands a second, of many at once to several chats, from the first publish to WeCom's acceptance."""
    before = len(await runner.control.get("wecom/sent"))
    began = time.monotonic()
    with Publisher(runner.broker) as publisher:
        for number in range(COMMANDS):
            publisher.client.publish(f"{runner.outgoing}/{PEOPLE[number % CHATS]}", f"{number}", qos=1)
        await _wait_sent(runner, before + COMMANDS)
    return COMMANDS / (time.monotonic() - began)


async def calm_command(runner: Runner) -> float:
    """Returns how often a second a command could go from its publish to WeCom, one by one (median)."""
    seconds_taken: list[float] = []
    before = len(await runner.control.get("wecom/sent"))
    with Publisher(runner.broker) as publisher:
        for number in range(1, CALM_COMMANDS + 1):
            began = time.monotonic()
            publisher.client.publish(f"{runner.outgoing}/{PEOPLE[number % CHATS]}", f"{number}", qos=1)
            await _wait_sent(runner, before + number)
            seconds_taken.append(time.monotonic() - began)
    return 1 / statistics.median(seconds_taken)


async def _wait_sent(runner: Runner, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while count > (known := len(await runner.control.get("wecom/sent"))):
            await runner.control.get("wecom/sent", after=known, wait=TIMEOUT_SECONDS)


async def start(runner: Runner) -> float:
    """Returns how often a second it could start: from the start of the process to online."""
    return 1 / runner.start_seconds


async def idle_memory(runner: Runner) -> float:
    """Returns the resident megabytes after a while without anything to do."""
    await asyncio.sleep(IDLE_SECONDS)  # a measure, not a test
    return resident_mb(runner.pid)


MEASURES: dict[str, Measure] = {
    "start of the process to online, 1 / s": start,
    "resident and idle, MB": idle_memory,
    f"burst of {BURST:,} texts to a subscriber, rate": lambda runner: burst(runner, BURST),
    "the same, per second of the program's CPU": lambda runner: burst_cpu(runner, BURST),
    "one message, phone to subscriber, 1 / p50": one_message,
    f"{COMMANDS} commands at once over {CHATS} chats, rate": commands,
    "a command in calm, publish to WeCom, 1 / p50": calm_command,
}


@asynccontextmanager
async def running(name: str, folder: Path) -> AsyncIterator[Runner]:
    """Runs a simulated gateway with people, a broker, and the program, until it is online."""
    is_product = name == PRODUCT
    simulator = RemoteSimulator()
    control = WeComControl(simulator.url)
    try:
        with (
            mosquitto(folder / "broker", PLAIN, log=SUBSCRIPTIONS_LOG) as broker,
            Subscriber(broker.port, "wx/login/#", "peer/state") as subscriber,
        ):
            await control.post("people", friends=CHATS)
            await control.post("wecom/settings", needs_first_message=False)
            program = _product if is_product else _peer
            began = time.monotonic()
            with program(folder, simulator.url, broker) as pid:
                state = "wx/login/state" if is_product else "peer/state"
                await asyncio.to_thread(subscriber.wait_body, state, state="online", timeout=TIMEOUT_SECONDS)
                seconds = time.monotonic() - began
                await control.wait("online")
                yield Runner(
                    pid=pid,
                    control=control,
                    broker=broker,
                    incoming=f"wx/in/{PEOPLE[0]}" if is_product else "peer/in",
                    outgoing="wx/out" if is_product else "peer/out",
                    write_call="wecom/say",
                    writer="friend1",
                    ready="online",
                    start_seconds=seconds,
                )
    finally:
        await control.close()
        simulator.close()


@contextmanager
def _product(folder: Path, url: str, broker: Mosquitto) -> Iterator[int]:
    """Runs the bridge without receipts, which the peer does not send either."""
    account = {
        "backend": "wecom",
        "endpoint": url,
        "wecom": {**BOT, "receipt": None},
        "contacts": {userid: {"wecom": userid} for userid in PEOPLE},
        "send": {"per_minute": 0},
    }
    settings = {
        "mqtt": {"url": broker.url},
        "accounts": {"home": account},
        "log": {"level": "warning", "format": "json"},
    }
    with BridgeProcess(folder / "bridge", settings, program=STARTED_PROGRAM) as bridge:
        yield bridge.pid


@contextmanager
def _peer(folder: Path, url: str, broker: Mosquitto) -> Iterator[int]:
    socket_url = f"ws{url.removeprefix('http')}/"
    arguments = [str(PROGRAM), str(broker.port), socket_url, BOT["bot_id"], BOT["secret"]]
    environment = {"PYTHONPATH": str(CLIENTS[PEER].folder), "PYTHONWARNINGS": "ignore"}
    with peer_process(arguments, environment, folder) as pid:
        yield pid
