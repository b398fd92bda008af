"""Everything a run needs: WeChat, a broker, lines before both, the bridge, and clients that keep what they see."""

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
from typing import Any, Protocol

import httpx
import yaml

from tests.chaos.client import Client
from tests.chaos.evidence import AccountEvidence, GivenChange, GivenCommand, Publication
from tests.chaos.launcher import Child, ControlBlock, start_bridge, start_simulator
from tests.chaos.line import Line
from tests.support.broker import Mosquitto, free_port
from tests.support.traffic import CONTACTS, WRITERS

KEEPALIVE_SECONDS = 4
LOGIN_SECONDS = 20.0
DRAIN_SECONDS = 40.0
FAULT_DRAIN_SECONDS = 8.0
"""With a planted fault something never comes."""
HISTORY_PAGE = 500
FAULT_POLL_SECONDS = 0.05

BROKER = """
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
"""
"""It saves its state once a second and at an orderly stop: a kill takes it back by up to a second."""

TEMPORARY_FAILURE = 75
"""The exit code of the bridge for a store that is full when it starts."""

SUPERVISION_SECONDS = 0.2

BACKENDS = {"home": "webwx", "bot": "ilink", "office": "webwx"}
BASES = {"home": "wx", "bot": "wx/bot", "office": "wx/office"}

OBSERVED = ("in/#", "result/#", "bridge/response/#", "login/state")


class Phone:
    """The control of one simulator; `faults` and records of all its accounts.

    `endpoint` is the address that the bridge gets; without one it is that of a line.
    """

    def __init__(self, port: int, process: Child | None = None, endpoint: str = "") -> None:
        self.process = process
        self.line = Line(port)
        self._endpoint = endpoint
        limits = httpx.Limits(max_connections=50)
        url = f"http://127.0.0.1:{port}/sim/"
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=limits)

    @property
    def endpoint(self) -> str:
        return self._endpoint or f"http://127.0.0.1:{self.line.port}"

    async def post(self, action: str, **fields: Any) -> Any:
        answer = await self._http.post(action, json=fields)
        assert answer.status_code == httpx.codes.OK, f"{action}: {answer.text}"
        return answer.json()

    async def try_post(self, action: str, **fields: Any) -> bool:
        """Returns whether the action was possible."""
        return (await self._http.post(action, json=fields)).status_code == httpx.codes.OK

    async def get(self, name: str, **query: Any) -> Any:
        answer = await self._http.get(name, params=query)
        assert answer.status_code == httpx.codes.OK, f"{name}: {answer.text}"
        return answer.json()

    async def pending_faults_met(self, seconds: float) -> None:
        """Waits until all ordered faults have happened, at most `seconds`."""
        until = time.monotonic() + seconds
        while (await self.get("state"))["faults"] and time.monotonic() < until:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(FAULT_POLL_SECONDS)

    async def content(self, path: str) -> bytes:
        answer = await self._http.get(path)
        return bytes(answer.content) if answer.status_code == httpx.codes.OK else b""

    async def close(self) -> None:
        await self._http.aclose()
        if not self._endpoint:
            await self.line.close()
        if self.process is not None:
            await self.process.stop()


Provocation = Callable[["AccountDriver", str], Awaitable[None]]
"""Does what makes the bridge call an endpoint for an account, if it knows the endpoint."""


class Surroundings(Protocol):
    """What an account knows of the run that it is in."""

    forgot: bool
    clock_was_wrong: bool

    async def wait(self, condition: Callable[[], bool], seconds: float) -> bool: ...


