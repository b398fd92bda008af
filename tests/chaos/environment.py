"""Everything that a run needs: WeChat, a broker, proxies in front of both, the bridge, and MQTT clients."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.chaos.account import AccountDriver, AccountEnvironment, Provocation, SimulatorControl
from tests.chaos.client import Client
from tests.chaos.evidence import AccountEvidence, Publication, PublishedCommand
from tests.chaos.launcher import ChildProcess, ControlBlock, start_bridge, start_simulator
from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.wecom import WeComDriver
from tests.support.broker import Mosquitto, free_port

KEEPALIVE_SECONDS = 4
LOGIN_SECONDS = 20.0
FAULT_DRAIN_SECONDS = 8.0
"""With a planted fault some messages never come."""

BROKER = """
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
"""
"""It saves its state once a second and at an orderly stop: after a kill up to a second is lost."""

TEMPORARY_FAILURE = 75
"""The exit code of the bridge for a store that is full when it starts."""

SUPERVISION_SECONDS = 0.2

BACKENDS = {"home": "webwx", "bot": "ilink", "office": "webwx", "desk": "wecom", "team": "wecom"}
SCANNED = {"desk"}
"""The accounts whose bot is created by a scan; the others are configured."""
BASES = {"home": "wx", **{name: f"wx/{name}" for name in ("bot", "office", "desk", "team")}}

OBSERVED = ("in/#", "result/#", "bridge/response/#", "login/state", "event/button", "event/gap")


class Environment:
    """The processes of one run. `fault` is the name of a planted fault, empty for none."""

    def __init__(
        self, folder: Path, seed: int, names: tuple[str, ...], protocol: str, fault: str = ""
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.config = folder / "wx2mqtt.yaml"
        self.control_block = ControlBlock(folder / "control")
        self.broker = Mosquitto(folder / "mosquitto", BROKER, port=free_port(), log="information")
        self.broker_proxy = TcpProxy(self.broker.port)
        self.controls: list[SimulatorControl] = []
        self.accounts: list[AccountDriver] = []
        self.bridge: ChildProcess | None = None
        self.observer: Client | None = None
        self._ending = False  # the bridge is being stopped or killed
        self._supervision: asyncio.Task[None] | None = None
        self.broker_forgot = False
        self.clock_was_wrong = False
        self.clock_moved = False
        self.repeated_actions: list[
            Callable[[], Awaitable[None]]
        ] = []  # actions of people that they repeat until they succeed
        self.provocations: tuple[Provocation, ...] = ()
        self.problems: list[str] = []
        self.changed = asyncio.Event()
        self._seed = seed
        self._names = names
        self.protocol = protocol
        self._fault = fault
        self._log_level = "info"
        self._files_served = 0

    async def open(self) -> None:
        """Starts everything but the bridge."""
        self._supervision = asyncio.create_task(self._supervise())
        await asyncio.to_thread(self.broker.start)
        await self.broker_proxy.open()
        first = await self._open_control(self._seed)
        for name in self._names:
            control = first if name != "office" else await self._open_control(self._seed + 1)
            driver = driver_of(
                self, name, control, backend=BACKENDS[name], base=BASES[name], scanned=name in SCANNED
            )
            self.accounts.append(driver)
            await self.accounts[-1].prepare()
        filters = [f"{account.base}/{name}" for account in self.accounts for name in OBSERVED]
        self.observer = Client(
            self.broker.port, "observer", *filters, "reply/#", on_message=self._on_publication
        )
        await self.observer.open()
        for account in self.accounts:
            account.publisher = Client(self.broker.port, account.publisher_name)
            await account.publisher.open()
        self.configure()

    async def _open_control(self, seed: int) -> SimulatorControl:
        process, port = await start_simulator(seed)
        control = SimulatorControl(port, process)
        await control.proxy.open()
        await control.post("settings", strict=True, autoscan=True, echo=True, drop_repeats=False)
        await control.post("ilink/settings", autoscan="me", drop_repeats=False)
        self.controls.append(control)
        return control

    async def close(self) -> None:
        """Ends all processes."""
        if self._supervision is not None:
            self._supervision.cancel()
        if self.bridge is not None:
            await self.bridge.kill()
        clients = [self.observer, *(account.publisher for account in self.accounts)]
        await asyncio.gather(*(client.close() for client in clients if client is not None))
        await self.broker_proxy.close()
        for control in self.controls:
            await control.close()
        await asyncio.to_thread(self.broker.kill)

    # the bridge

    def configure(self, *, broken: bool = False) -> None:
        """Writes the configuration; each time another log level. `broken`: with a key that does not exist."""
        self._log_level = "debug" if self._log_level == "info" else "info"
        settings: dict[str, Any] = {
            "mqtt": {
                "url": f"mqtt://127.0.0.1:{self.broker_proxy.port}",
                "keepalive": KEEPALIVE_SECONDS,
                "protocol": self.protocol,
            },
            "accounts": {account.name: account.settings for account in self.accounts},
            "storage": {"path": str(self.folder / "store")},
            "log": {"level": self._log_level, "format": "json"},
            "web": {"listen": "127.0.0.1:0"},
        }
        if broken:
            settings["no_such_key"] = True
        self.config.write_text(yaml.safe_dump(settings, allow_unicode=True))

    def start(self) -> None:
        assert self.bridge is None
        self.bridge = start_bridge(self.config, self.log, self.folder / "control", self._fault)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.bridge is not None
        self._ending = True
        await self.bridge.kill()
        self.control_block.commits_until_kill = 0
        self.bridge, self._ending = None, False

    async def stop(self) -> None:
        """SIGTERM; the bridge must end in order."""
        assert self.bridge is not None
        self._ending = True
        code = await self.bridge.stop()
        self.bridge, self._ending = None, False
        if code != 0:
            self.problems.append(f"the bridge ended with {code} at SIGTERM")

    def signal(self, number: signal.Signals) -> None:
        assert self.bridge is not None
        self.bridge.send_signal(number)

    @contextlib.contextmanager
    def full_disk(self) -> Any:
        """Lets the bridge write to no file, by a limit of its process, which needs no privileges."""
        assert self.bridge is not None
        pid = self.bridge.pid
        forever = resource.RLIM_INFINITY
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, forever))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (forever, forever))

    async def _supervise(self) -> None:
        """Starts the bridge again, as a service manager does, when it could not open its store and ended with 75."""
        while True:
            await asyncio.sleep(SUPERVISION_SECONDS)
            code = None if self.bridge is None or self._ending else self.bridge.exit_code
            if code is not None and code > 0:
                if code != TEMPORARY_FAILURE:
                    self.problems.append(f"the bridge ended with {code}")
                self.bridge = None
                self.start()

    async def log_in(self) -> None:
        """Starts the bridge; returns when all accounts are online."""
        self.start()
        online = await self.wait(
            lambda: all(account.state == "online" for account in self.accounts), LOGIN_SECONDS
        )
        if not online:
            self.problems.append(
                "not online within the time: " + str([account.state for account in self.accounts])
            )

    async def provoke(self, account: AccountDriver, endpoint: str) -> None:
        """Makes the bridge call an endpoint soon."""
        for provocation in self.provocations:
            await provocation(account, endpoint)

    # Publications

    def _on_publication(self, publication: Publication) -> None:
        if publication.retain and not publication.topic.endswith("/login/state"):
            return
        if publication.topic.startswith("reply/"):
            name = publication.topic.removeprefix("reply/")
            next(account for account in self.accounts if account.name == name).replies.append(publication)
        else:
            self._account_of(publication.topic).record_publication(publication)
        self.changed.set()

    def _account_of(self, topic: str) -> AccountDriver:
        fitting = [account for account in self.accounts if topic.startswith(f"{account.base}/")]
        return max(fitting, key=lambda account: len(account.base)) if fitting else self.accounts[0]

    async def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits until a publication makes the condition true; returns False when none does in time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return condition()
        return True

    # The end of the run

    async def drain(self) -> None:
        """Waits until all messages, results of commands and answers to requests have come."""
        usual = max(account.drain_seconds for account in self.accounts)
        until = time.monotonic() + (FAULT_DRAIN_SECONDS if self._fault else usual)
        if self.broker_forgot:
            await self._publish_again()
        while time.monotonic() < until:
            missing_message_ids = [await account.missing_message_ids() for account in self.accounts]
            if self._has_all(missing_message_ids):
                return
            await self._open_windows([account.unanswered() for account in self.accounts])
            for remind in self.repeated_actions:
                await remind()
            await self.wait(lambda: self._has_all(missing_message_ids), 1.0)  # noqa: B023 - of this turn

    def _has_all(self, missing_message_ids: list[set[str]]) -> bool:
        """Returns whether these messages, all results and all answers have come, but for those that a broker has lost."""
        if any(account.unanswered() for account in self.accounts):
            return False
        is_certain = not (self.broker_forgot or self.clock_moved)
        if is_certain and any(account.open_questions() for account in self.accounts):
            return False
        if self.broker_forgot:
            return not any(missing_message_ids)
        return all(
            ids <= account.message_ids and not account.unanswered_requests() and not account.missing_replies()
            for ids, account in zip(missing_message_ids, self.accounts, strict=True)
        )

    async def _open_windows(self, unanswered: list[list[PublishedCommand]]) -> None:
        """Lets the person write to the bots that have commands: each message allows ten answers."""
        for account, commands in zip(self.accounts, unanswered, strict=True):
            if account.is_bot and commands:
                await account.say("me", f"go on {time.monotonic()}")

    async def _publish_again(self) -> None:
        """Publishes the commands without a result again with their ids, as publishers do when a broker has lost them."""
        for account in self.accounts:
            for command in account.unanswered():
                await account.publish_again(command)

    async def evidence(self) -> list[AccountEvidence]:
        """Collects what the judge needs; the bridge must run."""
        base_url = self._web_url()
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=20) as http:
            files = [await self._files(http, account) if base_url else {} for account in self.accounts]
        return [
            await account.evidence(compared) for account, compared in zip(self.accounts, files, strict=True)
        ]

    def _web_url(self) -> str:
        """Returns the address of the web server from the log; empty where the disk was full when it was logged."""
        lines = self.log.read_text(errors="replace").splitlines()
        starts = [number for number, line in enumerate(lines) if "The store is" in line]
        served = [line for line in lines[starts[-1] :] if "web server runs" in line] if starts else []
        return str(json.loads(served[-1])["url"]) if served else ""

    async def _files(self, http: httpx.AsyncClient, account: AccountDriver) -> dict[str, tuple[str, str]]:
        """Fetches the files of some messages from the bridge and from the phone."""
        urls: dict[str, str] = {}
        of_ended_logins = await account.messages_of_ended_logins()
        for publication in account.publications:
            if not publication.topic.startswith(f"{account.base}/in/"):
                continue
            message_id, kind = str(publication.body["id"]), publication.body["kind"]
            # WeChat serves a file in the login of its message only: the call has the sender's name of that login.
            is_gone = kind == "file" and message_id in of_ended_logins
            if kind in FILE_KINDS and not is_gone and (url := publication.body[kind].get("url")):
                urls[message_id] = str(url)
        files = {}
        for message_id, url in list(urls.items())[-MAX_FILES:]:
            real = await self.content_hash(account.control, f"{account.part}media/{message_id}")
            files[message_id] = (await _served_hash(http, url), real)
        return files

    async def content_hash(self, control: SimulatorControl, path: str) -> str:
        return hashlib.sha256(await control.content(path)).hexdigest()


FILE_KINDS = {"image", "voice", "video", "sticker", "file"}
MAX_FILES = 10
"""Files of an account that are compared at the end of a run."""


async def _served_hash(http: httpx.AsyncClient, url: str) -> str:
    """Returns the SHA-256 of the file that the bridge serves, or its error."""
    try:
        answer = await http.get(url)
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"
    if answer.status_code != httpx.codes.OK:
        return f"status {answer.status_code} {answer.text[:200]}"
    return hashlib.sha256(answer.content).hexdigest()


def driver_of(
    environment: AccountEnvironment,
    name: str,
    control: SimulatorControl,
    *,
    backend: str,
    base: str,
    scanned: bool = False,
) -> AccountDriver:
    """Returns the driver of an account with this backend; `scanned` is for WeCom."""
    if backend == "wecom":
        return WeComDriver(environment, name, control, backend=backend, base=base, scanned=scanned)
    return AccountDriver(environment, name, control, backend=backend, base=base)


@contextlib.asynccontextmanager
async def open_environment(
    folder: Path, seed: int, names: tuple[str, ...], protocol: str, fault: str = ""
) -> AsyncIterator[Environment]:
    """Opens an environment whose bridge does not run yet; afterwards only its files are left."""
    environment = Environment(folder, seed, names, protocol, fault)
    try:
        await environment.open()
        yield environment
    finally:
        await environment.close()
