"""One WeChat account: runs its components, hands them what the broker delivers, and stops them in order.

Start reading here, then open `account_components.py`: it creates the components and shows how they work
together.

Life of an account: created, `restore`, `run`, `close`. `run` never returns; it ends in one of three ways:

- The process stops the account: it calls `stop`, and cancels `run` afterwards.
- Another process may run the account already: this one calls `abort`, and cancels `run` afterwards.
- A component fails: `run` calls `stop` itself, and raises `AccountFailed` afterwards.

`AccountTasks`, below, finds that a component has failed. A task raises its errors by itself, but a loop that
hangs says nothing: each loop has a deadline (`context.py`, `Watchdog`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import NoReturn

import structlog

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.bridge.account_components import AccountComponents
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, Watchdog
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected
from wx2mqtt.mqtt.reconnect import EndReason

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
    """Runs one account; it is the `BrokerListener` of the account's connection to the broker."""

    def __init__(self, ctx: AccountContext) -> None:
        self.ctx = ctx
        self.name = ctx.name
        self.components = AccountComponents(ctx)
        #: Returns the body of `bridge/health` as of now. Raises `StoreError`.
        self.health = self.components.reporter.health
        #: Finds the stored files of messages.
        self.media_library = self.components.media.library
        self.counters = ctx.counters
        #: Set after the first attempt to reach the broker, successful or not.
        self.connect_attempted = asyncio.Event()
        #: The tasks that get messages and files from WeChat: a stop ends them first.
        self._receiving_tasks: list[asyncio.Task[None]] = []
        #: Whether `stop` or `abort` was called.
        self._stop_begun = False
        ctx.backend.set_language(ctx.language)

    # Life, in the order in which the methods are called

    def restore(self) -> None:
        """Continues from what the previous run stored, and publishes the state before the login."""
        components, saved = self.components, self.ctx.saved_state
        contacts_known = self.ctx.registry.is_current_login(saved.login_id)
        components.session.restore(saved.cursor, saved.login_id, contacts_known=contacts_known)
        components.status.show_state(b"online")
        self.ctx.signals.login_changed.emit(self.login)
        if saved.last_payload is not None:
            components.status.show_last(saved.last_payload)
        components.reporter.directory_changed.set()
        self.ctx.shared.fallback_accounts.add(self.name, components.fallback_receiver)

    async def run(self) -> NoReturn:
        """Runs all components until cancelled.

        Raises `AccountFailed` after an internal error in one component, when all have been stopped in order.
        """
        tasks = AccountTasks(self.ctx.shared.watchdog, self.name)
        try:
            self._start_components(tasks)
            fault = await tasks.wait_for_fault()
            self._record_fault(fault)
            if self._stop_begun:
                await asyncio.Event().wait()  # the process is stopping the account: it cancels this task
            await self._stop_after_fault()
        finally:
            await tasks.cancel_all()
        raise AccountFailed from fault

    def _start_components(self, tasks: AccountTasks) -> None:
        components, broker = self.components, self.ctx.broker
        self.ctx.shared.watchdog.watch(f"broker:{self.name}", lambda: broker.progress_deadline)
        for component in (
            components.publisher,
            components.intake,
            components.sender,
            components.home_assistant,
            components.windows,
            components.renewal,
            components.reminders,
            components.sender.cards,
            components.reporter,
        ):
            tasks.start(component.run())
        tasks.start(broker.run(self))
        self._receiving_tasks = [tasks.start(components.media.run()), tasks.start(components.session.run())]

    def _record_fault(self, fault: BaseException) -> None:
        log.error("account failed", account=self.name, exc_info=fault)
        self.connect_attempted.set()
        self.counters.failed = True
        self.counters.faults += 1
        self._watch_end()

    async def _stop_after_fault(self) -> None:
        """Stops in order as far as that still works: the failed component may fail to stop as well."""
        try:
            async with asyncio.timeout(FAILED_STOP_TIMEOUT_SECONDS):
                await self.stop("account_failed")
        except Exception as error:  # noqa: BLE001 - any component may have failed
            log.warning("account did not stop in order", account=self.name, error=type(error).__name__)
        self._watch_end()

    def _watch_end(self) -> None:
        """Makes the watchdog expect the next step of the end in time, and no progress of the loops."""
        self.ctx.shared.watchdog.watch_only("end", self.name, TASK_CANCEL_TIMEOUT_SECONDS)

    async def stop(self, reason_key: str = "stopped") -> None:
        """Stops in order; takes about 3 s. Only the first call stops, a later one returns at once.

        `reason_key` names the text of the reason in `login/state`.
        """
        if self._stop_begun:
            return
        self._stop_begun = True
        components, requests = self.components, self.components.actions.runner

        # Nothing new begins, and nothing is received any more.
        self.ctx.shared.fallback_accounts.remove(self.name, components.fallback_receiver)
        requests.stop()
        await cancel_and_wait(self._receiving_tasks)

        # Sends and requests that have begun are completed.
        await asyncio.gather(
            components.sender.drain(DRAIN_TIMEOUT_SECONDS), requests.drain(DRAIN_TIMEOUT_SECONDS)
        )
        components.fallback_receiver.stop()

        # The retained topics say that the account is offline.
        components.session.stop(reason_key)
        components.status.show_state(b"offline")
        if self.counters.failed:  # after an orderly stop the last health stays as it is
            with suppress(StoreError):
                await components.reporter.publish_health()
        await components.retained.wait_until_acknowledged(OFFLINE_PUBLISH_TIMEOUT_SECONDS)

        # The last PUBACKs are awaited and stored.
        with suppress(StoreError):  # the next start repeats these messages then, with the same id and seq
            await components.publisher.finish(OFFLINE_PUBLISH_TIMEOUT_SECONDS)

    def abort(self) -> None:
        """Publishes nothing more, not even that the account ends, since another process may run it."""
        self._stop_begun = True
        self.ctx.broker.abort()

    async def close(self) -> None:
        """Closes the connections to WeChat, and the files that the account has open. Call it after `run`."""
        await self.ctx.backend.close()
        self.ctx.marks.close()
        self.ctx.puback_log.close()

    # Called by the broker client (`BrokerListener`)

    async def on_session_start(self) -> None:
        self.components.intake.start_session()
        await self.components.intake.store_session()

    def on_connected(self, connection: Connected) -> None:
        """Publishes everything again.

        `info` and discovery come before `status`, which publishes all retained topics: so this broker gets
        each topic once, as it is to be here. Everything else may come in any order.
        """
        components = self.components
        saved_session = self.ctx.saved_state.broker_session
        had_session = bool(saved_session or self.counters.connects)
        self.connect_attempted.set()
        self.counters.connects += 1
        self.counters.standby = False
        self.counters.broker_reason = ""
        if had_session and not connection.session_present:
            self.counters.sessions_lost += 1
            self.ctx.publish_event("session_lost", {"broker": connection.url})
        components.intake.on_connected(connection, saved_session)
        components.reporter.publish_info()
        components.home_assistant.on_connected(connection)
        components.status.on_connected(connection)
        components.publisher.on_connected()
        components.reporter.directory_changed.set()
        components.reporter.health_changed.set()

    def on_disconnected(self, disconnect: Disconnected) -> None:
        self.connect_attempted.set()
        if disconnect.code == EndReason.LOST:
            self.counters.disconnects += 1
        self.counters.standby = disconnect.standby
        self.counters.broker_reason = disconnect.reason
        self.components.retained.on_disconnected()
        self.components.publisher.on_disconnected()
        self.components.reporter.health_changed.set()

    def on_delivery(self, delivery: Delivery) -> None:
        """Hands over a delivery; the intake acknowledges every one, in order."""
        self.components.intake.on_delivery(delivery)
        home_assistant = self.components.home_assistant
        if delivery.topic == home_assistant.birth_topic:
            home_assistant.on_birth(delivery.payload)

    # Called by the process, the web page and the control socket

    @property
    def login(self) -> LoginStatus:
        return self.components.session.login

    @property
    def broker_connected(self) -> bool:
        return self.ctx.broker.connection is not None

    def login_details(self) -> Json:
        """Returns the body of `login/state` with the text of the QR code and the topic of its picture."""
        body = self.login.body(self.name)
        qr_topic = self.ctx.topics.login_qr
        return {**body, "url": self.login.qr_url, "qr_topic": qr_topic}

    def show_reload(self) -> None:
        """Publishes whether the configuration file is refused (`SharedServices.reload_status`)."""
        with self.ctx.in_log():
            self.components.session.state.refresh()
            self.ctx.signals.health_changed.emit()

    async def apply_settings(self, settings: AccountSettings) -> None:
        """Replaces the settings of the running account, and lets the components follow."""
        with self.ctx.in_log():
            self.ctx.settings = settings
            if self.use_credentials():
                self.ctx.login_requests.on_credentials_changed()
            registry, inbound = self.ctx.registry, self.components.inbound
            await inbound.apply_people(registry.set_pins(settings.pins))
            named = self.components.owner.known_contacts()
            await inbound.apply_people(registry.apply_update(named, (), now_ms()))
            components = self.components
            self.ctx.backend.set_language(self.ctx.language)
            components.media.wake()
            components.sender.limits.resize()
            components.reminders.recheck_requested.set()
            components.reporter.publish_info()
            # The settings name people, and say who is exposed. The sender and the windows follow this, too.
            self.ctx.signals.people_changed.emit()

    def use_credentials(self) -> bool:
        """Hands over the secrets of the settings. Returns whether those for WeChat have changed."""
        settings = self.ctx.settings
        self.ctx.broker.set_password(settings.broker_password)
        return self.ctx.backend.use_section(settings.backend_section)


