"""The process: takes signals, and opens one `Application` after another until it is to stop.

    store in a folder      one `Application`, until the process stops
    store in a database    one until the connection is lost, `DatabaseWait` until it is back, another one, …

During a `DatabaseWait` no account runs here, and another instance may run them: nothing goes to WeChat or to
the broker. Page, control socket, STATUS and watchdog go on, and say that the database is away.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from wx2mqtt.aio import LogInterval, cancel_and_wait, run_in_daemon_thread, wait_at_most
from wx2mqtt.app import control_socket
from wx2mqtt.app.application import Application, RunEnvironment, open_application
from wx2mqtt.app.configuration import secret_value
from wx2mqtt.app.stores import StoreLost
from wx2mqtt.app.web_servers import running_web_server
from wx2mqtt.clock import Backoff, now_ms, rfc3339
from wx2mqtt.errors import SettingsError, StoreError, StoreTooNew, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.memory import pause_collection
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.folder import StoreFolder, resolve_store_path
from wx2mqtt.web.bridge_state import BridgeState, DatabaseOutage
from wx2mqtt.web.options import CannotListen

log = structlog.get_logger(__name__)

# A DNS lookup may occupy a thread for half a minute, and one account must not delay the file access of
# others. Python's own default would be six threads on a small machine.
MAX_WORKER_THREADS = 32

# While the database is away: seconds between two attempts to open it, between two lines of the log that say
# so, and between two messages to the service manager.
REOPEN_BACKOFF = Backoff(first=0.2, cap=2.0)
LOG_INTERVAL_SECONDS = 60.0
STATUS_INTERVAL_SECONDS = 5.0


async def run(loaded: LoadedSettings, environment: RunEnvironment) -> None:
    """Runs the bridge until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):  # before opening, which may take some time
        loop.add_signal_handler(signal_number, environment.stop_requested.set)
    loop.set_default_executor(ThreadPoolExecutor(MAX_WORKER_THREADS, "work"))
    async with AsyncExitStack() as stack:
        with pause_collection():
            app = await stack.enter_async_context(open_application(loaded, environment))
        reopen_with = await _run_until_lost(app, environment)
    while reopen_with is not None:
        environment.cluster_statistics.lost_connections += 1
        reopen_with = await _reopen_and_run(reopen_with, environment)


async def _reopen_and_run(loaded: LoadedSettings, environment: RunEnvironment) -> LoadedSettings | None:
    """Opens the bridge again, as soon as that succeeds, and runs it. Returns as `_run_until_lost`."""
    wait = DatabaseWait(loaded, environment)
    while await wait.wait_for_answer():
        async with AsyncExitStack() as stack:
            try:
                app = await stack.enter_async_context(open_application(loaded, environment))
            except StoreTooNew:
                raise
            except (StoreError, SettingsError, CannotListen) as error:
                wait.record(error)  # a wrong `storage.key` ends no process that runs: it may be mended
            else:
                return await _run_until_lost(app, environment)
    environment.notifier.stopping()
    return None


async def _run_until_lost(app: Application, environment: RunEnvironment) -> LoadedSettings | None:
    """Runs the bridge. Returns its settings when its database was lost, and None when it was to stop."""
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


class DatabaseWait:
    """One outage, from the loss of the connection until the bridge is open again."""

    def __init__(self, loaded: LoadedSettings, environment: RunEnvironment) -> None:
        self._loaded = loaded
        self._environment = environment
        self._backoff = REOPEN_BACKOFF
        #: False until the first attempt to open the database has failed: that one is made at once.
        self._has_failed = False
        self._log_interval = LogInterval(LOG_INTERVAL_SECONDS)
        self.outage = DatabaseOutage(since=now_ms(), reason="the connection was lost")

    @property
    def sentence(self) -> str:
        """What STATUS, `healthcheck` and every other command say."""
        since, language = rfc3339(self.outage.since), self._loaded.settings.language
        return bridge_text(language, "database_away", since=since, why=self.outage.reason)

    def record(self, error: Wx2MqttError) -> None:
        """Keeps why an attempt has failed, for all who ask, and writes it into the log now and then."""
        self._has_failed = True
        self._backoff = self._backoff.after_failure()
        self.outage = DatabaseOutage(since=self.outage.since, reason=str(error).removesuffix("."))
        if self._log_interval.is_due():
            since = rfc3339(self.outage.since)
            log.warning("database cannot be opened yet", problem=str(error), since=since)

    async def wait_for_answer(self) -> bool:
        """Serves what is left of the bridge. Returns True when the database answers, False at a stop."""
        stop = self._environment.stop_requested
        async with self._serve():
            while not stop.is_set():
                if self._has_failed:
                    await wait_at_most(stop, self._backoff.wait(random.random()))
                if await self._answers():
                    return not stop.is_set()
        return False

    async def _answers(self) -> bool:
        """Tries to connect. A stop does not wait for a server that does not answer: its thread goes on."""
        connecting = asyncio.ensure_future(run_in_daemon_thread(self._connect))
        stopping = asyncio.ensure_future(self._environment.stop_requested.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return False
            connecting.result()
        except StoreError as error:
            self.record(error)
            return False
        finally:
            await cancel_and_wait([connecting, stopping])
        return True

    def _connect(self) -> None:
        from wx2mqtt.store.postgresql_connection import PostgresqlConnection  # noqa: PLC0415 - needs psycopg

        storage = self._loaded.settings.storage
        assert storage.url is not None
        PostgresqlConnection.open(storage.url, secret_value(storage.password)).close()

    @asynccontextmanager
    async def _serve(self) -> AsyncGenerator[None, None]:
        """Serves page, control socket, STATUS and watchdog inside the block, as far as they can be had."""
        async with AsyncExitStack() as stack:
            alive = asyncio.create_task(self._stay_alive())
            stack.push_async_callback(cancel_and_wait, [alive])
            try:
                status = self._environment.reload_status
                state = BridgeState(
                    problems=lambda: status.problems,
                    reload_accepted=lambda: status.accepted,
                    outage=lambda: self.outage,
                )
                await stack.enter_async_context(running_web_server(self._loaded.settings, [], state))
                path, _ = resolve_store_path(self._loaded.settings.storage.path, self._environment.env)
                folder = StoreFolder.open(path)
                stack.callback(folder.close)
                await stack.enter_async_context(control_socket.serve_operations(folder.path, self._answer))
            except (CannotListen, StoreError) as error:
                log.warning("outage is not shown everywhere", problem=str(error))
            yield

    async def _answer(self, name: str, _fields: Mapping[str, Json]) -> Json:
        """Answers what `healthcheck` asks first; raises `Wx2MqttError` with the sentence for all else."""
        if name == "accounts":
            return {"outage": self.sentence}
        raise Wx2MqttError(self.sentence)

    async def _stay_alive(self) -> None:
        """Tells the service manager what is wrong, and that a restart would not help."""
        notifier = self._environment.notifier
        interval = min(STATUS_INTERVAL_SECONDS, notifier.watchdog_interval or STATUS_INTERVAL_SECONDS)
        while True:
            notifier.status(self.sentence)
            notifier.feed_watchdog()
            await asyncio.sleep(interval)
