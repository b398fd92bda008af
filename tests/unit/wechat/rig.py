"""A backend above WeChat's servers in memory: scripted answers, a record of the requests, a clock that a test moves."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from tests.support.backend_options import backend_options
from tests.support.httpx_transport import HttpxTransport
from tests.unit.wechat.marks import FakeMarks
from wx2mqtt.clock import Clock
from wx2mqtt.errors import Rejected, StoreError
from wx2mqtt.model import Cursor, Draft, Handle, QuotedMessage, Receipt, SendKey
from wx2mqtt.wechat.backend import (
    Backend,
    Batch,
    LoggedIn,
    LoginStep,
)
from wx2mqtt.wechat.backend_options import BackendOptions

Answer = httpx.Response | Exception | Callable[[httpx.Request], Any]
KEY = SendKey("17000000000001234")


class ManualClock:
    """A clock that advances only by `sleep`."""

    def __init__(self, start: float = 1_790_000_000) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.ahead = 0.0
        self._start = start

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self._start + self.ahead + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self.time += seconds
        await asyncio.sleep(0)

    def as_clock(self) -> Clock:
        return Clock(
            wall=self.wall, monotonic=self.now, boot_time=self.now, sleep=self.sleep, chance=lambda: 0.5
        )


class MemoryVault:
    """A `CredentialStore` in memory, which checks that its content can be written as JSON."""

    def __init__(self) -> None:
        self.content: Mapping[str, Any] | None = None
        self.saves = 0
        self.broken = False

    async def load(self) -> Mapping[str, object] | None:
        return self.content

    async def save(self, session: Mapping[str, object]) -> None:
        if self.broken:
            raise StoreError
        self.content = json.loads(json.dumps(session))
        self.saves += 1

    async def clear(self) -> None:
        if self.broken:
            raise StoreError
        self.content = None


class Rig:
    """A backend, and the servers that it calls.

    Each call gets its scripted answers in turn; the last one stays. An exception is raised; a function is called with
    the request and may be a coroutine.
    """

    backend: Backend
    first_second = 1_790_000_000

    def __init__(self, **options: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.date = ""
        self.clock = ManualClock(self.first_second)
        self.vault = MemoryVault()
        self.seen: list[tuple[str, str]] = []
        self.history: dict[str, QuotedMessage] = {}
        self.marks = FakeMarks()
        self.cursor = Cursor("")
        self.transport = HttpxTransport(httpx.MockTransport(self.handle))
        self.options: BackendOptions = backend_options(
            credentials=self.vault,
            observe=lambda call, outcome, _seconds: self.seen.append((call, outcome)),
            quote_lookup=self._look_up_quote,
            marks=self.marks,
            clock=self.clock.as_clock(),
            **options,
        )
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.restart()

    def restart(self) -> None:
        """Makes a new backend with the same vault and servers."""
        raise NotImplementedError

    def put(self, call: str, *answers: Answer) -> None:
        """Sets the answers of a call."""
        self._answers[call] = deque(answers)

    def asked(self, call: str) -> list[httpx.Request]:
        """Returns the requests of one call."""
        return [request for request in self.requests if name_of(request) == call]

    def bodies(self, call: str) -> list[dict[str, Any]]:
        """Returns the JSON objects that were sent to one call."""
        return [body(request) for request in self.asked(call)]

    def calls(self) -> list[str]:
        """Returns the names of all calls so far."""
        return [name_of(request) for request in self.requests]

    @property
    def saved(self) -> dict[str, Any]:
        """What is saved of the login."""
        assert self.vault.content is not None
        return dict(self.vault.content)

    async def steps(self, *, resume: bool = False, limit: int = 50) -> list[LoginStep]:
        """Returns the steps of a login, up to `limit`; a login that succeeded is the last one."""
        login_steps: list[LoginStep] = []
        async with aclosing(self.backend.login(resume=resume)) as login:
            async for step in login:
                login_steps.append(step)
                if isinstance(step, LoggedIn) or len(login_steps) >= limit:
                    break
        return login_steps

    async def log_in(self, *, resume: bool = False) -> LoggedIn:
        """Logs in, and returns the last step."""
        step = (await self.steps(resume=resume, limit=1000))[-1]
        assert isinstance(step, LoggedIn)
        self.cursor = step.cursor
        return step

    async def poll(self, cursor: Cursor | None = None) -> Batch:
        """Receives from this cursor on, which is that of the login unless the test names another."""
        return await self.backend.receive(self.cursor if cursor is None else cursor)

    async def send(self, draft: Draft, key: str = KEY) -> Receipt:
        return await self.backend.send(draft, SendKey(key))

    async def load_contacts(self) -> None:
        async for _ in self.backend.list_contacts(lambda _count: None):
            pass

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answers = self._answers[name_of(request)]
        if not answers:
            return httpx.Response(404, content=b"not scripted")
        scripted = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(scripted, Exception):
            raise scripted
        if not isinstance(scripted, httpx.Response):
            result = scripted(request)
            scripted = await result if asyncio.iscoroutine(result) else result
        if not scripted.is_closed:  # a body that is read piece by piece
            return scripted
        headers = [*scripted.headers.multi_items(), *([("Date", self.date)] if self.date else [])]
        return httpx.Response(scripted.status_code, headers=headers, content=scripted.content)

    async def _look_up_quote(self, message_id: str, chat: Handle) -> QuotedMessage | None:
        quoted = self.history.get(message_id)
        return quoted if quoted and quoted.chat == chat else None


def name_of(request: httpx.Request) -> str:
    return request.url.path.rpartition("/")[2]


def query(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


def body(request: httpx.Request) -> dict[str, Any]:
    content = json.loads(request.content)
    assert isinstance(content, dict)
    return content


def kinds(login_steps: list[LoginStep]) -> list[str]:
    return [type(step).__name__ for step in login_steps]


@contextmanager
def refused(code: str) -> Iterator[pytest.ExceptionInfo[Rejected]]:
    """Expects that a command is refused with this code."""
    with pytest.raises(Rejected) as raised:
        yield raised
    assert raised.value.code == code
