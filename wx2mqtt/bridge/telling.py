"""What one account tells of its own accord: its directory, its health, and events that no message brought."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from wx2mqtt.bridge.health import EVERY, Counters, Seen, health_body, info_body
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.rooms import Rooms
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.link import Connected
from wx2mqtt.mqtt.payloads import encode, event_body
from wx2mqtt.mqtt.topics import JSON
from wx2mqtt.store.journal import NewPublication

log = structlog.get_logger(__name__)

DIRECTORY_PAUSE = 1.0  # seconds in which changes of people are gathered before the directory is published
HEALTH_PAUSE = 0.2  # seconds; what happens at once is told at once, not one by one


class Telling:
    """Looks into the rooms and publishes what it sees."""

    def __init__(self, rooms: Rooms, counters: Counters) -> None:
        self._rooms = rooms
        self._ground = rooms.ground
        self._counters = counters
        self._copied = True  # people.json is what the store says
        self._events: asyncio.Queue[NewPublication] = asyncio.Queue()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._publish_events, self._publish_directory, self._publish_health):
                tasks.create_task(work())

    async def finish(self) -> None:
        """At the stop: leave `people.json` as new as the database."""
        if not self._copied or self._rooms.people.is_set():
            with suppress(StoreError):  # then the copy is older than the database
                await self._ground.people_copy.write()

    def event(self, name: str, fields: Mapping[str, Json]) -> None:
        """Something happened to the bridge itself."""
        now = now_ms()
        body = event_body(
            name, event_id=f"{name}:{now}", account=self._ground.name, time=now, user=None, fields=fields
        )
        publication = NewPublication(
            topic=self._ground.topics.event(name), payload=encode(body), sort="event", content_type=JSON
        )
        self._events.put_nowait(publication)

    def info(self, connection: Connected) -> None:
        """`bridge/info`: what the bridge is and how it was set up."""
        wishes = self._rooms.wishes
        body = info_body(
            account=self._ground.name,
            stream=self._ground.journal.stream,
            capabilities=self._ground.gateway.capabilities,
            broker=connection.protocol,
            started=self._counters.started,
            settings=wishes.public,
            warnings=wishes.warnings,
        )
        self._rooms.board.info(body)

    async def health(self) -> dict[str, Json]:
        """The body of `bridge/health` as of now. Raises `StoreError`."""
        return health_body(await self.seen(), self._ground.name)

    async def seen(self) -> Seen:
        """How the account does as of now. Raises `StoreError`."""
        rooms, house = self._rooms, self._ground.house
        current, stats = self._ground.link.current, await self._ground.journal.stats()
        refused = (*rooms.announcer.refused, *rooms.pump.refused, *(current.refused if current else ()))
        return Seen(
            now=now_ms(),
            login=rooms.session.login,
            last_answer=rooms.session.last_answer,
            stats=stats,
            counters=self._counters,
            received=rooms.inbound.counts,
            published=rooms.pump.published,
            results=rooms.sender.results + rooms.outbound.refused,
            commands=rooms.outbound.commands,
            throttled=round(rooms.sender.conditions.throttled, 1),
            refused=refused,
            broker="" if current is None else current.protocol,
            store_size=house.store_size(),
            store_limit=house.store_limit(),
            stuck=house.pulse.stuck(self._ground.name),
            unresolved=self._ground.identity.closed,
            discovery_cut=rooms.home_assistant.too_large,
            kinds=_kinds(rooms),
            media=rooms.media.ended,
            media_bytes=rooms.media.fetched,
            media_stored=rooms.media.on_disk,
            muted=rooms.sender.trying.muted,
            held=rooms.sender.holding.count if rooms.windows.are_there else None,
            extra={"media": rooms.media.health(stats.pending_media), **rooms.home_assistant.health()},
        )

    async def _publish_events(self) -> None:
        while True:
            publication = await self._events.get()
            await insist(lambda one=publication: self._ground.journal.publish([one]))  # type: ignore[misc]
            self._rooms.pump.wake()

    async def _publish_directory(self) -> None:
        """Changes of people are gathered, then published once and copied to `people.json` (DESIGN 4.1)."""
        rooms = self._rooms
        while True:
            await rooms.people.wait()
            rooms.people.clear()
            self._copied = False
            rooms.board.contacts(rooms.windows.entries(), rooms.wishes.named)
            await insist(self._ground.people_copy.write)
            self._copied = True
            rooms.news.set()
            await asyncio.sleep(DIRECTORY_PAUSE)

    async def _publish_health(self) -> None:
        rooms = self._rooms
        while True:
            rooms.news.clear()
            try:
                body = await self.health()
            except StoreError as trouble:
                log.error("health cannot be told", problem=str(trouble))
            else:
                rooms.board.health(body)
                self._ground.house.pulse.beat(f"store:{self._ground.name}", 4 * EVERY)
            self._ground.house.bell.ring()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await rooms.news.wait()
            await asyncio.sleep(HEALTH_PAUSE)


def _kinds(rooms: Rooms) -> dict[tuple[str, str], int]:
    """Messages that were taken in and that were sent, by direction and kind."""
    both = (("in", rooms.inbound.kinds), ("out", rooms.sender.sent))
    return {(direction, kind): count for direction, kinds in both for kind, count in kinds.items()}
