"""Drives one account of a run at the simulator and through the broker, and records what happens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx

from tests.chaos.client import Client
from tests.chaos.evidence import (
    AccountEvidence,
    Publication,
    PublishedChange,
    PublishedCommand,
    PublishedQuestion,
)
from tests.chaos.launcher import ChildProcess
from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.unstored_messages import Gap, gap_in
from tests.support.traffic import CONTACTS, WRITERS

DRAIN_SECONDS = 40.0
HISTORY_PAGE = 500
FAULT_POLL_SECONDS = 0.05


class SimulatorControl:
    """The control of one simulator; `faults` and records of all its accounts.

    `endpoint` is the address for the bridge; without one it is that of a proxy.
    """

    def __init__(self, port: int, process: ChildProcess | None = None, endpoint: str = "") -> None:
        self.process = process
        self.proxy = TcpProxy(port)
        self._endpoint = endpoint
        limits = httpx.Limits(max_connections=50)
        url = f"http://127.0.0.1:{port}/sim/"
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=limits)

    @property
    def endpoint(self) -> str:
        return self._endpoint or f"http://127.0.0.1:{self.proxy.port}"

    async def post(self, action: str, **fields: Any) -> Any:
        answer = await self._http.post(action, json=fields)
        assert answer.status_code == httpx.codes.OK, f"{action}: {answer.text}"
        return answer.json()

    async def try_post(self, action: str, **fields: Any) -> bool:
        """Returns whether the action was possible."""
        return (await self._http.post(action, json=fields)).status_code == httpx.codes.OK

    async def answer_to(self, action: str, **fields: Any) -> Any:
        """Returns the answer; None where the action was not possible."""
        answer = await self._http.post(action, json=fields)
        return answer.json() if answer.status_code == httpx.codes.OK else None

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
            await self.proxy.close()
        if self.process is not None:
            await self.process.stop()


Provocation = Callable[["AccountDriver", str], Awaitable[None]]
"""Makes the bridge call an endpoint for an account, if it knows the endpoint."""


class AccountEnvironment(Protocol):
    """The run, as an account needs it."""

    broker_forgot: bool
    clock_was_wrong: bool
    clock_moved: bool

    async def wait(self, condition: Callable[[], bool], seconds: float) -> bool: ...


class AccountDriver:
    """Drives one account, and records what happens.

    `payloads` are the topic and payload of each command by its id, `texts` the texts of all published
    messages, `results` the ids (or transactions) of the commands that have a result, `event_ids` those of messages
    that become events. `part` begins the control of its backend. `question_chats` are the chats that get questions.
    """

    def __init__(
        self,
        environment: AccountEnvironment,
        name: str,
        control: SimulatorControl,
        *,
        backend: str,
        base: str,
    ) -> None:
        self.name = name
        self.base = base
        self.backend = backend
        self.control = control
        self.is_bot = self.backend == "ilink"
        self.part = "ilink/" if self.is_bot else ""
        self.writers = ("me",) if self.is_bot else tuple(WRITERS)
        self.users = ("me",) if self.is_bot else ("wife", "mom", "family", "filehelper")
        self.levels = {"me": "me"} if self.is_bot else {chat: chat for chat in WRITERS}
        self.question_chats: tuple[str, ...] = ("me",) if self.is_bot else ("lilei", "work")
        self.command_seconds = 0.3 if self.is_bot else 0.08
        self.drain_seconds, self.recovery_seconds = DRAIN_SECONDS, 30.0
        self.questions: list[PublishedQuestion] = []
        self.answered: set[str] = set()
        self.statuses: dict[str, str] = {}
        self.gaps: list[Gap] = []
        self.publisher_name = f"publisher-{name}"
        self.publisher: Client | None = None
        self.commands: list[PublishedCommand] = []
        self.payloads: dict[str, tuple[str, str]] = {}
        self.requests: dict[str, str] = {}
        self.changes: list[PublishedChange] = []
        self.event_ids: set[str] = set()
        self.publications: list[Publication] = []
        self.replies: list[Publication] = []
        self.message_ids: set[str] = set()
        self.texts: set[str] = set()
        self.results: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {}
        self.state = ""
        self.reason = ""
        self._environment = environment

    async def prepare(self) -> None:
        """Reads what the settings need from the simulator."""

    @property
    def settings(self) -> dict[str, Any]:
        people = {"me": {"owner": True}} if self.is_bot else CONTACTS
        return {
            "backend": self.backend,
            "endpoint": self.control.endpoint,
            "base_topic": self.base,
            "contacts": people,
            "receive": {"own": True},
            "send": {"per_minute": 0},
            **({"ilink": {"typing": True}} if self.is_bot else {}),
        }

    async def say(self, chat: str, text: str, count: int = 1, **more: Any) -> bool:
        """Lets a person write in a chat; returns whether that was possible."""
        return await self.write(chat, text, count, **more) is not None

    async def write(self, chat: str, text: str, count: int = 1, **more: Any) -> str | None:
        """Lets a person write in a chat; returns the id of the last message, None where that was not possible."""
        if self.is_bot:
            answer = await self.control.answer_to("ilink/say", text=text, count=count, **more)
        else:
            in_chat = chat in {"family", "work", "filehelper"}
            who = {"from": WRITERS[chat], "to": chat if in_chat else "me"}
            answer = await self.control.answer_to("say", text=text, count=count, **who, **more)
        return str(answer["msg_ids"][-1]) if answer else None

    async def press(self, question: str, chat: str, key: str) -> bool | None:
        """Presses a button of a card; returns whether a program got the press, None where there is no such card."""
        return None

    async def publish_command(
        self, command: PublishedCommand, topic: str, payload: str, **properties: Any
    ) -> None:
        """Publishes a command; records it once the broker has acknowledged it."""
        repeated = await self._publish(topic, payload, lambda: self.commands.append(command), **properties)
        self.payloads[command.id] = f"{self.base}/{topic}", payload
        command.may_repeat = not command.id and repeated

    async def ask(self, name: str, body: dict[str, Any]) -> None:
        """Publishes a request."""
        await self._publish(f"bridge/request/{name}", json.dumps(body))

    async def change(self, change: PublishedChange, payload: str) -> None:
        """Publishes a request that changes something; records it once the broker has acknowledged it."""
        change.may_repeat = await self._publish(f"bridge/request/{change.name}", payload)
        self.changes.append(change)
        self.requests[change.transaction] = change.name

    async def _publish(
        self, topic: str, payload: str, on_begin: Callable[[], None] = lambda: None, **properties: Any
    ) -> bool:
        """Publishes below the base topic; returns whether that may have happened more than once."""
        assert self.publisher is not None
        publisher, connections = self.publisher, self.publisher.connections
        await publisher.publish(f"{self.base}/{topic}", payload, on_begin, **properties)
        return publisher.connections != connections

    def sent_messages(self) -> list[tuple[str, str]]:
        """Returns the user and the message id of each command that was sent."""
        prefix = f"{self.base}/result/"
        return [
            (publication.topic.removeprefix(prefix), str(publication.body["message_id"]))
            for publication in self.publications
            if publication.topic.startswith(prefix) and publication.body["message_id"]
        ]

    async def publish_again(self, command: PublishedCommand) -> None:
        """Publishes a command again, as publishers do when a broker has lost it."""
        assert self.publisher is not None
        command.published_again = True
        await self.publisher.publish(*self.payloads[command.id])

    async def answer(self, name: str, transaction: str, **fields: Any) -> dict[str, Any]:
        """Publishes a request and returns the data of its answer."""
        await self.ask(name, {"transaction": transaction, **fields})
        await self._environment.wait(lambda: transaction in self.answers, DRAIN_SECONDS)
        answer = self.answers.get(transaction, {})
        return dict(answer.get("data") or {})

    async def log_out(self, retcode: int) -> None:
        """Lets WeChat end the login; the next code is scanned at once."""
        if self.is_bot:
            await self.control.try_post("ilink/kill")
        else:
            await self.control.try_post("logout", retcode=retcode)

    def record_publication(self, publication: Publication) -> None:
        """Records a publication below the base topic."""
        kind = publication.topic.removeprefix(f"{self.base}/").partition("/")[0]
        if kind == "in":
            self.publications.append(publication)
            self.message_ids.add(str(publication.body["id"]))
            self.texts.add(str(publication.body["text"]))
        elif kind == "result":
            self.publications.append(publication)
            self.results.add(str(publication.body["id"]))
            self.statuses[str(publication.body["id"])] = str(publication.body["status"])
        elif publication.topic == f"{self.base}/event/gap":
            self.gaps.append(gap_in(publication.body))
        elif publication.topic == f"{self.base}/event/button":
            self.publications.append(publication)
            self.answered.add(str(publication.body["command_id"]))
        elif publication.topic.startswith(f"{self.base}/bridge/response/"):
            self.publications.append(publication)
            transaction = str(publication.body.get("transaction", ""))
            self.answers[transaction] = publication.body
            self.results.add(transaction)
        elif publication.topic == f"{self.base}/login/state":
            self.state = str(publication.body.get("state", ""))
            self.reason = str(publication.body.get("reason", ""))

    async def missing_message_ids(self) -> set[str]:
        """Returns the ids of the messages that must come and did not yet.

        After a broker has lost messages these are those that the bridge has not confirmed to WeChat.
        """
        logs = await self.control.get("ilink/logs" if self.is_bot else "logs")
        own = {
            str(line["msg_id"]) for line in await self.control.get("ilink/sent" if self.is_bot else "sent")
        }
        missing_message_ids: set[str] = set()
        for log in logs:
            messages, confirmed = [str(message_id) for message_id in log["messages"]], log["confirmed"]
            if self._environment.broker_forgot:
                missing_message_ids |= {*messages[confirmed:]} if log["active"] else set()
            else:
                missing_message_ids |= {*messages} if log["active"] else {*messages[:confirmed]}
        seen = set() if self._environment.broker_forgot else self.message_ids
        return missing_message_ids - own - seen - self.event_ids

    async def messages_of_ended_logins(self) -> set[str]:
        """Returns the ids of the messages that came in a login that has ended."""
        logs = await self.control.get("ilink/logs" if self.is_bot else "logs")
        return {str(message_id) for log in logs if not log["active"] for message_id in log["messages"]}

    def unanswered(self) -> list[PublishedCommand]:
        """Returns the commands with an id that have no result yet."""
        with_id = (command for command in self.commands if command.id)
        return [command for command in with_id if (command.transaction or command.id) not in self.results]

    def unanswered_requests(self) -> set[str]:
        """Returns the transactions of the requests that have no answer yet."""
        return self.requests.keys() - self.answers.keys()

    def missing_replies(self) -> set[bytes]:
        """Returns the correlation data of the commands without an id that have no result yet."""
        without_id = {command.correlation for command in self.commands if not command.id}
        return without_id - {reply.correlation for reply in self.replies}

    def open_questions(self) -> list[PublishedQuestion]:
        """Returns the questions that were asked and have no answer yet."""
        asked = (
            question
            for question in self.questions
            if self.statuses.get(question.command_id) in {"sent", "uncertain"}
        )
        return [question for question in asked if question.command_id not in self.answered]

    async def evidence(self, files: dict[str, tuple[str, str]]) -> AccountEvidence:
        return await self.evidence_of(
            files,
            logs=await self.control.get(f"{self.part}logs"),
            lines=(await self.control.get(f"{self.part}feed"))["lines"],
            sent=await self.control.get(f"{self.part}sent"),
        )

    async def evidence_of(self, files: dict[str, tuple[str, str]], **records: Any) -> AccountEvidence:
        """Returns the evidence with these records of the simulator."""
        people = await self.control.get("people")
        return AccountEvidence(
            **records,
            name=self.name,
            base=self.base,
            levels=self.levels,
            questions=self.questions,
            gaps=self.gaps,
            clock_moved=self._environment.clock_moved,
            publications=self.publications,
            replies=self.replies,
            history=await self._history(),
            commands=self.commands,
            requests=self.requests,
            changes=self.changes,
            groups=[person["nickname"] for person in people if person["kind"] == "group"],
            friends={person["id"] for person in people if person["kind"] == "friend"},
            event_ids=self.event_ids,
            files=files,
            broker_forgot=self._environment.broker_forgot,
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
