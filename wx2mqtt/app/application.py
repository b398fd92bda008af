"""One open bridge: its store, its accounts, its web server. It ends when the store is lost.

    async with open_application(loaded, environment) as app:
        await app.run()

`process.py` opens the first one, and another one each time when the connection to a database was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from wx2mqtt.aio import ChangeNotifier, cancel_and_wait, wait_until_ended
from wx2mqtt.app import control_socket, logs
from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.app.accounts import Accounts
from wx2mqtt.app.configuration import instance_name, load_configuration
from wx2mqtt.app.operations import Operations
from wx2mqtt.app.storage_maintenance import StorageMaintenance
from wx2mqtt.app.stores import StoreLost, Stores, open_stores
from wx2mqtt.app.systemd import SystemdNotifier, SystemdWatchdog
from wx2mqtt.app.web_servers import (
    find_listen_problems,
    move_sender_servers,
    running_web_server,
    sender_options,
)
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.context import PlainHandler, ReloadStatus, SharedServices, Watchdog
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.clock import Lease
from wx2mqtt.cluster.observation import LEASE_SECONDS, ClusterStatistics
from wx2mqtt.errors import BadCommand, SettingsError, StoreError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import problem_text
from wx2mqtt.model import Json
from wx2mqtt.mqtt.commands import reject_unknown_fields
from wx2mqtt.mqtt.embedded import EmbeddedBroker, PortInUse
from wx2mqtt.mqtt.options import ProtocolChoice
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.key_tree import reload_diff
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.database import ignore_commit_point
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.operation_queue import OperationQueue
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.senders.sender_rights import SenderRegistry
from wx2mqtt.wechat.backend_options import OnProgress

if TYPE_CHECKING:
    from wx2mqtt.app.cluster_node import ClusterNode
    from wx2mqtt.web.server import WebServers

log = structlog.get_logger(__name__)

EMBEDDED_PORT = 1883

STOP_TIMEOUT_SECONDS = 5.0  # how long an orderly stop may take in all
STOP_RESERVE_SECONDS = 0.5  # the part of that time in which everything is closed that the accounts share


@dataclass(frozen=True, kw_only=True)
class RunEnvironment:
    """The parameters of a run besides its settings; tests and the demo set their own."""

    env: Mapping[str, str]
    notifier: SystemdNotifier = field(default_factory=lambda: SystemdNotifier({}))
    #: Called with the number of contacts fetched so far, 0 at the end.
    on_progress: OnProgress = lambda _count: None
    #: Called with account, login and the text of the QR code.
    on_login_status: Callable[[str, LoginStatus, str], None] = lambda _account, _login, _url: None
    #: Crash tests kill the process here.
    on_commit_point: Callable[[str], None] = ignore_commit_point
    embedded_port: int = EMBEDDED_PORT
    #: The command that the page names where there is no configuration file; empty where there is one.
    setup_command: str = ""
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set by a SIGHUP that comes while no bridge is open: the bridge that is opened next reloads.
    reload_requested: asyncio.Event = field(default_factory=asyncio.Event)
    cluster_statistics: ClusterStatistics = field(default_factory=ClusterStatistics)
    reload_status: ReloadStatus = field(default_factory=ReloadStatus)


@asynccontextmanager
async def open_application(
    loaded: LoadedSettings, environment: RunEnvironment, *, serve: bool = True
) -> AsyncGenerator[Application, None]:
    """Opens all parts of a run in this order, and closes them in the opposite order:

    1. the store
    2. the embedded broker, where the settings ask for it
    3. the accounts; in a cluster those that it decides
    4. the web server

    Without `serve` only 1 and 3 are opened, for commands that need no more.

    Raises `StoreLocked`, `StoreFull`, `StoreTooNew`, `StoreError`, `PortInUse` of the embedded broker, and
    `CannotListen` of the web server.
    """
    settings = loaded.settings
    is_shared = serve and settings.storage.url is not None
    lease = Lease(LEASE_SECONDS if is_shared else None)
    async with AsyncExitStack() as stack:
        store = open_stores(loaded, environment.env, environment.on_commit_point, lease)
        stores = await stack.enter_async_context(store)
        embedded: tuple[str, ProtocolChoice] | None = None
        if settings.mqtt.url == (EMBEDDED,):
            port = environment.embedded_port
            embedded = f"mqtt://127.0.0.1:{port}", "auto"
            if serve:
                broker = await _start_broker(stack, settings, stores.folder.path, port)
                embedded = broker.url, broker.protocol
        app = Application(loaded, stores, embedded, environment)
        stack.push_async_callback(app.close)
        stack.callback(app.senders.close)
        if is_shared:
            app.join_cluster()
        await app.open_accounts()
        if serve:
            app.web = await stack.enter_async_context(
                running_web_server(settings, app.running.media_libraries, app.bridge_state(), app.senders)
            )
        yield app


async def _start_broker(stack: AsyncExitStack, settings: Settings, folder: Path, port: int) -> EmbeddedBroker:
    """Starts the embedded broker.

    Raises `PortInUse`; its text also says which ports of the web server are in use.
    """
    try:
        return await stack.enter_async_context(EmbeddedBroker(folder, port=port))
    except PortInUse as error:
        error.args = ("; ".join([str(error), *find_listen_problems(settings)]),)
        raise


class Application:
    """A bridge with all its accounts, which `open_application` opens and closes.

    `run` runs it until it is to stop, or the store is lost. Meanwhile `reload` applies a changed file.
    """

    def __init__(
        self,
        loaded: LoadedSettings,
        stores: Stores,
        embedded: tuple[str, ProtocolChoice] | None,
        environment: RunEnvironment,
    ) -> None:
        self._loaded_at_start = loaded
        self._stores = stores
        self._environment = environment
        self._reload_lock = asyncio.Lock()
        #: Set when the connection to the database is lost: `run` stops at once and raises `StoreLost`.
        self._store_lost = asyncio.Event()
        #: Why a reload ends the process: `run` stops in order and raises it.
        self._failure: SettingsError | None = None
        stores.lost.connect(self._on_store_lost)
        self.watchdog = Watchdog(asyncio.get_running_loop().time)
        self.changes = ChangeNotifier()
        self._media = MediaRetention(stores.database, stores.blobs)
        max_size = loaded.settings.storage.max_size
        self.maintenance = StorageMaintenance(
            stores.folder, stores.database, self._media, stores.search_index, max_size
        )
        self._factory = AccountFactory(loaded, self._stores, self._shared_services(), embedded)
        self.running = Accounts(self._factory, self.watchdog)
        self.running.changed.connect(self._update_retention, self.changes.notify)
        self.operations = Operations(self.running, self._factory, stores, self._media)
        #: None while it is not open, or where it is disabled.
        self.web: WebServers | None = None
        self.senders = SenderRegistry(asyncio.get_running_loop().time)
        self.senders.set_senders(sender_options(loaded.settings))
        #: This process in the cluster; None where no instances share the accounts.
        self.cluster: ClusterNode | None = None

    @property
    def accounts(self) -> list[Account]:
        """The accounts that run here, in the order of the configuration."""
        return self.running.accounts

    @property
    def loaded(self) -> LoadedSettings:
        """The current settings, which a reload replaces."""
        return self._factory.loaded

    def join_cluster(self) -> None:
        """Lets the instances that share the database decide which accounts run here."""
        from wx2mqtt.app.cluster_node import ClusterNode  # noqa: PLC0415 - it needs psycopg

        statistics = self._environment.cluster_statistics
        self.cluster = ClusterNode(self._loaded_at_start, self._stores, self.running, statistics)
        self.cluster.takeover.changed.connect(self.changes.notify)
        self.operations.cluster = self.cluster

    async def open_accounts(self) -> None:
        """Builds every account of the settings, or joins a cluster. Raises `SettingsError`, `StoreError`."""
        names = self._factory.loaded.settings.accounts
        people_file = self._stores.people_file
        if people_file is not None:
            for name, count in (await people_file.restore(names)).items():
                log.warning("people restored from their copy", account=name, count=count)
            people_file.request()  # the file may lack the last changes, if the process was killed
        await self._stores.blobs.open()
        await self._factory.assign_base_topics()
        if self.cluster is not None:
            await self.cluster.instance.join()
            return
        for name in names:
            await self.running.add(name)

    def _on_store_lost(self) -> None:
        """Cuts off all accounts, before anything in them learns that a commit has failed."""
        log.error("connection to the database lost: stopping at once")
        self.running.abort_all()
        self._store_lost.set()

    async def close(self) -> None:
        if self.cluster is not None:
            await self.cluster.takeover.close()
        await self.running.close_all()

    def _shared_services(self) -> SharedServices:
        settings, environment = self._loaded_at_start.settings, self._environment
        shared = SharedServices(
            watchdog=self.watchdog,
            changes=self.changes,
            blobs=self._stores.blobs,
            media_retention=self._media,
            quota=self.maintenance.quota,
            process_requests=self.process_requests(),
            instance="" if settings.storage.url is None else instance_name(settings),
            lease=self._stores.lease,
            reload_status=environment.reload_status,
        )
        shared.contacts_fetched.connect(environment.on_progress)
        shared.login_reported.connect(environment.on_login_status)
        return shared

    def bridge_state(self) -> BridgeState:
        """Returns what the web server shows of the bridge; it asks for the values of now."""
        environment = self._environment
        return BridgeState(
            accounts=lambda: [*map(AccountView, self.accounts)],
            changes=self.changes,
            overdue=self.watchdog.overdue,
            problems=lambda: environment.reload_status.problems,
            reload_accepted=lambda: environment.reload_status.accepted,
            account_names=lambda: tuple(self.loaded.settings.accounts),
            sender_calls=lambda: self.senders.calls,
            setup_command=lambda: environment.setup_command,
            cluster=lambda: None if self.cluster is None else self.cluster.state(),
        )

    def process_requests(self) -> dict[str, PlainHandler]:
        """Returns the requests that concern the whole process, by name."""
        return {"log_level": logs.answer_request, "reload": self._on_reload}

    async def run(self) -> None:
        """Runs until `RunEnvironment.stop_requested` is set, then stops in order.

        Stops at once and raises `StoreLost` when the connection to the database is lost. Stops in order and
        raises `SettingsError` after a reload with a `storage.key` that is not the database's.
        """
        stop, lost = self._environment.stop_requested, self._store_lost
        async with control_socket.serve_operations(self._stores.folder.path, self.operations.run):
            run_task = asyncio.create_task(self._run_all())
            waits = [asyncio.create_task(event.wait()) for event in (stop, lost)]
            await asyncio.wait({run_task, *waits}, return_when=asyncio.FIRST_COMPLETED)
            await cancel_and_wait(waits)
            if lost.is_set():
                run_task.cancel()
            elif not run_task.done():
                await self._stop(run_task)
            await wait_until_ended(run_task)
        if self._failure is not None:
            raise self._failure
        if lost.is_set():
            raise StoreLost

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.running.run())
            if self.cluster is not None:
                tasks.create_task(self._take_part(self.cluster))
            tasks.create_task(self.maintenance.run())
            if self._stores.people_file is not None:
                tasks.create_task(self._stores.people_file.run())
            if self._stores.database.is_elsewhere:
                queue = OperationQueue(self._stores.database)
                tasks.create_task(
                    queue.serve(lambda: [account.name for account in self.accounts], self.operations.run)
                )
            notifier = self._environment.notifier
            systemd = SystemdWatchdog(
                notifier, self.watchdog, self.running, self.changes, self._process_notes
            )
            tasks.create_task(systemd.run())

    def _process_notes(self) -> list[str]:
        """Returns what STATUS says besides the accounts."""
        language, cluster = self.loaded.settings.language, self.cluster
        notes = [self._environment.reload_status.sentence(language)]
        if cluster is not None and not cluster.instance.may_act:
            notes.append(bridge_text(language, "database_silent"))
        if cluster is not None and cluster.is_drained:
            notes.append(bridge_text(language, "is_drained"))
        if not self.accounts:
            notes.append(bridge_text(language, "no_account_here"))
        return [note for note in notes if note]

    async def _take_part(self, cluster: ClusterNode) -> None:
        """Runs accounts as the cluster decides. A refused commit counts as a lost connection."""
        try:
            await cluster.takeover.run()
        except* StoreError:
            self._on_store_lost()

    async def _stop(self, run_task: asyncio.Task[None]) -> None:
        self._environment.notifier.stopping()
        log.info("stopping")
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS - STOP_RESERVE_SECONDS):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(
                        self.running.stop_all() if self.cluster is None else self.cluster.leave()
                    )
                    if self.web is not None:
                        tasks.create_task(self.web.stop())
                if self._stores.people_file is not None:
                    with suppress(StoreError):  # then the copy is older than the database
                        await self._stores.people_file.flush()
        except TimeoutError:
            log.warning("the stop took too long; what was under way is in doubt at the next start")
        run_task.cancel()

    async def _on_reload(self, fields: dict[str, Json]) -> Json:
        reject_unknown_fields(fields)
        # In a new context the lines of the log name no account: a reload concerns the whole process.
        reload = asyncio.get_running_loop().create_task(self.reload(), context=Context())
        applied, needs_restart = await reload
        return {"applied": [*applied], "needs_restart": [*needs_restart]}

    async def reload(self) -> tuple[list[str], list[str]]:
        """Reads the configuration again and applies it.

        Returns the keys that were applied and those that need a restart. Raises `BadCommand` for a bad file,
        which changes nothing.
        """
        async with self._reload_lock:
            self._environment.notifier.reloading()
            try:
                return await self._reload()
            finally:
                self._environment.notifier.ready()

    async def _reload(self) -> tuple[list[str], list[str]]:
        loaded = await self._load_changed_file()
        changed, _ = reload_diff(self.loaded.settings, loaded.settings)
        _, needs_restart = reload_diff(self._loaded_at_start.settings, loaded.settings)
        await self._move_sender_servers(loaded)
        await self._apply(loaded)
        if any(account.ctx.broker.uses_old_password for account in self.accounts):
            needs_restart = sorted([*needs_restart, "mqtt.password"])
        applied = [key for key in changed if key not in needs_restart]
        self._environment.reload_status.record_accepted()
        self._show_reload()
        log.info("reloaded", applied=applied, needs_restart=needs_restart)
        return applied, needs_restart

    async def _load_changed_file(self) -> LoadedSettings:
        """Returns the settings of the file as it is now. Raises `BadCommand` where it cannot be used."""
        try:
            loaded = load_configuration(self.loaded.path, self._environment.env, self.loaded.settings)
        except SettingsError as error:
            raise self._reload_refused(error) from None
        if self.cluster is not None:
            try:
                await self.cluster.use_login_keys(loaded)
            except SettingsError as error:  # the keys are not the database's: the process must end
                self._failure = error
                self._environment.stop_requested.set()
                raise self._reload_refused(error) from None
        return loaded

    async def _move_sender_servers(self, loaded: LoadedSettings) -> None:
        """Serves senders on the addresses of the new file. Raises `BadCommand` where one cannot be had."""
        if self.web is None:
            return
        try:
            await move_sender_servers(self.web, self._loaded_at_start.settings, loaded)
        except SettingsError as error:
            raise self._reload_refused(error) from None

    async def _apply(self, loaded: LoadedSettings) -> None:
        settings = loaded.settings
        self._factory.loaded = loaded
        logs.set_level(settings.log.level)
        self.maintenance.quota.limit = settings.storage.max_size
        self.senders.set_senders(sender_options(settings))
        if self.web is not None:
            self.web.set_language(settings.language)
        for account in self.accounts:
            if account.name in settings.accounts:
                await account.apply_settings(self._factory.settings_of(account.name))
        self._update_retention()
        if self.cluster is not None:
            await self.cluster.reload(loaded)

    def _reload_refused(self, error: SettingsError) -> BadCommand:
        """Shows and logs why a reload changes nothing; returns the answer to the request."""
        self._environment.reload_status.record_refused(error.problems)
        self._show_reload()
        log.error("reload refused", problems=[str(problem) for problem in error.problems])
        language = self._factory.loaded.settings.language
        problems = "; ".join(problem_text(problem, language) for problem in error.problems)
        return BadCommand("bad_request", "reload_failed", problems=problems)

    def _show_reload(self) -> None:
        for account in self.accounts:
            account.show_reload()
        self.changes.notify()

    def _update_retention(self) -> None:
        """Tells the maintenance how much each account keeps. An account that a reload removed is left out."""
        sections = self.loaded.settings.accounts
        running = [account for account in self.accounts if account.name in sections]
        self.maintenance.set_limits({account.ctx.journal: sections[account.name] for account in running})

    async def on_sighup(self) -> None:
        """Handles SIGHUP: reloads, and lets accounts that are logged out try to log in again."""
        try:
            await self.reload()
        except BadCommand:
            return  # logged already; nothing was changed
        for account in self.accounts:
            account.ctx.login_requests.request_login_if_idle()
