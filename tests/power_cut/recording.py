"""Records what the bridge does to its store under load: the real program, traced by strace."""

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
from tests.soak.arrangement import FRIENDS, Arrangement, arrange
from tests.soak.ledger import Ledger, poll_until
from wx2mqtt.simulator import samples
from wx2mqtt.simulator.wecom.people import userid_of

ACCOUNTS = ("home", "bot", "desk1")
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
    """Returns whether a program may trace another here; true also where strace is missing, which `missing` says."""
    return STRACE is None or not subprocess.run([STRACE, "-o", "/dev/null", "true"], check=False).returncode


async def record(folder: Path, rounds: int, fault: str = "") -> list[TracedCall]:
    """Returns all changes below `<folder>/bridge`, from the first start of a bridge to its orderly stop.

    Before the last third of the rounds the bridge is killed and started again.
    """
    root, trace = folder / "bridge", folder / "trace"
    ledger = Ledger()
    program = [*command(str(trace)), sys.executable, "-m", "tests.power_cut.bridge", str(root / MARKS), "run"]
    async with arrange(folder, ledger.received, program=program, env={FAULT: fault}, keep=KEEP) as here:
        await _wait_online(here, ledger, {})
        for number in range(rounds):
            if number == rounds - rounds // 3:
                await _kill(here, ledger, trace)
            await _load(here, ledger, number)
        assert await asyncio.to_thread(here.bridge.stop) == 0, here.bridge.log[-20:]
    with trace.open() as lines:
        return parse(lines, PurePosixPath(root))


async def _load(here: Arrangement, ledger: Ledger, number: int) -> None:
    """Messages, files and commands of all accounts at once; returns when all arrived."""
    control = here.control
    files = ledger.counts["media ready"]
    # WeCom takes 20 messages a minute for a chat, so each round writes to another one.
    colleague = f"friend{1 + number % FRIENDS}"
    for index in range(MESSAGES):
        await control.say(f"friend{1 + (number + index) % 20}", ledger.new_message("home"))
        await control.write(ledger.new_message("bot"))
        await control.write_to("desk1", text=ledger.new_message("desk1"), **{"from": colleague})
        for topic in ("wx/out/wife", "wx/bot/out/me", f"wx/desk1/out/{userid_of(colleague)}"):
            command_id, text = ledger.new_command()
            here.client.publish(topic, json.dumps({"id": command_id, "text": text}))
    await control.say("wife", kind="image", bytes_of=PICTURE_BYTES)
    await control.write(kind="image", bytes_of=PICTURE_BYTES)
    await control.write_to("desk1", kind="image", bytes_of=PICTURE_BYTES)
    picture = samples.sample("image.jpg") + str(number).encode() * UPLOAD_BYTES
    here.client.publish("wx/out/wife/image", picture)
    here.client.publish("wx/bot/out/me/image", picture)
    here.client.publish("wx/bridge/request/history", "")
    await control.post("people", rename={"id": "friend1", "nickname": f"好友 {number}"})
    await poll_until(
        lambda: not any(ledger.missing.values()) and ledger.counts["media ready"] >= files + 3, WAIT_SECONDS
    )
    if number % ROUNDS_PER_LOGIN == ROUNDS_PER_LOGIN - 1:
        await _lose_logins(here, ledger)


class Frozen:
    """Whether all threads of a process stand still, and strace wrote nothing since the last question."""

    def __init__(self, pid: int, trace: Path) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._trace = trace
        self._size = -1

    def __call__(self) -> bool:
        size_before, self._size = self._size, self._trace.stat().st_size
        states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in self._tasks.iterdir()}
        return self._size == size_before and states <= {"T", "t"}


async def _kill(here: Arrangement, ledger: Ledger, trace: Path) -> None:
    """Ends the bridge without a goodbye and starts it again; its logins are saved.

    It is frozen first, until strace has written the end of each call: of a call that a kill interrupts nobody knows
    whether it changed the file.
    """
    before = _sessions(ledger)
    os.kill(here.bridge.pid, signal.SIGSTOP)
    await poll_until(Frozen(here.bridge.pid, trace), WAIT_SECONDS)
    await asyncio.to_thread(here.bridge.kill)
    here.bridge.start()
    await _wait_online(here, ledger, before)


async def _lose_logins(here: Arrangement, ledger: Ledger) -> None:
    before = _sessions(ledger)
    await here.control.post("logout", retcode=1100)
    await here.control.post("ilink/kill")
    await here.control.post("wecom/takeover", bot=here.control.desks["desk1"])
    await poll_until(lambda: not ledger.session("desk1"), WAIT_SECONDS)
    await here.control.post("wecom/settings", takeover_pause=0)  # a person asks, and no loop
    here.client.publish("wx/desk1/bridge/request/login", "")
    await _wait_online(here, ledger, before)


def _sessions(ledger: Ledger) -> dict[str, str]:
    return {account: ledger.session(account) for account in ACCOUNTS}


async def _wait_online(here: Arrangement, ledger: Ledger, before: dict[str, str]) -> None:
    """Waits until all accounts are online by another login than before, and poll."""
    for account in ACCOUNTS:
        earlier = ("", before.get(account, ""))
        await poll_until(partial(_is_other, ledger, account, earlier), WAIT_SECONDS)
        await here.control.wait_polling(account)


def _is_other(ledger: Ledger, account: str, earlier: tuple[str, str]) -> bool:
    return ledger.session(account) not in earlier
