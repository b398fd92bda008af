"""iLink's servers in memory, behind httpx's own mock door: scripted answers, and a record of what was asked."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.unit.wechat.ilink.entries import BOT, ME, TOKEN, Json
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.model import Cursor, Handle, QuotedMessage
from wx2mqtt.wechat.backend import LoggedIn
from wx2mqtt.wechat.http import Clock
from wx2mqtt.wechat.ilink.backend import ILinkBackend

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
    """Answers each call with what was put for it, in turn; the last answer stays.

    What was put as an exception is raised; a function is called with the request and may be a coroutine.
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
        """From now on, these answers."""
        self._answers[call] = deque(answers)

    def asked(self, call: str) -> list[httpx.Request]:
        """What was asked of one call."""
        return [request for request in self.requests if name_of(request) == call]

    def bodies(self, call: str) -> list[Json]:
        """The JSON objects that were sent to one call."""
        return [json.loads(request.content) for request in self.asked(call)]

    def calls(self) -> list[str]:
        """The names of all calls so far."""
        return [name_of(request) for request in self.requests]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answers = self._answers[name_of(request)]
        if not answers:
            return raw(b"not scripted", 404)
        put = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(put, Exception):
            raise put
        if not isinstance(put, httpx.Response):
            found = put(request)
            put = await found if asyncio.iscoroutine(found) else found
        headers = [*put.headers.multi_items(), *([("Date", self.date)] if self.date else [])]
        return httpx.Response(put.status_code, headers=headers, content=put.content)

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
    """Time that passes only when somebody sleeps."""

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
            wall=self.wall, monotonic=self.now, ticking=self.now, sleep=self.sleep, chance=lambda: 0.5
        )


class MemoryVault:
    """A vault that JSON must fit into."""

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


class World:
    """Everything that a gateway needs, and the gateway."""

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
        self.door: httpx.AsyncBaseTransport = httpx.MockTransport(self.server.handle)
        self.clock = ManualClock()
        self.vault = MemoryVault()
        self.seen: list[tuple[str, str]] = []
        self.history: dict[str, QuotedMessage] = {}
        self._options: dict[str, Any] = {
            "endpoint": endpoint,
            "hosts": hosts,
            "show_typing": typing,
            "language": language,
            "timeouts": timeouts,
        }
        self.gateway = self.restarted()
        self.me = Handle(ME)

    def restarted(self) -> ILinkBackend:
        """A new gateway on the same vault and server."""
        self.gateway = ILinkBackend(
            self.vault,
            quote_lookup=self._said,
            clock=self.clock.as_clock(),
            observe=lambda call, outcome, _seconds: self.seen.append((call, outcome)),
            http_transport=self.door,
            **self._options,
        )
        return self.gateway

    async def _said(self, message_id: str) -> QuotedMessage | None:
        return self.history.get(message_id)

    async def log_in(self, *, resume: bool = False) -> LoggedIn:
        """Take every step until the login stands."""
        async for step in self.gateway.login(resume=resume):
            if isinstance(step, LoggedIn):
                return step
        raise AssertionError

    async def hear(self, cursor: Cursor, *entries: Json, buf: str = "C2", **fields: Any) -> Any:
        """What comes when the server has these messages."""
        self.server.put("getupdates", answer(msgs=list(entries), get_updates_buf=buf, **fields))
        return await self.gateway.receive(cursor)
