"""Publishes the directory, the health, the information and the own events of an account when they change."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.health import (
    HEALTH_INTERVAL_SECONDS,
    HealthSnapshot,
    health_body,
    info_body,
)
from wx2mqtt.bridge.status_topics import StatusTopics
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json

log = structlog.get_logger(__name__)

# Changes of people within this time are published with one directory.
DIRECTORY_GATHER_SECONDS = 1.0

# Changes within this time are published with one health.
HEALTH_GATHER_SECONDS = 0.2


class SnapshotSource(Protocol):
    """Knows all facts about the health of an account; `AccountComponents` implements it."""

    async def snapshot(self) -> HealthSnapshot:
        """Returns all facts as of now. Raises `StoreError`."""


class StatusReporter:
    """Publishes directory, health, information and events of one account."""

    def __init__(
        self,
        ctx: AccountContext,
        status: StatusTopics,
        windows: ReplyWindowTopics,
        source: SnapshotSource,
    ) -> None:
        self._ctx = ctx
        self._status = status
        self._windows = windows
        self._source = source
        self._directory_changed = asyncio.Event()
        self._health_changed = asyncio.Event()

    def request_directory(self) -> None:
        """Publishes the directory soon."""
        self._directory_changed.set()

    def request_health(self) -> None:
        """Publishes the health soon."""
        self._health_changed.set()

    async def run(self) -> None:
        """Publishes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_events())
            tasks.create_task(self._publish_directory())
            tasks.create_task(self._publish_health())

    def publish_info(self) -> None:
        """Publishes `bridge/info`, version and settings of the bridge, if the broker is connected."""
        connection, settings = self._ctx.broker.connection, self._ctx.settings
        if connection is None:
            return
        body = info_body(
            account=self._ctx.name,
            stream=self._ctx.journal.stream,
            capabilities=self._ctx.backend.capabilities,
            broker=connection.protocol,
            started=self._ctx.counters.started,
            settings=settings.public,
            warnings=settings.warnings,
            instance=self._ctx.shared.instance,
        )
        self._status.show_info(body)

    async def health(self) -> dict[str, Json]:
        """Returns the body of `bridge/health` as of now. Raises `StoreError`."""
        return health_body(await self._source.snapshot(), self._ctx.name)

    async def _publish_events(self) -> None:
        while True:
            publication = await self._ctx.own_events.get()
            await retry_until_stored(partial(self._ctx.publish, [publication]))

    async def _publish_directory(self) -> None:
        while True:
            await self._directory_changed.wait()
            self._directory_changed.clear()
            self.show_directory()
            self.request_health()
            await asyncio.sleep(DIRECTORY_GATHER_SECONDS)

    def show_directory(self) -> None:
        """Publishes the directory now."""
        self._status.show_contacts(self._windows.directory_entries)

    async def _publish_health(self) -> None:
        while True:
            self._health_changed.clear()
            try:
                body = await self.health()
            except StoreError as error:
                log.error("health cannot be told", problem=str(error))
            else:
                self._status.show_health(body)
                self._ctx.heartbeat("store", 4 * HEALTH_INTERVAL_SECONDS)
            self._ctx.shared.changes.notify()
            await wait_at_most(self._health_changed, HEALTH_INTERVAL_SECONDS)
            await asyncio.sleep(HEALTH_GATHER_SECONDS)