class AccountDriver:
    """One account: what is done with it, and the record of that.

    `payloads` are the topic and payload of each command by its id, `texts` the texts of all messages that were
    seen, `results` the ids (or transactions) of the commands that have a result, `event_ids` those of messages
    that become events.
    """

    def __init__(
        self, environment: Surroundings, name: str, phone: Phone, *, backend: str, base: str
    ) -> None:
        self.name = name
        self.base = base
        self.backend = backend
        self.phone = phone
        self.is_bot = self.backend == "ilink"
        self.writers = ("me",) if self.is_bot else tuple(WRITERS)
        self.users = ("me",) if self.is_bot else ("wife", "mom", "family", "filehelper")
        self.levels = {"me": "me"} if self.is_bot else {chat: chat for chat in WRITERS}
        self.command_seconds = 0.3 if self.is_bot else 0.08
        self.publisher_name = f"publisher-{name}"
        self.publisher: Client | None = None
        self.commands: list[GivenCommand] = []
        self.payloads: dict[str, tuple[str, str]] = {}
        self.requests: dict[str, str] = {}
        self.changes: list[GivenChange] = []
        self.event_ids: set[str] = set()
        self.seen: list[Publication] = []
        self.replies: list[Publication] = []
        self.message_ids: set[str] = set()
        self.texts: set[str] = set()
        self.results: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {}
        self.state = ""
        self.reason = ""
        self._environment = environment

    @property
    def settings(self) -> dict[str, Any]:
        people = {"me": {"owner": True}} if self.is_bot else CONTACTS
        return {
            "backend": self.backend,
            "endpoint": self.phone.endpoint,
            "base_topic": self.base,
            "contacts": people,
            "receive": {"own": True},
            "send": {"per_minute": 0},
            **({"ilink": {"typing": True}} if self.is_bot else {}),
        }

    async def say(self, chat: str, text: str, count: int = 1, **more: Any) -> bool:
        """Somebody writes in a chat; returns whether they could."""
        if self.is_bot:
            return await self.phone.try_post("ilink/say", text=text, count=count, **more)
        in_chat = chat in {"family", "work", "filehelper"}
        who = {"from": WRITERS[chat], "to": chat if in_chat else "me"}
        return await self.phone.try_post("say", text=text, count=count, **who, **more)

    async def give(self, command: GivenCommand, topic: str, payload: str, **properties: Any) -> None:
        """Publishes a command; it counts once the broker has acknowledged it."""
        repeated = await self._publish(topic, payload, lambda: self.commands.append(command), **properties)
        self.payloads[command.id] = f"{self.base}/{topic}", payload
        command.may_repeat = not command.id and repeated

    async def ask(self, name: str, body: dict[str, Any]) -> None:
        """Publishes a request."""
        await self._publish(f"bridge/request/{name}", json.dumps(body))

    async def change(self, change: GivenChange, payload: str) -> None:
        """Publishes a request that changes something; it counts once the broker has acknowledged it."""
        change.may_repeat = await self._publish(f"bridge/request/{change.name}", payload)
        self.changes.append(change)
        self.requests[change.transaction] = change.name

    async def _publish(
        self, topic: str, payload: str, on_turn: Callable[[], None] = lambda: None, **properties: Any
    ) -> bool:
        """Publishes below the base topic; returns whether that may have happened more than once."""
        assert self.publisher is not None
        publisher, connections = self.publisher, self.publisher.connections
        await publisher.publish(f"{self.base}/{topic}", payload, on_turn, **properties)
        return publisher.connections != connections

    def sent_messages(self) -> list[tuple[str, str]]:
        """Returns the user and the message id of each command that was sent."""
        prefix = f"{self.base}/result/"
        return [
            (publication.topic.removeprefix(prefix), str(publication.body["message_id"]))
            for publication in self.seen
            if publication.topic.startswith(prefix) and publication.body["message_id"]
        ]

    async def give_again(self, command: GivenCommand) -> None:
        """Publishes a command once more, as publishers do after a broker has forgotten."""
        assert self.publisher is not None
        command.given_again = True
        await self.publisher.publish(*self.payloads[command.id])

    async def answer(self, name: str, transaction: str, **fields: Any) -> dict[str, Any]:
        """Publishes a request and returns the data of its answer."""
        await self.ask(name, {"transaction": transaction, **fields})
        await self._environment.wait(lambda: transaction in self.answers, DRAIN_SECONDS)
        answer = self.answers.get(transaction, {})
        return dict(answer.get("data") or {})

    async def log_out(self, retcode: int) -> None:
        """WeChat ends the login; who scans the next code does so at once."""
        if self.is_bot:
            await self.phone.try_post("ilink/kill")
        else:
            await self.phone.try_post("logout", retcode=retcode)

    def see(self, publication: Publication) -> None:
        """Records a publication below the base topic."""
        kind = publication.topic.removeprefix(f"{self.base}/").partition("/")[0]
        if kind == "in":
            self.seen.append(publication)
            self.message_ids.add(str(publication.body["id"]))
            self.texts.add(str(publication.body["text"]))
        elif kind == "result":
            self.seen.append(publication)
            self.results.add(str(publication.body["id"]))
        elif publication.topic.startswith(f"{self.base}/bridge/response/"):
            self.seen.append(publication)
            transaction = str(publication.body.get("transaction", ""))
            self.answers[transaction] = publication.body
            self.results.add(transaction)
        elif publication.topic == f"{self.base}/login/state":
            self.state = str(publication.body.get("state", ""))
            self.reason = str(publication.body.get("reason", ""))

    async def owed(self) -> set[str]:
        """Returns the ids of the messages that must come and did not yet.

        After a broker has forgotten some of them: those that the bridge has not confirmed to WeChat.
        """
        logs = await self.phone.get("ilink/logs" if self.is_bot else "logs")
        own = {str(line["msg_id"]) for line in await self.phone.get("ilink/sent" if self.is_bot else "sent")}
        owed: set[str] = set()
        for log in logs:
            messages, confirmed = [str(message_id) for message_id in log["messages"]], log["confirmed"]
            if self._environment.forgot:
                owed |= {*messages[confirmed:]} if log["active"] else set()
            else:
                owed |= {*messages} if log["active"] else {*messages[:confirmed]}
        seen = set() if self._environment.forgot else self.message_ids
        return owed - own - seen - self.event_ids

    async def messages_of_ended_logins(self) -> set[str]:
        """Returns the ids of the messages that came in a login that has ended."""
        logs = await self.phone.get("ilink/logs" if self.is_bot else "logs")
        return {str(message_id) for log in logs if not log["active"] for message_id in log["messages"]}

    def unanswered(self) -> list[GivenCommand]:
        """Returns the commands with an id that have no result yet."""
        with_id = (command for command in self.commands if command.id)
        return [one for one in with_id if (one.transaction or one.id) not in self.results]

    def unanswered_requests(self) -> set[str]:
        """Returns the transactions of the requests that have no answer yet."""
        return self.requests.keys() - self.answers.keys()

    def missing_replies(self) -> set[bytes]:
        """Returns the correlation data of the commands without an id that have no result yet."""
        without_id = {command.correlation for command in self.commands if not command.id}
        return without_id - {reply.correlation for reply in self.replies}

    async def evidence(self, files: dict[str, tuple[str, str]]) -> AccountEvidence:
        part = "ilink/" if self.is_bot else ""
        people = await self.phone.get("people")
        return AccountEvidence(
            name=self.name,
            base=self.base,
            levels=self.levels,
            logs=await self.phone.get(f"{part}logs"),
            lines=(await self.phone.get(f"{part}feed"))["lines"],
            sent=await self.phone.get(f"{part}sent"),
            seen=self.seen,
            replies=self.replies,
            history=await self._history(),
            commands=self.commands,
            requests=self.requests,
            changes=self.changes,
            groups=[one["nickname"] for one in people if one["kind"] == "group"],
            friends={one["id"] for one in people if one["kind"] == "friend"},
            event_ids=self.event_ids,
            files=files,
            broker_forgot=self._environment.forgot,
            clock_was_wrong=self._environment.clock_was_wrong,
            reason=self.reason,
        )

    async def _history(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for page in range(100):
            since = rows[-1]["seq"] if rows else 0
            data = await self.answer("history", f"history-{page}", since=since, limit=HISTORY_PAGE)
            rows += data.get("messages", [])
            if not data.get("more"):
                break
        return rows


class Environment:
    """The processes of one run. `fault` is the name of a planted fault, empty for none."""

    def __init__(
        self, folder: Path, seed: int, names: tuple[str, ...], protocol: str, fault: str = ""
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.config = folder / "wx2mqtt.yaml"
        self.control = ControlBlock(folder / "control")
        self.broker = Mosquitto(folder / "mosquitto", BROKER, port=free_port(), log="information")
        self.broker_line = Line(self.broker.port)
        self.phones: list[Phone] = []
        self.accounts: list[AccountDriver] = []
        self.bridge: Child | None = None
        self.observer: Client | None = None
        self._ending = False  # the bridge is being stopped or killed
        self._supervision: asyncio.Task[None] | None = None
        self.forgot = False
        self.clock_was_wrong = False
        self.provocations: tuple[Provocation, ...] = ()
        self.wrong: list[str] = []
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
        await self.broker_line.open()
        first = await self._open_phone(self._seed)
        for name in self._names:
            phone = first if name != "office" else await self._open_phone(self._seed + 1)
            driver = AccountDriver(self, name, phone, backend=BACKENDS[name], base=BASES[name])
            self.accounts.append(driver)
        filters = [f"{account.base}/{name}" for account in self.accounts for name in OBSERVED]
        self.observer = Client(
            self.broker.port, "observer", *filters, "reply/#", on_message=self._on_publication
        )
        await self.observer.open()
        for account in self.accounts:
            account.publisher = Client(self.broker.port, account.publisher_name)
            await account.publisher.open()
        self.configure()

    async def _open_phone(self, seed: int) -> Phone:
        process, port = await start_simulator(seed)
        phone = Phone(port, process)
        await phone.line.open()
        await phone.post("settings", strict=True, autoscan=True, echo=True, drop_repeats=False)
        await phone.post("ilink/settings", autoscan="me", drop_repeats=False)
        self.phones.append(phone)
        return phone

    async def close(self) -> None:
        """Ends all processes."""
        if self._supervision is not None:
            self._supervision.cancel()
        if self.bridge is not None:
            await self.bridge.kill()
        clients = [self.observer, *(account.publisher for account in self.accounts)]
        await asyncio.gather(*(client.close() for client in clients if client is not None))
        await self.broker_line.close()
        for phone in self.phones:
            await phone.close()
        await asyncio.to_thread(self.broker.kill)

    # the bridge

    def configure(self, *, broken: bool = False) -> None:
        """Writes the configuration; each time another log level. `broken`: with a key that does not exist."""
        self._log_level = "debug" if self._log_level == "info" else "info"
        settings: dict[str, Any] = {
            "mqtt": {
                "url": f"mqtt://127.0.0.1:{self.broker_line.port}",
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
        self.control.commits_until_kill = 0
        self.bridge, self._ending = None, False

    async def stop(self) -> None:
        """SIGTERM; the bridge must end in order."""
        assert self.bridge is not None
        self._ending = True
        code = await self.bridge.stop()
        self.bridge, self._ending = None, False
        if code != 0:
            self.wrong.append(f"the bridge ended with {code} at SIGTERM")

    def signal(self, number: signal.Signals) -> None:
        assert self.bridge is not None
        self.bridge.send_signal(number)

    @contextlib.contextmanager
    def full_disk(self) -> Any:
        """No file of the bridge can be written: a limit of the process, which needs no rights."""
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
                    self.wrong.append(f"the bridge ended with {code}")
                self.bridge = None
                self.start()

    async def log_in(self) -> None:
        """Starts the bridge; returns when all accounts are online."""
        self.start()
        online = await self.wait(
            lambda: all(account.state == "online" for account in self.accounts), LOGIN_SECONDS
        )
        if not online:
            self.wrong.append(
                "not online within the time: " + str([account.state for account in self.accounts])
            )

    async def provoke(self, account: AccountDriver, endpoint: str) -> None:
        """Makes the bridge call an endpoint soon."""
        for provocation in self.provocations:
            await provocation(account, endpoint)

    # what is seen

    def _on_publication(self, publication: Publication) -> None:
        if publication.retain and not publication.topic.endswith("/login/state"):
            return
        if publication.topic.startswith("reply/"):
            name = publication.topic.removeprefix("reply/")
            next(account for account in self.accounts if account.name == name).replies.append(publication)
        else:
            self._account_of(publication.topic).see(publication)
        self.changed.set()

    def _account_of(self, topic: str) -> AccountDriver:
        fitting = [account for account in self.accounts if topic.startswith(f"{account.base}/")]
        return max(fitting, key=lambda account: len(account.base)) if fitting else self.accounts[0]

    async def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits until something that is seen makes the condition true; False when it does not by then."""
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
        """Waits until everything that is owed has come: messages, results of commands, answers to requests."""
        until = time.monotonic() + (FAULT_DRAIN_SECONDS if self._fault else DRAIN_SECONDS)
        if self.forgot:
            await self._give_again()
        while time.monotonic() < until:
            owed = [await account.owed() for account in self.accounts]
            if self._has_all(owed):
                return
            await self._open_windows([account.unanswered() for account in self.accounts])
            await self.wait(lambda: self._has_all(owed), 1.0)  # noqa: B023 - of this turn

    def _has_all(self, owed: list[set[str]]) -> bool:
        """Returns whether these messages, all results and all answers are there; a broker forgets some of them."""
        if any(account.unanswered() for account in self.accounts):
            return False
        if self.forgot:
            return not any(owed)
        return all(
            ids <= account.message_ids and not account.unanswered_requests() and not account.missing_replies()
            for ids, account in zip(owed, self.accounts, strict=True)
        )

    async def _open_windows(self, unanswered: list[list[GivenCommand]]) -> None:
        """The person writes to the bot: each message allows ten answers."""
        for account, commands in zip(self.accounts, unanswered, strict=True):
            if account.is_bot and commands:
                await account.say("me", f"go on {time.monotonic()}")

    async def _give_again(self) -> None:
        """What publishers do after a broker has forgotten: the same commands with the same ids once more."""
        for account in self.accounts:
            for command in account.unanswered():
                await account.give_again(command)

    async def evidence(self) -> list[AccountEvidence]:
        """Collects what the judge needs; the bridge must run."""
        base_url = self._web_url()
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=20) as http:
            files = [await self._files(http, account) if base_url else {} for account in self.accounts]
        return [
            await account.evidence(compared) for account, compared in zip(self.accounts, files, strict=True)
        ]

    def _web_url(self) -> str:
        """Returns where the web server of the last start listens; empty where the disk was full when it said so."""
        lines = self.log.read_text(errors="replace").splitlines()
        starts = [number for number, line in enumerate(lines) if "The store is" in line]
        served = [line for line in lines[starts[-1] :] if "web server runs" in line] if starts else []
        return str(json.loads(served[-1])["url"]) if served else ""

    async def _files(self, http: httpx.AsyncClient, account: AccountDriver) -> dict[str, tuple[str, str]]:
        """Fetches the files of some messages from the bridge and from the phone."""
        urls: dict[str, str] = {}
        of_ended_logins = await account.messages_of_ended_logins()
        for publication in account.seen:
            if not publication.topic.startswith(f"{account.base}/in/"):
                continue
            message_id, kind = str(publication.body["id"]), publication.body["kind"]
            # WeChat hands out a file in its own login only: the call names the sender by the name in it.
            is_gone = kind == "file" and message_id in of_ended_logins
            if kind in FILE_KINDS and not is_gone and (url := publication.body[kind].get("url")):
                urls[message_id] = str(url)
        files = {}
        for message_id, url in list(urls.items())[-MAX_FILES:]:
            part = "ilink/media/" if account.is_bot else "media/"
            real = await self.content_hash(account.phone, f"{part}{message_id}")
            files[message_id] = (await _served_hash(http, url), real)
        return files

    async def content_hash(self, phone: Phone, path: str) -> str:
        return hashlib.sha256(await phone.content(path)).hexdigest()


FILE_KINDS = {"image", "voice", "video", "sticker", "file"}
MAX_FILES = 10
"""Files of an account that are compared at the end of a run."""


async def _served_hash(http: httpx.AsyncClient, url: str) -> str:
    """Returns the SHA-256 of what the bridge serves, or what it answers instead."""
    try:
        answer = await http.get(url)
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"
    if answer.status_code != httpx.codes.OK:
        return f"status {answer.status_code} {answer.text[:200]}"
    return hashlib.sha256(answer.content).hexdigest()


@contextlib.asynccontextmanager
async def open_environment(
    folder: Path, seed: int, names: tuple[str, ...], protocol: str, fault: str = ""
) -> AsyncIterator[Environment]:
    """A environment whose bridge does not run yet; nothing is left of it afterwards but its files."""
    environment = Environment(folder, seed, names, protocol, fault)
    try:
        await environment.open()
        yield environment
    finally:
        await environment.close()
