"""The functions that run in the child processes; besides `faults.py` only this file imports the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from wx2mqtt import clock
from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.process import run
from wx2mqtt.cli.operations import exit_code
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.settings.loader import LoadedSettings, load
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.web import server as web_server
from wx2mqtt.wechat.registry import BACKENDS

__all__ = ["connect_from", "run_bridge", "serve_wechat", "shift_clock", "web_server"]


def shift_clock(source: object) -> None:
    """Replaces the module from which the bridge takes the time."""
    vars(clock)["time"] = source


def connect_from(address: str) -> None:
    """Binds each connection of this process to an address of the loopback network.

    Connections of libraries without Python, such as PostgreSQL's, are not bound.
    """

    class BoundSocket(socket.socket):
        def connect(self, to: Any, /) -> None:
            if self.family == socket.AF_INET and self.type == socket.SOCK_STREAM:
                super().bind((address, 0))
            super().connect(to)

    vars(socket)["socket"] = BoundSocket


def run_bridge(config: Path, on_commit_point: Callable[[str], None]) -> None:
    """Runs the bridge until SIGTERM; an error becomes the exit code that the command has for it."""
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    environment = RunEnvironment(env={}, on_commit_point=on_commit_point)
    try:
        asyncio.run(_run_observed(loaded, environment))
    except Wx2MqttError as error:
        sys.exit(exit_code(error, _print_error, "en"))


async def _run_observed(loaded: LoadedSettings, environment: RunEnvironment) -> None:
    """Runs it; SIGUSR1 writes the stack of every task into the log, for a run in which it waits for ever."""

    def show_tasks() -> None:
        for task in asyncio.all_tasks():
            frames: list[str] = []
            awaited: Any = task.get_coro()
            while (
                frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
            ) is not None:
                frames.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
                awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
            print(f"task {task.get_name()}: {' > '.join(frames)}", file=sys.stderr)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show_tasks)
    await run(loaded, environment)


def _print_error(line: str) -> None:
    with contextlib.suppress(OSError):  # the log of a run is on the disk that is full
        print(line, file=sys.stderr, flush=True)


async def serve_wechat(seed: int, writer: Connection) -> None:
    """Serves WeChat until SIGTERM; writes the port first."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with Simulator(seed=seed) as simulator:
        writer.send(simulator.port)
        writer.close()
        await stopped.wait()
