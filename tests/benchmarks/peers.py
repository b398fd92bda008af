"""`make bench-peers`: compares the bridge with itchat-uos, itchat and wecom-aibot-sdk, in turns on one machine.

Each peer is the client as it is published, with the shortest program that does the same work: it publishes messages
with QoS 1 by paho, and sends commands from MQTT. It keeps no journal, so that it promises less.
Product and peer run against the same simulator and the same broker, one after the other, `--turns` times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.benchmarks import wecom
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
    compare,
    one_message,
    peer_process,
)
from tests.support.broker import Mosquitto, mosquitto
from tests.support.client_program import PROGRAMS
from tests.support.clients import CLIENTS
from tests.support.home import PEOPLE, SimulatorControl
from tests.support.process import BridgeProcess
from tests.support.subscriber import Subscriber

WEB_PEERS = ("itchat-uos", "itchat")
PEERS = (*WEB_PEERS, wecom.PEER)
BURST = 3_000
COMMANDS = 200
CHATS = 10
CALM_COMMANDS = 60
FRIENDS = 500
PROGRAM = Path(__file__).with_name("itchat_peer.py")


async def commands(runner: Runner) -> float:
    """Returns commands a second, of many at once to several chats, from the first publish to WeChat's acceptance."""
    names = await _chats(runner)
    before = len(await runner.control.get("sent"))
    began = time.monotonic()
    with Publisher(runner.broker) as publisher:
        for number in range(COMMANDS):
            publisher.client.publish(f"{runner.outgoing}/{names[number % CHATS]}", f"{number}", qos=1)
        await runner.control.sent(before + COMMANDS, TIMEOUT_SECONDS)
    return COMMANDS / (time.monotonic() - began)


async def calm_command(runner: Runner) -> float:
    """Returns how often a second a command could go from its publish to WeChat, one by one (median)."""
    seconds_taken: list[float] = []
    before = len(await runner.control.get("sent"))
    with Publisher(runner.broker) as publisher:
        for number in range(1, CALM_COMMANDS + 1):
            began = time.monotonic()
            publisher.client.publish(f"{runner.outgoing}/wife", f"{number}", qos=1)
            await runner.control.get("sent", after=before + number - 1, wait=TIMEOUT_SECONDS)
            seconds_taken.append(time.monotonic() - began)
    return 1 / statistics.median(seconds_taken)


async def _chats(runner: Runner) -> list[str]:
    """Returns the names of friends, as product and peers take them below their topic."""
    listed = await runner.control.get("people")
    people = listed if isinstance(listed, list) else listed["people"]
    names = [
        person.get("remark") or person["nickname"]
        for person in people
        if str(person["id"]).startswith("friend")
    ]
    return names[:CHATS]


@asynccontextmanager
async def _running(name: str, folder: Path) -> AsyncIterator[Runner]:
    """Runs a simulator with friends and TLS, a broker, and the program, until it is online."""
    is_product = name == PRODUCT
    ca = folder / "tls" / "ca.pem"
    simulator = RemoteSimulator(tls=folder / "tls")
    control = SimulatorControl(simulator.url, ca)
    try:
        with (
            mosquitto(folder / "broker", PLAIN, log=SUBSCRIPTIONS_LOG) as broker,
            Subscriber(broker.port, "wx/login/#", "peer/state") as subscriber,
        ):
            await control.post("settings", autoscan=True)
            await control.post("people", friends=FRIENDS)
            start = _product if is_product else _peer
            with start(name, folder, simulator, broker) as pid:
                state = "wx/login/state" if is_product else "peer/state"
                await asyncio.to_thread(subscriber.wait_body, state, state="online", timeout=TIMEOUT_SECONDS)
                await control.wait("polling")
                yield Runner(
                    pid=pid,
                    control=control,
                    broker=broker,
                    incoming="wx/in/wife" if is_product else "peer/in",
                    outgoing="wx/out" if is_product else "peer/out",
                    write_call="say",
                    writer="wife",
                    ready="polling",
                )
    finally:
        await control.close()
        simulator.close()


@contextmanager
def _product(_: str, folder: Path, simulator: RemoteSimulator, broker: Mosquitto) -> Iterator[int]:
    account = {"endpoint": simulator.url, "contacts": PEOPLE, "send": {"per_minute": 0}}
    settings = {
        "mqtt": {"url": broker.url},
        "accounts": {"home": account},
        "log": {"level": "warning", "format": "json"},
    }
    trust = {"SSL_CERT_FILE": str(folder / "tls" / "ca.pem")}
    with BridgeProcess(folder / "bridge", settings, env=trust, program=STARTED_PROGRAM) as bridge:
        yield bridge.pid


@contextmanager
def _peer(name: str, folder: Path, simulator: RemoteSimulator, broker: Mosquitto) -> Iterator[int]:
    environment = {
        "PYTHONPATH": f"{CLIENTS[name].folder}{os.pathsep}{PROGRAMS}",
        "PYTHONWARNINGS": "ignore",
        "REQUESTS_CA_BUNDLE": str(folder / "tls" / "ca.pem"),
        "SIMULATOR_PORT": simulator.url.rpartition(":")[2],
    }
    with peer_process([str(PROGRAM), str(broker.port)], environment, folder) as pid:
        yield pid


async def memory(runner: Runner) -> float:
    """Returns the resident megabytes after the login."""
    return resident_mb(runner.pid)


MEASURES: dict[str, Measure] = {
    "resident after the login, MB": memory,
    f"burst of {BURST:,} texts to a subscriber, rate": lambda runner: burst(runner, BURST),
    "the same, per second of the program's CPU": lambda runner: burst_cpu(runner, BURST),
    "one message, phone to subscriber, 1 / p50": one_message,
    f"{COMMANDS} commands at once over {CHATS} chats, rate": commands,
    "a command in calm, publish to WeChat, 1 / p50": calm_command,
}


def read_arguments(arguments: Sequence[str]) -> tuple[Sequence[str], int]:
    """Returns the names of the peers, by default all, and the number of turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    # Python 3.11 compares a default with `choices` as one value, so the default is applied afterwards.
    parser.add_argument("peers", nargs="*", metavar=f"{{{','.join(PEERS)}}}")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args(arguments)
    if unknown := set(given.peers) - set(PEERS):
        parser.error(f"unknown peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return given.peers or PEERS, given.turns


def main(arguments: Sequence[str]) -> None:
    peers, turns = read_arguments(arguments)
    missing = [problem for name in peers if (problem := CLIENTS[name].install())]
    if missing:
        sys.exit("\n".join(missing))
    asyncio.run(_compare(peers, turns))


async def _compare(peers: Sequence[str], turns: int) -> None:
    """Prints a table for each service of which a peer was named."""
    if web_peers := [name for name in peers if name in WEB_PEERS]:
        await compare(web_peers, turns, _running, MEASURES)
    if wecom.PEER in peers:
        await compare([wecom.PEER], turns, wecom.running, wecom.MEASURES)


if __name__ == "__main__":
    main(sys.argv[1:])
