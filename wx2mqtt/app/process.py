"""Runs the bridge as a process: its signals, and what follows when the connection to a database is lost."""

from __future__ import annotations

import asyncio
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import structlog

from wx2mqtt.aio import wait_at_most
from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.stores import StoreLost
from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import SettingsError, StoreError, StoreTooNew
from wx2mqtt.memory import pause_collection
from wx2mqtt.settings.loader import LoadedSettings

log = structlog.get_logger(__name__)

# A DNS lookup may occupy a thread for half a minute, and one account must not delay the file access of
# others. The default of Python would be six threads on a small machine.
MAX_WORKER_THREADS = 32

# Between two attempts to open a database whose connection was lost.
REOPEN_BACKOFF = Backoff(first=0.2, cap=2.0)


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
        lost_with = await _run_until_lost(app)
    while lost_with is not None:
        environment.cluster_statistics.lost_connections += 1
        async with AsyncExitStack() as stack:
            reopened = await _open_again(stack, lost_with, environment)
            lost_with = None if reopened is None else await _run_until_lost(reopened)


async def _open_again(
    stack: AsyncExitStack, loaded: LoadedSettings, environment: RunEnvironment
) -> Application | None:
    """Opens the bridge, and tries as often as it takes; returns None if it is to stop before."""
    backoff = REOPEN_BACKOFF
    while not environment.stop_requested.is_set():
        try:
            return await stack.enter_async_context(open_application(loaded, environment))
        except StoreTooNew:
            raise
        except (StoreError, SettingsError) as error:  # a key that fits no more ends no running instance
            backoff = backoff.after_failure()
            log.warning("database cannot be opened yet", problem=str(error))
        environment.notifier.watchdog()
        await wait_at_most(environment.stop_requested, backoff.wait(random.random()))
    return None


async def _run_until_lost(app: Application) -> LoadedSettings | None:
    """Runs the bridge; returns the settings with which it goes on after its database was lost, else None."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def start_reload() -> None:
        task = loop.create_task(app.on_sighup())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, start_reload)
    try:
        await app.run()
    except StoreLost:
        return app.loaded
    finally:
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until the bridge is open again
    return None
