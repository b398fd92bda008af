"""The real bridge with a death in it: it kills itself, as a power cut would, at a named point of its flow.

Started as a program it takes what it must know from the environment; `live` does the same in a forked child.
Points are `before:<job>` and `after:<job>` around each commit of the store (`Surroundings.on_point`).
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
"""Environment: the point, and which time it is reached, from 1."""


def deadly(env: Mapping[str, str]) -> Callable[[str], None]:
    """What the store calls at every point; it does not return from the fatal one."""
    point, at = env.get(POINT, ""), int(env.get(AT, "1"))
    reached = 0

    def on_point(name: str) -> None:
        nonlocal reached
        if name == point:
            reached += 1
            if reached == at:
                os.kill(os.getpid(), signal.SIGKILL)

    return on_point


def live(config: Path, env: Mapping[str, str]) -> None:
    """Bridge until SIGTERM, or until the point is reached."""
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    loop_watch.start_from_environment()
    asyncio.run(_bridge(loaded, env))


async def _bridge(loaded: LoadedSettings, env: Mapping[str, str]) -> None:
    await run(loaded, RunEnvironment(env={}, on_commit_point=deadly(env)))


if __name__ == "__main__":
    live(Path(sys.argv[sys.argv.index("-c") + 1]), os.environ)
