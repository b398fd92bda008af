"""Everything that a run needs: instances on simulated machines, database, brokers, network, WeChat, and clients."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import itertools
import math
import random
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.account import AccountDriver, SimulatorControl
from tests.chaos.client import Client
from tests.chaos.environment import driver_of
from tests.chaos.evidence import AccountEvidence, Publication
from tests.chaos.launcher import ChildProcess, ControlBlock, start_bridge
from tests.cluster.brokers import BrokerCluster
from tests.cluster.calls import read_calls, start_simulators
from tests.cluster.database import NAME, DatabasePair
from tests.cluster.evidence import Call, ClusterDisruption, ClusterEvidence, Session
from tests.cluster.network import LOCAL, Network, NetworkConnection
from tests.support.deadlines import allowed
from tests.support.postgresql import USER

KEEPALIVE_SECONDS = 10
LOGIN_SECONDS = 60.0
DRAIN_SECONDS = 60.0
SETTLE_SECONDS, QUIET_SECONDS = 60.0, 3.0
"""Moves have ended when no state changes for `QUIET_SECONDS`, which is so within `SETTLE_SECONDS`."""
SUPERVISION_SECONDS = 0.2
HOLD_SECONDS = 5.0
"""The time that WeChat holds a poll without messages: shorter than in reality, so that a run has many polls."""

TEMPORARY_FAILURE = 75
RESTART_SECONDS = 1.0
"""The pause of a service manager before it starts a program again."""
MAX_INSTANCES = 4
"""Three, and one that joins and leaves."""

CONFIGURED_BOT = "d0"
LOOP_SECONDS = 5.0
"""Instances that take a bot from each other within this time are in a loop."""

BROKER, DATABASE, WECHAT = "broker", "database", "wechat"
SERVERS = (BROKER, DATABASE, WECHAT)
"""What a machine can be cut off from."""

OBSERVED = (
    "in/#",
    "result/#",
    "bridge/response/#",
    "bridge/state",
    "bridge/info",
    "login/state",
    "event/gap",
)


@dataclass(frozen=True, kw_only=True)
class RunSize:
    """How large a run is; `pace` 40 is one fortieth of the traffic of a chaos run for each account.

    Of the `wecom` bots the first one is configured and a scan makes the others. Without `shared` there is one instance with a file in place of the database, for comparisons. `hold_seconds` is how
    long WeChat keeps a poll without news. `direct`: no proxy of the tests is in between, which would be in the figures.
    """

    ilink: int = 60
    webwx: int = 3
    wecom: int = 3
    instances: int = 3
    pace: float = 40.0
    shared: bool = True
    hold_seconds: float = HOLD_SECONDS
    direct: bool = False


class Instance:
    """One instance of the bridge on a machine of its own. `exits` are the codes with which it ended by itself."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = f"machine{number}"
        self.address = f"127.0.1.{number}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.config = self.folder / "wx2mqtt.yaml"
        self.log = self.folder / "log"
        self.control_block = ControlBlock(self.folder / "control")
        self.process: ChildProcess | None = None
        self.exits: list[int] = []
        self._ending = False
        self._ended_at = math.inf

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        assert self.process is None, "it runs already"
        self.process = start_bridge(self.config, self.log, self.folder / "control", "", self.address)

    async def kill(self) -> None:
        await self._end(lambda process: process.kill())

    async def stop(self) -> int | None:
        """SIGTERM; returns the exit code."""
        return await self._end(lambda process: process.stop())

    async def _end(self, how: Callable[[ChildProcess], Any]) -> int | None:
        assert self.process is not None
        self._ending = True
        code: int | None = await how(self.process)
        self.process, self._ending = None, False
        return code

    async def start_until_it_ends(self, seconds: float) -> int | None:
        """Starts it and waits until it ends by itself; returns the exit code, None where it did not and was killed."""
        self.start()
        assert self.process is not None
        self._ending = True
        await self.process.ended_within(seconds)
        code = self.process.exit_code
        await self.process.kill()
        self.process, self._ending = None, False
        return code

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def supervise(self) -> str:
        """Starts it again when it has ended by itself, as a service manager does; returns what is wrong with that."""
        code = None if self.process is None or self._ending else self.process.exit_code
        if code is None:
            self._ended_at = math.inf
            return ""
        if self._ended_at == math.inf:
            self._ended_at = time.monotonic()
            self.exits.append(code)
            return "" if code == TEMPORARY_FAILURE else f"{self.name} ended by itself with {code}"
        if time.monotonic() >= self._ended_at + RESTART_SECONDS:
            self.process = None
            self.start()
        return ""


