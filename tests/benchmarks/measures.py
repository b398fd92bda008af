"""The measures of `make bench`, which return rows of the table, and what they share."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Mosquitto, mosquitto
from tests.support.home import Home
from tests.support.subscriber import ReceivedMessage, Subscriber

BURST = 10_000
ONE_BY_ONE = 300
COMMANDS = 200
CHATS = 10
BARE_WINDOW = 20  # paho's own
IDLE_SECONDS = 30.0
PLAIN = "max_queued_messages 0"  # nothing is dropped; the broker's disk is not measured here
TICK = os.sysconf("SC_CLK_TCK")
_SCHEDULED_CLOCK = 2  # the kernel's number for the CPU time of a process (clock_getcpuclockid(3))

STARTED_PROGRAM = [sys.executable, "-m", "wx2mqtt", "run"]
"""The command that people use: a fork, as in the tests, has everything imported and shares memory."""

H = TypeVar("H", bound=Home)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    aim: str


class RemoteSimulator:
    """`wx2mqtt simulate` as a process, so that it may have a core of its own."""

    def __init__(self, tls: Path | None = None) -> None:
        certificates = [] if tls is None else ["--tls", str(tls)]
        command = [sys.executable, "-m", "wx2mqtt", "simulate", "--port", "0", *certificates]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = next(line for line in self._process.stdout if "/sim is the phone" in line)
        self.url = line[line.index("http") :].split("/sim")[0]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@asynccontextmanager
async def open_home(folder: Path, *filters: str, **account: Any) -> AsyncIterator[tuple[Home, Subscriber]]:
    """Opens a home on web WeChat, as `open_home_of`."""
    async with open_home_of(Home, folder, filters, account) as (home, subscriber):
        yield home, subscriber


@asynccontextmanager
async def open_home_of(
    kind: Callable[..., H], folder: Path, filters: Sequence[str], account: Mapping[str, Any]
) -> AsyncIterator[tuple[H, Subscriber]]:
    """Opens a home whose bridge does not run yet and logs warnings only, with a broker that drops nothing."""
    simulator = RemoteSimulator()
    try:
        with (
            mosquitto(
                folder / "broker", PLAIN, log="information\nlog_type notice\nlog_type subscribe"
            ) as broker,
            Subscriber(broker.port, *(filters or ("wx/login/#", "wx/result/#"))) as subscriber,
        ):
            home = kind(folder, simulator, broker, subscriber)
            settings = home.settings(dict(account), log={"level": "warning", "format": "json"})
            home.bridge.configure(settings)
            home.bridge.program = STARTED_PROGRAM
            try:
                yield home, subscriber
            finally:
                await home.close()
    finally:
        simulator.close()


async def burst(folder: Path) -> list[Row]:
    """Measures a burst of texts in answers of 50 until the subscriber has the last one, and a plain publisher."""
    async with open_home(folder) as (home, _):
        bare = await asyncio.to_thread(bare_rate, home.broker)
        await home.log_in()
        before = cpu_seconds(home.bridge.pid)
        with MessageCounter(home.broker, BURST) as counter:
            await home.control.post("say", **{"from": "wife", "text": "{n} 消息", "count": BURST})
            await asyncio.to_thread(counter.wait)
        rate = (BURST - 1) / counter.seconds
        cpu = (cpu_seconds(home.bridge.pid) - before) / BURST * 1e6
    return [
        Row(f"a bare paho publisher, QoS 1, window {BARE_WINDOW}, the same broker", f"{bare:,.0f}/s", ""),
        Row(f"{BURST:,} texts waiting in answers of 50, to MQTT", f"{rate:,.0f}/s", ""),
        Row("  of the bare publisher", f"{rate / bare:.2f}", "0.40"),
        Row("  CPU of the bridge for one text", f"{cpu:.0f} us", ""),
    ]


async def latency(folder: Path) -> list[Row]:
    """Measures one message at a time from the phone to the subscriber, with two requests to WeChat."""
    async with open_home(folder, "wx/login/#", "wx/in/#") as (home, subscriber):
        await home.log_in()
        seconds_taken: list[float] = []
        for number in range(ONE_BY_ONE):
            await home.control.wait("polling")
            since, began = subscriber.count, time.monotonic()
            await home.control.post("say", **{"from": "wife", "text": f"{number}"})
            received = await home.in_thread(subscriber.wait, "wx/in/wife", since=since)
            seconds_taken.append(received.at - began)
    return [
        Row(
            "one message, phone to MQTT subscriber (two polls in it)",
            spread(seconds_taken),
            "p50 5 ms, p99 15 ms",
        )
    ]


async def command_burst(folder: Path) -> list[Row]:
    """Measures many commands at once, to one chat and to several, until all results are published."""
    rows: list[Row] = []
    async with open_home(folder) as (home, subscriber):
        await home.control.post("people", friends=20)
        await home.log_in()
        friends = [f"friend{number}" for number in range(1, CHATS + 1)]
        for what, users in (("to one chat", ["wife"]), (f"to {CHATS} chats", friends)):
            names = await topic_names(home, users)
            done = len(subscriber.on("wx/result/#"))
            began = time.monotonic()
            await asyncio.to_thread(
                _publish_all, home.broker, [names[n % len(names)] for n in range(COMMANDS)]
            )
            results = await home.in_thread(subscriber.wait_count, "wx/result/#", done + COMMANDS, timeout=60)
            assert all(result.body["status"] == "sent" for result in results[done:])
            rate = COMMANDS / (results[-1].at - began)
            rows.append(Row(f"{COMMANDS} commands at once {what}, with results", f"{rate:,.0f}/s", "400/s"))
    return rows


async def calm_command(folder: Path) -> list[Row]:
    """Measures single commands from the publish to WeChat, and to the result."""
    sent: list[float] = []
    done: list[float] = []
    async with open_home(folder) as (home, subscriber):
        await home.log_in()
        with Publisher(home.broker) as publisher:
            for number in range(ONE_BY_ONE):
                since, began = subscriber.count, time.monotonic()
                arriving = asyncio.create_task(home.control.get("sent", after=number, wait=60))
                publisher.client.publish("wx/out/wife", f"{number}", qos=1)
                await arriving
                sent.append(time.monotonic() - began)
                received = await home.in_thread(subscriber.wait, "wx/result/wife", since=since)
                done.append(received.at - began)
    return [
        Row("a command, calm, publish to WeChat", spread(sent), ""),
        Row("  to its result", spread(done), "p50 5 ms"),
    ]


async def start(folder: Path) -> list[Row]:
    """Measures the time from the start of the process to online, with a new login and with a saved one."""
    rows: list[Row] = []
    for friends, aim in ((500, "0.5 s"), (5000, "0.8 s")):
        async with open_home(folder / str(friends)) as (home, subscriber):
            await home.control.post("settings", autoscan=True)
            await home.control.post("people", friends=friends)
            cold = await _start(home, subscriber)
            await home.in_thread(home.bridge.stop)
            resumed = await _start(home, subscriber)
        rows.append(Row(f"cold start to online with {friends} contacts", cold, aim))
        rows.append(Row(f"start with a saved session and {friends} contacts", resumed, "0.5 s"))
    return rows


async def _start(home: Home, subscriber: Subscriber) -> str:
    since, began = subscriber.count, time.monotonic()
    home.bridge.start()
    online = await home.in_thread(subscriber.wait, "wx/login/state", _is_online, since=since)
    cpu = process_seconds(home.bridge.pid)
    await home.control.wait("polling")
    return f"{online.at - began:.2f} s, CPU {cpu:.2f} s"


def _is_online(received: ReceivedMessage) -> bool:
    return bool(received.body["state"] == "online")


async def idle(folder: Path) -> list[Row]:
    """Measures memory and CPU of an idle bridge."""
    rows: list[Row] = []
    for friends, aim in ((500, "60 MB"), (5000, "70 MB")):
        async with open_home(folder / str(friends)) as (home, _):
            await home.control.post("people", friends=friends)
            await home.log_in()
            await asyncio.sleep(20)  # the work of the login is done by then; this is a measure, not a test
            before, began = process_seconds(home.bridge.pid), time.monotonic()
            await asyncio.sleep(IDLE_SECONDS)
            cpu = (process_seconds(home.bridge.pid) - before) * 60 / (time.monotonic() - began)
            rows.append(
                Row(f"idle with {friends} contacts, resident", f"{resident_mb(home.bridge.pid):.0f} MB", aim)
            )
            rows.append(Row(f"idle with {friends} contacts, CPU a minute", f"{cpu:.3f} s", "0.04 s"))
    return rows


async def killed(folder: Path) -> list[Row]:
    """Kills the bridge in the middle of 2,000 messages; counts lost and repeated ones."""
    count = 2000
    async with open_home(folder, "wx/login/#", "wx/in/#") as (home, subscriber):
        await home.log_in()
        await home.control.post("say", **{"from": "wife", "text": "{n}", "count": count})
        await home.in_thread(subscriber.wait_count, "wx/in/wife", count // 3)
        await home.in_thread(home.bridge.kill)
        await home.restart()
        await home.in_thread(
            subscriber.wait, "wx/in/wife", lambda message: message.body["seq"] == count, timeout=30
        )
        received = [(message.body["seq"], message.body["id"]) for message in subscriber.on("wx/in/wife")]
    lost = count - len({seq for seq, _ in received})
    again = len(received) - len(set(received))
    changed = len(set(received)) - len({seq for seq, _ in received})
    return [
        Row("kill -9 in the middle of 2,000: lost", str(lost), "0"),
        Row(
            "  repeats, each with its old id and seq", f"{again} ({changed} strange)", "the window, 0 strange"
        ),
    ]


async def topic_names(home: Home, users: list[str]) -> list[str]:
    """Returns the topic names of simulated friends."""
    if users == ["wife"]:
        return users
    listed = await home.control.get("people")
    nick = {person["id"]: person.get("remark") or person["nickname"] for person in _people(listed)}
    return [nick[user] for user in users]


def _people(listed: Any) -> list[dict[str, Any]]:
    return listed if isinstance(listed, list) else listed["people"]


class Publisher:
    """A plain paho client with its thread."""

    def __init__(self, broker: Mosquitto, window: int = 100) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(window)
        self._port = broker.port

    def __enter__(self) -> Self:
        self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def _publish_all(broker: Mosquitto, users: list[str]) -> None:
    with Publisher(broker) as publisher:
        last = [publisher.client.publish(f"wx/out/{user}", f"{n}", qos=1) for n, user in enumerate(users)]
        for info in last:
            info.wait_for_publish(30)


def bare_rate(broker: Mosquitto, count: int = BURST) -> float:
    """Returns publications a second of paho alone, until the last PUBACK."""
    payload = b"x" * 300
    with Publisher(broker, window=BARE_WINDOW) as publisher:
        began = time.perf_counter()
        infos = [publisher.client.publish("bare/in/wife", payload, qos=1) for _ in range(count)]
        infos[-1].wait_for_publish(60)
        return count / (time.perf_counter() - began)


class MessageCounter:
    """Counts and times messages with `mosquitto_sub`, which needs less CPU than a client in Python.

    Subscribes to `topic` with QoS 1. The texts of the messages are their numbers, from 1.
    """

    def __init__(self, broker: Mosquitto, count: int, topic: str = "wx/in/#") -> None:
        self._count = count
        command = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-t", topic, "-C", str(count)]
        seen = len(broker.log)
        self._process = subprocess.Popen([*command, "-F", "%U %p"], stdout=subprocess.PIPE, text=True)
        broker.wait_for_log(topic, since=seen)  # it has subscribed
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait(self) -> None:
        """Waits until all have come, in order; `seconds` is from the first to the last one."""
        assert self._process.stdout is not None
        lines = [line.split(" ", 1) for line in self._process.stdout]
        numbers = [int(json.loads(body)["text"].partition(" ")[0]) for _, body in lines]
        assert numbers == list(range(1, self._count + 1))
        self.seconds = float(lines[-1][0]) - float(lines[0][0])


def spread(seconds: list[float]) -> str:
    """Returns the median and the 99th percentile in milliseconds."""
    ordered = sorted(value * 1000 for value in seconds)
    return f"p50 {statistics.median(ordered):.1f}, p99 {ordered[int(len(ordered) * 0.99) - 1]:.1f} ms"


def cpu_seconds(pid: int) -> float:
    """Returns the seconds of CPU of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def process_seconds(pid: int) -> float:
    """Returns the seconds of CPU by the clock of the process, which is exact; `cpu_seconds` has steps of 10 ms."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED_CLOCK)


def resident_mb(pid: int) -> float:
    """Returns the resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
