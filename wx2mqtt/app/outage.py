"""What is left of the bridge while its database is away: page, control socket, STATUS and watchdog.

No account runs meanwhile, and another instance may have them: nothing goes to WeChat or to the broker.
`DatabaseWait.until_it_answers` ends as soon as a connection stands.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from wx2mqtt.aio import LogInterval, cancel_and_wait, wait_at_most
from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.settings_mapping import running_web_server, secret_value
from wx2mqtt.backoff import Backoff
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.store.folder import StoreFolder, resolve_store_path
from wx2mqtt.web.bridge_state import BridgeState, DatabaseOutage
from wx2mqtt.web.options import CannotListen

log = structlog.get_logger(__name__)

# Between two attempts to open a database whose connection was lost.
REOPEN_BACKOFF = Backoff(first=0.2, cap=2.0)

# The log repeats so often that the database is still away.
LOG_INTERVAL_SECONDS = 60.0

# Under a service manager without a watchdog STATUS is still told so often.
STATUS_INTERVAL_SECONDS = 5.0


class DatabaseWait:
    """One outage, from the loss of the connection until the bridge is open again."""

    def __init__(self, loaded: LoadedSettings, environment: RunEnvironment) -> None:
        self._loaded = loaded
        self._environment = environment
        self._backoff = REOPEN_BACKOFF
        self._log_interval = LogInterval(LOG_INTERVAL_SECONDS)
        self.outage = DatabaseOutage(since=now_ms(), reason="the connection was lost")

    @property
    def sentence(self) -> str:
        """What STATUS, `healthcheck` and every other command say."""
        since, language = rfc3339(self.outage.since), self._loaded.settings.language
        return bridge_text(language, "database_away", since=since, why=self.outage.reason)

    def record(self, error: Wx2MqttError) -> None:
        """Keeps why the database could not be used this time; the log gets it now and then."""
        self._backoff = self._backoff.after_failure()
        self.outage = DatabaseOutage(since=self.outage.since, reason=str(error).removesuffix("."))
        if self._log_interval.is_due():
            since = rfc3339(self.outage.since)
            log.warning("database cannot be opened yet", problem=str(error), since=since)

    async def until_it_answers(self) -> None:
        """Serves what is left of the bridge until the database answers, or the process is to stop."""
        async with self._serve():
            await self._pause()
            while not self._environment.stop_requested.is_set():
                try:
                    await asyncio.to_thread(self._connect)
                except StoreError as error:
                    self.record(error)
                else:
                    return
                await self._pause()

    async def _pause(self) -> None:
        await wait_at_most(self._environment.stop_requested, self._backoff.wait(random.random()))

    def _connect(self) -> None:
        from wx2mqtt.store.postgresql import PostgresqlConnection  # noqa: PLC0415 - needs psycopg

        storage = self._loaded.settings.storage
        assert storage.url is not None
        PostgresqlConnection.open(storage.url, secret_value(storage.password)).close()

    @asynccontextmanager
    async def _serve(self) -> AsyncGenerator[None, None]:
        """Serves inside the block. A port or a socket that cannot be had is left out."""
        async with AsyncExitStack() as stack:
            alive = asyncio.create_task(self._stay_alive())
            stack.push_async_callback(cancel_and_wait, [alive])
            try:
                page = running_web_server(self._loaded.settings, [], self._bridge_state())
                await stack.enter_async_context(page)
                folder = StoreFolder.open(self._store_path())
                stack.callback(folder.close)
                await stack.enter_async_context(control_socket.serve_operations(folder.path, self._answer))
            except (CannotListen, StoreError) as error:
                log.warning("outage is not shown everywhere", problem=str(error))
            yield

    def _bridge_state(self) -> BridgeState:
        status = self._environment.reload_status
        return BridgeState(
            problems=lambda: status.problems,
            reload_accepted=lambda: status.accepted,
            outage=lambda: self.outage,
        )

    def _store_path(self) -> Path:
        return resolve_store_path(self._loaded.settings.storage.path, self._environment.env)[0]

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
            notifier.watchdog()
            await asyncio.sleep(interval)
