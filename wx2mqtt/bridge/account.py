"""One account, running: what is begun and ended in which order, and what the broker's coming and going means.

Its rooms are wired in `rooms`, what it tells of itself is in `telling`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from wx2mqtt.bridge.asked import Asked
from wx2mqtt.bridge.crew import Crew
from wx2mqtt.bridge.health import Counters
from wx2mqtt.bridge.history import History
from wx2mqtt.bridge.media.shelf import Shelf
from wx2mqtt.bridge.requests import Filling, Requests, Work
from wx2mqtt.bridge.rooms import Ground, Rooms
from wx2mqtt.bridge.state import Login
from wx2mqtt.bridge.telling import Telling
from wx2mqtt.bridge.view import View
from wx2mqtt.bridge.wishes import Wishes
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.link import Connected, Delivery, Disconnected

log = structlog.get_logger(__name__)

DRAIN = 2.0  # seconds that attempts under way get at the stop; the goodbyes after it take up to 2 more
GOODBYE = 1.0  # seconds for the last retained words
GIVE_UP = 6.0  # seconds for the same after a fault, which may have hit what says goodbye
END = 15.0  # seconds until loops that were cancelled are gone; then it is the watchdog's turn


class Failed(Exception):
    """A fault of ours has ended the account; the log has it."""


class Account:
    """Runs one account. It is the `Listener` of its link."""

    def __init__(self, ground: Ground, wishes: Wishes) -> None:
        self.name = ground.name
        self.topics = ground.topics
        self.gateway = ground.gateway
        self.journal = ground.journal
        self.identity = ground.identity
        self.counters = Counters(started=now_ms())
        self.tried = asyncio.Event()  # the first attempt to reach the broker is over
        self._ground = ground
        self._talking: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._stopping = False
        self.rooms = Rooms(
            ground,
            wishes,
            dropped=self._topic_dropped,
            answer=lambda *asked: self._requests.answer(*asked),  # noqa: PLW0108 - made below
        )
        self._telling = Telling(self.rooms, self.counters)
        self.view = self._view()
        self._requests = Requests(
            self.topics,
            self.journal,
            self._works(),
            rules=lambda: self.rooms.wishes.rules,
            payload_limit=self.rooms.outlet.payload_limit,
            clear=self.rooms.outbound.clear,
        )
        self._first_words()
        ground.house.pulse.watch(f"broker:{ground.name}", lambda: ground.link.moves_by)

    def _view(self) -> View:
        ground, rooms = self._ground, self.rooms
        return View(
            account=self.name,
            topics=self.topics,
            session=rooms.session,
            board=rooms.board,
            inbound=rooms.inbound,
            identity=self.identity,
            directory=rooms.windows.entries,
            journal=self.journal,
            outbound=rooms.outbound,
            history=History(self.journal, self.identity, self.topics.contacts),
            calls=ground.calls,
            contacts=self.gateway.capabilities.contacts,
            seen=self._telling.seen,
        )

    def _works(self) -> dict[str, Work]:
        """What can be asked of the account, by the name of the request."""
        rooms, house = self.rooms, self._ground.house
        asked = Asked(
            account=self.name,
            session=rooms.session,
            identity=self.identity,
            directory=rooms.windows.entries,
            save=rooms.save_people,
            health=self.health,
            history=History(self.journal, self.identity, self.topics.contacts),
        )
        return {
            **asked.handlers(),
            **rooms.deeds.works(),
            "media": Filling(rooms.media.request.answer),
            "log_level": house.log_level,
            "reload": house.reload,
        }

    def _first_words(self) -> None:
        """What stands before anything has happened; `last` and the people are those of before."""
        opened, rooms = self._ground.opened, self.rooms
        known = self.identity.knows(opened.login_id)
        rooms.session.opened(opened.cursor, opened.login_id, people_known=known)
        rooms.board.state(b"online")
        rooms.show(rooms.session.login, "")
        if opened.last is not None:
            rooms.board.last(opened.last)
        rooms.people.set()

    async def run(self) -> None:
        """Bridge until cancelled. A fault of ours in one room ends all of them, in order: raises `Failed`."""
        rooms = self.rooms
        crew = Crew(self._stuck)
        try:
            for work in (
                rooms.pump,
                rooms.outbound,
                rooms.sender,
                rooms.home_assistant,
                rooms.windows,
                self._telling,
            ):
                crew.begin(work.run())
            crew.begin(self._ground.link.run(self))
            self._fetching = crew.begin(rooms.media.run())
            self._talking = crew.begin(self._talk())
            fault = await crew.fault()
            await self._give_up(fault)
        finally:
            await crew.end()
        raise Failed from fault

    def _stuck(self) -> tuple[str, ...]:
        """Loops that another beginning may move. A store that does not move is nobody's own."""
        stuck = self._ground.house.pulse.stuck(self.name)
        return tuple(loop for loop in stuck if not loop.startswith("store:"))

    async def _give_up(self, fault: BaseException) -> None:
        """Stop as far as the fault lets us, and say why. Others must not hear of it but here."""
        log.error("account failed", account=self.name, exc_info=fault)
        self.tried.set()
        self.counters.failed = True
        self.counters.faults += 1
        pulse = self._ground.house.pulse
        pulse.forget(self.name)
        pulse.beat(f"end:{self.name}", END)
        if self._stopping:  # on its way already, and to be cancelled at the end of it
            await asyncio.Event().wait()
        try:
            async with asyncio.timeout(GIVE_UP):
                await self.stop("account_failed")
        except Exception as error:  # noqa: BLE001 - what is at fault may not stop in order either
            log.warning("account did not stop in order", account=self.name, error=type(error).__name__)
        pulse.forget(self.name)
        pulse.beat(f"end:{self.name}", END)

    async def _talk(self) -> None:
        with suppress(asyncio.CancelledError):  # the stop ends this one first, the others after it
            await self.rooms.session.run()

    async def stop(self, why: str = "stopped") -> None:
        """Stop in order: hear no more, end what is under way, say goodbye, and `why`. Takes about 3 s."""
        if self._stopping:
            return
        self._stopping = True
        rooms = self.rooms
        rooms.deeds.doer.stop()
        hearing = {task for task in (self._talking, self._fetching) if task is not None}
        for task in hearing:
            task.cancel()
        if hearing:
            await asyncio.wait(hearing)
        await asyncio.gather(rooms.sender.drain(DRAIN), rooms.deeds.doer.drain(DRAIN))
        rooms.session.stop(why)
        rooms.board.state(b"offline")
        await self._last_health()
        await rooms.announcer.all_said(GOODBYE)
        with suppress(StoreError):  # then what was acknowledged last comes again, with its old id and seq
            await rooms.pump.finish(GOODBYE)
        await self._telling.finish()

    async def _last_health(self) -> None:
        """Why it went, for whoever looks later; an orderly end needs no such word."""
        if self.counters.failed:
            with suppress(StoreError):
                self.rooms.board.health(await self.health())

    async def close(self) -> None:
        """Let go of the connections to WeChat."""
        await self.gateway.close()

    # what the broker does

    async def session_begins(self) -> None:
        """See `Listener`."""
        self.rooms.outbound.begin_session()
        await self.rooms.outbound.keep_session()

    def connected(self, connection: Connected) -> None:
        """See `Listener`. What was kept by the broker and what was not is known from here on."""
        counters, rooms, session = self.counters, self.rooms, self._ground.opened.session
        lost = not connection.session_present and bool(session or counters.connects)
        self.tried.set()
        counters.connects += 1
        counters.standby, counters.broker_reason = False, ""
        if lost:
            counters.sessions_lost += 1
            self._telling.event("session_lost", {"broker": connection.url})
        rooms.outbound.connected(connection, session)
        self._telling.info(connection)
        rooms.home_assistant.connected(connection)
        rooms.board.connected(connection)
        rooms.pump.connected()
        rooms.people.set()
        rooms.news.set()

    def disconnected(self, gone: Disconnected) -> None:
        """See `Listener`."""
        counters, rooms = self.counters, self.rooms
        self.tried.set()
        counters.disconnects += gone.code == "lost"
        counters.broker_reason, counters.standby = gone.reason, gone.standby
        rooms.announcer.disconnected()
        rooms.pump.disconnected()
        rooms.news.set()

    def delivered(self, delivery: Delivery) -> None:
        """See `Listener`."""
        self.rooms.home_assistant.delivered(delivery)
        self.rooms.outbound.delivered(delivery)

    def _topic_dropped(self, topic: str, count: int) -> None:
        reason = "refused by the broker for 7 days"
        self._telling.event("dropped", {"topic": topic, "count": count, "reason": reason})

    # what others ask for

    async def health(self) -> dict[str, Json]:
        """The body of `bridge/health` as of now. Raises `StoreError`."""
        return await self._telling.health()

    @property
    def login(self) -> Login:
        """The login as it stands."""
        return self.rooms.session.login

    def asked_about_login(self, what: str, code: str) -> Json:
        """`login` wants a QR code, `login.code` brings the number that the phone shows; how it stands."""
        if what == "login":
            self.rooms.session.ask()
        elif what == "login.code":
            self.rooms.session.give_code(code)
        return self.login_shown()

    def login_shown(self) -> Json:
        """The login as `login/state` says it, the text of its QR code and where that is as a picture."""
        body = self.login.body(self.name)
        return {**body, "url": self.rooms.board.url, "qr_topic": self.topics.login_qr}

    @property
    def shelf(self) -> Shelf:
        """Where the bytes of messages are found."""
        return self.rooms.media.shelf

    @property
    def broker_connected(self) -> bool:
        """Whether the broker is there."""
        return self._ground.link.current is not None

    async def apply(self, wishes: Wishes) -> None:
        """Take over what the owner changed."""
        rooms = self.rooms
        rooms.wishes = wishes
        rooms.judge.rules, rooms.inbound.filters = wishes.rules, wishes.filters
        rooms.inbound.media, rooms.inbound.plain = wishes.media, wishes.plain
        rooms.media.apply(wishes.media, wishes.language)
        rooms.home_assistant.apply(wishes.exposure)
        rooms.sender.language = rooms.session.language = wishes.language
        now = asyncio.get_running_loop().time()
        conditions = rooms.sender.conditions
        conditions.bucket = conditions.bucket.resized(wishes.per_minute, wishes.burst, now)
        await rooms.inbound.people(self.identity.set_pins(wishes.pins, now_ms()))
        rooms.people_changed()
        if (connection := self._ground.link.current) is not None:
            self._telling.info(connection)