STALL_CHECK_INTERVAL_SECONDS = 5.0

# A check that comes later than this is one of a process that was stopped (SIGSTOP, suspend), and goes on now.
MAX_STALL_CHECK_SECONDS = 10.0


class TasksStalled(Exception):
    """Loops of the account are past their deadline; the message has their names."""


class AccountTasks:
    """Runs the tasks of one account: they end together, and a loop without progress is noticed."""

    def __init__(self, watchdog: Watchdog, account: str) -> None:
        self._watchdog = watchdog
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Starts a task. It is no fault when a task returns or is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def wait_for_fault(self) -> BaseException:
        """Waits until a task raises or a loop stalls; returns the exception, without the groups around it."""
        while True:
            looked_at = loop_time()
            done, _ = await asyncio.wait(
                self._tasks, timeout=STALL_CHECK_INTERVAL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                error = None if task.cancelled() else task.exception()
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                if error is not None:
                    return error
            self._tasks -= done
            if loop_time() - looked_at > MAX_STALL_CHECK_SECONDS:
                continue  # the whole process stood still: its loops could not move
            # Without the store's: all accounts share it, so a restart would not help.
            overdue = [
                loop for loop in self._watchdog.overdue(self._account) if not loop.startswith("store:")
            ]
            if overdue:
                return TasksStalled(", ".join(overdue))

    async def cancel_all(self) -> None:
        """Cancels all tasks and waits until they have ended. Only the first fault is reported."""
        await cancel_and_wait(self._tasks)
