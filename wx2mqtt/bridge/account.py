"""One account: the rooms of the bridge wired together, and what happens when the broker comes and goes.

It owns no rule of its own; each lives in the room that it wires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from wx2mqtt.bridge.announce import Announcer
from wx2mqtt.bridge.asked import Asked
from wx2mqtt.bridge.board import Board
from wx2mqtt.bridge.deeds.table import Deeds
from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.files.taking import Files
from wx2mqtt.bridge.health import EVERY, Counters, Seen, health_body, info_body
from wx2mqtt.bridge.history import History
from wx2mqtt.bridge.homeassistant import HomeAssistant
from wx2mqtt.bridge.inbound import Inbound
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.judge import Judge
from wx2mqtt.bridge.loading import Loading
from wx2mqtt.bridge.media.fetcher import Around
from wx2mqtt.bridge.media.room import MediaRoom
from wx2mqtt.bridge.media.shelf import Shelf
from wx2mqtt.bridge.outbound import Outbound
from wx2mqtt.bridge.outlet import Outlet
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.bridge.pulse import Pulse
from wx2mqtt.bridge.pump import Pump
from wx2mqtt.bridge.requests import Filling, Handler, Requests, Work
from wx2mqtt.bridge.results import Results
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.limits import Bucket
from wx2mqtt.bridge.sending.sender import Sender
from wx2mqtt.bridge.session import Session
from wx2mqtt.bridge.state import Login
from wx2mqtt.bridge.wishes import Wishes
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob, Json, LoginState
from wx2mqtt.mqtt.link import Connected, Delivery, Disconnected, Link
from wx2mqtt.mqtt.payloads import encode, event_body
from wx2mqtt.mqtt.topics import JSON, Topics
from wx2mqtt.outside.fetching import Fetcher
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal, NewPublication, Opened, Recorded
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.wechat.gateway import Gateway, Progress

log = structlog.get_logger(__name__)

DIRECTORY_PAUSE = 1.0  # seconds in which changes of people are gathered before the directory is published
DRAIN = 2.0  # seconds that attempts under way get at the stop; the goodbyes after it take up to 2 more
GOODBYE = 1.0  # seconds for the last retained words


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all accounts share."""

    pulse: Pulse
    blobs: Blobs
    discard: Callable[[Blob], Awaitable[None]]
    store_size: Callable[[], int]
    store_limit: Callable[[], int]
    log_level: Handler
    reload: Handler
    progress: Progress
    status: Callable[[str, Login, str], None]


