"""`--explain`: a file that cannot be used is shown on the page, and waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from wx2mqtt.app.explaining import explain
from wx2mqtt.cli.exits import CONFIGURATION
from wx2mqtt.errors import SettingsError
from wx2mqtt.service import logs
from wx2mqtt.web.options import CannotListen


def wait_until_usable(path: Path | None, wrong: SettingsError, say: Callable[[str], None]) -> None:
    """Return once the file can be used.

    Exits with 78 when stopped; raises `wrong` where there is no page to show it on.
    """
    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    shown = False

    def told(url: str) -> None:
        nonlocal shown
        shown = True
        for problem in wrong.problems:
            say(str(problem))
        say(f"shown on {url}/ until the file is mended")

    try:
        usable = asyncio.run(_wait(path, wrong, told))
    except CannotListen as taken:
        say(str(taken))
        raise wrong from None
    if not usable and not shown:
        raise wrong
    if not usable:
        raise SystemExit(CONFIGURATION)


async def _wait(path: Path | None, wrong: SettingsError, told: Callable[[str], None]) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await explain(path, os.environ, wrong.problems, told, stop)
