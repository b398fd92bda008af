"""A WeChat server in memory behind a mock transport of httpx: scripted answers, and a record of requests."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.support.backend_options import backend_options
from tests.support.httpx_transport import HttpxTransport
from tests.unit.wechat.marks import FakeMarks
from tests.unit.wechat.webwx.entries import ME, OWNER
from wx2mqtt.clock import Clock
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.wechat.webwx.backend import WebWxBackend
from wx2mqtt.wechat.webwx.client import WebWxHttp
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient

ENDPOINT = "http://wechat.test/p"
Answer = httpx.Response | Exception | Callable[[httpx.Request], Any]

QR = 'window.QRLogin.code = 200; window.QRLogin.uuid = "uuid{n}==";'
CONFIRMED = (
    "window.code=200;\nwindow.redirect_uri="
    '"https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=T@qrticket_0&uuid=u&lang=zh_CN&scan=1";'
)
LOGIN_XML = (
    "<error><ret>0</ret><message></message><skey>@crypt_SECRET</skey><wxsid>SECRETsid</wxsid>"
    "<wxuin>211722515</wxuin><pass_ticket>SECRET%2B</pass_ticket></error>"
)


def text(body: str | bytes, status: int = 200, cookies: tuple[str, ...] = ()) -> httpx.Response:
    headers = [("Content-Type", "text/plain"), *(("Set-Cookie", line) for line in cookies)]
    return httpx.Response(status, content=body, headers=headers)


def answer(ret: int = 0, cookies: tuple[str, ...] = (), **fields: Any) -> httpx.Response:
    return text(
        json.dumps({"BaseResponse": {"Ret": ret, "ErrMsg": ""}, **fields}, ensure_ascii=False),
        cookies=cookies,
    )


def code(number: int) -> httpx.Response:
    return text(f"window.code={number};")


def check(retcode: int = 0, selector: int = 0) -> httpx.Response:
    return text(f'window.synccheck={{retcode:"{retcode}",selector:"{selector}"}}')


def key(*values: int) -> dict[str, Any]:
    return {"Count": len(values), "List": [{"Key": n + 1, "Val": value} for n, value in enumerate(values)]}


def synced(*messages: Mapping[str, Any], at: int = 2, **fields: Any) -> httpx.Response:
    keys: dict[str, Any] = {"SyncKey": key(at), "SyncCheckKey": key(at + 100)}
    return answer(AddMsgList=list(messages), **keys | fields)


COOKIES = ("wxsid=SECRETsid; Domain=wx2.qq.com; Path=/", "webwx_data_ticket=SECRETdt; Domain=.qq.com; Path=/")
INIT: dict[str, Any] = {
    "User": {"UserName": ME, "NickName": OWNER.nickname, "Uin": 211722515},
    "SKey": "",
    "SyncKey": key(1),
    "ChatSet": "",
    "ContactList": [],
}


class Server:
    """Answers each call with what was put for it, in turn; the last answer stays.

    What was put as an exception is raised; a function is called with the request and may be a coroutine.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._codes = 0
        self.put("login", text(CONFIRMED))
        self.put("webwxnewloginpage", text(LOGIN_XML, cookies=COOKIES))
        self.put("webwxinit", answer(**INIT))
        self.put("webwxstatusnotify", answer(MsgID="1"))
        self.put("webwxgetcontact", answer(MemberList=[{"UserName": ME, "NickName": OWNER.nickname}], Seq=0))
        self.put("webwxbatchgetcontact", answer(ContactList=[]))
        self.put("synccheck", check())
        self.put("webwxsync", synced())
        self.put("webwxsendmsg", answer(MsgID="5", LocalID="1"))
        self.put("webwxlogout", text("", 301))
        self.put("webwxpushloginurl", text('{"ret":"1","msg":"args error"}'))
        self.put("jslogin", self._new_code)

    def put(self, call: str, *answers: Answer) -> None:
        """From now on, these answers."""
        self._answers[call] = deque(answers)

    def asked(self, call: str) -> list[httpx.Request]:
        """What was asked of one call."""
        return [request for request in self.requests if name_of(request) == call]

    def calls(self) -> list[str]:
        """The names of all calls so far."""
        return [name_of(request) for request in self.requests]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answers = self._answers[name_of(request)]
        if not answers:
            return text("not scripted", 404)
        put = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(put, Exception):
            raise put
        if not isinstance(put, httpx.Response):
            found = put(request)
            put = await found if asyncio.iscoroutine(found) else found
        return httpx.Response(put.status_code, headers=put.headers, content=put.content)

    def _new_code(self, _request: httpx.Request) -> httpx.Response:
        self._codes += 1
        return text(QR.replace("{n}", str(self._codes)))


def name_of(request: httpx.Request) -> str:
    return request.url.path.rpartition("/")[2]


def query(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


def body(request: httpx.Request) -> dict[str, Any]:
    found = json.loads(request.content)
    assert isinstance(found, dict)
    return found


class ManualClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000 + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self.time += seconds
        await asyncio.sleep(0)

    def as_clock(self) -> Clock:
        return Clock(wall=self.wall, monotonic=self.now, sleep=self.sleep, chance=lambda: 0.5)


class MemoryVault:
    """A vault that JSON must fit into."""

    def __init__(self) -> None:
        self.content: Mapping[str, object] | None = None
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


class BackendHarness:
    """Everything that a backend needs, and the backend."""

    def __init__(
        self,
        *,
        endpoint: str | None = ENDPOINT,
        desktop: DesktopClient | None = None,
        language: Language = "en",
        timeouts: Mapping[str, float] | None = None,
    ) -> None:
        self.server = Server()
        self.http_transport: httpx.AsyncBaseTransport = httpx.MockTransport(self.server.handle)
        self.clock = ManualClock()
        self.vault = MemoryVault()
        self.seen: list[tuple[str, str]] = []
        self.marks = FakeMarks()
        self._options = backend_options(
            credentials=self.vault,
            observe=lambda call, outcome, _seconds: self.seen.append((call, outcome)),
            marks=self.marks,
            endpoint=endpoint,
            language=language,
            clock=self.clock.as_clock(),
        )
        self._desktop, self._timeouts = desktop, timeouts
        self.backend = self.restarted()

    def restarted(self) -> WebWxBackend:
        """A new backend on the same vault and server."""
        self.backend = WebWxBackend(
            self._options,
            WebWxHttp(self._options, timeouts=self._timeouts, transport=HttpxTransport(self.http_transport)),
            desktop=self._desktop,
        )
        return self.backend
