"""One account, running: what is begun and ended in which order, and what the broker's coming and going means.

Its rooms are wired in `rooms`, what it tells of itself is in `telling`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, Rooms
from wx2mqtt.bridge.health import BrokerCounters
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.reporter import StatusReporter
from wx2mqtt.bridge.requests.account import AccountRequests
from wx2mqtt.bridge.requests.dispatcher import Handler, RequestDispatcher, SizedHandler
from wx2mqtt.bridge.requests.history import HistoryRequest
from wx2mqtt.bridge.supervisor import TaskSupervisor
from wx2mqtt.bridge.view import AccountView
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected

log = structlog.get_logger(__name__)

DRAIN_TIMEOUT_SECONDS = (
    2.0  # seconds that attempts under way get at the stop; the goodbyes after it take up to 2 more
)
OFFLINE_PUBLISH_TIMEOUT_SECONDS = 1.0  # seconds for the last retained words
FAILED_STOP_TIMEOUT_SECONDS = 6.0  # seconds for the same after a fault, which may have hit what says goodbye
TASK_CANCEL_TIMEOUT_SECONDS = (
    15.0  # seconds until loops that were cancelled are gone; then it is the watchdog's turn
)


class AccountFailed(Exception):
    """A fault of ours has ended the account; the log has it."""


class Account:
    """Runs one account. It is the `BrokerListener` of its link."""

    def __init__(self, ctx: AccountContext, settings: AccountSettings) -> None:
        self.name = ctx.name
        self.topics = ctx.topics
        self.backend = ctx.backend
        self.journal = ctx.journal
        self.registry = ctx.registry
        self.counters = BrokerCounters(started=now_ms())
        self.connect_attempted = asyncio.Event()  # the first attempt to reach the broker is over
        self._ctx = ctx
        self._session_task: asyncio.Task[None] | None = None
        self._media_task: asyncio.Task[None] | None = None
        self._stopping = False
        self.rooms = Rooms(
            ctx,
            settings,
            dropped=self._on_topic_dropped,
            answer=lambda *asked: self._requests.dispatch(*asked),  # noqa: PLW0108 - made below
        )
        self._reporter = StatusReporter(self.rooms, self.counters)
        self.view = self._view()
        self._requests = RequestDispatcher(
            self.topics,
            self.journal,
            self._request_handlers(),
            rules=lambda: self.rooms.settings.send,
            payload_limit=self.rooms.inflight.payload_limit,
            clear=self.rooms.intake.clear_retained,
        )
        self._publish_initial_state()
        ctx.shared.watchdog.watch(f"broker:{ctx.name}", lambda: ctx.broker.progress_deadline)

    def _view(self) -> AccountView:
        ground, rooms = self._ctx, self.rooms
        return AccountView(
            account=self.name,
            topics=self.topics,
            session=rooms.session,
            status_topics=rooms.status,
            inbound=rooms.inbound,
            registry=self.registry,
            directory=rooms.windows.directory_entries,
            journal=self.journal,
            intake=rooms.intake,
            history=HistoryRequest(self.journal, self.registry, self.topics.contacts),
            calls=ground.calls,
            contacts=self.backend.capabilities.has_contacts,
            snapshot=self._reporter.snapshot,
        )

    def _request_handlers(self) -> dict[str, Handler]:
        """What can be asked of the account, by the name of the request."""
        rooms, house = self.rooms, self._ctx.shared
        asked = AccountRequests(
            account=self.name,
            session=rooms.session,
            registry=self.registry,
            directory=rooms.windows.directory_entries,
            save=rooms.save_people,
            health=self.health,
            history=HistoryRequest(self.journal, self.registry, self.topics.contacts),
        )
        return {
            **asked.handlers(),
            **rooms.actions.handlers(),
            "media": SizedHandler(rooms.media.request.answer),
            "log_level": house.log_level,
            "reload": house.reload,
        }

    def _publish_initial_state(self) -> None:
        """What stands before anything has happened; `last` and the people are those of before."""
        opened, rooms = self._ctx.saved_state, self.rooms
        known = self.registry.is_current_login(opened.login_id)
        rooms.session.restore(opened.cursor, opened.login_id, people_known=known)
        rooms.status.show_state(b"online")
        rooms.show_login(rooms.session.login, "")
        if opened.last_payload is not None:
            rooms.status.show_last(opened.last_payload)
        rooms.directory_changed.set()

    async def run(self) -> None:
        """Bridge until cancelled. A fault of ours in one room ends all of them, in order: raises
        `AccountFailed`.
        """
        rooms = self.rooms
        crew = TaskSupervisor(self._overdue_loops)
        try:
            for work in (
                rooms.publisher,
                rooms.intake,
                rooms.sender,
                rooms.home_assistant,
                rooms.windows,
                self._reporter,
            ):
                crew.start(work.run())
            crew.start(self._ctx.broker.run(self))
            self._media_task = crew.start(rooms.media.run())
            self._session_task = crew.start(self._run_session())
            fault = await crew.wait_for_fault()
            await self._give_up(fault)
        finally:
            await crew.cancel_all()
        raise AccountFailed from fault

    def _overdue_loops(self) -> tuple[str, ...]:
        """Loops that another beginning may move. A store that does not move is nobody's own."""
        stuck = self._ctx.shared.watchdog.overdue(self.name)
        return tuple(loop for loop in stuck if not loop.startswith("store:"))

    async def _give_up(self, fault: BaseException) -> None:
        """Stop as far as the fault lets us, and say why. Others must not hear of it but here."""
        log.error("account failed", account=self.name, exc_info=fault)
        self.connect_attempted.set()
        self.counters.failed = True
        self.counters.faults += 1
        pulse = self._ctx.shared.watchdog
        pulse.remove(self.name)
        pulse.heartbeat(f"end:{self.name}", TASK_CANCEL_TIMEOUT_SECONDS)
        if self._stopping:  # on its way already, and to be cancelled at the end of it
            await asyncio.Event().wait()
        try:
            async with asyncio.timeout(FAILED_STOP_TIMEOUT_SECONDS):
                await self.stop("account_failed")
        except Exception as error:  # noqa: BLE001 - what is at fault may not stop in order either
            log.warning("account did not stop in order", account=self.name, error=type(error).__name__)
        pulse.remove(self.name)
        pulse.heartbeat(f"end:{self.name}", TASK_CANCEL_TIMEOUT_SECONDS)

    async def _run_session(self) -> None:
        with suppress(asyncio.CancelledError):  # the stop ends this one first, the others after it
            await self.rooms.session.run()

    async def stop(self, reason_key: str = "stopped") -> None:
        """Stop in order: hear no more, end what is under way, say goodbye, and `why`. Takes about 3 s."""
        if self._stopping:
            return
        self._stopping = True
        rooms = self.rooms
        rooms.actions.runner.stop()
        hearing = {task for task in (self._session_task, self._media_task) if task is not None}
        for task in hearing:
            task.cancel()
        if hearing:
            await asyncio.wait(hearing)
        await asyncio.gather(
            rooms.sender.drain(DRAIN_TIMEOUT_SECONDS), rooms.actions.runner.drain(DRAIN_TIMEOUT_SECONDS)
        )
        rooms.session.stop(reason_key)
        rooms.status.show_state(b"offline")
        await self._publish_final_health()
        await rooms.retained.wait_until_settled(OFFLINE_PUBLISH_TIMEOUT_SECONDS)
        with suppress(StoreError):  # then what was acknowledged last comes again, with its old id and seq
            await rooms.publisher.finish(OFFLINE_PUBLISH_TIMEOUT_SECONDS)
        await self._reporter.flush_people_copy()

    async def _publish_final_health(self) -> None:
        """Why it went, for whoever looks later; an orderly end needs no such word."""
        if self.counters.failed:
            with suppress(StoreError):
                self.rooms.status.show_health(await self.health())

    async def close(self) -> None:
        """Let go of the connections to WeChat."""
        await self.backend.close()

    # what the broker does

    async def on_session_start(self) -> None:
        """See `BrokerListener`."""
        self.rooms.intake.start_session()
        await self.rooms.intake.store_session()

    def on_connected(self, connection: Connected) -> None:
        """See `BrokerListener`. What was kept by the broker and what was not is known from here on."""
        counters, rooms, session = self.counters, self.rooms, self._ctx.saved_state.broker_session
        lost = not connection.session_present and bool(session or counters.connects)
        self.connect_attempted.set()
        counters.connects += 1
        counters.standby, counters.broker_reason = False, ""
        if lost:
            counters.sessions_lost += 1
            self._reporter.publish_event("session_lost", {"broker": connection.url})
        rooms.intake.on_connected(connection, session)
        self._reporter.publish_info(connection)
        rooms.home_assistant.on_connected(connection)
        rooms.status.on_connected(connection)
        rooms.publisher.on_connected()
        rooms.directory_changed.set()
        rooms.health_changed.set()

    def on_disconnected(self, disconnect: Disconnected) -> None:
        """See `BrokerListener`."""
        counters, rooms = self.counters, self.rooms
        self.connect_attempted.set()
        counters.disconnects += disconnect.code == "lost"
        counters.broker_reason, counters.standby = disconnect.reason, disconnect.standby
        rooms.retained.on_disconnected()
        rooms.publisher.on_disconnected()
        rooms.health_changed.set()

    def on_delivery(self, delivery: Delivery) -> None:
        """See `BrokerListener`."""
        self.rooms.home_assistant.on_delivery(delivery)
        self.rooms.intake.on_delivery(delivery)

    def _on_topic_dropped(self, topic: str, count: int) -> None:
        reason = "refused by the broker for 7 days"
        self._reporter.publish_event("dropped", {"topic": topic, "count": count, "reason": reason})

    # what others ask for

    async def health(self) -> dict[str, Json]:
        """The body of `bridge/health` as of now. Raises `StoreError`."""
        return await self._reporter.health()

    @property
    def login(self) -> LoginStatus:
        """The login as it stands."""
        return self.rooms.session.login

    def run_login_operation(self, operation: str, verification_code: str) -> Json:
        """`login` wants a QR code, `login.code` brings the number that the phone shows; how it stands."""
        if operation == "login":
            self.rooms.session.request_login()
        elif operation == "login.code":
            self.rooms.session.enter_verification_code(verification_code)
        return self.login_details()

    def login_details(self) -> Json:
        """The login as `login/state` says it, the text of its QR code and where that is as a picture."""
        body = self.login.body(self.name)
        return {**body, "url": self.rooms.status.qr_url, "qr_topic": self.topics.login_qr}

    @property
    def media_library(self) -> MediaLibrary:
        """Where the bytes of messages are found."""
        return self.rooms.media.library

    @property
    def broker_connected(self) -> bool:
        """Whether the broker is there."""
        return self._ctx.broker.connection is not None

    async def apply_settings(self, settings: AccountSettings) -> None:
        """Take over what the owner changed."""
        rooms = self.rooms
        rooms.settings = settings
        rooms.validator.rules, rooms.inbound.receive_filter = settings.send, settings.receive
        rooms.inbound.media_rules, rooms.inbound.publish_plain_text = (
            settings.media,
            settings.publish_plain_text,
        )
        rooms.media.apply_settings(settings.media, settings.language)
        rooms.home_assistant.apply_settings(settings.home_assistant)
        rooms.sender.language = rooms.session.language = settings.language
        now = asyncio.get_running_loop().time()
        conditions = rooms.sender.conditions
        conditions.bucket = conditions.bucket.resized(settings.per_minute, settings.burst, now)
        await rooms.inbound.apply_people(self.registry.set_pins(settings.pins, now_ms()))
        rooms.people_changed()
        if (connection := self._ctx.broker.connection) is not None:
            self._reporter.publish_info(connection)
