"""What runs in the child processes; the only file here, besides `faults.py`, that imports the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from wx2mqtt import clock
from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.process import run
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.cli.operations import exit_code
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.settings.loader import load
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.web import server as web_server
from wx2mqtt.wechat.registry import BACKENDS

__all__ = ["run_bridge", "serve_wechat", "shift_clock", "web_server"]


def shift_clock(source: object) -> None:
    """Replaces the module from which the bridge takes the time."""
    vars(clock)["time"] = source


def run_bridge(config: Path, on_commit_point: Callable[[str], None]) -> None:
    """Runs the bridge until SIGTERM; an error becomes the exit code that the command has for it."""
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    environment = RunEnvironment(env={}, notifier=SystemdNotifier({}), on_commit_point=on_commit_point)
    try:
        asyncio.run(run(loaded, environment))
    except Wx2MqttError as error:
        sys.exit(exit_code(error, _complain, "en"))


def _complain(line: str) -> None:
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
