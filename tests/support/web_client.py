"""A client of web WeChat for tests, written from the protocol and as strict as the official page.

It keeps no secret, retries nothing and shares no code with the package: what a test sends is what it says.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import ssl
from functools import cache
from typing import Any, Self
from urllib.parse import unquote
from xml.sax.saxutils import escape

import httpx

from tests.support.deadlines import MAX_REQUEST_SECONDS

PART = 524_288
PREFIX = "/cgi-bin/mmwebwx-bin/"
APPID = "wx782c26e4c19acffb"
REDIRECT = "https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage"

Json = dict[str, Any]


def device_id() -> str:
    """`e` and 15 digits, new for every request."""
    return f"e{random.randrange(10**15):015d}"


def client_msg_id() -> str:
    """17 digits."""
    return str(random.randrange(10**16, 10**17))


def file_xml(name: str, size: int, media_id: str, appid: str = "wxeb7ec651dd0aefa9") -> str:
    """The Content of a file message, on one line."""
    extension = name.rpartition(".")[2] if "." in name else ""
    return (
        f"<appmsg appid='{appid}' sdkver=''><title>{escape(name)}</title><des></des><action></action>"
        f"<type>6</type><content></content><url></url><lowurl></lowurl><appattach><totallen>{size}</totallen>"
        f"<attachid>{media_id}</attachid><fileext>{escape(extension)}</fileext></appattach>"
        "<extinfo></extinfo></appmsg>"
    )


@cache
def system_trust() -> ssl.SSLContext:
    """Returns one context for all clients of this process: to read the system's certificates takes 4 ms of CPU."""
    return ssl.create_default_context()


