"""The real bridge, which kills itself at a named point.

As a program it takes the point from the environment; `run_bridge` does the same in a fork.
Points are `before:<job>` and `after:<job>` around each commit of the store (`RunEnvironment.on_commit_point`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support import loop_watch
from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.process import run
from wx2mqtt.settings.loader import LoadedSettings, load
from wx2mqtt.wechat.registry import BACKENDS

POINT, AT = "CRASH_POINT", "CRASH_AT"
"""Environment: the point, and the number of the time at which it counts, from 1."""


def kill_at_point(env: Mapping[str, str]) -> Callable[[str], None]:
    """Returns the callback for every point of the store, which kills the process at the one of the environment."""
    point, at = env.get(POINT, ""), int(env.get(AT, "1"))
    reached = 0

    def on_point(name: str) -> None:
        nonlocal reached
        if name == point:
            reached += 1
            if reached == at:
                os.kill(os.getpid(), signal.SIGKILL)

    return on_point


def run_bridge(config: Path, env: Mapping[str, str]) -> None:
    """Runs the bridge until SIGTERM, or until the point is reached."""
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    loop_watch.start_from_environment()
    asyncio.run(_bridge(loaded, env))


async def _bridge(loaded: LoadedSettings, env: Mapping[str, str]) -> None:
    await run(loaded, RunEnvironment(env={}, on_commit_point=kill_at_point(env)))


if __name__ == "__main__":
    run_bridge(Path(sys.argv[sys.argv.index("-c") + 1]), os.environ)
