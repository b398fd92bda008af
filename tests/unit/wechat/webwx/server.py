"""Servers of web WeChat in memory, and a backend that calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.unit.wechat.rig import Answer, Rig
from tests.unit.wechat.webwx.entries import ME, OWNER
from wx2mqtt.i18n import Language
from wx2mqtt.model import Cursor
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.webwx.backend import WebWxBackend
from wx2mqtt.wechat.webwx.client import WebWxHttp
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient

ENDPOINT = "http://wechat.test/p"

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


def renewing(rig: WebWxRig, response: Any, **sync: Any) -> Answer:
    """Answers a call with `response` after a sync, which renews keys and cookies meanwhile."""

    async def overtaken(request: httpx.Request) -> httpx.Response:
        rig.put("synccheck", check(selector=2))
        rig.put("webwxsync", synced(**sync))
        await rig.poll()
        answered: httpx.Response = response(request) if callable(response) else response
        return answered

    return overtaken


class WebWxRig(Rig):
    """A backend that has made no call yet, with servers that accept each login at once."""

    backend: WebWxBackend
    first_second = 1_700_000_000

    def __init__(
        self,
        *,
        endpoint: str | None = ENDPOINT,
        desktop: DesktopClient | None = None,
        language: Language = "en",
        timeouts: Mapping[str, float] | None = None,
    ) -> None:
        self._desktop, self._timeouts = desktop, timeouts
        self._codes = 0
        super().__init__(endpoint=endpoint, language=language)
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

    def restart(self) -> None:
        http = WebWxHttp(self.options, timeouts=self._timeouts, transport=self.transport)
        self.backend = WebWxBackend(self.options, http, desktop=self._desktop)

    def put_sync(self, *messages: Mapping[str, Any], **fields: Any) -> None:
        """The next poll says that there is news, which is this."""
        self.put("synccheck", check(selector=2))
        self.put("webwxsync", synced(*messages, **fields))

    async def receive(
        self, *messages: Mapping[str, Any], cursor: Cursor | None = None, **fields: Any
    ) -> Batch:
        """Returns the batch that is received when the server has this news."""
        self.put_sync(*messages, **fields)
        return await self.poll(cursor)

    async def know(self, *contacts: Mapping[str, Any]) -> None:
        """Loads a contact list of the owner and these contacts."""
        self.put("webwxgetcontact", answer(MemberList=[{"UserName": ME, "NickName": ME}, *contacts], Seq=0))
        await self.load_contacts()

    def _new_code(self, _request: httpx.Request) -> httpx.Response:
        self._codes += 1
        return text(QR.replace("{n}", str(self._codes)))
