"""iLink's servers in memory, behind httpx's mock transport: scripted answers, and a record of the requests."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.support.httpx_transport import HttpxTransport
from tests.unit.wechat.ilink.entries import BOT, ME, TOKEN, Json
from tests.unit.wechat.marks import FakeMarks
from wx2mqtt.clock import Clock
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.model import Cursor, Handle, QuotedMessage
from wx2mqtt.wechat.backend import BackendOptions, LoggedIn
from wx2mqtt.wechat.ilink.backend import ILinkBackend
from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp

ENDPOINT = "http://ilink.test/p"
Answer = httpx.Response | Exception | Callable[[httpx.Request], Any]
CONFIRMED: Json = {
    "ret": 0,
    "status": "confirmed",
    "bot_token": TOKEN,
    "ilink_bot_id": BOT,
    "ilink_user_id": ME,
    "baseurl": "",
}
DEAD: Json = {"errcode": -14, "errmsg": "session timeout"}


def answer(http: int = 200, /, **fields: Any) -> httpx.Response:
    return raw(json.dumps(fields, ensure_ascii=False).encode(), http)


def raw(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=body, headers=named)


def scan(status: str, **fields: Any) -> httpx.Response:
    return answer(ret=0, status=status, **fields)


class Server:
    """Answers each call with its scripted answers in turn; the last one stays.

    An exception is raised; a function is called with the request and may be a coroutine.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.date = ""
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._codes = 0
        self.put("get_bot_qrcode", self._new_code)
        self.put("get_qrcode_status", answer(**CONFIRMED))
        self.put("notifystart", answer(ret=0))
        self.put("notifystop", answer(ret=0))
        self.put("getupdates", answer(ret=0))
        self.put("sendmessage", answer(ret=0, message_id=7_500_000_000_000_000_201))
        self.put("getconfig", answer(ret=0, typing_ticket="SECRETticket"))
        self.put("sendtyping", answer(ret=0))
        self.put("getuploadurl", answer(ret=0, upload_full_url=f"{ENDPOINT}/c2c/upload?a=SECRET"))
        self.put("upload", raw(b"", x_encrypted_param="PARAM="))

    def put(self, call: str, *answers: Answer) -> None:
        """Sets the answers of a call."""
        self._answers[call] = deque(answers)

    def asked(self, call: str) -> list[httpx.Request]:
        """Returns the requests of one call."""
        return [request for request in self.requests if name_of(request) == call]

    def bodies(self, call: str) -> list[Json]:
        """Returns the JSON objects that were sent to one call."""
        return [json.loads(request.content) for request in self.asked(call)]

    def calls(self) -> list[str]:
        """Returns the names of all calls so far."""
        return [name_of(request) for request in self.requests]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answers = self._answers[name_of(request)]
        if not answers:
            return raw(b"not scripted", 404)
        scripted = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(scripted, Exception):
            raise scripted
        if not isinstance(scripted, httpx.Response):
            result = scripted(request)
            scripted = await result if asyncio.iscoroutine(result) else result
        headers = [*scripted.headers.multi_items(), *([("Date", self.date)] if self.date else [])]
        return httpx.Response(scripted.status_code, headers=headers, content=scripted.content)

    def _new_code(self, _request: httpx.Request) -> httpx.Response:
        self._codes += 1
        handle = f"{self._codes:032x}"
        return answer(
            ret=0, qrcode=handle, qrcode_img_content=f"https://liteapp.weixin.qq.com/q/T?qrcode={handle}"
        )


def name_of(request: httpx.Request) -> str:
    return request.url.path.rpartition("/")[2]


def query(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


class ManualClock:
    """A clock that advances only by `sleep`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.ahead = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_790_000_000 + self.ahead + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self.time += seconds
        await asyncio.sleep(0)

    def as_clock(self) -> Clock:
        return Clock(
            wall=self.wall, monotonic=self.now, boot_time=self.now, sleep=self.sleep, chance=lambda: 0.5
        )


class MemoryCredentialStore:
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
        self.content = None


class BackendHarness:
    """A backend with a scripted server, a manual clock and a credential store in memory."""

    def __init__(
        self,
        *,
        endpoint: str | None = ENDPOINT,
        hosts: tuple[str, ...] = (),
        typing: bool = False,
        language: Language = "en",
        timeouts: Mapping[str, float] | None = None,
    ) -> None:
        self.server = Server()
        self.http_transport: httpx.AsyncBaseTransport = httpx.MockTransport(self.server.handle)
        self.clock = ManualClock()
        self.credentials = MemoryCredentialStore()
        self.seen: list[tuple[str, str]] = []
        self.history: dict[str, QuotedMessage] = {}
        self.marks = FakeMarks()
        self._options = BackendOptions(
            credentials=self.credentials,
            observe=lambda call, outcome, _seconds: self.seen.append((call, outcome)),
            quote_lookup=self._look_up_quote,
            marks=self.marks,
            endpoint=endpoint,
            language=language,
            clock=self.clock.as_clock(),
        )
        self._more: dict[str, Any] = {"hosts": hosts, "show_typing": typing}
        self._timeouts = timeouts
        self.gateway = self.restarted()
        self.me = Handle(ME)

    def restarted(self) -> ILinkBackend:
        """Returns a new backend with the same credential store and server."""
        self.gateway = ILinkBackend(
            self._options,
            ILinkHttp(self._options, timeouts=self._timeouts, transport=HttpxTransport(self.http_transport)),
            **self._more,
        )
        return self.gateway

    async def _look_up_quote(self, message_id: str, chat: Handle) -> QuotedMessage | None:
        quoted = self.history.get(message_id)
        return quoted if quoted and quoted.chat == chat else None

    async def log_in(self, *, resume: bool = False) -> LoggedIn:
        """Logs in, and returns the last step."""
        async for step in self.gateway.login(resume=resume):
            if isinstance(step, LoggedIn):
                return step
        raise AssertionError

    async def receive(self, cursor: Cursor, *entries: Json, buf: str = "C2", **fields: Any) -> Any:
        """Returns the batch that is received when the server has these messages."""
        self.server.put("getupdates", answer(msgs=list(entries), get_updates_buf=buf, **fields))
        return await self.gateway.receive(cursor)


def another_bot(harness: BackendHarness) -> None:
    """Somebody scans the next code, which makes another bot of it."""
    confirmed = answer(
        ret=0, status="confirmed", bot_token="2@im.bot:x", ilink_bot_id="2@im.bot", ilink_user_id=ME
    )
    harness.server.put("get_qrcode_status", confirmed)
