"""What one account tells of its own accord: its directory, its health, and events that no message brought."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import Rooms
from wx2mqtt.bridge.health import (
    HEALTH_INTERVAL_SECONDS,
    BrokerCounters,
    HealthSnapshot,
    health_body,
    info_body,
)
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected
from wx2mqtt.mqtt.payloads import encode, event_body
from wx2mqtt.mqtt.topics import JSON_TYPE
from wx2mqtt.store.records import NewPublication

log = structlog.get_logger(__name__)

DIRECTORY_GATHER_SECONDS = (
    1.0  # seconds in which changes of people are gathered before the directory is published
)
HEALTH_GATHER_SECONDS = 0.2  # seconds; what happens at once is told at once, not one by one


class StatusReporter:
    """Looks into the rooms and publishes what it sees."""

    def __init__(self, rooms: Rooms, counters: BrokerCounters) -> None:
        self._rooms = rooms
        self._ctx = rooms.ctx
        self._counters = counters
        self._people_copied = True  # people.json is what the store says
        self._event_queue: asyncio.Queue[NewPublication] = asyncio.Queue()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._publish_events, self._publish_directory, self._publish_health):
                tasks.create_task(work())

    async def flush_people_copy(self) -> None:
        """At the stop: leave `people.json` as new as the database."""
        if not self._people_copied or self._rooms.directory_changed.is_set():
            with suppress(StoreError):  # then the copy is older than the database
                await self._ctx.people_copy.write()

    def publish_event(self, name: str, fields: Mapping[str, Json]) -> None:
        """Something happened to the bridge itself."""
        now = now_ms()
        body = event_body(
            name, event_id=f"{name}:{now}", account=self._ctx.name, time=now, user=None, fields=fields
        )
        publication = NewPublication(
            topic=self._ctx.topics.event(name), payload=encode(body), sort="event", content_type=JSON_TYPE
        )
        self._event_queue.put_nowait(publication)

    def publish_info(self, connection: Connected) -> None:
        """`bridge/info`: what the bridge is and how it was set up."""
        wishes = self._rooms.settings
        body = info_body(
            account=self._ctx.name,
            stream=self._ctx.journal.stream,
            capabilities=self._ctx.backend.capabilities,
            broker=connection.protocol,
            started=self._counters.started,
            settings=wishes.public_settings,
            warnings=wishes.warnings,
        )
        self._rooms.status.show_info(body)

    async def health(self) -> dict[str, Json]:
        """The body of `bridge/health` as of now. Raises `StoreError`."""
        return health_body(await self.snapshot(), self._ctx.name)

    async def snapshot(self) -> HealthSnapshot:
        """How the account does as of now. Raises `StoreError`."""
        rooms, house = self._rooms, self._ctx.shared
        current, stats = self._ctx.broker.connection, await self._ctx.journal.stats()
        refused = (
            *rooms.retained.refused_topics,
            *rooms.publisher.refused_topics,
            *(current.refused_filters if current else ()),
        )
        return HealthSnapshot(
            now=now_ms(),
            login=rooms.session.login,
            last_answer=rooms.session.last_answer,
            stats=stats,
            counters=self._counters,
            received=rooms.inbound.counts,
            published=rooms.publisher.published_count,
            results=rooms.sender.result_counts + rooms.intake.refused_counts,
            commands=rooms.intake.command_count,
            throttled=round(rooms.sender.conditions.throttled_seconds, 1),
            refused=refused,
            broker="" if current is None else current.protocol,
            store_size=house.store_size(),
            store_limit=house.store_limit(),
            stuck=house.watchdog.overdue(self._ctx.name),
            unresolved=self._ctx.registry.closed_count,
            discovery_cut=rooms.home_assistant.is_truncated,
            kinds=_kinds(rooms),
            media=rooms.media.counts_by_state,
            media_bytes=rooms.media.fetched_bytes,
            media_stored=rooms.media.stored_bytes,
            muted=rooms.sender.attempts.is_muted,
            held=rooms.sender.hold_queue.held_count if rooms.windows.supported else None,
            extra={
                "media": rooms.media.health_fields(stats.pending_media),
                **rooms.home_assistant.health_fields(),
            },
        )

    async def _publish_events(self) -> None:
        while True:
            publication = await self._event_queue.get()
            await retry_until_stored(lambda one=publication: self._ctx.journal.enqueue([one]))  # type: ignore[misc]
            self._rooms.publisher.wake()

    async def _publish_directory(self) -> None:
        """Changes of people are gathered, then published once and copied to `people.json`."""
        rooms = self._rooms
        while True:
            await rooms.directory_changed.wait()
            rooms.directory_changed.clear()
            self._people_copied = False
            rooms.status.show_contacts(rooms.windows.directory_entries(), rooms.settings.named_users)
            await retry_until_stored(self._ctx.people_copy.write)
            self._people_copied = True
            rooms.health_changed.set()
            await asyncio.sleep(DIRECTORY_GATHER_SECONDS)

    async def _publish_health(self) -> None:
        rooms = self._rooms
        while True:
            rooms.health_changed.clear()
            try:
                body = await self.health()
            except StoreError as trouble:
                log.error("health cannot be told", problem=str(trouble))
            else:
                rooms.status.show_health(body)
                self._ctx.shared.watchdog.heartbeat(f"store:{self._ctx.name}", 4 * HEALTH_INTERVAL_SECONDS)
            self._ctx.shared.changes.notify()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEALTH_INTERVAL_SECONDS):
                    await rooms.health_changed.wait()
            await asyncio.sleep(HEALTH_GATHER_SECONDS)


def _kinds(rooms: Rooms) -> dict[tuple[str, str], int]:
    """Messages that were taken in and that were sent, by direction and kind."""
    both = (("in", rooms.inbound.counts_by_kind), ("out", rooms.sender.sent_counts))
    return {(direction, kind): count for direction, kinds in both for kind, count in kinds.items()}