class ClusterEnvironment:
    """The processes of one run.

    `accounts` have one record for all observers, `records` are those of each. `joins`: the seconds until instances
    that joined had their share.
    """

    broker_forgot = False  # a quorum queue loses nothing that it acknowledged
    protocol = "auto"

    def __init__(self, folder: Path, seed: int, size: RunSize) -> None:
        folder.chmod(0o755)  # the database's user must reach its own folder below
        self.folder = folder
        self.size = size
        self.clock_was_wrong = False
        self.clock_moved = False
        self.problems: list[str] = []
        self.changed = asyncio.Event()
        self.logged_in = 0.0
        self.brokers = BrokerCluster(folder / "brokers")
        self.database = DatabasePair(folder / "database")
        self.instances = [Instance(folder, number) for number in range(1, MAX_INSTANCES + 1)]
        self.network = Network(instance.address for instance in self.instances)
        self.accounts: list[AccountDriver] = []
        self.observers: list[Client] = []
        self.publishers: list[Client] = []
        self.records: list[defaultdict[str, list[Publication]]] = []
        self.states: list[dict[str, tuple[str, str]]] = []
        self.owners: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.joins: list[float] = []
        self._seed = seed
        self._simulators: ChildProcess | None = None
        self._by_base: dict[str, AccountDriver] = {}
        self._supervision: asyncio.Task[None] | None = None
        self._broker_ports: list[int] = []
        self._database_ports: list[int] = []

    @property
    def _calls_file(self) -> Path:
        return self.folder / "calls"

    # start and end

    async def open(self) -> None:
        """Starts everything but the instances."""
        names = {f"a{number:02}": "ilink" for number in range(self.size.ilink)}
        names |= {f"w{number}": "webwx" for number in range(self.size.webwx)}
        names |= {f"d{number}": "wecom" for number in range(self.size.wecom)}
        (self._simulators, ports), *_ = await asyncio.gather(
            start_simulators([*names], self._seed, self._calls_file),
            asyncio.to_thread(self.brokers.open),
            asyncio.to_thread(self.database.open),
        )
        self._broker_ports = [await self._proxy_to(BROKER, node.port) for node in self.brokers.nodes]
        self._database_ports = [await self._proxy_to(DATABASE, one.port) for one in self.database.servers]
        for name, backend in names.items():
            port = await self._proxy_to(WECHAT, ports[name])
            control = SimulatorControl(ports[name], endpoint=f"http://127.0.0.1:{port}")
            account = driver_of(
                self, name, control, backend=backend, base=f"wx/{name}", scanned=name != CONFIGURED_BOT
            )
            self.accounts.append(account)
            self._by_base[account.base] = account
        await asyncio.gather(*(self._prepare(account) for account in self.accounts))
        await self._open_clients()
        self._configure()
        self._supervision = asyncio.create_task(self._supervise())

    async def _proxy_to(self, server: str, port: int) -> int:
        return port if self.size.direct else await self.network.proxy_to(server, port)

    async def _prepare(self, account: AccountDriver) -> None:
        control = account.control
        await account.prepare()
        await control.post(
            "settings",
            strict=True,
            autoscan=True,
            echo=True,
            drop_repeats=False,
            hold_sync=self.size.hold_seconds,
        )
        await control.post(
            "ilink/settings",
            autoscan="me",
            drop_repeats=False,
            hold_updates=self.size.hold_seconds,
            second_poll="share",  # that of a stopped process stays open
        )
        # The subscription of the next instance ends the connection of one that stands still. Two moves of an
        # account may follow each other; a loop would be faster.
        await control.post("wecom/settings", takeover_pause=LOOP_SECONDS)

    async def _open_clients(self) -> None:
        """An observer and a publisher for each node; observers stay with theirs, publishers go to the next."""
        ports = [node.port for node in self.brokers.nodes]
        for number, port in enumerate(ports):
            self.records.append(defaultdict(list))
            self.states.append({})
            filters = [f"wx/+/{name}" for name in OBSERVED]

            def record_publication(publication: Publication, number: int = number) -> None:
                self._on_publication(number, publication)

            self.observers.append(
                Client(port, f"observer{number}", *filters, "reply/#", on_message=record_publication)
            )
            self.publishers.append(Client(ports[number:] + ports[:number], f"publisher{number}"))
        await asyncio.gather(*(client.open() for client in (*self.observers, *self.publishers)))
        for account, publisher in zip(self.accounts, itertools.cycle(self.publishers), strict=False):
            account.publisher = publisher

    async def close(self) -> None:
        """Ends all processes."""
        if self._supervision is not None:
            self._supervision.cancel()
        for instance in self.instances:
            if instance.is_running:
                instance.signal(signal.SIGCONT)
                await instance.kill()
        await asyncio.gather(*(client.close() for client in (*self.observers, *self.publishers)))
        await self.network.close()
        for account in self.accounts:
            await account.control.close()
        if self._simulators is not None:
            await self._simulators.stop()
        await asyncio.to_thread(self.brokers.close)
        await asyncio.to_thread(self.database.close)

    # the instances

    def _configure(self) -> None:
        key = self.folder / "key"
        key.write_text(base64.b64encode(random.Random(self._seed).randbytes(32)).decode() + "\n")
        key.chmod(0o600)
        accounts = {
            # A bundle of texts is one message, and no text of the traffic.
            account.name: account.settings | ({"ilink": {"bundle": False}} if account.is_bot else {})
            for account in self.accounts
        }
        for number, instance in enumerate(self.instances):
            first = number % len(self._broker_ports)
            ports = self._broker_ports[first:] + self._broker_ports[:first]
            address = LOCAL if self.size.direct else instance.address
            hosts = ",".join(f"{address}:{port}" for port in self._database_ports)
            settings: dict[str, Any] = {
                "mqtt": {
                    "url": [f"mqtt://127.0.0.1:{port}" for port in ports],
                    "keepalive": KEEPALIVE_SECONDS,
                },
                "accounts": accounts,
                "storage": {"path": str(instance.folder / "store")},
                "log": {"level": "info", "format": "json"},
                "web": {"listen": "127.0.0.1:0"},
            }
            if self.size.shared:
                settings["storage"] |= {
                    "url": f"postgresql://{USER}@{hosts}/{NAME}?target_session_attrs=read-write",
                    "key_file": str(key),
                }
                settings["cluster"] = {"instance": instance.name}
            instance.config.write_text(yaml.safe_dump(settings, allow_unicode=True))

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(SUPERVISION_SECONDS)
            for instance in self.instances:
                if problem := instance.supervise():
                    self.problems.append(problem)

    async def log_in(self) -> None:
        """Starts the first instances; returns when all accounts are online."""
        for instance in self.instances[: self.size.instances]:
            instance.start()
        online = await self.wait(
            lambda: all(account.state == "online" for account in self.accounts) or bool(self.problems),
            allowed(LOGIN_SECONDS),
        )
        if not online or self.problems:
            states = [account.state for account in self.accounts]
            raise AssertionError(f"not online: {sorted(states)} {self.problems}")
        self.logged_in = time.monotonic()

    def running(self) -> list[Instance]:
        return [instance for instance in self.instances if instance.is_running]

    def owned_by(self, instance: Instance) -> list[AccountDriver]:
        """Returns the accounts that last said that they run there."""
        if not self.size.shared:
            return self.accounts
        return [account for account in self.accounts if self.owners.get(account.name) == instance.name]

    # Publications

    def _on_publication(self, observer: int, publication: Publication) -> None:
        head, _, rest = publication.topic.partition("/")
        if head == "reply":
            account = next((known for known in self.accounts if known.name == rest), None)
            if account is not None and observer == 0:
                account.replies.append(publication)
                self.changed.set()
            return
        account = self._by_base.get("/".join(publication.topic.split("/")[:2]))
        if account is None:
            self.problems.append(f"a publication of no account: {publication.topic}")
            return
        part = publication.topic.removeprefix(f"{account.base}/")
        if part in {"bridge/state", "bridge/info"}:
            self._record_state(observer, account, part, publication)
        elif part == "login/state" or not publication.retain:
            account.record_publication(publication)
            if part == "login/state":
                self.reasons[account.name] = str(publication.body.get("reason", ""))
            if part != "login/state":
                self.records[observer][account.name].append(publication)
        self.changed.set()

    def _record_state(
        self, observer: int, account: AccountDriver, part: str, publication: Publication
    ) -> None:
        state, instance = self.states[observer].get(account.name, ("", ""))
        if part == "bridge/state":
            state = publication.payload.decode()
        else:
            instance = str(publication.body.get("instance", ""))
            if not publication.retain:
                self.owners[account.name] = instance
        self.states[observer][account.name] = state, instance

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

    # the end

    async def drain(self) -> None:
        """Waits until all messages have come to every observer, and every command has its result."""
        until = time.monotonic() + allowed(DRAIN_SECONDS)
        while time.monotonic() < until:
            missing = await asyncio.gather(*(self._missing(account) for account in self.accounts))
            unanswered = [account for account in self.accounts if account.unanswered()]
            if not any(missing) and not unanswered:
                return
            for account in unanswered:
                if account.is_bot:  # each message allows ten answers
                    await account.say("me", f"go on {time.monotonic()}")
            await self.wait(lambda: False, 1.0)

    async def settle(self) -> None:
        """Waits until no account is moving: during a move an account has no owner."""
        until = time.monotonic() + allowed(SETTLE_SECONDS)
        before: object = None
        while time.monotonic() < until:
            now = [dict(states) for states in self.states]
            if now == before and all(state == "online" for states in now for state, _ in states.values()):
                return
            before = now
            await asyncio.sleep(QUIET_SECONDS)

    async def _missing(self, account: AccountDriver) -> int:
        missing_message_ids = await account.missing_message_ids()
        return len(missing_message_ids) + sum(
            not account.message_ids
            <= {str(publication.body.get("id")) for publication in record[account.name]}
            for record in self.records
        )

    async def evidence(self, disruptions: Sequence[ClusterDisruption]) -> ClusterEvidence:
        """Collects what the judge needs; the instances must run."""
        whole: list[AccountEvidence] = await asyncio.gather(
            *(account.evidence({}) for account in self.accounts)
        )
        return ClusterEvidence(
            accounts=[
                [dataclasses.replace(account, publications=record[account.name]) for account in whole]
                for record in self.records
            ],
            calls=self.calls(),
            sessions=sessions_of(self.network.connections),
            disruptions=disruptions,
            states={f"observer{number}": dict(states) for number, states in enumerate(self.states)},
            machines={instance.name: instance.address for instance in self.instances}
            if self.size.shared
            else {},
            logged_in=self.logged_in,
        )

    def calls(self) -> list[Call]:
        return read_calls(self._calls_file)


