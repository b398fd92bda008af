"""One WeChat account: builds its components, connects their signals, and starts and stops them in order.

Start reading here. The components do the work; this module holds only what concerns several of them:

- the way in: `session` receives, `inbound` stores, `publisher` publishes (and `media` fetches the files),
- the way out: `intake` accepts commands from the broker and stores them, `sender` sends them to WeChat and
  stores their results, `publisher` publishes those,
- beside both: `status`, `reporter`, `windows` and `home_assistant` keep retained topics up to date.

Life of an account: created, `run` until it is cancelled or a component fails, `stop`, `close`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.attachment_intake import AttachmentIntake
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.bridge.health import BrokerCounters, HealthSnapshot
from wx2mqtt.bridge.homeassistant import HomeAssistantDiscovery
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.media.service import MediaService
from wx2mqtt.bridge.owner import AccountOwner
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.reply_window import ReplyWindowTopics
from wx2mqtt.bridge.reporter import StatusReporter
from wx2mqtt.bridge.requests.actions import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import Handler, RequestDispatcher, SizedHandler
from wx2mqtt.bridge.requests.handlers import AccountRequests
from wx2mqtt.bridge.retained import RetainedCommands, RetainedPublisher
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.bridge.status_topics import StatusTopics
from wx2mqtt.bridge.supervisor import TaskSupervisor
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.external.url_fetch import UrlFetcher
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected

log = structlog.get_logger(__name__)

# A stop waits this long for sends and requests that have begun.
DRAIN_TIMEOUT_SECONDS = 2.0

# A stop waits this long for the PUBACKs of the retained topics, and as long again for those of messages.
OFFLINE_PUBLISH_TIMEOUT_SECONDS = 1.0

# The whole stop after an internal error may take this long: the error may have hit a component that stops.
FAILED_STOP_TIMEOUT_SECONDS = 6.0

# Cancelled tasks must have ended by then, or the watchdog reports the account as stuck.
TASK_CANCEL_TIMEOUT_SECONDS = 15.0


class AccountFailed(Exception):
    """An internal error has ended the account; it is logged already."""


class Account:
    """Runs one account.

    It is the `BrokerListener` of the account's connection to the broker, and the `SnapshotSource` of its
    health. `connect_attempted` is set after the first attempt to reach the broker, successful or not.
    """

    def __init__(self, ctx: AccountContext) -> None:
        self.ctx = ctx
        self.name = ctx.name
        self.topics = ctx.topics
        self.backend = ctx.backend
        self.journal = ctx.journal
        self.registry = ctx.registry
        self.counters = BrokerCounters(started=now_ms())
        self.connect_attempted = asyncio.Event()
        self._receiving_tasks: list[asyncio.Task[None]] = []  # a stop cancels them before all others
        self._stopping = False

        # Each component is created after those whose methods it calls.
        inflight = InflightWindow(ctx.broker)
        self.retained = RetainedPublisher(inflight, ctx.topics.state)
        self.publisher = Publisher(ctx, inflight)
        self.status = StatusTopics(ctx, self.retained, inflight)

        # The sender of commands: a login of another owner ends those that wait.
        echoes = EchoFilter()
        attachments = Attachments(ctx, UrlFetcher())
        self.results = ResultPublications(ctx.name, ctx.topics)
        self.resolver = CommandResolver(ctx, attachments)
        self.sender = CommandSender(ctx, self.resolver, echoes, self.results)
        self.owner = AccountOwner(ctx, self.sender)

        # WeChat to MQTT
        self.inbound = InboundMessages(ctx, echoes)
        self.session = LoginSession(ctx, self.inbound, self.owner)
        self.media = MediaService(ctx, self.publisher)
        self.windows = ReplyWindowTopics(ctx, self.retained, self.session)
        self.home_assistant = HomeAssistantDiscovery(ctx, self.retained, inflight, self.windows)
        self.reporter = StatusReporter(ctx, self.counters, self.status, self.windows, self)

        self._build_command_components(inflight, attachments)
        self._connect_signals()
        self._set_backend_language()
        self._publish_initial_state()
        ctx.shared.watchdog.watch(f"broker:{ctx.name}", lambda: ctx.broker.progress_deadline)

    def _build_command_components(self, inflight: InflightWindow, attachments: Attachments) -> None:
        """Creates what brings commands and requests from MQTT to WeChat."""
        ctx = self.ctx
        recipients = Recipients(ctx)
        self.validator = CommandValidator(ctx, self.session, recipients, self.results)
        self.actions = ActionRequests(ctx, self.session, recipients, self.inbound)
        retained_commands = RetainedCommands(inflight)
        requests = RequestDispatcher(ctx, inflight, retained_commands)
        requests.register(self.request_handlers())
        self.intake = CommandIntake(
            ctx,
            validator=self.validator,
            attachment_intake=AttachmentIntake(self.validator, attachments, ctx.journal),
            retained_commands=retained_commands,
            sender=self.sender,
            requests=requests,
            results=self.results,
        )

    def _connect_signals(self) -> None:
        """Connects the receivers of all signals; each signal calls its receivers in this order."""
        on = self.ctx.signals
        shared = self.ctx.shared
        on.login_changed.connect(self.status.show_login)
        on.login_changed.connect_plain(self.reporter.request_health, shared.changes.notify)
        on.login_changed.connect(self.media.on_login_changed)
        on.login_changed.connect_plain(self.actions.runner.wake, self.windows.refresh)
        on.login_changed.connect(self._report_login)
        on.online_changed.connect(self.sender.set_online)
        on.logged_out.connect(self.session.handle_logged_out)
        on.contacts_synced.connect(self.sender.recheck)
        on.media_expected.connect(self.media.expect)
        on.media_received.connect(self.media.enqueue)
        self.ctx.marks.progressed.connect(self.session.on_message_processed)
        on.received.connect(self.status.show_received)
        if self.windows.supported:  # a received message opens the reply window of its sender
            on.received.connect_plain(self.sender.recheck, self.windows.refresh)
        on.outbox_changed.connect(self.publisher.add)
        on.outbox_changed.connect_plain(shared.changes.notify)
        on.people_changed.connect(
            self.reporter.request_directory,
            self.home_assistant.refresh,
            self.sender.recheck,
            self.windows.refresh,
        )
        on.reply_windows_changed.connect(
            self.reporter.show_directory,
            self.home_assistant.refresh,
            self.sender.recheck,
            shared.changes.notify,
        )
        on.send_attempted.connect(self.windows.refresh)
        on.topic_dropped.connect(self.reporter.publish_dropped)
        on.other_account_refused.connect(self.reporter.publish_other_account)
        on.health_changed.connect(self.reporter.request_health)
        on.settings_changed.connect(
            self._set_backend_language,
            self.media.wake,
            self.sender.resize_rate_limit,
            self.reporter.publish_info,
        )

    def request_handlers(self) -> dict[str, Handler]:
        """Returns the handler of each request, by the name of the request."""
        requests = AccountRequests(self.ctx, self.session, self.inbound, self.windows, self.reporter)
        return {
            **requests.handlers(),
            **self.actions.handlers(),
            "media": SizedHandler(self.media.request.answer),
            **self.ctx.shared.process_requests,
        }

    def _report_login(self, login: LoginStatus, url: str) -> None:
        self.ctx.shared.login_reported.emit(self.name, login, url)

    def _set_backend_language(self) -> None:
        self.backend.set_language(self.ctx.language)

    def _publish_initial_state(self) -> None:
        """Publishes the state before the login: `last` and `contacts` as the previous run stored them."""
        saved = self.ctx.saved_state
        contacts_known = self.registry.is_current_login(saved.login_id)
        self.session.restore(saved.cursor, saved.login_id, contacts_known=contacts_known)
        self.status.show_state(b"online")
        self.ctx.signals.login_changed.emit(self.session.login, "")
        if saved.last_payload is not None:
            self.status.show_last(saved.last_payload)
        self.reporter.request_directory()

    async def run(self) -> None:
        """Runs all components until cancelled.

        Raises `AccountFailed` after an internal error in one component, when all have been stopped in order.
        """
        tasks = TaskSupervisor(self.ctx.shared.watchdog, self.name)
        try:
            for component in (
                self.publisher,
                self.intake,
                self.sender,
                self.home_assistant,
                self.windows,
                self.reporter,
            ):
                tasks.start(component.run())
            tasks.start(self.ctx.broker.run(self))
            self._receiving_tasks = [tasks.start(self.media.run()), tasks.start(self._run_session())]
            fault = await tasks.wait_for_fault()
            await self._give_up(fault)
        finally:
            await tasks.cancel_all()
        raise AccountFailed from fault

    async def _give_up(self, fault: BaseException) -> None:
        """Logs the error and stops in order, as far as that still works."""
        log.error("account failed", account=self.name, exc_info=fault)
        self.connect_attempted.set()
        self.counters.failed = True
        self.counters.faults += 1
        self._watch_end()
        if self._stopping:  # `stop` is running elsewhere; its caller cancels this task afterwards
            await _wait_for_cancellation()
        try:
            async with asyncio.timeout(FAILED_STOP_TIMEOUT_SECONDS):
                await self.stop("account_failed")
        except Exception as error:  # noqa: BLE001 - the failed component may fail to stop as well
            log.warning("account did not stop in order", account=self.name, error=type(error).__name__)
        self._watch_end()

    def _watch_end(self) -> None:
        """Lets the watchdog expect the next step of the end in time, and nothing of the loops any more."""
        watchdog = self.ctx.shared.watchdog
        watchdog.remove(self.name)
        watchdog.heartbeat(f"end:{self.name}", TASK_CANCEL_TIMEOUT_SECONDS)

    async def _run_session(self) -> None:
        with suppress(asyncio.CancelledError):  # `stop` cancels this task before all others
            await self.session.run()

    async def stop(self, reason_key: str = "stopped") -> None:
        """Stops in order; takes about 3 s. `reason_key` names the text of the reason in `login/state`.

        Receiving ends first. Sends and requests that have begun are then completed, the retained topics say
        `offline`, and the last PUBACKs are awaited and stored.
        """
        if self._stopping:
            return
        self._stopping = True
        self.actions.runner.stop()
        await self._stop_receiving()
        await asyncio.gather(
            self.sender.drain(DRAIN_TIMEOUT_SECONDS), self.actions.runner.drain(DRAIN_TIMEOUT_SECONDS)
        )
        self.session.stop(reason_key)
        self.status.show_state(b"offline")
        await self._publish_final_health()
        await self.retained.wait_until_settled(OFFLINE_PUBLISH_TIMEOUT_SECONDS)
        with suppress(StoreError):  # the next start repeats these messages then, with the same id and seq
            await self.publisher.finish(OFFLINE_PUBLISH_TIMEOUT_SECONDS)
        await self.reporter.flush_people_copy()

    async def _stop_receiving(self) -> None:
        for task in self._receiving_tasks:
            task.cancel()
        if self._receiving_tasks:
            await asyncio.wait(self._receiving_tasks)

    async def _publish_final_health(self) -> None:
        """Publishes that the account failed; after an orderly stop the last health stays as it is."""
        if self.counters.failed:
            with suppress(StoreError):
                self.status.show_health(await self.health())

    async def close(self) -> None:
        """Closes the connections to WeChat."""
        await self.backend.close()

    # The broker's callbacks (`BrokerListener`)

    async def on_session_start(self) -> None:
        self.intake.start_session()
        await self.intake.store_session()

    def on_connected(self, connection: Connected) -> None:
        saved_session = self.ctx.saved_state.broker_session
        had_session = bool(saved_session or self.counters.connects)
        self.connect_attempted.set()
        self.counters.record_connect()
        if had_session and not connection.session_present:
            self.counters.sessions_lost += 1
            self.reporter.publish_event("session_lost", {"broker": connection.url})
        self.intake.on_connected(connection, saved_session)
        self.reporter.publish_info()
        self.home_assistant.on_connected(connection)
        self.status.on_connected(connection)
        self.publisher.on_connected()
        self.reporter.request_directory()
        self.reporter.request_health()

    def on_disconnected(self, disconnect: Disconnected) -> None:
        self.connect_attempted.set()
        self.counters.record_disconnect(disconnect)
        self.retained.on_disconnected()
        self.publisher.on_disconnected()
        self.reporter.request_health()

    def on_delivery(self, delivery: Delivery) -> None:
        """Hands over a delivery; the intake acknowledges every one, in order."""
        self.intake.on_delivery(delivery)
        if delivery.topic == self.home_assistant.birth_topic:
            self.home_assistant.on_birth(delivery.payload)

    # Called by the process, the web page and the control socket

    async def health(self) -> dict[str, Json]:
        """Returns the body of `bridge/health` as of now. Raises `StoreError`."""
        return await self.reporter.health()

    async def snapshot(self) -> HealthSnapshot:
        """Returns all facts about the account's health as of now. Raises `StoreError`."""
        shared = self.ctx.shared
        connection = self.ctx.broker.connection
        stats = await self.journal.stats()
        return HealthSnapshot(
            now=now_ms(),
            login=self.session.login,
            last_answer=self.session.last_answer,
            stats=stats,
            counters=self.counters,
            received=self.inbound.counts,
            published=self.publisher.published_count,
            results=self.sender.result_counts + self.intake.refused_counts,
            commands=self.intake.command_count,
            throttled=round(self.sender.throttled_seconds, 1),
            refused=(
                *self.retained.refused_topics,
                *self.publisher.refused_topics,
                *(connection.refused_filters if connection else ()),
            ),
            broker="" if connection is None else connection.protocol,
            store_size=shared.quota.size,
            store_limit=shared.quota.limit,
            stuck=shared.watchdog.overdue(self.name),
            unresolved=self.registry.closed_count,
            discovery_cut=self.home_assistant.is_truncated,
            kinds=self._message_counts(),
            media=self.media.counts_by_state,
            media_bytes=self.media.fetched_bytes,
            media_stored=self.media.stored_bytes,
            muted=self.sender.is_muted,
            held=self.sender.held_count,
            extra={
                "media": self.media.health_fields(stats.pending_media),
                **self.home_assistant.health_fields(),
            },
        )

    def _message_counts(self) -> dict[tuple[str, str], int]:
        """Returns how many messages were stored (`in`) and sent (`out`), by direction and kind."""
        counts_by_direction = {"in": self.inbound.counts_by_kind, "out": self.sender.sent_counts}
        return {
            (direction, kind): count
            for direction, counts in counts_by_direction.items()
            for kind, count in counts.items()
        }

    @property
    def login(self) -> LoginStatus:
        """The state of the login."""
        return self.session.login

    def run_login_operation(self, operation: str, verification_code: str, *, new_owner: bool) -> Json:
        """Carries out an operation of the control socket and returns `login_details()`.

        `login` requests a QR code, with `new_owner` for another account; `login.code` passes on the number
        that the phone shows; any other operation only reads.
        """
        if operation == "login":
            self.session.request_login(new_owner=new_owner)
        elif operation == "login.code":
            self.session.enter_verification_code(verification_code)
        return self.login_details()

    def login_details(self) -> Json:
        """Returns the body of `login/state` with the text of the QR code and the topic of its picture."""
        body = self.login.body(self.name)
        return {**body, "url": self.status.qr_url, "qr_topic": self.topics.login_qr}

    @property
    def media_library(self) -> MediaLibrary:
        """Gives access to the stored bytes of messages."""
        return self.media.library

    @property
    def broker_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self.ctx.broker.connection is not None

    async def apply_settings(self, settings: AccountSettings) -> None:
        """Replaces the settings of the running account, and lets the components follow."""
        self.ctx.settings = settings
        await self.inbound.apply_people(self.registry.set_pins(settings.pins, now_ms()))
        self.ctx.signals.settings_changed.emit()
        self.ctx.signals.people_changed.emit()  # the settings name people, and say who is exposed


async def _wait_for_cancellation() -> None:
    await asyncio.Event().wait()  # nobody sets it
