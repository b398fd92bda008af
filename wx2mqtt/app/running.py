"""The whole bridge in one process: open the store, wire each account, run, stop in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog

from wx2mqtt.app.desk import Desk, Operation
from wx2mqtt.app.living import Living
from wx2mqtt.app.opening import Opening, Stores
from wx2mqtt.app.purging import Purging
from wx2mqtt.app.upkeep import Keep, Upkeep
from wx2mqtt.app.watch import Watch
from wx2mqtt.app.web import serving
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.bell import Bell
from wx2mqtt.bridge.media.shelf import Shelf
from wx2mqtt.bridge.pulse import Pulse
from wx2mqtt.bridge.rooms import House
from wx2mqtt.bridge.state import Login
from wx2mqtt.errors import BadCommand, Problem, SettingsError, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.embedded import Embedded
from wx2mqtt.mqtt.options import WantedProtocol
from wx2mqtt.service import control, logs
from wx2mqtt.service.systemd import Notifier
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.load import Loaded, load
from wx2mqtt.settings.reload import reload_diff
from wx2mqtt.settings.schema import Account as AccountSettings
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE, PEOPLE, Folder, resolve
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_upkeep import MediaUpkeep
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.web.views import Bridge
from wx2mqtt.wechat.gateway import Progress
from wx2mqtt.words import explain

if TYPE_CHECKING:
    from wx2mqtt.web.server import Server  # loaded only where it is wanted

log = structlog.get_logger(__name__)

EMBEDDED_PORT = 1883
THREADS = 32  # at most, begun as they are wanted: a name that is looked up may hold one for half a minute,
# and that of one account must not hold up the files of another (a small machine would have six)
STOP = 5.0  # seconds that an orderly stop may take (DESIGN 2)


def _no_point(_name: str) -> None:
    """Crash tests hook in here."""


def _no_progress(_count: int) -> None:
    """Nobody watches."""


def _no_status(_account: str, _login: Login, _url: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run needs besides its settings; tests and the demo put in their own."""

    env: Mapping[str, str]
    notifier: Notifier
    progress: Progress = _no_progress
    status: Callable[[str, Login, str], None] = _no_status
    on_point: Callable[[str], None] = _no_point
    embedded_port: int = EMBEDDED_PORT
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class App:
    """A bridge with all its accounts, opened and ready to run.

    `accounts` and `shelves` have one place for each account, in which the next one stands where a
    fault of ours has ended it.
    """

    def __init__(
        self,
        loaded: Loaded,
        folder: Folder,
        database: Database,
        embedded: tuple[str, WantedProtocol] | None,
        around: Surroundings,
    ) -> None:
        self._loaded = self._begun_with = loaded
        self._folder = folder
        self._around = around
        self._reloading = asyncio.Lock()
        self.pulse = Pulse(asyncio.get_running_loop().time)
        self.bell = Bell()
        self._stores = Stores(
            folder=folder,
            database=database,
            blobs=Blobs(folder.path),
            people_copy=PeopleCopy(database, folder.path / PEOPLE),
        )
        self._media = MediaUpkeep(database, self._stores.blobs)
        self.upkeep = Upkeep(folder, self._media, loaded.settings.storage.max_size)
        self._opening = Opening(loaded, lambda: self._loaded, self._stores, self._house(), embedded)
        self._lives: list[Living] = []
        self.accounts: list[Account] = []
        self.shelves: list[Shelf] = []
        self._purging = Purging(
            folder.path,
            database,
            self._media,
            self._stores.people_copy,
            lambda: {account.name: account.topics.base for account in self.accounts},
        )
        self._desks: dict[str, dict[str, Operation]] = {}
        self.file_problems: tuple[Problem, ...] = ()
        self.web: Server | None = None

    async def open_accounts(self) -> None:
        """Wire every account of the settings. Raises `SettingsError` where base topics meet."""
        names = self._loaded.settings.accounts
        for name, count in (await self._stores.people_copy.restore(names)).items():
            log.warning("people restored from their copy", account=name, count=count)
        await self._stores.blobs.open()
        await self._opening.settle_bases()
        for name in names:
            account = await self._opening.account(name)
            self._lives.append(Living(account, self._opening.account, self._begun, self.pulse))
            self.accounts.append(account)
            self.shelves.append(account.shelf)
            self._desks[name] = self._desk(account, account.journal).operations()
        self._keep_history()

    def _begun(self, account: Account) -> None:
        """A new one has taken the place of one that a fault of ours ended."""
        place = [one.name for one in self.accounts].index(account.name)
        self.accounts[place] = account
        self.shelves[place] = account.shelf
        self._desks[account.name] = self._desk(account, account.journal).operations()
        self._keep_history()
        self.bell.ring()

    async def close(self) -> None:
        """Let go of all connections to WeChat."""
        for living in self._lives:
            await living.close()

    def _house(self) -> House:
        return House(
            pulse=self.pulse,
            bell=self.bell,
            blobs=self._stores.blobs,
            discard=self._media.discard,
            store_size=lambda: self.upkeep.size,
            store_limit=lambda: self.upkeep.limit,
            log_level=self._on_log_level,
            reload=self._on_reload,
            progress=self._around.progress,
            status=self._around.status,
        )

    def _desk(self, account: Account, journal: Journal) -> Desk:
        rooms = account.rooms
        return Desk(
            journal=journal,
            identity=account.identity,
            results=rooms.results,
            check=rooms.judge.check,
            is_whole=rooms.errands.is_whole,
            language=lambda: self._loaded.settings.language,
            retried=rooms.sender.add,
            dropped=rooms.sender.forget,
            save=rooms.save_people,
            brought_back=rooms.pump.connected,
        )

    async def run(self) -> None:
        """Bridge until `stop` is set, then stop in order."""
        async with control.serve(self._folder.path, self.do):
            running = asyncio.create_task(self._run_all())
            stopping = asyncio.create_task(self._around.stop.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not running.done():
                await self._stop(running)
            await _ended(running)

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for living in self._lives:
                tasks.create_task(living.run())
            tasks.create_task(self.upkeep.run())
            tasks.create_task(Watch(self._around.notifier, self.pulse, self.accounts).run())

    async def _stop(self, running: asyncio.Task[None]) -> None:
        self._around.notifier.stopping()
        log.info("stopping")
        try:
            async with asyncio.timeout(STOP - 0.5):
                async with asyncio.TaskGroup() as tasks:
                    for living in self._lives:
                        tasks.create_task(living.stop())
                    if self.web is not None:
                        tasks.create_task(self.web.stop())
        except TimeoutError:
            log.warning("the stop took too long; what was under way is in doubt at the next start")
        running.cancel()

    # what is asked of the whole process

    async def do(self, name: str, fields: Mapping[str, Json]) -> Json:
        """One operation of the control socket (see `Desk`); `account` says which, the first by default."""
        if name == "accounts":
            return [account.name for account in self.accounts]
        if (purging := self._purging.operations().get(name)) is not None:
            return await self._operate(purging, fields)
        account = self.account(str(fields.get("account") or ""))
        if (operation := self._desks[account.name].get(name)) is not None:
            return await self._operate(operation, fields)
        match name:
            case "health":
                return await account.health()
            case "login" | "login.code" | "login.state":
                return account.asked_about_login(name, str(fields.get("code") or ""))
        raise Wx2MqttError(f"this bridge does not know '{name}'; is it another version?")

    async def _operate(self, operation: Operation, fields: Mapping[str, Json]) -> Json:
        try:
            return await operation(fields)
        except BadCommand as bad:
            raise Wx2MqttError(explain(self._loaded.settings.language, bad)) from None

    def account(self, name: str | None) -> Account:
        """The account of that name, the first one without any; raises `Wx2MqttError`."""
        if not name:
            return self.accounts[0]
        for account in self.accounts:
            if account.name == name:
                return account
        known = ", ".join(account.name for account in self.accounts)
        raise Wx2MqttError(f"there is no account '{name}'; the configuration has {known}")

    async def _on_log_level(self, fields: dict[str, Json]) -> Json:
        level = fields.get("level")
        if not isinstance(level, str) or level not in logs.LEVELS:
            raise BadCommand("bad_request", "bad_value", key="level", expected="a log level")
        logs.set_level(level)
        return {"level": level}

    async def _on_reload(self, _fields: dict[str, Json]) -> Json:
        applied, needs_restart = await self.reload()
        return {"applied": cast("list[Json]", applied), "needs_restart": cast("list[Json]", needs_restart)}

    async def reload(self) -> tuple[list[str], list[str]]:
        """Read the file again and take over what can be; a bad file changes nothing (raises `BadCommand`)."""
        async with self._reloading:
            self._around.notifier.reloading()
            try:
                return await self._reload()
            finally:
                self._around.notifier.ready()

    async def _reload(self) -> tuple[list[str], list[str]]:
        try:
            loaded = load(self._loaded.path, self._around.env)
        except SettingsError as wrong:
            self._file_is(wrong.problems)
            log.error("reload refused", problems=[str(problem) for problem in wrong.problems])
            problems = "; ".join(map(str, wrong.problems))
            raise BadCommand("bad_request", "reload_failed", problems=problems) from None
        applied, _ = reload_diff(self._loaded.settings, loaded.settings)
        _, needs_restart = reload_diff(self._begun_with.settings, loaded.settings)
        self._file_is(())
        self._loaded = loaded
        logs.set_level(loaded.settings.log.level)
        self.upkeep.limit = loaded.settings.storage.max_size
        for account in self.accounts:
            if account.name in loaded.settings.accounts:
                await account.apply(self._opening.wishes(account.name))
        self._keep_history()
        log.info("reloaded", applied=applied, needs_restart=needs_restart)
        return applied, needs_restart

    def _file_is(self, problems: tuple[Problem, ...]) -> None:
        """What is wrong with the file as it is now, for whoever looks on."""
        self.file_problems = problems
        self.bell.ring()

    def _keep_history(self) -> None:
        accounts = self._loaded.settings.accounts
        self.upkeep.journals = {
            account.journal: _keep(accounts[account.name])
            for account in self.accounts
            if account.name in accounts
        }

    async def hangup(self) -> None:
        """SIGHUP: the file again; and whoever rests logged out may try anew (DESIGN 2)."""
        try:
            await self.reload()
        except BadCommand:
            return  # it has been logged, and nothing was changed
        for account in self.accounts:
            account.rooms.session.ask_if_resting()


def _keep(settings: AccountSettings) -> Keep:
    return Keep(
        history=settings.history.keep,
        media=settings.media.keep,
        media_total=settings.media.max_total,
    )


async def _ended(running: asyncio.Task[None]) -> None:
    try:
        await running
    except asyncio.CancelledError:
        if not running.cancelled():
            raise


@asynccontextmanager
async def opened(loaded: Loaded, around: Surroundings, *, serve: bool = True) -> AsyncGenerator[App, None]:
    """Everything that a run needs, opened in order and closed in the opposite one.

    Without `serve` neither the embedded broker nor the web server is started: for what needs the store only.

    Raises `StoreLocked`, `StoreFull`, `StoreTooNew`, `StoreError`, `PortInUse` of the embedded broker, and
    `CannotListen` of the web server.
    """
    settings = loaded.settings
    path, said = resolve(None if settings.storage.path is None else Path(settings.storage.path), around.env)
    log.info(said)
    async with AsyncExitStack() as stack:
        folder = Folder.open(path)
        stack.callback(folder.close)
        database = await Database.open(folder.path / DATABASE, around.on_point)
        stack.push_async_callback(database.close)
        if database.set_aside is not None:
            log.error("damaged database set aside; a new one was begun", set_aside=str(database.set_aside))
        embedded: tuple[str, WantedProtocol] | None = None
        if settings.mqtt.url == (EMBEDDED,):
            port = around.embedded_port
            embedded = f"mqtt://127.0.0.1:{port}", "auto"
            if serve:
                own = await stack.enter_async_context(Embedded(folder.path, port=port))
                embedded = own.url, own.protocol
        app = App(loaded, folder, database, embedded, around)
        stack.push_async_callback(app.close)
        await app.open_accounts()
        if serve:
            seen = Bridge(
                accounts=lambda: [account.view for account in app.accounts],
                bell=app.bell,
                stuck=app.pulse.stuck,
                problems=lambda: app.file_problems,
            )
            app.web = await stack.enter_async_context(serving(settings, app.shelves, seen))
        yield app


async def run(loaded: Loaded, around: Surroundings) -> None:
    """`wx2mqtt run`: until SIGTERM or SIGINT; SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # first: to open may take a while, and ends in order too
        loop.add_signal_handler(number, around.stop.set)
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "work"))
    async with opened(loaded, around) as app:
        reloads: set[asyncio.Task[None]] = set()

        def hangup() -> None:
            task = loop.create_task(app.hangup())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, hangup)
        await app.run()
