"""The rooms of one account, wired together: who tells whom. It owns no rule; each lives in its room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wx2mqtt.bridge.announce import Announcer
from wx2mqtt.bridge.bell import Bell
from wx2mqtt.bridge.board import Board
from wx2mqtt.bridge.calls import Calls
from wx2mqtt.bridge.deeds.table import Deeds
from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.files.taking import Files
from wx2mqtt.bridge.homeassistant import HomeAssistant
from wx2mqtt.bridge.inbound import Inbound
from wx2mqtt.bridge.judge import Judge
from wx2mqtt.bridge.loading import Loading
from wx2mqtt.bridge.media.fetcher import Around
from wx2mqtt.bridge.media.room import MediaRoom
from wx2mqtt.bridge.outbound import Answer, Outbound
from wx2mqtt.bridge.outlet import Outlet
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.bridge.pulse import Pulse
from wx2mqtt.bridge.pump import Dropped, Pump
from wx2mqtt.bridge.requests import Handler
from wx2mqtt.bridge.results import Results
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.limits import Bucket
from wx2mqtt.bridge.sending.sender import Sender
from wx2mqtt.bridge.session import Session
from wx2mqtt.bridge.state import Login
from wx2mqtt.bridge.windows import Windows
from wx2mqtt.bridge.wishes import Wishes
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import Blob, LoginState
from wx2mqtt.mqtt.link import Link
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.outside.fetching import Fetcher
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal, Opened, Recorded
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.wechat.gateway import Gateway, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all accounts share."""

    pulse: Pulse
    bell: Bell
    blobs: Blobs
    discard: Callable[[Blob], Awaitable[None]]
    store_size: Callable[[], int]
    store_limit: Callable[[], int]
    log_level: Handler
    reload: Handler
    progress: Progress
    status: Callable[[str, Login, str], None]

    def full(self) -> str:
        """The limit of the store that is used up, in words; empty while there is room."""
        limit = self.store_limit()
        return f"{limit / 1_000_000:g} MB" if self.store_size() >= limit > 0 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one account stands on: its connections and its part of the store."""

    name: str
    topics: Topics
    link: Link
    gateway: Gateway
    calls: Calls
    journal: Journal
    people_copy: PeopleCopy
    identity: Identity
    opened: Opened
    house: House


class Rooms:
    """Made in the order in which they need each other. `wishes` are the owner's, as of now.

    `news` is set when the health is another one, `people` when the directory is.
    """

    def __init__(self, ground: Ground, wishes: Wishes, *, dropped: Dropped, answer: Answer) -> None:
        self.ground = ground
        self.wishes = wishes
        self.news = asyncio.Event()
        self.people = asyncio.Event()
        self.results = Results(ground.name, ground.topics)
        self.outlet = Outlet(ground.link)
        self.announcer = Announcer(self.outlet, ground.topics.state)
        self.board = Board(ground.name, ground.topics, self.announcer, self.outlet)
        self.pump = Pump(ground.journal, self.outlet, dropped)
        self.media = self._make_media()
        self.home_assistant = self._make_home_assistant()
        files, echoes = self._make_files(), Echoes()
        self.inbound = self._make_inbound(echoes)
        self.errands = Errands(
            journal=ground.journal, gateway=ground.gateway, identity=ground.identity, files=files
        )
        self.sender = self._make_sender(echoes)
        self.session = self._make_session()
        self.judge = self._make_judge()
        self.outbound = self._make_outbound(files, answer)
        self.deeds = self._make_deeds()
        self.windows = self._make_windows()

    def _make_media(self) -> MediaRoom:
        ground = self.ground
        return MediaRoom(
            account=ground.name,
            topics=ground.topics,
            journal=ground.journal,
            gateway=ground.gateway,
            identity=ground.identity,
            blobs=ground.house.blobs,
            rules=self.wishes.media,
            language=self.wishes.language,
            pump=self.pump,
            around=Around(
                online=lambda: self.session.login.state is LoginState.ONLINE,
                full=lambda: bool(ground.house.full()),
                logged_out=self._logged_out,
                published=self._published,
                beat=lambda limit: self._beat("media", limit),
            ),
        )

    def _make_home_assistant(self) -> HomeAssistant:
        ground = self.ground
        return HomeAssistant(
            account=ground.name,
            topics=ground.topics,
            backend=ground.gateway.capabilities.backend,
            journal=ground.journal,
            announcer=self.announcer,
            outlet=self.outlet,
            identity=ground.identity,
            exposure=self.wishes.exposure,
            news=self.news.set,
            windows=lambda: self.windows.users,
        )

    def _make_files(self) -> Files:
        house = self.ground.house
        return Files(
            blobs=house.blobs,
            discard=house.discard,
            media=self.ground.gateway.capabilities.media,
            reach=lambda: self.wishes.rules.reach,
            room=lambda: house.store_limit() - house.store_size(),
            fetcher=Fetcher(),
        )

    def _make_inbound(self, echoes: Echoes) -> Inbound:
        ground = self.ground
        return Inbound(
            account=ground.name,
            topics=ground.topics,
            journal=ground.journal,
            identity=ground.identity,
            echoes=echoes,
            filters=self.wishes.filters,
            media=self.wishes.media,
            plain=self.wishes.plain,
            stored=self._stored,
            to_fetch=self.media.stored,
            people_changed=self.people_changed,
        )

    def _make_sender(self, echoes: Echoes) -> Sender:
        ground, wishes, loop = self.ground, self.wishes, asyncio.get_running_loop()
        return Sender(
            journal=ground.journal,
            gateway=ground.gateway,
            errands=self.errands,
            echoes=echoes,
            results=self.results,
            bucket=Bucket.full(wishes.per_minute, wishes.burst, loop.time()),
            language=wishes.language,
            logged_out=self._logged_out,
            published=self._published,
            hold=lambda: self.wishes.hold,
            fallback=lambda: self.wishes.fallback,
            used=lambda: self.windows.changed(),  # noqa: PLW0108 - made later
        )

    def _make_windows(self) -> Windows:
        ground = self.ground
        return Windows(
            account=ground.name,
            topics=ground.topics,
            gateway=ground.gateway,
            identity=ground.identity,
            announcer=self.announcer,
            state=lambda: self.session.login.state,
            told=self._windows_told,
        )

    def _make_session(self) -> Session:
        ground = self.ground
        return Session(
            gateway=ground.gateway,
            journal=ground.journal,
            inbound=self.inbound,
            identity=ground.identity,
            sender=self.sender,
            expected=self.wishes.expected,
            language=self.wishes.language,
            shown=self.show,
            store_full=ground.house.full,
            beat=lambda limit: self._beat("receive", limit),
            progress=ground.house.progress,
        )

    def _make_judge(self) -> Judge:
        ground = self.ground
        return Judge(
            topics=ground.topics,
            identity=ground.identity,
            results=self.results,
            capabilities=ground.gateway.capabilities,
            rules=self.wishes.rules,
            store_full=lambda: bool(ground.house.full()),
            people_known=lambda: self.session.people_known,
        )

    def _make_outbound(self, files: Files, answer: Answer) -> Outbound:
        ground = self.ground
        return Outbound(
            topics=ground.topics,
            journal=ground.journal,
            link=ground.link,
            outlet=self.outlet,
            judge=self.judge,
            loading=Loading(self.judge, files, ground.journal),
            results=self.results,
            answer=answer,
            accepted=self.sender.add,
            published=self._published,
        )

    def _make_deeds(self) -> Deeds:
        ground = self.ground
        return Deeds(
            gateway=ground.gateway,
            journal=ground.journal,
            identity=ground.identity,
            rules=lambda: self.wishes.rules,
            directory=ground.topics.contacts,
            standing=lambda: self.session.standing,
            state=lambda: self.session.login.state,
            logged_out=self.session.logged_out,
            save=self.save_people,
        )

    # what one room tells the others

    def show(self, login: Login, url: str) -> None:
        """The login is another one; `url` is the text of the QR code that is to be scanned, else empty."""
        self.board.login(login, url, self.wishes.language)
        self.news.set()
        self.ground.house.bell.ring()
        self.media.wake()
        self.deeds.doer.changed()
        self.windows.changed()
        self.ground.house.status(self.ground.name, login, url)

    def people_changed(self) -> None:
        """Somebody has another name, trust or place now: the directory and waiting commands follow."""
        self.people.set()
        self.home_assistant.changed()
        self.sender.changed()
        self.windows.changed()

    async def save_people(self, changes: Changes) -> None:
        """Store what the owner decided, and let it show."""
        await self.inbound.people(changes)

    def _stored(self, recorded: Recorded) -> None:
        if recorded.last is not None:
            self.board.last(recorded.last)
        if recorded.messages or recorded.events:
            self._published()
            if self.windows.are_there:  # whoever writes lets us write
                self.sender.changed()
                self.windows.changed()

    def _windows_told(self) -> None:
        """WeChat takes messages where it took none, or the other way round."""
        self.board.contacts(self.windows.entries(), self.wishes.named)
        self.home_assistant.changed()
        self.sender.changed()
        self.ground.house.bell.ring()

    def _published(self) -> None:
        """Something was committed that the broker is to hear of."""
        self.pump.wake()
        self.ground.house.bell.ring()

    def _logged_out(self, gone: LoggedOut) -> None:
        self.session.logged_out(gone)

    def _beat(self, loop: str, limit: float | None) -> None:
        name = f"{loop}:{self.ground.name}"
        if limit is None:
            self.ground.house.pulse.rest(name)
        else:
            self.ground.house.pulse.beat(name, limit)
