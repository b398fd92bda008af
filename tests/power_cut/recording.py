"""Records with strace what the real bridge does to its store under load."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path, PurePosixPath

from tests.power_cut.bridge import FAULT
from tests.power_cut.judge import MARKS
from tests.power_cut.trace import STRACE, TracedCall, command, parse
from tests.soak.environment import FRIENDS, SoakEnvironment, open_environment
from tests.soak.traffic_record import TrafficRecord, poll_until
from wx2mqtt.simulator import samples
from wx2mqtt.simulator.wecom.people import userid_of

ACCOUNTS = ("home", "bot", "wecom1")
PICTURE_BYTES = 30_000
UPLOAD_BYTES = 20_000
MESSAGES = 4  # of a round, for each account
WAIT_SECONDS = 60.0
ROUNDS_PER_LOGIN = 5
KEEP = "1s"


def missing() -> str:
    """Returns which program is missing for a recording; empty if none is."""
    return "" if STRACE else "strace is missing (Debian: apt-get install strace)"


def may_trace() -> bool:
    """Returns whether a program may trace another one; true also without strace, which `missing` reports."""
    return STRACE is None or not subprocess.run([STRACE, "-o", "/dev/null", "true"], check=False).returncode


async def record(folder: Path, rounds: int, fault: str = "") -> list[TracedCall]:
    """Returns all changes below `<folder>/bridge`, from the first start of a bridge to its orderly stop.

    Before the last third of the rounds the bridge is killed and started again.
    """
    root, trace = folder / "bridge", folder / "trace"
    traffic_record = TrafficRecord()
    program = [*command(str(trace)), sys.executable, "-m", "tests.power_cut.bridge", str(root / MARKS), "run"]
    async with open_environment(
        folder, traffic_record.received, program=program, env={FAULT: fault}, keep=KEEP
    ) as environment:
        await _wait_online(environment, traffic_record, {})
        for number in range(rounds):
            if number == rounds - rounds // 3:
                await _kill(environment, traffic_record, trace)
            await _load(environment, traffic_record, number)
        assert await asyncio.to_thread(environment.bridge.stop) == 0, environment.bridge.log[-20:]
    with trace.open() as lines:
        return parse(lines, PurePosixPath(root))


async def _load(environment: SoakEnvironment, traffic_record: TrafficRecord, number: int) -> None:
    """Produces messages, files and commands of all accounts at once; returns when all have arrived."""
    control = environment.control
    files = traffic_record.counts["media ready"]
    # WeCom accepts 20 messages a minute for a chat, so each round writes to another one.
    colleague = f"friend{1 + number % FRIENDS}"
    for index in range(MESSAGES):
        await control.say(f"friend{1 + (number + index) % 20}", traffic_record.new_message("home"))
        await control.write(traffic_record.new_message("bot"))
        await control.write_to("wecom1", text=traffic_record.new_message("wecom1"), **{"from": colleague})
        for topic in ("wx/out/wife", "wx/bot/out/me", f"wx/wecom1/out/{userid_of(colleague)}"):
            command_id, text = traffic_record.new_command()
            environment.client.publish(topic, json.dumps({"id": command_id, "text": text}))
    await control.say("wife", kind="image", bytes_of=PICTURE_BYTES)
    await control.write(kind="image", bytes_of=PICTURE_BYTES)
    await control.write_to("wecom1", kind="image", bytes_of=PICTURE_BYTES)
    picture = samples.sample("image.jpg") + str(number).encode() * UPLOAD_BYTES
    environment.client.publish("wx/out/wife/image", picture)
    environment.client.publish("wx/bot/out/me/image", picture)
    environment.client.publish("wx/bridge/request/history", "")
    await control.post("people", rename={"id": "friend1", "nickname": f"好友 {number}"})
    await poll_until(
        lambda: (
            not any(traffic_record.missing.values()) and traffic_record.counts["media ready"] >= files + 3
        ),
        WAIT_SECONDS,
    )
    if number % ROUNDS_PER_LOGIN == ROUNDS_PER_LOGIN - 1:
        await _lose_logins(environment, traffic_record)


class StoppedProcess:
    """Returns whether all threads of a process are stopped, and strace has written nothing since the last call."""

    def __init__(self, pid: int, trace: Path) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._trace = trace
        self._size = -1

    def __call__(self) -> bool:
        size_before, self._size = self._size, self._trace.stat().st_size
        states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in self._tasks.iterdir()}
        return self._size == size_before and states <= {"T", "t"}


async def _kill(environment: SoakEnvironment, traffic_record: TrafficRecord, trace: Path) -> None:
    """Kills the bridge and starts it again; its logins are saved.

    It is stopped first (SIGSTOP), until strace has written the end of each call: it is not known whether a call
    that a kill interrupts has changed the file.
    """
    before = _sessions(traffic_record)
    os.kill(environment.bridge.pid, signal.SIGSTOP)
    await poll_until(StoppedProcess(environment.bridge.pid, trace), WAIT_SECONDS)
    await asyncio.to_thread(environment.bridge.kill)
    environment.bridge.start()
    await _wait_online(environment, traffic_record, before)


async def _lose_logins(environment: SoakEnvironment, traffic_record: TrafficRecord) -> None:
    before = _sessions(traffic_record)
    await environment.control.post("logout", retcode=1100)
    await environment.control.post("ilink/kill")
    await environment.control.post("wecom/takeover", bot=environment.control.wecom_bots["wecom1"])
    await poll_until(lambda: not traffic_record.session("wecom1"), WAIT_SECONDS)
    await environment.control.post("wecom/settings", takeover_pause=0)  # a person asks, and no loop
    environment.client.publish("wx/wecom1/bridge/request/login", "")
    await _wait_online(environment, traffic_record, before)


def _sessions(traffic_record: TrafficRecord) -> dict[str, str]:
    return {account: traffic_record.session(account) for account in ACCOUNTS}


async def _wait_online(
    environment: SoakEnvironment, traffic_record: TrafficRecord, before: dict[str, str]
) -> None:
    """Waits until all accounts are online by another login than before, and poll."""
    for account in ACCOUNTS:
        earlier = ("", before.get(account, ""))
        await poll_until(partial(_is_other, traffic_record, account, earlier), WAIT_SECONDS)
        await environment.control.wait_polling(account)


def _is_other(traffic_record: TrafficRecord, account: str, earlier: tuple[str, str]) -> bool:
    return traffic_record.session(account) not in earlier
