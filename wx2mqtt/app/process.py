"""Runs the bridge as a process: its signals, and what follows when the connection to a database is lost."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.outage import DatabaseWait
from wx2mqtt.app.stores import StoreLost
from wx2mqtt.errors import SettingsError, StoreError, StoreTooNew
from wx2mqtt.memory import pause_collection
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.web.options import CannotListen

# A DNS lookup may occupy a thread for half a minute, and one account must not delay the file access of
# others. The default of Python would be six threads on a small machine.
MAX_WORKER_THREADS = 32


async def run(loaded: LoadedSettings, environment: RunEnvironment) -> None:
    """Runs the bridge until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    When the connection to a database is lost, everything is closed and opened again.
    """
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):  # before opening, which may take some time
        loop.add_signal_handler(signal_number, environment.stop_requested.set)
    loop.set_default_executor(ThreadPoolExecutor(MAX_WORKER_THREADS, "work"))
    async with AsyncExitStack() as stack:
        with pause_collection():
            app = await stack.enter_async_context(open_application(loaded, environment))
        lost_with = await _run_until_lost(app, environment)
    while lost_with is not None:
        environment.cluster_statistics.lost_connections += 1
        lost_with = await _go_on(lost_with, environment)


async def _go_on(loaded: LoadedSettings, environment: RunEnvironment) -> LoadedSettings | None:
    """Opens the bridge again and runs it; tries as often as it takes.

    Returns the settings with which it goes on after its database was lost anew, None if it is to stop.
    """
    wait = DatabaseWait(loaded, environment)
    environment.notifier.status(wait.sentence)
    while not environment.stop_requested.is_set():
        async with AsyncExitStack() as stack:
            try:
                app = await stack.enter_async_context(open_application(loaded, environment))
            except StoreTooNew:
                raise
            except (StoreError, SettingsError, CannotListen) as error:
                wait.record(error)  # a key that fits no more ends no running instance, either
            else:
                return await _run_until_lost(app, environment)
        await wait.until_it_answers()
    return None


async def _run_until_lost(app: Application, environment: RunEnvironment) -> LoadedSettings | None:
    """Runs the bridge; returns the settings with which it goes on after its database was lost, else None."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def start_reload() -> None:
        task = loop.create_task(app.on_sighup())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, start_reload)
    if environment.reload_requested.is_set():
        environment.reload_requested.clear()
        start_reload()
    try:
        await app.run()
    except StoreLost:
        return app.loaded
    finally:
        loop.add_signal_handler(signal.SIGHUP, environment.reload_requested.set)
    return None