class Account:
    """Runs one account. It is the `Listener` of its link."""

    def __init__(
        self,
        *,
        name: str,
        topics: Topics,
        link: Link,
        gateway: Gateway,
        journal: Journal,
        people_copy: PeopleCopy,
        identity: Identity,
        opened: Opened,
        wishes: Wishes,
        house: House,
    ) -> None:
        self.name = name
        self.topics = topics
        self._link = link
        self.gateway = gateway
        self.journal = journal
        self._people_copy = people_copy
        self.identity = identity
        self._opened = opened
        self._wishes = wishes
        self._house = house
        self.counters = Counters(started=now_ms())
        self.tried = asyncio.Event()  # the first attempt to reach the broker is over
        self._news = asyncio.Event()
        self._copied = True  # people.json is what the store says
        self._people_changed = asyncio.Event()
        self._events: asyncio.Queue[NewPublication] = asyncio.Queue()
        self._talking: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._wire()
        self._first_words()
        house.pulse.watch(f"broker:{name}", lambda: link.moves_by)

    def _wire(self) -> None:
        wishes, loop = self._wishes, asyncio.get_running_loop()
        self._outlet = Outlet(self._link)
        echoes = Echoes()
        results = Results(self.name, self.topics)
        self._announcer = Announcer(self._outlet, self.topics.state)
        self._board = Board(self.name, self.topics, self._announcer, self._outlet)
        self._pump = Pump(self.journal, self._outlet, self._topic_dropped)
        self._media = self._media_room()
        self._at_home = self._home_assistant()
        self.inbound = Inbound(
            account=self.name,
            topics=self.topics,
            journal=self.journal,
            identity=self.identity,
            echoes=echoes,
            filters=wishes.filters,
            media=wishes.media,
            stored=self._stored,
            to_fetch=self._media.stored,
            people_changed=self.people_changed,
        )
        files = self._files()
        self.errands = Errands(
            journal=self.journal, gateway=self.gateway, identity=self.identity, files=files
        )
        self.sender = Sender(
            journal=self.journal,
            gateway=self.gateway,
            errands=self.errands,
            echoes=echoes,
            results=results,
            bucket=Bucket.full(wishes.per_minute, wishes.burst, loop.time()),
            language=wishes.language,
            logged_out=lambda gone: self.session.logged_out(gone),  # noqa: PLW0108 - made below
            published=self._pump.wake,
        )
        self.session = Session(
            gateway=self.gateway,
            journal=self.journal,
            inbound=self.inbound,
            identity=self.identity,
            sender=self.sender,
            expected=wishes.expected,
            language=wishes.language,
            shown=self._show,
            store_full=self._full,
            beat=lambda limit: self._beat("receive", limit),
            progress=self._house.progress,
        )
        self.judge = Judge(
            topics=self.topics,
            identity=self.identity,
            results=results,
            capabilities=self.gateway.capabilities,
            rules=wishes.rules,
            store_full=lambda: bool(self._full()),
            people_known=lambda: self.session.people_known,
        )
        self._outbound = Outbound(
            topics=self.topics,
            journal=self.journal,
            link=self._link,
            outlet=self._outlet,
            judge=self.judge,
            loading=Loading(self.judge, files, self.journal),
            results=results,
            answer=lambda *asked: self._requests.answer(*asked),  # noqa: PLW0108 - made below
            accepted=self.sender.add,
            published=self._pump.wake,
        )
        self._deeds = Deeds(
            gateway=self.gateway,
            journal=self.journal,
            identity=self.identity,
            rules=lambda: self._wishes.rules,
            directory=self.topics.contacts,
            standing=lambda: self.session.standing,
            state=lambda: self.session.login.state,
            logged_out=self.session.logged_out,
            save=self.save_people,
        )
        self._requests = Requests(
            self.topics,
            self.journal,
            self._handlers(),
            rules=lambda: self._wishes.rules,
            payload_limit=self._outlet.payload_limit,
            clear=self._outbound.clear,
        )

    def _files(self) -> Files:
        house = self._house
        return Files(
            blobs=house.blobs,
            discard=house.discard,
            media=self.gateway.capabilities.media,
            reach=lambda: self._wishes.rules.reach,
            room=lambda: house.store_limit() - house.store_size(),
            fetcher=Fetcher(),
        )

    def _media_room(self) -> MediaRoom:
        return MediaRoom(
            account=self.name,
            topics=self.topics,
            journal=self.journal,
            gateway=self.gateway,
            identity=self.identity,
            blobs=self._house.blobs,
            rules=self._wishes.media,
            language=self._wishes.language,
            pump=self._pump,
            around=Around(
                online=lambda: self.session.login.state is LoginState.ONLINE,
                full=lambda: bool(self._full()),
                logged_out=lambda gone: self.session.logged_out(gone),  # noqa: PLW0108 - made later
                published=self._pump.wake,
                beat=lambda limit: self._beat("media", limit),
            ),
        )

    def _home_assistant(self) -> HomeAssistant:
        return HomeAssistant(
            account=self.name,
            topics=self.topics,
            backend=self.gateway.capabilities.backend,
            journal=self.journal,
            announcer=self._announcer,
            outlet=self._outlet,
            identity=self.identity,
            exposure=self._wishes.exposure,
        )

    def _first_words(self) -> None:
        """What stands before anything has happened; `last` and the people are those of before."""
        known = self.identity.knows(self._opened.login_id)
        self.session.opened(self._opened.cursor, self._opened.login_id, people_known=known)
        self._board.state(b"online")
        self._show(self.session.login, "")
        if self._opened.last is not None:
            self._board.last(self._opened.last)
        self._people_changed.set()

    async def run(self) -> None:
        """Bridge until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._pump, self._outbound, self.sender, self._at_home):
                tasks.create_task(work.run())
            tasks.create_task(self._link.run(self))
            tasks.create_task(self._publish_events())
            tasks.create_task(self._publish_directory())
            tasks.create_task(self._publish_health())
            self._fetching = tasks.create_task(self._media.run())
            self._talking = tasks.create_task(self._talk())

    async def _talk(self) -> None:
        with suppress(asyncio.CancelledError):  # the stop ends this one first, the others after it
            await self.session.run()

    async def stop(self) -> None:
        """Stop in order: hear no more, end what is under way, say goodbye. Takes at most about 3 s."""
        self._deeds.doer.stop()
        hearing = {task for task in (self._talking, self._fetching) if task is not None}
        for task in hearing:
            task.cancel()
        if hearing:
            await asyncio.wait(hearing)
        await asyncio.gather(self.sender.drain(DRAIN), self._deeds.doer.drain(DRAIN))
        self.session.stop()
        self._board.state(b"offline")
        await self._announcer.all_said(GOODBYE)
        with suppress(StoreError):  # then what was acknowledged last comes again, with its old id and seq
            await self._pump.finish(GOODBYE)
        if not self._copied or self._people_changed.is_set():
            with suppress(StoreError):  # then the copy is older than the database
                await self._people_copy.write()

    # what the broker does

    async def session_begins(self) -> None:
        """See `Listener`."""
        self._outbound.begin_session()
        await self._outbound.keep_session()

    def connected(self, connection: Connected) -> None:
        """See `Listener`. What was kept by the broker and what was not is known from here on."""
        counters = self.counters
        lost = not connection.session_present and bool(self._opened.session or counters.connects)
        self.tried.set()
        counters.connects += 1
        counters.standby, counters.broker_reason = False, ""
        if lost:
            counters.sessions_lost += 1
            self._event("session_lost", {"broker": connection.url})
        self._outbound.connected(connection, self._opened.session)
        self._say_info(connection)
        self._at_home.connected(connection)
        self._board.connected(connection)
        self._pump.connected()
        self._people_changed.set()
        self._news.set()

    def disconnected(self, gone: Disconnected) -> None:
        """See `Listener`."""
        self.tried.set()
        self.counters.disconnects += gone.code == "lost"
        self.counters.broker_reason, self.counters.standby = gone.reason, gone.standby
        self._announcer.disconnected()
        self._pump.disconnected()
        self._news.set()

    def delivered(self, delivery: Delivery) -> None:
        """See `Listener`."""
        self._at_home.delivered(delivery)
        self._outbound.delivered(delivery)

    # what the rooms tell

    def _stored(self, recorded: Recorded) -> None:
        if recorded.last is not None:
            self._board.last(recorded.last)
        if recorded.messages or recorded.events:
            self._pump.wake()

    def _show(self, login: Login, url: str) -> None:
        self._board.login(login, url, self._wishes.language)
        self._news.set()
        self._media.wake()
        self._deeds.doer.changed()
        self._house.status(self.name, login, url)

    def _beat(self, loop: str, limit: float | None) -> None:
        name = f"{loop}:{self.name}"
        if limit is None:
            self._house.pulse.rest(name)
        else:
            self._house.pulse.beat(name, limit)

    def _full(self) -> str:
        """The limit that is used up, in words; empty while there is room."""
        limit = self._house.store_limit()
        return f"{limit / 1_000_000:g} MB" if self._house.store_size() >= limit > 0 else ""

    def _topic_dropped(self, topic: str, count: int) -> None:
        self._event("dropped", {"topic": topic, "count": count, "reason": "refused by the broker for 7 days"})

    def _event(self, name: str, fields: Mapping[str, Json]) -> None:
        now = now_ms()
        body = event_body(
            name, event_id=f"{name}:{now}", account=self.name, time=now, user=None, fields=fields
        )
        publication = NewPublication(
            topic=self.topics.event(name), payload=encode(body), sort="event", content_type=JSON
        )
        self._events.put_nowait(publication)

    async def _publish_events(self) -> None:
        while True:
            publication = await self._events.get()
            await insist(lambda one=publication: self.journal.publish([one]))  # type: ignore[misc]
            self._pump.wake()

    async def _publish_directory(self) -> None:
        """Changes of people are gathered, then published once and copied to `people.json` (DESIGN 4.1)."""
        while True:
            await self._people_changed.wait()
            self._people_changed.clear()
            self._copied = False
            self._board.contacts(self.identity.directory(), self._wishes.named)
            await insist(self._people_copy.write)
            self._copied = True
            self._news.set()
            await asyncio.sleep(DIRECTORY_PAUSE)

    async def _publish_health(self) -> None:
        while True:
            self._news.clear()
            try:
                body = await self.health()
            except StoreError as trouble:
                log.error("health cannot be told", problem=str(trouble))
            else:
                self._board.health(body)
                self._house.pulse.beat(f"store:{self.name}", 4 * EVERY)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._news.wait()
            await asyncio.sleep(0.2)  # what happens at once is told at once, not one by one

    async def health(self) -> dict[str, Json]:
        """The body of `bridge/health` as of now. Raises `StoreError`."""
        current, stats = self._link.current, await self.journal.stats()
        return health_body(
            Seen(
                now=now_ms(),
                login=self.session.login,
                last_answer=self.session.last_answer,
                stats=stats,
                counters=self.counters,
                received=self.inbound.counts,
                published=self._pump.published,
                results=self.sender.results,
                commands=self._outbound.commands,
                throttled=round(self.sender.throttled, 1),
                refused=(
                    *self._announcer.refused,
                    *self._pump.refused,
                    *(current.refused if current else ()),
                ),
                broker="" if current is None else current.protocol,
                store_size=self._house.store_size(),
                store_limit=self._house.store_limit(),
                stuck=self._house.pulse.stuck(),
                unresolved=self.identity.closed,
                discovery_cut=self._at_home.too_large,
                extra={"media": self._media.health(stats.pending_media), **self._at_home.health()},
            ),
            self.name,
        )

    def _say_info(self, connection: Connected) -> None:
        body = info_body(
            account=self.name,
            stream=self.journal.stream,
            capabilities=self.gateway.capabilities,
            broker=connection.protocol,
            started=self.counters.started,
            settings=self._wishes.public,
            warnings=self._wishes.warnings,
        )
        self._board.info(body)

    # what people ask for

    def _handlers(self) -> dict[str, Work]:
        asked = Asked(
            account=self.name,
            session=self.session,
            identity=self.identity,
            save=self.save_people,
            health=self.health,
            history=History(self.journal, self.identity, self.topics.contacts),
        )
        return {
            **asked.handlers(),
            **self._deeds.works(),
            "media": Filling(self._media.request.answer),
            "log_level": self._house.log_level,
            "reload": self._house.reload,
        }

    async def save_people(self, changes: Changes) -> None:
        """Store what the owner decided, and let it show."""
        await self.inbound.people(changes)

    def publish_again(self) -> None:
        """Messages that were set aside wait again."""
        self._pump.connected()

    def login_shown(self) -> Json:
        """The login as `login/state` says it, the text of its QR code and where that is as a picture."""
        body = self.session.login.body(self.name)
        return {**body, "url": self._board.url, "qr_topic": self.topics.login_qr}

    @property
    def shelf(self) -> Shelf:
        """Where the bytes of messages are found."""
        return self._media.shelf

    @property
    def broker_connected(self) -> bool:
        """Whether the broker is there."""
        return self._link.current is not None

    async def close(self) -> None:
        """Let go of the connections to WeChat."""
        await self.gateway.close()

    def people_changed(self) -> None:
        """Somebody has another name, trust or place now: the directory and waiting commands follow."""
        self._people_changed.set()
        self._at_home.changed()
        self.sender.changed()

    async def apply(self, wishes: Wishes) -> None:
        """Take over what the owner changed."""
        self._wishes = wishes
        self.judge.rules, self.inbound.filters = wishes.rules, wishes.filters
        self.inbound.media = wishes.media
        self._media.apply(wishes.media, wishes.language)
        self._at_home.apply(wishes.exposure)
        self.sender.language = self.session.language = wishes.language
        now = asyncio.get_running_loop().time()
        self.sender.bucket = self.sender.bucket.resized(wishes.per_minute, wishes.burst, now)
        await self.inbound.people(self.identity.set_pins(wishes.pins, now_ms()))
        self.people_changed()
        if (connection := self._link.current) is not None:
            self._say_info(connection)