def sessions_of(connections: Sequence[NetworkConnection]) -> list[Session]:
    """Returns the MQTT connections by the client ids of their first packets, in the order in which they began."""
    return [
        Session(
            client_id=client_id, machine=connection.machine, began=connection.began, ended=connection.ended
        )
        for connection in connections
        if connection.server == BROKER and (client_id := client_id_of(connection.head))
    ]


def client_id_of(head: bytes) -> str:
    """Returns the client id in an MQTT CONNECT packet; empty where there is none."""
    if not head or head[0] != 0x10:
        return ""
    at = 1
    while at < len(head) and head[at] & 0x80:
        at += 1
    at += 1 + 2 + 4  # the length of the protocol's name, and the name
    is_version_5 = at < len(head) and head[at] == 5
    at += 1 + 1 + 2  # version, flags, keepalive
    if is_version_5:
        if at >= len(head):
            return ""
        at += 1 + head[at]  # a CONNECT of ours has fewer than 128 bytes of properties
    size = int.from_bytes(head[at : at + 2])
    return head[at + 2 : at + 2 + size].decode(errors="replace")


@contextlib.asynccontextmanager
async def open_cluster(folder: Path, seed: int, size: RunSize) -> AsyncIterator[ClusterEnvironment]:
    """Opens an environment whose instances do not run yet; afterwards only its files are left."""
    environment = ClusterEnvironment(folder, seed, size)
    try:
        await environment.open()
        yield environment
    finally:
        await environment.close()