class WebClient:
    """A browser with its cookies, and after `log_in` with a session. `control` is for `/sim`."""

    def __init__(self, url: str, **options: Any) -> None:
        usual: dict[str, Any] = {"timeout": MAX_REQUEST_SECONDS, "verify": system_trust()}
        self.http = httpx.AsyncClient(
            base_url=url, follow_redirects=False, trust_env=False, **{**usual, **options}
        )
        self.xml: dict[str, str] = {}
        self.skey = ""
        self.me = ""
        self.sync_key: Json = {}
        self.check_key: Json = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    # the control

    async def control(self, name: str, **values: Any) -> Any:
        """POST to `/sim/<name>`; raises when it is refused."""
        answer = await self.http.post(f"/sim/{name}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def seen(self, name: str, **query: Any) -> Any:
        """GET `/sim/<name>`."""
        answer = await self.http.get(f"/sim/{name}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def violations(self) -> list[str]:
        """Returns the violations as `endpoint: what`."""
        return [
            f"{violation['endpoint']}: {violation['what']}" for violation in await self.seen("violations")
        ]

    # the login

    async def jslogin(self, **query: str) -> httpx.Response:
        """Requests a uuid."""
        asked = {"appid": APPID, "redirect_uri": REDIRECT, "fun": "new", "lang": "zh_CN", "_": "1", **query}
        return await self.http.get("/jslogin", params=asked)

    async def uuid(self) -> str:
        """A new uuid."""
        text = (await self.jslogin()).text
        found = re.fullmatch(r'window\.QRLogin\.code = 200; window\.QRLogin\.uuid = "(\S{12})";', text)
        assert found, text
        return found[1]

    async def poll(self, uuid: str, tip: int = 1) -> str:
        """Polls for the scan."""
        query: Json = {"loginicon": "true", "uuid": uuid, "tip": tip, "r": -7, "_": 1}
        return (await self.http.get(PREFIX + "login", params=query)).text

    async def confirmed(self, uuid: str) -> str:
        """Lets the phone scan and confirm; returns the redirect_uri."""
        await self.control("scan", uuid=uuid)
        assert (await self.poll(uuid)).startswith("window.code=201;")
        await self.control("confirm", uuid=uuid)
        text = await self.poll(uuid, tip=0)
        found = re.fullmatch(r'window\.code=200;\nwindow\.redirect_uri="(\S+)";', text)
        assert found, text
        return found[1]

    async def new_login_page(
        self, uri: str, extra: str = "&fun=new&version=v2", **headers: str
    ) -> httpx.Response:
        """Exchanges the ticket; keeps the values of the XML and the cookies."""
        answer = await self.http.get(uri + extra, headers=headers)
        self.xml = dict(re.findall(r"<(\w+)>([^<]*)</\1>", answer.text))
        for name in ("wxsid", "wxuin"):
            self.xml.setdefault(name, self.http.cookies.get(name) or "")
        self.skey = self.xml.get("skey", "")
        return answer

    async def log_in(self) -> Json:
        """Does all steps of a login; returns webwxinit's answer."""
        await self.new_login_page(await self.confirmed(await self.uuid()))
        return await self.init()

    async def init(self) -> Json:
        """Calls webwxinit and keeps its values."""
        answer = await self.post("webwxinit", "r=-7&")
        self.skey = answer["SKey"] or self.skey
        self.me = answer["User"]["UserName"]
        self.sync_key = self.check_key = answer["SyncKey"]
        return answer

    # calls

    def base_request(self) -> Json:
        """A fresh BaseRequest."""
        uin, sid = self.xml.get("wxuin", "0"), self.xml.get("wxsid", "")
        return {"Uin": int(uin), "Sid": sid, "Skey": self.skey, "DeviceID": device_id()}

    def path(self, endpoint: str, query: str = "") -> str:
        """The path of a JSON call, with pass_ticket and lang."""
        return f"{PREFIX}{endpoint}?{query}pass_ticket={self.xml.get('pass_ticket', '')}&lang=zh_CN"

    async def send(self, endpoint: str, query: str = "", /, **body: Any) -> httpx.Response:
        """POST a JSON call; returns the answer as it is."""
        content = json.dumps({"BaseRequest": self.base_request(), **body}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        return await self.http.post(self.path(endpoint, query), content=content, headers=headers)

    async def post(self, endpoint: str, query: str = "", /, **body: Any) -> Json:
        """Sends a JSON call; returns the JSON of the answer."""
        answer: Json = json.loads((await self.send(endpoint, query, **body)).content)
        return answer

    async def contacts(self, seq: int = 0) -> Json:
        """One page of the address book."""
        answer = await self.http.get(self.path("webwxgetcontact", f"seq={seq}&r=1&skey={self.skey}&"))
        page: Json = json.loads(answer.content)
        return page

    async def batch(self, *names: str, room: str = "") -> Json:
        """webwxbatchgetcontact."""
        asked = [{"UserName": name, "EncryChatRoomId": room} for name in names]
        return await self.post("webwxbatchgetcontact", "type=ex&r=1&", Count=len(asked), List=asked)

    async def check(self, **other: str | None) -> str:
        """synccheck; `other` overrides parameters, None leaves one out."""
        key = "|".join(f"{pair['Key']}_{pair['Val']}" for pair in self.check_key["List"])
        query = {
            "r": "1",
            "skey": self.skey,
            "sid": self.xml["wxsid"],
            "uin": self.xml["wxuin"],
            "deviceid": device_id(),
            "synckey": key,
            "_": "1",
            **other,
        }
        asked = {name: value for name, value in query.items() if value is not None}
        return (await self.http.get(PREFIX + "synccheck", params=asked)).text

    async def sync_response(self, key: Json | None = None) -> httpx.Response:
        """webwxsync from a key (else the newest), as it is."""
        query = str(httpx.QueryParams({"sid": self.xml["wxsid"], "skey": self.skey}))
        return await self.send("webwxsync", f"{query}&", SyncKey=key or self.sync_key, rr=-7)

    async def sync(self, key: Json | None = None) -> Json:
        """Calls webwxsync; keeps the keys and the skey."""
        answer: Json = json.loads((await self.sync_response(key)).content)
        if answer["BaseResponse"]["Ret"] == 0:
            self.sync_key = answer["SyncKey"]
            self.check_key = answer.get("SyncCheckKey") or self.sync_key
            self.skey = answer["SKey"] or self.skey
        return answer

    async def all_new(self) -> list[Json]:
        """Sync until nothing comes; the messages without those of type 51."""
        found: list[Json] = []
        while batch := (await self.sync())["AddMsgList"]:
            found += [message for message in batch if message["MsgType"] != 51]
        return found

    def text(self, to: str, content: str, key: str = "", **other: Any) -> Json:
        """The Msg of a text."""
        key = key or client_msg_id()
        return {
            "Type": 1,
            "Content": content,
            "FromUserName": self.me,
            "ToUserName": to,
            "LocalID": key,
            "ClientMsgId": key,
            **other,
        }

    # media

    def upload_request(self, data: bytes, **other: Any) -> Json:
        """The uploadmediarequest for those bytes; `other` overrides keys, None leaves one out."""
        asked = {
            "UploadType": 2,
            "BaseRequest": self.base_request(),
            "ClientMediaId": int(client_msg_id()),
            "TotalLen": len(data),
            "StartPos": 0,
            "DataLen": len(data),
            "MediaType": 4,
            "FromUserName": self.me,
            "ToUserName": "filehelper",
            "FileMd5": hashlib.md5(data).hexdigest(),
            **other,
        }
        return {key: value for key, value in asked.items() if value is not None}

    def upload_fields(
        self, name: str, size: int, media_type: str, asked: Json, /, **other: Any
    ) -> dict[str, str]:
        """The fields of a part of an upload; `other` overrides them, None leaves one out."""
        fields = {
            "id": "WU_FILE_0",
            "name": name,
            "type": "application/octet-stream",
            "lastModifiedDate": "Wed Nov 25 2026 08:00:00 GMT+0800 (China Standard Time)",
            "size": str(size),
            "mediatype": media_type,
            "uploadmediarequest": json.dumps(asked, ensure_ascii=False),
            "webwx_data_ticket": self.http.cookies["webwx_data_ticket"],
            "pass_ticket": unquote(self.xml["pass_ticket"]),
            **other,
        }
        return {key: value for key, value in fields.items() if value is not None}

    async def upload_part(self, name: str, part: bytes, fields: dict[str, str]) -> Json:
        """webwxuploadmedia."""
        answer = await self.http.post(
            PREFIX + "webwxuploadmedia?f=json",
            data=fields,
            files={"filename": (name, part, "application/octet-stream")},
        )
        answer_json: Json = json.loads(answer.content)
        return answer_json

    async def upload(self, name: str, data: bytes, media_type: str = "doc", **other: Any) -> Json:
        """Uploads all parts of a file in order; returns the last answer."""
        asked, answer_json = self.upload_request(data, **other), {}
        parts = [data[place : place + PART] for place in range(0, len(data), PART)]
        for number, part in enumerate(parts):
            chunk = {"chunks": str(len(parts)), "chunk": str(number)} if len(parts) > 1 else {}
            fields = self.upload_fields(name, len(data), media_type, asked, **chunk)
            answer_json = await self.upload_part(name, part, fields)
        return answer_json

    async def fetch(self, endpoint: str, query: Json, **headers: str) -> httpx.Response:
        """GET a download; `skey` and Referer are added where the query has no skey."""
        asked = {"skey": self.skey, **query}
        referer = {"referer": str(self.http.base_url), **headers}
        return await self.http.get(PREFIX + endpoint, params=asked, headers=referer)

    async def fetch_file(self, message: Json, **query: str | None) -> httpx.Response:
        """Calls webwxgetmedia for a received file; `query` overrides parameters, None leaves one out."""
        asked = {
            "sender": message["FromUserName"],
            "mediaid": message["MediaId"],
            "encryfilename": message["EncryFileName"],
            "fromuser": self.xml["wxuin"],
            "pass_ticket": unquote(self.xml["pass_ticket"]),
            "webwx_data_ticket": self.http.cookies["webwx_data_ticket"],
            **query,
        }
        return await self.http.get(
            PREFIX + "webwxgetmedia",
            params={name: value for name, value in asked.items() if value is not None},
            headers={"referer": str(self.http.base_url)},
        )

    async def send_media(self, endpoint: str, kind: int, to: str, **other: Any) -> Json:
        """webwxsendmsgimg and the like; `other` are keys of Msg, None leaves one out."""
        message = {**self.text(to, ""), "Type": kind, **other}
        message = {key: value for key, value in message.items() if value is not None}
        query = "fun=sys&" if endpoint == "webwxsendemoticon" else "fun=async&f=json&"
        return await self.post(endpoint, query, Msg=message, Scene=0)

    async def send_file(self, to: str, name: str, data: bytes, media_id: str, **other: Any) -> Json:
        """webwxsendappmsg."""
        return await self.send_media(
            "webwxsendappmsg", 6, to, Content=file_xml(name, len(data), media_id), **other
        )

    async def say(self, to: str, content: str, key: str = "", **other: Any) -> Json:
        """webwxsendmsg."""
        return await self.post("webwxsendmsg", Msg=self.text(to, content, key, **other), Scene=0)
