"""A file that cannot be used, explained on the page until it can: for whoever sees no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.app.web import serving
from wx2mqtt.bridge.bell import Bell
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.service.systemd import Notifier
from wx2mqtt.settings.load import load, page_of
from wx2mqtt.web.views import Bridge

LOOK = 2.0  # seconds between two looks at the file


async def explain(
    path: Path | None,
    env: Mapping[str, str],
    found: tuple[Problem, ...],
    told: Callable[[str], None],
    stop: asyncio.Event,
) -> bool:
    """Show `found`, and what is found later, until nothing is: then true. False when `stop` came first.

    Also false, at once, where the file leaves no page to show it on. `told` hears where the page is. A
    service manager hears that this is ready, lives, and is no bridge. Raises `CannotListen`.
    """
    settings = page_of(path, env)
    if settings is None:
        return False
    problems, bell, notifier = found, Bell(), Notifier(env)
    look = min(LOOK, notifier.watchdog_interval or LOOK)
    async with serving(settings, [], Bridge(bell=bell, problems=lambda: problems)) as server:
        assert server is not None
        told(server.url)
        notifier.ready()
        while problems:
            notifier.status(f"the file has {len(problems)} problems; no bridge runs: see {server.url}/")
            notifier.watchdog()
            if await _set_within(stop, look):
                return False
            now = await asyncio.to_thread(_problems, path, env)
            if now != problems:
                problems = now
                bell.ring()
        await server.stop()
    return True


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _problems(path: Path | None, env: Mapping[str, str]) -> tuple[Problem, ...]:
    try:
        load(path, env)
    except SettingsError as wrong:
        return wrong.problems
    return ()
