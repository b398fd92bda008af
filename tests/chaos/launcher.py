"""Child processes of a run: the bridge, with a clock that can be changed and a planted fault, and the simulator.

Both are forks of a server that has imported everything, so that a start takes milliseconds.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import struct
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.chaos import faults
from tests.support.forks import CONTEXT, PRELOADED

CONTEXT.set_forkserver_preload([*PRELOADED, "tests.chaos.launcher", "tests.chaos.preload"])

END_SECONDS = 30.0
"""An orderly stop takes at most 5 s; the rest is room for a busy machine."""

POLL_SECONDS = 0.01

_CONTROL = struct.Struct("=qq")


class ControlBlock:
    """Two numbers in a file that the runs of the bridge and this process share.

    `clock_offset_ms` is added to the time of day of the bridge. `commits_until_kill` counts down at each point
    around a commit of the store; the bridge kills itself when it reaches 0 from above.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_CONTROL.pack(0, 0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _CONTROL.size)

    @property
    def clock_offset_ms(self) -> int:
        offset, _ = _CONTROL.unpack(self._map)
        return int(offset)

    @clock_offset_ms.setter
    def clock_offset_ms(self, value: int) -> None:
        self._map[:8] = struct.pack("=q", value)

    @property
    def commits_until_kill(self) -> int:
        _, count = _CONTROL.unpack(self._map)
        return int(count)

    @commits_until_kill.setter
    def commits_until_kill(self, value: int) -> None:
        self._map[8:] = struct.pack("=q", value)

    def on_commit_point(self, _name: str) -> None:
        """Called by the store of the bridge, before and after each commit."""
        left = self.commits_until_kill
        if left > 0:
            self.commits_until_kill = left - 1
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)


class ShiftedTime:
    """The module `time`, with a time of day that is moved by `ControlBlock.clock_offset_ms`."""

    def __init__(self, control: ControlBlock) -> None:
        self._control = control

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time_ns(self) -> int:
        return time.time_ns() + self._control.clock_offset_ms * 1_000_000


class ChildProcess:
    """A forked process; `stop` and `kill` return its exit code, a negative one for a signal."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal; does nothing when the process has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    async def wait_for_handler(self, number: signal.Signals) -> None:
        """Waits until the process has a handler for a signal: before that, the signal would end it."""
        for _ in range(int(END_SECONDS / POLL_SECONDS)):
            if self.exit_code is not None or _handled_signals(self.pid) >> (number - 1) & 1:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> int | None:
        """SIGTERM; None when the process does not end in time, which is then killed."""
        await self.wait_for_handler(signal.SIGTERM)
        self.send_signal(signal.SIGTERM)
        return await self.wait(END_SECONDS)

    async def kill(self) -> int | None:
        self.send_signal(signal.SIGKILL)
        return await self.wait(END_SECONDS)

    async def wait(self, seconds: float) -> int | None:
        """Waits for the end; returns None, and kills the process, when it does not come."""
        code = await self.ended_within(seconds)
        if code is None:
            self._process.kill()
            await asyncio.to_thread(self._process.join, END_SECONDS)
        return code

    async def ended_within(self, seconds: float) -> int | None:
        """Returns the exit code, or None when the process still runs after `seconds`."""
        await asyncio.to_thread(self._process.join, seconds)
        return self.exit_code


def _handled_signals(pid: int) -> int:
    """Returns the signals that a process handles, as a bit mask from the kernel."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)


def start_bridge(config: Path, log: Path, control: Path, fault: str, address: str = "") -> ChildProcess:
    """Starts the bridge of a configuration file; `log` gets its output behind that of earlier runs.

    With an `address` all its connections come from there, as from a machine of its own (127.0.0.0/8).
    """
    arguments = (config, log, control, fault, address)
    return ChildProcess(CONTEXT.Process(target=_run_bridge, args=arguments, daemon=True))


async def start_simulator(seed: int) -> tuple[ChildProcess, int]:
    """Starts WeChat's servers in a process of their own; returns it and its port."""
    reader, writer = CONTEXT.Pipe(duplex=False)
    child = ChildProcess(CONTEXT.Process(target=_run_simulator, args=(seed, writer), daemon=True))
    writer.close()
    port = await asyncio.to_thread(reader.recv)
    reader.close()
    return child, int(port)


def _run_bridge(config: Path, log: Path, control_path: Path, fault: str, address: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    from tests.chaos import preload  # the server has it already

    control = ControlBlock(control_path)
    preload.shift_clock(ShiftedTime(control))
    if address:
        preload.connect_from(address)
    if fault:
        faults.plant(fault)
    preload.run_bridge(config, control.on_commit_point)


def _run_simulator(seed: int, writer: Connection) -> None:
    from tests.chaos import preload

    asyncio.run(preload.serve_wechat(seed, writer))
