"""iLink's servers in memory, and a backend that calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.unit.wechat.ilink.entries import BOT, ME, TOKEN, Json
from tests.unit.wechat.rig import Rig
from wx2mqtt.model import Cursor, Handle, ReplyWindow
from wx2mqtt.wechat.ilink.backend import ILinkBackend
from wx2mqtt.wechat.ilink.ilink_http import ILinkHttp

ENDPOINT = "http://ilink.test/p"
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


def confirmed(**changes: str) -> httpx.Response:
    """Returns the answer to the poll of a code that somebody has confirmed."""
    return answer(**{**CONFIRMED, **changes})


def another_bot(user: str = ME) -> httpx.Response:
    """Returns the answer that makes another bot of this person."""
    return confirmed(bot_token="2@im.bot:x", ilink_bot_id="2@im.bot", ilink_user_id=user)


class ILinkRig(Rig):
    """A backend that is not logged in, with servers that accept each login at once."""

    backend: ILinkBackend

    def __init__(
        self,
        *,
        endpoint: str | None = ENDPOINT,
        hosts: tuple[str, ...] = (),
        typing: bool = False,
        timeouts: Mapping[str, float] | None = None,
    ) -> None:
        self._more: dict[str, Any] = {"hosts": hosts, "show_typing": typing}
        self._timeouts = timeouts
        self._codes = 0
        super().__init__(endpoint=endpoint, language="en")
        self.put("get_bot_qrcode", self._new_code)
        self.put("get_qrcode_status", confirmed())
        for call in ("notifystart", "notifystop", "getupdates", "sendtyping"):
            self.put(call, answer(ret=0))
        self.put("sendmessage", answer(ret=0, message_id=7_500_000_000_000_000_201))
        self.put("getconfig", answer(ret=0, typing_ticket="SECRETticket"))
        self.put("getuploadurl", answer(ret=0, upload_full_url=f"{ENDPOINT}/c2c/upload?a=SECRET"))
        self.put("upload", raw(b"", x_encrypted_param="PARAM="))

    def restart(self) -> None:
        http = ILinkHttp(self.options, timeouts=self._timeouts, transport=self.transport)
        self.backend = ILinkBackend(self.options, http, **self._more)

    async def receive(
        self, *entries: Json, cursor: Cursor | None = None, buf: str = "C2", **fields: Any
    ) -> Any:
        """Returns the batch that is received when the server has these messages."""
        self.put("getupdates", answer(msgs=list(entries), get_updates_buf=buf, **fields))
        return await self.poll(cursor)

    def window(self, user: str = ME) -> ReplyWindow:
        window = self.backend.reply_window(Handle(user))
        assert window is not None
        return window

    @property
    def bots(self) -> list[tuple[str, bool]]:
        """The saved logins, and whether each is over."""
        return [(bot["id"], bot["over"]) for bot in self.saved["bots"]]

    def _new_code(self, _request: httpx.Request) -> httpx.Response:
        self._codes += 1
        handle = f"{self._codes:032x}"
        url = f"https://liteapp.weixin.qq.com/q/T?qrcode={handle}"
        return answer(ret=0, qrcode=handle, qrcode_img_content=url)
